#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/cache_control.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { NO = CC_ABSENT };
static const int64_t clamped = 2147483648;

/* A copy with nothing behind it, so that the sanitizer sees who reads on. */
static char *exact(const char *text)
{
    const size_t len = text ? strlen(text) : 0;
    char *copy = malloc(len + !len);
    return len > 0 ? memcpy(copy, text, len) : copy;
}

static struct cache_control parse_lines(const char *name, const char *first, const char *second)
{
    char *copies[] = {exact(first), exact(second)};
    struct http_field at[] = {
        {slice_from(name), slice_of(copies[0], strlen(first)), field_lookup(slice_from(name))},
        {SLICE("Date"), SLICE("no-store"), FIELD_DATE},
        {slice_from(name), slice_of(copies[1], second ? strlen(second) : 0), field_lookup(slice_from(name))},
    };
    const struct http_fields fields = {at, second ? 3 : 2};
    const struct cache_control cc = cache_control_parse(&fields, at[0].id);
    free(copies[0]);
    free(copies[1]);
    return cc;
}

static struct cache_control parse(const char *first, const char *second)
{
    return parse_lines("Cache-Control", first, second);
}

/* --- seconds
 * ------------------------------------------------------------------------------------------------- */

static void max_age_is_read(void **state)
{
    static const struct {
        const char *first, *second;
        int64_t want;
    } rows[] = {
        /* the public caching tests, cc-parse; where they only ask what a cache does, the careful answer */
        {"max-age=3600", NULL, 3600},
        {"max-age=\"3600\"", NULL, 3600},
        {"max-age='3600'", NULL, 0},
        {"extension=\"max-age=3600\", max-age=1", NULL, 1},
        {"max-age=1, extension=\"max-age=3600\"", NULL, 1},
        {"extension=\"max-age=3600\", max-age=\"1\"", NULL, 1},
        {"max-age=\"1\", extension=\"max-age=3600\"", NULL, 1},
        {"max-age=003600", NULL, 3600},
        {"max-age=3600.0", NULL, 0},
        {"max-age=3600.5", NULL, 0},
        {"max-age =3600", NULL, 0},
        {"max-age= 3600", NULL, 0},
        {"max-age=a3600", NULL, 0},
        {"max-age=3600a", NULL, 0},
        {"max-age=3600", "max-age=1800", 1800},
        {"max-age=3600, max-age=1800", NULL, 1800},
        {"max-age=1, max-age=1800", NULL, 1},
        {"max-age=1800, max-age=1", NULL, 1},
        {"max-age=1", "max-age=1800", 1},
        {"max-age=1800", "max-age=1", 1},

        /* spelling */
        {"MAX-AGE=60", NULL, 60},
        {"Max-Age=60", NULL, 60},
        {" ,\tmax-age=60 , ", NULL, 60},
        {"x-max-age=60", NULL, NO},
        {"max-age-x=60", NULL, NO},
        {"maxage=60", NULL, NO},
        {"extension=max-age=60", NULL, NO},
        {"extension=\"a\\\", max-age=60\"", NULL, NO},
        {"extension=\"a\\\\\", max-age=60", NULL, 60},
        {"", NULL, NO},

        /* values */
        {"max-age=0", NULL, 0},
        {"max-age=2147483647", NULL, 2147483647},
        {"max-age=2147483648", NULL, 2147483648},
        {"max-age=2147483649", NULL, 2147483648},
        {"max-age=4294967296", NULL, 2147483648},
        {"max-age=18446744073709551616", NULL, 2147483648},
        {"max-age=99999999999999999999999999999999999999999999", NULL, 2147483648},
        {"max-age=99999999999999999999999999999999999999999999a", NULL, 0},
        {"max-age=60.5", NULL, 0},
        {"max-age=-1", NULL, 0},
        {"max-age=+1", NULL, 0},
        {"max-age=abc", NULL, 0},
        {"max-age=0x10", NULL, 0},
        {"max-age=1e3", NULL, 0},
        {"max-age", NULL, 0},
        {"max-age=", NULL, 0},
        {"max-age=\"\"", NULL, 0},
        {"max-age=\"", NULL, 0},
        {"max-age=\"60", NULL, 0},
        {"max-age=60\"", NULL, 0},
        {"max-age=\" 60\"", NULL, 0},
        {"max-age=\"6\\0\"", NULL, 0},
        {"max-age=\"60\"x", NULL, 0},
        {"max-age=\"\"60\"\"", NULL, 0},
        {"max-age=60;x=1", NULL, 0},
        {"max-age;x", NULL, 0},
        {"max-age:60", NULL, 0},
        {"max-age==60", NULL, 0},
        {"max-age=60, max-age=abc", NULL, 0},
        {"max-age=abc, max-age=60", NULL, 0},
        {"s-maxage=60", NULL, NO},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct cache_control cc = parse(rows[i].first, rows[i].second);
        if (cc.max_age != rows[i].want)
            fail_msg("%s / %s: %lld", rows[i].first, rows[i].second ? rows[i].second : "-",
                     (long long)cc.max_age);
    }
}

