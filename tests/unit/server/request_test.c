/* Heads: how they are cut out of the stream, refused, named, and when the connection outlives them. */
#include "unit/server/fixture.h"

static void bytes_one_at_a_time(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    const char *text = "POST /collect HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello" GET("/second");
    for (; *text; text++) {
        client_send_bytes(&c, text, 1);
        turn(f);
        turn(f);
    }
    client_expect(&c, "/second");
    assert_non_null(strstr(c.text, "\r\n\r\nhelloHTTP/1.1 200 OK\r\n"));
    assert_int_equal(f->requests, 2);
    client_close(&c);
    fixture_close(f);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(
        &c, GET("/one") "POST /collect HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\ntwo" GET("/three"));
    client_expect(&c, "/three");
    const char *one = strstr(c.text, "\r\n\r\n/one"), *two = strstr(c.text, "\r\n\r\ntwo");
    assert_non_null(one);
    assert_non_null(two);
    assert_true(one < two && two < strstr(c.text, "\r\n\r\n/three"));
    assert_int_equal(f->sent, 3);
    client_close(&c);
    fixture_close(f);
}

static void pipelined_requests_wait_for_a_held_one(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold") GET("/later"));
    wait_for(f, f->holding == 1);
    settle(f);
    assert_int_equal(f->requests, 1);
    server_reply(f->held[0], 200, "text/plain", "", SLICE("now"));
    client_expect(&c, "/later");
    assert_true(strstr(c.text, "\r\n\r\nnow") < strstr(c.text, "/later"));
    client_close(&c);
    fixture_close(f);
}

/* Reading pauses while requests wait: the kernel's buffers fill, and everything is answered in the end. */
static void a_flood_of_pipelined_requests_is_bounded_and_answered(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    wait_for(f, f->holding == 1);
    size_t len = strlen(GET("/n")), sent = 0;
    char *flood = malloc(MANY * len);
    assert_non_null(flood);
    for (size_t i = 0; i < MANY; i++)
        memcpy(flood + i * len, GET("/n"), len);
    for (int i = 0; i < 200; i++) {
        ssize_t n = sent < MANY * len ? send(c.fd, flood + sent, MANY * len - sent, MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        turn(f);
    }
    assert_int_equal(f->requests, 1);
    server_reply(f->held[0], 200, "text/plain", "", SLICE("held"));
    for (uint64_t end = wait_end(); f->sent < MANY + 1 && clock_mono_ms() < end;) {
        ssize_t n = sent < MANY * len ? send(c.fd, flood + sent, MANY * len - sent, MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        while (client_read(&c, SIZE_MAX))
            client_forget(&c);
        turn(f);
    }
    assert_int_equal(f->sent, MANY + 1);
    free(flood);
    client_close(&c);
    fixture_close(f);
}

struct refusal {
    const char *name;
    const char *bytes;
    int status;
    const char *line;
    const char *body;
};

static const struct refusal refusals[] = {
    {"garbage", "\x16\x03\x01 tls\r\n\r\n", 400, "HTTP/1.1 400 Bad Request", "\"status\":400"},
    {"space before colon", "GET / HTTP/1.1\r\nHost : t\r\n\r\n", 400, "HTTP/1.1 400 ",
     "\"code\":\"bad-request\""},
    {"no host", "GET / HTTP/1.1\r\n\r\n", 400, "HTTP/1.1 400 ", "\"code\":\"bad-request\""},
    {"version", "GET / HTTP/2.0\r\nHost: t\r\n\r\n", 505, "HTTP/1.1 505 ", "\"status\":505"},
    {"connect", "CONNECT t:1 HTTP/1.1\r\nHost: t\r\n\r\n", 501, "HTTP/1.1 501 ", "\"status\":501"},
    {"coding", "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "HTTP/1.1 501 ",
     "\"status\":501"},
};

static void what_is_no_request_is_refused_and_the_connection_closed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *row = &refusals[i];
        struct fixture *f = fixture_open();
        struct client c;
        client_open(f, &c);
        client_send(&c, row->bytes);
        client_send(&c, GET("/smuggled"));
        client_expect(&c, row->body);
        client_expect_end(&c);
        assert_true(c.eof);
        assert_memory_equal(c.text, row->line, strlen(row->line));
        assert_non_null(strstr(c.text, "\r\nConnection: close\r\n"));
        assert_non_null(strstr(c.text, "\r\nContent-Type: application/problem+json\r\n"));
        assert_non_null(strstr(c.text, "\r\nProxy-Status: rollout-gateway; error=http_request_error\r\n"));
        assert_non_null(strstr(c.text, "\r\nCache-Status: rollout-gateway; detail=none\r\n"));
        assert_int_equal(f->requests, 0);
        assert_int_equal(f->refused, 1);
        assert_int_equal(f->refused_status, row->status);
        client_close(&c);
        fixture_close(f);
    }
}

