#include "unit/upstream/rig.h"

static const char OK[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/* One GET on the next connection that is made, answered whole. Returns the connection. */
static int serve_on_new(struct rig *rig, struct call *call)
{
    call_get(call);
    int fd = rig_accept(rig);
    rig_read_request(rig, fd);
    rig_write(rig, fd, OK);
    call_expect_ok(call, 200, "hi");
    return fd;
}

static void kept_connection_serves_many(void **state)
{
    (void)state;
    struct rig rig;
    struct call calls[10];
    rig_open(&rig, NULL);
    call_init(&calls[0], &rig);
    int fd = serve_on_new(&rig, &calls[0]);
    for (int i = 1; i < 10; i++) {
        call_init(&calls[i], &rig);
        call_get(&calls[i]);
        rig_read_request(&rig, fd);
        rig_write(&rig, fd, OK);
        call_expect_ok(&calls[i], 200, "hi");
    }
    struct upstream_stats stats = rig_stats(&rig);
    assert_int_equal(stats.connects, 1);
    assert_int_equal(stats.reuses, 9);
    assert_int_equal(stats.transfers, 10);
    assert_int_equal(stats.failures, 0);
    assert_int_equal(stats.open, 1);
    assert_int_equal(stats.idle, 1);
    assert_int_equal(rig_try_accept(&rig), -1);
    for (int i = 0; i < 10; i++)
        call_deinit(&calls[i]);
    close(fd);
    rig_close(&rig);
}

static void start_next(struct call *call)
{
    call_get(call->next);
}

static void next_may_start_inside_on_end(void **state)
{
    (void)state;
    struct rig rig;
    struct call first, second;
    rig_open(&rig, NULL);
    call_init(&first, &rig);
    call_init(&second, &rig);
    first.then = start_next;
    first.next = &second;
    int fd = serve_on_new(&rig, &first);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, OK);
    call_expect_ok(&second, 200, "hi");
    assert_int_equal(rig_stats(&rig).reuses, 1);
    call_deinit(&first);
    call_deinit(&second);
    close(fd);
    rig_close(&rig);
}

/* What makes an idle connection unfit, done by the origin. */
enum unfit { CLOSES, RESETS, SPEAKS };

static void make_unfit(struct rig *rig, int fd, enum unfit how)
{
    if (how == CLOSES)
        shutdown(fd, SHUT_WR);
    else if (how == RESETS)
        rig_reset(fd);
    else
        rig_write(rig, fd, OK);
}

static void idle_connection_that_turns_readable_is_dropped(void **state)
{
    (void)state;
    for (enum unfit how = CLOSES; how <= SPEAKS; how++) {
        struct rig rig;
        struct call first, second;
        rig_open(&rig, NULL);
        call_init(&first, &rig);
        call_init(&second, &rig);
        int fd = serve_on_new(&rig, &first);
        make_unfit(&rig, fd, how);
        RIG_UNTIL(&rig, rig_stats(&rig).idle == 0);
        assert_int_equal(rig_stats(&rig).open, 0);
        if (how != RESETS)
            rig_await_close(&rig, fd);
        close(serve_on_new(&rig, &second));
        call_deinit(&first);
        call_deinit(&second);
        rig_close(&rig);
    }
}

/* The loop has not looked yet: the request itself must find out, before a byte of it leaves; even a POST is
 * safe then. */
