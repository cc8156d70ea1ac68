/* JSON as text: what is valid, where members stand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/json.h"

static void validity(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {
        {"{}", true},
        {"[]", true},
        {" [ ] ", true},
        {"null", true},
        {"true", true},
        {"false", true},
        {"0", true},
        {"-0", true},
        {"-12.5e+3", true},
        {"1E9", true},
        {"1e-9", true},
        {"123456789012345678901234567890", true}, /* passed on as it is: no number is too large */
        {"1e999", true},
        {"\"\"", true},
        {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00Ff\"", true},
        {"\"\\u0000\"", true},
        {"\"\xC3\xBC\xE2\x82\xAC\xF0\x9F\x98\x80\"", true},
        {"{\"a\":1,\"a\":2}", true},
        {"\t{\"a\" :\r\n[1 , {\"b\":\"c\"}] }\n", true},
        {"", false},
        {" ", false},
        {"{", false},
        {"[", false},
        {"}", false},
        {"[1,]", false},
        {"[,1]", false},
        {"[1 2]", false},
        {"[1}", false},
        {"{\"a\"}", false},
        {"{\"a\":}", false},
        {"{\"a\":1,}", false},
        {"{a:1}", false},
        {"{1:1}", false},
        {"{} {}", false},
        {"nul", false},
        {"nulls", false},
        {"True", false},
        {"01", false},
        {"-", false},
        {"+1", false},
        {"1.", false},
        {".5", false},
        {"1e", false},
        {"1e+", false},
        {"NaN", false},
        {"\"", false},
        {"\"\\\"", false},
        {"\"\\x\"", false},
        {"\"\\u12g4\"", false},
        {"\"\\u123", false},
        {"\"a\nb\"", false},
        {"\"\xFF\"", false},
        {"\"\xC0\xAF\"", false},
        {"\"\xE2\x82\"", false},
        {"\"\xED\xA0\x80\"", false},
        {"\xEF\xBB\xBF{}", false},
        {"'a'", false},
        {"[1] // x", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice text = slice_from(rows[i].text);
        char *exact = malloc(text.len + 1); /* so that a read behind the end is seen */
        assert_non_null(exact);
        memcpy(exact, text.ptr, text.len);
        char *shrunk = text.len > 0 ? realloc(exact, text.len) : exact;
        bool valid = json_is_valid(slice_of(shrunk, text.len));
        if (valid != rows[i].valid)
            print_error("row %zu: %s\n", i, rows[i].text);
        assert_int_equal(valid, rows[i].valid);
        free(shrunk);
    }
    assert_false(json_is_valid(slice_of("\"\0\"", 3)));
    assert_false(json_is_valid(slice_of("\"\\\0\"", 4)));
    assert_false(json_is_valid(slice_of("1\0", 2)));
}

static void depth(void **state)
{
    char text[200];
    (void)state;
    for (size_t deep = 62; deep < 68; deep++) {
        memset(text, '[', deep);
        memset(text + deep, ']', deep);
        assert_int_equal(json_is_valid(slice_of(text, 2 * deep)), deep <= 64);
    }
}

static void members(void **state)
{
    static const struct {
        const char *object, *name, *found;
    } rows[] = {
        {"{\"a\":1,\"b\":{\"c\":[1,2]},\"d\":\"x\"}", "a", "1"},
        {"{\"a\":1,\"b\":{\"c\":[1,2]},\"d\":\"x\"}", "b", "{\"c\":[1,2]}"},
        {" { \"a\" : \"q,}\\\"\" , \"b\" : null } ", "a", "\"q,}\\\"\""},
        {" { \"a\" : \"q,}\\\"\" , \"b\" : null } ", "b", "null"},
        {"{\"a\":1}", "c", ""},
        {"{\"b\":{\"a\":1}}", "a", ""},
        {"{\"a\":1,\"a\":2}", "a", "1"},
        {"{\"\\u0061\":1}", "a", ""},
        {"{}", "a", ""},
        {"[\"a\"]", "a", ""},
        {"\"a\"", "a", ""},
        {"", "a", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice found = json_member(slice_from(rows[i].object), slice_from(rows[i].name));
        assert_int_equal(found.len, strlen(rows[i].found));
        assert_memory_equal(found.len > 0 ? found.ptr : "", rows[i].found, found.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(validity),
        cmocka_unit_test(depth),
        cmocka_unit_test(members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
