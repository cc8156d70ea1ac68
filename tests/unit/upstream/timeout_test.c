/* Time limits, on a clock that jumps. Each case also looks at the moment just before its limit. */
#include "unit/upstream/rig.h"

static const uint64_t MARGIN = 1500; /* real time that a case may take meanwhile */

struct bench {
    struct rig rig;
    struct call call;
    int fd;
};

static void begin(struct bench *b, const struct upstream_options *options)
{
    rig_open(&b->rig, options);
    call_init(&b->call, &b->rig);
    b->fd = -1;
}

static void finish(struct bench *b)
{
    call_deinit(&b->call);
    if (b->fd >= 0)
        close(b->fd);
    rig_close(&b->rig);
}

static void asked(struct bench *b)
{
    begin(b, NULL);
    call_get(&b->call);
    b->fd = rig_accept(&b->rig);
    rig_read_request(&b->rig, b->fd);
}

static void fails_at(struct bench *b, uint64_t limit, enum upstream_failure failure)
{
    rig_jump(&b->rig, (int64_t)(limit - MARGIN));
    assert_false(call_over(&b->call));
    rig_jump(&b->rig, (int64_t)MARGIN);
    call_expect_failure(&b->call, failure);
    rig_turns(&b->rig, 5);
    assert_int_equal(rig_stats(&b->rig).open, 0);
}

/* A listener whose queue is full does not answer a SYN. */
static void connecting(void **state)
{
    (void)state;
    struct bench b;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fillers[8];
    begin(&b, NULL);
    assert_int_equal(listen(b.rig.listener, 0), 0);
    address.sin_port = htons((uint16_t)b.rig.port);
    for (int i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fillers[i], (struct sockaddr *)&address, sizeof address);
    }
    rig_turns(&b.rig, 5);
    call_get(&b.call);
    rig_turns(&b.rig, 5);
    fails_at(&b, RIG_OPTIONS.times.connect_ms, UPSTREAM_CONNECT_TIMEOUT);
    assert_false(b.call.sent);
    assert_int_equal(rig_stats(&b.rig).connect_failures, 1);
    for (int i = 0; i < 8; i++)
        close(fillers[i]);
    finish(&b);
}

static void first_byte(void **state)
{
    (void)state;
    struct bench b;
    asked(&b);
    fails_at(&b, RIG_OPTIONS.times.first_byte_ms, UPSTREAM_FIRST_BYTE_TIMEOUT);
    assert_true(b.call.sent);
    finish(&b);
}

static void first_byte_after_an_interim_answer(void **state)
{
    (void)state;
    struct bench b;
    asked(&b);
    rig_jump(&b.rig, 20000);
    rig_write(&b.rig, b.fd, "HTTP/1.1 102 Processing\r\n\r\n");
    rig_turns(&b.rig, 5);
    fails_at(&b, RIG_OPTIONS.times.first_byte_ms, UPSTREAM_FIRST_BYTE_TIMEOUT);
    finish(&b);
}

static void idle_inside_the_head(void **state)
{
    (void)state;
    struct bench b;
    asked(&b);
    rig_jump(&b.rig, 15000);
    rig_write(&b.rig, b.fd, "HTTP/1.1 2");
    rig_turns(&b.rig, 5);
    fails_at(&b, RIG_OPTIONS.times.idle_ms, UPSTREAM_IDLE_TIMEOUT);
    finish(&b);
}

