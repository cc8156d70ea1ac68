/* A connection's descriptor: opening, reading, deadlines, closing. What it does with the bytes is in run.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server_internal.h"

static void on_ready(struct loop_io *io, unsigned events);
static void on_deadline(struct loop_timer *timer);
static void on_scheduled(struct loop_task *task);
static void on_released(struct loop_io *io);

/* --- plain sockets ------------------------------------------------------------------------------- */

static ssize_t stream_error(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
}

static ssize_t plain_read(struct server_connection *c, void *into, size_t max)
{
    ssize_t n = recv(c->fd, into, max, 0);
    return n >= 0 ? n : stream_error();
}

static ssize_t plain_writev(struct server_connection *c, struct iovec *parts, size_t count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
    return n >= 0 ? n : stream_error();
}

static void plain_shutdown(struct server_connection *c)
{
    shutdown(c->fd, SHUT_WR);
}

const struct server_stream server_plain_stream = {plain_read, plain_writev, plain_shutdown};

/* --- opening and closing ------------------------------------------------------------------------- */

/* Root of another user namespace, say, comes as the kernel's overflow id: never as 0. */
static void name_uid(struct server_connection *c)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid != (uid_t)-1)
        c->uid_len = (uint8_t)snprintf(c->uid, sizeof c->uid, "uid:%" PRIu32, (uint32_t)peer.uid);
}

static void name_peer(struct server_connection *c, const struct sockaddr_storage *peer)
{
    const void *at = peer;
    if (peer->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)at)->sin_addr, c->peer, sizeof c->peer);
    else if (peer->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)at)->sin6_addr, c->peer, sizeof c->peer);
    else {
        memcpy(c->peer, "unix", sizeof "unix");
        name_uid(c);
    }
}

static struct server_connection *make(struct server *server, int fd)
{
    struct server_connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->server = server;
    c->stream = &server_plain_stream;
    c->fd = fd;
    if ((server->options.tls && server_tls_attach(c, server->options.tls) != 0) ||
        loop_io_open(server->loop, &c->io, fd, on_ready) != 0) {
        server_tls_detach(c);
        free(c);
        return NULL;
    }
    return c;
}

void server_connection_open(struct server *server, int fd, const struct sockaddr_storage *peer)
{
    struct server_connection *c = make(server, fd);
    if (!c) {
        close(fd);
        return;
    }
    c->fresh = c->timed = true;
    c->task.run = on_scheduled;
    name_peer(c, peer);
    list_push_back(&server->connections, &c->node);
    server->open++;
    server->references++;
    loop_io_watch(&c->io, LOOP_READ);
    c->read_deadline = loop_now(server->loop) + server->options.header_ms;
    server_connection_arm(c, c->read_deadline);
}

struct server_connection *server_connection_inner(struct server *server, struct server_inner *inner,
                                                  const struct server_inner_request *request)
{
    struct server_connection *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    buf_init(&c->pending, request->bytes.len);
    if (buf_append_slice(&c->pending, request->bytes)) {
        free(c);
        return NULL;
    }
    c->server = server;
    c->stream = &server_memory_stream;
    c->inner = inner;
    c->from = request->from;
    c->fd = -1;
    c->in = buf_slice(&c->pending);
    c->fresh = c->timed = c->eof = true;
    c->task.run = on_scheduled;
    memcpy(c->peer, "internal", sizeof "internal");
    list_push_back(&server->connections, &c->node);
    server->references++;
    server_connection_schedule(c);
    return c;
}

/* A connection without a deadline could stay for ever: it goes. */
void server_connection_arm(struct server_connection *c, uint64_t deadline)
{
    if (loop_timer_set(c->server->loop, &c->timer, deadline, on_deadline) == 0)
        return;
    c->broken = true;
    server_connection_schedule(c);
}

/* There is no descriptor that the loop would let go of. */
static void close_inner(struct server_connection *c)
{
    if (c->inner)
        server_inner_closed(c);
    c->released = true;
    if (c->scheduled)
        return;
    c->scheduled = true;
    loop_defer(c->server->loop, &c->task);
}

static void close_descriptor(struct server_connection *c)
{
    loop_io_close(&c->io, on_released);
    close(c->fd);
    c->fd = -1;
    c->server->open--;
}

