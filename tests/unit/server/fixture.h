/*
 * A real loop, a real server on loopback, and clients that speak raw bytes, all on one thread: the test turns
 * the loop by hand. What the handler does is chosen by the target of the request.
 */
#ifndef TESTS_UNIT_SERVER_FIXTURE_H
#define TESTS_UNIT_SERVER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/server.h"

enum {
    BIG = 4 * 1024 * 1024,
    BIG_PIECE = 32 * 1024,
    HUGE_BODY = 256 * 1024 * 1024, /* more than all buffers of the kernel */
    HELD_MAX = 16,
    WAIT_MS = 10000,  /* for what must happen: far more than it takes */
    QUIET_TURNS = 30, /* after which nothing is expected any more */
};

struct fixture {
    struct loop *loop;
    struct server *server;
    struct server_options options;
    char address[64];
    uint16_t port;
    bool closed;
    /* What was seen. */
    unsigned requests, dones, sent, cut, gone, refused, drained, bodies;
    int refused_status;
    unsigned queued, released; /* pieces with a release */
    size_t max_backlog;
    uint64_t last_sent_bytes;
    char last_id[SERVER_REQUEST_ID_MAX + 1];
    char last_peer[64];
    bool last_tls;
    char last_name[64];
    struct server_exchange *held[HELD_MAX];
    unsigned holding;
    bool inside; /* a call into the server is under way: no callback may come */
    bool broke_promise;
    char big[BIG_PIECE];
};

struct job {
    struct fixture *f;
    size_t left;
};

/* --- the clock ----------------------------------------------------------------------------------- */

