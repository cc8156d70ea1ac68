/* Time and the end: timeouts on a clock that the test moves, drain, close. */
#include "unit/server/fixture.h"

#ifdef TEST_CLOCK
static void jump(struct fixture *f, int64_t ms)
{
    clock_jump(ms);
    settle(f);
}

static void a_head_that_does_not_end_is_cut_with_408(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    settle(f);
    jump(f, 5000);
    client_send(&c, "GET / HT");
    settle(f);
    jump(f, 4000); /* more bytes do not buy more time */
    client_send(&c, "TP/1.1\r\n");
    settle(f);
    assert_false(client_ended(&c));
    jump(f, 1100);
    assert_true(client_has(&c, "\"status\":408")); /* at once: waiting would pass real time */
    assert_true(client_ended(&c));
    assert_memory_equal(c.text, "HTTP/1.1 408 Request Timeout\r\n", 30);
    assert_int_equal(f->refused_status, 408);
    client_close(&c);
    fixture_close(f);
}

/* The second head's time begins with its first byte, wherever the connection was before. */
static void a_second_head_has_its_own_time(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/a"));
    client_expect(&c, "\r\n\r\n/a");
    jump(f, 60000);
    client_send(&c, "GET /b HTTP/1.1\r\n");
    settle(f);
    jump(f, 9000);
    assert_false(client_ended(&c));
    jump(f, 1100);
    assert_true(client_has(&c, "HTTP/1.1 408 "));
    client_close(&c);
    fixture_close(f);
}

static void silent_connections_are_closed_without_a_word(void **state)
{
    (void)state;
    for (int used = 0; used < 2; used++) {
        struct fixture *f = fixture_open();
        struct client c;
        client_open(f, &c);
        settle(f);
        if (used) {
            client_send(&c, GET("/a"));
            client_expect(&c, "\r\n\r\n/a");
            client_forget(&c);
        }
        jump(f, used ? 74000 : 9000);
        assert_false(client_ended(&c));
        jump(f, 1100);
        assert_true(client_ended(&c));
        assert_true(c.eof);
        assert_int_equal(c.len, 0);
        assert_int_equal(f->refused, 0);
        assert_int_equal(server_connections(f->server), 0);
        client_close(&c);
        fixture_close(f);
    }
}

static void each_request_renews_the_idle_time(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    for (int i = 0; i < 4; i++) {
        client_send(&c, GET("/a"));
        client_expect(&c, "\r\n\r\n/a");
        client_forget(&c);
        jump(f, 70000);
    }
    assert_false(client_ended(&c));
    assert_int_equal(f->sent, 4);
    client_close(&c);
    fixture_close(f);
}

/* However long the handler takes: that is not the client's fault. */
static void a_held_request_does_not_time_out(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    wait_for(f, f->holding == 1);
    jump(f, 1000000);
    assert_int_equal(f->dones, 0);
    server_reply(f->held[0], 200, "text/plain", "", SLICE("late"));
    client_expect(&c, "\r\n\r\nlate");
    jump(f, 74000);
    assert_false(client_ended(&c));
    jump(f, 1100);
    assert_true(client_ended(&c));
    client_close(&c);
    fixture_close(f);
}

static void a_body_that_pauses_too_long_is_gone(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, "POST /collect HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nh");
    settle(f);
    for (int i = 0; i < 3; i++) {
        jump(f, 29000);
        client_send(&c, "e");
        settle(f);
    }
    assert_int_equal(f->gone, 0);
    jump(f, 30100);
    assert_int_equal(f->gone, 1);
    assert_true(client_ended(&c));
    client_close(&c);
    fixture_close(f);
}

static void a_reader_without_progress_is_gone(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open_small(f, &c, 4096);
    client_send(&c, GET("/big-huge"));
    settle(f);
    for (int i = 0; i < 3; i++) {
        jump(f, 29000);
        unsigned before = f->released; /* progress is what the server's kernel takes */
        for (uint64_t end = wait_end(); f->released == before && clock_mono_ms() < end; turn(f)) {
            client_read(&c, 65536);
            client_forget(&c);
        }
        assert_true(f->released > before);
    }
    assert_int_equal(f->dones, 0);
    jump(f, 29000);
    assert_int_equal(f->dones, 0);
    jump(f, 1100);
    assert_int_equal(f->gone, 1);
    client_close(&c);
    fixture_close(f);
}