static void unfit_connection_is_found_before_the_request_leaves(void **state)
{
    (void)state;
    for (enum unfit how = CLOSES; how <= SPEAKS; how++) {
        struct rig rig;
        struct call first, second;
        rig_open(&rig, NULL);
        call_init(&first, &rig);
        call_init(&second, &rig);
        int fd = serve_on_new(&rig, &first);
        if (how == SPEAKS)
            assert_true(send(fd, OK, strlen(OK), 0) > 0);
        else
            make_unfit(&rig, fd, how);
        call_request(&second, &(struct upstream_request){
                                  .method = METHOD_POST,
                                  .head = SLICE("POST /x HTTP/1.1\r\nHost: o\r\nContent-Length: 0\r\n\r\n"),
                                  .framing = FRAMING_LENGTH});
        int fresh = rig_accept(&rig);
        rig_read_request(&rig, fresh);
        rig_write(&rig, fresh, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        call_expect_ok(&second, 201, "");
        assert_int_equal(rig_stats(&rig).reuses, 0);
        if (how != RESETS)
            rig_await_close(&rig, fd);
        close(fresh);
        call_deinit(&first);
        call_deinit(&second);
        rig_close(&rig);
    }
}

static const struct {
    const char *name;
    enum method method;
    const char *head;
    bool again;
} STALE[] = {
    {"GET", METHOD_GET, "GET / HTTP/1.1\r\nHost: o\r\n\r\n", true},
    {"HEAD", METHOD_HEAD, "HEAD / HTTP/1.1\r\nHost: o\r\n\r\n", true},
    {"POST", METHOD_POST, "POST / HTTP/1.1\r\nHost: o\r\nContent-Length: 0\r\n\r\n", false},
    {"DELETE", METHOD_DELETE, "DELETE / HTTP/1.1\r\nHost: o\r\n\r\n", false},
    {"other", METHOD_OTHER, "BREW / HTTP/1.1\r\nHost: o\r\n\r\n", false},
};

/* The origin reads the request on a kept connection and closes without a word. */
static void stale_connection_is_tried_again_only_when_safe(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof STALE / sizeof *STALE; i++) {
        struct rig rig;
        struct call first, second;
        rig_open(&rig, NULL);
        call_init(&first, &rig);
        call_init(&second, &rig);
        int fd = serve_on_new(&rig, &first);
        call_request(&second, &(struct upstream_request){.method = STALE[i].method,
                                                         .head = slice_from(STALE[i].head)});
        rig_read_request(&rig, fd);
        close(fd);
        if (STALE[i].again) {
            int fresh = rig_accept(&rig);
            struct buf seen;
            buf_init(&seen, 4096);
            rig_read_until(&rig, fresh, "\r\n\r\n", &seen);
            assert_true(slice_equal(buf_slice(&seen), slice_from(STALE[i].head)));
            buf_deinit(&seen);
            rig_write(&rig, fresh, "HTTP/1.1 204 No Content\r\n\r\n");
            call_expect_ok(&second, 204, "");
            close(fresh);
        } else {
            call_expect_failure(&second, UPSTREAM_RESET);
            assert_true(second.sent);
            rig_turns(&rig, 20);
            assert_int_equal(rig_try_accept(&rig), -1);
        }
        call_deinit(&first);
        call_deinit(&second);
        rig_close(&rig);
    }
}

static void it_is_tried_again_once_only_and_never_on_a_new_connection(void **state)
{
    (void)state;
    struct rig rig;
    struct call first, second, third;
    rig_open(&rig, NULL);
    call_init(&first, &rig);
    call_init(&second, &rig);
    call_init(&third, &rig);
    int fd = serve_on_new(&rig, &first);
    call_get(&second);
    rig_read_request(&rig, fd);
    close(fd);
    fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    close(fd);
    call_expect_failure(&second, UPSTREAM_RESET);
    call_get(&third);
    fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_reset(fd);
    call_expect_failure(&third, UPSTREAM_RESET);
    assert_true(third.sent);
    rig_turns(&rig, 20);
    assert_int_equal(rig_try_accept(&rig), -1);
    call_deinit(&first);
    call_deinit(&second);
    call_deinit(&third);
    rig_close(&rig);
}

/* The second try may get a kept connection that another transfer gives back in the same turn; it is the last
 * one all the same. */