#ifdef TEST_CLOCK
/* Before anything asks for the time. */
static inline int64_t *clock_open(void)
{
    static int64_t *offset;
    if (offset)
        return offset;
    char path[] = "/tmp/server-clock-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, sizeof *offset), 0);
    offset = mmap(NULL, sizeof *offset, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(offset != MAP_FAILED);
    setenv("ROLLOUT_GATEWAY_TEST_CLOCK", path, 1);
    clock_mono_ms();
    unlink(path);
    close(fd);
    return offset;
}

static inline void clock_jump(int64_t ms)
{
    *clock_open() += ms;
}
#else
static inline void clock_open(void) {}
#endif

/* --- the handler --------------------------------------------------------------------------------- */

static inline void on_fixture_released(void *object)
{
    ((struct fixture *)object)->released++;
}

static inline void on_fixture_done(struct server_exchange *x, enum server_outcome outcome)
{
    struct job *job = x->user;
    struct fixture *f = job->f;
    f->broke_promise |= f->inside;
    f->dones++;
    f->sent += outcome == SERVER_SENT;
    f->cut += outcome == SERVER_CUT;
    f->gone += outcome == SERVER_GONE;
    f->last_sent_bytes = x->sent_bytes;
    for (unsigned i = 0; i < f->holding; i++) {
        if (f->held[i] == x)
            f->held[i] = NULL;
    }
}

static inline void put_piece(struct server_exchange *x, struct slice data)
{
    struct fixture *f = ((struct job *)x->user)->f;
    f->queued++;
    server_write(x, (struct server_piece){data, on_fixture_released, f});
}

static inline void put_big(struct server_exchange *x)
{
    struct job *job = x->user;
    struct fixture *f = job->f;
    f->inside = true;
    while (job->left > 0 && server_backlog(x) <= 64 * 1024) {
        size_t n = job->left < sizeof f->big ? job->left : sizeof f->big;
        put_piece(x, slice_of(f->big, n));
        job->left -= n;
        if (server_backlog(x) > f->max_backlog)
            f->max_backlog = server_backlog(x);
    }
    if (job->left == 0)
        server_end(x);
    f->inside = false;
}

static inline void on_fixture_drained(struct server_exchange *x)
{
    struct job *job = x->user;
    job->f->broke_promise |= job->f->inside;
    job->f->drained++;
    put_big(x);
}

/* Sends back what comes, as it comes. */
static inline void on_echo(struct server_exchange *x)
{
    struct fixture *f = ((struct job *)x->user)->f;
    struct slice data;
    f->broke_promise |= f->inside;
    f->inside = true;
    f->bodies++;
    for (;;) {
        switch (server_body_next(x, &data)) {
        case SERVER_BODY_DATA:
            put_piece(x, arena_copy(&x->arena, data));
            continue;
        case SERVER_BODY_MORE:
            break;
        case SERVER_BODY_END:
            server_end(x);
            break;
        case SERVER_BODY_TOO_LARGE:
        case SERVER_BODY_BROKEN:
            server_abort(x);
            break;
        }
        break;
    }
    f->inside = false;
}

static inline void on_fixture_collected(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct fixture *f = ((struct job *)x->user)->f;
    f->broke_promise |= f->inside;
    f->bodies++;
    if (problem != PROBLEM_COUNT)
        server_problem(x, problem, "", "", "no body for you");
    else
        server_reply(x, 200, "text/plain", "", body);
}

static inline void on_short_lived(struct server_exchange *x, const char *target)
{
    struct fixture *f = ((struct job *)x->user)->f;
    if (strcmp(target, "/nothing") == 0)
        server_reply(x, 204, NULL, "", slice_of(NULL, 0));
    else if (strcmp(target, "/same") == 0)
        server_reply(x, 304, NULL, "ETag: \"1\"\r\n", SLICE("never sent"));
    else if (strcmp(target, "/problem") == 0)
        server_problem(x, PROBLEM_API_UNKNOWN, "X-More: 1\r\n", ",\"extra\":1", "no api '%s'", "x\"y");
    else if (strcmp(target, "/abort") == 0)
        server_abort(x);
    else if (strcmp(target, "/short") == 0 || strcmp(target, "/long") == 0) {
        server_begin(x, 200, slice_of(NULL, 0), 8);
        put_piece(x, target[1] == 's' ? SLICE("abcd") : SLICE("abcdefghSURPLUS"));
        server_end(x);
    } else if (strcmp(target, "/cut") == 0) {
        server_begin(x, 200, slice_of(NULL, 0), SERVER_LENGTH_UNKNOWN);
        put_piece(x, SLICE("half"));
        server_abort(x);
    } else
        server_reply(x, 200, "text/plain", "X-Seen: 1\r\n", slice_from(target));
    f->inside = false;
}

static inline void on_fixture_request(void *owner, struct server_exchange *x)
{
    struct fixture *f = owner;
    struct job *job = arena_zalloc(&x->arena, sizeof *job);
    const char *target = arena_copy(&x->arena, x->request.target).ptr;
    f->broke_promise |= f->inside;
    f->requests++;
    snprintf(f->last_id, sizeof f->last_id, "%.*s", SLICE_ARG(x->request_id));
    snprintf(f->last_peer, sizeof f->last_peer, "%s", x->peer);
    f->last_tls = x->tls;
    snprintf(f->last_name, sizeof f->last_name, "%.*s", SLICE_ARG(x->peer_name));
    job->f = f;
    x->user = job;
    x->on_done = on_fixture_done;
    f->inside = true;
    if (strncmp(target, "/hold", 5) == 0) {
        assert_true(f->holding < HELD_MAX);
        f->held[f->holding++] = x;
    } else if (strcmp(target, "/echo") == 0) {
        x->on_body = on_echo;
        server_begin(x, 200, SLICE("X-First: 1\r\n"), SERVER_LENGTH_UNKNOWN);
        server_fields(x, SLICE("X-Second: 2\r\n"));
        f->inside = false;
        on_echo(x);
    } else if (strcmp(target, "/collect") == 0) {
        server_collect(x, 1000, on_fixture_collected);
    } else if (strcmp(target, "/collect-much") == 0) {
        server_collect(x, 1000000, on_fixture_collected);
    } else if (strncmp(target, "/big", 4) == 0) {
        job->left = strcmp(target, "/big-huge") == 0 ? HUGE_BODY : BIG;
        x->on_drained = on_fixture_drained;
        server_begin(x, 200, slice_of(NULL, 0),
                     strcmp(target, "/big-unknown") == 0 ? SERVER_LENGTH_UNKNOWN : job->left);
        put_big(x);
    } else
        on_short_lived(x, target);
    f->inside = false;
}

static inline void on_fixture_refused(void *owner, int status, const char *why)
{
    struct fixture *f = owner;
    assert_non_null(why);
    f->refused++;
    f->refused_status = status;
}

/* --- life ---------------------------------------------------------------------------------------- */

static inline void turn(struct fixture *f)
{
    uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
}

static inline void settle(struct fixture *f)
{
    for (int i = 0; i < QUIET_TURNS; i++)
        turn(f);
}

static inline uint64_t wait_end(void)
{
    return clock_mono_ms() + WAIT_MS;
}

#define wait_for(f, condition)                                                                               \
    do {                                                                                                     \
        uint64_t end_ = wait_end();                                                                          \
        while (!(condition) && clock_mono_ms() < end_)                                                       \
            turn(f);                                                                                         \
        assert_true(condition);                                                                              \
    } while (0)

static inline struct server_options fixture_options(void)
{
    return (struct server_options){.name = "test",
                                   .head_max = 2048,
                                   .body_max = 100000,
                                   .header_ms = 10000,
                                   .idle_ms = 75000,
                                   .body_ms = 30000,
                                   .connections_max = 100,
                                   .problem_fields = "Cache-Status: rollout-gateway; detail=none\r\n"};
}

static inline struct fixture *fixture_open_at(const char *address)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fault fault;
    int fd;
    assert_non_null(f);
    clock_open();
    memset(f->big, 'b', sizeof f->big);
    f->options = fixture_options();
    f->loop = loop_create();
    assert_non_null(f->loop);
    assert_int_equal(server_listen(address, &fd, 1, &fault), 0);
    struct buf text;
    buf_init_fixed(&text, f->address, sizeof f->address - 1);
    assert_int_equal(server_address(fd, &text), 0);
    const char *colon = strrchr(f->address, ':');
    f->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    struct server_handler handler = {f, on_fixture_request, on_fixture_refused};
    f->server = server_open(f->loop, fd, &f->options, &handler);
    assert_non_null(f->server);
    return f;
}

