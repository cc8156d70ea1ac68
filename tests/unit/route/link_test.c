#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char base[] = "https://crm.universal.rollout.com/api";

static int rewrite(struct buf *out, const char *link, const char *base_url, bool in_path, bool tls)
{
    struct route route = {.tenant = SLICE("acme"), .tenant_in_path = in_path};
    return route_rewrite_link(out, slice_from(link), slice_from(base_url), &route, SLICE("crm"),
                              SLICE("gw:8080"), tls);
}

static void links_into_the_base_come_to_us(void **state)
{
    static const struct {
        const char *base, *link, *rest;
    } rows[] = {
        {base, "https://crm.universal.rollout.com/api/people?next=abc", "/people?next=abc"},
        {base, "https://crm.universal.rollout.com/api", ""},
        {base, "https://crm.universal.rollout.com/api/", "/"},
        {base, "https://crm.universal.rollout.com/api?next=1", "?next=1"},
        {base, "HTTPS://CRM.Universal.Rollout.com/api/people", "/people"},
        {base, "https://crm.universal.rollout.com:443/api/people", "/people"},
        {base, "http://crm.universal.rollout.com/api/people", "/people"},
        {base, "http://crm.universal.rollout.com:80/api/people", "/people"},
        {base, "https:\\/\\/crm.universal.rollout.com\\/api\\/people\\/?a=\\/", "/people/?a=/"},
        {base, "https://crm.universal.rollout.com/api/people?a=1\\u0026b=\\\"\\\\/x",
         "/people?a=1\\u0026b=\\\"\\\\/x"},
        {base, "https://crm.universal.rollout.com/api/p?u=https://crm.universal.rollout.com/api/x#f",
         "/p?u=https://crm.universal.rollout.com/api/x#f"},
        {"https://crm.universal.rollout.com/api/", "https://crm.universal.rollout.com/api/people", "/people"},
        {"http://127.0.0.1:9000/api", "http://127.0.0.1:9000/api/people", "/people"},
        {"http://[::1]:9000/api", "http://[::1]:9000/api/people", "/people"},
        {"http://127.0.0.1:9000", "http://127.0.0.1:9000/people", "/people"},
        {"http://127.0.0.1:9000", "http://127.0.0.1:9000", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int form = 0; form < 4; form++) {
            char want[512];
            struct buf out;
            buf_init(&out, 4096);
            snprintf(want, sizeof want, "%s://gw:8080%s/crm%s", form & 1 ? "https" : "http",
                     form & 2 ? "/t/acme" : "", rows[i].rest);
            assert_int_equal(rewrite(&out, rows[i].link, rows[i].base, form & 2, form & 1), 0);
            if (!slice_equal(buf_slice(&out), slice_from(want)))
                fail_msg("%s became %.*s", rows[i].link, SLICE_ARG(buf_slice(&out)));
            buf_deinit(&out);
        }
    }
}

static void other_links_stay(void **state)
{
    static const struct {
        const char *base, *link;
    } rows[] = {
        {base, ""},
        {base, "/api/people"},
        {base, "api/people"},
        {base, "abc"},
        {base, "https:"},
        {base, "https:/"},
        {base, "https://"},
        {base, "//crm.universal.rollout.com/api/people"},
        {base, "ftp://crm.universal.rollout.com/api/people"},
        {base, "https://crm.universal.rollout.com"},
        {base, "https://crm.universal.rollout.com/"},
        {base, "https://crm.universal.rollout.com/ap"},
        {base, "https://crm.universal.rollout.com/apix/people"},
        {base, "https://crm.universal.rollout.com/API/people"},
        {base, "https://crm.universal.rollout.com/api#x"},
        {base, "https://crm.universal.rollout.com/other/api/people"},
        {base, "https://email.universal.rollout.com/api/people"},
        {base, "https://crm.universal.rollout.com.evil.example/api/people"},
        {base, "https://crm.universal.rollout.com@evil.example/api/people"},
        {base, "https://evil.example/https://crm.universal.rollout.com/api/people"},
        {base, "https://x@crm.universal.rollout.com/api/people"},
        {base, "https://crm.universal.rollout.com:8443/api/people"},
        {base, "http://crm.universal.rollout.com:443/api/people"},
        {base, "https://crm.universal.rollout.com\\\\/api/people"},
        {base, "https://crm.universal.rollout.com\\u002fapi/people"},
        {base, "\\"},
        {"http://127.0.0.1:9000/api", "https://127.0.0.1:9000/api/x"},
        {"http://127.0.0.1:9000/api", "http://127.0.0.1:9001/api/x"},
        {"http://127.0.0.1:9000/api", "http://127.0.0.1/api/x"},
        {"not a url", "http://127.0.0.1/api/x"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 4096);
        if (rewrite(&out, rows[i].link, rows[i].base, false, false) != ERR_NOTFOUND || out.len != 0)
            fail_msg("%s became %.*s", rows[i].link, SLICE_ARG(buf_slice(&out)));
        buf_deinit(&out);
    }
}

/* The client's Host lands in a JSON string. */
static void a_host_that_is_none_changes_nothing(void **state)
{
    static const char *const hosts[] = {"",    "a\"b", "a\\b", "a/b", "a b", "a@b", "a?b",
                                        "a#b", "a<b",  "a{b",  "a~b", "a`b", "a%b", "\xC3\xA4"};
    struct route route = {.tenant = SLICE("acme")};
    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        struct buf out;
        buf_init(&out, 4096);
        assert_int_equal(route_rewrite_link(&out, SLICE("http://u/x"), SLICE("http://u"), &route,
                                            SLICE("crm"), slice_from(hosts[i]), false),
                         ERR_INVALID);
        assert_int_equal(out.len, 0);
        buf_deinit(&out);
    }
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(route_rewrite_link(&out, SLICE("http://u/x"), SLICE("http://u"), &route, SLICE("crm"),
                                        slice_of("a\0b", 3), false),
                     ERR_INVALID);
    assert_int_equal(route_rewrite_link(&out, SLICE("http://u/x"), SLICE("http://u"), &route, SLICE("crm"),
                                        SLICE("[::1]:80"), false),
                     0);
    assert_true(slice_equal(buf_slice(&out), SLICE("http://[::1]:80/crm/x")));
    buf_reset(&out);
    assert_int_equal(route_rewrite_link(&out, SLICE("http://u/x"), SLICE("http://u"), &route, SLICE("crm"),
                                        SLICE("GW.Az-09_example"), true),
                     0);
    assert_true(slice_equal(buf_slice(&out), SLICE("https://GW.Az-09_example/crm/x")));
    buf_deinit(&out);
}

static void limits_are_kept(void **state)
{
    static char link[ROUTE_LINK_MAX + 2];
    char storage[16] = "ab";
    struct buf out;
    (void)state;
    memset(link, 'x', sizeof link - 1);
    memcpy(link, "http://u/", 9);
    buf_init(&out, 2 * ROUTE_LINK_MAX);
    assert_int_equal(rewrite(&out, link, "http://u", false, false), ERR_NOTFOUND);
    link[ROUTE_LINK_MAX] = '\0';
    assert_int_equal(rewrite(&out, link, "http://u", false, false), 0);
    buf_deinit(&out);
    buf_init_fixed(&out, storage, sizeof storage);
    buf_grow(&out, 2);
    assert_int_equal(rewrite(&out, "http://u/x", "http://u", false, false), ERR_LIMIT);
    assert_int_equal(out.len, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_into_the_base_come_to_us),
        cmocka_unit_test(other_links_stay),
        cmocka_unit_test(a_host_that_is_none_changes_nothing),
        cmocka_unit_test(limits_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
