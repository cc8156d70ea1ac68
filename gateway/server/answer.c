/*
 * Answers: a queue of pieces in the order in which they leave. The head is pieces too: status line, the
 * handler's field lines where they are, and a tail of our own (framing, Connection), which is made when the
 * first byte of the body comes: until then the handler may add lines, and whether the connection can be kept
 * is best known late.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/server_internal.h"

enum { PARTS_MAX = 32 };

/* --- the queue ----------------------------------------------------------------------------------- */

static bool make_room(struct exchange *e)
{
    if (e->first == e->count)
        e->first = e->count = 0;
    if (e->count < e->capacity)
        return true;
    if (e->first > e->capacity / 2) {
        memmove(e->pieces, e->pieces + e->first, (e->count - e->first) * sizeof *e->pieces);
        e->count -= e->first;
        e->first = 0;
        return true;
    }
    size_t capacity = e->capacity * 2;
    struct piece *pieces = realloc(e->pieces == e->few ? NULL : e->pieces, capacity * sizeof *pieces);
    if (!pieces)
        return false;
    if (e->pieces == e->few)
        memcpy(pieces, e->few, e->count * sizeof *pieces);
    e->pieces = pieces;
    e->capacity = capacity;
    return true;
}

/* NULL (and the answer is cut) when out of memory. */
static struct piece *push(struct exchange *e, enum piece_kind kind, struct slice data)
{
    if (!make_room(e)) {
        e->cut = true;
        return NULL;
    }
    struct piece *piece = &e->pieces[e->count++];
    piece->data = data;
    piece->release = NULL;
    piece->object = NULL;
    piece->prefix_len = 0;
    piece->kind = (uint8_t)kind;
    return piece;
}

/* The release may queue more: the piece is out of the queue before. */
static void pop(struct exchange *e)
{
    struct piece *piece = &e->pieces[e->first++];
    void (*release)(void *object) = piece->release;
    e->offset = 0;
    if (release)
        release(piece->object);
}

void server_answer_drop(struct exchange *e)
{
    while (e->first < e->count)
        pop(e);
    if (e->pieces != e->few)
        free(e->pieces);
    e->pieces = e->few;
    e->capacity = SERVER_PIECES;
    e->first = e->count = 0;
}

/* --- sending ------------------------------------------------------------------------------------- */

static size_t add_part(struct iovec *part, struct slice bytes, size_t *skip, size_t *total)
{
    size_t skipped = *skip < bytes.len ? *skip : bytes.len;
    *skip -= skipped;
    if (skipped == bytes.len)
        return 0;
    /* The kernel only reads; iovec has no const. */
    *part = (struct iovec){(void *)(uintptr_t)(bytes.ptr + skipped), bytes.len - skipped};
    *total += part->iov_len;
    return 1;
}

static size_t gather(const struct exchange *e, struct iovec parts[PARTS_MAX], size_t *total)
{
    size_t count = 0, skip = e->offset;
    *total = 0;
    for (size_t i = e->first; i < e->count && count + 2 <= PARTS_MAX; i++) {
        const struct piece *piece = &e->pieces[i];
        count += add_part(&parts[count], slice_of(piece->prefix, piece->prefix_len), &skip, total);
        count += add_part(&parts[count], piece->data, &skip, total);
    }
    return count;
}

/* Takes n sent bytes, and pieces without bytes, off the queue. */
static void advance(struct exchange *e, size_t n)
{
    while (e->first < e->count) {
        const struct piece *piece = &e->pieces[e->first];
        size_t size = piece->prefix_len + piece->data.len, left = size - e->offset;
        size_t step = n < left ? n : left;
        size_t before = e->offset > piece->prefix_len ? e->offset - piece->prefix_len : 0;
        e->offset += step;
        n -= step;
        if (piece->kind != PIECE_INTERIM)
            e->x.sent_bytes += step;
        if (piece->kind == PIECE_BODY && e->offset > piece->prefix_len)
            e->backlog -= e->offset - piece->prefix_len - before;
        if (e->offset < size)
            return;
        pop(e);
    }
}

/* A short write means a full socket: asking again would only cost a call. */
void server_answer_send(struct exchange *e)
{
    struct server_connection *c = e->connection;
    struct iovec parts[PARTS_MAX];
    while (e->first < e->count && !c->blocked && (e->sealed || !e->begun)) {
        size_t total, count = gather(e, parts, &total);
        ssize_t n = total > 0 ? c->stream->writev(c, parts, count) : 0;
        if (n < 0 && n != ERR_AGAIN) {
            c->broken = true;
            return;
        }
        c->blocked = n < 0 || (size_t)n < total;
        if (n > 0 || c->write_deadline == 0)
            c->write_deadline = c->blocked ? loop_now(e->x.loop) + c->server->options.body_ms : 0;
        if (n >= 0)
            advance(e, (size_t)n);
    }
}

