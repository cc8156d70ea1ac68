#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Text in, compact text out, or the line of the fault. */
static void documents_are_read_strictly(void **state)
{
    static const struct {
        const char *text, *want, *fault;
    } rows[] = {
        {"{\"b\":1,\"a\":[true,null,\"x\"]}", "{\"b\":1,\"a\":[true,null,\"x\"]}", NULL},
        {" 5 ", "5", NULL},
        {"\"text\"", "\"text\"", NULL},
        {"null", "null", NULL},
        {"[]\n", "[]", NULL},
        {"\"\\u00e9 \xc3\xa9\"", "\"\xc3\xa9 \xc3\xa9\"", NULL},
        {"\"[[[[\\\"[[[[\"", "\"[[[[\\\"[[[[\"", NULL},

        {"", NULL, "ends too early"},
        {"{\"secret\":", NULL, "ends too early"},
        {"\"secret", NULL, "ends too early"},
        {"{\"a\":1,\"a\":2}", NULL, "a member stands twice"},
        {"{\"a\":1,\"\\u0061\":2}", NULL, "a member stands twice"},
        {"{} {}", NULL, "something follows"},
        {"[1,]", NULL, "not valid JSON"},
        {"{'secret':1}", NULL, "not valid JSON"},
        {"secret", NULL, "not valid JSON"},
        {"NaN", NULL, "not valid JSON"},
        {"01", NULL, "not valid JSON"},
        {"[1] // secret", NULL, "something follows"},
        {"\"\\u0000\"", NULL, "\\u0000 is not allowed"},
        {"{\"\\u0000secret\":1}", NULL, "\\u0000 is not allowed"},
        {"\"\xff\"", NULL, "UTF-8"},
        {"\"\\ud800\"", NULL, "not valid JSON"},
        {"99999999999999999999", NULL, "too large"},
        {"1e999", NULL, "too large"},
        {"\"secret\nx\"", NULL, "not valid JSON"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fault fault = {""};
        struct buf out;
        json_t *value = json_read(slice_from(rows[i].text), 1000, &fault);
        if (!rows[i].want) {
            if (value || !strstr(fault.text, rows[i].fault) || strstr(fault.text, "secret") ||
                strncmp(fault.text, "line ", 5) != 0)
                fail_msg("%s: %s", rows[i].text, fault.text);
            continue;
        }
        if (!value)
            fail_msg("%s: %s", rows[i].text, fault.text);
        buf_init(&out, 1000);
        assert_int_equal(json_write(&out, value), 0);
        if (!slice_equal(buf_slice(&out), slice_from(rows[i].want)))
            fail_msg("%s: %.*s", rows[i].text, SLICE_ARG(buf_slice(&out)));
        buf_deinit(&out);
        json_decref(value);
    }
}

static void the_fault_names_line_and_column(void **state)
{
    struct fault fault = {""};
    (void)state;
    assert_null(json_read(SLICE("{\n  \"a\": 1,\n  \"b\": x\n}"), 1000, &fault));
    assert_string_equal(fault.text, "line 3, column 8: not valid JSON");
}

static void a_bare_nul_is_no_end(void **state)
{
    struct fault fault = {""};
    (void)state;
    assert_null(json_read(slice_of("1\0002", 3), 1000, &fault));
    assert_null(json_read(slice_of("\"a\0b\"", 5), 1000, &fault));
    assert_null(json_read((struct slice){NULL, 0}, 1000, &fault));
}

static void size_is_bounded(void **state)
{
    struct fault fault = {""};
    json_t *value = json_read(SLICE("[1,2]"), 5, &fault);
    (void)state;
    assert_non_null(value);
    json_decref(value);
    assert_null(json_read(SLICE("[1,2] "), 5, &fault));
    assert_string_equal(fault.text, "longer than 5 bytes");
}

/* Arrays and objects in turn; `depth` levels. */
static char *nested(size_t depth)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < depth; i++)
        buf_append_text(&out, i % 2 ? "{\"\xc3\xa9\":" : "[");
    buf_append_text(&out, "\"[{\"");
    for (size_t i = depth; i-- > 0;)
        buf_append_text(&out, i % 2 ? "}" : "]");
    buf_append_char(&out, '\0');
    return out.ptr;
}

