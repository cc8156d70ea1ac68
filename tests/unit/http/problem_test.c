#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "http/problem.h"

static char *body_of(enum problem problem, struct slice detail, struct slice id, const char *extra)
{
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(problem_body(&out, problem, detail, id, extra), 0);
    char *text = strndup(out.ptr, out.len);
    buf_deinit(&out);
    return text;
}

static void the_body_has_the_members_of_the_contract(void **state)
{
    char *text = body_of(PROBLEM_TENANT_REQUIRED, SLICE("Say which tenant."), SLICE("req-1"), "");
    (void)state;
    assert_string_equal(text, "{\"type\":\"https://rollout-gateway.dev/problems/tenant-required\","
                              "\"title\":\"No tenant named\",\"status\":400,\"detail\":\"Say which tenant.\","
                              "\"request_id\":\"req-1\",\"code\":\"tenant-required\"}");
    free(text);
}

static void an_empty_request_id_is_left_out_and_extra_members_come_last(void **state)
{
    char *text = body_of(PROBLEM_CREDENTIAL_AMBIGUOUS, SLICE(""), SLICE(""), ",\"choices\":[\"a\"]");
    (void)state;
    assert_string_equal(text, "{\"type\":\"https://rollout-gateway.dev/problems/credential-ambiguous\","
                              "\"title\":\"Several credentials fit and none is the default\",\"status\":409,"
                              "\"detail\":\"\",\"code\":\"credential-ambiguous\",\"choices\":[\"a\"]}");
    free(text);
}

/* Whatever a client managed to put into a detail or an id: one JSON object with the same text comes out. */
static void every_problem_is_json_with_hostile_text(void **state)
{
    const char detail[] = "quote\" back\\ line\n nul\x01 end\",\"status\":200,\"x\":\"";
    (void)state;
    for (int p = 0; p < PROBLEM_COUNT; p++) {
        const enum problem problem = (enum problem)p;
        char *text = body_of(problem, slice_from(detail), slice_from(detail), "");
        json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        assert_int_equal(json_object_size(json), 6);
        assert_string_equal(json_string_value(json_object_get(json, "detail")), detail);
        assert_string_equal(json_string_value(json_object_get(json, "request_id")), detail);
        assert_string_equal(json_string_value(json_object_get(json, "code")), problem_code(problem));
        assert_int_equal(json_integer_value(json_object_get(json, "status")), problem_status(problem));
        json_decref(json);
        free(text);
    }
}

/* The fixed codes of the contract. */
static void codes_have_their_status(void **state)
{
    static const struct {
        const char *code;
        int status;
    } rows[] = {
        {"bad-request", 400},          {"tenant-required", 400},
        {"unauthenticated", 401},      {"forbidden", 403},
        {"credential-forbidden", 403}, {"api-unknown", 404},
        {"credential-not-found", 404}, {"credential-ambiguous", 409},
        {"idempotency-conflict", 409}, {"idempotency-mismatch", 422},
        {"outcome-unknown", 502},      {"payload-too-large", 413},
        {"headers-too-large", 431},    {"rate-limited", 429},
        {"overloaded", 503},           {"upstream-unreachable", 502},
        {"upstream-invalid", 502},     {"circuit-open", 503},
        {"upstream-timeout", 504},     {"cache-only-miss", 504},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int status = 0;
        for (int p = 0; p < PROBLEM_COUNT; p++)
            if (strcmp(problem_code((enum problem)p), rows[i].code) == 0)
                status = problem_status((enum problem)p);
        if (status != rows[i].status)
            fail_msg("%s: %d", rows[i].code, status);
    }
}

/* RFC 9209 2.3: the registered types. */
static void proxy_errors_are_registered(void **state)
{
    static const char types[] =
        " dns_timeout dns_error destination_not_found destination_unavailable destination_ip_prohibited "
        "destination_ip_unroutable connection_refused connection_terminated connection_timeout "
        "connection_read_timeout connection_write_timeout connection_limit_reached tls_protocol_error "
        "tls_certificate_error tls_alert_received http_request_error http_request_denied "
        "http_response_incomplete http_response_header_section_size http_response_header_size "
        "http_response_body_size http_response_trailer_section_size http_response_trailer_size "
        "http_response_transfer_coding http_response_content_coding http_response_timeout "
        "http_upgrade_failed http_protocol_error proxy_internal_response proxy_internal_error "
        "proxy_configuration_error proxy_loop_detected ";
    (void)state;
    for (int p = 0; p < PROBLEM_COUNT; p++) {
        char word[64];
        snprintf(word, sizeof(word), " %s ", problem_proxy_error((enum problem)p));
        if (!strstr(types, word))
            fail_msg("%s:%s", problem_code((enum problem)p), word);
    }
    assert_string_equal(problem_proxy_error(PROBLEM_UPSTREAM_TIMEOUT), "http_response_timeout");
}

static void a_full_buffer_is_reported_wherever_it_ends(void **state)
{
    char *whole = body_of(PROBLEM_INTERNAL, SLICE("detail"), SLICE("id"), ",\"x\":1");
    const size_t len = strlen(whole);
    char storage[512];
    struct buf out;
    (void)state;
    for (size_t size = 0; size < len; size++) {
        buf_init_fixed(&out, storage, size);
        assert_int_equal(problem_body(&out, PROBLEM_INTERNAL, SLICE("detail"), SLICE("id"), ",\"x\":1"),
                         ERR_LIMIT);
        assert_true(out.failed);
    }
    buf_init_fixed(&out, storage, sizeof(storage));
    assert_int_equal(problem_body(&out, PROBLEM_INTERNAL, SLICE("detail"), SLICE("id"), ",\"x\":1"), 0);
    assert_int_equal(out.len, len);
    assert_memory_equal(out.ptr, whole, len);
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_body_has_the_members_of_the_contract),
        cmocka_unit_test(an_empty_request_id_is_left_out_and_extra_members_come_last),
        cmocka_unit_test(every_problem_is_json_with_hostile_text),
        cmocka_unit_test(codes_have_their_status),
        cmocka_unit_test(proxy_errors_are_registered),
        cmocka_unit_test(a_full_buffer_is_reported_wherever_it_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
