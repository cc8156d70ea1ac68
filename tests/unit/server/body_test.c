/* Request bodies: both framings, limits, 100-continue, back-pressure, and bodies that nobody reads. */
#include "unit/server/fixture.h"

#define POST(target, fields) "POST " target " HTTP/1.1\r\nHost: t\r\n" fields "\r\n"

struct row {
    const char *name;
    const char *sent;
    const char *expect[3];
};

static const struct row answered[] = {
    {"length",
     POST("/collect", "Content-Length: 5\r\n") "hello",
     {"HTTP/1.1 200 ", "\r\nContent-Length: 5\r\n", "\r\n\r\nhello"}},
    {"length 0", POST("/collect", "Content-Length: 0\r\n"), {"HTTP/1.1 200 ", "\r\nContent-Length: 0\r\n"}},
    {"none", GET("/collect"), {"HTTP/1.1 200 ", "\r\nContent-Length: 0\r\n"}},
    {"chunked",
     POST("/collect", "Transfer-Encoding: chunked\r\n") "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-T: 1\r\n\r\n",
     {"HTTP/1.1 200 ", "\r\n\r\nhello"}},
    {"chunked, empty",
     POST("/collect", "Transfer-Encoding: chunked\r\n") "0\r\n\r\n",
     {"HTTP/1.1 200 ", "\r\nContent-Length: 0\r\n"}},
    {"echoed in chunks",
     POST("/echo", "Transfer-Encoding: chunked\r\n") "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
     {"\r\nX-First: 1\r\nX-Second: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
      "\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"}},
    {"echo of nothing", GET("/echo"), {"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}},
};

/* Whole, and in single bytes; the connection stays usable behind each. */
static void bodies_arrive(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answered / sizeof answered[0]; i++) {
        for (int single = 0; single < 2; single++) {
            const struct row *row = &answered[i];
            struct fixture *f = fixture_open();
            struct client c;
            client_open(f, &c);
            if (single && strstr(row->name, "chunks"))
                row = &answered[3]; /* chunks are echoed as they come: not the same in single bytes */
            for (const char *at = row->sent; single && *at; at++) {
                client_send_bytes(&c, at, 1);
                turn(f);
            }
            if (!single)
                client_send(&c, row->sent);
            for (int k = 0; k < 3 && row->expect[k]; k++)
                client_expect(&c, row->expect[k]);
            client_send(&c, GET("/behind"));
            client_expect(&c, "\r\n\r\n/behind");
            assert_int_equal(f->sent, 2);
            client_close(&c);
            fixture_close(f);
        }
    }
}

static const struct row refused[] = {
    {"over the handler's maximum",
     POST("/collect", "Content-Length: 1001\r\n"),
     {"HTTP/1.1 413 ", "payload-too-large"}},
    {"over body_max",
     POST("/collect-much", "Content-Length: 100001\r\n"),
     {"HTTP/1.1 413 ", "\r\nConnection: close\r\n"}},
    {"chunks over the handler's maximum",
     POST("/collect", "Transfer-Encoding: chunked\r\n") "ffff\r\n",
     {"HTTP/1.1 413 ", "\r\nConnection: close\r\n"}},
    {"damaged chunk",
     POST("/collect", "Transfer-Encoding: chunked\r\n") "3\r\nhel\r\nzz\r\n",
     {"HTTP/1.1 400 ", "\r\nConnection: close\r\n"}},
    {"lf in a chunk line",
     POST("/collect", "Transfer-Encoding: chunked\r\n") "3\nhel\r\n0\r\n\r\n",
     {"HTTP/1.1 400 ", "\r\nConnection: close\r\n"}},
};

static void bodies_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        char fill[2000];
        memset(fill, 'f', sizeof fill);
        client_open(f, &c);
        client_send(&c, refused[i].sent);
        if (strstr(refused[i].sent, "ffff\r\n"))
            client_send_bytes(&c, fill, sizeof fill);
        for (int k = 0; k < 3 && refused[i].expect[k]; k++)
            client_expect(&c, refused[i].expect[k]);
        assert_int_equal(f->sent, 1);
        client_close(&c);
        fixture_close(f);
    }
}

/* Damage is the end: what follows is never read as a request. */
static void nothing_follows_a_damaged_body(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, POST("/collect", "Transfer-Encoding: chunked\r\n") "zz\r\n" GET("/smuggled"));
    client_expect_end(&c);
    assert_true(c.eof);
    assert_int_equal(f->requests, 1);
    client_close(&c);
    fixture_close(f);
}

static void chunks_over_body_max_are_too_large(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    char fill[4096];
    memset(fill, 'f', sizeof fill);
    client_open(f, &c);
    client_send(&c, POST("/collect-much", "Transfer-Encoding: chunked\r\n"));
    for (int i = 0; i < 26; i++) {
        client_send(&c, "1000\r\n");
        client_send_bytes(&c, fill, sizeof fill);
        client_send(&c, "\r\n");
    }
    client_expect(&c, "HTTP/1.1 413 ");
    client_close(&c);
    fixture_close(f);
}

