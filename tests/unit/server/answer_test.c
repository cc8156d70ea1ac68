/* Answers: framing, HEAD and friends, big ones with slow readers, and what happens when they are cut. */
#include "http/date.h"
#include "unit/server/fixture.h"

#define HEAD(target) "HEAD " target " HTTP/1.1\r\nHost: t\r\n\r\n"
#define OLD(target)  "GET " target " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"

static void framing(void **state)
{
    (void)state;
    static const struct {
        const char *sent;
        const char *with[3];
        const char *without[2];
        const char *ends; /* the last bytes */
        bool kept;
    } rows[] = {
        {GET("/x"),
         {"HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 2\r\n", "\r\nX-Seen: 1\r\n"},
         {"chunked", "Connection:"},
         "\r\n\r\n/x",
         true},
        {HEAD("/x"), {"HTTP/1.1 200 OK\r\n", "\r\nContent-Length: 2\r\n"}, {"chunked"}, "\r\n\r\n", true},
        {GET("/nothing"),
         {"HTTP/1.1 204 No Content\r\n"},
         {"Content-Length", "Content-Type"},
         "\r\n\r\n",
         true},
        {GET("/same"),
         {"HTTP/1.1 304 Not Modified\r\n", "\r\nETag: \"1\"\r\n"},
         {"Content-Length", "never"},
         "\r\n\r\n",
         true},
        {GET("/echo"), {"\r\nTransfer-Encoding: chunked\r\n"}, {"Content-Length"}, "\r\n\r\n0\r\n\r\n", true},
        {HEAD("/echo"), {"\r\nTransfer-Encoding: chunked\r\n"}, {"Content-Length"}, "chunked\r\n\r\n", true},
        {OLD("/echo"), {"\r\nConnection: close\r\n"}, {"Content-Length", "chunked"}, "\r\n\r\n", false},
        {OLD("/x"),
         {"HTTP/1.1 200 OK\r\n", "\r\nConnection: keep-alive\r\n"},
         {"chunked"},
         "\r\n\r\n/x",
         true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        client_open(f, &c);
        client_send(&c, rows[i].sent);
        wait_for(f, f->sent == 1);
        settle(f);
        assert_int_equal(client_ended(&c), !rows[i].kept);
        for (int k = 0; k < 3 && rows[i].with[k]; k++)
            assert_non_null(strstr(c.text, rows[i].with[k]));
        for (int k = 0; k < 2 && rows[i].without[k]; k++)
            assert_null(strstr(c.text, rows[i].without[k]));
        assert_string_equal(c.text + c.len - strlen(rows[i].ends), rows[i].ends);
        assert_int_equal(f->last_sent_bytes, c.len);
        client_close(&c);
        fixture_close(f);
    }
}

/* A 1.0 client gets the bytes as they are, and their end is the end of the connection. */
static void http_1_0_gets_no_chunks(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello");
    client_expect_end(&c);
    assert_true(c.eof);
    assert_non_null(strstr(c.text, "\r\nConnection: close\r\n\r\nhello"));
    client_close(&c);
    fixture_close(f);
}

static void problems(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, "GET /problem HTTP/1.1\r\nHost: t\r\nX-Request-Id: abc\r\n\r\n");
    client_expect(&c, "}");
    static const char *const parts[] = {
        "HTTP/1.1 404 Not Found\r\n",
        "\r\nContent-Type: application/problem+json\r\n",
        "\r\nX-Request-Id: abc\r\n",
        "\r\nProxy-Status: rollout-gateway; error=destination_not_found\r\n",
        "\r\nX-More: 1\r\n",
        "\"type\":\"https://rollout-gateway.dev/problems/api-unknown\"",
        "\"detail\":\"no api 'x\\\"y'\"",
        "\"request_id\":\"abc\"",
        ",\"extra\":1}",
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        assert_non_null(strstr(c.text, parts[i]));
    /* The listener's own lines are for problems that bring none. */
    assert_null(strstr(c.text, "\r\nCache-Status: rollout-gateway; detail=none\r\n"));
    client_close(&c);
    fixture_close(f);
}

static void answers_are_dated(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    int64_t date = 0, now;
    client_open(f, &c);
    client_send(&c, GET("/x"));
    client_expect(&c, "\r\n\r\n/x");
    now = clock_wall_ms() / 1000;
    const char *at = strstr(c.text, "\r\nDate: ");
    assert_non_null(at);
    assert_true(date_parse(slice_of(at + 8, DATE_LENGTH), now, &date));
    assert_true(date <= now && date >= now - 10);
    assert_int_equal(server_date().len, DATE_LENGTH);
    client_close(&c);
    fixture_close(f);
}

/* The backlog stays near its mark, the handler is called back when it has gone down, and every byte arrives.
 */
static void a_slow_reader_holds_the_answer_back(void **state)
{
    (void)state;
    static const char *const targets[] = {GET("/big"), GET("/big-unknown")};
    for (size_t i = 0; i < 2; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        size_t bytes = 0;
        client_open_small(f, &c, 4096);
        client_send(&c, targets[i]);
        settle(f);
        assert_int_equal(f->dones, 0);
        assert_true(f->queued < BIG / BIG_PIECE);
        for (uint64_t end = wait_end(); bytes < BIG && clock_mono_ms() < end; turn(f)) {
            size_t before = c.len;
            client_read(&c, 65536);
            for (size_t k = before; k < c.len; k++)
                bytes += c.text[k] == 'b';
        }
        wait_for(f, f->sent == 1);
        assert_in_range(f->max_backlog, 64 * 1024, 64 * 1024 + BIG_PIECE);
        assert_true(f->drained > 3);
        settle(f);
        while (client_read(&c, SIZE_MAX))
            continue;
        assert_int_equal(f->last_sent_bytes, c.len);
        client_close(&c);
        fixture_close(f);
    }
}

static void an_early_end_of_the_reader_releases_everything(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open_small(f, &c, 4096);
    client_send(&c, GET("/big"));
    settle(f);
    assert_true(f->queued > f->released);
    client_reset(&c);
    wait_for(f, f->gone == 1);
    assert_int_equal(f->released, f->queued);
    fixture_close(f);
}

static void cut_answers_look_cut(void **state)
{
    (void)state;
    static const struct {
        const char *sent, *with, *without;
        bool reset;
    } rows[] = {
        {GET("/short"), "\r\nContent-Length: 8\r\n\r\nabcd", "abcde", false},
        {GET("/long"), "\r\nContent-Length: 8\r\n\r\nabcdefgh", "SURPLUS", false},
        {GET("/cut"), "\r\n\r\n4\r\nhalf", "0\r\n\r\n", false},
        {OLD("/cut"), "", "HTTP/1.1 500",
         true}, /* no framing: only a reset tells; it may overtake the bytes */
        {GET("/abort"), "", "HTTP", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture *f = fixture_open();
        struct client c;
        client_open(f, &c);
        client_send(&c, rows[i].sent);
        client_expect_end(&c);
        assert_int_equal(c.reset, rows[i].reset);
        assert_non_null(strstr(c.text, rows[i].with));
        assert_null(strstr(c.text, rows[i].without));
        assert_int_equal(f->cut, 1);
        client_close(&c);
        fixture_close(f);
    }
}

/* More pieces than the exchange has room for, some empty, in one go. */
static void many_small_pieces(void **state)
{
    (void)state;
    enum { MANY = 1000 };
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    wait_for(f, f->holding == 1);
    server_begin(f->held[0], 200, slice_of(NULL, 0), MANY);
    for (int i = 0; i < MANY; i++) {
        put_piece(f->held[0], SLICE("m"));
        if (i % 3 == 0)
            put_piece(f->held[0], slice_of(NULL, 0));
    }
    assert_int_equal(server_backlog(f->held[0]), MANY);
    assert_int_equal(f->released, 0);
    server_end(f->held[0]);
    assert_int_equal(f->dones, 0); /* later, never inside the call */
    wait_for(f, f->sent == 1);
    wait_for(f, client_has(&c, "mmmm") && run_at_end(&c, 'm') == MANY);
    client_close(&c);
    fixture_close(f);
}

/* The queue moves on while it is filled: what was sent makes room, and the order stays. */
static void a_long_queue_keeps_its_order(void **state)
{
    (void)state;
    enum { WAITING = 200, SIZE = 16 * 1024, ROUNDS = 6 };
    struct fixture *f = fixture_open();
    struct client c;
    size_t seen = 0;
    bool ordered = true;
    char *pieces = malloc(26 * SIZE);
    assert_non_null(pieces);
    for (int i = 0; i < 26 * SIZE; i++)
        pieces[i] = (char)('a' + i / SIZE);
    client_open_small(f, &c, 4096);
    client_send(&c, GET("/hold"));
    wait_for(f, f->holding == 1);
    server_begin(f->held[0], 200, slice_of(NULL, 0), (uint64_t)SIZE * WAITING * ROUNDS);
    server_flush(f->held[0]);
    client_expect(&c, "\r\n\r\n");
    client_forget(&c);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < WAITING; i++)
            put_piece(f->held[0], slice_of(pieces + f->queued % 26 * SIZE, SIZE));
        size_t goal =
            (size_t)SIZE * WAITING * (size_t)(round + 1) - (round + 1 < ROUNDS ? SIZE * WAITING / 4 : 0);
        if (round + 1 == ROUNDS)
            server_end(f->held[0]);
        for (uint64_t end = wait_end(); seen < goal && clock_mono_ms() < end; turn(f)) {
            client_read(&c, 65536);
            for (size_t k = 0; k < c.len; k++, seen++)
                ordered &= c.text[k] == pieces[seen / SIZE % 26 * SIZE];
            client_forget(&c);
        }
    }
    assert_true(ordered);
    assert_int_equal(seen, (size_t)SIZE * WAITING * ROUNDS);
    wait_for(f, f->sent == 1);
    free(pieces);
    client_close(&c);
    fixture_close(f);
}

