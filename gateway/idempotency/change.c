/* Changes, on the store's writer thread: what comes is bounded, what is old goes. */
#include "base/random.h"
#include "idempotency_internal.h"

enum {
    CLEAN_MAX = 256,
    ROOM_MIN = 4 * 1024 * 1024, /* an intent is taken only where its outcome will find room, too */
    HEAD_ROOM = 64 * 1024
};

static const char count_key[] = "#count"; /* shorter than any id */

struct totals {
    uint64_t count, bytes;
};

static int records_of(const struct idempotency_change *c)
{
    return c->use.first_table + IDEMPOTENCY_TABLE_RECORDS;
}

static int times_of(const struct idempotency_change *c)
{
    return c->use.first_table + IDEMPOTENCY_TABLE_TIMES;
}

static struct slice id_of(const struct idempotency_change *c)
{
    return slice_of(c->use.id, sizeof c->use.id);
}

/* --- totals --------------------------------------------------------------------------------------------- */

static struct totals read_totals(struct store_txn *txn, const struct idempotency_change *c)
{
    struct totals totals = {0, 0};
    struct slice value;
    if (store_txn_get(txn, records_of(c), SLICE(count_key), &value) == 0 && value.len == sizeof totals)
        memcpy(&totals, value.ptr, sizeof totals);
    return totals;
}

static int write_totals(struct store_txn *txn, const struct idempotency_change *c, struct totals totals)
{
    return store_txn_put(txn, records_of(c), SLICE(count_key),
                         slice_of((const char *)&totals, sizeof totals));
}

static void subtract(uint64_t *from, uint64_t n)
{
    *from = *from > n ? *from - n : 0;
}

static size_t kept_bytes(const struct idempotency_answer *answer)
{
    return answer->whole ? answer->fields.len + answer->body.len : 0;
}

/* --- forgetting ----------------------------------------------------------------------------------------- */

static int delete_any(struct store_txn *txn, int table, struct slice key)
{
    int error = store_txn_delete(txn, table, key);
    return error == ERR_NOTFOUND ? 0 : error;
}

/* Record, body and time. What a damaged record held is not subtracted: too much counted is safe. */
static int forget(struct store_txn *txn, const struct idempotency_change *c, struct slice id,
                  const char time[TIME_LEN], struct totals *totals)
{
    struct slice value;
    struct record record;
    int error = store_txn_get(txn, records_of(c), id, &value);
    bool known = error == 0 && record_read(value, &record) == 0;
    /* Of another use of the same key, which came after this one was too old? That one stays. */
    if (known && memcmp(record.time, time, TIME_LEN) != 0)
        return delete_any(txn, times_of(c), slice_of(time, TIME_LEN));
    struct body_key body = record_body_key(id.ptr);
    error = delete_any(txn, times_of(c), slice_of(time, TIME_LEN));
    if (!error)
        error = delete_any(txn, records_of(c), id);
    if (!error)
        error = delete_any(txn, records_of(c), slice_of(body.bytes, sizeof body.bytes));
    subtract(&totals->count, 1);
    subtract(&totals->bytes, known ? kept_bytes(&record.answer) : 0);
    return error;
}

/* The oldest entries, copied out: they are deleted after the walk. */
struct oldest {
    int64_t now_ms;
    size_t count, max;
    struct {
        char time[TIME_LEN], id[IDEMPOTENCY_HASH];
    } at[CLEAN_MAX];
};

static bool on_time(struct slice key, struct slice value, void *arg)
{
    struct oldest *oldest = arg;
    if (key.len != TIME_LEN || value.len != IDEMPOTENCY_HASH)
        return true;
    if (!record_is_old(key.ptr, oldest->now_ms))
        return false;
    memcpy(oldest->at[oldest->count].time, key.ptr, TIME_LEN);
    memcpy(oldest->at[oldest->count].id, value.ptr, IDEMPOTENCY_HASH);
    return ++oldest->count < oldest->max;
}

/* *more: there may be others. */
static int sweep(struct store_txn *txn, const struct idempotency_change *c, size_t max, struct totals *totals,
                 bool *more)
{
    struct oldest oldest = {.now_ms = c->now_ms, .max = max};
    int error = store_txn_scan(txn, times_of(c), SLICE(""), on_time, &oldest);
    for (size_t i = 0; i < oldest.count && !error; i++)
        error = forget(txn, c, slice_of(oldest.at[i].id, IDEMPOTENCY_HASH), oldest.at[i].time, totals);
    *more = oldest.count == max;
    return error;
}

static int clean(struct store_txn *txn, struct idempotency_change *c)
{
    struct totals totals = read_totals(txn, c), before = totals;
    int error = sweep(txn, c, CLEAN_MAX, &totals, &c->more);
    c->cleaned = before.count - totals.count;
    return error || totals.count == before.count ? error : write_totals(txn, c, totals);
}

static int take_back(struct store_txn *txn, const struct idempotency_change *c)
{
    struct totals totals = read_totals(txn, c);
    int error = forget(txn, c, id_of(c), c->time, &totals);
    return error ? error : write_totals(txn, c, totals);
}

