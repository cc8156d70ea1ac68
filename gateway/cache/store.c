/* The desk's front: the cache as a whole, storing, freshening, removing. */
#include <assert.h>
#include <stdlib.h>

#include "cache/cache_internal.h"
#include "http/date.h"

/* --- life ------------------------------------------------------------------------------------ */

static void set_options(struct cache *cache, const struct cache_options *options)
{
    /* Lengths in an entry are 32-bit. */
    const size_t entry_max = options->entry_max < UINT32_MAX ? options->entry_max : UINT32_MAX;
    atomic_store(&cache->budget, options->memory);
    atomic_store(&cache->entry_max, entry_max);
}

struct cache *cache_create(const struct cache_options *options)
{
    struct cache *cache = aligned_alloc(_Alignof(struct cache), sizeof *cache);
    if (!cache)
        return NULL;
    memset(cache, 0, sizeof *cache);
    set_options(cache, options);
    if (generations_init(&cache->generations) == 0 && coverage_init(&cache->coverage) == 0 &&
        index_init(cache) == 0)
        return cache;
    cache_destroy(cache);
    return NULL;
}

void cache_destroy(struct cache *cache)
{
    if (!cache)
        return;
    cache_warm_close(cache);
    index_deinit(cache);
    coverage_deinit(&cache->coverage);
    generations_deinit(&cache->generations);
    free(cache);
}

void cache_configure(struct cache *cache, const struct cache_options *options)
{
    set_options(cache, options);
    if (index_reserve(cache, 0, 0)) /* evicts down to the new budget */
        index_resize(cache);
}

/* --- storing --------------------------------------------------------------------------------- */

static struct cache_entry *make(struct cache *cache, const struct cache_query *query,
                                const struct cache_answer *answer, struct slice body)
{
    char storage[VARY_MAX];
    struct buf vary;
    buf_init_fixed(&vary, storage, sizeof storage);
    if (vary_build(&vary, answer->fields, query->fields) != 0)
        return NULL;
    return entry_create(cache, &(struct entry_parts){query, answer, buf_slice(&vary), body});
}

/* Puts a new entry where everybody finds it, in the place of `old`, unless the entity settles. */
static void publish(struct cache *cache, struct cache_entry *entry, struct cache_entry *old,
                    const struct cache_answer *answer)
{
    if (cache_settling(cache, &entry->deps, answer->request_ms))
        return;
    if (!cache_deps_hold(cache, &entry->deps))
        atomic_fetch_add_explicit(&cache->fenced, 1, memory_order_relaxed);
    if (!index_insert(cache, entry, old))
        return;
    atomic_fetch_add_explicit(&cache->stores, 1, memory_order_relaxed);
    if (old && !slice_equal(entry_vary(old), entry_vary(entry)))
        warm_forget(cache, old);
    warm_keep(cache, entry, answer);
}

struct cache_entry *cache_store(struct cache *cache, const struct cache_query *query,
                                const struct cache_answer *answer, struct slice body)
{
    struct cache_entry *entry = make(cache, query, answer, body);
    if (entry)
        publish(cache, entry, NULL, answer);
    return entry;
}

void cache_remove(struct cache *cache, struct cache_key key)
{
    index_remove_key(cache, key);
    warm_forget_key(cache, key);
}

static void remove_entry(struct cache *cache, struct cache_entry *entry)
{
    index_remove(cache, entry);
    warm_forget(cache, entry);
}

/* --- freshening: RFC 9111 3.2, 4.3.4 --------------------------------------------------------- */

/* 3.2: everything but Content-Length; and what says how the stored body is to be read stays with that body.
 */
static bool is_updating(const struct cache_entry *entry, const struct http_fields *from,
                        const struct http_field *field)
{
    if (field->id == FIELD_CONTENT_LENGTH || field->id == FIELD_CONTENT_ENCODING ||
        field->id == FIELD_CONTENT_RANGE || slice_equal_nocase(field->name, SLICE("content-md5")))
        return false;
    if (field->id == FIELD_ETAG && entry->etag_len > 0 && !cache_entry_etag_is_ours(entry))
        return false;
    if (field_flags(field->id) & (FIELD_HOP | FIELD_FRAMING))
        return false;
    return !http_connection_names(from, field->name);
}

static bool is_replaced(const struct cache_entry *entry, const struct http_fields *from,
                        const struct http_field *old)
{
    for (size_t i = 0; i < from->count; i++)
        if (slice_equal_nocase(from->at[i].name, old->name) && is_updating(entry, from, &from->at[i]))
            return true;
    return old->id == FIELD_DATE; /* one that came without is dated anew */
}

static size_t count_lines(struct slice text)
{
    size_t count = 0;
    for (; text.len > 0;
         text = slice_skip(text, text.len > slice_find(text, '\n') ? slice_find(text, '\n') + 1 : text.len))
        count++;
    return count;
}

/* The stored fields with the update's in their place; slices into both. NULL: no memory. The caller frees it.
 */
