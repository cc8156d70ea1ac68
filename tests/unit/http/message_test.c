#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/message.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void methods_are_known_by_exact_name(void **state)
{
    static const struct {
        const char *name;
        enum method method;
        bool safe, idempotent;
    } rows[] = {
        {"GET", METHOD_GET, true, true},         {"HEAD", METHOD_HEAD, true, true},
        {"POST", METHOD_POST, false, false},     {"PUT", METHOD_PUT, false, true},
        {"DELETE", METHOD_DELETE, false, true},  {"PATCH", METHOD_PATCH, false, false},
        {"OPTIONS", METHOD_OPTIONS, true, true}, {"PURGE", METHOD_PURGE, false, false},
        {"get", METHOD_OTHER, false, false},     {"GET ", METHOD_OTHER, false, false},
        {"GE", METHOD_OTHER, false, false},      {"GETS", METHOD_OTHER, false, false},
        {"TRACE", METHOD_OTHER, false, false},   {"OTHER", METHOD_OTHER, false, false},
        {"", METHOD_OTHER, false, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const enum method method = method_lookup(slice_from(rows[i].name));
        if (method != rows[i].method || method_is_safe(method) != rows[i].safe ||
            method_is_idempotent(method) != rows[i].idempotent)
            fail_msg("%s", rows[i].name);
    }
}

static struct http_field field(const char *name, const char *value)
{
    return (struct http_field){slice_from(name), slice_from(value), field_lookup(slice_from(name))};
}

static void fields_are_found_by_id_and_name(void **state)
{
    struct http_field at[] = {field("Vary", "a"), field("X-Own", "1"), field("vary", "b"),
                              field("x-OWN", "2")};
    const struct http_fields fields = {at, COUNT(at)};
    const struct http_fields none = {NULL, 0};
    (void)state;
    assert_ptr_equal(http_find(&fields, FIELD_VARY), &at[0]);
    assert_null(http_find(&fields, FIELD_ETAG));
    assert_ptr_equal(http_find_name(&fields, SLICE("X-OWN")), &at[1]);
    assert_null(http_find_name(&fields, SLICE("X-Ow")));
    assert_int_equal(http_count(&fields, FIELD_VARY), 2);
    assert_int_equal(http_count(&fields, FIELD_ETAG), 0);
    assert_true(slice_equal(http_value(&fields, FIELD_VARY), SLICE("a")));
    assert_int_equal(http_value(&fields, FIELD_ETAG).len, 0);
    assert_null(http_find(&none, FIELD_VARY));
    assert_null(http_find_name(&none, SLICE("Vary")));
}

/* Members joined with '|'; the lines are separate fields of one name, with a stranger between them. */
static void members_are_walked_over_all_fields(void **state)
{
    static const struct {
        const char *first, *second, *want;
    } rows[] = {
        {"a", NULL, "a|"},
        {"", NULL, ""},
        {",", ", ,", ""},
        {"a,b", "c", "a|b|c|"},
        {" a ,\tb\t, ", "c", "a|b|c|"},
        {",,a,,", ",b", "a|b|"},
        {"", "b", "b|"},
        {"a", "", "a|"},
        {"x=\"1,2\", y", NULL, "x=\"1,2\"|y|"},
        {"x=\"a\\\",b\", y", NULL, "x=\"a\\\",b\"|y|"},
        {"x=\"a\\\\\", y", NULL, "x=\"a\\\\\"|y|"},
        {"x=\"open, y", "z", "x=\"open, y|z|"},
        {"x=\"open\\", "z", "x=\"open\\|z|"},
        {"a\\,b", NULL, "a\\|b|"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_field at[] = {field("Vary", rows[i].first), field("X-Other", "no"),
                                  field("VARY", rows[i].second)};
        const struct http_fields fields = {at, rows[i].second ? 3 : 2};
        struct http_members it = {0};
        struct slice member;
        char got[128] = "";
        size_t len = 0;
        while (http_member_next(&fields, FIELD_VARY, &it, &member))
            len += (size_t)snprintf(got + len, sizeof(got) - len, "%.*s|", SLICE_ARG(member));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("row %zu: %s", i, got);
        assert_false(http_member_next(&fields, FIELD_VARY, &it, &member)); /* stays at its end */
    }
}

static void connection_names_fields_in_any_case(void **state)
{
    struct http_field at[] = {field("Connection", "close, X-Rollout-Credential-Id"),
                              field("connection", "\tfoo ,")};
    const struct http_fields fields = {at, COUNT(at)};
    (void)state;
    assert_true(http_connection_names(&fields, SLICE("x-rollout-credential-id")));
    assert_true(http_connection_names(&fields, SLICE("FOO")));
    assert_true(http_connection_names(&fields, SLICE("Close")));
    assert_false(http_connection_names(&fields, SLICE("x-rollout")));
    assert_false(http_connection_names(&fields, SLICE("")));
}

static void reasons_stand_in_the_registry(void **state)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {100, "Continue"},
        {200, "OK"},
        {204, "No Content"},
        {207, "Multi-Status"},
        {304, "Not Modified"},
        {404, "Not Found"},
        {413, "Content Too Large"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {502, "Bad Gateway"},
        {504, "Gateway Timeout"},
        {511, "Network Authentication Required"},
        {0, "Unknown"},
        {99, "Unknown"},
        {299, "Unknown"},
        {306, "Unknown"},
        {599, "Unknown"},
        {-1, "Unknown"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_string_equal(http_reason(rows[i].status), rows[i].reason);
}

/* The look-up halves a sorted table: a row out of order would be lost. 62 codes of RFC 9110 15 and the IANA
 * registry. */
static void every_reason_is_reachable(void **state)
{
    size_t count = 0;
    (void)state;
    for (int status = 0; status < 1000; status++)
        count += strcmp(http_reason(status), "Unknown") != 0;
    assert_int_equal(count, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_are_known_by_exact_name),
        cmocka_unit_test(fields_are_found_by_id_and_name),
        cmocka_unit_test(members_are_walked_over_all_fields),
        cmocka_unit_test(connection_names_fields_in_any_case),
        cmocka_unit_test(reasons_stand_in_the_registry),
        cmocka_unit_test(every_reason_is_reachable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
