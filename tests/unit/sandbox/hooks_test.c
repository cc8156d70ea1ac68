/* Webhooks: subscriptions, signed deliveries until somebody takes them, and what the payload does not say. */
#include "unit/sandbox/fixture.h"

static char line[512], body[512], id[64];

static const char *with(const char *method, const char *path, const char *tail)
{
    snprintf(line, sizeof line, "%s %s%s", method, path, tail);
    return line;
}

static int subscribe(struct fixture *f, const char *url, const char *event)
{
    snprintf(body, sizeof body, "{\"url\":\"%s\",\"event\":\"%s\"}", url, event);
    int status = ask(f, "POST /crm/api/webhooks", body);
    snprintf(id, sizeof id, "%s", text_of(f, "id"));
    return status;
}

static void subscriptions_have_statuses(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(ask(f, "POST /crm/api/webhooks", "{}"), 422);
    assert_int_equal(subscribe(f, "http://127.0.0.1:1/x", "nonsense"), 422);
    assert_int_equal(subscribe(f, "ftp://127.0.0.1:1/x", "peopleUpdated"), 422);
    assert_int_equal(subscribe(f, "http://127.0.0.1:1/x", "peopleUpdated"), 201);
    assert_int_equal(json_object_size(f->json), 5);
    assert_string_equal(text_of(f, "status"), "Active");
    assert_int_equal(ask(f, "GET /crm/api/webhooks", ""), 200);
    assert_int_equal(number_of(f, "_metadata", "total"), 1);
    assert_int_equal(ask(f, with("GET", "/crm/api/webhooks/", id), ""), 404);
    assert_int_equal(ask(f, with("PUT", "/crm/api/webhooks/", id), "{\"event\":\"notesCreated\"}"), 200);
    assert_string_equal(text_of(f, "event"), "notesCreated");
    assert_string_equal(text_of(f, "url"), "http://127.0.0.1:1/x");
    assert_int_equal(ask(f, with("PUT", "/crm/api/webhooks/", id), "{\"event\":\"x\"}"), 422);
    f->tenant = "globex";
    f->credential = GLOBEX;
    assert_int_equal(ask(f, "GET /crm/api/webhooks", ""), 200);
    assert_int_equal(number_of(f, "_metadata", "total"), 0);
    f->tenant = "acme";
    f->credential = ACME;
    assert_int_equal(ask(f, with("DELETE", "/crm/api/webhooks/", id), ""), 200);
    assert_true(json_is_array(f->json));
    assert_int_equal(ask(f, with("DELETE", "/crm/api/webhooks/", id), ""), 404);
    assert_string_equal(text_of(f, "errorMessage"), "Requested resource was not found.");
    fixture_close(f);
}

static void a_write_is_told_to_its_subscribers_alone(void **state)
{
    struct fixture *f = fixture_open();
    char url[128], path[128], uri[256];
    (void)state;
    hooks_open(f, url, sizeof url);
    assert_int_equal(subscribe(f, url, "peopleUpdated"), 201);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    snprintf(id, sizeof id, "%s", nth_id(f, "people", 1));
    snprintf(path, sizeof path, "/crm/api/people/%s", id);
    assert_int_equal(ask(f, with("PUT", path, ""), "{\"stage\":\"A\"}"), 200);
    wait_for(f, f->received == 1);
    const json_t *event = hook(f, 0);
    assert_int_equal(json_object_size(event), 5);
    assert_true(json_is_string(json_object_get(event, "eventId")));
    assert_int_equal(json_string_length(json_object_get(event, "eventCreated")), 25);
    assert_string_equal(json_string_value(json_object_get(event, "event")), "peopleUpdated");
    assert_string_equal(json_string_value(json_array_get(json_object_get(event, "resourceIds"), 0)), id);
    snprintf(uri, sizeof uri, "https://crm.universal.rollout.com/people?ids=%s", id);
    assert_string_equal(json_string_value(json_object_get(event, "uri")), uri);
    /* Another event, and another credential's. */
    assert_int_equal(ask(f, "POST /crm/api/people", "{\"firstName\":\"a\",\"lastName\":\"b\"}"), 201);
    f->tenant = "globex";
    f->credential = GLOBEX;
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    snprintf(path, sizeof path, "/crm/api/people/%s", nth_id(f, "people", 1));
    assert_int_equal(ask(f, with("PUT", path, ""), "{\"stage\":\"A\"}"), 200);
    settle(f);
    assert_int_equal(f->attempts, 1);
    assert_false(f->bad_signature);
    fixture_close(f);
}

