/* Answers as bytes: what is believed, what is refused, what counts as cut; whole, and one byte at a time. */
#include "unit/upstream/rig.h"

#include "wire/wire.h"

enum { WHOLE, BYTES };
/* What the origin does after its last byte. */
enum then { STAYS, CLOSES, RESETS };

struct row {
    const char *name;
    const char *answer;
    enum then then;
    enum method method; /* GET when 0 */
    int status;         /* 0: fails with `failure` */
    const char *body;
    bool reused;
    enum upstream_failure failure;
};

static const struct row GOOD[] = {
    {"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", STAYS, METHOD_GET, 200, "hello", true, 0},
    {"empty", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", STAYS, METHOD_GET, 404, "", true, 0},
    {"no reason", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", STAYS, METHOD_GET, 200, "x", true, 0},
    {"chunked",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n",
     STAYS, METHOD_GET, 200, "abcde", true, 0},
    {"head of a GET's answer", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", STAYS, METHOD_HEAD, 200, "",
     true, 0},
    {"chunked answer to HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", STAYS, METHOD_HEAD,
     200, "", true, 0},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", STAYS, METHOD_GET, 204, "", true, 0},
    {"304 with length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", STAYS, METHOD_GET, 304, "",
     true, 0},
    {"interim",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"
     "Content-Length: 2\r\n\r\nok",
     STAYS, METHOD_GET, 200, "ok", true, 0},
    {"until close", "HTTP/1.1 200 OK\r\n\r\nall of it", CLOSES, METHOD_GET, 200, "all of it", false, 0},
    {"until close, nothing", "HTTP/1.1 200 OK\r\n\r\n", CLOSES, METHOD_GET, 200, "", false, 0},
    {"connection close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", STAYS,
     METHOD_GET, 200, "ok", false, 0},
    {"1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", STAYS, METHOD_GET, 200, "ok", false, 0},
    {"1.0 keep-alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", STAYS,
     METHOD_GET, 200, "ok", false, 0},
    {"1.0 until close", "HTTP/1.0 200 OK\r\n\r\nold", CLOSES, METHOD_GET, 200, "old", false, 0},
};

/* Bytes behind a complete answer: only a whole write shows them in time, and only reuse is at stake. */
static const struct row SURPLUS[] = {
    {"extra byte", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX", STAYS, METHOD_GET, 200, "ok", false, 0},
    {"second answer",
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", STAYS,
     METHOD_GET, 200, "ok", false, 0},
    {"body behind HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", STAYS, METHOD_HEAD, 200, "", false,
     0},
    {"body behind 204", "HTTP/1.1 204 No Content\r\n\r\nboo", STAYS, METHOD_GET, 204, "", false, 0},
    {"body behind 304", "HTTP/1.1 304 Not Modified\r\n\r\nboo", STAYS, METHOD_GET, 304, "", false, 0},
    {"behind the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nx", STAYS,
     METHOD_GET, 200, "", false, 0},
};

#define BAD(name, answer, failure)                                                                           \
    {                                                                                                        \
        name, answer, CLOSES, METHOD_GET, 0, NULL, false, UPSTREAM_##failure                                 \
    }
#define ENDS(name, answer, then, failure)                                                                    \
    {                                                                                                        \
        name, answer, then, METHOD_GET, 0, NULL, false, UPSTREAM_##failure                                   \
    }

/* The 31 of the threat model, and neighbours. */
static const struct row REFUSED[] = {
    BAD("lengths that differ", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        INVALID),
    BAD("lengths in a list", "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nokk", INVALID),
    BAD("5x as a length", "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello", INVALID),
    BAD("length over 2^64", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello", INVALID),
    BAD("negative length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", INVALID),
    BAD("signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", INVALID),
    BAD("empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello", INVALID),
    BAD("length and chunked",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        INVALID),
    BAD("unknown coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", INVALID),
    BAD("chunked twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        INVALID),
    BAD("bare CR in a value", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("bare LF ends a line", "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok", INVALID),
    BAD("empty name", "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("folded line", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("line without a colon", "HTTP/1.1 200 OK\r\nrubbish\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("control byte in a value",
        "HTTP/1.1 200 OK\r\nX: a\x01"
        "b\r\nContent-Length: 2\r\n\r\nok",
        INVALID),
    BAD("101 nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", INVALID),
    BAD("0.9", "hello, this is a page", INVALID),
    BAD("garbage", "\x16\x03\x01\x02\x00\x01\xfc\r\n\r\n", INVALID),
    BAD("empty lines first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("code 000", "HTTP/1.1 000 No\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("code 99999", "HTTP/1.1 99999 No\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("code 999", "HTTP/1.1 999 No\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("another protocol", "RTSP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", INVALID),
    BAD("body with an interim", "HTTP/1.1 103 Early\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 N\r\n\r\n",
        INVALID),
    BAD("interim, then garbage", "HTTP/1.1 100 Continue\r\n\r\nrubbish\r\n\r\n", INVALID),
    BAD("cut in the head", "HTTP/1.1 200 OK\r\nContent-Le", RESET),
    BAD("cut behind an interim", "HTTP/1.1 100 Continue\r\n\r\n", RESET),
    BAD("nothing at all", "", RESET),
    ENDS("reset in the head", "HTTP/1.1 200 OK\r\n", RESETS, RESET),
    BAD("short body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", CUT),
    BAD("no body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", CUT),
    ENDS("reset in the body", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", RESETS, CUT),
    ENDS("reset, not closed", "HTTP/1.1 200 OK\r\n\r\nall of", RESETS, CUT),
    BAD("cut in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", CUT),
    BAD("no last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CUT),
    BAD("cut in the trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n", CUT),
    BAD("bad chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
        CUT),
    BAD("chunk size over 2^64",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", CUT),
    BAD("chunk too long", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        CUT),
    BAD("LF in chunk lines", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n", CUT),
};

static void send_answer(struct rig *rig, int fd, const struct row *row, int how)
{
    size_t len = strlen(row->answer);
    if (how == WHOLE)
        rig_write_bytes(rig, fd, row->answer, len);
    for (size_t i = 0; how == BYTES && i < len; i++) {
        rig_write_bytes(rig, fd, row->answer + i, 1);
        rig_turns(rig, 2);
    }
    if (row->then == RESETS) {
        rig_turns(rig, 10);
        rig_reset(fd);
    } else if (row->then == CLOSES) {
        shutdown(fd, SHUT_WR);
    }
}

static void expect(struct call *call, const struct row *row)
{
    if (row->status > 0) {
        call_expect_ok(call, row->status, row->body);
        return;
    }
    call_expect_failure(call, row->failure);
    assert_true(call->sent);
    assert_int_equal(call->ends, 0);
}

static void run(const struct row *row, int how)
{
    struct rig rig;
    struct call call;
    print_message("  %s, %s\n", row->name, how == WHOLE ? "whole" : "byte by byte");
    rig_open(&rig, NULL);
    call_init(&call, &rig);
    call_request(&call, &(struct upstream_request){.method = row->method ? row->method : METHOD_GET,
                                                   .head = SLICE("X / HTTP/1.1\r\nHost: o\r\n\r\n")});
    int fd = rig_accept(&rig);
    rig_read_request(&rig, fd);
    send_answer(&rig, fd, row, how);
    expect(&call, row);
    rig_turns(&rig, 3);
    assert_int_equal(rig_stats(&rig).open, row->reused ? 1 : 0);
    assert_int_equal(rig_stats(&rig).idle, row->reused ? 1 : 0);
    if (row->then != RESETS)
        close(fd);
    call_deinit(&call);
    rig_close(&rig);
}

#define RUN(rows)                                                                                            \
    for (size_t i = 0; i < sizeof(rows) / sizeof *(rows); i++)                                               \
        for (int how = WHOLE; how <= BYTES; how++)                                                           \
            run(&(rows)[i], how);

static void good_answers_are_delivered(void **state)
{
    (void)state;
    RUN(GOOD);
}

static void bad_answers_are_refused(void **state)
{
    (void)state;
    RUN(REFUSED);
}

static void surplus_bytes_end_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SURPLUS / sizeof *SURPLUS; i++)
        run(&SURPLUS[i], WHOLE);
}

/* --- answers that are made, not written ---------------------------------------------- */

struct exchange {
    struct rig rig;
    struct call call;
    int fd;
};

static void begin(struct exchange *x)
{
    rig_open(&x->rig, NULL);
    call_init(&x->call, &x->rig);
    call_get(&x->call);
    x->fd = rig_accept(&x->rig);
    rig_read_request(&x->rig, x->fd);
}

static void finish(struct exchange *x)
{
    call_deinit(&x->call);
    close(x->fd);
    rig_close(&x->rig);
}

static void nul_in_a_field_is_refused(void **state)
{
    (void)state;
    static const char answer[] = "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok";
    struct exchange x;
    begin(&x);
    rig_write_bytes(&x.rig, x.fd, answer, sizeof answer - 1);
    call_expect_failure(&x.call, UPSTREAM_INVALID);
    finish(&x);
}

static void a_head_larger_than_head_max_is_refused(void **state)
{
    (void)state;
    for (int complete = 0; complete < 2; complete++) {
        struct exchange x;
        struct buf head;
        begin(&x);
        buf_init(&head, 1024 * 1024);
        buf_append_text(&head, "HTTP/1.1 200 OK\r\nX: ");
        while (head.len < RIG_OPTIONS.head_max)
            buf_append_char(&head, 'a');
        if (complete)
            buf_append_text(&head, "\r\nContent-Length: 0\r\n\r\n");
        else
            buf_append_char(&head, 'a');
        rig_write_bytes(&x.rig, x.fd, head.ptr, head.len);
        call_expect_failure(&x.call, UPSTREAM_INVALID);
        buf_deinit(&head);
        finish(&x);
    }
}

static void twenty_thousand_fields_are_refused(void **state)
{
    (void)state;
    struct exchange x;
    begin(&x);
    rig_write(&x.rig, x.fd, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 20000 && !call_over(&x.call); i++)
        rig_write(&x.rig, x.fd, "A: b\r\n");
    call_expect_failure(&x.call, UPSTREAM_INVALID);
    finish(&x);
}

static void a_hundred_and_one_fields_are_refused_a_hundred_are_not(void **state)
{
    (void)state;
    for (int fields = WIRE_FIELDS_MAX; fields <= WIRE_FIELDS_MAX + 1; fields++) {
        struct exchange x;
        begin(&x);
        rig_write(&x.rig, x.fd, "HTTP/1.1 204 OK\r\n");
        for (int i = 0; i < fields; i++)
            rig_write(&x.rig, x.fd, "A: b\r\n");
        rig_write(&x.rig, x.fd, "\r\n");
        if (fields == WIRE_FIELDS_MAX)
            call_expect_ok(&x.call, 204, "");
        else
            call_expect_failure(&x.call, UPSTREAM_INVALID);
        finish(&x);
    }
}

static void interim_answers_are_bounded(void **state)
{
    (void)state;
    for (int interims = 8; interims <= 9; interims++) {
        struct exchange x;
        begin(&x);
        for (int i = 0; i < interims; i++)
            rig_write(&x.rig, x.fd, "HTTP/1.1 102 Processing\r\n\r\n");
        rig_write(&x.rig, x.fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        if (interims == 8)
            call_expect_ok(&x.call, 200, "");
        else
            call_expect_failure(&x.call, UPSTREAM_INVALID);
        finish(&x);
    }
}

static void fields_reach_the_user_in_order(void **state)
{
    (void)state;
    struct exchange x;
    begin(&x);
    rig_write(&x.rig, x.fd,
              "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nX-b:  c d \r\nContent-Length: 0\r\nETAG2: \r\n\r\n");
    call_expect_ok(&x.call, 200, "");
    assert_true(
        slice_equal(buf_slice(&x.call.fields), SLICE("ETag: \"a\"\nX-b: c d\nContent-Length: 0\nETAG2: \n")));
    finish(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_answers_are_delivered),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(surplus_bytes_end_the_connection),
        cmocka_unit_test(nul_in_a_field_is_refused),
        cmocka_unit_test(a_head_larger_than_head_max_is_refused),
        cmocka_unit_test(twenty_thousand_fields_are_refused),
        cmocka_unit_test(a_hundred_and_one_fields_are_refused_a_hundred_are_not),
        cmocka_unit_test(interim_answers_are_bounded),
        cmocka_unit_test(fields_reach_the_user_in_order),
    };
    return cmocka_run_group_tests(tests, rig_setup_process, rig_teardown_process);
}
