/*
 * A transfer's life and its request. The request lies in `out`: the head, behind it what the kernel did not take of the body
 * yet. While nothing of it has left (or it is a safe one without body) it can be sent again on another connection.
 */
#include <assert.h>
#include <stdlib.h>

#include "upstream/upstream_internal.h"

/* Chunk framing of one call at most: size line, CRLF, last chunk. */
enum { CHUNK_ROOM = WIRE_CHUNK_HEAD_MAX + 2, LAST_CHUNK = 5 };

/* --- memory -------------------------------------------------------------------------------------------------- */

static struct upstream_transfer *take_free(struct upstream *upstream)
{
    struct list *node = list_pop(&upstream->free_transfers);
    struct upstream_transfer *t;

    if (!node)
        return calloc(1, sizeof *t);
    t = container_of(node, struct upstream_transfer, node);
    struct buf out = t->out;
    upstream->free_count--;
    *t = (struct upstream_transfer){.out = out};
    return t;
}

/* The head carries a token: it is not left behind in memory that nobody owns. */
static void put_free(struct upstream *upstream, struct upstream_transfer *t)
{
    if (upstream->free_count == FREE_TRANSFERS_MAX || upstream->closing) {
        buf_wipe(&t->out);
        free(t);
        return;
    }
    if (t->out.cap > FREE_HEAD_MAX)
        buf_wipe(&t->out);
    upstream->free_count++;
    list_push_front(&upstream->free_transfers, &t->node);
}

void transfer_release(struct upstream_transfer *t)
{
    t->state = TRANSFER_GONE;
    loop_timer_clear(t->upstream->loop, &t->timer);
    if (!t->task_queued && !t->in_callback)
        put_free(t->upstream, t);
}

/* --- time ---------------------------------------------------------------------------------------------------- */

static void on_timer(struct loop_timer *timer)
{
    struct upstream_transfer *t = container_of(timer, struct upstream_transfer, timer);

    if (t->total_deadline <= loop_now(t->upstream->loop))
        transfer_fail(t, UPSTREAM_TOTAL_TIMEOUT, "not answered in the whole time allowed");
    else if (t->expiry == UPSTREAM_FIRST_BYTE_TIMEOUT)
        transfer_fail(t, t->expiry, "no answer began in time");
    else
        transfer_fail(t, t->expiry, "the connection stalled");
}

/* 0: only the total time counts. The timer stays armed until the end, so that moving it later costs nothing and can't fail. */
void transfer_expect(struct upstream_transfer *t, uint64_t within_ms, enum upstream_failure failure)
{
    struct loop *loop = t->upstream->loop;
    uint64_t deadline = t->total_deadline;

    t->expiry = failure;
    if (within_ms > 0 && loop_now(loop) + within_ms < deadline)
        deadline = loop_now(loop) + within_ms;
    loop_timer_set(loop, &t->timer, deadline, on_timer);
}

/* --- ends ---------------------------------------------------------------------------------------------------- */

struct connection *transfer_detach(struct upstream_transfer *t)
{
    struct connection *conn = t->conn;
    conn->transfer = NULL;
    t->conn = NULL;
    return conn;
}

/* Out of the queue, off the connection. */
static void leave(struct upstream_transfer *t)
{
    if (t->state == TRANSFER_WAITING)
        pool_unwait(t);
    if (t->conn)
        pool_release(transfer_detach(t), false);
}

static void wake(struct upstream_transfer *t)
{
    if (t->task_queued)
        return;
    t->task_queued = true;
    upstream_defer(t->upstream, &t->task);
}

void transfer_fail(struct upstream_transfer *t, enum upstream_failure failure, const char *why)
{
    leave(t);
    t->state = TRANSFER_FAILED;
    t->failure = failure;
    t->why = why;
    loop_timer_clear(t->upstream->loop, &t->timer);
    wake(t);
}

static bool may_send_again(const struct upstream_transfer *t)
{
    if (t->retried || t->answered || t->conn->requests < 2)
        return false;
    return !t->sent || (t->framing == FRAMING_NONE && method_is_safe(t->method));
}

