/* Bodies in both directions: pause and resume, back-pressure, early answers. */
#include "unit/upstream/rig.h"

enum { LARGE = 16 * 1024 * 1024 };

static char pattern(size_t i)
{
    return (char)('a' + (i * 7 + i / 4096) % 26);
}

static char *make_large(void)
{
    char *data = malloc(LARGE);
    assert_non_null(data);
    for (size_t i = 0; i < LARGE; i++)
        data[i] = pattern(i);
    return data;
}

static void begin(struct rig *rig, struct call *call)
{
    rig_open(rig, NULL);
    call_init(call, rig);
}

static void finish(struct rig *rig, struct call *call, int fd)
{
    call_deinit(call);
    close(fd);
    rig_close(rig);
}

/* --- answers ------------------------------------------------------------------------- */

/* Bytes that the kernel takes without anybody reading them. */
static size_t write_what_fits(struct rig *rig, int fd, const char *data, size_t len)
{
    size_t done = 0;
    for (int quiet = 0; quiet < 50 && done < len;) {
        ssize_t n = send(fd, data + done, len - done, MSG_NOSIGNAL);
        if (n > 0)
            done += (size_t)n;
        quiet = n > 0 ? 0 : quiet + 1;
        rig_turn(rig);
    }
    return done;
}

static void pause_every_time(struct call *call)
{
    upstream_pause(call->t);
}

static void pause_holds_back_and_loses_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    char *data = make_large();
    begin(&rig, &call);
    call.on_piece = pause_every_time;
    call_get(&call);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    char head[64];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LARGE);
    rig_write(&rig, fd, head);
    RIG_UNTIL(&rig, call.heads == 1);

    size_t written = write_what_fits(&rig, fd, data, LARGE);
    assert_true(written < LARGE); /* back-pressure reaches the origin */
    assert_int_equal(call.body.len, 0);
    size_t before = 0;
    while (!call_over(&call)) {
        call_resume(&call);
        written +=
            write_what_fits(&rig, fd, data + written, LARGE - written < 65536 ? LARGE - written : 65536);
        rig_turn(&rig);
        assert_true(call.body.len - before <= 4 * 65536);
        before = call.body.len;
    }
    assert_int_equal(call.ends, 1);
    assert_int_equal(call.body.len, LARGE);
    assert_memory_equal(call.body.ptr, data, LARGE);
    assert_int_equal(rig_stats(&rig).idle, 1);
    free(data);
    finish(&rig, &call, fd);
}

static void a_paused_transfer_ends_only_after_resume(void **state)
{
    (void)state;
    static const char *const ANSWERS[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof ANSWERS / sizeof *ANSWERS; i++) {
        struct rig rig;
        struct call call;
        begin(&rig, &call);
        call.on_piece = pause_every_time;
        call_get(&call);
        int fd = rig_accept(&rig);
        rig_read_request(&rig, fd);
        rig_write(&rig, fd, ANSWERS[i]);
        RIG_UNTIL(&rig, call.heads == 1);
        rig_turns(&rig, 10);
        assert_false(call_over(&call));
        call_resume(&call);
        assert_false(call_over(&call));
        RIG_UNTIL(&rig, call_over(&call));
        assert_int_equal(call.ends, 1);
        assert_int_equal(rig_stats(&rig).idle, 1);
        finish(&rig, &call, fd);
    }
}

static void pause_before_the_head_holds_it_back(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    begin(&rig, &call);
    call_get(&call);
    upstream_pause(call.t);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    rig_turns(&rig, 20);
    assert_int_equal(call.heads, 0);
    call_resume(&call);
    call_expect_ok(&call, 200, "ok");
    finish(&rig, &call, fd);
}

/* Complete but for its on_end: nothing is left on the wire, so cancelling keeps the connection. */
static void cancelling_a_complete_answer_keeps_the_connection(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    begin(&rig, &call);
    call.on_piece = pause_every_time;
    call_get(&call);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    RIG_UNTIL(&rig, call.heads == 1);
    upstream_cancel(call.t);
    assert_int_equal(rig_stats(&rig).idle, 1);
    finish(&rig, &call, fd);
}

