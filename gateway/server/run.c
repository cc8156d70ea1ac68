/* The walk of a connection: heads become exchanges, answers leave, and what comes after an answer. */
#include "server/server_internal.h"

static uint64_t now_of(const struct server_connection *c)
{
    return loop_now(c->server->loop);
}

/* --- HEAD ---------------------------------------------------------------------------------------- */

/* Whoever sent HEAD reads no body behind the answer, however malformed the rest was. */
static bool begins_with_head(struct slice in)
{
    while (slice_starts(in, SLICE("\r\n")))
        in = slice_skip(in, 2);
    return slice_starts(in, SLICE("HEAD "));
}

/* Our own answer to something that is no request: the last one of this connection. */
static void refuse(struct server_connection *c, int status, const char *why)
{
    const struct server_handler *handler = &c->server->handler;
    struct exchange *e = server_exchange_create(c);
    if (!e) {
        server_connection_close(c);
        return;
    }
    if (begins_with_head(c->in))
        e->x.request.method = METHOD_HEAD;
    c->in = slice_of(NULL, 0);
    c->busy = e;
    c->state = SERVER_BUSY;
    c->body_done = c->closing = c->linger = true;
    c->read_deadline = 0;
    server_exchange_name(e);
    server_refuse(e, status, why);
    if (handler->on_refused)
        handler->on_refused(handler->owner, status, why);
}

void server_connection_refuse(struct server_connection *c, int status, const char *why)
{
    c->running = true;
    refuse(c, status, why);
    c->running = false;
}

static int verdict_status(enum wire_verdict verdict)
{
    switch (verdict) {
    case WIRE_OK:
    case WIRE_BAD:
        return 400;
    case WIRE_TOO_MANY_FIELDS:
        return 431;
    case WIRE_VERSION:
        return 505;
    case WIRE_NOT_IMPLEMENTED:
        return 501;
    case WIRE_NOMEM:
        return 503;
    }
    return 400;
}

/* The head is copied because the scratch buffer belongs to all connections. */
static void begin_exchange(struct server_connection *c, size_t head_length)
{
    const struct server_handler *handler = &c->server->handler;
    struct exchange *e = server_exchange_create(c);
    if (!e) {
        server_connection_close(c);
        return;
    }
    struct http_request *request = &e->x.request;
    struct slice head = arena_copy(&e->x.arena, slice_of(c->in.ptr, head_length));
    struct wire_result result = {WIRE_NOMEM, "out of memory"};
    if (head.ptr)
        result = wire_parse_request(head, &e->x.arena, request);
    if (result.verdict != WIRE_OK) {
        server_exchange_finish(e, SERVER_GONE);
        refuse(c, verdict_status(result.verdict), result.why);
        return;
    }
    c->in = slice_skip(c->in, head_length);
    c->scanned = 0;
    c->fresh = c->timed = false;
    c->read_deadline = 0;
    c->body_done =
        request->framing == FRAMING_NONE || (request->framing == FRAMING_LENGTH && request->length == 0);
    wire_body_init(&c->body, request->framing, request->length);
    c->busy = e;
    c->state = SERVER_BUSY;
    e->continued = !request->expect_continue;
    server_exchange_name(e);
    handler->on_request(handler->owner, &e->x);
}

/* Each step says whether another one may follow now. */
/* How long a connection without a request may stay while the server drains. */
static uint64_t drain_grace(const struct server_connection *c)
{
    uint64_t idle_ms = c->server->drain_idle_ms;
    return c->fresh && idle_ms < SERVER_FRESH_MS ? SERVER_FRESH_MS : idle_ms;
}

static bool step_head(struct server_connection *c)
{
    const struct server *server = c->server;
    size_t head_max = server->options.head_max;
    size_t length = c->in.len > 0 ? wire_head_length(c->in, &c->scanned) : 0;
    if (c->broken || server->closing) {
        server_connection_close(c);
    } else if (length > head_max || (length == 0 && c->in.len >= head_max)) {
        refuse(c, 431, "the request head is larger than allowed");
    } else if (length > 0) {
        begin_exchange(c, length);
    } else {
        if (c->eof || (server->draining && c->in.len == 0 && drain_grace(c) == 0))
            server_connection_close(c);
        return false;
    }
    return true;
}

/* --- BUSY ---------------------------------------------------------------------------------------- */

static void enter_head(struct server_connection *c)
{
    c->state = SERVER_HEAD;
    c->read_deadline = now_of(c) + c->server->options.idle_ms;
}

/* Closing with bytes unread would reset the connection, and the client could lose the answer with them. */
void server_connection_linger(struct server_connection *c)
{
    if (c->eof) {
        server_connection_close(c);
        return;
    }
    c->stream->shutdown(c);
    c->state = SERVER_LINGER;
    c->dropped = c->in.len;
    c->in = slice_of(NULL, 0);
    c->read_deadline = now_of(c) + SERVER_LINGER_MS;
    c->write_deadline = 0;
}

static void enter_closing(struct server_connection *c)
{
    if (c->linger || c->in.len > 0 || !c->body_done)
        server_connection_linger(c);
    else
        server_connection_close(c);
}

static void end_exchange(struct server_connection *c, enum server_outcome outcome)
{
    struct exchange *e = c->busy;
    c->busy = NULL;
    c->write_deadline = 0;
    c->read_deadline = 0;
    c->whole = outcome == SERVER_SENT;
    if (outcome != SERVER_SENT) {
        c->reset = outcome == SERVER_CUT && e->begun && e->length == SERVER_LENGTH_UNKNOWN && !e->chunked;
        server_exchange_finish(e, outcome);
        server_connection_close(c);
        return;
    }
    server_exchange_finish(e, outcome);
    if (c->closing) {
        enter_closing(c);
    } else if (c->body_done) {
        enter_head(c);
    } else {
        c->state = SERVER_SKIP;
        c->read_deadline = now_of(c) + c->server->options.body_ms;
    }
}

