/* Records read back. Their checksums are the store's; here every length is held against every other, and the
 * text against what entries promise to those who send from them. */
#include <stdlib.h>

#include "cache/warm.h"

/* --- is the text an entry's? ----------------------------------------------------------------- */

/* "Name: value" CR LF, as entry.c reads them again. */
static bool lines_are_sound(struct slice lines)
{
    while (lines.len > 0) {
        const size_t end = slice_find(lines, '\r');
        const size_t colon = slice_find(slice_of(lines.ptr, end), ':');
        if (end + 1 >= lines.len || lines.ptr[end + 1] != '\n' || colon == 0 || colon + 2 > end)
            return false;
        lines = slice_skip(lines, end + 2);
    }
    return true;
}

/* Does a field of that name with a value of that length come first? Takes it off. */
static bool begins_with(struct slice *lines, struct slice name, size_t value)
{
    const size_t len = name.len + 2 + value + 2;
    if (lines->len < len || !slice_equal_nocase(slice_of(lines->ptr, name.len), name) ||
        lines->ptr[name.len] != ':' || slice_find(*lines, '\r') != len - 2)
        return false;
    *lines = slice_skip(*lines, len);
    return true;
}

static bool text_is_sound(const struct cache_entry *entry)
{
    const struct slice vary = entry_vary(entry);
    struct slice head = cache_entry_head(entry);
    const struct slice hidden = slice_of(head.ptr - entry->hidden_len, entry->hidden_len);
    if (!lines_are_sound(hidden) || !lines_are_sound(head) ||
        (vary.len > 0 && vary.ptr[vary.len - 1] != '\n'))
        return false;
    return (entry->etag_len == 0 || begins_with(&head, SLICE("etag"), entry->etag_len)) &&
           (entry->modified_len == 0 || begins_with(&head, SLICE("last-modified"), entry->modified_len));
}

/* --- age ------------------------------------------------------------------------------------- */

/* How long ago the record was true. Of two clocks that disagree the one that says more is believed; when none
 * can be right, it is for ever. */
static int64_t elapsed_ms(const struct warm_times *then, const struct warm_times *now)
{
    const int64_t for_ever = (int64_t)INT32_MAX * 1000;
    const bool same_boot = then->boot != 0 && then->boot == now->boot && then->mono_ms <= now->mono_ms;
    const int64_t mono = same_boot ? now->mono_ms - then->mono_ms : -1;
    const int64_t wall = then->wall_ms <= now->wall_ms ? now->wall_ms - then->wall_ms : -1;
    const int64_t more = mono > wall ? mono : wall;
    return more < 0 || more > for_ever ? for_ever : more;
}

/* --- reading --------------------------------------------------------------------------------- */

struct reading {
    struct store_view *view;
    struct cache *cache;
    const struct cache_query *query;
    const struct warm_times *now;
    struct warm_id id;
};

static struct cache_entry *make(const struct reading *reading, const struct warm_head *head)
{
    struct cache *cache = reading->cache;
    const size_t data = warm_data_of(head);
    if (data > atomic_load_explicit(&cache->entry_max, memory_order_relaxed))
        return NULL;
    struct cache_entry *entry = entry_alloc(cache, sizeof *entry + data, reading->query->key.hash);
    if (!entry)
        return NULL;
    memset(entry, 0, sizeof *entry);
    atomic_init(&entry->refs, 1);
    entry->cache = cache;
    entry->hash = reading->query->key.hash;
    entry->status = head->status;
    entry->deps = reading->query->deps;
    entry->deps.sum = 0; /* which no counters add up to */
    entry->born_ms =
        (int64_t)reading->query->now_ms - (int64_t)head->age_ms - elapsed_ms(&head->times, reading->now);
    entry->lifetime_s = head->lifetime_s;
    entry->swr_s = head->swr_s;
    entry->sie_s = head->sie_s;
    entry->flags = (head->flags & ~(uint32_t)ENTRY_COVERED) | (uint32_t)ENTRY_RESTORED;
    entry->hidden_len = head->hidden_len;
    entry->head_len = head->head_len;
    entry->body_len = head->body_len;
    entry->splice_at = head->splice_at;
    entry->key_len = head->key_len;
    entry->vary_len = head->vary_len;
    entry->etag_len = head->etag_len;
    entry->modified_len = head->modified_len;
    entry->splice_len = head->splice_len;
    return entry;
}

/* The pieces behind the first, each as long as it has to be. */
static int read_further(const struct reading *reading, uint32_t stamp, char *to, size_t left)
{
    struct warm_name name;
    struct slice piece;
    for (size_t n = 1; left > 0; n++) {
        const size_t len = left < WARM_FURTHER ? left : WARM_FURTHER;
        int rc = store_get(reading->view, WARM_TABLE, warm_name_of(&name, &reading->id, n), &piece);
        if (rc)
            return rc == ERR_NOTFOUND ? ERR_CORRUPT : rc;
        if (piece.len != WARM_STAMP + len || warm_get_number(piece.ptr, WARM_STAMP) != stamp)
            return ERR_CORRUPT;
        memcpy(to, piece.ptr + WARM_STAMP, len);
        to += len;
        left -= len;
    }
    return 0;
}

/* From its first piece on. */
static int read_entry(const struct reading *reading, struct slice first, struct cache_entry **out)
{
    struct warm_head head;
    if (!warm_head_read(first, &head))
        return ERR_CORRUPT;
    struct cache_entry *entry = make(reading, &head);
    if (!entry)
        return ERR_NOMEM;
    const struct slice data = slice_skip(first, WARM_HEAD);
    memcpy(entry->data, data.ptr, data.len);
    int rc = read_further(reading, head.stamp, entry->data + data.len, warm_data_of(&head) - data.len);
    if (rc == 0 && !text_is_sound(entry))
        rc = ERR_CORRUPT;
    /* Two keys with one id: rare, and no damage. The whole key decides whose it is. */
    if (rc == 0 && (!slice_equal(entry_key(entry), reading->query->key.bytes) ||
                    (reading->id.vary == 0) != (entry->vary_len == 0) ||
                    !vary_matches(entry_vary(entry), reading->query->fields)))
        rc = ERR_NOTFOUND;
    if (rc) {
        cache_release(entry);
        return rc;
    }
    *out = entry;
    return 0;
}

/* The first piece of the variant that the request selects. */
static int find_variant(struct reading *reading, struct slice directory, struct slice *first)
{
    struct slice rest = slice_skip(directory, 1), text;
    struct warm_name name;
    bool sound;
    while (warm_next_text(&rest, &text, &sound))
        if (vary_matches(text, reading->query->fields)) {
            reading->id = warm_variant_of(&reading->id, text);
            return store_get(reading->view, WARM_TABLE, warm_name_of(&name, &reading->id, 0), first);
        }
    return sound ? ERR_NOTFOUND : ERR_CORRUPT;
}

int warm_read(struct store_view *view, struct cache *cache, const struct digest_key *salt,
              const struct cache_query *query, const struct warm_times *now, bool *known,
              struct cache_entry **out)
{
    struct reading reading = {view, cache, query, now, warm_id_of(salt, query->key.bytes, SLICE(""))};
    struct warm_name name;
    struct slice first;
    int rc = store_get(view, WARM_TABLE, warm_name_of(&name, &reading.id, 0), &first);
    *known = rc != ERR_NOTFOUND;
    if (rc == 0 && warm_is_directory(first))
        rc = find_variant(&reading, first, &first);
    return rc ? rc : read_entry(&reading, first, out);
}
