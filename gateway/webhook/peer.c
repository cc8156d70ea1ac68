/* A subscriber at work: its lanes, its pauses, its pool of connections. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "relay_internal.h"

enum {
    PUMP = 64,          /* lanes looked at in a turn */
    CHANGES_MAX = 4096, /* rows on their way to the disk; nothing is sent while there are more */
    PAGE = 512,         /* lanes of the store looked at in a turn */
    PAGE_PAUSE_MS = 5,
    REPORT_MS = 1000,
    TOLD_MS = 60 * 1000,
    PAUSE_MS = 500, /* of one that cannot be reached; doubles up to */
    PAUSE_MAX_MS = 60 * 1000,
    LANES_USUAL = 256 * 1024,
    IDLE_KEEP_MS = 4000, /* less than the 5 s after which widespread servers close a kept connection */
};

static size_t lanes_max(const struct relay *relay)
{
    size_t all = relay->settings.lanes_max ? relay->settings.lanes_max : LANES_USUAL;
    size_t peers = audience_count(relay->audience);
    return peers > 1 && all > peers ? all / peers : all;
}

/* --- sending --------------------------------------------------------------------------------------- */

static bool may_send(const struct peer *peer, uint64_t now)
{
    size_t most = peer->failures > 0 ? 1 : peer->relay->settings.concurrency;
    return !peer->leaving && atomic_load(&peer->state) != RELAY_DISABLED && now >= peer->open_at &&
           peer->in_flight < most && peer->changes < CHANGES_MAX && !list_empty(&peer->ready);
}

static void run_pump(struct loop_task *task)
{
    struct peer *peer = container_of(task, struct peer, task);
    uint64_t now = loop_now(peer->relay->loop);
    peer->woken = false;
    for (int i = 0; i < PUMP && may_send(peer, now); i++)
        lane_go(container_of(peer->ready.next, struct lane, ready));
    if (may_send(peer, now))
        peer_wake(peer);
    peer_settle(peer);
}

void peer_wake(struct peer *peer)
{
    if (peer->woken)
        return;
    peer->woken = true;
    peer->task.run = run_pump;
    loop_defer(peer->relay->loop, &peer->task);
}

static void on_pause_over(struct loop_timer *timer)
{
    struct peer *peer = container_of(timer, struct peer, pause_timer);
    if (atomic_load(&peer->state) == RELAY_PAUSED)
        atomic_store(&peer->state, RELAY_ACTIVE);
    peer_wake(peer);
}

static void pause_for(struct peer *peer, uint64_t ms)
{
    struct loop *loop = peer->relay->loop;
    if (peer->open_at < loop_now(loop) + ms)
        peer->open_at = loop_now(loop) + ms;
    if (atomic_load(&peer->state) == RELAY_ACTIVE)
        atomic_store(&peer->state, RELAY_PAUSED);
    if (loop_timer_set(loop, &peer->pause_timer, peer->open_at, on_pause_over))
        peer->open_at = 0; /* no memory for the timer: too early is better than never */
}

/* Of those that were on their way together, one counts. */
static void unreachable(struct peer *peer)
{
    uint64_t most = PAUSE_MAX_MS;
    if (loop_now(peer->relay->loop) < peer->open_at)
        return;
    if (peer->failures < 7)
        most = (uint64_t)PAUSE_MS << peer->failures;
    peer->failures++;
    pause_for(peer, 1 + random_u64() % most);
}

static void tell_failing(struct peer *peer, const struct send_result *result)
{
    struct log_line line;
    uint64_t now = loop_now(peer->relay->loop);
    if (peer->told_at && now < peer->told_at + TOLD_MS)
        return;
    peer->told_at = now;
    if (!log_begin(&line, LOG_WARN, "relay-failing"))
        return;
    log_text(&line, "subscriber", peer->name);
    log_cstr(&line, "why", result->why);
    log_int(&line, "backlog", (int64_t)atomic_load(&peer->backlog));
    log_end(&line);
}

static void disable(struct peer *peer)
{
    if (atomic_exchange(&peer->state, RELAY_DISABLED) == RELAY_DISABLED)
        return;
    log_message(
        LOG_WARN, "relay-disabled",
        "%.*s answered 410: nothing is sent to it until the next reload or restart; events wait for it "
        "as long as the outbox keeps them",
        SLICE_ARG(peer->name));
}

void peer_heard(struct peer *peer, const struct send_result *result)
{
    switch (result->outcome) {
    case SEND_TAKEN:
        peer->failures = 0;
        return;
    case SEND_GONE:
        disable(peer);
        return;
    case SEND_REFUSED:
        peer->failures = 0;
        break;
    case SEND_BUSY:
        peer->failures = 1;
        pause_for(peer, result->pause_ms);
        break;
    case SEND_UNREACHABLE:
        unreachable(peer);
        break;
    }
    tell_failing(peer, result);
}