static bool step_body(struct server_connection *c)
{
    struct exchange *e = c->busy;
    if (e->ended)
        return false;
    if (e->collecting)
        return server_body_collect(e);
    if (!e->wants_body || c->in.len == 0)
        return false;
    e->wants_body = false;
    c->read_deadline = 0;
    if (e->x.on_body)
        e->x.on_body(&e->x);
    return true;
}

static bool step_answer(struct server_connection *c)
{
    struct exchange *e = c->busy;
    server_answer_send(e);
    if (c->broken || e->cut)
        return true;
    if (e->ended && e->count == e->first) {
        end_exchange(c, SERVER_SENT);
        return true;
    }
    if (!e->above || e->ended || e->backlog >= SERVER_BACKLOG_HIGH)
        return false;
    e->above = false;
    if (e->x.on_drained)
        e->x.on_drained(&e->x);
    return true;
}

static bool step_busy(struct server_connection *c)
{
    struct exchange *e = c->busy;
    if (c->server->closing)
        e->cut = true;
    if (!c->broken && !e->cut)
        return step_body(c) || step_answer(c);
    if (!c->broken)
        server_answer_send(e); /* what is there already may still be of use */
    end_exchange(c, e->cut ? SERVER_CUT : SERVER_GONE);
    return true;
}

/* --- SKIP and LINGER ----------------------------------------------------------------------------- */

/* How much there can be was looked at before the connection was promised to stay (seal, in answer.c). */
static bool step_skip(struct server_connection *c)
{
    struct slice data;
    if (c->broken || c->server->closing) {
        server_connection_close(c);
        return false;
    }
    switch (wire_body_next(&c->body, &c->in, &data)) {
    case WIRE_DATA:
        return true;
    case WIRE_DONE:
        c->body_done = true;
        enter_head(c);
        return true;
    case WIRE_DAMAGED:
        server_connection_linger(c);
        return true;
    case WIRE_MORE:
        break;
    }
    if (c->eof)
        server_connection_close(c);
    return false;
}

static bool step(struct server_connection *c)
{
    switch (c->state) {
    case SERVER_HEAD:
        return step_head(c);
    case SERVER_BUSY:
        return step_busy(c);
    case SERVER_SKIP:
        return step_skip(c);
    case SERVER_LINGER:
        if (c->eof || c->broken || c->server->closing)
            server_connection_close(c);
        return false;
    case SERVER_CLOSED:
        break;
    }
    return false;
}

/* --- the run ------------------------------------------------------------------------------------- */

/* What stays unread moves out of the scratch buffer; an idle connection keeps no buffer. */
static int stash(struct server_connection *c)
{
    int rc = 0;
    if (c->in.len > 0 && c->in_scratch) {
        buf_reset(&c->pending);
        c->pending.max = server_connection_room(c, c->in.len);
        rc = buf_append_slice(&c->pending, c->in);
        c->in = buf_slice(&c->pending);
    } else if (c->in.len == 0 && c->pending.cap > 0) {
        buf_deinit(&c->pending);
    }
    c->in_scratch = false;
    return rc;
}

/* READ stays on but for back-pressure, WRITE is off but for a full socket: no change for a request that just
 * passes. */
static void watch(struct server_connection *c)
{
    unsigned events = c->blocked || c->stalled ? LOOP_WRITE : 0;
    if (c->fd < 0)
        return;
    if (!c->eof && !c->stalled && c->in.len < c->server->options.head_max)
        events |= LOOP_READ;
    else if (!c->eof && !c->hangup)
        events |= LOOP_HANGUP;
    loop_io_watch(&c->io, events);
    if (c->unread && (events & LOOP_READ))
        server_connection_schedule(c);
}

static void time_head(struct server_connection *c)
{
    const struct server *server = c->server;
    if (c->in.len > 0 && !c->timed) {
        c->timed = true;
        c->read_deadline = now_of(c) + server->options.header_ms;
    }
    if (server->draining && c->in.len == 0 && c->read_deadline > now_of(c) + drain_grace(c))
        c->read_deadline = now_of(c) + drain_grace(c);
}

/* A timer that stands too early is left where it is. */
static void set_timer(struct server_connection *c)
{
    uint64_t next = c->read_deadline;
    if (c->write_deadline != 0 && (next == 0 || c->write_deadline < next))
        next = c->write_deadline;
    if (next != 0 && next != c->timer.deadline)
        server_connection_arm(c, next);
}

/* 408 is for someone who began a request; an idle connection just ends. */
void server_connection_expire(struct server_connection *c, uint64_t now)
{
    bool late_read = c->read_deadline != 0 && now >= c->read_deadline;
    bool late_write = c->write_deadline != 0 && now >= c->write_deadline;
    if (!late_read && !late_write)
        return;
    if (c->state != SERVER_HEAD || c->in.len == 0 || c->broken) {
        c->broken = true;
        return;
    }
    server_connection_refuse(c, 408, "the request head did not arrive in time");
}

void server_connection_run(struct server_connection *c)
{
    if (c->state == SERVER_CLOSED)
        return;
    c->running = true;
    while (step(c))
        continue;
    if (c->state != SERVER_CLOSED && stash(c) != 0) {
        c->broken = true;
        while (step(c))
            continue;
    }
    c->running = false;
    if (c->state == SERVER_CLOSED)
        return;
    if (c->state == SERVER_HEAD)
        time_head(c);
    watch(c);
    set_timer(c);
}
