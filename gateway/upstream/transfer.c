/*
 * A transfer's life and its request. The request lies in `out`: the head, behind it what the kernel did not
 * take of the body yet. While nothing of it has left (or it is a safe one without body) it can be sent again
 * on another connection.
 */
#include <assert.h>
#include <stdlib.h>

#include "upstream/upstream_internal.h"

/* Chunk framing of one call at most: size line, CRLF, last chunk. */
enum { CHUNK_ROOM = WIRE_CHUNK_HEAD_MAX + 2, LAST_CHUNK = 5 };

/* --- memory -------------------------------------------------------------------------- */

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

void transfer_settle(struct upstream_transfer *t, enum breaker_outcome outcome)
{
    host_settle(t->host, &t->ticket, outcome, loop_now(t->upstream->loop));
}

void transfer_release(struct upstream_transfer *t)
{
    transfer_settle(t, BREAKER_UNKNOWN);
    t->state = TRANSFER_GONE;
    loop_timer_clear(t->upstream->loop, &t->timer);
    if (!t->task_queued && !t->in_callback)
        put_free(t->upstream, t);
}

/* --- time ---------------------------------------------------------------------------- */

static void on_timer(struct loop_timer *timer);

/* 0: only the total time counts. The timer stays armed until the end, so that moving it later costs nothing
 * and can't fail. */
static void expect(struct upstream_transfer *t, uint64_t within_ms, enum upstream_failure failure)
{
    struct loop *loop = t->upstream->loop;
    uint64_t deadline = t->total_deadline;

    t->expiry = failure;
    if (within_ms > 0 && loop_now(loop) + within_ms < deadline)
        deadline = loop_now(loop) + within_ms;
    loop_timer_set(loop, &t->timer, deadline, on_timer);
}

/* How fast a body goes up is its sender's doing. */
void transfer_sample(struct upstream_transfer *t)
{
    if (t->framing == FRAMING_NONE)
        pool_sample(t->pool, loop_now(t->upstream->loop) - t->begun_ms);
}

static void on_silence(struct upstream_transfer *t)
{
    transfer_sample(t);
    transfer_fail(t, t->expiry, "no answer began in time");
}

static void on_timer(struct loop_timer *timer)
{
    struct upstream_transfer *t = container_of(timer, struct upstream_transfer, timer);

    if (t->total_deadline <= loop_now(t->upstream->loop))
        transfer_fail(t, UPSTREAM_TOTAL_TIMEOUT, "not answered in the whole time allowed");
    else if (t->paused && t->out_done == t->out.len)
        expect(t, 0, UPSTREAM_TOTAL_TIMEOUT);
    else if (t->expiry == UPSTREAM_FIRST_BYTE_TIMEOUT)
        on_silence(t);
    else
        transfer_fail(t, t->expiry, "the connection stalled");
}

/* --- ends ---------------------------------------------------------------------------- */

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
    transfer_settle(t, breaker_outcome_of(failure));
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
    expect(t, 0, UPSTREAM_TOTAL_TIMEOUT);
    pool_pump_later(pool);
}

static void tell_failure(struct upstream_transfer *t)
{
    const struct upstream_hooks *hooks = t->hooks;
    void *user = t->user;
    enum upstream_failure failure = t->failure;
    const char *why = t->why;
    bool sent = t->sent;

    if (failure != UPSTREAM_OPEN)
        counter_add(&t->upstream->failures, 1);
    transfer_release(t);
    hooks->on_fail(user, failure, sent, why);
}

/* on_writable may end the transfer: only the connection is sure to be there afterwards. */
static void go_on(struct upstream_transfer *t, bool flush, bool read)
{
    struct connection *conn = t->conn;

    if (flush)
        transfer_flush(t);
    if (read && conn->transfer == t)
        answer_continue(t);
}

static void on_task(struct loop_task *task)
{
    struct upstream_transfer *t = container_of(task, struct upstream_transfer, task);
    struct upstream *upstream = t->upstream;
    bool flush = t->flush_wanted, read = t->read_wanted;

    t->task_queued = t->flush_wanted = t->read_wanted = false;
    if (t->state == TRANSFER_GONE || (t->state == TRANSFER_FAILED && upstream->closing))
        transfer_release(t);
    else if (t->state == TRANSFER_FAILED)
        tell_failure(t);
    else if (t->state == TRANSFER_ACTIVE)
        go_on(t, flush, read);
    upstream_settled(upstream);
}

