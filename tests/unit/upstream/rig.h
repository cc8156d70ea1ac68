/*
 * The bench of this room's tests: one loop, one upstream, and an origin that is a bare listening socket which
 * the test itself plays, step by step, on the same thread. Every wait turns the loop; nothing sleeps. Time
 * moves by rig_jump (TEST_CLOCK).
 */
#ifndef UNIT_UPSTREAM_RIG_H
#define UNIT_UPSTREAM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/loop.h"
#include "upstream/upstream.h"

enum { RIG_PATIENCE_S = 60, RIG_BODY_MAX = 32 * 1024 * 1024 };

struct rig {
    struct loop *loop;
    struct upstream *upstream;
    struct upstream_origin origin;
    int listener;
    int port;
    int64_t *clock; /* NULL without TEST_CLOCK */
    bool closed;
};

/* What a transfer's user saw. */
struct call {
    struct rig *rig;
    struct upstream_transfer *t;
    int status, heads, ends, fails, writables, bodies;
    enum upstream_failure failure;
    bool sent;
    const char *why;
    struct buf fields; /* "name: value\n" */
    struct buf body;
    void (*then)(struct call *call); /* called inside on_end */
    void (*on_piece)(struct call *call);
    struct call *next;
    bool inside; /* a start or resume is on the stack: no callback may come */
};

/* --- the clock ----------------------------------------------------------------------- */