/* Bodies that HEAD drops are released like all others, and not before the handler has returned. */
static void head_releases_what_it_drops(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, HEAD("/hold"));
    wait_for(f, f->holding == 1);
    server_begin(f->held[0], 200, slice_of(NULL, 0), 4);
    put_piece(f->held[0], SLICE("body"));
    assert_int_equal(f->released, 0);
    assert_int_equal(server_backlog(f->held[0]), 0);
    server_end(f->held[0]);
    client_expect(&c, "\r\nContent-Length: 4\r\n\r\n");
    settle(f);
    client_has(&c, "");
    assert_null(strstr(c.text, "body"));
    assert_int_equal(f->released, 1);
    client_close(&c);
    fixture_close(f);
}

static void a_head_is_sent_alone_when_flushed(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    wait_for(f, f->holding == 1);
    server_begin(f->held[0], 200, SLICE("X-A: 1\r\n"), SERVER_LENGTH_UNKNOWN);
    client_send(&c, GET("/wakes-the-connection"));
    settle(f);
    assert_false(client_has(&c, "HTTP"));
    server_fields(f->held[0], SLICE("X-B: 2\r\n"));
    server_flush(f->held[0]);
    client_expect(&c, "\r\nX-A: 1\r\nX-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n");
    put_piece(f->held[0], SLICE("event"));
    client_expect(&c, "\r\n\r\n5\r\nevent");
    server_flush(f->held[0]); /* ends the chunk, once */
    server_flush(f->held[0]);
    client_expect(&c, "\r\n\r\n5\r\nevent\r\n");
    put_piece(f->held[0], SLICE("two"));
    client_expect(&c, "event\r\n3\r\ntwo");
    server_end(f->held[0]);
    client_expect(&c, "two\r\n0\r\n\r\n");
    client_close(&c);
    fixture_close(f);
}