static void every_duration_has_its_member(void **state)
{
    const struct cache_control cc = parse("max-age=1, S-MaxAge=2, max-stale=3, min-fresh=4, "
                                          "stale-while-revalidate=5",
                                          "stale-if-error=6");
    const struct cache_control none = parse("no-transform", NULL);
    (void)state;
    assert_int_equal(cc.max_age, 1);
    assert_int_equal(cc.s_maxage, 2);
    assert_int_equal(cc.max_stale, 3);
    assert_int_equal(cc.min_fresh, 4);
    assert_int_equal(cc.stale_while_revalidate, 5);
    assert_int_equal(cc.stale_if_error, 6);
    assert_int_equal(cc.flags, 0);
    assert_int_equal(none.max_age, NO);
    assert_int_equal(none.s_maxage, NO);
    assert_int_equal(none.max_stale, NO);
    assert_int_equal(none.min_fresh, NO);
    assert_int_equal(none.stale_while_revalidate, NO);
    assert_int_equal(none.stale_if_error, NO);
}

/* Doubled or damaged, the reading that serves less from the cache wins. */
static void the_most_restrictive_reading_wins(void **state)
{
    (void)state;
    assert_int_equal(parse("s-maxage=9, s-maxage=5", "s-maxage=7").s_maxage, 5);
    assert_int_equal(parse("s-maxage=x", NULL).s_maxage, 0);
    assert_int_equal(parse("stale-while-revalidate=9, stale-while-revalidate=x", NULL).stale_while_revalidate,
                     0);
    assert_int_equal(parse("stale-if-error =9", NULL).stale_if_error, 0);
    assert_int_equal(parse("min-fresh=5, min-fresh=9", "min-fresh=7").min_fresh, 9);
    assert_int_equal(parse("min-fresh=x", NULL).min_fresh, clamped);
    assert_int_equal(parse("min-fresh", NULL).min_fresh, clamped);
    assert_int_equal(parse("min-fresh=", NULL).min_fresh, clamped);
    assert_int_equal(parse("min-fresh=\"\"", NULL).min_fresh, clamped);
}