static inline int64_t *rig_clock(void)
{
    static int64_t *mapped; /* of the test program: the environment is read once */
#ifdef TEST_CLOCK
    if (!mapped) {
        char path[] = "/tmp/upstream-clock-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0 && ftruncate(fd, sizeof(int64_t)) == 0);
        mapped = mmap(NULL, sizeof(int64_t), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert_true(mapped != MAP_FAILED);
        close(fd);
        setenv("ROLLOUT_GATEWAY_TEST_CLOCK", path, 1);
        struct loop *loop = loop_create();
        loop_now(loop); /* maps it */
        loop_destroy(loop);
        unlink(path);
    }
#endif
    return mapped;
}

/* --- turning the loop ---------------------------------------------------------------- */

static inline void rig_turn(struct rig *rig)
{
    uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
}

static inline void rig_turns(struct rig *rig, int n)
{
    while (n-- > 0)
        rig_turn(rig);
}

static inline void rig_jump(struct rig *rig, int64_t ms)
{
    *rig->clock += ms;
    rig_turns(rig, 5);
}

/* Waits for a condition; the process's alarm ends a test that waits in vain. */
#define RIG_UNTIL(rig, condition)                                                                            \
    do {                                                                                                     \
        while (!(condition))                                                                                 \
            rig_turn(rig);                                                                                   \
    } while (0)

/* --- the origin ---------------------------------------------------------------------- */

static inline int rig_listen(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* -1 when nobody has connected yet. */
static inline int rig_try_accept(struct rig *rig)
{
    int one = 1;
    int fd = accept4(rig->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static inline int rig_accept(struct rig *rig)
{
    int fd;
    RIG_UNTIL(rig, (fd = rig_try_accept(rig)) >= 0);
    return fd;
}

static inline void rig_write_bytes(struct rig *rig, int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            return; /* the gateway has closed: what it told its user is what is tested */
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
        rig_turn(rig);
    }
}

static inline void rig_write(struct rig *rig, int fd, const char *text)
{
    rig_write_bytes(rig, fd, text, strlen(text));
}

/* What one read gives: bytes appended to `in`, or false at the end. */
static inline bool rig_read_some(struct rig *rig, int fd, struct buf *in)
{
    char bytes[65536];
    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n > 0) {
            buf_append(in, bytes, (size_t)n);
            return true;
        }
        if (n == 0 || errno != EAGAIN)
            return false;
        rig_turn(rig);
    }
}

/* Reads until the text stands in what has come; the whole of it goes to `in` when that is not NULL. */
static inline void rig_read_until(struct rig *rig, int fd, const char *text, struct buf *in)
{
    struct buf own;
    buf_init(&own, RIG_BODY_MAX);
    while (!memmem(own.ptr ? own.ptr : "", own.len, text, strlen(text)))
        if (!rig_read_some(rig, fd, &own))
            fail_msg("the connection ended before \"%s\"", text);
    if (in)
        buf_append_slice(in, buf_slice(&own));
    buf_deinit(&own);
}

static inline void rig_read_request(struct rig *rig, int fd)
{
    rig_read_until(rig, fd, "\r\n\r\n", NULL);
}

/* Has the gateway closed this connection? */
static inline void rig_await_close(struct rig *rig, int fd)
{
    struct buf in;
    buf_init(&in, RIG_BODY_MAX);
    while (rig_read_some(rig, fd, &in))
        continue;
    buf_deinit(&in);
    close(fd);
}

static inline void rig_reset(int fd)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

/* --- the user ------------------------------------------------------------------------ */

static inline void on_head(void *user, const struct http_response *head)
{
    struct call *call = user;
    assert_false(call->inside);
    assert_int_equal(call->heads + call->ends + call->fails, 0);
    call->heads++;
    call->status = head->status;
    for (size_t i = 0; i < head->fields.count; i++)
        buf_append_format(&call->fields, "%.*s: %.*s\n", SLICE_ARG(head->fields.at[i].name),
                          SLICE_ARG(head->fields.at[i].value));
    if (call->on_piece)
        call->on_piece(call);
}

static inline void on_body(void *user, struct slice data)
{
    struct call *call = user;
    assert_false(call->inside);
    assert_int_equal(call->heads, 1);
    assert_int_equal(call->ends + call->fails, 0);
    assert_true(data.len > 0);
    call->bodies++;
    assert_int_equal(buf_append_slice(&call->body, data), 0);
    if (call->on_piece)
        call->on_piece(call);
}

static inline void on_end(void *user)
{
    struct call *call = user;
    assert_false(call->inside);
    assert_int_equal(call->heads, 1);
    assert_int_equal(call->ends + call->fails, 0);
    call->ends++;
    call->t = NULL;
    if (call->then)
        call->then(call);
}

static inline void on_fail(void *user, enum upstream_failure failure, bool sent, const char *why)
{
    struct call *call = user;
    assert_false(call->inside);
    assert_int_equal(call->ends + call->fails, 0);
    assert_non_null(why);
    call->fails++;
    call->t = NULL;
    call->failure = failure;
    call->sent = sent;
    call->why = why;
}

static inline void on_writable(void *user)
{
    struct call *call = user;
    assert_false(call->inside);
    call->writables++;
}

static const struct upstream_hooks RIG_HOOKS = {on_head, on_body, on_end, on_fail, on_writable, NULL};

static inline void call_init(struct call *call, struct rig *rig)
{
    *call = (struct call){.rig = rig};
    buf_init(&call->fields, 1024 * 1024);
    buf_init(&call->body, RIG_BODY_MAX);
}

static inline void call_deinit(struct call *call)
{
    buf_deinit(&call->fields);
    buf_deinit(&call->body);
}

static inline void call_request(struct call *call, const struct upstream_request *request)
{
    struct upstream_request own = *request;
    own.origin = &call->rig->origin;
    own.user = call;
    own.hooks = &RIG_HOOKS;
    call->inside = true;
    call->t = upstream_start(call->rig->upstream, &own);
    call->inside = false;
    assert_non_null(call->t);
}

static inline void call_get(struct call *call)
{
    call_request(call, &(struct upstream_request){.method = METHOD_GET,
                                                  .head = SLICE("GET /x HTTP/1.1\r\nHost: origin\r\n\r\n")});
}

static inline size_t call_send(struct call *call, struct slice data, bool last)
{
    bool before = call->inside;
    call->inside = true;
    size_t n = upstream_send(call->t, data, last);
    call->inside = before;
    return n;
}

static inline void call_resume(struct call *call)
{
    call->inside = true;
    upstream_resume(call->t);
    call->inside = false;
}

static inline bool call_over(const struct call *call)
{
    return call->ends + call->fails > 0;
}

static inline void call_expect_ok(struct call *call, int status, const char *body)
{
    RIG_UNTIL(call->rig, call_over(call));
    if (call->fails)
        fail_msg("failed: %s: %s", upstream_failure_name(call->failure), call->why);
    assert_int_equal(call->status, status);
    assert_int_equal(call->body.len, strlen(body));
    assert_memory_equal(call->body.ptr ? call->body.ptr : "", body, strlen(body));
}

static inline void call_expect_failure(struct call *call, enum upstream_failure failure)
{
    RIG_UNTIL(call->rig, call_over(call));
    assert_int_equal(call->fails, 1);
    assert_string_equal(upstream_failure_name(call->failure), upstream_failure_name(failure));
    assert_int_equal(call->failure, failure);
}

/* --- set up and tear down ------------------------------------------------------------ */

static const struct upstream_options RIG_OPTIONS = {
    .times = {.connect_ms = 5000, .first_byte_ms = 30000, .idle_ms = 20000, .total_ms = 60000},
    .idle_connections = 8,
    .idle_keep_ms = 30000,
    .connection_age_ms = 300000,
    .connections_max = 16,
    .head_max = 32768,
};

static inline void rig_on_closed(void *arg)
{
    struct rig *rig = arg;
    rig->closed = true;
}

static inline void rig_open(struct rig *rig, const struct upstream_options *options)
{
    char url[64];
    *rig = (struct rig){.clock = rig_clock()};
    alarm(RIG_PATIENCE_S);
    rig->listener = rig_listen(&rig->port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/api", rig->port);
    assert_int_equal(upstream_origin_init(&rig->origin, slice_from(url), NULL), 0);
    rig->loop = loop_create();
    rig->upstream = upstream_create(rig->loop, options ? options : &RIG_OPTIONS);
    assert_non_null(rig->upstream);
}

static inline void rig_close_upstream(struct rig *rig)
{
    upstream_close(rig->upstream, rig_on_closed, rig);
    assert_false(rig->closed);
    RIG_UNTIL(rig, rig->closed);
    rig->upstream = NULL;
}

static inline void rig_close(struct rig *rig)
{
    if (rig->upstream)
        rig_close_upstream(rig);
    loop_destroy(rig->loop);
    upstream_origin_deinit(&rig->origin);
    close(rig->listener);
}

static inline struct upstream_stats rig_stats(struct rig *rig)
{
    struct upstream_stats stats;
    upstream_stats(rig->upstream, &stats);
    return stats;
}

static inline int rig_setup_process(void **state)
{
    (void)state;
    return upstream_global_init();
}

static inline int rig_teardown_process(void **state)
{
    (void)state;
    upstream_global_deinit();
    return 0;
}

#endif
