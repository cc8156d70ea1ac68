/* Cursors and filters: the pure parts of a list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/digest.h"
#include "sandbox/sandbox_internal.h"

static void cursors_come_back(void **state)
{
    static const struct {
        uint64_t after;
        size_t offset;
    } rows[] = {{0, 0}, {1, 1}, {50, 50}, {18446744073709551615ULL, 1000000}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[64];
        struct buf buf;
        struct sandbox_page page = {0};
        buf_init_fixed(&buf, text, sizeof text);
        sandbox_cursor_write(&buf, rows[i].after, rows[i].offset);
        assert_false(buf.failed);
        assert_int_equal(sandbox_cursor_read(buf_slice(&buf), &page), 0);
        assert_true(page.cursor);
        assert_true(page.after == rows[i].after);
        assert_int_equal(page.offset, rows[i].offset);
    }
}

static void foreign_cursors_are_refused(void **state)
{
    static const char *const plain[] = {
        "", "1", "1.", ".1", "1.x", "-1.2", "1.2.3", "1.1000001", "99999999999999999999999.1"};
    struct sandbox_page page = {0};
    (void)state;
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        char text[128];
        struct buf buf;
        buf_init_fixed(&buf, text, sizeof text);
        digest_base64url(&buf, plain[i], strlen(plain[i]));
        assert_int_equal(sandbox_cursor_read(buf_slice(&buf), &page), ERR_SYNTAX);
    }
    assert_int_equal(sandbox_cursor_read(SLICE("not base64!"), &page), ERR_SYNTAX);
    assert_int_equal(
        sandbox_cursor_read(SLICE("MS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4xMS4x"
                                  "MS4xMS4xMS4xMS4x"),
                            &page),
        ERR_SYNTAX);
    assert_false(page.cursor);
}

static const char person[] =
    "{\"id\":\"p1\",\"emails\":[{\"value\":\"Ada@acme.example\"},{\"value\":\"b@acme.example\"},{}],"
    "\"phones\":[{\"value\":\"+15550001\"}],\"tags\":[\"Buyer\",\"Past Client\",3]}";

static void filters_pass_what_fits(void **state)
{
    static const struct {
        const char *query;
        bool passes;
    } rows[] = {
        {"", true},
        {"limit=3&unknown=x", true},
        {"ids=p1", true},
        {"ids=p0,p1,p2", true},
        {"ids=p0,%20p1", true},
        {"ids=p0", false},
        {"ids=p", false},
        {"ids=p10", false},
        {"ids=", false},
        {"email=Ada@acme.example", true},
        {"email=Ada%40acme.example", true},
        {"email=b@acme.example", true},
        {"email=ada@acme.example", false}, /* case-sensitive */
        {"email=Ada", false},
        {"email=%zz", false},
        {"phone=%2B15550001", true},
        {"phone=+15550001", true}, /* an unescaped plus */
        {"phone=15550001", false},
        {"tags=Buyer", true},
        {"tags=Seller,Buyer", true},
        {"tags=Past+Client", true},
        {"tags=Past%20Client", true},
        {"tags=buyer", false},
        {"tags=Past", false},
        {"tags=Buyer&email=b@acme.example", true},
        {"tags=Buyer&email=c@acme.example", false},
        {"personId=p9", true}, /* people have no personId: not a filter of theirs */
    };
    const struct sandbox_entity *people = sandbox_entity_find(SANDBOX_CRM, SLICE("people"));
    json_t *record = json_loads(person, 0, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (sandbox_filter(people, record, slice_from(rows[i].query)) != rows[i].passes)
            fail_msg("%s", rows[i].query);
    }
    json_decref(record);
}

static void filters_of_one_entity_are_not_those_of_another(void **state)
{
    static const struct {
        const char *path, *query;
        bool passes;
    } rows[] = {
        {"notes", "personId=p1", true},
        {"notes", "personId=p2", false},
        {"notes", "email=x@y", true},
        {"notes", "tags=none", true},
        {"notes", "ids=n1", true},
        {"users", "email=u@acme.example", true},
        {"users", "email=v@acme.example", false},
        {"users", "personId=p2", true},
    };
    json_t *record = json_loads("{\"id\":\"n1\",\"personId\":\"p1\",\"email\":\"u@acme.example\"}", 0, NULL);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sandbox_entity *entity = sandbox_entity_find(SANDBOX_CRM, slice_from(rows[i].path));
        if (sandbox_filter(entity, record, slice_from(rows[i].query)) != rows[i].passes)
            fail_msg("%s?%s", rows[i].path, rows[i].query);
    }
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cursors_come_back),
        cmocka_unit_test(foreign_cursors_are_refused),
        cmocka_unit_test(filters_pass_what_fits),
        cmocka_unit_test(filters_of_one_entity_are_not_those_of_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
