/*
 * Reading an answer: heads through the guard (interim ones handed on), body through wire_body, straight
 * from the buffer that was read into. Only what can't be taken yet is copied to the connection: an unfinished
 * head, or what a pause holds back.
 */
#include "upstream/upstream_internal.h"

/* So many reads in one go on a TLS connection; then others get their turn. */
enum { READS_MAX = 16 };

enum step { STEP_ON, STEP_MORE /* needs more input */, STEP_STOP /* ended, failed, cancelled or paused */ };

static enum step refuse(struct upstream_transfer *t, enum upstream_failure failure, const char *why)
{
    transfer_fail(t, failure, why);
    return STEP_STOP;
}

/* Keeps `rest` for later; it lies in the scratch or is the end of what is kept already. */
static bool hold(struct connection *conn, struct slice rest)
{
    struct buf *in = &conn->in;

    if (in->len == 0)
        return buf_append_slice(in, rest) == 0;
    buf_consume(in, in->len - rest.len);
    return true;
}

/* After a callback: is the transfer still to be gone on with? */
static bool still_here(struct upstream_transfer *t)
{
    t->in_callback = false;
    if (t->state == TRANSFER_GONE)
        transfer_release(t);
    else if (t->state == TRANSFER_ACTIVE)
        return true;
    return false;
}

/* --- its end ------------------------------------------------------------------------- */

static bool request_has_left(const struct upstream_transfer *t)
{
    return t->request_taken && !t->deaf && t->out_done == t->out.len;
}

/* The connection is free, and the transfer gone, before the user hears of it: he may start the next one. */
static enum step finish(struct upstream_transfer *t, bool surplus)
{
    const struct upstream_hooks *hooks = t->hooks;
    void *user = t->user;
    bool keep = t->keep && !surplus && request_has_left(t);
    struct connection *conn = transfer_detach(t);

    buf_deinit(&conn->in);
    transfer_settle(t, breaker_outcome_of_status(t->status));
    transfer_release(t);
    pool_release(conn, keep);
    hooks->on_end(user);
    return STEP_STOP;
}

bool answer_is_complete(const struct upstream_transfer *t)
{
    struct wire_body body = t->body;
    struct slice in = {NULL, 0}, data;

    return t->head_done && t->keep && t->conn->in.len == 0 && request_has_left(t) &&
           wire_body_next(&body, &in, &data) == WIRE_DONE;
}

/* --- its head ------------------------------------------------------------------------ */

static enum step take_interim(struct upstream_transfer *t, const struct http_response *head)
{
    if (++t->interims > INTERIM_MAX)
        return refuse(t, UPSTREAM_INVALID, "too many interim answers");
    if (head->status == 100 || !t->hooks->on_interim)
        return STEP_ON;
    t->in_callback = true;
    t->hooks->on_interim(t->user, head);
    return still_here(t) ? STEP_ON : STEP_STOP;
}

static enum step read_head(struct upstream_transfer *t, struct slice bytes)
{
    struct upstream *upstream = t->upstream;
    struct http_response head;
    struct wire_result result = wire_parse_response(bytes, t->method, &upstream->heads, &head);

    if (result.verdict != WIRE_OK) {
        arena_reset(&upstream->heads);
        return refuse(t, result.verdict == WIRE_NOMEM ? UPSTREAM_NOMEM : UPSTREAM_INVALID, result.why);
    }
    if (head.status < 200) {
        enum step step = take_interim(t, &head);
        arena_reset(&upstream->heads);
        return step;
    }
    t->head_done = true;
    t->status = head.status;
    transfer_sample(t);
    t->keep = head.keep_alive && head.minor > 0;
    if (breaker_outcome_of_status(head.status) != BREAKER_GOOD) /* a good one has to end well, too */
        transfer_settle(t, breaker_outcome_of_status(head.status));
    wire_body_init(&t->body, head.framing, head.length);
    t->in_callback = true;
    t->hooks->on_head(t->user, &head);
    arena_reset(&upstream->heads);
    return still_here(t) ? STEP_ON : STEP_STOP;
}

/* What can't become an answer any more is refused at once, not when the peer closes. */
static bool may_be_answer(struct slice data)
{
    return memcmp(data.ptr, "HTTP/", data.len < 5 ? data.len : 5) == 0;
}