void transfer_lost(struct upstream_transfer *t, const char *why)
{
    struct pool *pool = t->pool;

    if (!may_send_again(t)) {
        transfer_fail(t, UPSTREAM_RESET, why);
        return;
    }
    t->retried = true;
    connection_close(transfer_detach(t));
    pool_wait(pool, t, true);
    transfer_expect(t, 0, UPSTREAM_TOTAL_TIMEOUT);
    pool_pump_later(pool);
}

static void tell_failure(struct upstream_transfer *t)
{
    const struct upstream_hooks *hooks = t->hooks;
    void *user = t->user;
    enum upstream_failure failure = t->failure;
    const char *why = t->why;
    bool sent = t->sent;

    counter_add(&t->upstream->failures, 1);
    transfer_release(t);
    hooks->on_fail(user, failure, sent, why);
}

static void on_task(struct loop_task *task)
{
    struct upstream_transfer *t = container_of(task, struct upstream_transfer, task);
    struct upstream *upstream = t->upstream;
    bool flush = t->flush_wanted, go_on = t->read_wanted;

    t->task_queued = t->flush_wanted = t->read_wanted = false;
    if (t->state == TRANSFER_GONE)
        transfer_release(t);
    else if (t->state == TRANSFER_FAILED)
        tell_failure(t);
    else if (t->state == TRANSFER_ACTIVE) {
        struct connection *conn = t->conn;
        if (flush)
            transfer_flush(t);
        if (go_on && conn->transfer == t)
            answer_continue(t);
    }
    upstream_settled(upstream);
}

void transfer_read_later(struct upstream_transfer *t)
{
    t->read_wanted = true;
    wake(t);
}

/* --- the request --------------------------------------------------------------------------------------------- */

/* All that there is has left: now the peer, or our user, is to act. */
static void on_flushed(struct upstream_transfer *t)
{
    const struct upstream_times *times = &t->upstream->options.times;

    loop_io_watch(&t->conn->io, t->paused ? t->conn->io.events & ~(unsigned)LOOP_WRITE : LOOP_READ);
    if (t->framing != FRAMING_NONE) {
        buf_reset(&t->out);
        t->out_done = 0;
    }
    if (t->request_taken)
        transfer_expect(t, times->first_byte_ms, UPSTREAM_FIRST_BYTE_TIMEOUT);
    else
        transfer_expect(t, 0, UPSTREAM_TOTAL_TIMEOUT);
}

/* The peer takes no more. It may have answered before it closed: the reading tells. */
static void on_refused(struct upstream_transfer *t)
{
    if (!t->sent) {
        transfer_lost(t, "closed before the request left");
        return;
    }
    t->deaf = true;
    loop_io_watch(&t->conn->io, LOOP_READ);
    transfer_expect(t, t->upstream->options.times.idle_ms, UPSTREAM_IDLE_TIMEOUT);
    transfer_read_later(t);
}

static void call_writable(struct upstream_transfer *t)
{
    t->starved = false;
    if (t->hooks->on_writable)
        t->hooks->on_writable(t->user);
}

/* False when the connection took not everything, or is gone. */
static bool push_out(struct upstream_transfer *t)
{
    const struct upstream_times *times = &t->upstream->options.times;

    while (t->out_done < t->out.len) {
        ssize_t n = connection_send(t->conn, t->out.ptr + t->out_done, t->out.len - t->out_done);
        if (n == ERR_AGAIN) {
            loop_io_watch(&t->conn->io, t->conn->io.events | LOOP_WRITE);
            transfer_expect(t, times->idle_ms, UPSTREAM_IDLE_TIMEOUT);
            return false;
        }
        if (n < 0) {
            on_refused(t);
            return false;
        }
        t->sent = true;
        t->out_done += (size_t)n;
    }
    on_flushed(t);
    return true;
}

void transfer_flush(struct upstream_transfer *t)
{
    if (t->deaf || t->head_done_early)
        return;
    if (push_out(t) && t->starved)
        call_writable(t);
}
