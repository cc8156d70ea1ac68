/*
 * A subscriber that takes nothing, disabled or out of reach, holds no more of the disk than the window: its
 * rows whose letters have left go, knowingly. (Whoever takes something comes past them anyway.) A few rows in
 * each transaction, each walk from where the one before it came to.
 */
#include <stdlib.h>

#include "base/log.h"
#include "relay_internal.h"

enum { BATCH = 256, SEEN = 4096 };

struct missed {
    struct store_change change;
    struct relay *relay;
    uint64_t first; /* of the window */
    uint64_t count;
    char name_text[AUDIENCE_NAME_MAX];
    struct slice name;
    size_t from_len, next_len, batch, seen;
    bool more;
    char from[OUTBOX_KEY_MAX], next[OUTBOX_KEY_MAX];
    struct {
        size_t len;
        char text[OUTBOX_KEY_MAX];
    } keys[BATCH];
};

static bool on_row(struct slice key, struct slice value, void *arg)
{
    struct missed *missed = arg;
    struct outbox_row row;
    (void)value;
    if (!outbox_row_read(key, &row) || !slice_equal(row.name, missed->name) || key.len > OUTBOX_KEY_MAX)
        return false;
    if (row.number < missed->first) {
        memcpy(missed->keys[missed->batch].text, key.ptr, key.len);
        missed->keys[missed->batch++].len = key.len;
    }
    memcpy(missed->next, key.ptr, key.len);
    missed->next_len = key.len;
    missed->more = missed->batch == BATCH || ++missed->seen == SEEN;
    return !missed->more;
}

static int apply(struct store_change *change, struct store_txn *txn)
{
    struct missed *missed = container_of(change, struct missed, change);
    int table = outbox_table(missed->relay->outbox, OUTBOX_ROWS);
    struct outbox_window window;
    int error = outbox_txn_window(missed->relay->outbox, txn, &window);
    if (error)
        return error;
    missed->first = window.first;
    missed->batch = missed->seen = 0;
    missed->more = false;
    error = store_txn_scan(txn, table, slice_of(missed->from, missed->from_len), on_row, missed);
    for (size_t i = 0; i < missed->batch && !error; i++)
        error = store_txn_delete(txn, table, slice_of(missed->keys[i].text, missed->keys[i].len));
    return error;
}

static void finish(struct missed *missed)
{
    struct relay *relay = missed->relay;
    struct peer *peer = peer_find(relay, missed->name);
    if (peer && missed->count > 0) {
        relay_count(&peer->counters.missed, missed->count);
        peer->new_missed += missed->count;
        peer_report(peer);
        peer_recount(peer);
    }
    free(missed);
    relay_release(relay);
}

static void on_deleted(struct store_change *change)
{
    struct missed *missed = container_of(change, struct missed, change);
    struct relay *relay = missed->relay;
    if (change->outcome) { /* the next walk finds them, too */
        log_message(LOG_ERROR, "relay-not-stored", "%.*s: rows of events that left could not be deleted: %s",
                    SLICE_ARG(missed->name), error_text(change->outcome));
        finish(missed);
        return;
    }
    missed->count += missed->batch;
    relay_count(&relay->counters.missed, missed->batch);
    memcpy(missed->from, missed->next, missed->next_len);
    missed->from_len = missed->next_len;
    if (missed->more && !relay->closing)
        store_submit(outbox_store(relay->outbox), change);
    else
        finish(missed);
}

void missed_start(struct peer *peer)
{
    struct relay *relay = peer->relay;
    struct missed *missed = calloc(1, sizeof *missed);
    if (!missed)
        return; /* at the next walk, then */
    missed->relay = relay;
    memcpy(missed->name_text, peer->name.ptr, peer->name.len);
    missed->name = slice_of(missed->name_text, peer->name.len);
    memcpy(missed->from, peer->name.ptr, peer->name.len); /* and the NUL behind it */
    missed->from_len = peer->name.len + 1;
    missed->change = (struct store_change){.apply = apply, .on_done = on_deleted, .loop = relay->loop};
    relay->pending++;
    store_submit(outbox_store(relay->outbox), &missed->change);
}