/* --- telling --------------------------------------------------------------------------------------- */

static void tell_count(const struct peer *peer, const char *event, uint64_t count, const char *message)
{
    struct log_line line;
    if (count == 0 || !log_begin(&line, LOG_WARN, event))
        return;
    log_text(&line, "subscriber", peer->name);
    log_int(&line, "count", (int64_t)count);
    log_cstr(&line, "message", message);
    log_end(&line);
}

static void tell(struct peer *peer)
{
    tell_count(peer, "relay-missed", peer->new_missed,
               "these events left the outbox before the subscriber took them (webhooks.outbox)");
    tell_count(peer, "relay-dead", peer->new_dead,
               "these events were not taken within webhooks.relay.give_up: dead letters, to be replayed");
    peer->new_missed = peer->new_dead = 0;
}

static void on_report(struct loop_timer *timer)
{
    tell(container_of(timer, struct peer, report_timer));
}

void peer_report(struct peer *peer)
{
    struct loop *loop = peer->relay->loop;
    if (!peer->report_timer.index &&
        loop_timer_set(loop, &peer->report_timer, loop_now(loop) + REPORT_MS, on_report))
        tell(peer);
}

/* --- lanes that are not in memory ------------------------------------------------------------------ */

/* False: there is no room. */
static bool take_lane(struct peer *peer, struct slice credential_id)
{
    struct lane *lane = lane_find(peer, credential_id);
    if (lane) {
        if (lane->state == LANE_IDLE)
            lane_ready(lane);
        return true;
    }
    return peer->lane_count < lanes_max(peer->relay) && lane_create(peer, credential_id);
}

void peer_notice(struct peer *peer, struct slice credential_id)
{
    if (take_lane(peer, credential_id))
        return;
    peer->again = peer->more;
    if (!peer->more)
        peer_walk(peer);
}

struct page {
    struct peer *peer;
    bool found; /* a lane of this subscriber, whose credential is in its cursor now */
};

static bool on_first(struct slice key, struct slice value, void *arg)
{
    struct page *page = arg;
    struct outbox_row row;
    (void)value;
    if (!outbox_row_read(key, &row) || !slice_equal(row.name, page->peer->name) ||
        row.credential_id.len > sizeof page->peer->cursor)
        return false;
    memcpy(page->peer->cursor, row.credential_id.ptr, row.credential_id.len);
    page->peer->cursor_len = row.credential_id.len;
    page->found = true;
    return false;
}

/* The first lane behind the cursor, which moves on to it: no credential has a byte as small as 0x01. */
static bool next_lane(struct peer *peer)
{
    struct relay *relay = peer->relay;
    struct page page = {peer, false};
    char storage[OUTBOX_KEY_MAX];
    struct buf key;
    buf_init_fixed(&key, storage, sizeof storage);
    buf_append_slice(&key, peer->name);
    buf_append_char(&key, '\0');
    buf_append(&key, peer->cursor, peer->cursor_len);
    buf_append_char(&key, '\x01');
    return !store_scan(relay->view, outbox_table(relay->outbox, OUTBOX_ROWS), buf_slice(&key), on_first,
                       &page, NULL) &&
           page.found;
}

/* A walk that finds no room stops before the lane that it has none for. */
static bool page(struct peer *peer)
{
    char before[sizeof peer->cursor];
    bool more = true;
    for (int i = 0; i < PAGE && more && !peer->full; i++) {
        size_t len = peer->cursor_len;
        memcpy(before, peer->cursor, len);
        more = next_lane(peer);
        if (!more || take_lane(peer, slice_of(peer->cursor, peer->cursor_len)))
            continue;
        peer->full = peer->again = true;
        memcpy(peer->cursor, before, len);
        peer->cursor_len = len;
    }
    return more;
}

static void on_page(struct loop_timer *timer)
{
    struct peer *peer = container_of(timer, struct peer, page_timer);
    bool more = true;
    if (store_view_begin(peer->relay->view) == 0) {
        more = page(peer);
        store_view_end(peer->relay->view);
    }
    if (peer->full)
        return; /* lane_destroy goes on */
    if (more)
        peer_page(peer);
    else if (peer->again)
        peer_walk(peer);
    else
        peer->more = false;
}

void peer_page(struct peer *peer)
{
    struct loop *loop = peer->relay->loop;
    if (!peer->leaving)
        loop_timer_set(loop, &peer->page_timer, loop_now(loop) + PAGE_PAUSE_MS, on_page);
}