static void subscribing_by_hand_covers_everything_once(void **state)
{
    struct fixture *f = fixture_open();
    char url[128], path[160];
    long long total;
    (void)state;
    hooks_open(f, url, sizeof url);
    assert_int_equal(sandbox_subscribe(f->sandbox, SLICE("nobody"), slice_from(url)), ERR_NOTFOUND);
    assert_int_equal(sandbox_subscribe(f->sandbox, SLICE(ACME), SLICE("nowhere")), ERR_SYNTAX);
    assert_int_equal(sandbox_subscribe(f->sandbox, SLICE(ACME), slice_from(url)), 0);
    assert_int_equal(ask(f, "GET /crm/api/webhooks", ""), 200);
    total = number_of(f, "_metadata", "total");
    assert_true(total > 40);
    assert_int_equal(sandbox_subscribe(f->sandbox, SLICE(ACME), slice_from(url)), 0);
    assert_int_equal(ask(f, "GET /crm/api/webhooks", ""), 200);
    assert_int_equal(number_of(f, "_metadata", "total"), total);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    snprintf(path, sizeof path, "/crm/api/people/%s/tags/apply", nth_id(f, "people", 0));
    assert_int_equal(ask(f, with("POST", path, ""), "{\"tags\":[\"N\"]}"), 200);
    wait_for(f, f->received == 2);
    assert_string_equal(json_string_value(json_object_get(hook(f, 0), "event")), "peopleTagsCreated");
    assert_string_equal(json_string_value(json_object_get(hook(f, 1), "event")), "peopleUpdated");
    assert_int_equal(ask(f, "POST /crm/api/smart-lists", "{\"name\":\"n\",\"conditions\":[]}"), 201);
    wait_for(f, f->received == 3);
    assert_string_equal(json_string_value(json_object_get(hook(f, 2), "event")), "smartListsCreated");
    fixture_close(f);
}

