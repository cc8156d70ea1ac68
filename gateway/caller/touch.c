/* When a key was last used: noted behind the request's back, coarsely. */
#include <stdlib.h>

#include "base/list.h"
#include "caller/caller_internal.h"

struct touch {
    struct store_change change;
    int table;
    int64_t now_ms;
    char id[CALLER_ID_BYTES];
};

/* Without a new version: no desk has to look anything up because of it. Several workers come with the same
 * news; one writes it. */
static int apply(struct store_change *change, struct store_txn *txn)
{
    struct touch *touch = container_of(change, struct touch, change);
    struct slice id = slice_of(touch->id, sizeof touch->id), record;
    char copy[CALLER_RECORD_MAX];
    struct caller caller;
    if (store_txn_get(txn, touch->table, id, &record) || record.len > sizeof copy ||
        codec_read(record, id, &caller, NULL))
        return 0;
    int64_t since = touch->now_ms - caller.last_used_at;
    if (since >= 0 && since < TOUCH_EVERY_MS)
        return 0;
    size_t len = record.len;
    memcpy(copy, record.ptr, len);
    codec_set_used(copy, touch->now_ms);
    return store_txn_put(txn, touch->table, id, slice_of(copy, len));
}

static void on_done(struct store_change *change)
{
    free(container_of(change, struct touch, change));
}

void touch_submit(struct store *store, int first_table, struct slice id, int64_t now_ms)
{
    struct touch *touch = calloc(1, sizeof *touch);
    if (!touch)
        return;
    touch->change.apply = apply;
    touch->change.on_done = on_done;
    touch->table = first_table + CALLER_TABLE_KEYS;
    touch->now_ms = now_ms;
    memcpy(touch->id, id.ptr, sizeof touch->id);
    store_submit(store, &touch->change);
}
