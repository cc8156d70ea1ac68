/*
 * One pool for each origin. A transfer takes an idle connection, else it waits: for a connection that is
 * being made for those who wait, or for one that another transfer gives back, whichever comes first.
 * Connections are not made for a transfer but for the queue; when one can't be made, the transfer that has
 * waited longest is told.
 */
#include <assert.h>
#include <stdlib.h>

#include "upstream/upstream_internal.h"

/* --- which pool ---------------------------------------------------------------------- */

static bool serves(const struct pool *pool, const struct upstream_origin *origin, struct slice url)
{
    if (!slice_equal(pool->url, url))
        return false;
    return pool->ca == origin->ca || (pool->ca && origin->ca && strcmp(pool->ca, origin->ca) == 0);
}

static void on_pump(struct loop_task *task)
{
    struct pool *pool = container_of(task, struct pool, pump);
    struct upstream *upstream = pool->upstream;

    pool->pump_queued = false;
    pool_pump(pool);
    upstream_settled(upstream);
}

static struct pool *create(struct upstream *upstream, const struct upstream_origin *origin, struct slice url)
{
    struct slice ca = slice_from(origin->ca);
    struct pool *pool = calloc(1, sizeof *pool + url.len + 1 + ca.len + 1);

    if (!pool)
        return NULL;
    pool->upstream = upstream;
    pool->https = origin->https;
    memcpy(pool->text, url.ptr, url.len);
    pool->url = slice_of(pool->text, url.len);
    if (ca.ptr) {
        memcpy(pool->text + url.len + 1, ca.ptr, ca.len);
        pool->ca = pool->text + url.len + 1;
    }
    list_init(&pool->idle);
    list_init(&pool->busy);
    list_init(&pool->waiting);
    pool->pump.run = on_pump;
    list_push_back(&upstream->pools, &pool->node);
    return pool;
}

/* By value: after a reload an origin may stand at another's old address. */
struct pool *pool_find(struct upstream *upstream, const struct upstream_origin *origin)
{
    struct slice url =
        slice_of(origin->url, (size_t)(origin->authority.ptr - origin->url) + origin->authority.len);

    list_each (node, &upstream->pools) {
        struct pool *pool = container_of(node, struct pool, node);
        if (serves(pool, origin, url))
            return pool;
    }
    return create(upstream, origin, url);
}

void pool_destroy(struct pool *pool)
{
    assert(pool->open == 0 && pool->waiting_count == 0 && !pool->pump_queued);
    loop_timer_clear(pool->upstream->loop, &pool->sweep);
    list_remove(&pool->node);
    free(pool);
}

void pool_drop_unused(struct upstream *upstream)
{
    list_each_safe (node, &upstream->pools) {
        struct pool *pool = container_of(node, struct pool, node);
        if (pool->open == 0 && pool->waiting_count == 0 && !pool->pump_queued)
            pool_destroy(pool);
    }
}

/* --- idle connections ---------------------------------------------------------------- */

static void leave_idle(struct connection *conn)
{
    list_remove(&conn->node);
    conn->pool->idle_count--;
    counter_add(&conn->upstream->idle, -1);
}

static uint64_t idle_ends_at(const struct connection *conn)
{
    const struct upstream_options *options = &conn->upstream->options;
    uint64_t unused = conn->idle_since + options->idle_keep_ms;
    uint64_t old = conn->born + options->connection_age_ms;
    return unused < old ? unused : old;
}

/* Closes what has had its time and looks again when the next one has. */
static void on_sweep(struct loop_timer *timer)
{
    struct pool *pool = container_of(timer, struct pool, sweep);
    struct loop *loop = pool->upstream->loop;
    uint64_t next = UINT64_MAX;

    list_each_safe (node, &pool->idle) {
        struct connection *conn = container_of(node, struct connection, node);
        uint64_t end = idle_ends_at(conn);
        if (end <= loop_now(loop)) {
            leave_idle(conn);
            connection_close(conn);
        } else if (end < next) {
            next = end;
        }
    }
    if (next != UINT64_MAX)
        loop_timer_set(loop, &pool->sweep, next, on_sweep);
}

static void enter_idle(struct connection *conn)
{
    struct pool *pool = conn->pool;
    struct loop *loop = pool->upstream->loop;

    conn->idle_since = loop_now(loop);
    uint64_t end = idle_ends_at(conn);
    list_remove(&conn->node);
    list_push_front(&pool->idle, &conn->node);
    pool->idle_count++;
    counter_add(&pool->upstream->idle, 1);
    if (pool->sweep.deadline == 0 || end < pool->sweep.deadline)
        loop_timer_set(loop, &pool->sweep, end, on_sweep);
}

static bool has_leave(const struct pool *pool)
{
    return pool->open - pool->idle_count < cap_limit(&pool->cap, pool->upstream->options.connections_max);
}

void pool_sample(struct pool *pool, uint64_t latency_ms)
{
    unsigned busy = pool->open - pool->idle_count, max = pool->upstream->options.connections_max;

    if (cap_sample(&pool->cap, latency_ms, busy, max, loop_now(pool->upstream->loop)) &&
        pool->waiting_count > 0)
        pool_pump_later(pool);
}

