/* What requests present, and what callers may do: tables. */
#include "unit/caller/fixture.h"

#define A  "rgk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B  "rgk_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-_"
#define NO NULL

struct row {
    const char *fields[8]; /* name, value, … */
    enum caller_outcome outcome;
    const char *key; /* NULL: none */
};

static void read_row(const struct row *row)
{
    struct http_field at[4];
    struct http_fields fields = {at, 0};
    struct caller_proof proof = {0};
    for (size_t i = 0; i < 4 && row->fields[2 * i]; i++) {
        struct slice name = slice_from(row->fields[2 * i]);
        at[fields.count++] =
            (struct http_field){name, slice_from(row->fields[2 * i + 1]), field_lookup(name)};
    }
    caller_read(&fields, &proof);
    enum caller_outcome outcome = proof.flaw;
    if (outcome != row->outcome)
        fail_msg("%s: %s … is %d, not %d", row->fields[0] ? row->fields[0] : "nothing",
                 row->fields[1] ? row->fields[1] : "", (int)outcome, (int)row->outcome);
    if (outcome != CALLER_KNOWN)
        return;
    assert_int_equal(proof.has_key, row->key != NULL);
    if (row->key && !slice_equal(proof.key, slice_from(row->key)))
        fail_msg("the key is %.*s", SLICE_ARG(proof.key));
}

