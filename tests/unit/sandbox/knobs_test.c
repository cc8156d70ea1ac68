/* Knobs: merged, refused as a whole, and rules that are used up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/sandbox_internal.h"

static int set(struct sandbox_knobs *knobs, const char *text, struct fault *fault)
{
    json_t *change = json_loads(text, 0, NULL);
    assert_non_null(change);
    int rc = sandbox_knobs_set(knobs, change, fault);
    json_decref(change);
    return rc;
}

static void start(struct sandbox_knobs *knobs)
{
    const struct sandbox_options options = {.latency_ms = 5, .lag_ms = 7, .rate = 9, .record = true};
    assert_int_equal(sandbox_knobs_init(knobs, &options), 0);
}

static void options_are_where_knobs_begin(void **state)
{
    struct sandbox_knobs knobs;
    (void)state;
    start(&knobs);
    assert_int_equal(knobs.latency_ms, 5);
    assert_int_equal(knobs.lag_ms, 7);
    assert_int_equal(knobs.rate, 9);
    assert_true(knobs.record);
    assert_int_equal(knobs.rule_count, 0);
    sandbox_knobs_deinit(&knobs);
}

static void changes_merge_and_nulls_take_back(void **state)
{
    struct sandbox_knobs knobs;
    struct fault fault;
    (void)state;
    start(&knobs);
    assert_int_equal(set(&knobs,
                         "{\"latency_ms\":100,\"chunked\":true,\"not_ready\":[\"c1\"],\"fields\":{\"ETag\":"
                         "\"\\\"1\\\"\"}}",
                         &fault),
                     0);
    assert_int_equal(set(&knobs, "{\"etag\":true}", &fault), 0);
    assert_int_equal(knobs.latency_ms, 100);
    assert_int_equal(knobs.lag_ms, 7);
    assert_true(knobs.chunked);
    assert_true(knobs.etag);
    assert_true(sandbox_knobs_holds(&knobs, "c1"));
    assert_false(sandbox_knobs_holds(&knobs, "c2"));
    assert_true(slice_equal(buf_slice(&knobs.fields), SLICE("ETag: \"1\"\r\n")));
    assert_int_equal(
        set(&knobs, "{\"latency_ms\":null,\"chunked\":null,\"not_ready\":null,\"fields\":null}", &fault), 0);
    assert_int_equal(knobs.latency_ms, 0);
    assert_false(knobs.chunked);
    assert_false(sandbox_knobs_holds(&knobs, "c1"));
    assert_int_equal(knobs.fields.len, 0);
    sandbox_knobs_deinit(&knobs);
}

static void a_refused_change_leaves_no_trace(void **state)
{
    static const char *const rows[] = {
        "{\"lag_ms\":1,\"nonsense\":1}",
        "{\"lag_ms\":-1}",
        "{\"lag_ms\":\"1\"}",
        "{\"lag_ms\":1,\"chunked\":1}",
        "{\"lag_ms\":1,\"status\":42}",
        "{\"lag_ms\":1,\"status\":199}",
        "{\"lag_ms\":1,\"status\":600}",
        "{\"lag_ms\":1,\"status\":{}}",
        "{\"lag_ms\":1,\"status\":{\"status\":500,\"times\":-1}}",
        "{\"lag_ms\":1,\"status\":{\"status\":500,\"match\":[]}}",
        "{\"lag_ms\":1,\"stall\":\"before\"}",
        "{\"lag_ms\":1,\"stall\":\"tail\"}",
        "{\"lag_ms\":1,\"reset\":true}",
        "{\"lag_ms\":1,\"malformed\":\"unheard-of\"}",
        "{\"lag_ms\":1,\"not_ready\":\"c1\"}",
        "{\"lag_ms\":1,\"fields\":[]}",
        "{\"lag_ms\":1,\"fields\":{\"a b\":\"c\"}}",
        "{\"lag_ms\":1,\"fields\":{\"a\":\"b\\r\\nc: d\"}}",
        "{\"lag_ms\":1,\"fields\":{\"a\":1}}",
    };
    struct sandbox_knobs knobs;
    struct fault fault;
    (void)state;
    start(&knobs);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (set(&knobs, rows[i], &fault) != ERR_INVALID)
            fail_msg("%s", rows[i]);
        assert_true(fault.text[0] != '\0');
        assert_int_equal(knobs.lag_ms, 7);
        assert_int_equal(knobs.rule_count, 0);
    }
    sandbox_knobs_deinit(&knobs);
}

static void too_many_rules_are_refused(void **state)
{
    struct sandbox_knobs knobs;
    struct fault fault;
    json_t *many = json_array();
    (void)state;
    start(&knobs);
    for (int i = 0; i < SANDBOX_RULES + 1; i++)
        json_array_append_new(many, json_integer(500));
    json_t *change = json_pack("{s:o}", "status", many);
    assert_int_equal(sandbox_knobs_set(&knobs, change, &fault), ERR_INVALID);
    json_array_remove(many, 0);
    assert_int_equal(sandbox_knobs_set(&knobs, change, &fault), 0);
    assert_int_equal(knobs.rule_count, SANDBOX_RULES);
    json_decref(change);
    sandbox_knobs_deinit(&knobs);
}

/* A request that no listener has seen. */
static struct sandbox_call call_of(struct server_exchange *x, const char *entity)
{
    *x = (struct server_exchange){.request = {.method_name = SLICE("GET")}};
    return (struct sandbox_call){
        .x = x, .api = SANDBOX_CRM, .segments = {slice_from(entity)}, .segment_count = 1};
}