static void a_large_body_passes_with_back_pressure(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    char body[100000];
    memset(body, 'p', sizeof body);
    client_open(f, &c);
    client_send(&c, POST("/collect-much", "Content-Length: 100000\r\n"));
    client_send_bytes(&c, body, sizeof body);
    client_expect(&c, "HTTP/1.1 200 ");
    wait_for(f, (client_has(&c, ""), c.len > sizeof body));
    assert_int_equal(run_at_end(&c, 'p'), sizeof body);
    client_close(&c);
    fixture_close(f);
}

/* Nobody takes the body: what is read of it stays within head_max and one read. */
static void a_body_that_is_not_taken_waits_in_the_kernel(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    size_t taken = 0, sent = 0;
    struct slice data;
    client_open(f, &c);
    f->options.body_max = UINT64_MAX;
    server_configure(f->server, &f->options);
    client_send(&c, POST("/hold", "Content-Length: 100000000\r\n"));
    wait_for(f, f->holding == 1);
    for (int i = 0; i < 300; i++) {
        ssize_t n = send(c.fd, f->big, sizeof f->big, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        turn(f);
    }
    while (server_body_next(f->held[0], &data) == SERVER_BODY_DATA)
        taken += data.len;
    assert_true(sent > 300000);
    assert_in_range(taken, f->options.head_max, f->options.head_max + 64 * 1024);
    for (int i = 0; i < 3; i++) { /* taking makes room by itself */
        settle(f);
        assert_int_equal(server_body_next(f->held[0], &data), SERVER_BODY_DATA);
        taken += data.len;
    }
    for (int i = 0; i < 300 && taken < sent; i++) {
        turn(f);
        while (server_body_next(f->held[0], &data) == SERVER_BODY_DATA)
            taken += data.len;
    }
    assert_int_equal(taken, sent);
    server_abort(f->held[0]);
    client_expect_end(&c);
    client_close(&c);
    fixture_close(f);
}

static void continue_is_sent_when_the_body_is_wanted(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, POST("/collect", "Expect: 100-continue\r\nContent-Length: 5\r\n"));
    client_expect(&c, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(c.len, strlen("HTTP/1.1 100 Continue\r\n\r\n"));
    client_send(&c, "hello");
    client_expect(&c, "\r\n\r\nhello");
    assert_int_equal(f->last_sent_bytes, c.len - strlen("HTTP/1.1 100 Continue\r\n\r\n"));
    client_send(&c, GET("/behind"));
    client_expect(&c, "/behind");
    client_close(&c);
    fixture_close(f);
}

static void continue_is_not_sent(void **state)
{
    (void)state;
    static const struct {
        const char *name, *sent, *expect;
        bool kept;
    } rows[] = {
        {"the body is there", POST("/collect", "Expect: 100-continue\r\nContent-Length: 5\r\n") "hello",
         "\r\n\r\nhello", true},
        {"nobody wants it", POST("/unread", "Expect: 100-continue\r\nContent-Length: 5\r\n"),
         "\r\nConnection: close\r\n", false},
        {"it is too large", POST("/collect", "Expect: 100-continue\r\nContent-Length: 5000\r\n"),
         "\r\nConnection: close\r\n", false},
        {"HTTP/1.0",
         "POST /collect HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: "
         "5\r\n\r\nhello",
         "\r\n\r\nhello", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        client_open(f, &c);
        client_send(&c, rows[i].sent);
        client_expect(&c, rows[i].expect);
        settle(f);
        assert_int_equal(client_ended(&c), !rows[i].kept);
        assert_null(strstr(c.text, " 100 "));
        client_close(&c);
        fixture_close(f);
    }
}

/* A small rest is dropped and the connection kept; a large one costs the connection, but never the answer. */
static void bodies_that_nobody_read(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        size_t now, later; /* body bytes sent with the head, and after the answer */
        bool kept;
    } rows[] = {
        {"there already", POST("/unread", "Content-Length: 100\r\n"), 100, 0, true},
        {"small, later", POST("/unread", "Content-Length: 60000\r\n"), 10, 59990, true},
        {"large", POST("/unread", "Content-Length: 900000\r\n"), 10, 899990, false},
        {"over what is discarded", POST("/unread", "Content-Length: 9000000\r\n"), 10, 3000000, false},
        {"chunks without an end", POST("/unread", "Transfer-Encoding: chunked\r\n") "ffff\r\n", 10, 65525,
         false},
        {"chunks, damaged", POST("/unread", "Transfer-Encoding: chunked\r\n") "zz\r\n", 0, 10, false},
        {"over 64 KiB, but mostly there", POST("/unread", "Content-Length: 100000\r\n"), 60000, 40000, true},
        {"chunks, all there", POST("/unread", "Transfer-Encoding: chunked\r\n") "1\r\nx\r\n0\r\n\r\n", 0, 0,
         true},
    };
    char *fill = calloc(1, 3000000);
    assert_non_null(fill);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        size_t head = strlen(rows[i].head), sent = 0;
        char *first = calloc(1, head + rows[i].now);
        assert_non_null(first);
        memcpy(first, rows[i].head, head);
        client_open(f, &c);
        client_send_bytes(&c, first, head + rows[i].now);
        free(first);
        client_expect(&c, "\r\n\r\n/unread");
        assert_int_equal(f->sent, 1);
        assert_int_equal(strstr(c.text, "\r\nConnection: close\r\n") == NULL, rows[i].kept);
        for (int k = 0; k < 2000 && sent < rows[i].later; k++) {
            ssize_t n = send(c.fd, fill, rows[i].later - sent, MSG_NOSIGNAL);
            sent += n > 0 ? (size_t)n : 0;
            turn(f);
        }
        if (rows[i].kept) {
            client_send(&c, GET("/behind"));
            client_expect(&c, "\r\n\r\n/behind");
        } else {
            client_expect_end(&c);
            assert_int_equal(f->requests, 1);
            settle(f);
            if (rows[i].later > 1024 * 1024) /* enough: not even the 2 s are waited for */
                assert_int_equal(server_connections(f->server), 0);
        }
        client_close(&c);
        fixture_close(f);
    }
    free(fill);
}