static inline struct fixture *fixture_open(void)
{
    return fixture_open_at("127.0.0.1:0");
}

static inline void on_fixture_closed(void *arg)
{
    ((struct fixture *)arg)->closed = true;
}

/* Whatever a test did: every exchange was done once, every piece released once, no callback came inside a
 * call. */
static inline void fixture_close(struct fixture *f)
{
    server_close(f->server, on_fixture_closed, f);
    assert_false(f->closed);
    wait_for(f, f->closed);
    assert_int_equal(f->dones, f->requests);
    assert_int_equal(f->sent + f->cut + f->gone, f->dones);
    assert_int_equal(f->released, f->queued);
    assert_false(f->broke_promise);
    loop_destroy(f->loop);
    free(f);
}

/* --- clients ------------------------------------------------------------------------------------- */

struct client {
    struct fixture *f;
    int fd;
    bool eof, reset;
    size_t len;
    char *text; /* what came, NUL behind it */
};

static inline void client_open_small(struct fixture *f, struct client *c, int receive_buffer)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    *c = (struct client){.f = f, .text = calloc(1, BIG + 65536)};
    assert_non_null(c->text);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(c->fd >= 0);
    if (receive_buffer > 0)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int rc = connect(c->fd, (const struct sockaddr *)&at, sizeof at);
    assert_true(rc == 0 || errno == EINPROGRESS);
}

static inline void client_open(struct fixture *f, struct client *c)
{
    client_open_small(f, c, 0);
}

static inline void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    free(c->text);
    c->text = NULL;
}

/* With a RST instead of a FIN. */
static inline void client_reset(struct client *c)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client_close(c);
}

static inline void client_send_bytes(struct client *c, const char *bytes, size_t len)
{
    for (uint64_t end = wait_end(); len > 0 && clock_mono_ms() < end;) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else
            turn(c->f);
    }
    assert_int_equal(len, 0);
}

static inline void client_send(struct client *c, const char *text)
{
    client_send_bytes(c, text, strlen(text));
}

/* Takes what is there. */
static inline bool client_read(struct client *c, size_t most)
{
    size_t room = BIG + 65535 - c->len;
    ssize_t n = recv(c->fd, c->text + c->len, most < room ? most : room, 0);
    if (n > 0) {
        c->len += (size_t)n;
        c->text[c->len] = '\0';
        return true;
    }
    c->eof |= n == 0;
    c->reset |= n < 0 && errno == ECONNRESET;
    return false;
}

static inline bool client_has(struct client *c, const char *needle)
{
    while (client_read(c, SIZE_MAX))
        continue;
    return strstr(c->text, needle) != NULL;
}

static inline bool client_ended(struct client *c)
{
    while (client_read(c, SIZE_MAX))
        continue;
    return c->eof || c->reset;
}

static inline void client_expect(struct client *c, const char *needle)
{
    for (uint64_t end = wait_end(); !client_has(c, needle) && clock_mono_ms() < end;)
        turn(c->f);
    if (!strstr(c->text, needle))
        fail_msg("no '%s' in '%s'", needle, c->text);
}

static inline void client_expect_end(struct client *c)
{
    wait_for(c->f, client_ended(c));
}

/* Forgets what came so far. */
static inline void client_forget(struct client *c)
{
    c->len = 0;
    c->text[0] = '\0';
}

/* How many of the last bytes are all the same one. */
static inline size_t run_at_end(const struct client *c, char byte)
{
    size_t n = 0;
    while (n < c->len && c->text[c->len - 1 - n] == byte)
        n++;
    return n;
}

#define GET(target) "GET " target " HTTP/1.1\r\nHost: t\r\n\r\n"

#endif