static void requests_present_keys(void **state)
{
    static const struct row rows[] = {
        {{NO}, CALLER_KNOWN, NO},
        {{"Authorization", "Bearer " A}, CALLER_KNOWN, A},
        {{"authorization", "bEARER   " A}, CALLER_KNOWN, A},
        {{"X-Gateway-Key", A}, CALLER_KNOWN, A},
        {{"x-gateway-key", B}, CALLER_KNOWN, B},
        {{"Authorization", "Bearer " A, "X-Gateway-Key", A}, CALLER_KNOWN, A},
        {{"Authorization", "Bearer eyJhbGciOi", "X-Gateway-Key", A}, CALLER_KNOWN, A},
        /* Not for us: written for Rollout. */
        {{"Authorization", "Bearer eyJhbGciOi"}, CALLER_KNOWN, NO},
        {{"Authorization", "Bearer RGK_aaaa"}, CALLER_KNOWN, NO},
        {{"Authorization", "Bearer"}, CALLER_KNOWN, NO},
        {{"Authorization", ""}, CALLER_KNOWN, NO},
        {{"Authorization", A}, CALLER_KNOWN, NO},
        {{"Authorization", "Basic " A}, CALLER_KNOWN, NO},
        {{"Authorization", "Bearer\t" A}, CALLER_KNOWN, NO},
        {{"Authorization", "Bearer x", "Authorization", "Basic y"}, CALLER_KNOWN, NO},
        {{"Proxy-Authorization", "Bearer " A}, CALLER_KNOWN, NO},
        {{"Cookie", A}, CALLER_KNOWN, NO},
        {{"X_Gateway_Key", A}, CALLER_KNOWN, NO},
        {{"X-Gateway_Key", A}, CALLER_KNOWN, NO},
        {{"X-Gateway-Keys", A}, CALLER_KNOWN, NO},
        /* For us, and wrong. */
        {{"Authorization", "Bearer rgk_"}, CALLER_KEY_MALFORMED, NO},
        {{"Authorization", "Bearer " A "a"}, CALLER_KEY_MALFORMED, NO},
        {{"Authorization", "Bearer " A ", Bearer " B}, CALLER_KEY_MALFORMED, NO},
        {{"Authorization", "Bearer " A " "}, CALLER_KEY_MALFORMED, NO},
        {{"Authorization", "Bearer rgk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa="},
         CALLER_KEY_MALFORMED,
         NO},
        {{"X-Gateway-Key", "rgk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa+"}, CALLER_KEY_MALFORMED, NO},
        {{"X-Gateway-Key", "RGK_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, CALLER_KEY_MALFORMED, NO},
        {{"X-Gateway-Key", "Bearer " A}, CALLER_KEY_MALFORMED, NO},
        {{"X-Gateway-Key", A "," A}, CALLER_KEY_MALFORMED, NO},
        {{"X-Gateway-Key", ""}, CALLER_KEY_MALFORMED, NO},
        {{"X-Gateway-Key", "x"}, CALLER_KEY_MALFORMED, NO},
        {{"X-Gateway-Key", "x", "Authorization", "Bearer eyJ"}, CALLER_KEY_MALFORMED, NO},
        {{"Authorization", "Bearer " A, "X-Gateway-Key", B}, CALLER_KEYS_DIFFER, NO},
        {{"X-Gateway-Key", "", "Authorization", "Bearer " A}, CALLER_KEYS_DIFFER, NO},
        {{"X-Gateway-Key", A, "X-Gateway-Key", A}, CALLER_KEY_TWICE, NO},
        {{"Authorization", "Bearer " A, "Authorization", "Bearer " A}, CALLER_KEY_TWICE, NO},
        {{"Authorization", "Bearer " A, "Authorization", "Bearer " B}, CALLER_KEY_TWICE, NO},
        {{"Authorization", "Basic eDp5", "Authorization", "Bearer " A}, CALLER_KEY_TWICE, NO},
        {{"Authorization", "Bearer " A, "Authorization", ""}, CALLER_KEY_TWICE, NO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        read_row(&rows[i]);
}

static void callers_may(void **state)
{
    static const struct {
        const char *tenants, *apis, *methods; /* of the key */
        const char *tenant, *api, *method;    /* of the request */
        enum caller_rule rule;
    } rows[] = {
        {"*", "*", "*", "acme", "crm", "GET", CALLER_ALLOWED},
        {"acme", "crm", "GET", "acme", "crm", "GET", CALLER_ALLOWED},
        {"acme", "crm", "GET", "Acme", "crm", "GET", CALLER_RULE_TENANTS},
        {"acme", "crm", "GET", "acme-2", "crm", "GET", CALLER_RULE_TENANTS},
        {"acme", "crm", "GET", "xacme", "crm", "GET", CALLER_RULE_TENANTS},
        {"acme-*", "crm", "GET", "acme-2", "crm", "GET", CALLER_ALLOWED},
        {"acme-*", "crm", "GET", "acme-", "crm", "GET", CALLER_ALLOWED},
        {"acme-*", "crm", "GET", "acme", "crm", "GET", CALLER_RULE_TENANTS},
        {"*-eu", "crm", "GET", "acme-eu", "crm", "GET", CALLER_ALLOWED},
        {"*-eu", "crm", "GET", "acme-eu-2", "crm", "GET", CALLER_RULE_TENANTS},
        {"a*c*e", "crm", "GET", "abcde", "crm", "GET", CALLER_ALLOWED},
        {"a.me", "crm", "GET", "acme", "crm", "GET", CALLER_RULE_TENANTS},
        {"globex,acme", "tms,crm", "HEAD,GET", "acme", "crm", "GET", CALLER_ALLOWED},
        {"globex,acme", "tms,crm", "HEAD,GET", "initech", "crm", "GET", CALLER_RULE_TENANTS},
        {"*", "crm", "*", "acme", "tms", "GET", CALLER_RULE_APIS},
        {"*", "crm", "*", "acme", "core", "GET", CALLER_RULE_APIS},
        {"*", "crm", "*", "acme", "crm-2", "GET", CALLER_RULE_APIS},
        {"*", "crm,tms", "*", "acme", "tms", "DELETE", CALLER_ALLOWED},
        {"*", "*", "GET", "acme", "crm", "HEAD", CALLER_RULE_METHODS},
        {"*", "*", "GET", "acme", "crm", "POST", CALLER_RULE_METHODS},
        {"*", "*", "GET", "acme", "crm", "PURGE", CALLER_RULE_METHODS},
        {"*", "*", "GET", "acme", "crm", "get", CALLER_RULE_METHODS},
        {"*", "*", "GET", "acme", "crm", "GETX", CALLER_RULE_METHODS},
        /* The first that refuses is told. */
        {"globex", "tms", "POST", "acme", "crm", "GET", CALLER_RULE_TENANTS},
        {"acme", "tms", "POST", "acme", "crm", "GET", CALLER_RULE_APIS},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct caller caller = {.spec = spec_of("x", rows[i].tenants, rows[i].apis, rows[i].methods)};
        enum caller_rule rule = caller_may(&caller, slice_from(rows[i].tenant), slice_from(rows[i].api),
                                           slice_from(rows[i].method));
        if (rule != rows[i].rule)
            fail_msg("row %zu: \"%s\", not \"%s\"", i, caller_rule_name(rule),
                     caller_rule_name(rows[i].rule));
    }
    assert_int_equal(caller_may(NULL, SLICE("a"), SLICE("b"), SLICE("C")), CALLER_ALLOWED);
}

/* A record that has lost its lists allows nothing. */
static void no_words_allow_nothing(void **state)
{
    struct caller caller = {0};
    (void)state;
    assert_int_equal(caller_may(&caller, SLICE("acme"), SLICE("crm"), SLICE("GET")), CALLER_RULE_TENANTS);
}

static void outcomes_have_names(void **state)
{
    (void)state;
    for (int i = CALLER_KEY_TWICE; i <= CALLER_UNAVAILABLE; i++) {
        assert_true(strlen(caller_outcome_rule((enum caller_outcome)i)) > 4);
        assert_true(strlen(caller_outcome_text((enum caller_outcome)i)) > 10);
    }
    assert_string_equal(caller_outcome_rule(CALLER_KEY_REVOKED), "key-revoked");
    assert_string_equal(caller_status_text(CALLER_REVOKED), "revoked");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_present_keys),
        cmocka_unit_test(callers_may),
        cmocka_unit_test(no_words_allow_nothing),
        cmocka_unit_test(outcomes_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