static void a_second_try_on_a_kept_connection_is_the_last(void **state)
{
    (void)state;
    struct rig rig;
    struct call calls[4];
    int fds[2];
    rig_open(&rig, NULL);
    for (int i = 0; i < 4; i++) {
        call_init(&calls[i], &rig);
        call_get(&calls[i]);
        if (i >= 2) {
            rig_read_request(&rig, fds[3 - i]); /* last used first */
            continue;
        }
        fds[i] = rig_accept(&rig);
        rig_read_request(&rig, fds[i]);
        if (i == 1)
            for (int k = 0; k < 2; k++) {
                rig_write(&rig, fds[k], OK);
                call_expect_ok(&calls[k], 200, "hi");
            }
    }
    shutdown(fds[1], SHUT_WR); /* calls[2] is on it */
    assert_true(send(fds[0], OK, strlen(OK), 0) > 0);
    call_expect_ok(&calls[3], 200, "hi");
    rig_read_request(&rig, fds[0]);
    close(fds[0]);
    call_expect_failure(&calls[2], UPSTREAM_RESET);
    rig_turns(&rig, 20);
    assert_int_equal(rig_stats(&rig).connects, 2);
    for (int i = 0; i < 4; i++)
        call_deinit(&calls[i]);
    close(fds[1]);
    rig_close(&rig);
}

/* A byte of an answer has come: it was no stale connection. */
static void an_answer_that_began_is_not_asked_for_again(void **state)
{
    (void)state;
    struct rig rig;
    struct call first, second;
    rig_open(&rig, NULL);
    call_init(&first, &rig);
    call_init(&second, &rig);
    int fd = serve_on_new(&rig, &first);
    call_get(&second);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, "H");
    close(fd);
    call_expect_failure(&second, UPSTREAM_RESET);
    assert_int_equal(rig_try_accept(&rig), -1);
    call_deinit(&first);
    call_deinit(&second);
    rig_close(&rig);
}

static void more_than_connections_max_wait_in_order(void **state)
{
    (void)state;
    struct upstream_options options = RIG_OPTIONS;
    struct rig rig;
    struct call calls[7];
    int fds[2];
    options.connections_max = 2;
    rig_open(&rig, &options);
    for (int i = 0; i < 7; i++) {
        call_init(&calls[i], &rig);
        call_get(&calls[i]);
    }
    for (int i = 0; i < 2; i++) {
        fds[i] = rig_accept(&rig);
        rig_read_request(&rig, fds[i]);
    }
    rig_turns(&rig, 20);
    assert_int_equal(rig_try_accept(&rig), -1);
    assert_int_equal(rig_stats(&rig).waiting, 5);
    assert_int_equal(rig_stats(&rig).open, 2);
    upstream_cancel(calls[4].t);
    assert_int_equal(rig_stats(&rig).waiting, 4);
    rig_write(&rig, fds[0], OK);
    RIG_UNTIL(&rig, calls[0].ends + calls[1].ends == 1);
    for (int i = 2; i < 7; i++) {
        if (i == 4)
            continue;
        rig_read_request(&rig, fds[0]);
        assert_false(call_over(&calls[i]));
        rig_write(&rig, fds[0], OK);
        call_expect_ok(&calls[i], 200, "hi");
    }
    rig_write(&rig, fds[1], OK);
    call_expect_ok(&calls[0], 200, "hi");
    call_expect_ok(&calls[1], 200, "hi");
    assert_false(call_over(&calls[4]));
    assert_int_equal(rig_stats(&rig).connects, 2);
    assert_int_equal(rig_stats(&rig).waiting, 0);
    for (int i = 0; i < 7; i++)
        call_deinit(&calls[i]);
    close(fds[0]);
    close(fds[1]);
    rig_close(&rig);
}

/* A connection that was closed while others waited for a place is replaced. */
static void a_lost_place_is_filled_again(void **state)
{
    (void)state;
    struct upstream_options options = RIG_OPTIONS;
    struct rig rig;
    struct call first, second;
    options.connections_max = 1;
    rig_open(&rig, &options);
    call_init(&first, &rig);
    call_init(&second, &rig);
    call_get(&first);
    call_get(&second);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
    call_expect_ok(&first, 200, "hi");
    rig_await_close(&rig, fd);
    fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, OK);
    call_expect_ok(&second, 200, "hi");
    call_deinit(&first);
    call_deinit(&second);
    close(fd);
    rig_close(&rig);
}

