/* Knobs on the wire: what a gateway in front of the stand-in gets to see. */
#include "unit/sandbox/fixture.h"

static void statuses_come_as_told(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(
        knob(f,
             "{\"status\":{\"match\":{\"entity\":\"people\"},\"status\":429,\"retry_after\":7,\"times\":2},"
             "\"fields\":{\"X-Extra\":\"1\",\"Cache-Control\":\"max-age=60\"}}"),
        200);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 429);
    assert_non_null(strstr(f->raw, "\r\nRetry-After: 7\r\n"));
    assert_non_null(strstr(f->raw, "\r\nX-Extra: 1\r\n"));
    assert_int_equal(ask(f, "GET /crm/api/notes", ""), 200);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 429);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_non_null(strstr(f->raw, "\r\nCache-Control: max-age=60\r\n"));
    assert_null(strstr(f->raw, "Retry-After"));
    assert_int_equal(knob(f, "{\"status\":null,\"fields\":null,\"not_ready\":[\"" ACME "\"]}"), 200);
    assert_null(strstr(f->raw, "X-Extra"));
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 409);
    assert_int_equal(ask(f, "POST /crm/api/webhooks", "{\"url\":\"http://h/\",\"event\":\"peopleUpdated\"}"),
                     409);
    assert_int_equal(knob(f, "{\"nonsense\":1}"), 400);
    assert_int_equal(ask(f, "GET /_sandbox/nothing", ""), 404);
    fixture_close(f);
}

static void rollout_sends_no_validators(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_null(strstr(f->raw, "ETag"));
    assert_null(strstr(f->raw, "Cache-Control"));
    assert_null(strstr(f->raw, "Last-Modified"));
    assert_int_equal(knob(f, "{\"etag\":true}"), 200);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_non_null(strstr(f->raw, "\r\nETag: \""));
    fixture_close(f);
}