struct connection *pool_take_idle(struct pool *pool)
{
    while (!list_empty(&pool->idle) && has_leave(pool)) {
        struct connection *conn = container_of(pool->idle.next, struct connection, node);
        leave_idle(conn);
        if (idle_ends_at(conn) > loop_now(pool->upstream->loop) && connection_is_quiet(conn)) {
            list_push_back(&pool->busy, &conn->node);
            return conn;
        }
        connection_close(conn);
    }
    return NULL;
}

/* --- those who wait ------------------------------------------------------------------ */

void pool_wait(struct pool *pool, struct upstream_transfer *t, bool first)
{
    if (first)
        list_push_front(&pool->waiting, &t->node);
    else
        list_push_back(&pool->waiting, &t->node);
    t->state = TRANSFER_WAITING;
    pool->waiting_count++;
    counter_add(&pool->upstream->waiting, 1);
}

void pool_unwait(struct upstream_transfer *t)
{
    list_remove(&t->node);
    t->pool->waiting_count--;
    counter_add(&t->upstream->waiting, -1);
}

static struct upstream_transfer *first_waiting(const struct pool *pool)
{
    return container_of(pool->waiting.next, struct upstream_transfer, node);
}

/* When all places are taken, an idle connection makes room: whoever waits beside one wants a new one. */
static bool has_place(struct pool *pool)
{
    if (pool->open >= pool->upstream->options.connections_max && pool->idle_count > 0) {
        struct connection *conn = container_of(pool->idle.prev, struct connection, node);
        leave_idle(conn);
        connection_close(conn);
    }
    return pool->open < pool->upstream->options.connections_max;
}

/* Connections are idle beside those who wait only while the cap holds them back. Who has met a stale one
 * wants none. */
static void serve_from_idle(struct pool *pool)
{
    struct connection *conn;

    while (pool->waiting_count > 0 && !first_waiting(pool)->retried && (conn = pool_take_idle(pool))) {
        struct upstream_transfer *t = first_waiting(pool);
        pool_unwait(t);
        transfer_begin(t, conn);
    }
}

void pool_pump(struct pool *pool)
{
    if (pool->upstream->closing)
        return;
    serve_from_idle(pool);
    while (pool->connecting < pool->waiting_count && has_leave(pool) && has_place(pool)) {
        if (connect_start(pool) != 0)
            transfer_fail(first_waiting(pool), UPSTREAM_NOMEM, "out of memory");
    }
}

void pool_pump_later(struct pool *pool)
{
    if (pool->pump_queued || pool->upstream->closing)
        return;
    pool->pump_queued = true;
    upstream_defer(pool->upstream, &pool->pump);
}

/* --- what becomes of a connection ---------------------------------------------------- */

static bool may_idle(const struct connection *conn)
{
    const struct upstream *upstream = conn->upstream;
    uint64_t old = conn->born + upstream->options.connection_age_ms;
    return !upstream->closing && conn->pool->idle_count < upstream->options.idle_connections &&
           old > loop_now(upstream->loop);
}

/* To whoever waits longest, if it may go on being busy; or to the idle ones. */
static void hand_on(struct connection *conn)
{
    struct pool *pool = conn->pool;
    unsigned busy = pool->open - pool->idle_count;

    if (pool->waiting_count > 0 && busy <= cap_limit(&pool->cap, pool->upstream->options.connections_max)) {
        struct upstream_transfer *t = first_waiting(pool);
        pool_unwait(t);
        transfer_begin(t, conn);
    } else if (may_idle(conn)) {
        enter_idle(conn);
    } else {
        connection_close(conn);
    }
}

/* A server that speaks before it is asked is none that we can talk to. */
void pool_connected(struct connection *conn)
{
    bool quiet = conn->tls ? connection_attach_tls(conn) : connection_is_quiet(conn);

    if (!quiet) {
        pool_connect_failed(conn, UPSTREAM_RESET, "closed, or spoke, before it was asked");
        return;
    }
    counter_add(&conn->upstream->connects, 1);
    hand_on(conn);
}

void pool_connect_failed(struct connection *conn, enum upstream_failure failure, const char *why)
{
    struct pool *pool = conn->pool;

    counter_add(&pool->upstream->connect_failures, 1);
    connection_close(conn);
    if (pool->waiting_count > 0)
        transfer_fail(first_waiting(pool), failure, why);
    pool_pump_later(pool);
}

void pool_release(struct connection *conn, bool keep)
{
    struct pool *pool = conn->pool;
    uint64_t old = conn->born + conn->upstream->options.connection_age_ms;

    if (keep && pool->waiting_count > 0)
        keep = old > loop_now(conn->upstream->loop) && connection_is_quiet(conn);
    if (keep) {
        hand_on(conn);
        return;
    }
    connection_close(conn);
    if (pool->waiting_count > 0)
        pool_pump_later(pool);
}

void pool_drop_idle(struct connection *conn)
{
    leave_idle(conn);
    connection_close(conn);
}