static void a_close_behind_held_back_bytes_loses_none(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    begin(&rig, &call);
    call.on_piece = pause_every_time;
    call_get(&call);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, "HTTP/1.1 200 OK\r\n\r\none");
    RIG_UNTIL(&rig, call.heads == 1);
    rig_write(&rig, fd, " two");
    shutdown(fd, SHUT_WR);
    rig_turns(&rig, 20);
    while (!call_over(&call)) {
        call_resume(&call);
        rig_turns(&rig, 3);
    }
    call_expect_ok(&call, 200, "one two");
    finish(&rig, &call, fd);
}

/* --- requests ------------------------------------------------------------------------ */

static void start_post(struct call *call, enum http_framing framing, uint64_t length)
{
    call_request(call, &(struct upstream_request){.method = METHOD_POST,
                                                  .head = SLICE("POST /x HTTP/1.1\r\nHost: origin\r\n\r\n"),
                                                  .framing = framing,
                                                  .length = length});
}

/* Chunked data without its framing; asserts that the framing is right and complete. */
static void unchunk(struct buf *from, struct buf *to)
{
    struct slice rest = buf_slice(from);
    for (;;) {
        struct slice line;
        assert_true(slice_cut(rest, '\n', &line, &rest));
        size_t size = (size_t)strtoull(line.ptr, NULL, 16);
        assert_true(rest.len >= size + 2);
        buf_append(to, rest.ptr, size);
        assert_memory_equal(rest.ptr + size, "\r\n", 2);
        rest = slice_skip(rest, size + 2);
        if (size == 0)
            break;
    }
    assert_int_equal(rest.len, 0);
}