static void bodies_are_framed_as_told(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(knob(f, "{\"chunked\":true}"), 200);
    ask_raw(f, "GET /crm/api/people", "");
    assert_non_null(strstr(f->raw, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_string_equal(f->raw + f->raw_len - 7, "\r\n0\r\n\r\n");
    assert_int_equal(knob(f, "{\"chunked\":null,\"close_delimited\":true}"), 200);
    assert_non_null(strstr(f->raw, "Content-Length")); /* the control path's own answers stay plain */
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_null(strstr(f->raw, "Content-Length"));
    assert_null(strstr(f->raw, "chunked"));
    assert_int_equal(number_of(f, "_metadata", "total"), 30);
    fixture_close(f);
}

static void resets_cut_where_told(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(knob(f, "{\"reset\":\"before\"}"), 200);
    ask_raw(f, "GET /crm/api/people", "");
    assert_int_equal(f->raw_len, 0);
    assert_int_equal(knob(f, "{\"reset\":\"head\"}"), 200);
    ask_raw(f, "GET /crm/api/people", "");
    assert_true(f->raw_len > 4);
    assert_string_equal(f->raw + f->raw_len - 4, "\r\n\r\n");
    assert_int_equal(knob(f, "{\"reset\":\"body\"}"), 200);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_null(f->json);
    assert_true(f->raw_len > 5000);
    assert_int_equal(ask(f, "GET /_sandbox/stats", ""), 200);
    assert_int_equal(json_integer_value(json_object_get(f->json, "unanswered")), 3);
    fixture_close(f);
}

static void malformed_answers_go_out_as_they_are(void **state)
{
    static const struct {
        const char *name, *part;
    } rows[] = {
        {"two-lengths", "Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}"},
        {"cl-te", "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"bad-chunk", "\r\n\r\nzz\r\n"},
        {"bare-cr", "X-Note: a\rContent-Length: 4\r\n"},
        {"obs-fold", "X-Note: a\r\n b\r\n"},
        {"surplus", "{}HTTP/1.1 200 OK\r\n"},
        {"huge-head", "X-Filler: "},
    };
    struct fixture *f = fixture_open();
    char change[128];
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(change, sizeof change, "{\"malformed\":{\"name\":\"%s\",\"times\":1}}", rows[i].name);
        assert_int_equal(knob(f, change), 200);
        ask_raw(f, "GET /crm/api/people", "");
        assert_memory_equal(f->raw, "HTTP/1.1 200 OK\r\n", 17);
        if (!strstr(f->raw, rows[i].part))
            fail_msg("%s", rows[i].name);
        assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    }
    assert_int_equal(knob(f, "{\"malformed\":\"nul\"}"), 200);
    ask_raw(f, "GET /crm/api/people", "");
    assert_non_null(memmem(f->raw, f->raw_len, "a\0b", 3));
    fixture_close(f);
}

/* Half of the body, and no more; and all goes down in order with someone waiting. */
static void stalls_hold_the_answer(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(knob(f, "{\"stall\":\"body\"}"), 200);
    int fd = dial(f);
    f->raw_len = 0;
    f->eof = false;
    send_request(f, fd, "GET /crm/api/people", "");
    wait_for(f, read_some(f, fd) || f->raw_len > 0);
    settle(f);
    while (read_some(f, fd))
        turn(f);
    assert_false(f->eof);
    assert_memory_equal(f->raw, "HTTP/1.1 200 OK\r\n", 17);
    size_t half = f->raw_len;
    settle(f);
    assert_false(read_some(f, fd));
    close(fd);
    assert_int_equal(knob(f, "{\"stall\":{\"at\":\"head\",\"ms\":1}}"), 200);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_true(f->raw_len > half + half / 2);
    assert_int_equal(knob(f, "{\"stall\":{\"at\":\"body\",\"ms\":1}}"), 200);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_non_null(f->json);
    assert_int_equal(knob(f, "{\"stall\":\"head\"}"), 200);
    fd = dial(f);
    send_request(f, fd, "GET /crm/api/people", "");
    settle(f);
    fixture_close(f);
    close(fd);
}

#ifdef TEST_CLOCK
static void latency_is_on_the_way_back(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(knob(f, "{\"latency_ms\":60000}"), 200);
    int fd = dial(f);
    f->raw_len = 0;
    f->eof = false;
    send_request(f, fd, "POST /crm/api/people", "{\"firstName\":\"a\",\"lastName\":\"b\"}");
    wait_for(f, f->sandbox->stats.requests == 1);
    settle(f);
    assert_false(read_some(f, fd));
    assert_int_equal(f->sandbox->stats.events, 1); /* it has happened already */
    clock_jump(60001);
    wait_for(f, read_some(f, fd) || f->raw_len > 0);
    assert_memory_equal(f->raw, "HTTP/1.1 201 ", 13);
    close(fd);
    fixture_close(f);
}

static void over_the_rate_is_429(void **state)
{
    struct fixture *f = fixture_open();
    unsigned limited = 0;
    (void)state;
    assert_int_equal(knob(f, "{\"rate\":3}"), 200);
    clock_jump(2000);
    for (int i = 0; i < 40; i++)
        limited += ask(f, "GET /crm/api/nothing", "") == 429;
    assert_true(limited > 0 && limited <= 37);
    f->credential = NULL;
    f->tenant = "umbrella"; /* another tenant's requests are counted apart */
    clock_jump(2000);
    assert_int_equal(ask(f, "GET /core/api/credentials", ""), 200);
    fixture_close(f);
}
#endif

static void requests_are_recorded_as_received(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(ask(f, "GET /crm/api/notes", ""), 200);
    assert_int_equal(knob(f, "{\"record\":true}"), 200);
    assert_int_equal(ask(f, "POST /crm/api/notes?x=%41", "{\"personId\":\"1\"}"), 201);
    f->token = "a.b.c";
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 401);
    f->token = NULL;
    assert_int_equal(ask(f, "GET /_sandbox/requests", ""), 200);
    const json_t *requests = json_object_get(f->json, "requests");
    assert_int_equal(json_array_size(requests), 2);
    const json_t *first = json_array_get(requests, 0), *headers = json_object_get(first, "headers");
    assert_string_equal(json_string_value(json_object_get(first, "method")), "POST");
    assert_string_equal(json_string_value(json_object_get(first, "target")), "/crm/api/notes?x=%41");
    assert_string_equal(json_string_value(json_array_get(json_array_get(headers, 0), 0)), "Host");
    assert_string_equal(json_string_value(json_array_get(json_array_get(headers, 3), 0)),
                        "X-Rollout-Credential-Id");
    assert_string_equal(json_string_value(json_object_get(json_object_get(first, "claims"), "sub")), "acme");
    assert_int_equal(json_integer_value(json_object_get(first, "body_length")), 16);
    assert_string_equal(json_string_value(json_object_get(first, "body")), "{\"personId\":\"1\"}");
    assert_int_equal(json_integer_value(json_object_get(first, "status")), 201);
    const json_t *second = json_array_get(requests, 1);
    assert_true(json_is_null(json_object_get(second, "claims")));
    assert_int_equal(json_integer_value(json_object_get(second, "status")), 401);
    assert_int_equal(ask(f, "DELETE /_sandbox/requests", ""), 200);
    assert_int_equal(ask(f, "GET /_sandbox/requests", ""), 200);
    assert_int_equal(json_array_size(json_object_get(f->json, "requests")), 0);
    assert_int_equal(ask(f, "GET /_sandbox/stats", ""), 200);
    assert_int_equal(number_of(f, "by_api", "crm"), 3);
    assert_int_equal(number_of(f, "by_entity", "crm/notes"), 2);
    assert_int_equal(number_of(f, "by_status", "401"), 1);
    fixture_close(f);
}

static void the_journal_keeps_the_last_ones(void **state)
{
    struct fixture *f = fixture_open();
    char line[64];
    (void)state;
    assert_int_equal(knob(f, "{\"record\":true}"), 200);
    for (int i = 0; i < SANDBOX_JOURNAL + 3; i++) {
        snprintf(line, sizeof line, "GET /%d", i);
        assert_int_equal(ask(f, line, ""), 404);
    }
    assert_int_equal(ask(f, "GET /_sandbox/requests", ""), 200);
    const json_t *requests = json_object_get(f->json, "requests");
    assert_int_equal(json_array_size(requests), SANDBOX_JOURNAL);
    assert_string_equal(json_string_value(json_object_get(json_array_get(requests, 0), "target")), "/3");
    fixture_close(f);
}

static void a_reset_forgets_everything(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(ask(f, "POST /crm/api/people", "{\"firstName\":\"a\",\"lastName\":\"b\"}"), 201);
    assert_int_equal(knob(f, "{\"record\":true,\"lag_ms\":60000}"), 200);
    assert_int_equal(ask(f, "POST /crm/api/people", "{\"firstName\":\"a\",\"lastName\":\"b\"}"), 201);
    assert_int_equal(ask(f, "POST /_sandbox/reset", ""), 200);
    assert_int_equal(ask(f, "GET /_sandbox/knobs", ""), 200);
    assert_true(json_is_false(json_object_get(f->json, "record")));
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_int_equal(number_of(f, "_metadata", "total"), 30);
    assert_int_equal(ask(f, "GET /_sandbox/stats", ""), 200);
    assert_int_equal(json_integer_value(json_object_get(f->json, "requests")), 1);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_come_as_told),
        cmocka_unit_test(rollout_sends_no_validators),
        cmocka_unit_test(bodies_are_framed_as_told),
        cmocka_unit_test(resets_cut_where_told),
        cmocka_unit_test(malformed_answers_go_out_as_they_are),
        cmocka_unit_test(stalls_hold_the_answer),
#ifdef TEST_CLOCK
        cmocka_unit_test(latency_is_on_the_way_back),
        cmocka_unit_test(over_the_rate_is_429),
#endif
        cmocka_unit_test(requests_are_recorded_as_received),
        cmocka_unit_test(the_journal_keeps_the_last_ones),
        cmocka_unit_test(a_reset_forgets_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
