#include "webhook/dead.h"

#include "base/clock.h"
#include "bytes.h"

enum { FORGET = 4 }; /* for each that comes: so that the table shrinks to its bound */

static const char tally_key[] = "#dead"; /* no subscriber's name has '#' */

struct tally {
    uint64_t last, count;
};

static bool tally_read(struct slice value, struct tally *out)
{
    if (value.len != 16)
        return false;
    *out = (struct tally){bytes_get(value.ptr, 8), bytes_get(value.ptr + 8, 8)};
    return true;
}

static int tally_begin(struct outbox *outbox, struct store_txn *txn, struct tally *out)
{
    struct slice value;
    int error = store_txn_get(txn, outbox_table(outbox, OUTBOX_ROWS), SLICE(tally_key), &value);
    if (!error && tally_read(value, out))
        return 0;
    *out = (struct tally){0, 0};
    return error && error != ERR_NOTFOUND && error != ERR_CORRUPT ? error : 0;
}

static int tally_write(struct outbox *outbox, struct store_txn *txn, const struct tally *tally)
{
    char text[16];
    bytes_put(text, 8, tally->last);
    bytes_put(text + 8, 8, tally->count);
    return store_txn_put(txn, outbox_table(outbox, OUTBOX_ROWS), SLICE(tally_key),
                         slice_of(text, sizeof text));
}

static bool take_first(struct slice key, struct slice value, void *arg)
{
    (void)value;
    *(uint64_t *)arg = key.len >= 8 ? bytes_get(key.ptr, 8) : 0;
    return false;
}

static int forget(const struct letter_place *place, struct tally *tally, uint64_t most, unsigned *forgotten)
{
    int error = 0;
    *forgotten = 0;
    while (!error && tally->count > most && *forgotten < FORGET) {
        uint64_t oldest = 0;
        error = store_txn_scan(place->txn, place->table, SLICE(""), take_first, &oldest);
        if (!error)
            error = letter_delete(place, oldest);
        tally->count--;
        ++*forgotten;
    }
    return error == ERR_NOTFOUND ? 0 : error;
}

int dead_put(struct outbox *outbox, struct store_txn *txn, const struct letter *letter, unsigned *forgotten)
{
    struct letter_place place = {.txn = txn, .table = outbox_table(outbox, OUTBOX_DEAD)};
    struct letter numbered = *letter;
    struct tally tally;
    int error = tally_begin(outbox, txn, &tally);
    if (error)
        return error;
    numbered.number = ++tally.last;
    tally.count++;
    error = letter_write(&place, &numbered);
    if (!error)
        error = forget(&place, &tally, outbox_bounds(outbox).dead_max, forgotten);
    return error ? error : tally_write(outbox, txn, &tally);
}

int dead_list(struct outbox *outbox, struct store_view *view, uint64_t after,
              bool (*visit)(const struct letter *letter, void *arg), void *arg)
{
    struct letter_place place = {.view = view, .table = outbox_table(outbox, OUTBOX_DEAD)};
    return after == UINT64_MAX ? 0 : letter_scan(&place, after + 1, visit, arg);
}

int dead_count(struct outbox *outbox, struct store_view *view, uint64_t *count)
{
    struct slice value;
    struct tally tally = {0, 0};
    int error = store_get(view, outbox_table(outbox, OUTBOX_ROWS), SLICE(tally_key), &value);
    if (!error && !tally_read(value, &tally))
        error = ERR_CORRUPT;
    *count = tally.count;
    return error == ERR_NOTFOUND ? 0 : error;
}

/* --- again ----------------------------------------------------------------------------------------- */

static int move_back(struct dead_replay *replay, struct store_txn *txn, struct buf *spill)
{
    struct letter_place place = {.txn = txn, .table = outbox_table(replay->outbox, OUTBOX_DEAD)};
    struct letter letter;
    struct tally tally;
    int error = letter_read(&place, replay->id, spill, &letter);
    if (error)
        return error;
    letter.at_ms = clock_wall_ms();
    letter.died_ms = 0;
    letter.attempts = 0;
    letter.reason = SLICE("");
    error = outbox_put(replay->outbox, txn, &letter, &replay->number);
    if (error)
        return error == ERR_NOTFOUND ? ERR_CLOSED : error;
    error = letter_delete(&place, replay->id);
    if (!error)
        error = tally_begin(replay->outbox, txn, &tally);
    if (error)
        return error;
    tally.count -= tally.count > 0;
    return tally_write(replay->outbox, txn, &tally);
}

static int apply(struct store_change *change, struct store_txn *txn)
{
    struct dead_replay *replay = container_of(change, struct dead_replay, change);
    struct buf spill;
    buf_init(&spill, SIZE_MAX / 2);
    int error = move_back(replay, txn, &spill);
    buf_deinit(&spill);
    return error;
}

void dead_replay_init(struct dead_replay *replay, struct outbox *outbox, uint64_t id)
{
    *replay = (struct dead_replay){.change = {.apply = apply}, .outbox = outbox, .id = id};
}