/* The rest is not missed: the answer is there already. */
static void a_client_that_leaves_inside_an_unread_body_was_answered(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, POST("/unread", "Content-Length: 5\r\n") "he");
    client_expect(&c, "\r\n\r\n/unread");
    shutdown(c.fd, SHUT_WR);
    client_expect_end(&c);
    assert_true(c.eof);
    assert_int_equal(f->sent, 1);
    client_close(&c);
    fixture_close(f);
}

/* on_body for each arrival; the answer runs beside the request. */
static void a_body_is_echoed_as_it_comes(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, POST("/echo", "Transfer-Encoding: chunked\r\n"));
    client_send(&c, "3\r\none\r\n");
    client_expect(&c, "\r\n\r\n3\r\none");
    client_send(&c, "3\r\ntwo\r\n");
    client_expect(&c, "one\r\n3\r\ntwo");
    unsigned before = f->bodies;
    settle(f);
    assert_int_equal(f->bodies, before);
    client_send(&c, "0\r\n\r\n");
    client_expect(&c, "two\r\n0\r\n\r\n");
    assert_int_equal(f->bodies, before + 1);
    assert_int_equal(f->sent, 1);
    client_expect_end(&c); /* it was not known at the start whether this body would end */
    client_close(&c);
    fixture_close(f);
}

static void a_client_that_leaves_inside_a_body_is_gone(void **state)
{
    (void)state;
    static const char *const heads[] = {
        POST("/collect", "Content-Length: 5\r\n") "he",
        POST("/collect", "Transfer-Encoding: chunked\r\n") "5\r\nhe",
        POST("/collect", "Transfer-Encoding: chunked\r\n") "2\r\nhe\r\n0\r\n",
        POST("/hold", "Content-Length: 5\r\n") "he",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        client_open(f, &c);
        client_send(&c, heads[i]);
        wait_for(f, f->requests == 1);
        shutdown(c.fd, SHUT_WR);
        wait_for(f, f->gone == 1);
        client_expect_end(&c);
        assert_int_equal(c.len, 0);
        assert_int_equal(f->bodies, 0);
        client_close(&c);
        fixture_close(f);
    }
}

/* The body is complete when the client shuts its side, though nobody has read it yet. */
static void a_half_close_behind_a_body_is_answered(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        POST("/hold", "Content-Length: 5\r\n") "hello",
        POST("/hold", "Transfer-Encoding: chunked\r\n") "5\r\nhello\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < 2; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        client_open(f, &c);
        client_send(&c, bodies[i]);
        shutdown(c.fd, SHUT_WR);
        wait_for(f, f->holding == 1);
        settle(f);
        assert_int_equal(f->dones, 0);
        server_collect(f->held[0], 100, on_fixture_collected);
        assert_int_equal(f->bodies, 0); /* later, never inside the call */
        client_expect_end(&c);
        assert_non_null(strstr(c.text, "\r\n\r\nhello"));
        client_close(&c);
        fixture_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_arrive),
        cmocka_unit_test(bodies_are_refused),
        cmocka_unit_test(nothing_follows_a_damaged_body),
        cmocka_unit_test(chunks_over_body_max_are_too_large),
        cmocka_unit_test(a_large_body_passes_with_back_pressure),
        cmocka_unit_test(a_body_that_is_not_taken_waits_in_the_kernel),
        cmocka_unit_test(continue_is_sent_when_the_body_is_wanted),
        cmocka_unit_test(continue_is_not_sent),
        cmocka_unit_test(bodies_that_nobody_read),
        cmocka_unit_test(a_client_that_leaves_inside_an_unread_body_was_answered),
        cmocka_unit_test(a_body_is_echoed_as_it_comes),
        cmocka_unit_test(a_client_that_leaves_inside_a_body_is_gone),
        cmocka_unit_test(a_half_close_behind_a_body_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
