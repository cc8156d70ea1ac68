/* Requests of our own: the handler sees an exchange like any other, whoever asked gets the answer whole. */
#include "unit/server/fixture.h"

struct asked {
    unsigned answers;
    int status;
    size_t len;
    char body[2048], seen[64];
};

static const char whoever[] = "whoever";

static void on_answer(void *user, const struct server_inner_answer *answer)
{
    struct asked *asked = user;
    asked->answers++;
    asked->status = answer->status;
    asked->len = answer->body.len;
    if (answer->body.len > 0 && answer->body.len < sizeof asked->body)
        memcpy(asked->body, answer->body.ptr, answer->body.len);
    if (answer->fields) {
        const struct http_field *field = http_find_name(answer->fields, SLICE("x-seen"));
        snprintf(asked->seen, sizeof asked->seen, "%.*s", field ? (int)field->value.len : 0,
                 field ? field->value.ptr : "");
    }
}

static struct server_inner *ask(struct fixture *f, struct asked *asked, const char *bytes, size_t answer_max)
{
    struct server_inner_request request = {slice_from(bytes), answer_max, whoever, asked, on_answer};
    struct server_inner *inner = server_inner_start(f->server, &request);
    assert_non_null(inner);
    assert_int_equal(f->requests, f->dones); /* nothing runs inside the call */
    return inner;
}

static void answers(void **state)
{
    static const struct {
        const char *bytes;
        size_t max;
        int status;
        size_t len;
        const char *body, *seen;
    } rows[] = {
        {"GET /x HTTP/1.0\r\n\r\n", 100, 200, 2, "/x", "1"},
        {"GET /nothing HTTP/1.0\r\n\r\n", 100, 204, 0, "", ""},
        {"POST /echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 100, 200, 5, "hello", ""},
        {"POST /collect HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 100, 200, 5, "hello", ""},
        {"GET /big HTTP/1.0\r\n\r\n", BIG, 200, BIG, NULL, ""},
        {"GET /big HTTP/1.0\r\n\r\n", BIG / 2, 0, 0, "", ""}, /* too large */
        {"GET /cut HTTP/1.0\r\n\r\n", 100, 0, 0, "", ""},
        {"GET /short HTTP/1.0\r\n\r\n", 100, 0, 0, "", ""},
        {"GET /abort HTTP/1.0\r\n\r\n", 100, 0, 0, "", ""},
        {"nonsense\r\n\r\n", 100000, 400, 0, NULL, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture *f = fixture_open();
        struct asked asked = {0};
        ask(f, &asked, rows[i].bytes, rows[i].max);
        wait_for(f, asked.answers == 1);
        settle(f);
        assert_int_equal(asked.answers, 1);
        assert_int_equal(asked.status, rows[i].status);
        if (rows[i].body) {
            assert_int_equal(asked.len, rows[i].len);
            assert_memory_equal(asked.body, rows[i].body, rows[i].len);
        }
        assert_string_equal(asked.seen, rows[i].seen);
        assert_int_equal(server_connections(f->server), 0);
        if (f->requests > 0)
            assert_string_equal(f->last_peer, "internal");
        fixture_close(f);
    }
}

static void who_gives_up_hears_nothing(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct asked asked = {0};
    struct server_inner *inner = ask(f, &asked, "GET /hold HTTP/1.0\r\n\r\n", 100);
    wait_for(f, f->holding == 1);
    assert_ptr_equal(f->held[0]->from, whoever);
    server_inner_cancel(inner);
    wait_for(f, f->gone == 1);
    settle(f);
    inner = ask(f, &asked, "GET /x HTTP/1.0\r\n\r\n", 100);
    server_inner_cancel(inner); /* before it began */
    settle(f);
    assert_int_equal(asked.answers, 0);
    fixture_close(f);
}

static void a_close_cuts_it(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct asked asked = {0};
    ask(f, &asked, "GET /hold HTTP/1.0\r\n\r\n", 100);
    wait_for(f, f->holding == 1);
    server_drain(f->server, 0);
    settle(f);
    assert_int_equal(asked.answers, 0);
    server_close(f->server, on_fixture_closed, f);
    wait_for(f, f->closed && asked.answers == 1);
    assert_int_equal(asked.status, 0);
    assert_int_equal(f->cut, 1);
    loop_destroy(f->loop);
    free(f);
}

static void on_request(void *owner, struct server_exchange *x)
{
    on_fixture_request(owner, x);
}

/* A server that nobody can reach from outside. */
static void without_a_listener(void **state)
{
    (void)state;
    struct fixture *f = fixture_open();
    struct server_handler handler = {f, on_request, NULL};
    struct server *own = server_open(f->loop, -1, &f->options, &handler);
    assert_non_null(own);
    struct asked asked = {0};
    struct server_inner_request request = {SLICE("GET /x HTTP/1.0\r\n\r\n"), 100, whoever, &asked, on_answer};
    assert_non_null(server_inner_start(own, &request));
    wait_for(f, asked.answers == 1);
    assert_int_equal(asked.status, 200);
    server_drain(own, 0);
    server_close(own, on_fixture_closed, f);
    wait_for(f, f->closed);
    f->closed = false;
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(who_gives_up_hears_nothing),
        cmocka_unit_test(a_close_cuts_it),
        cmocka_unit_test(without_a_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
