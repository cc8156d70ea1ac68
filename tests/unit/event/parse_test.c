#include "event/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_text(const char *label, const char *what, struct slice got, const char *want)
{
    if (!slice_equal(got, slice_from(want)))
        fail_msg("%s: %s is \"%.*s\", not \"%s\"", label, what, SLICE_ARG(got), want);
}

static void reads_what_rollout_sends(void **state)
{
    struct event event;
    struct fault fault;
    (void)state;
    assert_int_equal(
        event_parse(
            &event,
            SLICE("{\"eventId\":\"0190-e1\",\"eventCreated\":\"2026-01-01T00:00:00+00:00\","
                  "\"event\":\"peopleTagsCreated\",\"resourceIds\":[\"0190-p1\",\"p\\u00e42\",17,-4],"
                  "\"uri\":\"https://crm.universal.rollout.com/people?ids=0190-p1\",\"more\":{\"a\":[1]}}"),
            &fault),
        0);
    assert_text("event", "id", event.id, "0190-e1");
    assert_text("event", "name", event.name, "peopleTagsCreated");
    assert_text("event", "entity", event.entity, "people");
    assert_text("event", "api", event.api, "crm");
    assert_int_equal(event.id_count, 4);
    assert_text("event", "ids[0]", event.ids[0], "0190-p1");
    assert_text("event", "ids[1]", event.ids[1],
                "p\xC3\xA4"
                "2");
    assert_text("event", "ids[2]", event.ids[2], "17");
    assert_text("event", "ids[3]", event.ids[3], "-4");
    event_deinit(&event);
    event_deinit(&event);
}