void server_connection_close(struct server_connection *c)
{
    struct server *server = c->server;
    if (c->reset && c->fd >= 0)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    server_tls_detach(c);
    c->state = SERVER_CLOSED;
    c->in = slice_of(NULL, 0);
    buf_deinit(&c->pending);
    loop_timer_clear(server->loop, &c->timer);
    list_remove(&c->node);
    if (c->fd < 0)
        close_inner(c);
    else
        close_descriptor(c);
    server_resume(server);
}

/* The loop has let go, and no task stands in its queue any more. */
static void release(struct server_connection *c)
{
    struct server *server = c->server;
    free(c);
    server_unref(server);
}

static void on_released(struct loop_io *io)
{
    struct server_connection *c = container_of(io, struct server_connection, io);
    c->released = true;
    if (!c->scheduled)
        release(c);
}

/* --- what wakes it ------------------------------------------------------------------------------- */

void server_connection_schedule(struct server_connection *c)
{
    if (c->running || c->scheduled || c->state == SERVER_CLOSED)
        return;
    c->scheduled = true;
    loop_defer(c->server->loop, &c->task);
}

/* A request that crosses our drain is served: the last look before an idle connection is closed. */
static bool wants_look(const struct server_connection *c)
{
    if (c->unread && (c->io.events & LOOP_READ))
        return true;
    return c->server->draining && c->state == SERVER_HEAD && c->in.len == 0 && !c->eof;
}

static void on_scheduled(struct loop_task *task)
{
    struct server_connection *c = container_of(task, struct server_connection, task);
    c->scheduled = false;
    if (c->state == SERVER_CLOSED) {
        if (c->released)
            release(c);
        return;
    }
    if (wants_look(c))
        server_connection_read(c);
    server_connection_run(c);
}

static bool has_failed(const struct server_connection *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0;
}

/* The loop reports an error by watching nothing any more. A hang-up is asked for only while reading is
 * paused. */
static void on_ready(struct loop_io *io, unsigned events)
{
    struct server_connection *c = container_of(io, struct server_connection, io);
    bool reading = (io->events & LOOP_READ) && (events & LOOP_READ);
    if (io->events == 0 || ((events & LOOP_HANGUP) && has_failed(c)))
        c->broken = true;
    if (events & LOOP_HANGUP)
        c->hangup = true;
    if (events & LOOP_WRITE) {
        reading = reading || c->stalled;
        c->blocked = false;
    }
    if (!c->broken && reading)
        server_connection_read(c);
    server_connection_run(c);
}

/* The timer may stand earlier than the deadlines do: moving it at each request would cost more than a look
 * now and then. */
static void on_deadline(struct loop_timer *timer)
{
    struct server_connection *c = container_of(timer, struct server_connection, timer);
    uint64_t now = loop_now(c->server->loop);
    server_connection_expire(c, now);
    server_connection_run(c);
}

/* --- reading ------------------------------------------------------------------------------------- */

/* Reading pauses at head_max, and one read adds a scratch buffer at most. After a reload there may be more
 * already. */
size_t server_connection_room(const struct server_connection *c, size_t more)
{
    size_t most = c->server->options.head_max + SERVER_SCRATCH, need = c->pending.len + more;
    return need > most ? need : most;
}

/* Behind what is still there, or straight from the scratch buffer. */
static int add_input(struct server_connection *c, struct slice data)
{
    if (c->in.len == 0) {
        c->in = data;
        c->in_scratch = true;
        return 0;
    }
    buf_consume(&c->pending, (size_t)(c->in.ptr - c->pending.ptr));
    c->pending.max = server_connection_room(c, data.len);
    int rc = buf_append_slice(&c->pending, data);
    c->in = buf_slice(&c->pending);
    return rc;
}

static void on_eof(struct server_connection *c)
{
    c->eof = true;
    if (c->state == SERVER_BUSY && server_body_ahead(c) == WIRE_MORE)
        c->broken = true;
}

static void drop_input(struct server_connection *c, size_t len)
{
    c->dropped += len;
    if (c->dropped > SERVER_LINGER_MAX)
        c->broken = true;
}

void server_connection_read(struct server_connection *c)
{
    char *scratch = c->server->scratch;
    ssize_t n = c->stream->read(c, scratch, SERVER_SCRATCH);
    if (n == ERR_AGAIN)
        return;
    if (n < 0)
        c->broken = true;
    else if (n == 0)
        on_eof(c);
    else if (c->state == SERVER_LINGER)
        drop_input(c, (size_t)n);
    else if (add_input(c, slice_of(scratch, (size_t)n)) != 0)
        c->broken = true;
}
