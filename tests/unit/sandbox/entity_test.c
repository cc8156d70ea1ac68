/* The table: complete, consistent with itself, and as the documentation tells. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/sandbox_internal.h"

static const struct sandbox_entity *entity(const char *api, const char *path)
{
    return sandbox_entity_find(sandbox_api_find(slice_from(api)), slice_from(path));
}

static void collections_are_named_as_documented(void **state)
{
    static const struct {
        const char *api, *path, *collection;
    } rows[] = {
        {"crm", "people", "people"},
        {"crm", "textMessages", "textmessages"},
        {"crm", "emailMessages", "emailmessages"},
        {"crm", "customFields", "customfields"},
        {"crm", "smart-lists", "smart-lists"},
        {"crm", "appointment-types", "appointment-types"},
        {"crm", "webhooks", "webhooks"},
        {"email", "email-threads", "email-threads"},
        {"email", "emailMessages", "emailmessages"},
        {"calendar", "calendarEvents", "calendarEvents"},
        {"tms", "transactions", "transactions"},
        {"los", "loans", "loans"},
        {"los", "borrowers", "borrowers"},
        {"mortgage-crm", "people", "people"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct sandbox_entity *found = entity(rows[i].api, rows[i].path);
        assert_non_null(found);
        assert_string_equal(found->collection, rows[i].collection);
    }
    assert_null(entity("crm", "textmessages"));
    assert_null(entity("crm", "loans"));
    assert_null(entity("core", "people"));
    assert_null(entity("", "people"));
}

static void every_api_has_webhooks_and_no_path_twice(void **state)
{
    (void)state;
    for (unsigned api = SANDBOX_CRM; api < SANDBOX_API_COUNT; api++) {
        const struct sandbox_entity *hooks = sandbox_entity_find((enum sandbox_api)api, SLICE("webhooks"));
        assert_non_null(hooks);
        assert_false(hooks->flags & SANDBOX_CAN_GET);
    }
    for (size_t i = 0; i < sandbox_entity_count; i++) {
        const struct sandbox_entity *row = &sandbox_entities[i];
        assert_ptr_equal(sandbox_entity_find(row->api, slice_from(row->path)), row);
        assert_int_equal(sandbox_entity_index(row), i);
    }
}

/* A required reference must have something to refer to, or no example could be made. */
static void fields_are_well_formed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sandbox_entity_count; i++) {
        const char *rest = sandbox_entities[i].fields;
        struct sandbox_spec spec;
        size_t count = 0;
        while (sandbox_spec_next(&rest, &spec)) {
            count++;
            assert_true(spec.name.len > 0);
            if (spec.kind == '=' || spec.kind == '~' || spec.kind == '@')
                assert_true(spec.detail.len > 0);
            else
                assert_int_equal(spec.detail.len, 0);
            if (spec.kind == '@' && spec.required)
                assert_non_null(sandbox_entity_find(sandbox_entities[i].api, spec.detail));
        }
        assert_true(count > 0);
    }
}

