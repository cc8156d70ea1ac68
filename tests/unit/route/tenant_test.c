#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static _Alignas(16) char storage[4096];

static void valid_tenants_are_a_short_list_of_bytes(void **state)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@-";
    char text[ROUTE_TENANT_MAX + 1];
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool want = byte != 0 && strchr(good, byte) != NULL;
        char inside[] = {'a', c, 'b'};
        assert_int_equal(route_tenant_is_valid(slice_of(&c, 1)), want);
        assert_int_equal(route_tenant_is_valid(slice_of(inside, 3)), want);
    }
    memset(text, 'x', sizeof text);
    for (size_t len = 0; len <= sizeof text; len++)
        assert_int_equal(route_tenant_is_valid(slice_of(text, len)), len >= 1 && len <= ROUTE_TENANT_MAX);
    assert_false(route_tenant_is_valid(slice_of(NULL, 0)));
}

/* header, second: values of X-Tenant-Id fields, NULL for none. */
static void decides_on_one_tenant(void **state)
{
    static const struct {
        const char *target, *header, *second;
        enum route_outcome outcome;
        const char *tenant;
    } rows[] = {
        {"/crm/x", "acme", NULL, ROUTE_OK, "acme"},
        {"/crm/x", NULL, NULL, ROUTE_TENANT_REQUIRED, ""},
        {"/crm/x", "..", NULL, ROUTE_OK, ".."},
        {"/t/acme/crm/x", NULL, NULL, ROUTE_OK, "acme"},
        {"/t/acme/crm/x", "acme", NULL, ROUTE_OK, "acme"},
        {"/t/a%40b/crm/x", "a@b", NULL, ROUTE_OK, "a@b"},
        /* Two namings that differ, or could. */
        {"/t/acme/crm/x", "other", NULL, ROUTE_BAD_TENANT, ""},
        {"/t/acme/crm/x", "ACME", NULL, ROUTE_BAD_TENANT, ""},
        {"/t/acme/crm/x", "acme1", NULL, ROUTE_BAD_TENANT, ""},
        {"/t/a%40b/crm/x", "a%40b", NULL, ROUTE_BAD_TENANT, ""},
        {"/t/acme/crm/x", "", NULL, ROUTE_BAD_TENANT, ""},
        {"/crm/x", "acme", "other", ROUTE_BAD_TENANT, ""},
        {"/crm/x", "acme", "acme", ROUTE_BAD_TENANT, ""},
        {"/crm/x", "acme", "", ROUTE_BAD_TENANT, ""},
        {"/t/acme/crm/x", "acme", "acme", ROUTE_BAD_TENANT, ""},
        /* Malformed. */
        {"/crm/x", "", NULL, ROUTE_BAD_TENANT, ""},
        {"/crm/x", "acme,other", NULL, ROUTE_BAD_TENANT, ""},
        {"/crm/x", "acme, acme", NULL, ROUTE_BAD_TENANT, ""},
        {"/crm/x", "a b", NULL, ROUTE_BAD_TENANT, ""},
        {"/crm/x", "a%40b", NULL, ROUTE_BAD_TENANT, ""},
        {"/crm/x", "a/b", NULL, ROUTE_BAD_TENANT, ""},
        {"/crm/x", "\"acme\"", NULL, ROUTE_BAD_TENANT, ""},
        {"/crm/x", "acm\xC3\xA9", NULL, ROUTE_BAD_TENANT, ""},
        {"/t/a%20b/crm/x", NULL, NULL, ROUTE_BAD_TENANT, ""},
        {"/t/a%2541b/crm/x", NULL, NULL, ROUTE_BAD_TENANT, ""},
        {"/t/a%25/crm/x", NULL, NULL, ROUTE_BAD_TENANT, ""},
        {"/t/a+b/crm/x", NULL, NULL, ROUTE_BAD_TENANT, ""},
        {"/t/acme;x/crm/x", NULL, NULL, ROUTE_BAD_TENANT, ""},
        {"/t/acme%3Bx/crm/x", NULL, NULL, ROUTE_BAD_TENANT, ""},
        {"/t/acme%2Cother/crm/x", NULL, NULL, ROUTE_BAD_TENANT, ""},
        {"/t/%C3%A9/crm/x", NULL, NULL, ROUTE_BAD_TENANT, ""},
        {"/t/a*/crm/x", NULL, NULL, ROUTE_BAD_TENANT, ""},
        {"/t/", "acme", NULL, ROUTE_BAD_TENANT, ""},
        {"/t/a=b", NULL, NULL, ROUTE_BAD_TENANT, ""},
    };
    static const struct slice names[] = {{"crm", 3}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_field fields[4] = {{SLICE("Host"), SLICE("x"), FIELD_HOST}};
        struct http_request request = {.target = slice_from(rows[i].target), .fields = {fields, 1}};
        struct arena arena;
        struct route route;
        arena_init(&arena, storage, sizeof storage, 0);
        for (int j = 0; j < 2; j++) {
            const char *value = j == 0 ? rows[i].header : rows[i].second;
            if (value)
                fields[request.fields.count++] =
                    (struct http_field){SLICE("x-tenant-id"), slice_from(value), FIELD_X_TENANT_ID};
        }
        fields[request.fields.count++] = (struct http_field){SLICE("Accept"), SLICE("*"), FIELD_ACCEPT};
        enum route_outcome outcome = route_find(&request, names, 1, &arena, &route);
        if (outcome != rows[i].outcome || !slice_equal(route.tenant, slice_from(rows[i].tenant)))
            fail_msg("row %zu: %s %s: outcome %d, tenant \"%.*s\"", i, rows[i].target,
                     rows[i].header ? rows[i].header : "-", outcome, SLICE_ARG(route.tenant));
        assert_int_equal(route.why != NULL, outcome != ROUTE_OK);
    }
}

static void length_counts_after_decoding(void **state)
{
    static const struct slice names[] = {{"crm", 3}};
    (void)state;
    for (int len = ROUTE_TENANT_MAX - 1; len <= ROUTE_TENANT_MAX + 1; len++) {
        char target[600] = "/t/";
        struct arena arena;
        struct route route;
        for (int i = 0; i < len; i++)
            memcpy(target + 3 + 3 * i, "%40", 3);
        memcpy(target + 3 + 3 * len, "/crm", 5);
        struct http_request request = {.target = slice_from(target)};
        arena_init(&arena, storage, sizeof storage, 0);
        bool good = len <= ROUTE_TENANT_MAX;
        assert_int_equal(route_find(&request, names, 1, &arena, &route), good ? ROUTE_OK : ROUTE_BAD_TENANT);
        assert_int_equal(route.tenant.len, good ? (size_t)len : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_tenants_are_a_short_list_of_bytes),
        cmocka_unit_test(decides_on_one_tenant),
        cmocka_unit_test(length_counts_after_decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