static void no_more_than_idle_connections_are_kept(void **state)
{
    (void)state;
    struct upstream_options options = RIG_OPTIONS;
    struct rig rig;
    struct call calls[3];
    int fds[3];
    options.idle_connections = 1;
    rig_open(&rig, &options);
    for (int i = 0; i < 3; i++) {
        call_init(&calls[i], &rig);
        call_get(&calls[i]);
    }
    for (int i = 0; i < 3; i++) {
        fds[i] = rig_accept(&rig);
        rig_read_request(&rig, fds[i]);
    }
    for (int i = 0; i < 3; i++)
        rig_write(&rig, fds[i], OK);
    for (int i = 0; i < 3; i++) {
        call_expect_ok(&calls[i], 200, "hi");
        call_deinit(&calls[i]);
        close(fds[i]);
    }
    assert_int_equal(rig_stats(&rig).open, 1);
    assert_int_equal(rig_stats(&rig).idle, 1);
    rig_close(&rig);
}

static void refused_connection_is_told(void **state)
{
    (void)state;
    struct rig rig;
    struct call calls[3];
    rig_open(&rig, NULL);
    close(rig.listener);
    for (int i = 0; i < 3; i++) {
        call_init(&calls[i], &rig);
        call_get(&calls[i]);
        assert_false(call_over(&calls[i]));
    }
    for (int i = 0; i < 3; i++) {
        call_expect_failure(&calls[i], UPSTREAM_CONNECT);
        assert_false(calls[i].sent);
        call_deinit(&calls[i]);
    }
    assert_int_equal(rig_stats(&rig).connect_failures, 3);
    assert_int_equal(rig_stats(&rig).failures, 3);
    assert_int_equal(rig_stats(&rig).open, 0);
    rig.listener = dup(0);
    rig_close(&rig);
}

static void proxies_of_the_environment_are_ignored(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    struct rig rig;
    struct call call;
    int port;
    char url[64];
    int proxy = rig_listen(&port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", port);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        setenv(NAMES[i], url, 1);
    unsetenv("no_proxy");
    rig_open(&rig, NULL);
    call_init(&call, &rig);
    close(serve_on_new(&rig, &call));
    assert_int_equal(accept(proxy, NULL, NULL), -1);
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        unsetenv(NAMES[i]);
    close(proxy);
    call_deinit(&call);
    rig_close(&rig);
}

/* Two origins never share a connection, and an origin that was freed and made again finds its pool by its
 * value. */
static void origins_are_told_apart_by_value(void **state)
{
    (void)state;
    struct rig rig;
    struct call first, second, third;
    int other_port;
    char url[64];
    rig_open(&rig, NULL);
    call_init(&first, &rig);
    call_init(&second, &rig);
    call_init(&third, &rig);
    int fd = serve_on_new(&rig, &first);

    int own_listener = rig.listener;
    struct upstream_origin own = rig.origin;
    rig.listener = rig_listen(&other_port);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", other_port);
    assert_int_equal(upstream_origin_init(&rig.origin, slice_from(url), NULL), 0);
    close(serve_on_new(&rig, &second));
    upstream_origin_deinit(&rig.origin);
    close(rig.listener);

    snprintf(url, sizeof url, "%s/another/path", own.url);
    assert_int_equal(upstream_origin_init(&rig.origin, slice_from(url), NULL), 0);
    upstream_origin_deinit(&own);
    rig.listener = own_listener;
    call_get(&third);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, OK);
    call_expect_ok(&third, 200, "hi");
    upstream_configure(rig.upstream, &RIG_OPTIONS);
    call_deinit(&first);
    call_deinit(&second);
    call_deinit(&third);
    close(fd);
    rig_close(&rig);
}

