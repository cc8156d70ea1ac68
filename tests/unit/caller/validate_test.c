/* What a key may be made with, and what is said when it may not. */
#include "unit/caller/fixture.h"

#define X16  "0123456789abcdef"
#define X64  X16 X16 X16 X16
#define X128 X64 X64

struct row {
    const char *name, *tenants, *apis, *methods, *peers, *rate;
    const char *says; /* NULL: good */
};

static void check(const struct row *row)
{
    struct fault fault = {""};
    struct caller_spec spec = spec_of(row->name, row->tenants, row->apis, row->methods);
    spec.peers = words_of(row->peers);
    spec.rate = slice_from(row->rate);
    int rc = caller_validate(&spec, &fault);
    if (rc != (row->says ? ERR_INVALID : 0) ||
        (row->says && strncmp(fault.text, row->says, strlen(row->says)) != 0))
        fail_msg("%s %s %s: %d \"%s\"", row->name, row->tenants, row->apis, rc, fault.text);
}

static void specs(void **state)
{
    static const struct row rows[] = {
        {"a", NULL, NULL, NULL, NULL, NULL, NULL},
        {"Billing-2.eu_x", "acme-*,*:x@y", "crm,mortgage-crm", "GET,HEAD,PURGE,M-SEARCH",
         "dns:a,uri:spiffe://x/y", "100/s", NULL},
        {X64, X128, "*", "*", "cn:Billing Service,uid:1000", "36000/h", NULL},
        {"", NULL, NULL, NULL, NULL, NULL, "name: must be 1 to 64"},
        {X64 "x", NULL, NULL, NULL, NULL, NULL, "name: "},
        {"a b", NULL, NULL, NULL, NULL, NULL, "name: "},
        {"a\"b", NULL, NULL, NULL, NULL, NULL, "name: "},
        {"a", "", NULL, NULL, NULL, NULL, "tenants[0]: must be 1 to 128"},
        {"a", "b,,c", NULL, NULL, NULL, NULL, "tenants[1]: "},
        {"a", "b/c", NULL, NULL, NULL, NULL, "tenants[0]: "},
        {"a", "b?", NULL, NULL, NULL, NULL, "tenants[0]: "},
        {"a", "[ab]", NULL, NULL, NULL, NULL, "tenants[0]: "},
        {"a", X128 "x", NULL, NULL, NULL, NULL, "tenants[0]: "},
        {"a", "********", NULL, NULL, NULL, NULL, NULL},
        {"a", "*********", NULL, NULL, NULL, NULL, "tenants[0]: "},
        {"a", "b,c,b", NULL, NULL, NULL, NULL, "tenants[2]: the same as tenants[0]"},
        {"a", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", NULL, NULL, NULL, NULL, NULL},
        {"a", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", NULL, NULL, NULL, NULL, "tenants: at most 16"},
        {"a", NULL, "CRM", NULL, NULL, NULL, "apis[0]: "},
        {"a", NULL, "cr*", NULL, NULL, NULL, "apis[0]: "},
        {"a", NULL, "crm,", NULL, NULL, NULL, "apis[1]: "},
        {"a", NULL, "012345678901234567890123456789012", NULL, NULL, NULL, "apis[0]: "},
        {"a", NULL, NULL, "get", NULL, NULL, "methods[0]: "},
        {"a", NULL, NULL, "GET POST", NULL, NULL, "methods[0]: "},
        {"a", NULL, NULL, "G*", NULL, NULL, "methods[0]: "},
        {"a", NULL, NULL, NULL, "billing", NULL, "peers[0]: "},
        {"a", NULL, NULL, NULL, "dns:", NULL, "peers[0]: "},
        {"a", NULL, NULL, NULL, "dns:a\nb", NULL, "peers[0]: "},
        {"a", NULL, NULL, NULL, "dns:" X128 X128, NULL, "peers[0]: "},
        {"a", NULL, NULL, NULL, "uid:0,uid:10,uid:4294967294", NULL, NULL},
        {"a", NULL, NULL, NULL, "uid:", NULL, "peers[0]: "},
        {"a", NULL, NULL, NULL, "uid:root", NULL, "peers[0]: "},
        {"a", NULL, NULL, NULL, "uid:-1", NULL, "peers[0]: "},
        {"a", NULL, NULL, NULL, "uid:01", NULL, "peers[0]: "}, /* it would never match */
        {"a", NULL, NULL, NULL, "uid:4294967295", NULL, "peers[0]: "},
        {"a", NULL, NULL, NULL, "uid:18446744073709551616", NULL, "peers[0]: "},
        {"a", NULL, NULL, NULL, "dns:a,dns:a", NULL, "peers[1]: the same"},
        {"a", NULL, NULL, NULL, NULL, "100", "rate: "},
        {"a", NULL, NULL, NULL, NULL, "0/s", "rate: "},
        {"a", NULL, NULL, NULL, NULL, "1/d", "rate: "},
        {"a", NULL, NULL, NULL, NULL, "1.5/s", "rate: "},
        {"a", NULL, NULL, NULL, NULL, "1/", "rate: "},
        {"a", NULL, NULL, NULL, NULL, "-1/s", "rate: "},
        {"a", NULL, NULL, NULL, NULL, "1000000001/s", "rate: "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check(&rows[i]);
}

static void rates(void **state)
{
    static const struct {
        const char *text;
        double per_second;
    } rows[] = {{"100/s", 100}, {"600/m", 10},         {"36000/h", 10},
                {"30/m", 0.5},  {"1000000000/s", 1e9}, {"", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct caller caller = {.spec = spec_of("a", NULL, NULL, NULL)};
        caller.spec.rate = slice_from(rows[i].text);
        assert_true(caller_rate(&caller) == rows[i].per_second);
    }
    assert_true(caller_rate(NULL) == 0);
}

static void ids(void **state)
{
    static struct caller_change change;
    static const char *const bad[] = {
        "", "x", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcdeg"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(caller_change_revoke(&change, 0, slice_from(bad[i]), 1), ERR_INVALID);
    assert_int_equal(caller_change_revoke(&change, 0, SLICE(X16), 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs),
        cmocka_unit_test(rates),
        cmocka_unit_test(ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
