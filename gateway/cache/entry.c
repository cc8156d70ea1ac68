/* Entries: fields chosen (RFC 9111 3.1), validators put first, everything copied into one allocation that is
 * weighed on the budget. */
#include <assert.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/digest.h"
#include "cache/cache_internal.h"
#include "http/date.h"

_Static_assert(sizeof(struct cache_entry) <= 136, "with the heap's overhead an entry may cost 160 bytes");

enum { HEAP_SMALL = 128 * 1024, ETAG_OURS = 37, NAME_ETAG = 4, NAME_MODIFIED = 13 };

/* --- which fields are stored ----------------------------------------------------------------- */

static bool is_hidden(const struct http_field *field)
{
    return field->id == FIELD_CACHE_CONTROL || field->id == FIELD_CDN_CACHE_CONTROL;
}

/* 3.1: nothing that is about the connection or that the gateway writes itself. Hidden fields are kept for
 * updates, but not sent: a CDN-Cache-Control would let a cache in front of the gateway store what is private
 * to a tenant. */
static bool is_sent(const struct entry_parts *parts, const struct http_field *field)
{
    if (is_hidden(field) || (field_flags(field->id) & (FIELD_HOP | FIELD_FRAMING | FIELD_RESPONSE_OWN)))
        return false;
    if (field->id == FIELD_SET_COOKIE && !parts->query->policy->keep_cookies)
        return false;
    return !http_connection_names(parts->answer->fields, field->name);
}

static void put_line(struct buf *out, const struct http_field *field)
{
    buf_append_slice(out, field->name);
    buf_append(out, ": ", 2);
    buf_append_slice(out, field->value);
    buf_append(out, "\r\n", 2);
}

/* --- Cache-Control for clients --------------------------------------------------------------- */

/* s-maxage and public speak to shared caches, which clients of this gateway must not be. */
static bool is_for_clients(struct slice directive)
{
    const struct slice name = slice_trim(slice_of(directive.ptr, slice_find(directive, '=')));
    return !slice_equal_nocase(name, SLICE("public")) && !slice_equal_nocase(name, SLICE("private")) &&
           !slice_equal_nocase(name, SLICE("s-maxage"));
}

static bool put_as_sent(struct buf *out, const struct http_fields *fields)
{
    bool any = false;
    for (size_t i = 0; i < fields->count; i++)
        if (fields->at[i].id == FIELD_CACHE_CONTROL) {
            put_line(out, &fields->at[i]);
            any = true;
        }
    return any;
}

void cache_write_control(struct buf *out, const struct http_fields *fields, const struct cache_policy *policy)
{
    struct http_members it = {0};
    struct slice directive;
    if (cache_policy_is_plain(policy) && put_as_sent(out, fields))
        return;
    buf_append_text(out, "Cache-Control: private");
    while (http_member_next(fields, FIELD_CACHE_CONTROL, &it, &directive)) {
        if (!is_for_clients(directive))
            continue;
        buf_append(out, ", ", 2);
        buf_append_slice(out, directive);
    }
    buf_append(out, "\r\n", 2);
}

/* --- the head -------------------------------------------------------------------------------- */

struct head {
    struct buf hidden, sent;
    struct slice etag, modified;
    bool ours;
};

/* A strong validator of our own (contract 4): two keyed sums of the body, the same on every machine. */
static void put_our_etag(struct buf *out, struct slice body)
{
    static const struct digest_key second = {0x72672d6574616732, 0x5261b3c1d05e9a47};
    const uint64_t sums[2] = {digest_checksum(body.ptr, body.len), digest64(&second, body.ptr, body.len)};
    buf_append_format(out, "ETag: \"rg-%016llx%016llx\"\r\n", (unsigned long long)sums[0],
                      (unsigned long long)sums[1]);
}

/* The field with that id that stands first in the head; NULL when it is missing, empty or too long to be one.
 */
static const struct http_field *validator(const struct entry_parts *parts, enum field_id id)
{
    const struct http_field *field = http_find(parts->answer->fields, id);
    return field && field->value.len > 0 && field->value.len <= 1024 && is_sent(parts, field) ? field : NULL;
}

static void put_validators(struct head *head, const struct entry_parts *parts)
{
    const struct http_field *etag = validator(parts, FIELD_ETAG);
    const struct http_field *modified = validator(parts, FIELD_LAST_MODIFIED);
    head->ours = !etag && !modified && parts->answer->status == 200;
    if (etag) {
        put_line(&head->sent, etag);
        head->etag = etag->value;
    } else if (head->ours) {
        put_our_etag(&head->sent, parts->body);
        head->etag.len = ETAG_OURS;
    }
    if (modified) {
        put_line(&head->sent, modified);
        head->modified = modified->value;
    }
}

static bool is_placed(const struct http_field *field, const struct head *head)
{
    return (field->id == FIELD_ETAG && head->etag.len > 0) ||
           (field->id == FIELD_LAST_MODIFIED && head->modified.len > 0);
}

