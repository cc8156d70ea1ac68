/* Request heads: what is read from those that are accepted, and where the limits are. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/wire.h"

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST / HTTP/1.1\r\nHost: a\r\n"

static struct wire_result parse(struct slice head, struct http_request *out)
{
    static _Alignas(16) char storage[16384];
    static struct arena arena;

    arena_init(&arena, storage, sizeof(storage), sizeof(storage));
    return wire_parse_request(head, &arena, out);
}

static struct http_request accept(const char *text)
{
    struct http_request request;
    struct wire_result result = parse(slice_from(text), &request);

    if (result.verdict != WIRE_OK)
        fail_msg("refused: %s", result.why);
    return request;
}

static void assert_slice(struct slice s, const char *expected)
{
    if (!slice_equal(s, slice_from(expected)))
        fail_msg("'%.*s' is not '%s'", SLICE_ARG(s), expected);
}

static void test_message_is_read(void **state)
{
    struct http_request r = accept("\r\nPOST /a?b HTTP/1.1\r\nHost: h:1\r\nX-Tenant-Id:\t t 1 \t\r\nE:\r\n"
                                   "Content-Length: 7\r\nX:y\r\n\r\n");

    (void)state;
    assert_int_equal(r.method, METHOD_POST);
    assert_slice(r.method_name, "POST");
    assert_slice(r.target, "/a?b");
    assert_slice(r.host, "h:1");
    assert_int_equal(r.minor, 1);
    assert_int_equal(r.framing, FRAMING_LENGTH);
    assert_int_equal(r.length, 7);
    assert_true(r.keep_alive);
    assert_false(r.expect_continue);
    assert_int_equal(r.fields.count, 5);
    assert_slice(r.fields.at[0].name, "Host");
    assert_int_equal(r.fields.at[0].id, FIELD_HOST);
    assert_slice(r.fields.at[1].name, "X-Tenant-Id");
    assert_slice(r.fields.at[1].value, "t 1");
    assert_int_equal(r.fields.at[1].id, FIELD_X_TENANT_ID);
    assert_slice(r.fields.at[2].value, "");
    assert_slice(r.fields.at[3].value, "7");
    assert_slice(r.fields.at[4].name, "X");
    assert_slice(r.fields.at[4].value, "y");
    assert_int_equal(r.fields.at[4].id, FIELD_UNKNOWN);
}

static void test_targets_are_reduced(void **state)
{
    static const struct {
        const char *head, *target, *host;
    } cases[] = {
        {"GET http://a/b?c HTTP/1.1\r\nHost: A\r\n\r\n", "/b?c", "A"},
        {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"},
        {"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n", "*", "a"},
        {"OPTIONS http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "/", "a"},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "a"},
        {"GET HTTPS://[::1]:8/x HTTP/1.1\r\nHost: [::1]:8\r\n\r\n", "/x", "[::1]:8"},
        {"GET http://a:9/b HTTP/1.0\r\n\r\n", "/b", "a:9"},
        {"GET /http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "/http://b/", "a"},
        {"GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n", "//b/c", "a"},
        {"GET / HTTP/1.0\r\n\r\n", "/", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_request r = accept(cases[i].head);
        assert_slice(r.target, cases[i].target);
        assert_slice(r.host, cases[i].host);
    }
}

static void test_framing_and_persistence(void **state)
{
    static const struct {
        const char *head;
        enum http_framing framing;
        uint64_t length;
        bool keep_alive, expect;
    } cases[] = {
        {GET "\r\n", FRAMING_NONE, 0, true, false},
        {POST "Content-Length: 0\r\n\r\n", FRAMING_LENGTH, 0, true, false},
        {POST "Content-Length: 0012\r\n\r\n", FRAMING_LENGTH, 12, true, false},
        {POST "Transfer-Encoding: Chunked\r\n\r\n", FRAMING_CHUNKED, 0, true, false},
        {GET "Connection: close\r\n\r\n", FRAMING_NONE, 0, false, false},
        {GET "Connection: x, CLOSE\r\n\r\n", FRAMING_NONE, 0, false, false},
        {GET "Connection: x\r\nY: z\r\nConnection: close\r\n\r\n", FRAMING_NONE, 0, false, false},
        {GET "Connection: keep-alive, close\r\n\r\n", FRAMING_NONE, 0, false, false},
        {GET "Connection: closed\r\n\r\n", FRAMING_NONE, 0, true, false},
        {GET "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", FRAMING_NONE, 0, true, false},
        {POST "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\n", FRAMING_LENGTH, 2, true,
         false},
        {"GET / HTTP/1.0\r\n\r\n", FRAMING_NONE, 0, false, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", FRAMING_NONE, 0, true, false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", FRAMING_NONE, 0, false, false},
        {"POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n", FRAMING_LENGTH, 3, false, false},
        {POST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n", FRAMING_LENGTH, 3, true, true},
        {POST "Transfer-Encoding: chunked\r\nExpect: 100-CONTINUE\r\n\r\n", FRAMING_CHUNKED, 0, true, true},
        {POST "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n", FRAMING_LENGTH, 0, true, false},
        {GET "Expect: 100-continue\r\n\r\n", FRAMING_NONE, 0, true, false},
        {"POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", FRAMING_LENGTH, 3, false,
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_request r = accept(cases[i].head);
        if (r.framing != cases[i].framing || r.length != cases[i].length ||
            r.keep_alive != cases[i].keep_alive || r.expect_continue != cases[i].expect)
            fail_msg("case %zu: %s", i, cases[i].head);
    }
}

/* Every byte, in each place: which ones pass is written down here a second time, in the words of the RFCs. */
static bool parses_with(const char *before, int byte, const char *after)
{
    char text[128];
    struct http_request request;
    size_t n = strlen(before);

    memcpy(text, before, n);
    text[n] = (char)byte;
    memcpy(text + n + 1, after, strlen(after));
    return parse(slice_of(text, n + 1 + strlen(after)), &request).verdict == WIRE_OK;
}

