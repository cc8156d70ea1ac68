/* Examples: the same on every run, passable as a POST, and different for each tenant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/sandbox_internal.h"

static struct sandbox_credential acme = {
    .id = "c-acme", .app_key = "followupboss", .mark = "Acme", .tenant = "acme"};
static struct sandbox_credential globex = {
    .id = "c-globex", .app_key = "lofty", .mark = "Globex", .tenant = "globex"};

static void every_example_is_valid_and_repeatable(void **state)
{
    (void)state;
    for (size_t i = 0; i < sandbox_entity_count; i++) {
        const struct sandbox_entity *entity = &sandbox_entities[i];
        unsigned count = sandbox_seed_count(entity, 10);
        for (unsigned n = 0; n < count; n++) {
            json_t *one = sandbox_seed(&acme, entity, 10, n), *again = sandbox_seed(&acme, entity, 10, n);
            json_t *errors = sandbox_entity_check(entity, one, (entity->flags & SANDBOX_HIDDEN) != 0);
            assert_true(json_equal(one, again));
            if (json_array_size(errors) > 0)
                fail_msg("%s: %s", entity->path,
                         json_string_value(json_object_get(json_array_get(errors, 0), "path")));
            assert_true(json_is_string(json_object_get(one, "rolloutUpdated")));
            json_decref(errors);
            json_decref(again);
            json_decref(one);
        }
    }
}

static void people_tell_their_tenant(void **state)
{
    const struct sandbox_entity *people = sandbox_entity_find(SANDBOX_CRM, SLICE("people"));
    json_t *ours = sandbox_seed(&acme, people, 10, 0), *theirs = sandbox_seed(&globex, people, 10, 0);
    (void)state;
    assert_string_equal(json_string_value(json_object_get(ours, "name")), "Ada Acme-1");
    assert_string_equal(json_string_value(json_object_get(theirs, "name")), "Ada Globex-1");
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(json_object_get(ours, "emails"), 0), "value")),
        "ada.1@acme.example");
    assert_string_not_equal(json_string_value(json_object_get(ours, "id")),
                            json_string_value(json_object_get(theirs, "id")));
    json_decref(ours);
    json_decref(theirs);
}

static void ids_are_uuids_in_order(void **state)
{
    const struct sandbox_entity *people = sandbox_entity_find(SANDBOX_CRM, SLICE("people"));
    char last[SANDBOX_ID_SIZE] = "", id[SANDBOX_ID_SIZE];
    (void)state;
    for (unsigned n = 0; n < 100; n++) {
        sandbox_seed_id("c", people, n, id);
        assert_int_equal(strlen(id), 36);
        assert_true(id[8] == '-' && id[13] == '-' && id[14] == '7' && id[18] == '-' && id[23] == '-');
        assert_non_null(strchr("89ab", id[19]));
        assert_true(strcmp(last, id) < 0);
        memcpy(last, id, sizeof last);
    }
    sandbox_fresh_id(id);
    assert_int_equal(strlen(id), 36);
    assert_int_equal(id[14], '7');
    sandbox_fresh_id(last);
    assert_string_not_equal(last, id);
}

static void notes_name_people_that_are_there(void **state)
{
    const struct sandbox_entity *people = sandbox_entity_find(SANDBOX_CRM, SLICE("people"));
    const struct sandbox_entity *notes = sandbox_entity_find(SANDBOX_CRM, SLICE("notes"));
    char id[SANDBOX_ID_SIZE];
    json_t *note = sandbox_seed(&acme, notes, 3, 4);
    (void)state;
    sandbox_seed_id(acme.id, people, 4 % 3, id);
    assert_string_equal(json_string_value(json_object_get(note, "personId")), id);
    json_decref(note);
    assert_int_equal(sandbox_seed_count(notes, 0), 0);
    assert_int_equal(sandbox_seed_count(people, 7), 7);
}

static void times_are_written_right(void **state)
{
    static const struct {
        int64_t ms;
        bool fraction;
        const char *text;
    } rows[] = {
        {0, true, "1970-01-01T00:00:00.000Z"},
        {951782400000, true, "2000-02-29T00:00:00.000Z"},
        {951868800000 - 1, true, "2000-02-29T23:59:59.999Z"},
        {1767225600000, false, "2026-01-01T00:00:00+00:00"},
        {4107542400000, true, "2100-03-01T00:00:00.000Z"},
        {4107542400000 - 1, false, "2100-02-28T23:59:59+00:00"},
        {-5, true, "1970-01-01T00:00:00.000Z"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[SANDBOX_TIME_SIZE];
        sandbox_format_time(rows[i].ms, rows[i].fraction, text);
        assert_string_equal(text, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_example_is_valid_and_repeatable),
        cmocka_unit_test(people_tell_their_tenant),
        cmocka_unit_test(ids_are_uuids_in_order),
        cmocka_unit_test(notes_name_people_that_are_there),
        cmocka_unit_test(times_are_written_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
