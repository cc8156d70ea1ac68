/* X-Fanout: what it may say, and whom it names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pipeline/fanout.h"

static bool read_value(const char *value, struct fanout_names *names)
{
    struct http_field at = {SLICE("X-Fanout"), slice_from(value), FIELD_X_FANOUT};
    struct http_fields fields = {&at, 1};
    const char *why = NULL;
    bool good = fanout_read(&fields, names, &why);
    assert_true(good || why);
    return good;
}

static void values(void **state)
{
    static const struct {
        const char *value;
        int count; /* -1: malformed; 0: all */
        const char *first, *cursor;
    } rows[] = {
        {"all", 0, "", ""},
        {" All ", 0, "", ""},
        {"lofty", 1, "lofty", ""},
        {"Follow Up Boss", 1, "Follow Up Boss", ""},
        {"0197d000-910b:x_~.", 1, "0197d000-910b:x_~.", ""},
        {"lofty, sisu ,,brivity", 3, "lofty", ""},
        {"lofty;next=MS4x", 1, "lofty", "MS4x"},
        {"lofty ; NEXT=a%2Fb%00, sisu;next=-._~", 2, "lofty", "a%2Fb%00"},
        {"", -1, NULL, NULL},
        {" , ", -1, NULL, NULL},
        {"all, lofty", -1, NULL, NULL},
        {"all;next=x", -1, NULL, NULL},
        {"lofty;", -1, NULL, NULL},
        {"lofty;next", -1, NULL, NULL},
        {"lofty;next=", -1, NULL, NULL},
        {"lofty;next=a b", -1, NULL, NULL},
        {"lofty;next=a&b", -1, NULL, NULL},
        {"lofty;next=a#b", -1, NULL, NULL},
        {"lofty;next=%", -1, NULL, NULL},
        {"lofty;next=%2", -1, NULL, NULL},
        {"lofty;next=%zz", -1, NULL, NULL},
        {"lofty;next=a;next=b", -1, NULL, NULL},
        {"lofty;q=1", -1, NULL, NULL},
        {";next=a", -1, NULL, NULL},
        {"\"lofty\"", -1, NULL, NULL},
        {"lofty=1", -1, NULL, NULL},
        {"l\xC3\xB6", -1, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fanout_names names;
        bool good = read_value(rows[i].value, &names);
        if (good != (rows[i].count >= 0))
            print_error("row %zu: %s\n", i, rows[i].value);
        assert_int_equal(good, rows[i].count >= 0);
        if (!good)
            continue;
        assert_int_equal(names.all, rows[i].count == 0);
        if (names.all)
            continue;
        assert_int_equal(names.count, rows[i].count);
        assert_true(slice_equal(names.at[0].name, slice_from(rows[i].first)));
        assert_true(slice_equal(names.at[0].cursor, slice_from(rows[i].cursor)));
    }
}

static void bounds(void **state)
{
    struct fanout_names names;
    struct buf text;
    (void)state;
    buf_init(&text, 64 * 1024);
    for (int i = 0; i < 64; i++)
        buf_append_format(&text, "name-%d,", i);
    buf_append_char(&text, '\0');
    assert_true(read_value(text.ptr, &names));
    assert_int_equal(names.count, 64);
    text.len--;
    buf_append_format(&text, "one-more%c", '\0');
    assert_false(read_value(text.ptr, &names));
    for (size_t len = 2047; len <= 2049; len++) {
        buf_reset(&text);
        buf_append_text(&text, "a;next=");
        for (size_t i = 0; i < len; i++)
            buf_append_char(&text, 'c');
        buf_append_char(&text, '\0');
        assert_int_equal(read_value(text.ptr, &names), len <= 2048);
    }
    for (size_t len = 128; len <= 129; len++) {
        buf_reset(&text);
        for (size_t i = 0; i < len; i++)
            buf_append_char(&text, 'n');
        buf_append_char(&text, '\0');
        assert_int_equal(read_value(text.ptr, &names), len <= 128);
    }
    buf_deinit(&text);
}

static void whom_it_names(void **state)
{
    struct credential credential = {
        .id = SLICE("cred-1"), .app_key = SLICE("follow-up-boss"), .api_count = 1};
    credential.apis[0] = SLICE("crm");
    static const struct {
        const char *name, *api;
        bool named;
    } rows[] = {
        {"followupboss", "crm", true}, {"Follow_Up.Boss", "crm", true}, {"cred-1", "crm", true},
        {"CRED-1", "crm", false},      {"cred1", "crm", false},         {"followupboss", "tms", false},
        {"cred-1", "tms", false},      {"---", "crm", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fanout_name name = {slice_from(rows[i].name), SLICE("")};
        assert_int_equal(fanout_names(&name, &credential, slice_from(rows[i].api)), rows[i].named);
    }
    credential.status = CREDENTIAL_GONE;
    assert_false(fanout_names(&(struct fanout_name){SLICE("cred-1"), SLICE("")}, &credential, SLICE("crm")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(bounds),
        cmocka_unit_test(whom_it_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
