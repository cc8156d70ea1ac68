#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/url.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void urls_are_taken_apart(void **state)
{
    static const struct {
        const char *text;
        bool https;
        const char *host;
        uint16_t port;
        const char *authority, *path, *query;
    } rows[] = {
        {"http://example.com", false, "example.com", 80, "example.com", "/", ""},
        {"https://example.com", true, "example.com", 443, "example.com", "/", ""},
        {"HTTPS://Example.COM/", true, "Example.COM", 443, "Example.COM", "/", ""},
        {"http://127.0.0.1:9000/api", false, "127.0.0.1", 9000, "127.0.0.1:9000", "/api", ""},
        {"http://[::1]:8080/a?b=c", false, "[::1]", 8080, "[::1]:8080", "/a", "b=c"},
        {"https://[2001:db8::1]", true, "[2001:db8::1]", 443, "[2001:db8::1]", "/", ""},
        {"http://[::ffff:10.0.0.1]/", false, "[::ffff:10.0.0.1]", 80, "[::ffff:10.0.0.1]", "/", ""},
        {"http://localhost?x", false, "localhost", 80, "localhost", "/", "x"},
        {"http://a/?", false, "a", 80, "a", "/", ""},
        {"http://a/b//c;d=1/%2F?x=/?:@&y", false, "a", 80, "a", "/b//c;d=1/%2F", "x=/?:@&y"},
        {"http://svc.ns.svc.cluster.local./p", false, "svc.ns.svc.cluster.local.", 80,
         "svc.ns.svc.cluster.local.", "/p", ""},
        {"http://my_service-1:1/", false, "my_service-1", 1, "my_service-1:1", "/", ""},
        {"http://4f2e1a:65535", false, "4f2e1a", 65535, "4f2e1a:65535", "/", ""},
        {"http://mx", false, "mx", 80, "mx", "/", ""},
        {"http://nx1/%00", false, "nx1", 80, "nx1", "/%00", ""},
        {"http://1.2.3.4.example", false, "1.2.3.4.example", 80, "1.2.3.4.example", "/", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct url url;
        if (!url_parse(slice_from(rows[i].text), &url))
            fail_msg("%s", rows[i].text);
        assert_int_equal(url.https, rows[i].https);
        assert_int_equal(url.port, rows[i].port);
        if (!slice_equal(url.host, slice_from(rows[i].host)) ||
            !slice_equal(url.authority, slice_from(rows[i].authority)) ||
            !slice_equal(url.path, slice_from(rows[i].path)) ||
            !slice_equal(url.query, slice_from(rows[i].query)))
            fail_msg("%s: %.*s %.*s %.*s", rows[i].text, SLICE_ARG(url.host), SLICE_ARG(url.path),
                     SLICE_ARG(url.query));
    }
}

static const char *const refused[] = {
    "",
    "http",
    "http:",
    "http:/",
    "http://",
    "http:///path",
    "http:example.com",
    "http:/example.com",
    "ftp://example.com",
    "//example.com",
    "example.com",
    "/path",
    "*",
    " http://a",
    "http://a ",
    "https//a",
    "file:///etc/passwd",
    "http+unix://a",

    /* authority */
    "http://user@example.com",
    "http://user:pw@example.com/",
    "http://@example.com",
    "http://example.com@evil/",
    "http://example.com\\@evil/",
    "http://:80",
    "http://a:",
    "http://a:/",
    "http://a:0",
    "http://a:080",
    "http://a:65536",
    "http://a:99999999999999999999",
    "http://a:8o",
    "http://a:-1",
    "http://a:+1",
    "http://a:1:2",
    "http://a: 1",
    "http://.",
    "http://a..b",
    "http://a..",
    "http://.a",
    "http://-a",
    "http://a-.b",
    "http://a b",
    "http://a%20b",
    "http://%61",
    "http://a,b",
    "http://a;b",
    "http://a*b",
    "http://\xc3\xa9.example",
    "http://a\tb",
    "http://a\nb",

    /* more than one reading of an address */
    "http://127.1",
    "http://2130706433",
    "http://0x7f.0.0.1",
    "http://0x7f000001",
    "http://0x",
    "http://127.0.0.1.",
    "http://127.0.0.01",
    "http://127.0.0.256",
    "http://1.2.3.4.5",
    "http://example.1",
    "http://[::1",
    "http://::1",
    "http://::1]",
    "http://[::1]x",
    "http://[::1]:",
    "http://[]",
    "http://[::1%25eth0]",
    "http://[::1%eth0]",
    "http://[v1.a]",
    "http://[127.0.0.1]",
    "http://[::g]",
    "http://[0000:0000:0000:0000:0000:ffff:255.255.255.2555]",
    "http://[1:2:3:4:5:6:7:8:9]",
    "http://[::1]]",
    "http://[0000000000000000000000000000000000000000000000000000000000000::1]",

    /* path and query */
    "http://a#",
    "http://a/#f",
    "http://a/?x#f",
    "http://a/ b",
    "http://a/%",
    "http://a/%2",
    "http://a/%2g",
    "http://a/%g2",
    "http://a/?%",
    "http://a/\\b",
    "http://a/\x01",
    "http://a/\x7f",
    "http://a/\xc3\xa9",
    "http://a/\"",
    "http://a/<",
    "http://a/[",
    "http://a/^",
    "http://a/`",
    "http://a/{",
    "http://a/|",
    "http://a/?[",
    "http://a/?x y",
    "http://a/\r\nX: y",
};

static void other_texts_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct url url = {.port = 7};
        const size_t len = strlen(refused[i]);
        char *exact = memcpy(malloc(len + !len), refused[i], len); /* reading on is seen by the sanitizer */
        if (url_parse(slice_of(exact, len), &url) || url.port != 7)
            fail_msg("row %zu: %s", i, refused[i]);
        free(exact);
    }
    struct url url;
    assert_false(url_parse(slice_of("http://a\0b/", 11), &url));
    assert_false(url_parse(slice_of("http://a/\0b", 11), &url));
    assert_false(url_parse(slice_of("http://[::1\0]/", 14), &url));
    assert_false(url_parse(slice_of("http://1.2.3.4\0/", 16), &url));
}