void server_answer_continue(struct exchange *e)
{
    push(e, PIECE_INTERIM, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    server_connection_schedule(e->connection);
}

void server_interim(struct server_exchange *x, int status, struct slice fields)
{
    struct exchange *e = server_exchange_of(x);
    char storage[64];
    struct buf line;
    assert(status > 100 && status < 200);
    if (e->begun || x->request.minor == 0)
        return;
    buf_init_fixed(&line, storage, sizeof storage);
    if (wire_put_status_line(&line, status) != 0)
        return;
    struct slice head =
        arena_format(&x->arena, "%.*s%.*s\r\n", SLICE_ARG(buf_slice(&line)), SLICE_ARG(fields));
    if (!head.ptr)
        return;
    push(e, PIECE_INTERIM, head);
    server_connection_schedule(e->connection);
}

/* --- the head ------------------------------------------------------------------------------------ */

/* Will the request's body be over soon enough to read the next request behind it? */
static bool body_ends(const struct exchange *e)
{
    const struct server_connection *c = e->connection;
    if (!e->continued || c->body.framing != FRAMING_LENGTH)
        return server_body_ahead(c) == WIRE_DONE;
    return c->body_done || c->body.left <= c->in.len + SERVER_SKIP_MAX;
}

static bool must_close(const struct exchange *e)
{
    const struct server_connection *c = e->connection;
    if (e->length == SERVER_LENGTH_UNKNOWN && !e->chunked && !e->bodyless)
        return true;
    return c->closing || c->server->draining;
}

/* Framing by RFC 9112 6.3: a 1.0 client knows no chunks, so the end of the connection is the end of the body.
 */
static void seal(struct exchange *e)
{
    struct server_connection *c = e->connection;
    const struct http_request *request = &e->x.request;
    struct buf tail;
    if (e->sealed)
        return;
    e->sealed = true;
    buf_init_fixed(&tail, e->tail, sizeof e->tail);
    if (e->x.status != 204 && e->x.status != 304) {
        if (e->length != SERVER_LENGTH_UNKNOWN) {
            buf_append(&tail, "Content-Length: ", 16);
            buf_append_u64(&tail, e->length);
            buf_append(&tail, "\r\n", 2);
        } else if (e->chunked) {
            buf_append_slice(&tail, SLICE("Transfer-Encoding: chunked\r\n"));
        }
    }
    if (must_close(e) || !body_ends(e))
        c->closing = c->linger = true;
    if (!request->keep_alive)
        c->closing = true;
    if (c->closing)
        buf_append_slice(&tail, SLICE("Connection: close\r\n"));
    else if (request->minor == 0)
        buf_append_slice(&tail, SLICE("Connection: keep-alive\r\n"));
    buf_append(&tail, "\r\n", 2);
    assert(!tail.failed);
    push(e, PIECE_HEAD, buf_slice(&tail));
}

void server_begin(struct server_exchange *x, int status, struct slice fields, uint64_t length)
{
    struct exchange *e = server_exchange_of(x);
    struct buf line;
    assert(!e->begun && status >= 200);
    buf_init_fixed(&line, e->line, sizeof e->line);
    int rc = wire_put_status_line(&line, status);
    assert(rc == 0);
    e->begun = true;
    x->status = status;
    e->length = length;
    e->bodyless = x->request.method == METHOD_HEAD || status == 204 || status == 304;
    e->chunked = length == SERVER_LENGTH_UNKNOWN && x->request.minor > 0;
    push(e, PIECE_HEAD, buf_slice(&line));
    server_fields(x, fields);
}

void server_fields(struct server_exchange *x, struct slice fields)
{
    struct exchange *e = server_exchange_of(x);
    assert(e->begun && !e->sealed);
    if (fields.len > 0)
        push(e, PIECE_HEAD, fields);
}

/* --- the body ------------------------------------------------------------------------------------ */

/* "\r\n" of the chunk before, then the size of this one. */
static void frame_chunk(struct exchange *e, struct piece *piece)
{
    char *at = piece->prefix;
    if (e->chunk_open) {
        memcpy(at, "\r\n", 2);
        at += 2;
    }
    at += wire_chunk_head(at, piece->data.len);
    piece->prefix_len = (uint8_t)(at - piece->prefix);
    e->chunk_open = true;
}

/* What may be sent of it: nothing where there is no body, and never more than was told. */
static struct slice admit(struct exchange *e, struct slice data)
{
    if (e->bodyless)
        return slice_of(NULL, 0);
    if (e->length != SERVER_LENGTH_UNKNOWN && data.len > e->length - e->written) {
        data.len = (size_t)(e->length - e->written);
        e->cut = true;
    }
    e->written += data.len;
    return data;
}

void server_write(struct server_exchange *x, struct server_piece piece)
{
    struct exchange *e = server_exchange_of(x);
    assert(e->begun && !e->ended);
    seal(e);
    server_connection_schedule(e->connection);
    struct slice data = admit(e, piece.data);
    if (data.len == 0 && !piece.release)
        return;
    struct piece *queued = push(e, PIECE_BODY, data);
    if (!queued) {
        if (piece.release)
            piece.release(piece.object);
        return;
    }
    queued->release = piece.release;
    queued->object = piece.object;
    if (e->chunked && data.len > 0)
        frame_chunk(e, queued);
    e->backlog += data.len;
    e->above = e->above || e->backlog > SERVER_BACKLOG_HIGH;
}

void server_flush(struct server_exchange *x)
{
    struct exchange *e = server_exchange_of(x);
    assert(e->begun && !e->ended);
    seal(e);
    if (e->chunk_open) {
        push(e, PIECE_HEAD, SLICE("\r\n"));
        e->chunk_open = false;
    }
    server_connection_schedule(e->connection);
}

void server_end(struct server_exchange *x)
{
    struct exchange *e = server_exchange_of(x);
    assert(e->begun && !e->ended);
    seal(e);
    e->ended = true;
    e->wants_body = false;
    e->connection->read_deadline = 0;
    if (!e->bodyless && e->chunked)
        push(e, PIECE_HEAD, e->chunk_open ? SLICE("\r\n0\r\n\r\n") : SLICE("0\r\n\r\n"));
    if (!e->bodyless && e->length != SERVER_LENGTH_UNKNOWN && e->written < e->length)
        e->cut = true;
    server_connection_schedule(e->connection);
}

void server_abort(struct server_exchange *x)
{
    struct exchange *e = server_exchange_of(x);
    e->cut = e->ended = true;
    server_connection_schedule(e->connection);
}

size_t server_backlog(const struct server_exchange *x)
{
    return container_of(x, const struct exchange, x)->backlog;
}
