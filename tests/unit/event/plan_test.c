#include "event/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct event_plan *plan_of(const struct event_want *wants, size_t count)
{
    const struct slice apis[] = {SLICE("core"), SLICE("crm"), SLICE("tms")};
    struct event_plan *plan;
    assert_int_equal(event_plan_create(apis, 3, wants, count, &plan), 0);
    assert_int_equal(plan->api_count, 3);
    return plan;
}

/* "peopleCreated:people …" of crm. */
static void put_plan(struct buf *out, const struct event_plan_api *api)
{
    for (size_t i = 0; i < api->event_count; i++)
        buf_append_format(out, "%.*s:%.*s ", SLICE_ARG(api->events[i].name),
                          SLICE_ARG(api->entities[api->events[i].entity]));
}

static void wants(void **state)
{
    (void)state;
    static const struct {
        struct event_want wants[3];
        size_t count;
        const char *want;
    } rows[] = {
        {{{SLICE("crm"), SLICE("peopleUpdated")}}, 1, "peopleUpdated:people "},
        {{{SLICE("crm"), SLICE("people*")}},
         1,
         "peopleCreated:people peopleUpdated:people peopleDeleted:people peopleTagsCreated:people "},
        {{{SLICE("crm"), SLICE("text-messages*")}},
         1,
         "textMessagesCreated:textmessages textMessagesUpdated:textmessages "
         "textMessagesDeleted:textmessages "},
        {{{SLICE("crm"), SLICE("PEOPLEcreated")}, {SLICE("crm"), SLICE("peopleC*")}},
         2,
         "PEOPLEcreated:people "},
        {{{SLICE("crm"), SLICE("widgets*")}},
         1,
         "widgetsCreated:widgets widgetsUpdated:widgets widgetsDeleted:widgets "},
        {{{SLICE("crm"), SLICE("smart-lists*")}},
         1,
         "smart-listsCreated:smartlists smart-listsUpdated:smartlists smart-listsDeleted:smartlists "},
        {{{SLICE("crm"), SLICE("wid*gets")}}, 1, ""},
        {{{SLICE("los"), SLICE("loans*")}}, 1, ""},
        {{{SLICE("crm"), SLICE("usersCreated")}, {SLICE("crm"), SLICE("usersCreated")}},
         2,
         "usersCreated:users "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct event_plan *plan = plan_of(rows[i].wants, rows[i].count);
        struct buf out;
        buf_init(&out, 65536);
        put_plan(&out, &plan->apis[1]);
        if (!slice_equal(buf_slice(&out), slice_from(rows[i].want)))
            fail_msg("row %zu: \"%.*s\"", i, SLICE_ARG(buf_slice(&out)));
        buf_deinit(&out);
        event_plan_release(plan);
    }
}

static void what_ships(void **state)
{
    (void)state;
    struct event_plan *plan = plan_of(NULL, 0);
    const struct event_plan_api *crm = &plan->apis[1];
    assert_int_equal(plan->apis[0].event_count, 0);
    assert_int_equal(crm->event_count, 37);
    assert_int_equal(crm->entity_count, 12);
    assert_int_equal(plan->apis[2].event_count, 12);
    assert_true(event_plan_find(crm, SLICE("text-MESSAGESupdated")) >= 0);
    assert_int_equal(event_plan_find(crm, SLICE("smartListsUpdated")), -1);
    assert_int_equal(event_plan_entity(crm, SLICE("people")), 0);
    assert_int_equal(event_plan_entity(crm, SLICE("webhooks")), -1);
    event_plan_release(event_plan_retain(plan));
    event_plan_release(plan);
}

static void versions(void **state)
{
    (void)state;
    const struct event_want one = {SLICE("crm"), SLICE("people*")}, other = {SLICE("crm"), SLICE("notes*")};
    struct event_plan *a = plan_of(&one, 1), *b = plan_of(&one, 1), *c = plan_of(&other, 1);
    assert_true(a->apis[1].version == b->apis[1].version);
    assert_true(a->apis[1].version != c->apis[1].version);
    assert_true(a->apis[2].version == c->apis[2].version);
    assert_true(a->apis[1].version != a->apis[2].version);
    event_plan_release(a);
    event_plan_release(b);
    event_plan_release(c);
}

static void too_many(void **state)
{
    (void)state;
    static char names[EVENT_PLAN_ENTITIES + 1][16];
    struct event_want many[EVENT_PLAN_ENTITIES + 1];
    const struct slice api = SLICE("crm");
    struct event_plan *plan;
    for (size_t i = 0; i <= EVENT_PLAN_ENTITIES; i++) {
        snprintf(names[i], sizeof names[i], "w%zuCreated", i);
        many[i] = (struct event_want){api, slice_from(names[i])};
    }
    assert_int_equal(event_plan_create(&api, 1, many, EVENT_PLAN_ENTITIES, &plan), 0);
    event_plan_release(plan);
    assert_int_equal(event_plan_create(&api, 1, many, EVENT_PLAN_ENTITIES + 1, &plan), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wants),
        cmocka_unit_test(what_ships),
        cmocka_unit_test(versions),
        cmocka_unit_test(too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