/* The rest of the request's body is not waited for any more once the answer is complete. */
static void a_body_that_was_wanted_does_not_end_the_answer(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    struct slice data;
    client_open_small(f, &c, 4096);
    client_send(&c, "POST /hold HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n");
    wait_for(f, f->holding == 1);
    assert_int_equal(server_body_next(f->held[0], &data), SERVER_BODY_MORE);
    jump(f, 20000);
    server_begin(f->held[0], 200, slice_of(NULL, 0), HUGE_BODY / 8);
    for (int i = 0; i < HUGE_BODY / 8 / BIG_PIECE; i++)
        put_piece(f->held[0], slice_of(f->big, sizeof f->big));
    server_end(f->held[0]);
    settle(f);
    jump(f, 11000);
    assert_int_equal(f->dones, 0);
    jump(f, 20000);
    assert_int_equal(f->gone, 1); /* the reader's own time */
    client_close(&c);
    fixture_close(f);
}

static void lingering_ends(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, "nonsense\r\n\r\n");
    client_expect_end(&c);
    assert_true(c.eof);
    assert_int_equal(server_connections(f->server), 1);
    jump(f, 1900);
    assert_int_equal(server_connections(f->server), 1);
    jump(f, 200);
    assert_int_equal(server_connections(f->server), 0);
    client_close(&c);
    fixture_close(f);
}

static void a_rest_that_does_not_come_is_not_waited_for(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, "POST /unread HTTP/1.1\r\nHost: t\r\nContent-Length: 50\r\n\r\nh");
    client_expect(&c, "\r\n\r\n/unread");
    jump(f, 29000);
    assert_false(client_ended(&c));
    jump(f, 1100);
    assert_true(client_ended(&c));
    client_close(&c);
    fixture_close(f);
}

/* A connection that has sent nothing yet gets a moment when the server drains, not its whole time. */
static void drain_waits_a_moment_for_a_new_connection(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client quick, silent;
    client_open(f, &quick);
    client_open(f, &silent);
    settle(f);
    server_drain(f->server, 0);
    settle(f);
    client_send(&quick, GET("/in-time"));
    client_expect(&quick, "\r\n\r\n/in-time");
    assert_non_null(strstr(quick.text, "\r\nConnection: close\r\n"));
    assert_false(client_ended(&silent));
    jump(f, 1100);
    assert_true(client_ended(&silent));
    client_close(&quick);
    client_close(&silent);
    fixture_close(f);
}

/* Where no request may be lost, an idle client has its time to send one more. */
static void drain_gives_idle_connections_their_time(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client asks, stays, slow;
    client_open(f, &asks);
    client_send(&asks, GET("/a"));
    client_expect(&asks, "\r\n\r\n/a");
    client_open(f, &stays);
    client_send(&stays, GET("/b"));
    client_expect(&stays, "\r\n\r\n/b");
    client_open(f, &slow);
    client_send(&slow, GET("/c"));
    client_expect(&slow, "\r\n\r\n/c");
    server_drain(f->server, 5000);
    settle(f);
    jump(f, 4000);
    assert_false(client_ended(&asks));
    client_send(&asks, GET("/one-more"));
    client_expect(&asks, "\r\n\r\n/one-more");
    assert_non_null(strstr(asks.text, "\r\nConnection: close\r\n"));
    client_expect_end(&asks);
    client_send(&slow, "GET /late HTTP/1.1\r\n");
    settle(f);
    jump(f, 1100);
    assert_true(client_ended(&stays));
    client_send(&slow, "Host: t\r\n\r\n");
    client_expect(&slow, "\r\n\r\n/late");
    client_expect_end(&slow);
    client_close(&asks);
    client_close(&stays);
    client_close(&slow);
    fixture_close(f);
}
#endif