/* --- the intent ----------------------------------------------------------------------------------------- */

static int put_record(struct store_txn *txn, const struct idempotency_change *c, const struct record *record)
{
    struct buf out;
    buf_init(&out, RECORD_HEAD + IDEMPOTENCY_FIELDS_MAX);
    int error = record_write(&out, record);
    if (!error)
        error = store_txn_put(txn, records_of(c), id_of(c), buf_slice(&out));
    buf_deinit(&out);
    return error;
}

static struct record record_of(const struct idempotency_change *c, enum record_state state)
{
    struct record record = {.state = state, .owner = c->use.self, .answer = c->answer};
    memcpy(record.time, c->time, TIME_LEN);
    memcpy(record.digest, c->use.digest, IDEMPOTENCY_HASH);
    return record;
}

/* Is there a use that stands in the way? *old: one that does not any more. */
static int look(struct store_txn *txn, struct idempotency_change *c, struct record *record, bool *old)
{
    struct slice value;
    *old = false;
    int error = store_txn_get(txn, records_of(c), id_of(c), &value);
    if (error == ERR_NOTFOUND)
        return 0;
    if (error == 0)
        error = record_read(value, record);
    if (error && error != ERR_CORRUPT)
        return error;
    c->state = error ? IDEMPOTENCY_LOST : record_judge(record, &c->use, c->now_ms);
    if (c->state == IDEMPOTENCY_MINE)
        c->state = IDEMPOTENCY_LOST;
    *old = c->state == IDEMPOTENCY_NEW;
    return *old ? 0 : ERR_EXISTS;
}

static int begin(struct store_txn *txn, struct idempotency_change *c)
{
    struct record record;
    bool old, more;
    c->answer = (struct idempotency_answer){0};
    int error = look(txn, c, &record, &old);
    if (error)
        return error;
    struct totals totals = read_totals(txn, c);
    if (store_txn_room(txn) < ROOM_MIN)
        return ERR_FULL;
    if (old)
        error = forget(txn, c, id_of(c), record.time, &totals);
    if (!error)
        error = sweep(txn, c, IDEMPOTENCY_SWEEP, &totals, &more);
    if (!error && totals.count >= c->bounds.count)
        return ERR_LIMIT;
    record_put_time(c->time, c->now_ms, random_u64());
    record = record_of(c, RECORD_BEGUN);
    if (!error)
        error = put_record(txn, c, &record);
    if (!error)
        error = store_txn_put(txn, times_of(c), slice_of(c->time, TIME_LEN), id_of(c));
    totals.count++;
    return error ? error : write_totals(txn, c, totals);
}

/* --- the outcome ---------------------------------------------------------------------------------------- */

static bool can_keep(struct store_txn *txn, const struct idempotency_change *c, const struct totals *totals)
{
    const struct idempotency_answer *answer = &c->answer;
    return answer->whole && answer->body.len <= IDEMPOTENCY_ANSWER_MAX &&
           answer->fields.len <= IDEMPOTENCY_FIELDS_MAX &&
           totals->bytes + kept_bytes(answer) <= c->bounds.bytes &&
           store_txn_room(txn) > kept_bytes(answer) + HEAD_ROOM;
}

/* Is the intent still there, and ours? A sweep may have been faster, after 24 h. */
static bool still_begun(struct store_txn *txn, const struct idempotency_change *c)
{
    struct slice value;
    struct record record;
    return store_txn_get(txn, records_of(c), id_of(c), &value) == 0 && record_read(value, &record) == 0 &&
           memcmp(record.time, c->time, TIME_LEN) == 0;
}

static int conclude(struct store_txn *txn, const struct idempotency_change *c, enum record_state state)
{
    struct totals totals = read_totals(txn, c);
    struct record record = record_of(c, state);
    struct body_key key = record_body_key(c->use.id);
    if (!still_begun(txn, c))
        return ERR_NOTFOUND;
    record.answer.whole = state == RECORD_ANSWERED && can_keep(txn, c, &totals);
    if (!record.answer.whole)
        record.answer = (struct idempotency_answer){.status = c->answer.status};
    int error = put_record(txn, c, &record);
    if (!error && record.answer.whole && record.answer.body.len > 0)
        error = store_txn_put(txn, records_of(c), slice_of(key.bytes, sizeof key.bytes), record.answer.body);
    totals.bytes += kept_bytes(&record.answer);
    return error ? error : write_totals(txn, c, totals);
}

int idempotency_apply(struct store_change *change, struct store_txn *txn)
{
    struct idempotency_change *c = container_of(change, struct idempotency_change, change);
    switch (c->verb) {
    case IDEMPOTENCY_BEGIN:
        return begin(txn, c);
    case IDEMPOTENCY_ANSWER:
        return conclude(txn, c, RECORD_ANSWERED);
    case IDEMPOTENCY_LOSE:
        return conclude(txn, c, RECORD_LOST);
    case IDEMPOTENCY_FORGET:
        return take_back(txn, c);
    case IDEMPOTENCY_CLEAN:
        return clean(txn, c);
    }
    return ERR_INVALID;
}
