#include "unit/upstream/rig.h"

static const struct {
    const char *text;
    int rc;
    const char *url, *authority;
    bool https;
} ORIGINS[] = {
    {"https://crm.universal.rollout.com/api", 0, "https://crm.universal.rollout.com",
     "crm.universal.rollout.com", true},
    {"HTTP://127.0.0.1:9000", 0, "http://127.0.0.1:9000", "127.0.0.1:9000", false},
    {"https://[::1]:8443/a/b?c", 0, "https://[::1]:8443", "[::1]:8443", true},
    {"ftp://host/", ERR_SYNTAX, NULL, NULL, false},
    {"http://user@host/", ERR_SYNTAX, NULL, NULL, false},
    {"http://", ERR_SYNTAX, NULL, NULL, false},
    {"http://host:0/", ERR_SYNTAX, NULL, NULL, false},
    {"http://a b/", ERR_SYNTAX, NULL, NULL, false},
    {"", ERR_SYNTAX, NULL, NULL, false},
};

static void an_origin_is_scheme_and_authority(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ORIGINS / sizeof *ORIGINS; i++) {
        struct upstream_origin origin;
        assert_int_equal(upstream_origin_init(&origin, slice_from(ORIGINS[i].text), "/ca.pem"),
                         ORIGINS[i].rc);
        if (ORIGINS[i].rc == 0) {
            assert_string_equal(origin.url, ORIGINS[i].url);
            assert_true(slice_equal(origin.authority, slice_from(ORIGINS[i].authority)));
            assert_int_equal(origin.https, ORIGINS[i].https);
            assert_string_equal(origin.ca, "/ca.pem");
        }
        upstream_origin_deinit(&origin);
    }
}

/* RFC 9209 2.3: the registered names. */
static void failures_have_registered_names(void **state)
{
    (void)state;
    static const char *const NAMES[] = {
        [UPSTREAM_RESOLVE] = "dns_error",
        [UPSTREAM_CONNECT] = "connection_refused",
        [UPSTREAM_CONNECT_TIMEOUT] = "connection_timeout",
        [UPSTREAM_TLS] = "tls_protocol_error",
        [UPSTREAM_RESET] = "connection_terminated",
        [UPSTREAM_FIRST_BYTE_TIMEOUT] = "http_response_timeout",
        [UPSTREAM_IDLE_TIMEOUT] = "connection_read_timeout",
        [UPSTREAM_TOTAL_TIMEOUT] = "http_response_timeout",
        [UPSTREAM_INVALID] = "http_protocol_error",
        [UPSTREAM_CUT] = "http_response_incomplete",
        [UPSTREAM_NOMEM] = "proxy_internal_error",
    };
    for (int i = 0; i <= UPSTREAM_NOMEM; i++)
        assert_string_equal(upstream_failure_name((enum upstream_failure)i), NAMES[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_origin_is_scheme_and_authority),
        cmocka_unit_test(failures_have_registered_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
