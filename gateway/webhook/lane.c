/*
 * A lane: one subscriber's queue of one credential. One delivery at a time, so that the order is kept.
 *
 *   IDLE -> READY -> SENDING -> READY …        taken: the row goes, the next is looked for
 *                            -> WAITING -> READY   refused: the row keeps how often, and until when
 *           READY -> BURYING -> READY          too old: to the dead letters
 *           READY -> IDLE                      no row is left
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/random.h"
#include "relay_internal.h"

enum { BACKOFF_MS = 1000, BACKOFF_MAX_MS = 600 * 1000, TROUBLE_MS = 1000, TROUBLE_TOLD_MS = 60 * 1000 };

struct lane *lane_find(const struct peer *peer, struct slice credential_id)
{
    struct map_node *node = map_find(&peer->lanes, digest_hash(credential_id));
    for (; node; node = map_next(node)) {
        struct lane *lane = container_of(node, struct lane, node);
        if (slice_equal(lane_id(lane), credential_id))
            return lane;
    }
    return NULL;
}

struct lane *lane_create(struct peer *peer, struct slice credential_id)
{
    struct lane *lane = calloc(1, sizeof *lane + credential_id.len);
    if (!lane)
        return NULL;
    lane->peer = peer;
    lane->id_len = credential_id.len;
    memcpy(lane->id, credential_id.ptr, credential_id.len);
    list_init(&lane->ready);
    if (map_insert(&peer->lanes, &lane->node, digest_hash(credential_id))) {
        free(lane);
        return NULL;
    }
    peer->lane_count++;
    lane_ready(lane);
    return lane;
}

void lane_destroy(struct lane *lane)
{
    struct peer *peer = lane->peer;
    loop_timer_clear(peer->relay->loop, &lane->timer);
    list_remove(&lane->ready);
    map_remove(&peer->lanes, &lane->node);
    peer->lane_count--;
    if (peer->full && !peer->leaving) {
        peer->full = false;
        peer_page(peer);
    }
    free(lane);
}

void lane_ready(struct lane *lane)
{
    lane->state = LANE_READY;
    list_push_back(&lane->peer->ready, &lane->ready);
    peer_wake(lane->peer);
}

static void on_timer(struct loop_timer *timer)
{
    lane_ready(container_of(timer, struct lane, timer));
}

/* Where there are more lanes than room, one that waits makes room: what it waits for stands in its row. */
static void lane_yield(struct lane *lane)
{
    bool spare = lane->state == LANE_IDLE || (lane->state == LANE_WAITING && lane->peer->more);
    if (!spare || lane->changes > 0)
        return;
    lane->peer->again |= lane->state == LANE_WAITING;
    lane_destroy(lane);
}

static void lane_wait(struct lane *lane, uint64_t ms)
{
    struct loop *loop = lane->peer->relay->loop;
    lane->state = LANE_WAITING;
    if (loop_timer_set(loop, &lane->timer, loop_now(loop) + ms, on_timer))
        lane_ready(lane); /* no memory for the timer: too early is better than never */
    else
        lane_yield(lane);
}

/* --- rows ------------------------------------------------------------------------------------------ */

/* A change of one row. */
struct row_change {
    struct store_change change;
    struct list node; /* of peer->stuck while it waits to be tried again */
    struct loop_timer timer;
    struct lane *lane;
    bool keep;          /* write its state, instead of deleting it */
    const char *why;    /* of a burial; else NULL */
    unsigned forgotten; /* dead letters that made room for it */
    struct outbox_state state;
    uint64_t number;
    size_t key_len;
    char key[OUTBOX_KEY_MAX];
    char reason[64];
};

static int bury(struct row_change *row, struct store_txn *txn)
{
    struct outbox *outbox = row->lane->peer->relay->outbox;
    struct letter_place place = {.txn = txn, .table = outbox_table(outbox, OUTBOX_LETTERS)};
    struct letter letter;
    struct buf spill;
    buf_init(&spill, SIZE_MAX / 2);
    int error = letter_read(&place, row->number, &spill, &letter);
    if (!error) {
        letter.only = row->lane->peer->name;
        letter.died_ms = clock_wall_ms();
        letter.attempts = row->state.attempts;
        letter.reason = slice_from(row->reason);
        error = dead_put(outbox, txn, &letter, &row->forgotten);
    }
    buf_deinit(&spill);
    return error;
}

static int apply(struct store_change *change, struct store_txn *txn)
{
    struct row_change *row = container_of(change, struct row_change, change);
    struct slice key = slice_of(row->key, row->key_len);
    int table = outbox_table(row->lane->peer->relay->outbox, OUTBOX_ROWS);
    char value[OUTBOX_STATE];
    struct slice before;
    row->forgotten = 0;
    if (row->keep) {
        int error = store_txn_get(txn, table, key, &before);
        if (error)
            return error; /* dropped meanwhile */
        outbox_state_write(value, &row->state);
        return store_txn_put(txn, table, key, slice_of(value, sizeof value));
    }
    int error = row->why ? bury(row, txn) : 0;
    if (!error)
        error = store_txn_delete(txn, table, key);
    return error == ERR_NOTFOUND && !row->why ? 0 : error;
}

