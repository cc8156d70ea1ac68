#include "event/event_internal.h"

/* --- names -------------------------------------------------------------------------------------------- */

/* The entities of all APIs (rollout-facts 4.3), normalised. Others work as well, by the stem of the event's
 * name. */
static const char *const entities[] = {
    "people",
    "notes",
    "tasks",
    "calls",
    "textmessages",
    "events",
    "appointments",
    "appointmenttypes",
    "appointmentoutcomes",
    "emailmessages",
    "emailthreads",
    "users",
    "teams",
    "offices",
    "lists",
    "smartlists",
    "customfields",
    "documents",
    "sources",
    "timeframes",
    "actionplans",
    "actionplanpeople",
    "webhooks",
    "calendars",
    "calendarevents",
    "transactions",
    "loans",
    "properties",
    "borrowers",
    "credentials",
    "connectors",
};

struct slice event_normalise_into(char *out, struct slice text)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c != '-')
            out[len++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return slice_of(out, len);
}

int event_normalise(struct buf *out, struct slice name)
{
    int rc = buf_reserve(out, name.len);
    if (rc == 0 && name.len > 0)
        buf_grow(out, event_normalise_into(out->ptr + out->len, name).len);
    return rc;
}

struct slice event_stem(struct slice name)
{
    static const struct slice verbs[] = {{"created", 7}, {"updated", 7}, {"deleted", 7}};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        size_t len = verbs[i].len;
        if (name.len > len && slice_equal(slice_skip(name, name.len - len), verbs[i]))
            return slice_of(name.ptr, name.len - len);
    }
    return name;
}

struct slice event_entity_of(struct slice name)
{
    size_t longest = 0;
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++) {
        struct slice entity = slice_from(entities[i]);
        if (entity.len > longest && slice_starts(name, entity))
            longest = entity.len;
    }
    return longest > 0 ? slice_of(name.ptr, longest) : event_stem(name);
}

/* --- the default table -------------------------------------------------------------------------------- */

#define NAME(text)                                                                                           \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }
#define ANY                                                                                                  \
    {                                                                                                        \
        "", 0                                                                                                \
    }

/* clang-format off */
static const struct event_rule default_rules[] = {
    /* A contact made, merged or retagged enters or leaves lists that are defined by conditions, and a deleted one leaves the
     * plain lists' participants. (peopleTagsCreated begins with "people": it is the people's own event.) */
    {ANY, NAME("people*"), {NAME("smartlists"), NAME("lists")}, 2},
    /* What hangs on a person goes with it, or moves when two are merged into one. */
    {ANY, NAME("people*deleted"),
     {NAME("notes"), NAME("tasks"), NAME("calls"), NAME("textmessages"), NAME("emailmessages"), NAME("events"),
      NAME("appointments"), NAME("actionplanpeople")}, 8},
    /* Each of these moves the person's lastActivity and lastActivityType, and conditions of smart lists look at those. */
    {ANY, NAME("notes*"), {NAME("people"), NAME("smartlists")}, 2},
    {ANY, NAME("calls*"), {NAME("people"), NAME("smartlists")}, 2},
    {ANY, NAME("textmessages*"), {NAME("people"), NAME("smartlists")}, 2},
    {ANY, NAME("appointments*"), {NAME("people"), NAME("smartlists")}, 2},
    {ANY, NAME("tasks*"), {NAME("people"), NAME("smartlists")}, 2},
    {ANY, NAME("events*"), {NAME("people"), NAME("smartlists")}, 2},
    /* … and a message moves its thread's lastMessageAt (POST with threadId answers in the thread). */
    {ANY, NAME("emailmessages*"), {NAME("people"), NAME("smartlists"), NAME("emailthreads")}, 3},
    {ANY, NAME("emailthreads*"), {NAME("emailmessages")}, 1},
    /* Membership is written through the list (lists/{id}/people) and may show on the person. */
    {ANY, NAME("lists*"), {NAME("people")}, 1},
    {ANY, NAME("actionplan*"), {NAME("people"), NAME("actionplans"), NAME("actionplanpeople")}, 3},
    /* Appointments carry the names of their type and outcome. */
    {ANY, NAME("appointmenttypes*"), {NAME("appointments")}, 1},
    {ANY, NAME("appointmentoutcomes*"), {NAME("appointments")}, 1},
    /* A calendar's events come and go with it. */
    {ANY, NAME("calendars*"), {NAME("calendarevents")}, 1},
    /* POST /loans makes borrowers in one call; loans list their borrowers; a property belongs to a loan. */
    {ANY, NAME("loans*"), {NAME("borrowers"), NAME("properties")}, 2},
    {ANY, NAME("borrowers*"), {NAME("loans")}, 1},
    {ANY, NAME("properties*"), {NAME("loans")}, 1},
};
/* clang-format on */

const struct event_rule *event_default_rules(size_t *count)
{
    *count = sizeof default_rules / sizeof default_rules[0];
    return default_rules;
}

/* --- asking it ---------------------------------------------------------------------------------------- */

struct visit {
    struct slice entity, stem;
    void (*touch)(struct slice entity, void *arg);
    void *arg;
};

static void touch_once(const struct visit *visit, const struct event_rule *rule, size_t at)
{
    char storage[EVENT_TEXT_MAX], earlier[EVENT_TEXT_MAX];
    if (rule->stale[at].len > EVENT_TEXT_MAX)
        return;
    struct slice entity = event_normalise_into(storage, rule->stale[at]);
    if (entity.len == 0 || slice_equal(entity, visit->entity))
        return;
    for (size_t i = 0; i < at; i++) {
        if (rule->stale[i].len <= EVENT_TEXT_MAX &&
            slice_equal(event_normalise_into(earlier, rule->stale[i]), entity))
            return;
    }
    visit->touch(entity, visit->arg);
}

static bool applies(const struct event_rule *rule, struct slice api, struct slice name)
{
    char storage[EVENT_TEXT_MAX];
    if (rule->pattern.len > sizeof storage ||
        (rule->api.len > 0 && api.len > 0 && !slice_equal(rule->api, api)))
        return false;
    return slice_glob(event_normalise_into(storage, rule->pattern), name);
}

static struct slice cut_entity(struct slice entity)
{
    return slice_of(entity.ptr, entity.len < EVENT_ENTITY_MAX ? entity.len : EVENT_ENTITY_MAX);
}

void event_dependants(const struct event_rule *rules, size_t count, struct slice api, struct slice name,
                      void (*touch)(struct slice entity, void *arg), void *arg)
{
    char storage[EVENT_TEXT_MAX];
    if (name.len > sizeof storage)
        return;
    name = event_normalise_into(storage, name);
    const struct visit visit = {cut_entity(event_entity_of(name)), cut_entity(event_stem(name)), touch, arg};
    if (visit.stem.len > 0 && !slice_equal(visit.stem, visit.entity))
        touch(visit.stem, arg);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; applies(&rules[i], api, name) && j < rules[i].stale_count; j++)
            touch_once(&visit, &rules[i], j);
    }
}