static void rules_match_and_are_used_up(void **state)
{
    struct sandbox_knobs knobs;
    struct server_exchange x;
    struct fault fault;
    struct sandbox_call people = call_of(&x, "people"), notes = call_of(&x, "notes");
    (void)state;
    start(&knobs);
    assert_int_equal(set(&knobs,
                         "{\"status\":[{\"match\":{\"entity\":\"people\",\"api\":\"crm\",\"method\":\"GET\"},"
                         "\"status\":429,\"retry_after\":3,\"times\":2},"
                         "{\"match\":{\"method\":\"POST\"},\"status\":500},{\"match\":{\"entity\":\"people\","
                         "\"id\":\"1\"},\"status\":500}]}",
                         &fault),
                     0);
    assert_null(sandbox_knobs_match(&knobs, &notes));
    const struct sandbox_rule *rule = sandbox_knobs_match(&knobs, &people);
    assert_non_null(rule);
    assert_int_equal(rule->status, 429);
    assert_int_equal(rule->retry_after, 3);
    /* Another knob leaves the count where it is. */
    assert_int_equal(
        set(&knobs, "{\"lag_ms\":1,\"stall\":{\"at\":\"body\",\"match\":{\"entity\":\"notes\"},\"times\":1}}",
            &fault),
        0);
    assert_non_null(sandbox_knobs_match(&knobs, &people));
    assert_null(sandbox_knobs_match(&knobs, &people));
    rule = sandbox_knobs_match(&knobs, &notes);
    assert_non_null(rule);
    assert_int_equal(rule->kind, SANDBOX_FAULT_STALL);
    assert_int_equal(rule->where, SANDBOX_BODY);
    assert_null(sandbox_knobs_match(&knobs, &notes));
    /* Told again, it begins again. */
    assert_int_equal(set(&knobs, "{\"status\":503}", &fault), 0);
    assert_int_equal(sandbox_knobs_match(&knobs, &people)->status, 503);
    assert_null(knobs.rules[0].match);
    sandbox_knobs_deinit(&knobs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_are_where_knobs_begin),
        cmocka_unit_test(changes_merge_and_nulls_take_back),
        cmocka_unit_test(a_refused_change_leaves_no_trace),
        cmocka_unit_test(too_many_rules_are_refused),
        cmocka_unit_test(rules_match_and_are_used_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