static void drain_ends_idle_connections_and_lets_others_finish(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client idle, busy, waiting;
    client_open(f, &idle);
    client_send(&idle, GET("/a"));
    client_expect(&idle, "\r\n\r\n/a");
    client_open(f, &busy);
    client_send(&busy, GET("/hold"));
    wait_for(f, f->holding == 1);
    client_open(f, &waiting); /* connected by the kernel, not accepted yet */
    client_send(&waiting, GET("/waiting"));
    server_drain(f->server, 0);
    server_drain(f->server, 0);
    assert_false(f->closed);
    client_expect_end(&idle);
    assert_true(idle.eof);
    client_expect(&waiting, "\r\n\r\n/waiting");
    client_expect_end(&waiting);
    assert_false(client_ended(&busy));
    server_reply(f->held[0], 200, "text/plain", "", SLICE("done"));
    client_expect(&busy, "\r\n\r\ndone");
    assert_non_null(strstr(busy.text, "\r\nConnection: close\r\n"));
    client_expect_end(&busy);
    struct client late;
    client_open(f, &late);
    settle(f);
    assert_int_equal(send(late.fd, "G", 1, MSG_NOSIGNAL), -1);
    client_close(&late);
    client_close(&idle);
    client_close(&busy);
    client_close(&waiting);
    fixture_close(f);
}

/* The request was on its way when the drain began. */
static void a_request_that_crosses_the_drain_is_answered(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/a"));
    client_expect(&c, "\r\n\r\n/a");
    client_send(&c, GET("/crossing"));
    server_drain(f->server, 0);
    client_expect(&c, "\r\n\r\n/crossing");
    client_expect_end(&c);
    client_close(&c);
    fixture_close(f);
}

static void close_cuts_what_is_left(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client held, big, idle, partial;
    client_open(f, &held);
    client_open_small(f, &big, 4096);
    client_open(f, &idle);
    client_open(f, &partial);
    client_send(&held, GET("/hold"));
    client_send(&big, GET("/big"));
    client_send(&partial, "POST /collect HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nh");
    wait_for(f, f->requests == 3);
    settle(f);
    server_close(f->server, on_fixture_closed, f);
    server_close(f->server, NULL, NULL);
    assert_int_equal(f->dones, 0);
    wait_for(f, f->closed);
    assert_int_equal(f->cut, 3);
    assert_int_equal(f->released, f->queued);
    client_expect_end(&held);
    client_expect_end(&idle);
    client_close(&held);
    client_close(&big);
    client_close(&idle);
    client_close(&partial);
    assert_false(f->broke_promise);
    loop_destroy(f->loop);
    free(f);
}

static void a_drained_server_closes(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    server_drain(f->server, 0);
    settle(f);
    fixture_close(f);
}

static void new_options_hold_for_later_requests(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/a"));
    client_expect(&c, "\r\n\r\n/a");
    f->options.head_max = 30;
    server_configure(f->server, &f->options);
    client_send(&c, GET("/too-long-now"));
    client_expect(&c, "HTTP/1.1 431 ");
    client_close(&c);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef TEST_CLOCK
        cmocka_unit_test(a_head_that_does_not_end_is_cut_with_408),
        cmocka_unit_test(a_second_head_has_its_own_time),
        cmocka_unit_test(silent_connections_are_closed_without_a_word),
        cmocka_unit_test(each_request_renews_the_idle_time),
        cmocka_unit_test(a_held_request_does_not_time_out),
        cmocka_unit_test(a_body_that_pauses_too_long_is_gone),
        cmocka_unit_test(a_reader_without_progress_is_gone),
        cmocka_unit_test(a_body_that_was_wanted_does_not_end_the_answer),
        cmocka_unit_test(lingering_ends),
        cmocka_unit_test(a_rest_that_does_not_come_is_not_waited_for),
        cmocka_unit_test(drain_gives_idle_connections_their_time),
        cmocka_unit_test(drain_waits_a_moment_for_a_new_connection),
#endif
        cmocka_unit_test(drain_ends_idle_connections_and_lets_others_finish),
        cmocka_unit_test(a_request_that_crosses_the_drain_is_answered),
        cmocka_unit_test(close_cuts_what_is_left),
        cmocka_unit_test(a_drained_server_closes),
        cmocka_unit_test(new_options_hold_for_later_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