static void cancelled_transfers_say_nothing_more(void **state)
{
    (void)state;
    struct rig rig;
    struct call waiting, asked, half;
    rig_open(&rig, NULL);
    call_init(&waiting, &rig);
    call_init(&asked, &rig);
    call_init(&half, &rig);
    call_get(&waiting);
    upstream_cancel(waiting.t);

    call_get(&asked);
    int fd = rig_accept(&rig); /* made for the first, used by the second */
    rig_read_request(&rig, fd);
    upstream_cancel(asked.t);
    rig_await_close(&rig, fd);

    call_get(&half);
    fd = rig_accept(&rig);
    int spare = -1;
    char byte;
    while (recv(fd, &byte, 1, MSG_PEEK) != 1) {
        if (spare < 0)
            spare = rig_try_accept(&rig);
        if (spare >= 0 && recv(spare, &byte, 1, MSG_PEEK) == 1) {
            int swap = fd;
            fd = spare;
            spare = swap;
        }
        rig_turn(&rig);
    }
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    RIG_UNTIL(&rig, half.body.len == 4);
    upstream_cancel(half.t);
    rig_await_close(&rig, fd);
    rig_turns(&rig, 20);
    assert_int_equal(waiting.heads + asked.heads + half.ends, 0);
    assert_false(call_over(&waiting) || call_over(&asked) || call_over(&half));
    if (spare >= 0)
        close(spare);
    call_deinit(&waiting);
    call_deinit(&asked);
    call_deinit(&half);
    rig_close(&rig);
}

static void cancel_inside(struct call *call)
{
    upstream_cancel(call->t);
}

static void a_callback_may_cancel_its_own_transfer(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    rig_open(&rig, NULL);
    call_init(&call, &rig);
    call.on_piece = cancel_inside;
    call_get(&call);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, OK);
    rig_await_close(&rig, fd);
    assert_int_equal(call.heads, 1);
    assert_int_equal(call.bodies + call.ends + call.fails, 0);
    call_deinit(&call);
    rig_close(&rig);
}

/* In every state at once, without a callback and without a leak. */
static void close_ends_everything_silently(void **state)
{
    (void)state;
    struct upstream_options options = RIG_OPTIONS;
    struct rig rig;
    struct call idle, active, paused, connecting, waiting;
    struct call *all[] = {&idle, &active, &paused, &connecting, &waiting};
    options.connections_max = 3;
    rig_open(&rig, &options);
    for (int i = 0; i < 5; i++)
        call_init(all[i], &rig);
    call_get(&active);
    int first = rig_accept(&rig);
    rig_read_request(&rig, first);
    int second = serve_on_new(&rig, &paused);
    call_deinit(&paused);
    call_init(&paused, &rig);
    call_get(&paused);
    rig_read_request(&rig, second);
    upstream_pause(paused.t);
    rig_write(&rig, second, OK);
    call_get(&connecting);
    call_get(&waiting);
    rig_close_upstream(&rig);
    for (int i = 0; i < 5; i++) {
        assert_false(call_over(all[i]));
        call_deinit(all[i]);
    }
    rig_await_close(&rig, first);
    rig_close(&rig);
    close(second);
}

static void close_inside(struct call *call)
{
    upstream_close(call->rig->upstream, rig_on_closed, call->rig);
    call->rig->upstream = NULL;
}

static void close_may_come_from_a_callback(void **state)
{
    (void)state;
    for (int at_end = 0; at_end < 2; at_end++) {
        struct rig rig;
        struct call call;
        rig_open(&rig, NULL);
        call_init(&call, &rig);
        if (at_end)
            call.then = close_inside;
        else
            call.on_piece = close_inside;
        call_get(&call);
        int fd = rig_accept(&rig);
        rig_read_request(&rig, fd);
        rig_write(&rig, fd, OK);
        RIG_UNTIL(&rig, rig.closed);
        assert_int_equal(call.ends, at_end);
        call_deinit(&call);
        close(fd);
        rig_close(&rig);
    }
}

/* --- the adaptive cap ------------------------------------------------------------------ */

enum { MANY = 64 };

struct crowd {
    struct rig rig;
    struct call calls[MANY];
    int fds[MANY];
};

static void crowd_accept(struct crowd *crowd, int *open)
{
    int fd;
    rig_turns(&crowd->rig, 20);
    while (*open < MANY && (fd = rig_try_accept(&crowd->rig)) >= 0)
        crowd->fds[(*open)++] = fd;
}