void peer_walk(struct peer *peer)
{
    peer->more = true;
    peer->again = peer->full = false;
    peer->cursor_len = 0;
    peer_page(peer);
}

struct counting {
    struct peer *peer;
    uint64_t count;
};

static bool count_row(struct slice key, struct slice value, void *arg)
{
    struct counting *counting = arg;
    struct outbox_row row;
    (void)value;
    if (!outbox_row_read(key, &row) || !slice_equal(row.name, counting->peer->name))
        return false;
    counting->count += row.number <= counting->peer->relay->position;
    return true;
}

void peer_recount(struct peer *peer)
{
    struct relay *relay = peer->relay;
    struct counting counting = {peer, 0};
    char storage[AUDIENCE_NAME_MAX + 1];
    struct buf key;
    buf_init_fixed(&key, storage, sizeof storage);
    buf_append_slice(&key, peer->name);
    buf_append_char(&key, '\0');
    if (store_view_begin(relay->view) == 0) {
        store_scan(relay->view, outbox_table(relay->outbox, OUTBOX_ROWS), buf_slice(&key), count_row,
                   &counting, NULL);
        store_view_end(relay->view);
    }
    atomic_store(&peer->backlog, counting.count);
    peer_walk(peer);
}

/* --- life ------------------------------------------------------------------------------------------ */

static struct upstream_options upstream_options(const struct relay *relay)
{
    uint64_t timeout = relay->settings.timeout_ms;
    return (struct upstream_options){
        .times = {timeout, timeout, timeout, timeout},
        .idle_connections = relay->settings.concurrency,
        .idle_keep_ms = IDLE_KEEP_MS,
        .connection_age_ms = 300 * 1000,
        .connections_max = relay->settings.concurrency,
        .head_max = 64 * 1024,
    };
}

struct peer *peer_create(struct relay *relay, const struct audience_member *member)
{
    struct upstream_options options = upstream_options(relay);
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return NULL;
    peer->relay = relay;
    peer->member = member;
    memcpy(peer->name_text, member->name.ptr, member->name.len);
    peer->name = slice_of(peer->name_text, member->name.len);
    map_init(&peer->lanes);
    list_init(&peer->ready);
    list_init(&peer->stuck);
    peer->upstream = upstream_create(relay->loop, &options);
    if (!peer->upstream) {
        free(peer);
        return NULL;
    }
    relay->pending++;
    pthread_mutex_lock(&relay->lock);
    list_push_back(&relay->peers, &peer->node);
    pthread_mutex_unlock(&relay->lock);
    return peer;
}

void peer_configure(struct peer *peer, const struct audience_member *member)
{
    struct upstream_options options = upstream_options(peer->relay);
    peer->member = member;
    peer->open_at = 0;
    atomic_store(&peer->state, RELAY_ACTIVE);
    upstream_configure(peer->upstream, &options);
    peer_wake(peer);
}

struct peer *peer_find(struct relay *relay, struct slice name)
{
    list_each (node, &relay->peers) {
        struct peer *peer = container_of(node, struct peer, node);
        if (slice_equal(peer->name, name))
            return peer;
    }
    return NULL;
}

static void stop_lane(struct map_node *node, void *arg)
{
    struct lane *lane = container_of(node, struct lane, node);
    (void)arg;
    if (lane->send)
        send_cancel(lane->send);
    lane->send = NULL;
    list_remove(&lane->ready);
    loop_timer_clear(lane->peer->relay->loop, &lane->timer);
    lane->state = LANE_IDLE;
}

static void free_lane(struct map_node *node, void *arg)
{
    (void)arg;
    free(container_of(node, struct lane, node));
}

void peer_settle(struct peer *peer)
{
    struct relay *relay = peer->relay;
    if (!peer->leaving || !peer->upstream_closed || peer->changes > 0 || peer->woken)
        return;
    map_each(&peer->lanes, free_lane, NULL);
    map_deinit(&peer->lanes);
    free(peer);
    relay_release(relay);
}

static void on_upstream_closed(void *arg)
{
    struct peer *peer = arg;
    peer->upstream_closed = true;
    peer_settle(peer);
}

void peer_leave(struct peer *peer)
{
    struct relay *relay = peer->relay;
    peer->leaving = true;
    peer->member = NULL;
    pthread_mutex_lock(&relay->lock);
    list_remove(&peer->node);
    pthread_mutex_unlock(&relay->lock);
    map_each(&peer->lanes, stop_lane, NULL);
    lane_let_go(peer);
    loop_timer_clear(relay->loop, &peer->pause_timer);
    loop_timer_clear(relay->loop, &peer->page_timer);
    loop_timer_clear(relay->loop, &peer->report_timer);
    tell(peer);
    upstream_close(peer->upstream, on_upstream_closed, peer);
}