static void upload(enum http_framing framing)
{
    struct rig rig;
    struct call call;
    struct buf seen, body;
    char *data = make_large();
    size_t taken = 0;
    begin(&rig, &call);
    buf_init(&seen, RIG_BODY_MAX);
    buf_init(&body, RIG_BODY_MAX);
    start_post(&call, framing, framing == FRAMING_LENGTH ? LARGE : 0);
    taken = call_send(&call, slice_of(data, LARGE), true);
    assert_true(taken >= 60000 && taken <= 65536); /* held back until there is a connection */
    int fd = rig_accept(&rig);
    RIG_UNTIL(&rig, call.writables == 1);

    for (int quiet = 0; quiet < 50; quiet++, rig_turn(&rig)) {
        size_t n = call_send(&call, slice_of(data + taken, LARGE - taken), true);
        taken += n;
        quiet = n > 0 ? 0 : quiet;
    }
    assert_true(taken < LARGE); /* the origin does not read: back-pressure */
    int writables = call.writables;
    while (taken < LARGE) {
        rig_read_some(&rig, fd, &seen);
        if (call.writables > writables) {
            writables = call.writables;
            taken += call_send(&call, slice_of(data + taken, LARGE - taken), true);
        }
    }
    const char *end = framing == FRAMING_CHUNKED ? "\r\n0\r\n\r\n" : NULL;
    size_t total = strlen("POST /x HTTP/1.1\r\nHost: origin\r\n\r\n");
    while (end ? !(seen.len > 7 && memcmp(seen.ptr + seen.len - 7, end, 7) == 0) : seen.len < total + LARGE)
        assert_true(rig_read_some(&rig, fd, &seen));
    buf_consume(&seen, total);
    if (end)
        unchunk(&seen, &body);
    else
        buf_append_slice(&body, buf_slice(&seen));
    assert_int_equal(body.len, LARGE);
    assert_memory_equal(body.ptr, data, LARGE);
    rig_write(&rig, fd, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    call_expect_ok(&call, 201, "");
    assert_int_equal(rig_stats(&rig).idle, 1);
    buf_deinit(&seen);
    buf_deinit(&body);
    free(data);
    finish(&rig, &call, fd);
}

static void body_with_a_length_streams_with_back_pressure(void **state)
{
    (void)state;
    upload(FRAMING_LENGTH);
}

/* The end of the body comes when there is room for nothing else. */
static void the_last_chunk_always_finds_room(void **state)
{
    static char piece[64 * 1024];
    struct rig rig;
    struct call call;
    (void)state;
    memset(piece, 'x', sizeof piece);
    rig_open(&rig, NULL);
    call_init(&call, &rig);
    call_request(
        &call, &(struct upstream_request){
                   .method = METHOD_POST,
                   .framing = FRAMING_CHUNKED,
                   .head = SLICE("POST /x HTTP/1.1\r\nHost: origin\r\nTransfer-Encoding: chunked\r\n\r\n")});
    assert_int_equal(call_send(&call, slice_of(piece, sizeof piece), false), sizeof piece);
    assert_int_equal(call_send(&call, slice_of(piece, 0), true), 0);
    int fd = rig_accept(&rig);
    rig_read_until(&rig, fd, "x\r\n0\r\n\r\n", NULL);
    rig_write(&rig, fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    call_expect_ok(&call, 200, "");
    close(fd);
    call_deinit(&call);
    rig_close(&rig);
}

static void chunked_body_streams_with_back_pressure(void **state)
{
    (void)state;
    upload(FRAMING_CHUNKED);
}

static void small_body_leaves_with_its_head(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    struct buf seen;
    begin(&rig, &call);
    buf_init(&seen, 4096);
    start_post(&call, FRAMING_CHUNKED, 0);
    assert_int_equal(call_send(&call, SLICE("one"), false), 3);
    assert_int_equal(call_send(&call, SLICE(""), false), 0);
    assert_int_equal(call_send(&call, SLICE("three"), false), 5);
    assert_int_equal(call_send(&call, SLICE(""), true), 0);
    int fd = rig_accept(&rig);
    rig_read_until(&rig, fd, "0\r\n\r\n", &seen);
    assert_true(slice_equal(buf_slice(&seen),
                            SLICE("POST /x HTTP/1.1\r\nHost: origin\r\n\r\n3\r\none\r\n5\r\nthree\r\n"
                                  "0\r\n\r\n")));
    rig_write(&rig, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    call_expect_ok(&call, 204, "");
    assert_int_equal(call.writables, 0);

    struct call second;
    call_init(&second, &rig);
    start_post(&second, FRAMING_LENGTH, 4);
    assert_int_equal(recv(fd, (char[1]){0}, 1, MSG_PEEK),
                     -1); /* the head waits for what comes in the same turn */
    assert_int_equal(call_send(&second, SLICE("body"), true), 4);
    buf_reset(&seen);
    assert_true(rig_read_some(&rig, fd, &seen));
    assert_true(slice_equal(buf_slice(&seen), SLICE("POST /x HTTP/1.1\r\nHost: origin\r\n\r\nbody")));
    rig_write(&rig, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    call_expect_ok(&second, 204, "");
    call_deinit(&second);
    buf_deinit(&seen);
    finish(&rig, &call, fd);
}

/* An answer that comes whole while the body is still on its way is delivered; then the connection is closed.
 */
static void early_answer_is_delivered_and_the_connection_closed(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    begin(&rig, &call);
    start_post(&call, FRAMING_LENGTH, LARGE);
    call_send(&call, SLICE("the beginning"), false);
    int fd = rig_accept(&rig);
    rig_read_until(&rig, fd, "beginning", NULL);
    rig_write(&rig, fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
    call_expect_ok(&call, 413, "no!");
    rig_await_close(&rig, fd);
    assert_int_equal(rig_stats(&rig).open, 0);
    call_deinit(&call);
    rig_close(&rig);
}

/* The origin answers and resets while we still send: what it said is heard all the same. */
static void answer_of_an_origin_that_stopped_reading_is_heard(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    char *data = make_large();
    size_t taken = 0;
    begin(&rig, &call);
    start_post(&call, FRAMING_LENGTH, LARGE);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    upstream_pause(call.t); /* the answer stays unread until the sending has failed */
    rig_write(&rig, fd, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!");
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 20; i++, rig_turn(&rig))
        taken += call_send(&call, slice_of(data + taken, 65536), false);
    close(fd);
    while (taken < LARGE) {
        rig_turns(&rig, 3);
        taken += call_send(&call, slice_of(data + taken, LARGE - taken), true);
    }
    assert_false(call_over(&call));
    call_resume(&call);
    call_expect_ok(&call, 413, "no!");
    free(data);
    call_deinit(&call);
    rig_close(&rig);
}

static void post_whose_bytes_left_is_not_sent_again(void **state)
{
    (void)state;
    struct rig rig;
    struct call first, second;
    rig_open(&rig, NULL);
    call_init(&first, &rig);
    call_init(&second, &rig);
    call_get(&first);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    call_expect_ok(&first, 204, "");
    start_post(&second, FRAMING_LENGTH, 100);
    call_send(&second, SLICE("some of it"), false);
    rig_read_until(&rig, fd, "some of it", NULL);
    close(fd);
    call_expect_failure(&second, UPSTREAM_RESET);
    assert_true(second.sent);
    rig_turns(&rig, 20);
    assert_int_equal(rig_try_accept(&rig), -1);
    call_deinit(&first);
    call_deinit(&second);
    rig_close(&rig);
}

/* The kept connection breaks between start and the first byte: nothing left, so even a body goes out again.
 */
static void post_whose_bytes_did_not_leave_is_sent_on_a_new_connection(void **state)
{
    (void)state;
    struct rig rig;
    struct call first, second;
    rig_open(&rig, NULL);
    call_init(&first, &rig);
    call_init(&second, &rig);
    call_get(&first);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_write(&rig, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    call_expect_ok(&first, 204, "");
    start_post(&second, FRAMING_LENGTH, 4);
    rig_reset(fd); /* taken from the pool already, its head not yet sent */
    call_send(&second, SLICE("body"), true);
    fd = rig_accept(&rig);
    rig_read_until(&rig, fd, "\r\n\r\nbody", NULL);
    rig_write(&rig, fd, "HTTP/1.1 204 No Content\r\n\r\n");
    call_expect_ok(&second, 204, "");
    call_deinit(&first);
    call_deinit(&second);
    close(fd);
    rig_close(&rig);
}

static void failure_while_the_user_still_sends_is_told_once(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    char *data = make_large();
    begin(&rig, &call);
    start_post(&call, FRAMING_LENGTH, LARGE);
    call_send(&call, slice_of(data, 1000), false);
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    rig_reset(fd);
    size_t taken = 1000;
    while (!call_over(&call) && taken < LARGE) {
        taken += call_send(&call, slice_of(data + taken, 1000), false);
        rig_turn(&rig);
    }
    call_expect_failure(&call, UPSTREAM_RESET);
    assert_true(call.sent);
    free(data);
    call_deinit(&call);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pause_holds_back_and_loses_nothing),
        cmocka_unit_test(a_paused_transfer_ends_only_after_resume),
        cmocka_unit_test(pause_before_the_head_holds_it_back),
        cmocka_unit_test(cancelling_a_complete_answer_keeps_the_connection),
        cmocka_unit_test(a_close_behind_held_back_bytes_loses_none),
        cmocka_unit_test(body_with_a_length_streams_with_back_pressure),
        cmocka_unit_test(the_last_chunk_always_finds_room),
        cmocka_unit_test(chunked_body_streams_with_back_pressure),
        cmocka_unit_test(small_body_leaves_with_its_head),
        cmocka_unit_test(early_answer_is_delivered_and_the_connection_closed),
        cmocka_unit_test(answer_of_an_origin_that_stopped_reading_is_heard),
        cmocka_unit_test(post_whose_bytes_left_is_not_sent_again),
        cmocka_unit_test(post_whose_bytes_did_not_leave_is_sent_on_a_new_connection),
        cmocka_unit_test(failure_while_the_user_still_sends_is_told_once),
    };
    return cmocka_run_group_tests(tests, rig_setup_process, rig_teardown_process);
}
