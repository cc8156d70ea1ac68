#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/field.h"

static const struct {
    enum field_id id;
    const char *name;
    unsigned flags;
} known[] = {
#define KNOWN_ROW(id, name, flags) {FIELD_##id, (name), (flags)},
    FIELD_LIST(KNOWN_ROW)
#undef KNOWN_ROW
};

enum { KNOWN_COUNT = sizeof(known) / sizeof(known[0]) };

static void every_name_is_found_in_any_case(void **state)
{
    (void)state;
    assert_int_equal(KNOWN_COUNT, FIELD_COUNT - 1);
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        char upper[64], mixed[64];
        const size_t len = strlen(known[i].name);
        for (size_t c = 0; c < len; c++) {
            upper[c] = (char)toupper((unsigned char)known[i].name[c]);
            mixed[c] = c % 2 ? known[i].name[c] : upper[c];
        }
        assert_int_equal(field_lookup(slice_of(known[i].name, len)), known[i].id);
        assert_int_equal(field_lookup(slice_of(upper, len)), known[i].id);
        assert_int_equal(field_lookup(slice_of(mixed, len)), known[i].id);
    }
}

static void names_and_flags_belong_to_their_ids(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        assert_true(slice_equal(field_name(known[i].id), slice_from(known[i].name)));
        assert_int_equal(field_flags(known[i].id), known[i].flags);
    }
    assert_int_equal(field_name(FIELD_UNKNOWN).len, 0);
    assert_int_equal(field_flags(FIELD_UNKNOWN), 0);
    assert_int_equal(field_name(FIELD_COUNT).len, 0);
    assert_int_equal(field_flags(FIELD_COUNT), 0);
}

/* Every name with one byte changed, cut or added is another name. */
static void near_misses_are_unknown(void **state)
{
    (void)state;
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        char text[64];
        const size_t len = strlen(known[i].name);
        memcpy(text, known[i].name, len);
        text[len] = 'x';
        assert_int_equal(field_lookup(slice_of(text, len + 1)), FIELD_UNKNOWN);
        for (size_t c = 0; c < len; c++) {
            const char was = text[c];
            text[c] = '_';
            assert_int_equal(field_lookup(slice_of(text, len)), FIELD_UNKNOWN);
            text[c] = '\0';
            assert_int_equal(field_lookup(slice_of(text, len)), FIELD_UNKNOWN);
            text[c] = (char)(was ^ 0x80);
            assert_int_equal(field_lookup(slice_of(text, len)), FIELD_UNKNOWN);
            text[c] = was;
        }
    }
    assert_int_equal(field_lookup(SLICE("")), FIELD_UNKNOWN);
    assert_int_equal(field_lookup((struct slice){NULL, 0}), FIELD_UNKNOWN);
    assert_int_equal(field_lookup(SLICE("x-name-of-more-than-twenty-five-bytes")), FIELD_UNKNOWN);
    assert_int_equal(field_lookup(SLICE("cache\rcontrol")), FIELD_UNKNOWN); /* '\r' | 0x20 is '-' */
}

/* What must never go up or down by accident: the flags that hygiene relies on. */
static void dangerous_fields_carry_their_flags(void **state)
{
    static const struct {
        const char *name;
        unsigned flag;
    } rows[] = {
        {"Connection", FIELD_HOP},
        {"Keep-Alive", FIELD_HOP},
        {"Proxy-Connection", FIELD_HOP},
        {"TE", FIELD_HOP},
        {"Trailer", FIELD_HOP},
        {"Transfer-Encoding", FIELD_HOP},
        {"Upgrade", FIELD_HOP},
        {"Proxy-Authorization", FIELD_HOP},
        {"Authorization", FIELD_IDENTITY},
        {"X-Rollout-Credential-Id", FIELD_IDENTITY},
        {"Cookie", FIELD_IDENTITY},
        {"X-Tenant-Id", FIELD_IDENTITY},
        {"Host", FIELD_SINGLE},
        {"Content-Length", FIELD_SINGLE},
        {"X-Forwarded-For", FIELD_OVERRIDE},
        {"X-HTTP-Method-Override", FIELD_OVERRIDE},
        {"X-Original-URL", FIELD_OVERRIDE},
        {"If-None-Match", FIELD_PRECONDITION},
        {"Range", FIELD_PRECONDITION},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (!(field_flags(field_lookup(slice_from(rows[i].name))) & rows[i].flag))
            fail_msg("%s lacks flag %u", rows[i].name, rows[i].flag);
}

/* RFC 9110 5.6.2, spelt out. */
static void tokens_are_exactly_tchars(void **state)
{
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                 "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char byte = (char)c;
        const bool want = memchr(tchars, c, sizeof(tchars) - 1) != NULL;
        if (field_is_token(slice_of(&byte, 1)) != want)
            fail_msg("byte %d", c);
    }
    assert_true(field_is_token(SLICE("x-y.z~1")));
    assert_false(field_is_token(SLICE("")));
    assert_false(field_is_token(SLICE("a b")));
    assert_false(field_is_token(SLICE("name ")));
}

static void values_hold_no_control_bytes_but_tab(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        const char text[3] = {'a', (char)c, 'b'};
        const bool want = c == '\t' || (c >= 0x20 && c != 0x7f);
        if (field_is_value(slice_of(text, 3)) != want)
            fail_msg("byte %d", c);
    }
    assert_true(field_is_value(SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_found_in_any_case),
        cmocka_unit_test(names_and_flags_belong_to_their_ids),
        cmocka_unit_test(near_misses_are_unknown),
        cmocka_unit_test(dangerous_fields_carry_their_flags),
        cmocka_unit_test(tokens_are_exactly_tchars),
        cmocka_unit_test(values_hold_no_control_bytes_but_tab),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
