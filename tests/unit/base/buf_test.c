#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_content(const struct buf *buf, const char *want, size_t len)
{
    assert_int_equal(buf->len, len);
    if (len > 0)
        assert_memory_equal(buf->ptr, want, len);
}

#define assert_text(buf, literal) assert_content((buf), (literal), sizeof(literal) - 1)

static void gathers_all_kinds(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    assert_null(buf.ptr);
    assert_int_equal(buf_append(&buf, NULL, 0), 0);
    assert_int_equal(buf_append_slice(&buf, SLICE("ab")), 0);
    assert_int_equal(buf_append_slice(&buf, slice_of(NULL, 0)), 0);
    assert_int_equal(buf_append_text(&buf, "c-"), 0);
    assert_int_equal(buf_append_char(&buf, '|'), 0);
    assert_int_equal(buf_append_u64(&buf, 0), 0);
    assert_int_equal(buf_append_u64(&buf, UINT64_MAX), 0);
    assert_int_equal(buf_append_format(&buf, "<%s,%d>", "x", -5), 0);
    assert_text(&buf, "abc-|018446744073709551615<x,-5>");
    buf_consume(&buf, 5);
    assert_text(&buf, "018446744073709551615<x,-5>");
    buf_consume(&buf, buf.len);
    assert_int_equal(buf_slice(&buf).len, 0);
    buf_deinit(&buf);
    buf_consume(&buf, 0);
    assert_int_equal(buf_append_text(&buf, "usable again"), 0);
    buf_deinit(&buf);
}

static void grows_to_the_maximum_and_no_further(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf_append_char(&buf, (char)('a' + i % 26)), 0);
    assert_int_equal(buf.cap, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(buf.ptr[i], 'a' + i % 26);
    assert_int_equal(buf_append_char(&buf, '!'), ERR_LIMIT);
    assert_int_equal(buf.len, 1000);
    buf_deinit(&buf);
    assert_false(buf.failed);
    volatile size_t most = SIZE_MAX; /* which the compiler must not know */
    assert_int_equal(buf_append(&buf, "x", most), ERR_LIMIT);
    buf_deinit(&buf);
}

static void failure_changes_nothing_and_sticks(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 4);
    assert_int_equal(buf_append_text(&buf, "abc"), 0);
    assert_int_equal(buf_append_text(&buf, "de"), ERR_LIMIT);
    assert_true(buf.failed);
    assert_text(&buf, "abc");
    assert_int_equal(buf_append_text(&buf, "d"), ERR_LIMIT);
    assert_int_not_equal(buf_append(&buf, NULL, 0), 0);
    assert_int_not_equal(buf_append_json(&buf, SLICE("")), 0);
    assert_text(&buf, "abc");
    buf_reset(&buf);
    assert_int_equal(buf_append_text(&buf, "wxyz"), 0);
    assert_text(&buf, "wxyz");
    buf_deinit(&buf);
}

static void stays_in_fixed_storage(void **state)
{
    (void)state;
    char storage[9] = "........#";
    struct buf buf;
    buf_init_fixed(&buf, storage, 8);
    assert_int_equal(buf_append_format(&buf, "%s", "12345678"), 0);
    assert_text(&buf, "12345678");
    assert_ptr_equal(buf.ptr, storage);
    assert_int_equal(storage[8], '#');
    assert_int_equal(buf_append_char(&buf, '9'), ERR_LIMIT);
    buf_deinit(&buf);
    assert_ptr_equal(buf.ptr, storage);
    assert_int_equal(buf_append_text(&buf, "ab"), 0);
    buf_consume(&buf, 1);
    assert_text(&buf, "b");
    buf_wipe(&buf);
    assert_memory_equal(storage, "\0\0\0\0\0\0\0\0#", 9);
}

static void long_formats_fit_exactly(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 2000);
    for (int width = 509; width <= 515; width++) {
        buf_reset(&buf);
        assert_int_equal(buf_append_format(&buf, "%*d", width, 7), 0);
        assert_int_equal(buf.len, width);
        assert_int_equal(buf.ptr[width - 1], '7');
    }
    buf_reset(&buf);
    assert_int_equal(buf_append_format(&buf, "%2000d", 7), 0);
    assert_int_equal(buf.len, 2000);
    buf_reset(&buf);
    assert_int_equal(buf_append_format(&buf, "%2001d", 7), ERR_LIMIT);
    assert_int_equal(buf.len, 0);
    buf_deinit(&buf);
}

static void reserved_room_is_written_directly(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 300);
    assert_int_equal(buf_reserve(&buf, 300), 0);
    memset(buf.ptr, 'q', 300);
    buf_grow(&buf, 300);
    assert_int_equal(buf_reserve(&buf, 0), 0);
    assert_int_equal(buf_reserve(&buf, 1), ERR_LIMIT);
    buf_deinit(&buf);
}

#define BAD "\xEF\xBF\xBD"

static void escapes_json(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"plain text/", "plain text/"},
        {"\"q\" \\", "\\\"q\\\" \\\\"},
        {"\b\f\n\r\t", "\\b\\f\\n\\r\\t"},
        {"\x01\x1f\x7f", "\\u0001\\u001f\\u007f"},
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"\xC2\x9B"
         "31m",
         "\\u009b31m"},
        {"\xC2\xA0", "\xC2\xA0"},
        {"\x80", BAD},         /* continuation alone */
        {"\xC3", BAD},         /* cut */
        {"\xC3(", BAD "("},    /* wrong continuation */
        {"\xC0\xAF", BAD BAD}, /* overlong */
        {"\xC1\x81", BAD BAD},
        {"\xE0\x80\xAF", BAD BAD BAD},
        {"\xE0\x9F\xBF", BAD BAD BAD},
        {"\xE0\xA0\x80", "\xE0\xA0\x80"},
        {"\xED\xA0\x80", BAD BAD BAD}, /* surrogate */
        {"\xED\x9F\xBF", "\xED\x9F\xBF"},
        {"\xF0\x8F\xBF\xBF", BAD BAD BAD BAD},
        {"\xF0\x90\x80\x80", "\xF0\x90\x80\x80"},
        {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
        {"\xF4\x90\x80\x80", BAD BAD BAD BAD}, /* past U+10FFFF */
        {"\xF5\x80\x80\x80", BAD BAD BAD BAD},
        {"\xFF\xFE", BAD BAD},
        {"\xE2\x82", BAD BAD},
    };
    struct buf buf;
    buf_init(&buf, 1000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_reset(&buf);
        assert_int_equal(buf_append_json(&buf, slice_from(rows[i].in)), 0);
        assert_content(&buf, rows[i].out, strlen(rows[i].out));
    }
    buf_reset(&buf);
    assert_int_equal(buf_append_json(&buf, slice_of("a\0b", 3)), 0);
    assert_text(&buf, "a\\u0000b");
    buf_deinit(&buf);
}

static void json_appends_all_or_nothing(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 8);
    assert_int_equal(buf_append_text(&buf, "ab"), 0);
    assert_int_equal(buf_append_json(&buf, SLICE("cd\x01")), ERR_LIMIT);
    assert_text(&buf, "ab");
    buf_deinit(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathers_all_kinds),
        cmocka_unit_test(grows_to_the_maximum_and_no_further),
        cmocka_unit_test(failure_changes_nothing_and_sticks),
        cmocka_unit_test(stays_in_fixed_storage),
        cmocka_unit_test(long_formats_fit_exactly),
        cmocka_unit_test(reserved_room_is_written_directly),
        cmocka_unit_test(escapes_json),
        cmocka_unit_test(json_appends_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