static void on_buried(struct row_change *row)
{
    struct lane *lane = row->lane;
    struct peer *peer = lane->peer;
    int error = row->change.outcome;
    if (error && error != ERR_NOTFOUND) {
        lane_wait(lane, TROUBLE_MS);
        return;
    }
    lane->settled = row->number;
    if (!error) {
        relay_count(&peer->counters.dead, 1);
        relay_count(&peer->relay->counters.dead, 1);
        peer->new_dead++;
        peer_report(peer);
    }
    if (row->forgotten > 0)
        log_message(LOG_WARN, "dead-letters-forgotten", "%u: there are as many as webhooks.relay.dead",
                    row->forgotten);
    lane_ready(lane);
}

static void tell_trouble(struct peer *peer, int error)
{
    uint64_t now = loop_now(peer->relay->loop);
    if (peer->trouble_at && now < peer->trouble_at + TROUBLE_TOLD_MS)
        return;
    peer->trouble_at = now;
    log_message(LOG_ERROR, "relay-not-stored", "%.*s: how a delivery ended could not be stored: %s",
                SLICE_ARG(peer->name), error_text(error));
}

static void on_again(struct loop_timer *timer)
{
    struct row_change *row = container_of(timer, struct row_change, timer);
    list_remove(&row->node);
    store_submit(outbox_store(row->lane->peer->relay->outbox), &row->change);
}

/* An event was taken and its row is still there (the disk is full, say): until that is gone it would come
 * again after a restart, so it is tried again and again. */
static bool hold_on(struct row_change *row)
{
    struct peer *peer = row->lane->peer;
    struct loop *loop = peer->relay->loop;
    int error = row->change.outcome;
    if (!error || error == ERR_NOTFOUND || row->keep || row->why || peer->leaving)
        return false;
    if (loop_timer_set(loop, &row->timer, loop_now(loop) + TROUBLE_MS, on_again))
        return false;
    list_push_back(&peer->stuck, &row->node);
    return true;
}

void lane_let_go(struct peer *peer)
{
    struct list *node;
    while ((node = list_pop(&peer->stuck))) {
        struct row_change *row = container_of(node, struct row_change, node);
        loop_timer_clear(peer->relay->loop, &row->timer);
        row->lane->changes--;
        peer->changes--;
        free(row);
    }
}

static void on_changed(struct store_change *change)
{
    struct row_change *row = container_of(change, struct row_change, change);
    struct lane *lane = row->lane;
    struct peer *peer = lane->peer;
    if (change->outcome && change->outcome != ERR_NOTFOUND)
        tell_trouble(peer, change->outcome);
    if (hold_on(row))
        return;
    peer->changes--;
    lane->changes--;
    if (!change->outcome && !row->keep && atomic_load(&peer->backlog) > 0)
        atomic_fetch_sub(&peer->backlog, 1);
    if (row->why && !peer->leaving)
        on_buried(row);
    else
        lane_yield(lane);
    free(row);
    peer_wake(peer);
    peer_settle(peer);
}

static bool change_row(struct lane *lane, bool keep, const char *why)
{
    struct peer *peer = lane->peer;
    struct row_change *row = calloc(1, sizeof *row);
    struct outbox_row name = {peer->name, lane_id(lane), lane->head};
    struct buf key;
    if (!row)
        return false;
    *row = (struct row_change){.lane = lane,
                               .keep = keep,
                               .why = why,
                               .state = {lane->attempts, lane->next_ms},
                               .number = lane->head};
    buf_init_fixed(&key, row->key, sizeof row->key);
    if (outbox_row_write(&key, &name)) {
        free(row);
        return false;
    }
    row->key_len = key.len;
    if (why)
        memcpy(row->reason, why, strnlen(why, sizeof row->reason - 1));
    row->change = (struct store_change){.apply = apply, .on_done = on_changed, .loop = peer->relay->loop};
    peer->changes++;
    lane->changes++;
    store_submit(outbox_store(peer->relay->outbox), &row->change);
    return true;
}

/* The head is done with. What cannot be deleted for want of memory comes again after a restart. */
static void lane_settle(struct lane *lane)
{
    lane->settled = lane->head;
    change_row(lane, false, NULL);
    lane_ready(lane);
}

/* --- the head -------------------------------------------------------------------------------------- */

struct head {
    const struct lane *lane;
    bool found;
    uint64_t number;
    struct outbox_state state;
};

static bool on_row(struct slice key, struct slice value, void *arg)
{
    struct head *head = arg;
    struct outbox_row row;
    if (!outbox_row_read(key, &row) || !slice_equal(row.name, head->lane->peer->name) ||
        !slice_equal(row.credential_id, lane_id(head->lane)))
        return false;
    head->found = true;
    head->number = row.number;
    head->state = outbox_state_read(value);
    return false;
}