/* Large copied bodies do not fit the arena's small share. */
static void a_large_reply_is_copied(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct client c;
    client_open(f, &c);
    client_send(&c, GET("/hold"));
    wait_for(f, f->holding == 1);
    char *body = malloc(2000000);
    assert_non_null(body);
    memset(body, 'r', 2000000);
    server_reply(f->held[0], 200, "text/plain", "", slice_of(body, 2000000));
    free(body);
    wait_for(f, (client_has(&c, ""), c.len > 2000000));
    assert_int_equal(run_at_end(&c, 'r'), 2000000);
    client_close(&c);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(framing),
        cmocka_unit_test(http_1_0_gets_no_chunks),
        cmocka_unit_test(problems),
        cmocka_unit_test(answers_are_dated),
        cmocka_unit_test(a_slow_reader_holds_the_answer_back),
        cmocka_unit_test(an_early_end_of_the_reader_releases_everything),
        cmocka_unit_test(cut_answers_look_cut),
        cmocka_unit_test(many_small_pieces),
        cmocka_unit_test(a_long_queue_keeps_its_order),
        cmocka_unit_test(head_releases_what_it_drops),
        cmocka_unit_test(a_head_is_sent_alone_when_flushed),
        cmocka_unit_test(a_large_reply_is_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
