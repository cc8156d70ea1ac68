/* A subscriber is no more: its backlog is dropped, knowingly. A few rows in each transaction. */
#include <stdlib.h>

#include "base/log.h"
#include "relay_internal.h"

enum { BATCH = 256 };

struct drop {
    struct store_change change;
    struct relay *relay;
    uint64_t until; /* rows behind this number are of a later subscriber of the same name; 0: not known yet */
    uint64_t count;
    char name_text[AUDIENCE_NAME_MAX];
    struct slice name;
    size_t batch;
    struct {
        size_t len;
        char text[OUTBOX_KEY_MAX];
    } keys[BATCH];
};

static bool on_row(struct slice key, struct slice value, void *arg)
{
    struct drop *drop = arg;
    struct outbox_row row;
    (void)value;
    if (!outbox_row_read(key, &row) || !slice_equal(row.name, drop->name))
        return false;
    if (row.number > drop->until || key.len > OUTBOX_KEY_MAX)
        return true;
    memcpy(drop->keys[drop->batch].text, key.ptr, key.len);
    drop->keys[drop->batch].len = key.len;
    return ++drop->batch < BATCH;
}

static int apply(struct store_change *change, struct store_txn *txn)
{
    struct drop *drop = container_of(change, struct drop, change);
    int table = outbox_table(drop->relay->outbox, OUTBOX_ROWS);
    char storage[AUDIENCE_NAME_MAX + 1];
    struct buf from;
    buf_init_fixed(&from, storage, sizeof storage);
    buf_append_slice(&from, drop->name);
    buf_append_char(&from, '\0');
    struct outbox_window window;
    int error = drop->until ? 0 : outbox_txn_window(drop->relay->outbox, txn, &window);
    if (error)
        return error;
    if (!drop->until)
        drop->until = window.last;
    drop->batch = 0;
    error = store_txn_scan(txn, table, buf_slice(&from), on_row, drop);
    for (size_t i = 0; i < drop->batch && !error; i++)
        error = store_txn_delete(txn, table, slice_of(drop->keys[i].text, drop->keys[i].len));
    return error;
}

static void finish(struct drop *drop)
{
    struct relay *relay = drop->relay;
    struct peer *namesake = peer_find(relay, drop->name);
    struct log_line line;
    if (drop->count > 0 && log_begin(&line, LOG_WARN, "relay-dropped")) {
        log_text(&line, "subscriber", drop->name);
        log_int(&line, "count", (int64_t)drop->count);
        log_cstr(&line, "message", "it is not configured any more: what it had not taken yet is dropped");
        log_end(&line);
    }
    if (namesake)
        peer_recount(namesake);
    free(drop);
    relay_release(relay);
}

static void on_dropped(struct store_change *change)
{
    struct drop *drop = container_of(change, struct drop, change);
    struct relay *relay = drop->relay;
    if (!change->outcome) {
        drop->count += drop->batch;
        relay_count(&relay->counters.dropped, drop->batch);
    } else {
        log_message(LOG_ERROR, "relay-not-stored", "%.*s: its backlog could not be dropped: %s",
                    SLICE_ARG(drop->name), error_text(change->outcome));
    }
    if (change->outcome || drop->batch < BATCH || relay->closing)
        finish(drop);
    else
        store_submit(outbox_store(relay->outbox), change);
}

void drop_start(struct relay *relay, struct slice name)
{
    struct drop *drop = calloc(1, sizeof *drop);
    if (!drop || name.len > sizeof drop->name_text) {
        free(drop); /* at the next start, then */
        return;
    }
    drop->relay = relay;
    memcpy(drop->name_text, name.ptr, name.len);
    drop->name = slice_of(drop->name_text, name.len);
    drop->change = (struct store_change){.apply = apply, .on_done = on_dropped, .loop = relay->loop};
    relay->pending++;
    store_submit(outbox_store(relay->outbox), &drop->change);
}