/* RFC 9110 6.6.1: a recipient with a clock dates what has no date. */
static void put_date(struct buf *out, int64_t wall_s)
{
    char text[DATE_LENGTH];
    date_format(wall_s, text);
    buf_append_text(out, "Date: ");
    buf_append(out, text, sizeof text);
    buf_append(out, "\r\n", 2);
}

static void head_write(struct head *head, const struct entry_parts *parts, size_t max)
{
    const struct http_fields *fields = parts->answer->fields;
    buf_init(&head->hidden, max);
    buf_init(&head->sent, max);
    head->etag = head->modified = slice_of(NULL, 0);
    put_validators(head, parts);
    for (size_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];
        if (is_hidden(field))
            put_line(&head->hidden, field);
        else if (is_sent(parts, field) && !is_placed(field, head))
            put_line(&head->sent, field);
    }
    if (!http_find(fields, FIELD_DATE))
        put_date(&head->sent, parts->answer->response_wall_s);
    cache_write_control(&head->sent, fields, parts->query->policy);
}

static void head_deinit(struct head *head)
{
    buf_deinit(&head->hidden);
    buf_deinit(&head->sent);
}

/* --- making ---------------------------------------------------------------------------------- */

static void fill_freshness(struct cache_entry *entry, const struct entry_parts *parts, bool ours)
{
    const struct cache_policy *policy = parts->query->policy;
    const struct directives said = policy_read(parts->answer, policy->ignore);
    /* The raw directives are kept: which of them are overlooked is asked anew at each lookup. */
    entry->flags = policy_read(parts->answer, policy->ignore & ~0xffffu).flags |
                   (ours ? ENTRY_ETAG_OURS : 0u) | (parts->query->covered ? ENTRY_COVERED : 0u);
    int64_t lifetime = said.lifetime_s;
    if (lifetime == CC_ABSENT && policy->heuristic) {
        lifetime = policy_heuristic(parts->answer, said.flags);
        entry->flags |= lifetime == CC_ABSENT ? 0u : ENTRY_HEURISTIC;
    }
    entry->lifetime_s = (int32_t)lifetime;
    entry->swr_s = (int32_t)(said.swr_s < INT32_MAX ? said.swr_s : INT32_MAX);
    entry->sie_s = (int32_t)(said.sie_s < INT32_MAX ? said.sie_s : INT32_MAX);
    /* Where the configuration gives the lifetime, an upstream whose clock is slow must not shorten it: its
     * Age counts, its Date does not (4.2.3 allows that where the path is known). */
    const bool configured = said.lifetime_s == CC_ABSENT &&
                            policy_ttl_ms(policy, parts->query->covered, parts->answer->status) > 0;
    entry->born_ms = (int64_t)parts->answer->response_ms - policy_initial_age_ms(parts->answer, !configured);
}

static char *put(char *to, struct slice from)
{
    if (from.len > 0)
        memcpy(to, from.ptr, from.len);
    return to + from.len;
}

static void fill(struct cache_entry *entry, const struct entry_parts *parts, const struct head *head)
{
    const struct slice key = parts->query->key.bytes;
    memset(entry, 0, sizeof *entry);
    atomic_init(&entry->refs, 1);
    entry->hash = parts->query->key.hash;
    entry->status = (uint16_t)parts->answer->status;
    entry->deps = parts->answer->deps;
    fill_freshness(entry, parts, head->ours);
    entry->key_len = (uint16_t)key.len;
    entry->vary_len = (uint16_t)parts->vary.len;
    entry->hidden_len = (uint32_t)head->hidden.len;
    entry->head_len = (uint32_t)head->sent.len;
    entry->body_len = (uint32_t)parts->body.len;
    entry->etag_len = (uint16_t)head->etag.len;
    entry->modified_len = (uint16_t)head->modified.len;
    entry->splice_at = (uint32_t)parts->answer->splice_at;
    entry->splice_len = (uint16_t)parts->answer->splice_len;
    char *to = put(put(entry->data, key), parts->vary);
    to = put(put(to, buf_slice(&head->hidden)), buf_slice(&head->sent));
    put(to, parts->body);
}

/* What the heap may take for n bytes at most: a header and rounding, whole pages for large ones. */
static size_t heap_bound(size_t n)
{
    return n + (n < HEAP_SMALL ? 32 : 2 * 4096);
}

size_t entry_weight(const struct cache_entry *entry)
{
    return malloc_usable_size((void *)(uintptr_t)entry) + sizeof(size_t);
}

struct cache_entry *entry_alloc(struct cache *cache, size_t size, uint64_t hash)
{
    const size_t bound = heap_bound(size);
    if (!index_reserve(cache, bound, hash))
        return NULL;
    struct cache_entry *entry = malloc(size);
    if (!entry) {
        index_unreserve(cache, bound);
        return NULL;
    }
    const size_t weight = entry_weight(entry);
    if (weight <= bound) {
        index_unreserve(cache, bound - weight);
        return entry;
    }
    /* A heap that takes more than bound: paid for, or not used. */
    if (index_reserve(cache, weight - bound, hash))
        return entry;
    free(entry);
    index_unreserve(cache, bound);
    return NULL;
}

