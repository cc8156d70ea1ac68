/* Records written, erased, and swept away: on the writer thread, inside its transaction. */
#include "base/random.h"
#include "cache/warm.h"

enum { SWEEP_KEYS = 512 };

static int erase_pieces(struct store_txn *txn, const struct warm_id *id, size_t from, size_t to)
{
    struct warm_name name;
    int rc = 0;
    for (size_t n = from; n < to && (rc == 0 || rc == ERR_NOTFOUND); n++)
        rc = store_txn_delete(txn, WARM_TABLE, warm_name_of(&name, id, n));
    return rc == ERR_NOTFOUND ? 0 : rc;
}

/* How many pieces the record under that name has; 0 when there is none, or none that can be read. */
static size_t count_pieces(struct store_txn *txn, const struct warm_id *id)
{
    struct warm_name name;
    struct slice record;
    struct warm_head head;
    if (store_txn_get(txn, WARM_TABLE, warm_name_of(&name, id, 0), &record) || !warm_head_read(record, &head))
        return 0;
    return warm_pieces_for(warm_data_of(&head));
}

static int erase_record(struct store_txn *txn, const struct warm_id *id)
{
    const size_t pieces = count_pieces(txn, id);
    return erase_pieces(txn, id, 0, pieces > 0 ? pieces : 1);
}

/* The texts of the key's directory, copied: the store's slice does not live over a change. */
static struct slice read_directory(struct store_txn *txn, const struct warm_id *id, char out[WARM_PIECE])
{
    const struct warm_id whole = warm_variant_of(id, SLICE(""));
    struct warm_name name;
    struct slice record;
    if (store_txn_get(txn, WARM_TABLE, warm_name_of(&name, &whole, 0), &record) ||
        !warm_is_directory(record) || record.len > WARM_PIECE)
        return slice_of(out, 0);
    memcpy(out, record.ptr + 1, record.len - 1);
    return slice_of(out, record.len - 1);
}

static void put_text(struct buf *out, struct slice text)
{
    char len[2];
    warm_put_number(len, text.len, 2);
    buf_append(out, len, sizeof len);
    buf_append_slice(out, text);
}

/* Writes a directory: `first`, when it is not empty, then those of the old one that are not `but`. What finds
 * no room any more is erased. */
static int write_directory(struct store_txn *txn, const struct warm_id *id, struct slice first,
                           struct slice but)
{
    const struct warm_id whole = warm_variant_of(id, SLICE(""));
    char storage[WARM_PIECE], old[WARM_PIECE];
    struct slice rest = read_directory(txn, id, old), text;
    struct warm_name name;
    struct buf out;
    bool sound;
    int rc = 0;
    size_t count = first.len > 0;
    buf_init_fixed(&out, storage, sizeof storage);
    buf_append_char(&out, WARM_TAG_DIRECTORY);
    if (first.len > 0)
        put_text(&out, first);
    while (rc == 0 && warm_next_text(&rest, &text, &sound)) {
        const struct warm_id variant = warm_variant_of(id, text);
        if (slice_equal(text, but))
            continue;
        if (count < INDEX_VARIANTS && out.len + 2 + text.len <= sizeof storage) {
            put_text(&out, text);
            count++;
        } else {
            rc = erase_record(txn, &variant);
        }
    }
    if (rc)
        return rc;
    return count > 0 ? store_txn_put(txn, WARM_TABLE, warm_name_of(&name, &whole, 0), buf_slice(&out))
                     : erase_pieces(txn, &whole, 0, 1);
}

int warm_erase_key(struct store_txn *txn, const struct warm_id *id)
{
    const struct warm_id whole = warm_variant_of(id, SLICE(""));
    char storage[WARM_PIECE];
    struct slice rest = read_directory(txn, id, storage), text;
    bool sound;
    int rc = 0;
    while (rc == 0 && warm_next_text(&rest, &text, &sound)) {
        const struct warm_id variant = warm_variant_of(id, text);
        rc = erase_record(txn, &variant);
    }
    return rc ? rc : erase_record(txn, &whole);
}