/* Exactly head_max passes, one byte more does not, complete or not. */
static void heads_are_limited(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        bool complete;
        const char *expect;
    } rows[] = {
        {2048, true, "HTTP/1.1 200 "},
        {2049, true, "HTTP/1.1 431 "},
        {5000, true, "HTTP/1.1 431 "},
        {2048, false, "HTTP/1.1 431 "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        char head[6000];
        int start = snprintf(head, sizeof head, "GET /x HTTP/1.1\r\nHost: t\r\nX-Fill: ");
        memset(head + start, 'f', sizeof head - (size_t)start);
        if (rows[i].complete)
            memcpy(head + rows[i].size - 4, "\r\n\r\n", 4);
        client_open(f, &c);
        client_send_bytes(&c, head, rows[i].size);
        client_expect(&c, rows[i].expect);
        assert_int_equal(f->refused, strstr(rows[i].expect, "431") != NULL);
        client_close(&c);
        fixture_close(f);
    }
}

static void too_many_fields_are_431(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, "GET /x HTTP/1.1\r\nHost: t\r\n");
    for (int i = 0; i < 101; i++)
        client_send(&c, "A: b\r\n");
    client_send(&c, "\r\n");
    client_expect(&c, "HTTP/1.1 431 ");
    client_expect(&c, "\"code\":\"headers-too-large\"");
    client_close(&c);
    fixture_close(f);
}

static void whether_the_connection_is_kept(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        bool kept;
        const char *says;
    } rows[] = {
        {"GET /k HTTP/1.1\r\nHost: t\r\n\r\n", true, NULL},
        {"GET /k HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", false, "\r\nConnection: close\r\n"},
        {"GET /k HTTP/1.0\r\n\r\n", false, "\r\nConnection: close\r\n"},
        {"GET /k HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, "\r\nConnection: keep-alive\r\n"},
        {"GET /k HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false, "\r\nConnection: close\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        client_open(f, &c);
        client_send(&c, rows[i].head);
        client_expect(&c, "\r\n\r\n/k");
        settle(f);
        assert_int_equal(client_ended(&c), !rows[i].kept);
        assert_int_equal(server_connections(f->server), rows[i].kept);
        if (rows[i].says)
            assert_non_null(strstr(c.text, rows[i].says));
        else
            assert_null(strstr(c.text, "Connection:"));
        client_close(&c);
        fixture_close(f);
    }
}

static void request_ids(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        bool taken;
    } rows[] = {
        {"abc-DEF_1.2:3", true},
        {"a", true},
        {"0123456789012345678901234567890123456789012345678901234567890123", true},
        {"01234567890123456789012345678901234567890123456789012345678901234", false},
        {"", false},
        {"a b", false},
        {"a/b", false},
        {"a;b", false},
        {"\"a\"", false},
        {"a@", false},
        {"{a}", false},
    };
    struct fixture *f = fixture_open();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct client c;
        char head[256], echoed[128];
        client_open(f, &c);
        snprintf(head, sizeof head, "GET /id HTTP/1.1\r\nHost: t\r\nX-Request-Id: %s\r\n\r\n", rows[i].id);
        client_send(&c, head);
        client_expect(&c, "\r\n\r\n/id");
        assert_int_equal(strcmp(f->last_id, rows[i].id) == 0, rows[i].taken);
        if (!rows[i].taken)
            assert_int_equal(strspn(f->last_id, "0123456789abcdef"), 32);
        snprintf(echoed, sizeof echoed, "\r\nX-Request-Id: %s\r\n", f->last_id);
        assert_non_null(strstr(c.text, echoed));
        client_close(&c);
    }
    assert_string_equal(f->last_peer, "127.0.0.1");
    fixture_close(f);
}

static void fresh_request_ids_differ(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    char first[SERVER_REQUEST_ID_MAX + 1];
    client_open(f, &c);
    client_send(&c, GET("/1"));
    client_expect(&c, "\r\n\r\n/1");
    memcpy(first, f->last_id, sizeof first);
    client_send(&c, GET("/2"));
    client_expect(&c, "\r\n\r\n/2");
    assert_string_not_equal(first, f->last_id);
    client_close(&c);
    fixture_close(f);
}

