/*
 * A sandbox on a real loop and loopback sockets, a client that asks it, and a receiver of webhooks, all on
 * one thread: the test turns the loop by hand.
 */
#ifndef TESTS_UNIT_SANDBOX_FIXTURE_H
#define TESTS_UNIT_SANDBOX_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "sandbox/sandbox_internal.h"

enum { WAIT_MS = 10000, ANSWER_SIZE = 2 * 1024 * 1024, HOOKS_MAX = 64 };

#define CLIENT_ID     "test-client"
#define CLIENT_SECRET "0123456789012345678901234567890123456789012345678901234567890123"
#define ACME          "0197d000-ac3e-7001-8000-00000000ac01"
#define ACME_MAIL     "0197d000-ac3e-7002-8000-00000000ac02"
#define GLOBEX        "0197d000-910b-7001-8000-000000009101"
#define GLOBEX_LOFTY  "0197d000-910b-7002-8000-000000009102"
#define INITECH_TMS   "0197d000-1217-7001-8000-000000001201"
#define INITECH_LOS   "0197d000-1217-7002-8000-000000001202"

struct fixture {
    struct loop *loop;
    struct sandbox *sandbox;
    uint16_t port;
    bool closed;
    /* What asks. */
    const char *tenant, *credential; /* credential NULL: no such header */
    const char *token;               /* instead of a good one, or NULL */
    /* What came back; json is NULL for what is none. */
    int status;
    json_t *json;
    char *raw;
    size_t raw_len;
    bool eof;
    /* The receiver: refuses so many first. */
    struct server *receiver;
    bool receiver_closed;
    unsigned refuse, attempts, received;
    json_t *events; /* as they came, also those that were refused */
    bool bad_signature;
};

/* --- the clock ----------------------------------------------------------------------------------- */