static void max_stale_may_have_no_value(void **state)
{
    static const struct {
        const char *text;
        int64_t want;
        bool any;
    } rows[] = {
        {"max-stale", NO, true},
        {"MAX-STALE", NO, true},
        {"max-stale=60", 60, false},
        {"max-stale, max-stale=60", 60, false},
        {"max-stale=60, max-stale", 60, false},
        {"max-stale=", 0, false},
        {"max-stale=x", 0, false},
        {"max-stale =60", 0, false},
        {"max-stale;", 0, false},
        {"max-stale=60, max-stale=9", 9, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct cache_control cc = parse(rows[i].text, NULL);
        if (cc.max_stale != rows[i].want || !!(cc.flags & CC_MAX_STALE_ANY) != rows[i].any)
            fail_msg("%s: %lld %u", rows[i].text, (long long)cc.max_stale, cc.flags);
    }
}

/* --- switches
 * ------------------------------------------------------------------------------------------------ */

static void switches_are_read(void **state)
{
    static const struct {
        const char *text;
        unsigned want;
    } rows[] = {
        {"no-store", CC_NO_STORE},
        {"No-Store", CC_NO_STORE},
        {"no-cache", CC_NO_CACHE},
        {"private", CC_PRIVATE},
        {"public", CC_PUBLIC},
        {"must-revalidate", CC_MUST_REVALIDATE},
        {"proxy-revalidate", CC_PROXY_REVALIDATE},
        {"must-understand", CC_MUST_UNDERSTAND},
        {"no-transform", CC_NO_TRANSFORM},
        {"only-if-cached", CC_ONLY_IF_CACHED},
        {"immutable", CC_IMMUTABLE},
        {"private, no-cache , max-age=5", CC_PRIVATE | CC_NO_CACHE},
        {"no-storex", 0},
        {"xno-store", 0},
        {"extension=\"no-store, private\"", 0},
        {"extension=no-store", 0},

        /* a list of fields is read as if it were not there */
        {"no-cache=\"set-cookie\"", CC_NO_CACHE},
        {"no-cache=\"a, b\", public", CC_NO_CACHE | CC_PUBLIC},
        {"private=\"x-own\"", CC_PRIVATE},
        {"private=x-own", CC_PRIVATE},
        {"no-cache=\"\"", CC_NO_CACHE},

        /* malformed: what restricts counts, what permits does not */
        {"no-store=1", CC_NO_STORE},
        {"no-store =1", CC_NO_STORE},
        {"no-store; private", CC_NO_STORE},
        {"private; max-age=60", CC_PRIVATE},
        {"no-cache foo", CC_NO_CACHE},
        {"must-revalidate=x", CC_MUST_REVALIDATE},
        {"proxy-revalidate=x", CC_PROXY_REVALIDATE},
        {"no-transform=x", CC_NO_TRANSFORM},
        {"only-if-cached=x", CC_ONLY_IF_CACHED},
        {"public=x", 0},
        {"public; max-age=60", 0},
        {"immutable=1", 0},
        {"must-understand=1, no-store", CC_NO_STORE},
        {"extension=\"open, public", CC_NO_STORE},
        {"max-age=60, x=\"a\\\"", CC_NO_STORE},
        {"\"", CC_NO_STORE},
        {"\"no-store\"", 0},
        {"=no-store", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct cache_control cc = parse(rows[i].text, NULL);
        if (cc.flags != rows[i].want)
            fail_msg("%s: %x", rows[i].text, cc.flags);
        assert_true(cc.present);
    }
}

static void nothing_is_not_present(void **state)
{
    const struct http_fields none = {NULL, 0};
    (void)state;
    assert_false(cache_control_parse(&none, FIELD_CACHE_CONTROL).present);
    assert_false(parse("", ", ,").present);
    assert_true(parse("unknown", NULL).present);
    assert_int_equal(parse("", ", no-store").flags, CC_NO_STORE);
}

/* --- CDN-Cache-Control
 * --------------------------------------------------------------------------------------- */

static void the_targeted_field_is_a_dictionary(void **state)
{
    static const struct {
        const char *first, *second;
        bool present;
        int64_t max_age;
        unsigned flags;
    } rows[] = {
        {"max-age=60", NULL, true, 60, 0},
        {"max-age=60, no-store", "private", true, 60, CC_NO_STORE | CC_PRIVATE},
        {"max-age=60;x=1; y", NULL, true, 60, 0},
        {"max-age=60;x=\"a;b,c\"", NULL, true, 60, 0},
        {"no-store=?1", NULL, true, NO, CC_NO_STORE},
        {"no-store=?0, max-age=60", NULL, true, 60, 0},
        {"no-store;x", NULL, true, NO, CC_NO_STORE},
        {"no-cache=\"set-cookie\"", NULL, true, NO, CC_NO_CACHE},
        {"private=(a b;x \"c\")", NULL, true, NO, CC_PRIVATE},
        {"private=()", NULL, true, NO, CC_PRIVATE},
        {"max-age=-1", NULL, true, 0, 0},
        {"max-age=999999999999999", NULL, true, 2147483648, 0},
        {"max-age=60", "max-age=30", true, 30, 0},
        {"unknown", NULL, true, NO, 0},
        {"unknown=1.5, b=:YQ==:, c=\"\\\"\\\\\", d=tok:en/x, max-age=5", NULL, true, 5, 0},
        {"max-age=60", "", true, 60, 0},
        {"x=123456789012.123, y=\" ~\", max-age=60", NULL, true, 60, 0},

        /* a fault anywhere, and the field is absent: Cache-Control decides */
        {"", NULL, false, NO, 0},
        {"max-age=\"60\"", NULL, false, NO, 0},
        {"max-age=60.0", NULL, false, NO, 0},
        {"max-age=abc", NULL, false, NO, 0},
        {"max-age", NULL, false, NO, 0},
        {"max-age=", NULL, false, NO, 0},
        {"max-age= 60", NULL, false, NO, 0},
        {"max-age =60", NULL, false, NO, 0},
        {"max-age=60 x", NULL, false, NO, 0},
        {"max-age=60;", NULL, false, NO, 0},
        {"max-age=60;X", NULL, false, NO, 0},
        {"max-age=60;x=", NULL, false, NO, 0},
        {"max-age=1234567890123456", NULL, false, NO, 0},
        {"max-age=-", NULL, false, NO, 0},
        {"Max-Age=60", NULL, false, NO, 0},
        {"max-age=60, &&&", NULL, false, NO, 0},
        {"no-store", "&", false, NO, 0},
        {"no-store=1", NULL, false, NO, 0},
        {"no-store=\"x\"", NULL, false, NO, 0},
        {"no-store=?2", NULL, false, NO, 0},
        {"no-store=?", NULL, false, NO, 0},
        {"private=(a", NULL, false, NO, 0},
        {"private=(a\"b\")", NULL, false, NO, 0},
        {"private=(?)", NULL, false, NO, 0},
        {"x=\"open", NULL, false, NO, 0},
        {"x=\"\\a\"", NULL, false, NO, 0},
        {"x=\"\\", NULL, false, NO, 0},
        {"x=\"\xc3\xa9\"", NULL, false, NO, 0},
        {"x=:YQ", NULL, false, NO, 0},
        {"x=1.", NULL, false, NO, 0},
        {"x=1.2345", NULL, false, NO, 0},
        {"x=1234567890123.1", NULL, false, NO, 0},
        {"x=@1", NULL, false, NO, 0},
        {"max-stale", NULL, false, NO, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct cache_control cc = parse_lines("CDN-Cache-Control", rows[i].first, rows[i].second);
        if (cc.present != rows[i].present || cc.max_age != rows[i].max_age || cc.flags != rows[i].flags)
            fail_msg("%s: %d %lld %x", rows[i].first, cc.present, (long long)cc.max_age, cc.flags);
    }
}

static void the_two_fields_do_not_mix(void **state)
{
    struct http_field at[] = {
        {SLICE("Cache-Control"), SLICE("max-age=1"), FIELD_CACHE_CONTROL},
        {SLICE("CDN-Cache-Control"), SLICE("max-age=2"), FIELD_CDN_CACHE_CONTROL},
    };
    const struct http_fields fields = {at, 2};
    (void)state;
    assert_int_equal(cache_control_parse(&fields, FIELD_CACHE_CONTROL).max_age, 1);
    assert_int_equal(cache_control_parse(&fields, FIELD_CDN_CACHE_CONTROL).max_age, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(max_age_is_read),
        cmocka_unit_test(every_duration_has_its_member),
        cmocka_unit_test(the_most_restrictive_reading_wins),
        cmocka_unit_test(max_stale_may_have_no_value),
        cmocka_unit_test(switches_are_read),
        cmocka_unit_test(nothing_is_not_present),
        cmocka_unit_test(the_targeted_field_is_a_dictionary),
        cmocka_unit_test(the_two_fields_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