static void a_half_closed_client_is_answered(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold") GET("/queued"));
    shutdown(c.fd, SHUT_WR);
    wait_for(f, f->holding == 1);
    settle(f);
    assert_int_equal(f->dones, 0);
    server_reply(f->held[0], 200, "text/plain", "", SLICE("first"));
    client_expect_end(&c);
    assert_true(c.eof);
    assert_non_null(strstr(c.text, "\r\n\r\nfirst"));
    assert_non_null(strstr(c.text, "\r\n\r\n/queued"));
    assert_int_equal(f->sent, 2);
    client_close(&c);
    fixture_close(f);
}

static void a_fin_inside_a_head_closes_without_an_answer(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, "GET / HTTP/1.1\r\nHo");
    shutdown(c.fd, SHUT_WR);
    client_expect_end(&c);
    assert_int_equal(c.len, 0);
    assert_int_equal(f->requests + f->refused, 0);
    client_close(&c);
    fixture_close(f);
}

static void a_reset_is_gone(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    wait_for(f, f->holding == 1);
    client_reset(&c);
    wait_for(f, f->gone == 1);
    assert_int_equal(server_connections(f->server), 0);
    fixture_close(f);
}

/* Reading is paused because the buffer is full: the reset is seen all the same. */
static void a_reset_is_seen_while_reading_is_paused(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    for (int i = 0; i < 100; i++)
        client_send(&c, GET("/waits-behind-the-one-that-is-held"));
    wait_for(f, f->holding == 1);
    settle(f);
    client_reset(&c);
    wait_for(f, f->gone == 1);
    fixture_close(f);
}

/* The client has shut its side while reading was paused: no reason to leave it without its answers. */
static void a_half_close_is_seen_while_reading_is_paused(void **state)
{
    (void)state;
    enum { MANY = 100 };
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    for (int i = 0; i < MANY; i++)
        client_send(&c, GET("/waits-behind-the-one-that-is-held"));
    wait_for(f, f->holding == 1);
    shutdown(c.fd, SHUT_WR);
    settle(f);
    assert_int_equal(f->gone, 0);
    server_reply(f->held[0], 200, "text/plain", "", SLICE("held"));
    client_expect_end(&c);
    assert_true(c.eof);
    assert_int_equal(f->sent, MANY + 1);
    client_close(&c);
    fixture_close(f);
}

/* After a half close nothing is watched: only writing tells that the client has gone for good. */
static void a_reset_behind_a_half_close_is_gone(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    shutdown(c.fd, SHUT_WR);
    wait_for(f, f->holding == 1);
    settle(f);
    client_reset(&c);
    settle(f);
    server_reply(f->held[0], 200, "text/plain", "", SLICE("too late"));
    assert_int_equal(f->dones, 0);
    wait_for(f, f->gone == 1);
    fixture_close(f);
}

/* The answer is queued and the reset has come, both before the loop's next turn. */
static void a_reset_overtakes_a_scheduled_run(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    wait_for(f, f->holding == 1);
    struct server_exchange *x = f->held[0];
    client_reset(&c);
    server_begin(x, 200, slice_of(NULL, 0), 4);
    put_piece(x, SLICE("body"));
    wait_for(f, f->gone == 1);
    assert_int_equal(f->released, 1);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_one_at_a_time),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(pipelined_requests_wait_for_a_held_one),
        cmocka_unit_test(a_flood_of_pipelined_requests_is_bounded_and_answered),
        cmocka_unit_test(what_is_no_request_is_refused_and_the_connection_closed),
        cmocka_unit_test(heads_are_limited),
        cmocka_unit_test(too_many_fields_are_431),
        cmocka_unit_test(whether_the_connection_is_kept),
        cmocka_unit_test(request_ids),
        cmocka_unit_test(fresh_request_ids_differ),
        cmocka_unit_test(a_half_closed_client_is_answered),
        cmocka_unit_test(a_fin_inside_a_head_closes_without_an_answer),
        cmocka_unit_test(a_reset_is_gone),
        cmocka_unit_test(a_reset_is_seen_while_reading_is_paused),
        cmocka_unit_test(a_half_close_is_seen_while_reading_is_paused),
        cmocka_unit_test(a_reset_behind_a_half_close_is_gone),
        cmocka_unit_test(a_reset_overtakes_a_scheduled_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
