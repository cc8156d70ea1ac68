#include "event/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* What was touched, each followed by a space. */
static void on_touch(struct slice entity, void *arg)
{
    struct buf *out = arg;
    buf_append_slice(out, entity);
    buf_append_char(out, ' ');
}

static void assert_touches(const struct event_rule *rules, size_t count, const char *api, const char *name,
                           const char *want)
{
    struct buf out;
    buf_init(&out, 4096);
    event_dependants(rules, count, slice_from(api), slice_from(name), on_touch, &out);
    if (!slice_equal(buf_slice(&out), slice_from(want)))
        fail_msg("%s %s: \"%.*s\", not \"%s\"", api, name, SLICE_ARG(buf_slice(&out)), want);
    buf_deinit(&out);
}

static void the_default_table(void **state)
{
    static const struct {
        const char *name, *stale;
    } rows[] = {
        {"peopleUpdated", "smartlists lists "},
        {"peopleTagsCreated", "peopletags smartlists lists "},
        {"peopleDeleted", "smartlists lists notes tasks calls textmessages emailmessages events appointments "
                          "actionplanpeople "},
        {"notesCreated", "people smartlists "},
        {"callsUpdated", "people smartlists "},
        {"textMessagesDeleted", "people smartlists "},
        {"text-messagesDeleted", "people smartlists "},
        {"emailMessagesCreated", "people smartlists emailthreads "},
        {"appointmentsCreated", "people smartlists "},
        {"tasksUpdated", "people smartlists "},
        {"eventsCreated", "people smartlists "},
        {"emailThreadsUpdated", "emailmessages "},
        {"listsUpdated", "people "},
        {"smartListsUpdated", ""},
        {"actionPlansUpdated", "people actionplanpeople "},
        {"actionPlanPeopleCreated", "people actionplans "},
        {"appointmentTypesUpdated", "appointments "},
        {"appointmentOutcomesUpdated", "appointments "},
        {"calendarsDeleted", "calendarevents "},
        {"calendarEventsCreated", ""},
        {"loansCreated", "borrowers properties "},
        {"borrowersUpdated", "loans "},
        {"propertiesCreated", "loans "},
        {"usersUpdated", ""},
        {"transactionsUpdated", ""},
        {"somethingElseCreated", ""},
        {"", ""},
    };
    size_t count;
    (void)state;
    const struct event_rule *rules = event_default_rules(&count);
    assert_true(count > 10);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_touches(rules, count, "", rows[i].name, rows[i].stale);
        assert_touches(rules, count, "crm", rows[i].name, rows[i].stale);
    }
}

/* The table's names are normalised, and within the array. */
static void the_default_table_is_well_made(void **state)
{
    size_t count;
    (void)state;
    const struct event_rule *rules = event_default_rules(&count);
    for (size_t i = 0; i < count; i++) {
        struct buf out;
        buf_init(&out, 4096);
        assert_true(rules[i].stale_count >= 1 && rules[i].stale_count <= 8);
        for (size_t j = 0; j < rules[i].stale_count; j++) {
            buf_reset(&out);
            assert_int_equal(event_normalise(&out, rules[i].stale[j]), 0);
            assert_true(slice_equal(buf_slice(&out), rules[i].stale[j]) && out.len > 0);
        }
        buf_reset(&out);
        assert_int_equal(event_normalise(&out, rules[i].pattern), 0);
        assert_true(slice_equal(buf_slice(&out), rules[i].pattern));
        buf_deinit(&out);
    }
}

static void rules_of_the_configuration(void **state)
{
    static char long_text[EVENT_TEXT_MAX + 1];
    memset(long_text, 'a', sizeof long_text);
    const struct event_rule rules[] = {
        {SLICE("crm"),
         SLICE("notes*"),
         {SLICE("people"), SLICE("people"), SLICE("notes"), SLICE("Smart-Lists")},
         4},
        {SLICE("los"), SLICE("*created"), {SLICE("loans"), SLICE("smart-lists"), SLICE("smartLists")}, 3},
        {SLICE(""), SLICE("Text-Messages*Updated"), {SLICE("")}, 1},
        {SLICE(""), SLICE("text-MESSAGES*"), {SLICE("people")}, 1},
        {SLICE(""), SLICE("usersdeleted"), {SLICE("teams")}, 1},
        {SLICE(""), {long_text, sizeof long_text}, {SLICE("never")}, 1},
        {SLICE(""), SLICE("deals*"), {{long_text, sizeof long_text}, SLICE("people"), SLICE("deals")}, 3},
    };
    static const struct {
        const char *api, *name, *stale;
    } rows[] = {
        {"crm", "notesCreated", "people smartlists "},
        {"los", "notesCreated", "loans smartlists "},
        {"", "notesCreated", "people smartlists loans smartlists "},
        {"CRM", "notesCreated", ""},
        {"crm", "textMessagesUpdated", "people "},
        {"crm", "usersDeleted", "teams "},
        {"crm", "usersUpdated", ""},
        {"los", "loansCreated", "smartlists "},
        {"los", "peopleRelationshipsCreated", "peoplerelationships loans smartlists "},
        {"crm", "dealsUpdated", "people "},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_touches(rules, sizeof rules / sizeof rules[0], rows[i].api, rows[i].name, rows[i].stale);
    struct buf out;
    buf_init(&out, 4096);
    event_dependants(rules, 5, SLICE(""), slice_of(long_text, sizeof long_text), on_touch, &out);
    assert_int_equal(out.len, 0);
    buf_deinit(&out);
}

static void normalises(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"people", "people"},
        {"textMessages", "textmessages"},
        {"smart-lists", "smartlists"},
        {"---", ""},
        {"-A-", "a"},
        {"\xC3\x84", "\xC3\x84"},
        {"a_b.c", "a_b.c"},
        {"[@Z`{", "[@z`{"},
    };
    char storage[2];
    struct buf out;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_init(&out, 100);
        buf_append_char(&out, '>');
        assert_int_equal(event_normalise(&out, slice_from(rows[i].text)), 0);
        assert_true(slice_equal(slice_skip(buf_slice(&out), 1), slice_from(rows[i].want)));
        buf_deinit(&out);
    }
    buf_init_fixed(&out, storage, sizeof storage);
    assert_int_equal(event_normalise(&out, SLICE("abc")), ERR_LIMIT);
    assert_int_equal(out.len, 0);
    buf_init(&out, 10);
    assert_int_equal(event_normalise(&out, slice_of(NULL, 0)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_table),
        cmocka_unit_test(the_default_table_is_well_made),
        cmocka_unit_test(rules_of_the_configuration),
        cmocka_unit_test(normalises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
