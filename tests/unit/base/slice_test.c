#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct slice text(const char *s)
{
    return slice_from(s);
}

static void compares_without_case(void **state)
{
    (void)state;
    assert_true(slice_equal_nocase(text("Content-Type"), text("cONTENT-tYPE")));
    assert_true(slice_equal_nocase(slice_of(NULL, 0), text("")));
    assert_false(slice_equal_nocase(text("abc"), text("abcd")));
    /* Only letters fold: these pairs differ in the bit that makes a letter lower case. */
    assert_false(slice_equal_nocase(text("@"), text("`")));
    assert_false(slice_equal_nocase(text("["), text("{")));
    assert_false(slice_equal_nocase(text("\xC4"), text("\xE4")));
}

/* Every byte, at every place, between neighbours that a carry would change. */
static void lowers_eight_bytes(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++)
        for (unsigned at = 0; at < 8; at++)
            for (unsigned beside = 0; beside < 256; beside += 51) {
                unsigned char in[8], out[8];
                uint64_t word;
                memset(in, (int)beside, sizeof in);
                in[at] = (unsigned char)c;
                memcpy(&word, in, sizeof word);
                word = slice_lower_eight(word);
                memcpy(out, &word, sizeof out);
                for (unsigned i = 0; i < 8; i++)
                    assert_int_equal(out[i], in[i] >= 'A' && in[i] <= 'Z' ? in[i] + 32 : in[i]);
            }
    char a[20] = "ABCDEFGHIJKLMNOPQRS", b[20] = "abcdefghijklmnopqrs";
    for (size_t len = 0; len < sizeof a; len++) {
        assert_true(slice_equal_nocase(slice_of(a, len), slice_of(b, len)));
        if (len == 0)
            continue;
        b[len - 1] ^= 1;
        assert_false(slice_equal_nocase(slice_of(a, len), slice_of(b, len)));
        b[len - 1] ^= 1;
    }
}

static void trims_spaces_and_tabs_only(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } rows[] = {{" \t a b\t ", "a b"}, {"", ""}, {" \t", ""}, {"\r\nx\n", "\r\nx\n"}, {"x", "x"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_true(slice_equal(slice_trim(text(rows[i].in)), text(rows[i].out)));
    assert_int_equal(slice_trim(slice_of(NULL, 0)).len, 0);
}

static void finds_and_cuts(void **state)
{
    (void)state;
    struct slice head, rest;
    assert_int_equal(slice_find(text("a/b/c"), '/'), 1);
    assert_int_equal(slice_find(text("abc"), '/'), 3);
    assert_int_equal(slice_find(slice_of(NULL, 0), '/'), 0);
    assert_true(slice_cut(text("a=b=c"), '=', &head, &rest));
    assert_true(slice_equal(head, text("a")));
    assert_true(slice_equal(rest, text("b=c")));
    assert_true(slice_cut(rest, '=', &head, &rest));
    assert_true(slice_equal(head, text("b")));
    assert_false(slice_cut(rest, '=', &head, &rest));
    assert_true(slice_equal(head, text("c")));
    assert_int_equal(rest.len, 0);
    assert_true(slice_cut(text("x="), '=', &head, &rest));
    assert_int_equal(rest.len, 0);
    assert_false(slice_cut(slice_of(NULL, 0), '=', &head, &rest));
}

static void reads_strict_decimals(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool ok;
        uint64_t out;
    } rows[] = {
        {"0", true, 0},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"184467440737095516150", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"0x10", false, 0},
        {"1.0", false, 0},
        {"\xB2", false, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t out = 42;
        assert_int_equal(slice_to_u64(text(rows[i].in), &out), rows[i].ok);
        assert_int_equal(out, rows[i].ok ? rows[i].out : 42);
    }
}

static void matches_globs(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *s;
        bool match;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"abc", "abc", true},
        {"abc", "abcd", false},
        {"*", "", true},
        {"*", "anything", true},
        {"**", "", true},
        {"a*", "a", true},
        {"a*", "ba", false},
        {"*a", "ba", true},
        {"*a", "ab", false},
        {"a*b", "ab", true},
        {"a*a", "a", false}, /* one byte can't be both ends */
        {"ab*ba", "aba", false},
        {"ab*ba", "abba", true},
        {"a*b*c", "a-b-c", true},
        {"a*b*c", "acb", false},
        {"*ab*", "aaab", true},
        {"*aab*", "aaab", true},
        {"*.example", "x.example.example", true},
        {"/api/*/sync", "/api/a/b/sync", true},
        {"/api/*/sync", "/api//sync", true},
        {"/api/*/sync", "/api/sync", false},
        {"a?c", "abc", false},
        {"a?c", "a?c", true},
        {"*x*x*", "x", false},
        {"*x*x*", "xx", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(slice_glob(text(rows[i].pattern), text(rows[i].s)), rows[i].match);
    assert_true(slice_glob(text("*"), slice_of(NULL, 0)));
    assert_false(slice_glob(text("*a*"), slice_of(NULL, 0)));
}

/* A matcher that backtracks over every star would need longer than the universe for this. */
static void glob_does_not_explode(void **state)
{
    (void)state;
    static char s[100000], pattern[201];
    memset(s, 'a', sizeof s);
    for (size_t i = 0; i < 200; i += 2) {
        pattern[i] = '*';
        pattern[i + 1] = 'a';
    }
    pattern[200] = 'b';
    assert_false(slice_glob(slice_of(pattern, 201), slice_of(s, sizeof s)));
    pattern[200] = '*';
    assert_true(slice_glob(slice_of(pattern, 201), slice_of(s, sizeof s)));
}

static void knows_names(void **state)
{
    (void)state;
    static const struct {
        const char *s, *extra;
        bool good;
    } rows[] = {
        {"", "-", false},         {"a", "", true},         {"azAZ09", "", true}, {"12345678", "", true},
        {"123456789", "", false}, {"a-b", "-", true},      {"a-b", "", false},   {"a_b", "-.", false},
        {"a b", "-", false},      {"\xC3\xA4", "", false}, {"*", "*", true},     {"a\n", "-", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(slice_is_name(text(rows[i].s), 8, rows[i].extra), rows[i].good);
    assert_false(slice_is_name(slice_of("a\0b", 3), 8, "-")); /* the end of `extra` is none of it */
}

static void compares_secrets(void **state)
{
    (void)state;
    assert_true(slice_equal_secret(text("abc"), text("abc")));
    assert_true(slice_equal_secret(slice_of(NULL, 0), text("")));
    assert_false(slice_equal_secret(text("abc"), text("abd")));
    assert_false(slice_equal_secret(text("Abc"), text("abc")));
    assert_false(slice_equal_secret(text("abc"), text("ab")));
    /* Differences that cancel each other out still are differences. */
    assert_false(slice_equal_secret(text("ab"), text("ba")));
}

static void skips_nothing_of_nothing(void **state)
{
    (void)state;
    assert_null(slice_skip(slice_of(NULL, 0), 0).ptr);
    assert_true(slice_starts(text("abc"), text("ab")));
    assert_false(slice_starts(text("a"), text("ab")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compares_without_case),      cmocka_unit_test(lowers_eight_bytes),
        cmocka_unit_test(trims_spaces_and_tabs_only), cmocka_unit_test(finds_and_cuts),
        cmocka_unit_test(reads_strict_decimals),      cmocka_unit_test(matches_globs),
        cmocka_unit_test(glob_does_not_explode),      cmocka_unit_test(compares_secrets),
        cmocka_unit_test(skips_nothing_of_nothing),   cmocka_unit_test(knows_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