int warm_erase(struct store_txn *txn, const struct warm_id *id, struct slice vary)
{
    char storage[WARM_PIECE];
    if (vary.len == 0)
        return read_directory(txn, id, storage).len > 0 ? 0 : erase_record(txn, id);
    int rc = erase_record(txn, id);
    return rc ? rc : write_directory(txn, id, SLICE(""), vary);
}

bool warm_fits(const struct cache_entry *entry, size_t max)
{
    return entry->vary_len <= WARM_VARY && warm_size(entry) <= max;
}

size_t warm_size(const struct cache_entry *entry)
{
    return (size_t)entry->key_len + entry->vary_len + entry->hidden_len + entry->head_len + entry->body_len;
}

static int put_pieces(struct store_txn *txn, const struct warm_id *id, const struct warm_head *head,
                      const struct cache_entry *entry)
{
    char piece[WARM_PIECE];
    struct warm_name name;
    struct slice rest = slice_of(entry->data, warm_data_of(head));
    size_t at = warm_head_write(piece, head);
    int rc = 0;
    for (size_t n = 0; rc == 0 && (n == 0 || rest.len > 0); n++) {
        const size_t len = rest.len < WARM_PIECE - at ? rest.len : WARM_PIECE - at;
        memcpy(piece + at, rest.ptr, len);
        rc = store_txn_put(txn, WARM_TABLE, warm_name_of(&name, id, n), slice_of(piece, at + len));
        rest = slice_skip(rest, len);
        warm_put_number(piece, head->stamp, WARM_STAMP);
        at = WARM_STAMP;
    }
    return rc;
}

int warm_write(struct store_txn *txn, const struct warm_id *id, const struct cache_entry *entry,
               const struct warm_times *times)
{
    const struct warm_id whole = warm_variant_of(id, SLICE(""));
    const struct warm_head head = warm_head_of(entry, times);
    char storage[WARM_PIECE];
    const struct slice vary = entry_vary(entry);
    const bool varied = read_directory(txn, id, storage).len > 0;
    int rc = 0;
    /* An answer without Vary takes the place of all variants, and they that of it. */
    if (vary.len > 0 && !varied)
        rc = erase_record(txn, &whole);
    else if (vary.len == 0 && varied)
        rc = warm_erase_key(txn, id);
    if (rc == 0 && vary.len > 0)
        rc = write_directory(txn, id, vary, vary);
    if (rc)
        return rc;
    const size_t had = count_pieces(txn, id), has = warm_pieces_for(warm_data_of(&head));
    rc = put_pieces(txn, id, &head, entry);
    return rc ? rc : erase_pieces(txn, id, has, had);
}

/* --- making room ----------------------------------------------------------------------------- */

struct sweep {
    struct warm_name names[SWEEP_KEYS];
    size_t count, bytes, target;
};

/* Whole keys only, beginning with the first that begins one. */
static bool on_swept(struct slice key, struct slice value, void *arg)
{
    struct sweep *sweep = arg;
    if (key.len > WARM_NAME_MAX || (sweep->count == 0 && key.len != WARM_ID))
        return true;
    if (sweep->count == SWEEP_KEYS || (sweep->bytes >= sweep->target && key.len == WARM_ID))
        return false;
    struct warm_name *name = &sweep->names[sweep->count++];
    memcpy(name->bytes, key.ptr, key.len);
    name->len = key.len;
    sweep->bytes += value.len + 32;
    return true;
}

int warm_evict(struct store_txn *txn, size_t bytes, size_t *count)
{
    struct sweep sweep = {.target = bytes};
    char from[8];
    warm_put_number(from, random_u64(), sizeof from);
    *count = 0;
    int rc = store_txn_scan(txn, WARM_TABLE, slice_of(from, sizeof from), on_swept, &sweep);
    if (rc == 0 && sweep.bytes < sweep.target) /* round the end */
        rc = store_txn_scan(txn, WARM_TABLE, SLICE(""), on_swept, &sweep);
    for (size_t i = 0; rc == 0 && i < sweep.count; i++) {
        rc = store_txn_delete(txn, WARM_TABLE, slice_of(sweep.names[i].bytes, sweep.names[i].len));
        if (rc == ERR_NOTFOUND) /* met twice */
            rc = 0;
    }
    *count = sweep.count;
    return rc;
}