static void idle_inside_the_body(void **state)
{
    (void)state;
    struct bench b;
    asked(&b);
    rig_write(&b.rig, b.fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    RIG_UNTIL(&b.rig, b.call.heads == 1);
    rig_jump(&b.rig, 15000);
    rig_write(&b.rig, b.fd, "x");
    RIG_UNTIL(&b.rig, b.call.bodies == 1);
    fails_at(&b, RIG_OPTIONS.times.idle_ms, UPSTREAM_IDLE_TIMEOUT);
    finish(&b);
}

static void idle_while_the_origin_takes_nothing(void **state)
{
    (void)state;
    struct bench b;
    static char data[1024 * 1024];
    size_t taken = 0;
    begin(&b, NULL);
    call_request(&b.call, &(struct upstream_request){.method = METHOD_POST,
                                                     .head = SLICE("POST / HTTP/1.1\r\nHost: o\r\n\r\n"),
                                                     .framing = FRAMING_CHUNKED});
    b.fd = rig_accept(&b.rig);
    rig_read_request(&b.rig, b.fd);
    for (int quiet = 0; quiet < 50; quiet++, rig_turn(&b.rig)) {
        size_t n = call_send(&b.call, slice_of(data, sizeof data), false);
        taken += n;
        quiet = n > 0 ? 0 : quiet;
    }
    assert_true(taken > 0);
    fails_at(&b, RIG_OPTIONS.times.idle_ms, UPSTREAM_IDLE_TIMEOUT);
    assert_true(b.call.sent);
    finish(&b);
}

/* Neither a paused reader nor a user who has nothing to send is the origin's fault: only the whole time
 * counts. */
static void a_pause_is_not_the_origins_idleness(void **state)
{
    (void)state;
    struct bench b;
    asked(&b);
    rig_write(&b.rig, b.fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
    RIG_UNTIL(&b.rig, b.call.bodies == 1);
    upstream_pause(b.call.t);
    rig_jump(&b.rig, (int64_t)RIG_OPTIONS.times.idle_ms + 10000);
    assert_false(call_over(&b.call));
    call_resume(&b.call);
    rig_jump(&b.rig, 15000);
    assert_false(call_over(&b.call));
    rig_write(&b.rig, b.fd, "k");
    call_expect_ok(&b.call, 200, "ok");
    finish(&b);
}

static void a_slow_user_is_not_the_origins_idleness(void **state)
{
    (void)state;
    struct bench b;
    begin(&b, NULL);
    call_request(&b.call, &(struct upstream_request){.method = METHOD_POST,
                                                     .head = SLICE("POST / HTTP/1.1\r\nHost: o\r\n\r\n"),
                                                     .framing = FRAMING_LENGTH,
                                                     .length = 2});
    b.fd = rig_accept(&b.rig);
    rig_read_request(&b.rig, b.fd);
    rig_jump(&b.rig, (int64_t)RIG_OPTIONS.times.first_byte_ms + 15000);
    assert_false(call_over(&b.call));
    call_send(&b.call, SLICE("ab"), true);
    rig_write(&b.rig, b.fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    call_expect_ok(&b.call, 200, "ok");
    finish(&b);
}

static void total_with_a_trickle(void **state)
{
    (void)state;
    struct bench b;
    asked(&b);
    rig_write(&b.rig, b.fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    for (int i = 1; i <= 5; i++) {
        rig_write(&b.rig, b.fd, "x");
        RIG_UNTIL(&b.rig, b.call.bodies == i);
        rig_jump(&b.rig, 10000);
        assert_false(call_over(&b.call));
    }
    rig_write(&b.rig, b.fd, "x");
    rig_turns(&b.rig, 3);
    fails_at(&b, 10000, UPSTREAM_TOTAL_TIMEOUT);
    finish(&b);
}

static void total_while_waiting_for_a_place(void **state)
{
    (void)state;
    struct upstream_options options = RIG_OPTIONS;
    struct bench b;
    struct call waits;
    options.connections_max = 1;
    options.times.first_byte_ms = 0;
    begin(&b, &options);
    call_init(&waits, &b.rig);
    call_get(&b.call);
    b.fd = rig_accept(&b.rig);
    rig_read_request(&b.rig, b.fd);
    rig_jump(&b.rig, 30000);
    call_get(&waits);
    rig_jump(&b.rig, 20000);
    rig_write(&b.rig, b.fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
    RIG_UNTIL(&b.rig, b.call.heads == 1);
    rig_jump(&b.rig, 10000);
    call_expect_failure(&b.call, UPSTREAM_TOTAL_TIMEOUT);
    close(b.fd);
    b.fd = rig_accept(&b.rig);
    rig_read_request(&b.rig, b.fd);
    rig_jump(&b.rig, 30000);
    call_expect_failure(&waits, UPSTREAM_TOTAL_TIMEOUT);
    assert_true(waits.sent);
    call_deinit(&waits);
    finish(&b);
}

static void total_fails_what_still_waits(void **state)
{
    (void)state;
    struct upstream_options options = RIG_OPTIONS;
    struct bench b;
    struct call waits;
    options.connections_max = 1;
    options.times.first_byte_ms = 0;
    options.times.total_ms = 40000;
    begin(&b, &options);
    call_init(&waits, &b.rig);
    call_get(&b.call);
    b.fd = rig_accept(&b.rig);
    rig_read_request(&b.rig, b.fd);
    upstream_configure(b.rig.upstream, &(struct upstream_options){.times = {.total_ms = 20000},
                                                                  .connections_max = 1,
                                                                  .connection_age_ms = 100000,
                                                                  .head_max = 4096});
    call_get(&waits);
    rig_jump(&b.rig, 25000);
    call_expect_failure(&waits, UPSTREAM_TOTAL_TIMEOUT);
    assert_false(waits.sent);
    assert_false(call_over(&b.call));
    assert_int_equal(rig_stats(&b.rig).waiting, 0);
    call_deinit(&waits);
    finish(&b);
}

static void served(struct bench *b)
{
    asked(b);
    rig_write(&b->rig, b->fd, "HTTP/1.1 204 No Content\r\n\r\n");
    call_expect_ok(&b->call, 204, "");
    assert_int_equal(rig_stats(&b->rig).idle, 1);
}

static void unused_connection_is_closed(void **state)
{
    (void)state;
    struct bench b;
    served(&b);
    rig_jump(&b.rig, (int64_t)(RIG_OPTIONS.idle_keep_ms - MARGIN));
    assert_int_equal(rig_stats(&b.rig).idle, 1);
    rig_jump(&b.rig, (int64_t)MARGIN);
    RIG_UNTIL(&b.rig, rig_stats(&b.rig).open == 0);
    assert_int_equal(rig_stats(&b.rig).idle, 0);
    rig_await_close(&b.rig, b.fd);
    b.fd = -1;
    finish(&b);
}

/* In constant use, yet replaced when it is old: the name is looked up anew. */
static void old_connection_is_replaced(void **state)
{
    (void)state;
    struct upstream_options options = RIG_OPTIONS;
    struct bench b;
    options.connection_age_ms = 50000;
    begin(&b, &options);
    for (int i = 0; i < 4; i++) {
        call_deinit(&b.call);
        call_init(&b.call, &b.rig);
        call_get(&b.call);
        if (b.fd < 0)
            b.fd = rig_accept(&b.rig);
        rig_read_request(&b.rig, b.fd);
        rig_jump(&b.rig, 15000);
        rig_write(&b.rig, b.fd, "HTTP/1.1 204 No Content\r\n\r\n");
        call_expect_ok(&b.call, 204, "");
    }
    assert_int_equal(rig_stats(&b.rig).open, 0);
    rig_await_close(&b.rig, b.fd);
    assert_int_equal(rig_stats(&b.rig).connects, 1);
    assert_int_equal(rig_stats(&b.rig).reuses, 3);
    b.fd = -1;
    finish(&b);
}

int main(void)
{
    if (!rig_clock()) {
        print_message("needs -DTEST_CLOCK=ON: skipped\n");
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connecting),
        cmocka_unit_test(first_byte),
        cmocka_unit_test(first_byte_after_an_interim_answer),
        cmocka_unit_test(idle_inside_the_head),
        cmocka_unit_test(idle_inside_the_body),
        cmocka_unit_test(idle_while_the_origin_takes_nothing),
        cmocka_unit_test(a_pause_is_not_the_origins_idleness),
        cmocka_unit_test(a_slow_user_is_not_the_origins_idleness),
        cmocka_unit_test(total_with_a_trickle),
        cmocka_unit_test(total_while_waiting_for_a_place),
        cmocka_unit_test(total_fails_what_still_waits),
        cmocka_unit_test(unused_connection_is_closed),
        cmocka_unit_test(old_connection_is_replaced),
    };
    return cmocka_run_group_tests(tests, rig_setup_process, rig_teardown_process);
}