/* What POST cannot do without (rollout-facts 4.3). */
static void required_fields_are_the_documented_ones(void **state)
{
    static const struct {
        const char *api, *path, *required;
    } rows[] = {
        {"crm", "people", "firstName lastName "},
        {"crm", "notes", "personId "},
        {"crm", "calls", "personId phone isIncoming "},
        {"crm", "textMessages", "personId message isIncoming "},
        {"crm", "events", ""},
        {"crm", "appointments", "personId appointmentTypeId title location "},
        {"crm", "appointment-outcomes", "name orderWeight "},
        {"crm", "emailMessages", "subject body sender recipients "},
        {"crm", "users", "email firstName lastName phone role status username type address "},
        {"crm", "teams", "name "},
        {"crm", "lists", ""},
        {"crm", "smart-lists", "name conditions "},
        {"crm", "customFields", "type label name "},
        {"email", "email-threads", "subject "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *rest = entity(rows[i].api, rows[i].path)->fields;
        char text[256];
        struct buf buf;
        struct sandbox_spec spec;
        buf_init_fixed(&buf, text, sizeof text - 1);
        while (sandbox_spec_next(&rest, &spec)) {
            if (!spec.required)
                continue;
            buf_append_slice(&buf, spec.name);
            buf_append_char(&buf, ' ');
        }
        text[buf.len] = '\0';
        assert_string_equal(text, rows[i].required);
    }
}

static void checks_find_what_is_wrong(void **state)
{
    static const struct {
        const char *path, *value;
        bool partial;
        size_t errors;
        const char *first;
    } rows[] = {
        {"people", "{}", false, 2, "/firstName"},
        {"people", "{}", true, 0, NULL},
        {"people", "{\"firstName\":\"A\",\"lastName\":\"B\"}", false, 0, NULL},
        {"people", "{\"firstName\":null,\"lastName\":\"B\"}", false, 1, "/firstName"},
        {"people", "{\"firstName\":1}", true, 1, "/firstName"},
        {"people", "{\"tags\":\"x\"}", true, 1, "/tags"},
        {"people", "{\"tags\":null}", true, 0, NULL},
        {"people", "{\"averageBeds\":\"2\"}", true, 1, "/averageBeds"},
        {"people", "{\"communicationsConsent\":[]}", true, 1, "/communicationsConsent"},
        {"people", "{\"unknown\":1}", true, 0, NULL},
        {"calls", "{\"personId\":\"1\",\"phone\":\"2\",\"isIncoming\":\"no\"}", false, 1, "/isIncoming"},
        {"customFields", "{\"type\":\"text\",\"label\":\"a\",\"name\":\"b\"}", false, 0, NULL},
        {"customFields", "{\"type\":\"texts\",\"label\":\"a\",\"name\":\"b\"}", false, 1, "/type"},
        {"customFields", "{\"type\":\"tex\",\"label\":\"a\",\"name\":\"b\"}", false, 1, "/type"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *value = json_loads(rows[i].value, 0, NULL);
        json_t *errors = sandbox_entity_check(entity("crm", rows[i].path), value, rows[i].partial);
        assert_int_equal(json_array_size(errors), rows[i].errors);
        if (rows[i].first)
            assert_string_equal(json_string_value(json_object_get(json_array_get(errors, 0), "path")),
                                rows[i].first);
        json_decref(errors);
        json_decref(value);
    }
}

static void only_known_fields_are_kept(void **state)
{
    (void)state;
    json_t *value = json_loads("{\"id\":\"mine\",\"subject\":\"s\",\"evil\":1,\"created\":\"x\"}", 0, NULL);
    json_t *picked = sandbox_entity_pick(entity("crm", "notes"), value);
    assert_int_equal(json_object_size(picked), 1);
    assert_string_equal(json_string_value(json_object_get(picked, "subject")), "s");
    json_decref(picked);
    json_decref(value);
}

static void events_are_named_after_the_path(void **state)
{
    static const struct {
        const char *api, *asked, *canonical;
    } rows[] = {
        {"crm", "peopleUpdated", "peopleUpdated"},
        {"crm", "peopleTagsCreated", "peopleTagsCreated"},
        {"crm", "notesTagsCreated", NULL},
        {"crm", "smartListsDeleted", "smartListsDeleted"},
        {"crm", "smart-listsDeleted", "smartListsDeleted"},
        {"crm", "textmessagesCreated", "textMessagesCreated"},
        {"crm", "webhooksCreated", NULL},
        {"crm", "loansCreated", NULL},
        {"los", "loansCreated", "loansCreated"},
        {"email", "emailThreadsCreated", "emailThreadsCreated"},
        {"crm", "people", NULL},
        {"crm", "", NULL},
        {"core", "peopleUpdated", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[64] = "";
        struct buf buf;
        buf_init_fixed(&buf, text, sizeof text - 1);
        bool known =
            sandbox_event_known(sandbox_api_find(slice_from(rows[i].api)), slice_from(rows[i].asked), &buf);
        assert_int_equal(known, rows[i].canonical != NULL);
        text[buf.len] = '\0';
        if (rows[i].canonical)
            assert_string_equal(text, rows[i].canonical);
    }
}

static void api_lists_become_masks(void **state)
{
    (void)state;
    assert_int_equal(sandbox_api_mask(SLICE("crm")), 1 << SANDBOX_CRM);
    assert_int_equal(sandbox_api_mask(SLICE("email, calendar,nope")),
                     1 << SANDBOX_EMAIL | 1 << SANDBOX_CALENDAR);
    assert_int_equal(sandbox_api_mask(SLICE("")), 0);
    for (const struct sandbox_account *account = sandbox_accounts; account->tenant; account++) {
        assert_non_null(account->credential_id);
        assert_true(sandbox_api_mask(slice_from(account->apis)) != 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collections_are_named_as_documented),
        cmocka_unit_test(every_api_has_webhooks_and_no_path_twice),
        cmocka_unit_test(fields_are_well_formed),
        cmocka_unit_test(required_fields_are_the_documented_ones),
        cmocka_unit_test(checks_find_what_is_wrong),
        cmocka_unit_test(only_known_fields_are_kept),
        cmocka_unit_test(events_are_named_after_the_path),
        cmocka_unit_test(api_lists_become_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
