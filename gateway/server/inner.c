/*
 * Requests of the process's own: a connection whose client is a piece of memory. It says HTTP/1.0, so that
 * what it is answered is a head and plain bytes; all that a handler may do with an exchange is the same.
 */
#include <stdlib.h>

#include "server/server_internal.h"

enum { HEAD_MAX = 64 * 1024 };

struct server_inner {
    struct server_connection *connection; /* NULL once it is closed */
    struct loop *loop;
    struct loop_task task;
    struct buf out; /* the answer as it came */
    bool whole, cancelled;
    void *user;
    void (*on_answer)(void *user, const struct server_inner_answer *answer);
};

/* --- the stream ---------------------------------------------------------------------------------- */

static ssize_t memory_read(struct server_connection *c, void *into, size_t max)
{
    (void)c;
    (void)into;
    (void)max;
    return ERR_AGAIN; /* all there was to say is there from the start */
}

static ssize_t memory_writev(struct server_connection *c, struct iovec *parts, size_t count)
{
    ssize_t sum = 0;
    if (!c->inner)
        return ERR_CLOSED;
    for (size_t i = 0; i < count; i++) {
        if (buf_append(&c->inner->out, parts[i].iov_base, parts[i].iov_len))
            return ERR_CLOSED;
        sum += (ssize_t)parts[i].iov_len;
    }
    return sum;
}

static void memory_shutdown(struct server_connection *c)
{
    (void)c;
}

const struct server_stream server_memory_stream = {memory_read, memory_writev, memory_shutdown};

/* --- the answer ---------------------------------------------------------------------------------- */

static bool read_head(const struct server_inner *inner, struct arena *arena, struct http_response *head,
                      struct slice *body)
{
    size_t scanned = 0;
    struct slice all = buf_slice(&inner->out);
    size_t length = wire_head_length(all, &scanned);
    if (!inner->whole || length == 0)
        return false;
    *body = slice_skip(all, length);
    return wire_parse_response(slice_of(all.ptr, length), METHOD_GET, arena, head).verdict == WIRE_OK;
}

static void tell(struct loop_task *task)
{
    struct server_inner *inner = container_of(task, struct server_inner, task);
    struct server_inner_answer answer = {0};
    struct http_response head;
    struct slice body;
    struct arena arena;
    arena_init(&arena, NULL, 0, HEAD_MAX);
    if (!inner->cancelled) {
        if (read_head(inner, &arena, &head, &body))
            answer = (struct server_inner_answer){head.status, false, &head.fields, body};
        answer.outgrown = inner->out.failed;
        inner->on_answer(inner->user, &answer);
    }
    arena_reset(&arena);
    buf_wipe(&inner->out);
    free(inner);
}

void server_inner_closed(struct server_connection *c)
{
    struct server_inner *inner = c->inner;
    inner->whole = c->whole;
    inner->connection = NULL;
    c->inner = NULL;
    loop_defer(inner->loop, &inner->task);
}

/* --- beginning and end --------------------------------------------------------------------------- */

struct server_inner *server_inner_start(struct server *server, const struct server_inner_request *request)
{
    struct server_inner *inner = calloc(1, sizeof *inner);
    if (!inner)
        return NULL;
    inner->loop = server->loop;
    inner->task.run = tell;
    inner->user = request->user;
    inner->on_answer = request->on_answer;
    buf_init(&inner->out, request->answer_max + HEAD_MAX);
    inner->connection = server_connection_inner(server, inner, request);
    if (inner->connection)
        return inner;
    free(inner);
    return NULL;
}

void server_inner_cancel(struct server_inner *inner)
{
    inner->cancelled = true;
    if (!inner->connection)
        return;
    inner->connection->broken = true;
    server_connection_schedule(inner->connection);
}