static enum step take_head(struct upstream_transfer *t, struct slice *data)
{
    size_t max = t->upstream->options.head_max;
    size_t len;

    if (data->len == 0)
        return hold(t->conn, *data) ? STEP_MORE : STEP_STOP;
    if (!may_be_answer(*data))
        return refuse(t, UPSTREAM_INVALID, "this is no HTTP answer");
    len = wire_head_length(*data, &t->scanned);
    if (len > max || (len == 0 && data->len > max))
        return refuse(t, UPSTREAM_INVALID, "the answer's head is too large");
    if (len == 0)
        return hold(t->conn, *data) ? STEP_MORE : refuse(t, UPSTREAM_NOMEM, "out of memory");
    struct slice bytes = slice_of(data->ptr, len);
    *data = slice_skip(*data, len);
    t->scanned = 0;
    return read_head(t, bytes);
}

/* --- its body ------------------------------------------------------------------------ */

static enum step take_body(struct upstream_transfer *t, struct slice data)
{
    struct slice piece;

    while (!t->paused) {
        switch (wire_body_next(&t->body, &data, &piece)) {
        case WIRE_DATA:
            t->in_callback = true;
            t->hooks->on_body(t->user, piece);
            if (!still_here(t))
                return STEP_STOP;
            break;
        case WIRE_MORE:
            buf_deinit(&t->conn->in);
            return STEP_MORE;
        case WIRE_DONE:
            return finish(t, data.len > 0);
        case WIRE_DAMAGED:
            return refuse(t, UPSTREAM_CUT, "the body's framing is broken");
        }
    }
    if (!hold(t->conn, data))
        transfer_fail(t, UPSTREAM_NOMEM, "out of memory");
    return STEP_STOP;
}

static enum step take(struct upstream_transfer *t, struct slice data)
{
    while (!t->head_done) {
        enum step step = take_head(t, &data);
        if (step != STEP_ON)
            return step;
    }
    return take_body(t, data);
}

/* --- input --------------------------------------------------------------------------- */

static enum step take_read(struct upstream_transfer *t, struct slice data)
{
    struct buf *in = &t->conn->in;
    enum step step;

    t->answered = true;
    if (in->len == 0)
        step = take(t, data);
    else if (buf_append_slice(in, data) == 0)
        step = take(t, buf_slice(in));
    else
        step = refuse(t, UPSTREAM_NOMEM, "out of memory");
    if (step == STEP_MORE)
        transfer_expect_progress(t);
    return step;
}

/* `clean`: a proper end, not a reset, and with TLS not without close_notify. */
static void take_eof(struct upstream_transfer *t, bool clean)
{
    if (!t->head_done)
        transfer_lost(t, t->answered ? "closed inside the answer's head" : "closed without an answer");
    else if (t->body.framing == FRAMING_CLOSE && clean)
        finish(t, false);
    else
        transfer_fail(t, UPSTREAM_CUT, "closed inside the body");
}

/* A plain connection is read once: the loop tells when there is more. */
void answer_read(struct upstream_transfer *t)
{
    struct connection *conn = t->conn;
    char *scratch = t->upstream->scratch;

    if (t->paused) {
        loop_io_watch(&conn->io, conn->io.events & ~(unsigned)LOOP_READ);
        return;
    }
    for (int reads = 0; reads < READS_MAX; reads++) {
        ssize_t n = connection_recv(conn, scratch, SCRATCH_SIZE);
        if (n == ERR_AGAIN)
            return;
        if (n <= 0) {
            take_eof(t, n == 0);
            return;
        }
        if (take_read(t, slice_of(scratch, (size_t)n)) == STEP_STOP || !conn->tls)
            return;
    }
    transfer_read_later(t);
}

void answer_continue(struct upstream_transfer *t)
{
    struct connection *conn = t->conn;

    if (t->paused)
        return;
    if ((t->head_done || conn->in.len > 0) && take(t, buf_slice(&conn->in)) == STEP_STOP)
        return;
    loop_io_watch(&conn->io, conn->io.events | LOOP_READ);
    if (conn->tls || t->deaf)
        answer_read(t);
}