static struct http_field *merge(const struct cache_entry *entry, const struct http_fields *from,
                                size_t *count)
{
    const size_t most = count_lines(slice_of(entry->data + entry->key_len + entry->vary_len,
                                             (size_t)entry->hidden_len + entry->head_len));
    struct http_field *at = calloc(most + from->count + 1, sizeof *at);
    if (!at)
        return NULL;
    const size_t stored = entry_fields(entry, at, most);
    *count = 0;
    for (size_t i = 0; i < stored; i++)
        if (!is_replaced(entry, from, &at[i]))
            at[(*count)++] = at[i];
    for (size_t i = 0; i < from->count; i++)
        if (is_updating(entry, from, &from->at[i]))
            at[(*count)++] = from->at[i];
    return at;
}

/* `deps`: of the time for which the update vouches. */
static struct cache_entry *update(struct cache *cache, const struct cache_query *query,
                                  struct cache_entry *entry, const struct cache_answer *answer,
                                  const struct cache_deps *deps)
{
    const char *why;
    struct http_fields fields;
    fields.at = merge(entry, answer->fields, &fields.count);
    if (!fields.at)
        return NULL;
    struct cache_answer merged = *answer;
    merged.status = entry->status;
    merged.fields = &fields;
    merged.deps = *deps;
    merged.splice_at = entry->splice_at;
    merged.splice_len = entry->splice_len;
    const bool storable = policy_storable(query, &merged, &why) == CACHE_STORE;
    struct cache_entry *updated = make(cache, query, &merged, cache_entry_body(entry));
    if (!storable)
        remove_entry(cache, entry);
    else if (updated)
        publish(cache, updated, entry, &merged);
    free(fields.at);
    return updated;
}

static struct slice opaque(struct slice etag)
{
    return slice_starts(etag, SLICE("W/")) ? slice_skip(etag, 2) : etag;
}

static bool same_date(struct slice a, struct slice b, int64_t now)
{
    int64_t x, y;
    return slice_equal(a, b) || (date_parse(a, now, &x) && date_parse(b, now, &y) && x == y);
}

enum agreement { AGREES, DIFFERS, SILENT };

/* Do the validators that came belong to the entry? */
static enum agreement agreement(const struct cache_entry *entry, const struct cache_answer *answer)
{
    const struct slice etag = http_value(answer->fields, FIELD_ETAG);
    const struct slice modified = http_value(answer->fields, FIELD_LAST_MODIFIED);
    if (etag.len > 0 && entry->etag_len > 0 && !cache_entry_etag_is_ours(entry))
        return slice_equal(opaque(etag), opaque(cache_entry_etag(entry))) ? AGREES : DIFFERS;
    if (modified.len > 0 && entry->modified_len > 0)
        return same_date(modified, cache_entry_last_modified(entry), answer->response_wall_s) ? AGREES
                                                                                              : DIFFERS;
    return etag.len > 0 || modified.len > 0 ? DIFFERS : SILENT;
}

struct cache_entry *cache_freshen(struct cache *cache, const struct cache_query *query,
                                  struct cache_entry *entry, const struct cache_answer *answer)
{
    /* A 304 that names no validator answers the condition that was sent, which was this entry's. */
    if (!entry_validates(entry) || agreement(entry, answer) == DIFFERS)
        return NULL;
    return update(cache, query, entry, answer, &answer->deps);
}

/* --- HEAD: RFC 9111 4.3.5 -------------------------------------------------------------------- */

static bool length_differs(const struct cache_entry *entry, const struct http_fields *fields)
{
    uint64_t length;
    const struct http_field *field = http_find(fields, FIELD_CONTENT_LENGTH);
    return field && (!slice_to_u64(field->value, &length) || length != entry->body_len);
}

static void compare_head(struct cache *cache, const struct cache_query *query, struct cache_entry *entry,
                         const struct cache_answer *answer)
{
    const enum agreement said = agreement(entry, answer);
    if (answer->status != entry->status || said == DIFFERS || length_differs(entry, answer->fields)) {
        remove_entry(cache, entry);
        return;
    }
    /* Silence vouches for nothing: without a validator only upstream's own freshness is taken over, and no
     * change is forgotten. */
    if (said == SILENT && policy_read(answer, query->policy->ignore).lifetime_s == CC_ABSENT)
        return;
    cache_release(update(cache, query, entry, answer, said == AGREES ? &answer->deps : &entry->deps));
}

void cache_head_seen(struct cache *cache, const struct cache_query *query, const struct cache_answer *answer)
{
    struct cache_entry *variants[INDEX_VARIANTS];
    if (answer->status == 304 || answer->status >= 500 || answer->status == 429)
        return; /* says nothing about the resource */
    const size_t count = index_collect(cache, query->key, variants);
    for (size_t i = 0; i < count; i++) {
        if (vary_matches(entry_vary(variants[i]), query->fields))
            compare_head(cache, query, variants[i], answer);
        cache_release(variants[i]);
    }
}