struct cache_entry *entry_create(struct cache *cache, const struct entry_parts *parts)
{
    const size_t max = atomic_load_explicit(&cache->entry_max, memory_order_relaxed);
    const struct slice key = parts->query->key.bytes;
    struct head head;
    struct cache_entry *entry = NULL;
    if (key.len > UINT16_MAX || parts->vary.len > UINT16_MAX || parts->answer->splice_len > UINT16_MAX ||
        parts->body.len > max)
        return NULL;
    assert(parts->answer->splice_at + parts->answer->splice_len <= parts->body.len ||
           parts->answer->splice_len == 0);
    head_write(&head, parts, max);
    const size_t size = key.len + parts->vary.len + head.hidden.len + head.sent.len + parts->body.len;
    if (!head.hidden.failed && !head.sent.failed && size <= max)
        entry = entry_alloc(cache, sizeof *entry + size, parts->query->key.hash);
    if (entry) {
        fill(entry, parts, &head);
        entry->cache = cache;
    }
    head_deinit(&head);
    return entry;
}

void cache_retain(struct cache_entry *entry)
{
    atomic_fetch_add_explicit(&entry->refs, 1, memory_order_relaxed);
}

void cache_release(struct cache_entry *entry)
{
    if (!entry || atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct cache *cache = entry->cache;
    const size_t weight = entry_weight(entry);
    free(entry);
    index_unreserve(cache, weight);
}

/* --- reading --------------------------------------------------------------------------------- */

struct slice entry_key(const struct cache_entry *entry)
{
    return slice_of(entry->data, entry->key_len);
}

struct slice entry_vary(const struct cache_entry *entry)
{
    return slice_of(entry->data + entry->key_len, entry->vary_len);
}

static const char *hidden_at(const struct cache_entry *entry)
{
    return entry->data + entry->key_len + entry->vary_len;
}

static const char *head_at(const struct cache_entry *entry)
{
    return hidden_at(entry) + entry->hidden_len;
}

bool cache_entry_varies(const struct cache_entry *entry)
{
    return entry->vary_len > 0;
}

int cache_entry_status(const struct cache_entry *entry)
{
    return entry->status;
}

struct slice cache_entry_head(const struct cache_entry *entry)
{
    return slice_of(head_at(entry), entry->head_len);
}

struct slice cache_entry_body(const struct cache_entry *entry)
{
    return slice_of(head_at(entry) + entry->head_len, entry->body_len);
}

struct slice cache_entry_etag(const struct cache_entry *entry)
{
    return slice_of(head_at(entry) + NAME_ETAG + 2, entry->etag_len);
}

bool cache_entry_etag_is_ours(const struct cache_entry *entry)
{
    return entry->flags & ENTRY_ETAG_OURS;
}

struct slice cache_entry_last_modified(const struct cache_entry *entry)
{
    const size_t etag_line = entry->etag_len > 0 ? NAME_ETAG + 2 + (size_t)entry->etag_len + 2 : 0;
    return slice_of(head_at(entry) + etag_line + NAME_MODIFIED + 2, entry->modified_len);
}

bool entry_validates(const struct cache_entry *entry)
{
    return (entry->etag_len > 0 && !cache_entry_etag_is_ours(entry)) || entry->modified_len > 0;
}

struct slice cache_entry_splice(const struct cache_entry *entry)
{
    return slice_of(cache_entry_body(entry).ptr + entry->splice_at, entry->splice_len);
}

uint64_t cache_entry_age_ms(const struct cache_entry *entry, uint64_t now_ms)
{
    const int64_t age = (int64_t)now_ms - entry->born_ms;
    return age > 0 ? (uint64_t)age : 0;
}

/* "Name: value\r\n", as put_line wrote it. */
static struct http_field next_line(struct slice *lines)
{
    const size_t end = slice_find(*lines, '\r');
    const struct slice line = slice_of(lines->ptr, end);
    const size_t colon = slice_find(line, ':');
    struct http_field field = {.name = slice_of(line.ptr, colon), .value = slice_skip(line, colon + 2)};
    field.id = field_lookup(field.name);
    *lines = slice_skip(*lines, end + 2);
    return field;
}

size_t entry_fields(const struct cache_entry *entry, struct http_field *at, size_t max)
{
    size_t count = 0;
    struct slice lines = slice_of(hidden_at(entry), (size_t)entry->hidden_len + entry->head_len);
    while (lines.len > 0) {
        const bool hidden = lines.ptr < head_at(entry);
        const struct http_field field = next_line(&lines);
        if (!hidden && field.id == FIELD_CACHE_CONTROL)
            continue; /* ours, made from the hidden one */
        if (field.id == FIELD_ETAG && cache_entry_etag_is_ours(entry))
            continue;
        if (count == max)
            return max + 1;
        at[count++] = field;
    }
    return count;
}