/* The first row that is not done with. ERR_NOTFOUND: there is none. In a view. */
static int find_head(struct lane *lane)
{
    struct relay *relay = lane->peer->relay;
    struct outbox_row from = {lane->peer->name, lane_id(lane), lane->settled + 1};
    struct head head = {.lane = lane};
    char storage[OUTBOX_KEY_MAX];
    struct buf key;
    buf_init_fixed(&key, storage, sizeof storage);
    int error = outbox_row_write(&key, &from);
    if (!error)
        error = store_scan(relay->view, outbox_table(relay->outbox, OUTBOX_ROWS), buf_slice(&key), on_row,
                           &head, NULL);
    if (error || !head.found)
        return error ? error : ERR_NOTFOUND;
    if (lane->head == head.number)
        return 0; /* what is known of it here may be newer than what is committed */
    lane->head = head.number;
    lane->attempts = head.state.attempts;
    lane->next_ms = head.state.next_ms;
    return 0;
}

/* --- what becomes of the head ---------------------------------------------------------------------- */

static void lane_miss(struct lane *lane)
{
    struct peer *peer = lane->peer;
    relay_count(&peer->counters.missed, 1);
    relay_count(&peer->relay->counters.missed, 1);
    peer->new_missed++;
    peer_report(peer);
    lane_settle(lane);
}

static void lane_bury(struct lane *lane)
{
    lane->state = LANE_BURYING;
    if (!change_row(lane, false, "not taken in time"))
        lane_wait(lane, TROUBLE_MS);
}

static void lane_send(struct lane *lane, const struct letter *letter)
{
    struct peer *peer = lane->peer;
    if (send_start(lane, letter)) {
        lane_wait(lane, TROUBLE_MS);
        return;
    }
    lane->state = LANE_SENDING;
    peer->in_flight++;
    atomic_store(&peer->shown_in_flight, peer->in_flight);
}

/* In a view: the letter stands in it. */
static void lane_decide(struct lane *lane)
{
    struct relay *relay = lane->peer->relay;
    struct letter_place place = outbox_letters(relay->outbox, relay->view);
    int64_t now = clock_wall_ms();
    struct letter letter;
    int error = find_head(lane);
    if (error == ERR_NOTFOUND) {
        lane->state = LANE_IDLE;
        lane_yield(lane);
        return;
    }
    if (!error && lane->next_ms > now) {
        uint64_t wait = (uint64_t)(lane->next_ms - now);
        lane_wait(lane,
                  wait < BACKOFF_MAX_MS * 6 ? wait : BACKOFF_MAX_MS * 6); /* the clock may have jumped */
        return;
    }
    if (!error)
        error = letter_read(&place, lane->head, &relay->spill, &letter);
    if (error == ERR_NOTFOUND || error == ERR_CORRUPT)
        lane_miss(lane);
    else if (error)
        lane_wait(lane, TROUBLE_MS);
    else if (lane->attempts > 0 && now - letter.at_ms >= (int64_t)relay->settings.give_up_ms)
        lane_bury(lane);
    else
        lane_send(lane, &letter);
}

void lane_go(struct lane *lane)
{
    struct store_view *view = lane->peer->relay->view;
    list_remove(&lane->ready);
    if (store_view_begin(view)) {
        lane_wait(lane, TROUBLE_MS);
        return;
    }
    lane_decide(lane);
    store_view_end(view);
}

/* --- after a delivery ------------------------------------------------------------------------------ */

/* Full jitter: any time up to the bound, which doubles. */
static uint64_t backoff(uint32_t attempts)
{
    unsigned doubled = attempts > 10 ? 10 : attempts - 1;
    uint64_t most = (uint64_t)BACKOFF_MS << doubled;
    return 1 + random_u64() % (most < BACKOFF_MAX_MS ? most : BACKOFF_MAX_MS);
}

static void lane_retry(struct lane *lane, const struct send_result *result)
{
    struct peer *peer = lane->peer;
    uint64_t wait = backoff(++lane->attempts);
    relay_count(&peer->counters.failed, 1);
    relay_count(&peer->relay->counters.failed, 1);
    if (result->pause_ms > wait && result->outcome == SEND_BUSY)
        wait = result->pause_ms;
    if (result->outcome == SEND_UNREACHABLE)
        wait = 0; /* the subscriber pauses as a whole */
    lane->next_ms = wait ? clock_wall_ms() + (int64_t)wait : 0;
    change_row(lane, true, NULL);
    if (wait)
        lane_wait(lane, wait);
    else
        lane_ready(lane);
}

void lane_sent(struct lane *lane, const struct send_result *result)
{
    struct peer *peer = lane->peer;
    peer->in_flight--;
    atomic_store(&peer->shown_in_flight, peer->in_flight);
    peer_heard(peer, result);
    switch (result->outcome) {
    case SEND_TAKEN:
        relay_count(&peer->counters.delivered, 1);
        relay_count(&peer->relay->counters.delivered, 1);
        lane_settle(lane);
        return;
    case SEND_GONE:
    case SEND_REFUSED:
    case SEND_BUSY:
    case SEND_UNREACHABLE:
        lane_retry(lane, result);
        return;
    }
}