static void names_have_the_lengths_of_dns(void **state)
{
    char text[400] = "http://";
    char *host = text + 7;
    struct url url;
    (void)state;
    memset(host, 'a', 63);
    assert_true(url_parse(slice_of(text, 7 + 63), &url));
    host[63] = 'a';
    assert_false(url_parse(slice_of(text, 7 + 64), &url));
    for (size_t i = 0; i < 300; i++)
        host[i] = i % 50 == 49 ? '.' : 'a';
    assert_true(url_parse(slice_of(text, 7 + 253), &url));
    host[253] = '.';
    assert_true(url_parse(slice_of(text, 7 + 254), &url));
    host[253] = 'a';
    assert_false(url_parse(slice_of(text, 7 + 254), &url));
}

static void parameters_are_found_in_every_spelling(void **state)
{
    static const struct {
        const char *query, *name, *want;
    } rows[] = {
        {"a=1&b=2", "a", "1"},
        {"a=1&b=2", "b", "2"},
        {"a=1&a=2", "a", "1"},
        {"a=1&b=2", "c", NULL},
        {"a", "a", ""},
        {"a=", "a", ""},
        {"a=b=c", "a", "b=c"},
        {"&&a=1&", "a", "1"},
        {"=1", "", "1"},
        {"", "a", NULL},
        {"&", "", NULL},
        {"ab=1", "a", NULL},
        {"a=1", "ab", NULL},
        {"A=1", "a", NULL},
        {"a=%20x", "a", "%20x"},
        {"%61=1", "a", "1"},
        {"include%44ata=true", "includeData", "true"},
        {"include%64ata=true", "includeData", NULL},
        {"a%2", "a%2", ""},
        {"a%zz=1", "a%zz", "1"},
        {"a%", "a%", ""},
        {"a%00=1", "a", NULL},
        {"a+b=1", "a b", NULL},
        {"x%26a=1", "a", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct slice value = SLICE("unset");
        const bool found = url_query_find(slice_from(rows[i].query), slice_from(rows[i].name), &value);
        if (found != (rows[i].want != NULL) || (found && !slice_equal(value, slice_from(rows[i].want))))
            fail_msg("%s in %s: %d %.*s", rows[i].name, rows[i].query, found, SLICE_ARG(value));
    }
}

static void a_parameter_name_may_hold_any_byte(void **state)
{
    struct slice value;
    (void)state;
    assert_true(url_query_find(SLICE("a%00b=1"), slice_of("a\0b", 3), &value));
    assert_true(slice_equal(value, SLICE("1")));
    assert_false(url_query_find(SLICE("a%00b=1"), SLICE("a%b"), &value));
    assert_true(url_query_find(SLICE("%ff=1"), SLICE("\xff"), &value));
}

static void escapes_are_decoded_or_refused(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *want;
    } rows[] = {
        {"", 0, ""},
        {"abc", 0, "abc"},
        {"a%20b+c", 0, "a b+c"},
        {"%41%4a%4A", 0, "AJJ"},
        {"%2525", 0, "%25"},
        {"%", ERR_SYNTAX, ""},
        {"abc%", ERR_SYNTAX, ""},
        {"%4", ERR_SYNTAX, ""},
        {"%4g", ERR_SYNTAX, ""},
        {"%g4", ERR_SYNTAX, ""},
        {"a%20%zz", ERR_SYNTAX, ""},
        {"%%41", ERR_SYNTAX, ""},
        {"%C3%a9", 0, "\xc3\xa9"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char storage[64];
        struct buf out;
        buf_init_fixed(&out, storage, sizeof(storage));
        buf_append_char(&out, '>');
        const int code = url_decode(&out, slice_from(rows[i].text));
        if (code != rows[i].code || out.len != 1 + strlen(rows[i].want) ||
            memcmp(storage + 1, rows[i].want, out.len - 1) != 0)
            fail_msg("%s: %d %.*s", rows[i].text, code, SLICE_ARG(buf_slice(&out)));
    }
}

static void every_byte_survives_encoding(void **state)
{
    static const char unreserved[] = "-._~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char byte = (char)c;
        char want[8];
        struct buf encoded, decoded;
        buf_init(&encoded, 100);
        buf_init(&decoded, 100);
        assert_int_equal(url_encode(&encoded, slice_of(&byte, 1)), 0);
        snprintf(want, sizeof(want), memchr(unreserved, c, sizeof(unreserved) - 1) ? "%c" : "%%%02X", c);
        assert_true(slice_equal(buf_slice(&encoded), slice_from(want)));
        assert_int_equal(url_decode(&decoded, buf_slice(&encoded)), 0);
        assert_true(slice_equal(buf_slice(&decoded), slice_of(&byte, 1)));
        buf_deinit(&encoded);
        buf_deinit(&decoded);
    }
}

static void full_buffers_stay_as_they_were(void **state)
{
    char storage[4];
    struct buf out;
    (void)state;
    buf_init_fixed(&out, storage, sizeof(storage));
    assert_int_equal(url_encode(&out, SLICE("a b")), ERR_LIMIT);
    assert_int_equal(out.len, 0);
    buf_init_fixed(&out, storage, sizeof(storage));
    assert_int_equal(url_decode(&out, SLICE("ab%20cd")), ERR_LIMIT);
    assert_int_equal(out.len, 0);
    buf_init_fixed(&out, storage, sizeof(storage));
    assert_int_equal(url_decode(&out, SLICE("abcd%20")), ERR_LIMIT);
    assert_int_equal(out.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_are_taken_apart),
        cmocka_unit_test(other_texts_are_refused),
        cmocka_unit_test(names_have_the_lengths_of_dns),
        cmocka_unit_test(parameters_are_found_in_every_spelling),
        cmocka_unit_test(a_parameter_name_may_hold_any_byte),
        cmocka_unit_test(escapes_are_decoded_or_refused),
        cmocka_unit_test(every_byte_survives_encoding),
        cmocka_unit_test(full_buffers_stay_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