static bool is_alnum(int c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
static bool is_among(int c, const char *set)
{
    return c && strchr(set, c);
}

static void test_every_byte(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool path = is_alnum(c) || is_among(c, "-._~!$&'()*+,;=:@/");
        bool token = is_alnum(c) || is_among(c, "!#$%&'*+-.^_`|~");
        bool value = c == '\t' || (c >= ' ' && c != 0x7f);
        if (parses_with("GET /a", c, "b HTTP/1.1\r\nHost: a\r\n\r\n") != (path || c == '?'))
            fail_msg("byte %d in a path", c);
        if (parses_with("GET /?a", c, "b HTTP/1.1\r\nHost: a\r\n\r\n") != (path || is_among(c, "?[]")))
            fail_msg("byte %d in a query", c);
        if (parses_with(GET "A", c, "b: c\r\n\r\n") != (token || c == ':'))
            fail_msg("byte %d in a name", c);
        if (parses_with(GET "A: b", c, "c\r\n\r\n") != value)
            fail_msg("byte %d in a value", c);
        if (parses_with(GET "A: b", c, "\r\n\r\n") != value)
            fail_msg("byte %d at the end of a value", c);
        if (parses_with("GET / HTTP/1.1\r\nHost: a", c, "1\r\n\r\n") != (is_alnum(c) || is_among(c, "-._:")))
            fail_msg("byte %d in Host", c);
        if (parses_with("GET /%4", c, " HTTP/1.1\r\nHost: a\r\n\r\n") != (c < 128 && isxdigit(c)))
            fail_msg("byte %d in an escape", c);
        if (parses_with(POST "Transfer-Encoding: ", c, "chunked\r\n\r\n") != (c == ' '))
            fail_msg("byte %d before chunked", c);
        if (parses_with(POST "Transfer-Encoding: chunked", c, "\r\n\r\n") != (c == ' '))
            fail_msg("byte %d behind chunked", c);
        if (parses_with(POST "Content-Length: ", c, "1\r\n\r\n") != (c == ' ' || (c >= '0' && c <= '9')))
            fail_msg("byte %d before a length", c);
        if (parses_with("GET", c, "/ HTTP/1.1\r\nHost: a\r\n\r\n") != (c == ' '))
            fail_msg("byte %d behind the method", c);
        if (parses_with("GET / HTTP/1.1\r\nHost: a\r\n", c, "\n") != (c == '\r'))
            fail_msg("byte %d in the last line", c);
    }
}

/* Every prefix and every single bit turned: nothing crashes, and a head that is not whole is not a head. */
static void test_damage(void **state)
{
    static const char text[] = POST "Content-Length: 12\r\nConnection: close\r\nX: y z\r\n\r\n";
    const size_t length = sizeof(text) - 1;
    char damaged[sizeof(text)];
    struct http_request request;

    (void)state;
    for (size_t n = 0; n < length; n++)
        assert_int_not_equal(parse(slice_of(text, n), &request).verdict, WIRE_OK);
    for (size_t bit = 0; bit < length * 8; bit++) {
        memcpy(damaged, text, sizeof(text));
        damaged[bit / 8] = (char)(damaged[bit / 8] ^ 1 << bit % 8);
        (void)parse(slice_of(damaged, length), &request);
    }
}

static size_t build(char *text, size_t fields)
{
    char *end = stpcpy(text, GET);

    for (size_t i = 1; i < fields; i++)
        end = stpcpy(end, "A: b\r\n");
    return (size_t)(stpcpy(end, "\r\n") - text);
}

static void test_count_of_fields(void **state)
{
    char text[1024];
    struct http_request request;
    size_t n = build(text, WIRE_FIELDS_MAX);

    (void)state;
    assert_int_equal(parse(slice_of(text, n), &request).verdict, WIRE_OK);
    assert_int_equal(request.fields.count, WIRE_FIELDS_MAX);
    n = build(text, WIRE_FIELDS_MAX + 1);
    assert_int_equal(parse(slice_of(text, n), &request).verdict, WIRE_TOO_MANY_FIELDS);
    assert_int_equal(request.fields.count, 0);
}

static void test_memory(void **state)
{
    _Alignas(16) char storage[128];
    struct arena arena;
    struct http_request request;

    (void)state;
    arena_init(&arena, storage, 16, 16);
    assert_int_equal(wire_parse_request(SLICE(GET "\r\n"), &arena, &request).verdict, WIRE_NOMEM);
    assert_int_equal(wire_parse_request(SLICE("GET / HTTP/1.0\r\n\r\n"), &arena, &request).verdict, WIRE_OK);
    arena_reset(&arena);

    /* one field costs one field */
    arena_init(&arena, storage, sizeof(storage), sizeof(storage));
    assert_int_equal(wire_parse_request(SLICE(GET "\r\n"), &arena, &request).verdict, WIRE_OK);
    assert_null(arena.blocks);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_is_read),
        cmocka_unit_test(test_targets_are_reduced),
        cmocka_unit_test(test_framing_and_persistence),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_count_of_fields),
        cmocka_unit_test(test_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