static void depth_is_bounded(void **state)
{
    struct fault fault = {""};
    char *text = nested(64);
    json_t *value = json_read(slice_from(text), 1 << 20, &fault);
    (void)state;
    assert_non_null(value);
    json_decref(value);
    free(text);

    text = nested(65);
    assert_null(json_read(slice_from(text), 1 << 20, &fault));
    assert_string_equal(fault.text, "line 1, column 193: nested deeper than 64 levels");
    free(text);

    text = nested(66);
    text[0] = '\n';
    assert_null(json_read(slice_from(text), 1 << 20, &fault));
    assert_string_equal(fault.text, "line 2, column 193: nested deeper than 64 levels");
    free(text);

    text = nested(20000);
    assert_null(json_read(slice_from(text), 1 << 20, &fault));
    free(text);

    /* brackets inside strings do not count, wherever the string ends */
    struct buf out;
    buf_init(&out, 4000);
    buf_append_text(&out, "[\"\\\"");
    for (int i = 0; i < 70; i++)
        buf_append_char(&out, '[');
    buf_append_text(&out, "\\\\\",\"\",");
    for (int i = 0; i < 70; i++)
        buf_append_text(&out, "[\"x\"],{\"k\":\"v\"},");
    buf_append_text(&out, "\"\"]");
    value = json_read(buf_slice(&out), 4000, &fault);
    assert_non_null(value);
    assert_int_equal(json_array_size(value), 143);
    json_decref(value);
    buf_deinit(&out);

    /* a string directly before a bracket */
    char *deep = nested(64);
    buf_init(&out, 1000);
    buf_append_format(&out, "{\"k\":\"\",\"\":[%s]}", deep);
    assert_null(json_read(buf_slice(&out), 1000, &fault));
    assert_non_null(strstr(fault.text, "nested deeper"));
    buf_deinit(&out);
    free(deep);

    /* side by side is not deep, and closing brackets too many do not make room */
    value = json_read(SLICE("[[],[],[[],[]]]"), 100, &fault);
    assert_non_null(value);
    json_decref(value);
    assert_null(json_read(SLICE("]]]]"), 100, &fault));
}

static void writing_fails_whole(void **state)
{
    json_t *value = json_pack("{s:s, s:i}", "name", "value", "n", 7);
    char storage[32];
    struct buf out;
    (void)state;
    for (size_t size = 1; size < sizeof("x{\"name\":\"value\",\"n\":7}") - 1; size++) {
        buf_init_fixed(&out, storage, size);
        buf_append_char(&out, 'x');
        assert_int_equal(json_write(&out, value), ERR_LIMIT);
        assert_int_equal(out.len, 1);
    }
    buf_init_fixed(&out, storage, sizeof("x{\"name\":\"value\",\"n\":7}") - 1);
    buf_append_char(&out, 'x');
    assert_int_equal(json_write(&out, value), 0);
    assert_true(slice_equal(buf_slice(&out), SLICE("x{\"name\":\"value\",\"n\":7}")));
    json_decref(value);

    json_t *broken = json_pack("[s, o]", "first", json_stringn_nocheck("\xff", 1));
    buf_init_fixed(&out, storage, sizeof(storage));
    buf_append_char(&out, 'x');
    assert_int_equal(json_write(&out, broken), ERR_INVALID);
    assert_true(slice_equal(buf_slice(&out), SLICE("x")));
    json_decref(broken);
}

static void text_members_are_borrowed(void **state)
{
    json_t *value = json_pack("{s:s, s:i, s:n, s:s}", "a", "text", "b", 7, "c", "d", "");
    (void)state;
    assert_true(slice_equal(json_text(value, "a"), SLICE("text")));
    assert_int_equal(json_text(value, "b").len, 0);
    assert_int_equal(json_text(value, "c").len, 0);
    assert_int_equal(json_text(value, "d").len, 0);
    assert_int_equal(json_text(value, "e").len, 0);
    assert_int_equal(json_text(json_object_get(value, "a"), "a").len, 0);
    assert_int_equal(json_text(NULL, "a").len, 0);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_read_strictly),
        cmocka_unit_test(the_fault_names_line_and_column),
        cmocka_unit_test(a_bare_nul_is_no_end),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(writing_fails_whole),
        cmocka_unit_test(text_members_are_borrowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
