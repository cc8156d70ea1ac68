#include "inbox.h"

#include "base/random.h"
#include "bytes.h"

enum { TIME_KEY = 16 };
static const char count_key[] = "#count"; /* no event key begins with '#' */

int inbox_key(struct buf *out, struct slice credential_id, struct slice event_id)
{
    buf_append_char(out, 'e');
    buf_append_slice(out, credential_id);
    buf_append_char(out, '\0');
    return buf_append_slice(out, event_id);
}

int inbox_find(struct store_view *view, int table, struct slice key)
{
    struct slice value;
    return store_get(view, table, key, &value);
}

static uint64_t read_count(struct store_txn *txn, int table)
{
    struct slice value;
    if (store_txn_get(txn, table, SLICE(count_key), &value) || value.len != 8)
        return 0;
    return bytes_get(value.ptr, 8);
}

static int write_count(struct store_txn *txn, int table, uint64_t count)
{
    char text[8];
    bytes_put(text, 8, count);
    return store_txn_put(txn, table, SLICE(count_key), slice_of(text, sizeof text));
}

/* The oldest entries of the time table, copied out: they are deleted after the walk. */
struct oldest {
    size_t count;
    struct {
        char time[TIME_KEY];
        char key[INBOX_KEY_MAX];
        size_t len;
    } at[INBOX_SWEEP];
};

static bool on_old(struct slice key, struct slice value, void *arg)
{
    struct oldest *oldest = arg;
    if (key.len != TIME_KEY || value.len > INBOX_KEY_MAX)
        return true;
    memcpy(oldest->at[oldest->count].time, key.ptr, TIME_KEY);
    memcpy(oldest->at[oldest->count].key, value.ptr, value.len);
    oldest->at[oldest->count].len = value.len;
    return ++oldest->count < INBOX_SWEEP;
}

/* Forgets a few that are too old, or too many: more than one for each that comes, so the table shrinks to its
 * bounds. */
static int sweep(struct store_txn *txn, int table, int64_t now_ms, uint64_t *count)
{
    struct oldest oldest = {0};
    int error = store_txn_scan(txn, table + 1, SLICE(""), on_old, &oldest);
    for (size_t i = 0; i < oldest.count && !error; i++) {
        int64_t at = (int64_t)bytes_get(oldest.at[i].time, 8);
        if (at > now_ms - INBOX_KEEP_MS && *count <= INBOX_COUNT_MAX)
            break;
        error = store_txn_delete(txn, table + 1, slice_of(oldest.at[i].time, TIME_KEY));
        if (!error)
            error = store_txn_delete(txn, table, slice_of(oldest.at[i].key, oldest.at[i].len));
        if (error == ERR_NOTFOUND)
            error = 0;
        if (*count > 0)
            --*count;
    }
    return error == ERR_NOTFOUND ? 0 : error;
}

int inbox_put(struct store_txn *txn, int table, struct slice key, int64_t now_ms)
{
    struct slice value;
    char time[TIME_KEY];
    int error = store_txn_get(txn, table, key, &value);
    if (error == 0)
        return ERR_EXISTS;
    if (error != ERR_NOTFOUND && error != ERR_CORRUPT)
        return error;
    bytes_put(time, 8, (uint64_t)now_ms);
    bytes_put(time + 8, 8, random_u64());
    uint64_t count = read_count(txn, table) + 1;
    error = store_txn_put(txn, table, key, slice_of(time, TIME_KEY));
    if (!error)
        error = store_txn_put(txn, table + 1, slice_of(time, TIME_KEY), key);
    if (!error)
        error = sweep(txn, table, now_ms, &count);
    return error ? error : write_count(txn, table, count);
}