#ifdef TEST_CLOCK
/* Before anything asks for the time. */
static inline int64_t *clock_open(void)
{
    static int64_t *offset;
    if (offset)
        return offset;
    char path[] = "/tmp/sandbox-clock-XXXXXX";
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
#endif

static inline void turn(struct fixture *f)
{
    uv_run(loop_uv(f->loop), UV_RUN_NOWAIT);
}

#define wait_for(f, condition)                                                                               \
    do {                                                                                                     \
        for (uint64_t end_ = clock_mono_ms() + WAIT_MS; !(condition) && clock_mono_ms() < end_;)             \
            turn(f);                                                                                         \
        assert_true(condition);                                                                              \
    } while (0)

/* Turns after which nothing is expected any more. */
static inline void settle(struct fixture *f)
{
    for (int i = 0; i < 50; i++)
        turn(f);
}

/* --- the receiver -------------------------------------------------------------------------------- */

static inline void on_hook_done(struct server_exchange *x, enum server_outcome outcome)
{
    (void)x;
    (void)outcome;
}

static inline void on_hook_body(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct fixture *f = x->user;
    struct fault fault;
    struct slice signature = http_value(&x->request.fields, FIELD_X_ROLLOUT_SIGNATURE);
    assert_int_equal(problem, PROBLEM_COUNT);
    f->attempts++;
    f->bad_signature |= !event_verify(EVENT_SIGNATURE_BASE64_BODY_HEX, SLICE(CLIENT_SECRET), body, signature);
    json_array_append_new(f->events, json_read(body, 1024 * 1024, &fault));
    if (f->refuse > 0) {
        f->refuse--;
        server_reply(x, 500, NULL, "", slice_of(NULL, 0));
        return;
    }
    f->received++;
    server_reply(x, 204, NULL, "", slice_of(NULL, 0));
}

static inline void on_hook(void *owner, struct server_exchange *x)
{
    x->user = owner;
    x->on_done = on_hook_done;
    server_collect(x, 1024 * 1024, on_hook_body);
}

/* The URL of a receiver that is opened for it. */
static inline void hooks_open(struct fixture *f, char *url, size_t size)
{
    static const struct server_options options = {.name = "hooks",
                                                  .head_max = 8192,
                                                  .body_max = 1024 * 1024,
                                                  .header_ms = 10000,
                                                  .idle_ms = 600000,
                                                  .body_ms = 10000,
                                                  .connections_max = 100,
                                                  .problem_fields = ""};
    const struct server_handler handler = {.owner = f, .on_request = on_hook};
    struct fault fault;
    struct buf buf;
    int fd;
    assert_int_equal(server_listen("127.0.0.1:0", &fd, 1, &fault), 0);
    buf_init_fixed(&buf, url, size - 1);
    buf_append_text(&buf, "http://");
    assert_int_equal(server_address(fd, &buf), 0);
    buf_append_text(&buf, "/hook/1?x=y");
    url[buf.len] = '\0';
    f->receiver = server_open(f->loop, fd, &options, &handler);
    assert_non_null(f->receiver);
}

static inline const json_t *hook(const struct fixture *f, size_t i)
{
    return json_array_get(f->events, i);
}

/* --- life ---------------------------------------------------------------------------------------- */

static inline struct sandbox_options fixture_options(void)
{
    return (struct sandbox_options){.address = "127.0.0.1:0",
                                    .client_id = SLICE(CLIENT_ID),
                                    .client_secret = SLICE(CLIENT_SECRET),
                                    .signature = EVENT_SIGNATURE_BASE64_BODY_HEX,
                                    .people = 30};
}

static inline struct fixture *fixture_open(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    const struct sandbox_options options = fixture_options();
    struct fault fault;
    char text[128];
    struct buf url;
#ifdef TEST_CLOCK
    clock_open();
#endif
    assert_non_null(f);
    assert_int_equal(upstream_global_init(), 0);
    f->loop = loop_create();
    f->sandbox = sandbox_create(f->loop, &options, &fault);
    assert_non_null(f->sandbox);
    buf_init_fixed(&url, text, sizeof text - 1);
    sandbox_url(f->sandbox, &url);
    text[url.len] = '\0';
    assert_memory_equal(text, "http://127.0.0.1:", 17);
    f->port = (uint16_t)strtoul(text + 17, NULL, 10);
    f->raw = calloc(1, ANSWER_SIZE);
    f->events = json_array();
    f->tenant = "acme";
    f->credential = ACME;
    return f;
}

static inline void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static inline void fixture_close(struct fixture *f)
{
    sandbox_close(f->sandbox, on_closed, &f->closed);
    assert_false(f->closed);
    wait_for(f, f->closed);
    if (f->receiver) {
        server_close(f->receiver, on_closed, &f->receiver_closed);
        wait_for(f, f->receiver_closed);
    }
    settle(f);
    loop_destroy(f->loop);
    upstream_global_deinit();
    json_decref(f->json);
    json_decref(f->events);
    free(f->raw);
    free(f);
}

/* --- asking -------------------------------------------------------------------------------------- */

static inline int dial(const struct fixture *f)
{
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(f->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    int rc = connect(fd, (const struct sockaddr *)&at, sizeof at);
    assert_true(rc == 0 || errno == EINPROGRESS);
    return fd;
}

static inline void send_request(struct fixture *f, int fd, const char *line, const char *body)
{
    char token[TOKEN_MAX + 1] = "", text[8192];
    struct buf buf;
    buf_init_fixed(&buf, token, sizeof token - 1);
    if (!f->token)
        assert_int_equal(token_mint(SLICE(CLIENT_ID), SLICE(CLIENT_SECRET), slice_from(f->tenant),
                                    clock_wall_ms() / 1000, 900, &buf),
                         0);
    int len =
        snprintf(text, sizeof text,
                 "%s HTTP/1.1\r\nHost: rollout.test:99\r\nConnection: close\r\nAuthorization: Bearer %s\r\n"
                 "%s%s%sContent-Length: %zu\r\n\r\n%s",
                 line, f->token ? f->token : token, f->credential ? "X-Rollout-Credential-Id: " : "",
                 f->credential ? f->credential : "", f->credential ? "\r\n" : "", strlen(body), body);
    assert_true(len > 0 && (size_t)len < sizeof text);
    for (size_t sent = 0; sent < (size_t)len;) {
        ssize_t n = send(fd, text + sent, (size_t)len - sent, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        else
            turn(f);
    }
}

static inline bool read_some(struct fixture *f, int fd)
{
    ssize_t n = recv(fd, f->raw + f->raw_len, ANSWER_SIZE - 1 - f->raw_len, 0);
    if (n > 0)
        f->raw_len += (size_t)n;
    f->raw[f->raw_len] = '\0';
    f->eof |= n == 0 || (n < 0 && errno != EAGAIN);
    return n > 0;
}

/* Sends one request; the whole answer, until the connection ends, is in raw. */
static inline void ask_raw(struct fixture *f, const char *line, const char *body)
{
    int fd = dial(f);
    f->raw_len = 0;
    f->eof = false;
    send_request(f, fd, line, body);
    for (uint64_t end = clock_mono_ms() + WAIT_MS; !f->eof && clock_mono_ms() < end;) {
        if (!read_some(f, fd))
            turn(f);
    }
    assert_true(f->eof);
    close(fd);
}

/* "GET /crm/api/people". Returns the status; the body is in f->json. */
static inline int ask(struct fixture *f, const char *line, const char *body)
{
    ask_raw(f, line, body);
    const char *rest = strstr(f->raw, "\r\n\r\n");
    json_decref(f->json);
    f->json = rest ? json_loads(rest + 4, JSON_DECODE_ANY, NULL) : NULL;
    f->status = rest ? (int)strtol(f->raw + 9, NULL, 10) : 0;
    return f->status;
}

static inline int knob(struct fixture *f, const char *change)
{
    return ask(f, "PUT /_sandbox/knobs", change);
}

/* Text of a member of the last answer; "" when there is none. */
static inline const char *text_of(const struct fixture *f, const char *key)
{
    const char *text = json_string_value(json_object_get(f->json, key));
    return text ? text : "";
}

static inline long long number_of(const struct fixture *f, const char *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(json_object_get(f->json, object), key));
}

/* The id of the nth of a list; borrowed until the next question. */
static inline const char *nth_id(const struct fixture *f, const char *collection, size_t n)
{
    const char *id =
        json_string_value(json_object_get(json_array_get(json_object_get(f->json, collection), n), "id"));
    assert_non_null(id);
    return id;
}

#endif
