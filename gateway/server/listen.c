/* The listener: accepts until the connections or the process' descriptors run out, pauses, and goes on. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "server/server_internal.h"

enum { ACCEPTS_A_TURN = 64, ACCEPTS_AT_DRAIN = 8192 };

static void on_listener_ready(struct loop_io *io, unsigned events);
static void on_listener_closed(struct loop_io *io);
static void on_pause_over(struct loop_timer *timer);

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* TCP_NODELAY is inherited by what is accepted (and refused by unix sockets, which have no delay). */
static int prepare(struct server *server)
{
    if (server->fd < 0)
        return 0;
    int on = 1, flags = fcntl(server->fd, F_GETFL);
    if (flags < 0 || fcntl(server->fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return ERR_IO;
    setsockopt(server->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return loop_io_open(server->loop, &server->listener, server->fd, on_listener_ready);
}

struct server *server_open(struct loop *loop, int fd, const struct server_options *options,
                           const struct server_handler *handler)
{
    struct server *server = calloc(1, sizeof *server);
    if (!server)
        goto fail;
    server->loop = loop;
    server->fd = fd;
    server->options = *options;
    server_tls_retain(options->tls);
    server->handler = *handler;
    server->references = fd < 0 ? 1 : 2;
    list_init(&server->connections);
    server->scratch = malloc(SERVER_SCRATCH);
    if (!server->scratch || prepare(server) != 0)
        goto fail;
    server->spare = -1;
    if (fd >= 0) {
        server->spare = open_spare();
        loop_io_watch(&server->listener, LOOP_READ);
    }
    return server;
fail:
    if (server) {
        server_tls_release(server->options.tls);
        free(server->scratch);
    }
    free(server);
    if (fd >= 0)
        close(fd);
    return NULL;
}

void server_configure(struct server *server, const struct server_options *options)
{
    struct server_tls *before = server->options.tls;
    server->options = *options;
    server_tls_retain(options->tls);
    server_tls_release(before);
    server_resume(server);
}

unsigned server_connections(const struct server *server)
{
    return server->open;
}

/* --- accepting ----------------------------------------------------------------------------------- */

static void pause_accepting(struct server *server)
{
    server->paused = true;
    loop_io_watch(&server->listener, 0);
}

/* Turns one client away at once and gives the others some time: without the pause, the loop would spin on a
 * listener that stays readable. */
static void on_exhausted(struct server *server, int reason)
{
    if (!server->exhausted)
        log_message(LOG_WARN, "accept_paused", "%s: %s", server->options.name, strerror(reason));
    server->exhausted = true;
    if (server->spare >= 0) {
        close(server->spare);
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        server->spare = open_spare();
    }
    pause_accepting(server);
    loop_timer_set(server->loop, &server->pause, loop_now(server->loop) + SERVER_PAUSE_MS, on_pause_over);
}

/* False when there is nothing more to accept now. */
static bool accept_one(struct server *server)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    if (server->open >= server->options.connections_max) {
        pause_accepting(server);
        return false;
    }
    int fd = accept4(server->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        server->exhausted = false;
        server_connection_open(server, fd, &peer);
        return true;
    }
    switch (errno) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        on_exhausted(server, errno);
        return false;
    case EAGAIN:
        return false;
    default: /* that client has left again (ECONNABORTED and what accept(2) passes on from the network) */
        return true;
    }
}

static void on_listener_ready(struct loop_io *io, unsigned events)
{
    struct server *server = container_of(io, struct server, listener);
    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && accept_one(server); i++)
        continue;
}

void server_resume(struct server *server)
{
    if (!server->paused || server->fd < 0 || server->open >= server->options.connections_max)
        return;
    if (server->spare < 0)
        server->spare = open_spare();
    server->paused = false;
    loop_timer_clear(server->loop, &server->pause);
    loop_io_watch(&server->listener, LOOP_READ);
}

static void on_pause_over(struct loop_timer *timer)
{
    server_resume(container_of(timer, struct server, pause));
}

/* --- ending -------------------------------------------------------------------------------------- */

static void close_listener(struct server *server)
{
    if (server->fd < 0)
        return;
    loop_timer_clear(server->loop, &server->pause);
    loop_io_close(&server->listener, on_listener_closed);
    close(server->fd);
    server->fd = -1;
    if (server->spare >= 0)
        close(server->spare);
    server->spare = -1;
}

static void on_listener_closed(struct loop_io *io)
{
    server_unref(container_of(io, struct server, listener));
}

static void schedule_all(struct server *server)
{
    list_each (node, &server->connections)
        server_connection_schedule(container_of(node, struct server_connection, node));
}

/* What the kernel has already accepted for us would be reset with the listener: it is served first. */
void server_drain(struct server *server, uint64_t idle_ms)
{
    if (server->draining || server->closing)
        return;
    server->draining = true;
    server->drain_idle_ms = idle_ms;
    for (int i = 0; server->fd >= 0 && i < ACCEPTS_AT_DRAIN && !server->paused && accept_one(server); i++)
        continue;
    close_listener(server);
    schedule_all(server);
}

static void on_close_task(struct loop_task *task)
{
    server_unref(container_of(task, struct server, task));
}

void server_close(struct server *server, void (*on_closed)(void *arg), void *arg)
{
    if (server->closing)
        return;
    server->closing = true;
    server->on_closed = on_closed;
    server->arg = arg;
    close_listener(server);
    schedule_all(server);
    server->task.run = on_close_task;
    loop_defer(server->loop, &server->task);
}

void server_unref(struct server *server)
{
    if (--server->references > 0)
        return;
    void (*on_closed)(void *arg) = server->on_closed;
    void *arg = server->arg;
    while (server->free) {
        struct exchange *e = server->free;
        server->free = e->next_free;
        free(e);
    }
    server_tls_release(server->options.tls);
    free(server->scratch);
    free(server);
    if (on_closed)
        on_closed(arg);
}