static bool has_request(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK) == 1;
}

/* All ask at once and are answered after so long, as many at a time as there come. The most that came at a
 * time. */
static int crowd_round(struct crowd *crowd, int *open, int64_t latency_ms)
{
    int answered = 0, most = 0;
    for (int i = 0; i < MANY; i++) {
        call_init(&crowd->calls[i], &crowd->rig);
        call_get(&crowd->calls[i]);
    }
    while (answered < MANY) {
        bool there[MANY] = {false};
        int now = 0;
        crowd_accept(crowd, open);
        for (int i = 0; i < *open; i++)
            now += there[i] = has_request(crowd->fds[i]);
        rig_jump(&crowd->rig, now > 0 ? latency_ms : 0);
        for (int i = 0; i < *open; i++)
            if (there[i]) {
                rig_read_request(&crowd->rig, crowd->fds[i]);
                rig_write(&crowd->rig, crowd->fds[i], "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        most = now > most ? now : most;
        answered += now;
    }
    for (int i = 0; i < MANY; i++) {
        call_expect_ok(&crowd->calls[i], 200, "ok");
        call_deinit(&crowd->calls[i]);
    }
    return most;
}

static void a_host_that_slows_under_load_gets_less_of_it(void **state)
{
    struct upstream_options options = RIG_OPTIONS;
    static struct crowd crowd;
    int open = 0;
    (void)state;
    options.connections_max = options.idle_connections = MANY;
    options.idle_keep_ms = options.connection_age_ms = 3600 * 1000; /* none is replaced */
    rig_open(&crowd.rig, &options);
    if (!crowd.rig.clock) {
        rig_close(&crowd.rig);
        print_message("needs -DTEST_CLOCK=ON: skipped\n");
        return;
    }
    for (int i = 0; i < 12; i++)
        assert_int_equal(crowd_round(&crowd, &open, 60), MANY);
    for (int i = 0; i < 4; i++)
        crowd_round(&crowd, &open, 1500);
    int most = crowd_round(&crowd, &open, 1500); /* all were answered, fewer at a time */
    assert_in_range(most, 1, MANY / 2);
    for (int i = 0; i < 200 && most < MANY; i++)
        most = crowd_round(&crowd, &open, 60);
    assert_int_equal(most, MANY); /* and it trusts again */
    assert_int_equal(rig_stats(&crowd.rig).waiting, 0);
    for (int i = 0; i < open; i++)
        close(crowd.fds[i]);
    rig_close(&crowd.rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_connection_serves_many),
        cmocka_unit_test(next_may_start_inside_on_end),
        cmocka_unit_test(idle_connection_that_turns_readable_is_dropped),
        cmocka_unit_test(unfit_connection_is_found_before_the_request_leaves),
        cmocka_unit_test(stale_connection_is_tried_again_only_when_safe),
        cmocka_unit_test(it_is_tried_again_once_only_and_never_on_a_new_connection),
        cmocka_unit_test(a_second_try_on_a_kept_connection_is_the_last),
        cmocka_unit_test(an_answer_that_began_is_not_asked_for_again),
        cmocka_unit_test(more_than_connections_max_wait_in_order),
        cmocka_unit_test(a_lost_place_is_filled_again),
        cmocka_unit_test(no_more_than_idle_connections_are_kept),
        cmocka_unit_test(refused_connection_is_told),
        cmocka_unit_test(proxies_of_the_environment_are_ignored),
        cmocka_unit_test(origins_are_told_apart_by_value),
        cmocka_unit_test(cancelled_transfers_say_nothing_more),
        cmocka_unit_test(a_callback_may_cancel_its_own_transfer),
        cmocka_unit_test(close_ends_everything_silently),
        cmocka_unit_test(close_may_come_from_a_callback),
        cmocka_unit_test(a_host_that_slows_under_load_gets_less_of_it),
    };
    return cmocka_run_group_tests(tests, rig_setup_process, rig_teardown_process);
}