static void deliveries_are_repeated_until_taken(void **state)
{
    struct fixture *f = fixture_open();
    char url[128];
    (void)state;
    hooks_open(f, url, sizeof url);
    f->refuse = 3;
    assert_int_equal(subscribe(f, url, "peopleUpdated"), 201);
    assert_int_equal(knob(f, "{\"retry_ms\":1}"), 200);
    assert_int_equal(ask(f, "POST /_sandbox/storm",
                         "{\"credential\":\"" ACME
                         "\",\"entity\":\"people\",\"count\":1,\"ids\":[\"a\",\"b\"]}"),
                     200);
    wait_for(f, f->received == 1);
    assert_int_equal(f->attempts, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(json_equal(hook(f, i), hook(f, 0)));
    assert_int_equal(json_array_size(json_object_get(hook(f, 0), "resourceIds")), 2);
    assert_false(f->bad_signature);
    assert_int_equal(ask(f, "GET /_sandbox/stats", ""), 200);
    assert_int_equal(number_of(f, "deliveries", "attempts"), 4);
    assert_int_equal(number_of(f, "deliveries", "failed"), 3);
    /* Nobody there at all. */
    assert_int_equal(subscribe(f, "http://127.0.0.1:1/", "peopleCreated"), 201);
    assert_int_equal(ask(f, "POST /crm/api/people", "{\"firstName\":\"a\",\"lastName\":\"b\"}"), 201);
    wait_for(f, f->sandbox->stats.failed > 5);
    assert_int_equal(sandbox_deliver_waiting(f->sandbox), 1);
    fixture_close(f);
}

static void storms_touches_and_doubles(void **state)
{
    struct fixture *f = fixture_open();
    char url[128];
    (void)state;
    hooks_open(f, url, sizeof url);
    assert_int_equal(subscribe(f, url, "peopleUpdated"), 201);
    assert_int_equal(
        ask(f, "POST /_sandbox/storm", "{\"credential\":\"" ACME "\",\"entity\":\"people\",\"count\":100}"),
        200);
    wait_for(f, f->received == 100);
    assert_string_not_equal(json_string_value(json_object_get(hook(f, 0), "eventId")),
                            json_string_value(json_object_get(hook(f, 1), "eventId")));
    assert_int_equal(
        ask(f, "POST /_sandbox/storm", "{\"credential\":\"" ACME "\",\"entity\":\"people\",\"count\":0}"),
        400);
    assert_int_equal(
        ask(f, "POST /_sandbox/storm", "{\"credential\":\"x\",\"entity\":\"people\",\"count\":1}"), 400);
    assert_int_equal(
        ask(f, "POST /_sandbox/storm", "{\"credential\":\"" ACME "\",\"entity\":\"x\",\"count\":1}"), 400);
    assert_int_equal(knob(f, "{\"deliver_twice\":true,\"lag_ms\":60000}"), 200);
    assert_int_equal(ask(f, "POST /_sandbox/touch",
                         "{\"credential\":\"" ACME
                         "\",\"entity\":\"people\",\"id\":\"p\",\"set\":{\"stage\":\"1\"},\"silent\":true}"),
                     200);
    assert_int_equal(ask(f, "POST /_sandbox/touch",
                         "{\"credential\":\"" ACME
                         "\",\"entity\":\"people\",\"id\":\"p\",\"set\":{\"stage\":\"2\"}}"),
                     200);
    assert_int_equal(ask(f, "GET /crm/api/people/p", ""),
                     200); /* the knob's lag is not for the system itself */
    assert_string_equal(text_of(f, "stage"), "2");
    wait_for(f, f->received == 102);
    assert_true(json_equal(hook(f, 100), hook(f, 101)));
    assert_int_equal(ask(f, "POST /_sandbox/touch",
                         "{\"credential\":\"" ACME "\",\"entity\":\"people\",\"id\":\"p\",\"set\":null}"),
                     200);
    assert_int_equal(ask(f, "GET /crm/api/people/p", ""), 404);
    assert_int_equal(ask(f, "POST /_sandbox/touch",
                         "{\"credential\":\"" ACME "\",\"entity\":\"people\",\"id\":\"p\",\"set\":null}"),
                     400);
    assert_int_equal(ask(f, "GET /_sandbox/stats", ""), 200);
    assert_int_equal(number_of(f, "deliveries", "delivered"), 102);
    assert_int_equal(number_of(f, "deliveries", "waiting"), 0);
    fixture_close(f);
}

static void a_paused_queue_waits_and_a_reset_empties_it(void **state)
{
    struct fixture *f = fixture_open();
    char url[128];
    (void)state;
    hooks_open(f, url, sizeof url);
    assert_int_equal(subscribe(f, url, "peopleUpdated"), 201);
    assert_int_equal(knob(f, "{\"deliver_paused\":true}"), 200);
    assert_int_equal(
        ask(f, "POST /_sandbox/storm", "{\"credential\":\"" ACME "\",\"entity\":\"people\",\"count\":10000}"),
        200);
    assert_int_equal(
        ask(f, "POST /_sandbox/storm", "{\"credential\":\"" ACME "\",\"entity\":\"people\",\"count\":5}"),
        200);
    settle(f);
    assert_int_equal(f->attempts, 0);
    assert_int_equal(ask(f, "GET /_sandbox/stats", ""), 200);
    assert_int_equal(number_of(f, "deliveries", "waiting"), 10000);
    assert_int_equal(number_of(f, "deliveries", "dropped"), 5);
    assert_int_equal(ask(f, "POST /_sandbox/reset", ""), 200);
    assert_int_equal(ask(f, "GET /_sandbox/stats", ""), 200);
    assert_int_equal(number_of(f, "deliveries", "waiting"), 0);
    assert_int_equal(ask(f, "GET /crm/api/webhooks", ""), 200);
    assert_int_equal(number_of(f, "_metadata", "total"), 0);
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscriptions_have_statuses),
        cmocka_unit_test(a_write_is_told_to_its_subscribers_alone),
        cmocka_unit_test(subscribing_by_hand_covers_everything_once),
        cmocka_unit_test(deliveries_are_repeated_until_taken),
        cmocka_unit_test(storms_touches_and_doubles),
        cmocka_unit_test(a_paused_queue_waits_and_a_reset_empties_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
