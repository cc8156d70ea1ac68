/* A client's preconditions and ranges against a stored answer: RFC 9110 13.2.2 in its order, 14.2, 14.4. */
#include "cache/cache_internal.h"
#include "http/date.h"

/* --- entity tags: RFC 9110 8.8.3.2 ----------------------------------------------------------- */

static bool is_weak(struct slice etag)
{
    return slice_starts(etag, SLICE("W/"));
}

static bool etag_equal(struct slice a, struct slice b, bool strong)
{
    if (strong)
        return !is_weak(a) && !is_weak(b) && slice_equal(a, b);
    return slice_equal(is_weak(a) ? slice_skip(a, 2) : a, is_weak(b) ? slice_skip(b, 2) : b);
}

/* "*" fits whatever exists. */
static bool list_has(const struct http_fields *fields, enum field_id id, struct slice etag, bool strong)
{
    struct http_members it = {0};
    struct slice member;
    while (http_member_next(fields, id, &it, &member))
        if (slice_equal(member, SLICE("*")) || (etag.len > 0 && etag_equal(member, etag, strong)))
            return true;
    return false;
}

/* --- dates ----------------------------------------------------------------------------------- */

static struct slice stored_value(const struct cache_entry *entry, struct slice name)
{
    struct slice head = cache_entry_head(entry);
    while (head.len > 0) {
        const size_t end = slice_find(head, '\n');
        const struct slice line = slice_of(head.ptr, end > 0 ? end - 1 : 0);
        const size_t colon = slice_find(line, ':');
        if (slice_equal_nocase(slice_of(line.ptr, colon), name) && colon + 2 <= line.len)
            return slice_skip(line, colon + 2);
        head = slice_skip(head, end < head.len ? end + 1 : end);
    }
    return slice_of(NULL, 0);
}

/* A lone, valid date of the client's; otherwise the condition does not count. The stored Date resolves
 * two-digit years. */
static bool client_date(const struct cache_entry *entry, const struct http_fields *fields, enum field_id id,
                        int64_t *out)
{
    int64_t stored = 0;
    if (http_count(fields, id) != 1)
        return false;
    date_parse(stored_value(entry, SLICE("date")), 0, &stored);
    return date_parse(http_value(fields, id), stored, out);
}

static bool modified_at(const struct cache_entry *entry, int64_t *out)
{
    return date_parse(cache_entry_last_modified(entry), 0, out);
}

/* 13.1.4: without a modification date the condition does not count. */
static bool is_unmodified(const struct cache_entry *entry, const struct http_fields *fields)
{
    int64_t since, modified;
    return !client_date(entry, fields, FIELD_IF_UNMODIFIED_SINCE, &since) || !modified_at(entry, &modified) ||
           modified <= since;
}

/* RFC 9111 4.3.2: without Last-Modified, the stored Date stands for it. */
static bool is_not_modified_since(const struct cache_entry *entry, const struct http_fields *fields)
{
    int64_t since, modified;
    if (!client_date(entry, fields, FIELD_IF_MODIFIED_SINCE, &since))
        return false;
    if (!modified_at(entry, &modified) && !date_parse(stored_value(entry, SLICE("date")), 0, &modified))
        return false;
    return modified <= since;
}

/* 13.1.5: a strong tag, or the very Last-Modified where that is strong: older than its answer's Date
 * (8.8.2.2). */
static bool if_range_holds(const struct cache_entry *entry, const struct http_fields *fields)
{
    const struct slice value = http_value(fields, FIELD_IF_RANGE);
    int64_t wanted, modified, date;
    if (http_count(fields, FIELD_IF_RANGE) == 0)
        return true;
    if (http_count(fields, FIELD_IF_RANGE) > 1)
        return false;
    if (slice_starts(value, SLICE("\"")) || is_weak(value))
        return entry->etag_len > 0 && etag_equal(value, cache_entry_etag(entry), true);
    return modified_at(entry, &modified) && date_parse(stored_value(entry, SLICE("date")), 0, &date) &&
           modified < date && client_date(entry, fields, FIELD_IF_RANGE, &wanted) && wanted == modified;
}

/* --- ranges: RFC 9110 14.1.2 ----------------------------------------------------------------- */

/* Digits to a number, too large ones to the largest. False when there are none or anything else. */
static bool to_position(struct slice text, uint64_t *out)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    if (!slice_to_u64(text, out))
        *out = UINT64_MAX;
    return text.len > 0;
}

static enum cache_condition suffix_range(struct slice text, uint64_t size, uint64_t *first, uint64_t *last)
{
    uint64_t length;
    if (!to_position(text, &length))
        return CONDITION_SEND;
    if (length == 0)
        return CONDITION_UNSATISFIABLE;
    if (size == 0) /* satisfied by nothing, which no Content-Range can say */
        return CONDITION_SEND;
    *first = length < size ? size - length : 0;
    *last = size - 1;
    return CONDITION_PARTIAL;
}

static enum cache_condition read_range(struct slice value, uint64_t size, uint64_t *first, uint64_t *last)
{
    struct slice unit, set, from, to;
    if (!slice_cut(value, '=', &unit, &set) || !slice_equal_nocase(unit, SLICE("bytes")) ||
        slice_find(set, ',') < set.len)
        return CONDITION_SEND;
    if (!slice_cut(slice_trim(set), '-', &from, &to))
        return CONDITION_SEND;
    if (from.len == 0)
        return suffix_range(to, size, first, last);
    *last = UINT64_MAX;
    if (!to_position(from, first) || (to.len > 0 && !to_position(to, last)) || *last < *first)
        return CONDITION_SEND;
    if (*first >= size)
        return CONDITION_UNSATISFIABLE;
    if (*last >= size)
        *last = size - 1;
    return CONDITION_PARTIAL;
}

/* --- in order -------------------------------------------------------------------------------- */

static enum cache_condition check_preconditions(const struct cache_entry *entry,
                                                const struct http_fields *fields)
{
    const struct slice etag = cache_entry_etag(entry);
    if (http_find(fields, FIELD_IF_MATCH)) {
        if (!list_has(fields, FIELD_IF_MATCH, etag, true))
            return CONDITION_FAILED;
    } else if (!is_unmodified(entry, fields)) {
        return CONDITION_FAILED;
    }
    if (http_find(fields, FIELD_IF_NONE_MATCH))
        return list_has(fields, FIELD_IF_NONE_MATCH, etag, false) ? CONDITION_NOT_MODIFIED : CONDITION_SEND;
    return is_not_modified_since(entry, fields) ? CONDITION_NOT_MODIFIED : CONDITION_SEND;
}

enum cache_condition cache_condition(const struct cache_entry *entry, const struct cache_query *query,
                                     uint64_t size, uint64_t *first, uint64_t *last)
{
    const struct http_fields *fields = query->fields;
    if (entry->status < 200 || entry->status > 299) /* 13.2.1 */
        return CONDITION_SEND;
    const enum cache_condition precondition = check_preconditions(entry, fields);
    if (precondition != CONDITION_SEND)
        return precondition;
    if (query->method != METHOD_GET || entry->status != 200 || http_count(fields, FIELD_RANGE) != 1 ||
        !if_range_holds(entry, fields))
        return CONDITION_SEND;
    return read_range(http_value(fields, FIELD_RANGE), size, first, last);
}