static void knows_the_entities(void **state)
{
    static const struct {
        const char *name, *entity;
    } rows[] = {
        {"peopleCreated", "people"},
        {"peopleUpdated", "people"},
        {"peopleDeleted", "people"},
        {"peopleTagsCreated", "people"},
        {"peopleStageUpdated", "people"},
        {"people", "people"},
        {"PEOPLEUPDATED", "people"},
        {"notesCreated", "notes"},
        {"tasksDeleted", "tasks"},
        {"callsCreated", "calls"},
        {"textMessagesUpdated", "textmessages"},
        {"text-messagesUpdated", "textmessages"},
        {"emailMessagesCreated", "emailmessages"},
        {"emailThreadsUpdated", "emailthreads"},
        {"email-threadsUpdated", "emailthreads"},
        {"eventsCreated", "events"},
        {"appointmentsCreated", "appointments"},
        {"appointmentTypesCreated", "appointmenttypes"},
        {"appointment-typesCreated", "appointmenttypes"},
        {"appointmentOutcomesUpdated", "appointmentoutcomes"},
        {"smart-listsUpdated", "smartlists"},
        {"smartListsUpdated", "smartlists"},
        {"listsUpdated", "lists"},
        {"customFieldsCreated", "customfields"},
        {"usersUpdated", "users"},
        {"teamsUpdated", "teams"},
        {"calendarsUpdated", "calendars"},
        {"calendarEventsUpdated", "calendarevents"},
        {"actionPlansCreated", "actionplans"},
        {"actionPlanPeopleCreated", "actionplanpeople"},
        {"transactionsUpdated", "transactions"},
        {"loansUpdated", "loans"},
        {"propertiesUpdated", "properties"},
        {"borrowersCreated", "borrowers"},
        /* Unknown ones: what stands before the verb. */
        {"dealsCreated", "deals"},
        {"pipeline-stagesUpdated", "pipelinestages"},
        {"dealsArchived", "dealsarchived"},
        {"azAZ09Created", "azaz09"},
        {"created", "created"},
        {"x", "x"},
        {"a.b:c_dDeleted", "a.b:c_d"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct event event;
        struct fault fault;
        char body[256];
        snprintf(body, sizeof body, "{\"eventId\":\"1\",\"event\":\"%s\"}", rows[i].name);
        assert_int_equal(event_parse(&event, slice_from(body), &fault), 0);
        assert_text(rows[i].name, "entity", event.entity, rows[i].entity);
        assert_text(rows[i].name, "name", event.name, rows[i].name);
        assert_int_equal(event.id_count, 0);
        event_deinit(&event);
    }
}

static void tells_the_api_by_the_host(void **state)
{
    static const struct {
        const char *uri, *api;
    } rows[] = {
        {"https://crm.universal.rollout.com/people?ids=1", "crm"},
        {"https://crm.universal.rollout.com/api/people?ids=1", "crm"},
        {"https://CRM.Universal.Rollout.COM/people", "crm"},
        {"https://mortgage-crm.universal.rollout.com/x", "mortgage-crm"},
        {"http://email.universal.rollout.com:8443/x", "email"},
        {"https://AZ-09az.universal.rollout.com/x", "az-09az"},
        {"https://an-api-with-a-name-of-32-letters.universal.rollout.com/x",
         "an-api-with-a-name-of-32-letters"},
        {"https://an-api-with-a-name-of-33-letterss.universal.rollout.com/x", ""},
        {"https://universal.rollout.com/api/credentials", "core"},
        {"https://a.b.universal.rollout.com/x", ""},
        {"https://crm.universal.rollout.com.evil.example/x", ""},
        {"https://evil.example/crm.universal.rollout.com", ""},
        {"https://crm.universal.rollout.com@evil.example/", ""},
        {"https://crmuniversal.rollout.com/x", ""},
        {"https://rollout.com/x", ""},
        {"https://an-api-with-a-name-longer-than-any.universal.rollout.com/x", ""},
        {"http://127.0.0.1:9000/people", ""},
        {"crm.universal.rollout.com/people", ""},
        {"/people", ""},
        {"", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct event event;
        struct fault fault;
        char body[256];
        snprintf(body, sizeof body, "{\"eventId\":\"1\",\"event\":\"e\",\"uri\":\"%s\"}", rows[i].uri);
        assert_int_equal(event_parse(&event, slice_from(body), &fault), 0);
        assert_text(rows[i].uri, "api", event.api, rows[i].api);
        event_deinit(&event);
    }
}

static void judges_bodies(void **state)
{
    static const struct {
        const char *body;
        int rc;
    } rows[] = {
        {"{\"eventId\":\"1\",\"event\":\"e\"}", 0},
        {"{\"eventId\":\"1\",\"event\":\"e\",\"resourceIds\":null,\"uri\":null}", 0},
        {"{\"eventId\":\"1\",\"event\":\"e\",\"resourceIds\":[],\"uri\":7}", 0},
        {" {\"eventId\":\"\\u00e4\",\"event\":\"e\"}\n", 0},
        {"", ERR_SYNTAX},
        {"{", ERR_SYNTAX},
        {"null", ERR_SYNTAX},
        {"[]", ERR_SYNTAX},
        {"\"x\"", ERR_SYNTAX},
        {"{}", ERR_SYNTAX},
        {"{\"eventId\":\"1\"}", ERR_SYNTAX},
        {"{\"event\":\"e\"}", ERR_SYNTAX},
        {"{\"eventId\":1,\"event\":\"e\"}", ERR_SYNTAX},
        {"{\"eventId\":\"\",\"event\":\"e\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":[\"e\"]}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"people Updated\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"people/Updated\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"people*\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"peopl\\u00e9\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\\n\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\\u0000\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\",\"resourceIds\":\"1\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\",\"resourceIds\":{\"0\":\"1\"}}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\",\"resourceIds\":[\"1\",null]}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\",\"resourceIds\":[\"\"]}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\",\"resourceIds\":[1.5]}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\",\"resourceIds\":[[\"1\"]]}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\",\"event\":\"f\"}", ERR_SYNTAX},
        {"{\"eventId\":\"1\",\"event\":\"e\"}x", ERR_SYNTAX},
        {"{\"eventId\":\"\xff\",\"event\":\"e\"}", ERR_SYNTAX},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct event event;
        struct fault fault = {.text = ""};
        int rc = event_parse(&event, slice_from(rows[i].body), &fault);
        if (rc != rows[i].rc)
            fail_msg("%s: %d (%s)", rows[i].body, rc, fault.text);
        assert_int_equal(fault.text[0] != '\0', rc != 0);
        event_deinit(&event);
    }
}

static int parse_sized(size_t id_len, size_t name_len, size_t items, size_t item_len)
{
    char filler[300];
    struct event event;
    struct fault fault;
    struct buf body;
    memset(filler, 'x', sizeof filler);
    buf_init(&body, 8 << 20);
    buf_append_format(&body, "{\"eventId\":\"%.*s\",\"event\":\"%.*s\",\"resourceIds\":[", (int)id_len,
                      filler, (int)name_len, filler);
    for (size_t i = 0; i < items; i++)
        buf_append_format(&body, "%s\"%.*s\"", i > 0 ? "," : "", (int)item_len, filler);
    buf_append_text(&body, "]}");
    assert_false(body.failed);
    int rc = event_parse(&event, buf_slice(&body), &fault);
    if (rc == 0) {
        assert_int_equal(event.id_count, items);
        assert_true(event.entity.len <= EVENT_ENTITY_MAX);
    }
    event_deinit(&event);
    buf_deinit(&body);
    return rc;
}

static void limits_are_kept(void **state)
{
    (void)state;
    assert_int_equal(parse_sized(EVENT_TEXT_MAX, EVENT_TEXT_MAX, 2, EVENT_TEXT_MAX), 0);
    assert_int_equal(parse_sized(EVENT_TEXT_MAX + 1, 5, 1, 1), ERR_LIMIT);
    assert_int_equal(parse_sized(5, EVENT_TEXT_MAX + 1, 1, 1), ERR_LIMIT);
    assert_int_equal(parse_sized(5, 5, 2, EVENT_TEXT_MAX + 1), ERR_LIMIT);
    assert_int_equal(parse_sized(5, 5, EVENT_IDS_MAX, 36), 0);
    assert_int_equal(parse_sized(5, 5, EVENT_IDS_MAX + 1, 1), ERR_LIMIT);
}

/* The event as it came, on one line; what Rollout says of tenants (nothing, so far) does not count. */
static void writes_whose_it_is(void **state)
{
    static const struct event_origin origin = {{"acme", 4}, {"cred-1", 6}, {"", 0}},
                                     foreign = {{"\xFF", 1}, {"c", 1}, {"", 0}};
    const char *expected = "{\"eventId\":\"e\",\"tenant\":\"acme\",\"event\":\"peopleUpdated\",\"more\":[1,2."
                           "5,{\"a\":\"b\\n\"}],"
                           "\"credential_id\":\"cred-1\",\"app_key\":\"\"}";
    char storage[256];
    struct event event;
    struct fault fault;
    struct buf out;
    (void)state;
    assert_int_equal(
        event_parse(&event,
                    SLICE("{ \"eventId\": \"e\",\n \"tenant\": \"other\", \"event\": \"peopleUpdated\","
                          " \"more\": [1, 2.5, {\"a\": \"b\\n\"}] }"),
                    &fault),
        0);
    buf_init_fixed(&out, storage, sizeof storage);
    assert_int_equal(event_write(&event, &foreign, &out), ERR_INVALID);
    assert_int_equal(out.len, 0);
    assert_int_equal(event_write(&event, &origin, &out), 0);
    assert_text("event", "text", buf_slice(&out), expected);
    buf_init_fixed(&out, storage, 16);
    assert_int_equal(event_write(&event, &origin, &out), ERR_LIMIT);
    event_deinit(&event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_rollout_sends),  cmocka_unit_test(knows_the_entities),
        cmocka_unit_test(tells_the_api_by_the_host), cmocka_unit_test(judges_bodies),
        cmocka_unit_test(limits_are_kept),           cmocka_unit_test(writes_whose_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