void transfer_read_later(struct upstream_transfer *t)
{
    t->read_wanted = true;
    wake(t);
}

/* --- the request --------------------------------------------------------------------- */

/* Who is to act next, and how long that may take. */
void transfer_expect_progress(struct upstream_transfer *t)
{
    const struct upstream_times *times = &t->upstream->options.times;
    bool began = t->head_done || t->conn->in.len > 0;

    if (t->out_done < t->out.len || t->deaf || began)
        expect(t, times->idle_ms, UPSTREAM_IDLE_TIMEOUT);
    else if (t->request_taken)
        expect(t, times->first_byte_ms, UPSTREAM_FIRST_BYTE_TIMEOUT);
    else
        expect(t, 0, UPSTREAM_TOTAL_TIMEOUT);
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
    transfer_expect_progress(t);
    transfer_read_later(t);
}

/* A body's bytes are not needed again; a head alone is, for the second try. */
static void on_flushed(struct upstream_transfer *t)
{
    loop_io_watch(&t->conn->io, t->conn->io.events & ~(unsigned)LOOP_WRITE);
    if (t->framing != FRAMING_NONE) {
        buf_reset(&t->out);
        t->out_done = 0;
    }
    transfer_expect_progress(t);
}

/* False when the connection did not take everything, or is gone. */
static bool push_out(struct upstream_transfer *t)
{
    while (t->out_done < t->out.len) {
        ssize_t n = connection_send(t->conn, t->out.ptr + t->out_done, t->out.len - t->out_done);
        if (n == ERR_AGAIN) {
            loop_io_watch(&t->conn->io, t->conn->io.events | LOOP_WRITE);
            transfer_expect_progress(t);
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

static void flush_later(struct upstream_transfer *t)
{
    t->flush_wanted = true;
    wake(t);
}

void transfer_flush(struct upstream_transfer *t)
{
    if (t->deaf || !push_out(t) || !t->starved)
        return;
    t->starved = false;
    if (t->hooks->on_writable)
        t->hooks->on_writable(t->user);
}

static void attach(struct upstream_transfer *t, struct connection *conn)
{
    conn->transfer = t;
    t->conn = conn;
    t->state = TRANSFER_ACTIVE;
    t->begun_ms = loop_now(t->upstream->loop);
    t->out_done = 0;
    if (conn->requests++ > 0)
        counter_add(&t->upstream->reuses, 1);
}

void transfer_begin(struct upstream_transfer *t, struct connection *conn)
{
    attach(t, conn);
    if (push_out(t) && t->starved)
        flush_later(t);
}

/* Room for all that will ever lie in it at one time. */
static bool copy_head(struct upstream_transfer *t, const struct upstream_request *request)
{
    size_t body =
        request->framing == FRAMING_LENGTH && request->length < OUT_MAX ? (size_t)request->length : OUT_MAX;
    size_t size = request->head.len;

    if (t->framing != FRAMING_NONE)
        size += body + CHUNK_ROOM + LAST_CHUNK;
    if (!t->out.ptr)
        buf_init(&t->out, size);
    buf_reset(&t->out);
    t->out.max = size;
    return buf_reserve(&t->out, size) == 0 && buf_append_slice(&t->out, request->head) == 0;
}

static void set_up(struct upstream_transfer *t, struct upstream *upstream,
                   const struct upstream_request *request)
{
    bool empty =
        request->framing == FRAMING_NONE || (request->framing == FRAMING_LENGTH && request->length == 0);

    list_init(&t->node);
    t->upstream = upstream;
    t->hooks = request->hooks;
    t->user = request->user;
    t->method = request->method;
    t->framing = empty ? FRAMING_NONE : request->framing;
    t->left = request->length;
    t->request_taken = empty;
    t->task.run = on_task;
    t->total_deadline = request->deadline_ms ? request->deadline_ms : upstream_deadline(upstream);
    t->host = request->host;
}

/* A head with a body behind it waits until the end of the turn: they often leave together. */
static void begin_or_wait(struct upstream_transfer *t, struct pool *pool)
{
    struct connection *conn = pool->waiting_count == 0 ? pool_take_idle(pool) : NULL;

    if (conn && t->framing == FRAMING_NONE) {
        transfer_begin(t, conn);
        return;
    }
    expect(t, 0, UPSTREAM_TOTAL_TIMEOUT);
    if (conn) {
        attach(t, conn);
        flush_later(t);
    } else {
        pool_wait(pool, t, false);
        pool_pump(pool);
    }
}

struct upstream_transfer *upstream_start(struct upstream *upstream, const struct upstream_request *request)
{
    struct pool *pool = upstream->closing ? NULL : pool_find(upstream, request->origin);
    struct upstream_transfer *t = pool ? take_free(upstream) : NULL;

    assert(request->framing != FRAMING_CLOSE);
    if (!t)
        return NULL;
    set_up(t, upstream, request);
    if (!copy_head(t, request)) {
        put_free(upstream, t);
        return NULL;
    }
    t->pool = pool;
    if (!host_admit(t->host, request->caller, loop_now(upstream->loop), &t->ticket)) {
        t->state = TRANSFER_ACTIVE; /* it never waited */
        transfer_fail(t, UPSTREAM_OPEN, "the host is failing: not tried until the next probe");
        return t;
    }
    t->ticket.again = request->again;
    counter_add(&upstream->transfers, 1);
    begin_or_wait(t, pool);
    if (t->timer.index == 0 && t->state != TRANSFER_FAILED)
        transfer_fail(t, UPSTREAM_NOMEM, "out of memory");
    return t;
}

/* --- the request's body -------------------------------------------------------------- */

static void put_chunk(struct buf *out, struct slice data)
{
    char head[WIRE_CHUNK_HEAD_MAX];

    if (data.len == 0)
        return;
    buf_append(out, head, wire_chunk_head(head, data.len));
    buf_append_slice(out, data);
    buf_append(out, "\r\n", 2);
}

/* Into `out` what fits there. */
static size_t take_body(struct upstream_transfer *t, struct slice data, bool last)
{
    size_t room = t->out.max - LAST_CHUNK - CHUNK_ROOM - t->out.len;
    struct slice piece = slice_of(data.ptr, data.len < room ? data.len : room);

    if (t->framing == FRAMING_CHUNKED) {
        put_chunk(&t->out, piece);
        if (last && piece.len == data.len) {
            buf_append(&t->out, "0\r\n\r\n", LAST_CHUNK);
            t->request_taken = true;
        }
    } else {
        assert(piece.len <= t->left);
        buf_append_slice(&t->out, piece);
        t->left -= piece.len;
        t->request_taken = t->left == 0;
        assert(!last || piece.len < data.len || t->left == 0);
    }
    assert(!t->out.failed);
    return piece.len;
}

size_t upstream_send(struct upstream_transfer *t, struct slice data, bool last)
{
    size_t taken = 0;

    if (t->state == TRANSFER_FAILED || t->deaf || (t->request_taken && data.len == 0))
        return data.len;
    assert(!t->request_taken);
    do {
        /* There is always room for the last chunk, which must not be forgotten. */
        if (taken == data.len || t->out.len + LAST_CHUNK + CHUNK_ROOM <= t->out.max)
            taken += take_body(t, slice_skip(data, taken), last);
        if (t->state != TRANSFER_ACTIVE || !push_out(t))
            break;
    } while (taken < data.len);
    if (t->state == TRANSFER_FAILED || t->deaf)
        return data.len;
    t->starved = taken < data.len;
    return taken;
}

/* --- its user's wishes --------------------------------------------------------------- */

void upstream_pause(struct upstream_transfer *t)
{
    t->paused = true;
    if (t->head_done) /* how long the rest takes is the user's doing */
        transfer_settle(t, breaker_outcome_of_status(t->status));
}

void upstream_resume(struct upstream_transfer *t)
{
    if (!t->paused)
        return;
    t->paused = false;
    if (t->state != TRANSFER_ACTIVE)
        return;
    transfer_expect_progress(t);
    transfer_read_later(t);
}

void upstream_cancel(struct upstream_transfer *t)
{
    if (t->state == TRANSFER_WAITING)
        pool_unwait(t);
    if (t->conn) {
        bool keep = answer_is_complete(t);
        if (t->head_done)
            transfer_settle(t, breaker_outcome_of_status(t->status));
        pool_release(transfer_detach(t), keep);
    }
    transfer_release(t);
}
