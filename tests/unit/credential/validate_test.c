/* What fields may be; the fault names the place. */
#include "unit/credential/fixture.h"

static char longest[202];

static struct slice letters(size_t len)
{
    memset(longest, 'a', sizeof(longest) - 1);
    return slice_of(longest, len);
}

static void names_are_bounded_and_of_their_alphabet(void **state)
{
    const struct {
        struct slice text;
        bool tenant, id;
    } rows[] = {
        {SLICE("a"), true, true},          {SLICE("Acme.Corp_1-x"), true, true},
        {SLICE("a:b"), true, true},        {SLICE("a@b"), true, false},
        {SLICE("a~b"), false, true},       {SLICE("0196a2e4-7d2c-7bb0-8f3a-2f4d1c9e8a01"), true, true},
        {SLICE(""), false, false},         {SLICE("a b"), false, false},
        {SLICE("a/b"), false, false},      {SLICE("a%20b"), false, false},
        {SLICE("a\0b"), false, false},     {SLICE("a\r\nb"), false, false},
        {SLICE("\xC3\xA9"), false, false}, {letters(128), true, true},
        {letters(129), false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        if (credential_tenant_valid(rows[i].text) != rows[i].tenant ||
            credential_id_valid(rows[i].text) != rows[i].id)
            fail_msg("row %zu", i);
}

struct row {
    const char *name;
    struct credential_patch patch;
    const char *fault; /* its beginning; NULL: valid */
};

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct fault fault = {""};
        int rc = credential_validate(SLICE("t"), SLICE("c"), &rows[i].patch, &fault);
        if (rc != (rows[i].fault ? ERR_INVALID : 0) ||
            (rows[i].fault && !slice_starts(slice_from(fault.text), slice_from(rows[i].fault))))
            fail_msg("%s: %d %s", rows[i].name, rc, fault.text);
        assert_int_equal(credential_validate(SLICE("t"), SLICE("c"), &rows[i].patch, NULL), rc);
    }
}

#define LABEL(text)                                                                                          \
    {                                                                                                        \
        .has_label = true, .label = SLICE(text)                                                              \
    }
#define KEY(text)                                                                                            \
    {                                                                                                        \
        .has_app_key = true, .app_key = SLICE(text)                                                          \
    }

static void texts_are_checked(void **state)
{
    const struct row rows[] = {
        {"nothing given", {0}, NULL},
        {"label", LABEL("Z\xC3\xBCrich \xE2\x82\xAC \xF0\x9F\x8F\xA0"), NULL},
        {"empty label", LABEL(""), NULL},
        {"200 bytes", {.has_label = true, .label = letters(200)}, NULL},
        {"201 bytes", {.has_label = true, .label = letters(201)}, "label: "},
        {"not given, so not looked at", {.label = letters(201)}, NULL},
        {"line feed", LABEL("a\nb"), "label: "},
        {"NUL", LABEL("a\0b"), "label: "},
        {"DEL", LABEL("a\x7F"), "label: "},
        {"C1 control", LABEL("a\xC2\x85"), "label: "},
        {"first after C1", LABEL("\xC2\xA0"), NULL},
        {"cut character", LABEL("a\xE2\x82"), "label: "},
        {"bare continuation", LABEL("\x80"), "label: "},
        {"bad continuation", LABEL("\xC3\x41"), "label: "},
        {"overlong", LABEL("\xC0\xAF"), "label: "},
        {"overlong of three", LABEL("\xE0\x80\xAF"), "label: "},
        {"surrogate", LABEL("\xED\xA0\x80"), "label: "},
        {"last code point", LABEL("\xF4\x8F\xBF\xBF"), NULL},
        {"behind the last", LABEL("\xF4\x90\x80\x80"), "label: "},
        {"five-byte form", LABEL("\xF8\x88\x80\x80\x80"), "label: "},
        {"app key", KEY("Follow Up-Boss_2.0"), NULL},
        {"empty app key", KEY(""), NULL},
        {"app key of 64", {.has_app_key = true, .app_key = letters(64)}, NULL},
        {"app key of 65", {.has_app_key = true, .app_key = letters(65)}, "app_key: "},
        {"app key with a line feed", KEY("a\n"), "app_key: "},
        {"app key not ASCII", KEY("\xC3\xA9"), "app_key: "},
    };
    (void)state;
    check(rows, sizeof(rows) / sizeof(*rows));
}

#define APIS(count, ...)                                                                                     \
    {                                                                                                        \
        .has_apis = true, .api_count = (count), .apis = { __VA_ARGS__ }                                      \
    }

static void apis_are_checked_one_by_one(void **state)
{
    const struct row rows[] = {
        {"none", APIS(0, {0}), NULL},
        {"two", APIS(2, SLICE("crm"), SLICE("mortgage-crm")), NULL},
        {"32 letters", APIS(1, letters(32)), NULL},
        {"33 letters", APIS(1, letters(33)), "apis[0]: "},
        {"empty", APIS(2, SLICE("crm"), SLICE("")), "apis[1]: "},
        {"capital", APIS(2, SLICE("crm"), SLICE("TMS")), "apis[1]: "},
        {"slash", APIS(3, SLICE("crm"), SLICE("tms"), SLICE("a/b")), "apis[2]: "},
        {"underscore", APIS(1, SLICE("mortgage_crm")), "apis[0]: "},
        {"twice", APIS(3, SLICE("crm"), SLICE("tms"), SLICE("crm")), "apis[2]: the same as apis[0]"},
        {"seventeen", APIS(17, SLICE("crm")), "apis: at most 16"},
    };
    (void)state;
    check(rows, sizeof(rows) / sizeof(*rows));
}

static void a_bad_name_is_named(void **state)
{
    struct credential_patch nothing = {0};
    struct fault fault;
    (void)state;
    assert_int_equal(credential_validate(SLICE("a/b"), SLICE("c"), &nothing, &fault), ERR_INVALID);
    assert_true(slice_starts(slice_from(fault.text), SLICE("tenant: ")));
    assert_int_equal(credential_validate(SLICE("a"), SLICE("c@"), &nothing, &fault), ERR_INVALID);
    assert_true(slice_starts(slice_from(fault.text), SLICE("credential_id: ")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_bounded_and_of_their_alphabet),
        cmocka_unit_test(texts_are_checked),
        cmocka_unit_test(apis_are_checked_one_by_one),
        cmocka_unit_test(a_bad_name_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
