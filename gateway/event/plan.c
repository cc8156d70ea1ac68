/* The plan: configured events, as names that can be subscribed to, and the entities that they cover. */
#include <stdlib.h>

#include "base/digest.h"
#include "event/event_internal.h"

/* Entities with all three events, and single events (rollout-facts 4.3 and 5). How Rollout spells the events
 * of paths with hyphens is not known: they are not here, and may be configured. */
static const struct {
    const char *api, *entity;
} shipped[] = {
    {"crm", "people"},         {"crm", "notes"},
    {"crm", "tasks"},          {"crm", "calls"},
    {"crm", "textMessages"},   {"crm", "events"},
    {"crm", "appointments"},   {"crm", "emailMessages"},
    {"crm", "users"},          {"crm", "teams"},
    {"crm", "lists"},          {"crm", "customFields"},
    {"tms", "transactions"},   {"tms", "people"},
    {"tms", "users"},          {"tms", "tasks"},
    {"los", "loans"},          {"los", "people"},
    {"los", "users"},          {"los", "properties"},
    {"los", "borrowers"},      {"mortgage-crm", "people"},
    {"mortgage-crm", "users"}, {"email", "emailMessages"},
    {"calendar", "calendars"}, {"calendar", "calendarEvents"},
};
enum { SHIPPED = sizeof shipped / sizeof *shipped, VERBS = 3 };

static const char *const verbs[VERBS] = {"Created", "Updated", "Deleted"};
static const char tags_event[] = "peopleTagsCreated"; /* the one event more that crm has */

/* --- adding ------------------------------------------------------------------------------------------- */

struct making {
    struct event_plan *plan;
    struct event_plan_api *api;
};

static struct slice spell(struct arena *arena, struct slice name)
{
    char *out = arena_alloc(arena, name.len + 1);
    return out ? event_normalise_into(out, name) : (struct slice){NULL, 0};
}

static int add_entity(const struct making *m, struct slice entity, unsigned *index)
{
    struct event_plan_api *api = m->api;
    int found = event_plan_entity(api, entity);
    if (found >= 0) {
        *index = (unsigned)found;
        return 0;
    }
    if (api->entity_count == EVENT_PLAN_ENTITIES)
        return ERR_LIMIT;
    *index = (unsigned)api->entity_count;
    api->entities[api->entity_count++] = entity;
    return 0;
}

static int add(const struct making *m, struct slice name)
{
    struct event_plan_api *api = m->api;
    struct arena *arena = &m->plan->arena;
    struct event_planned event = {arena_copy(arena, name), spell(arena, name), 0};
    if (!event.name.ptr || !event.spelled.ptr)
        return ERR_NOMEM;
    if (event_plan_find(api, name) >= 0)
        return 0;
    if (api->event_count == EVENT_PLAN_EVENTS || event.spelled.len > EVENT_TEXT_MAX)
        return ERR_LIMIT;
    int error = add_entity(m, event_entity_of(event.spelled), &event.entity);
    if (!error)
        api->events[api->event_count++] = event;
    return error;
}

static int add_joined(const struct making *m, struct slice stem, const char *verb)
{
    struct slice name = arena_format(&m->plan->arena, "%.*s%s", SLICE_ARG(stem), verb);
    return name.ptr ? add(m, name) : ERR_NOMEM;
}

/* Those that ship and meet the pattern (normalised); *met counts them. */
static int add_shipped(const struct making *m, struct slice pattern, size_t *met)
{
    char storage[64];
    int error = 0;
    for (size_t i = 0; i < SHIPPED * VERBS && !error; i++) {
        const char *entity = shipped[i / VERBS].entity;
        if (!slice_equal(m->api->api, slice_from(shipped[i / VERBS].api)))
            continue;
        struct slice name = arena_format(&m->plan->arena, "%s%s", entity, verbs[i % VERBS]);
        if (!name.ptr)
            return ERR_NOMEM;
        if (!slice_glob(pattern, event_normalise_into(storage, name)))
            continue;
        ++*met;
        error = add(m, name);
    }
    if (!error && slice_equal(m->api->api, SLICE("crm")) &&
        slice_glob(pattern, event_normalise_into(storage, SLICE(tags_event)))) {
        ++*met;
        error = add(m, SLICE(tags_event));
    }
    return error;
}

static int add_want(const struct making *m, struct slice wanted)
{
    size_t met = 0, star = slice_find(wanted, '*');
    if (star == wanted.len)
        return add(m, wanted);
    struct slice pattern = spell(&m->plan->arena, wanted);
    int error = pattern.ptr ? add_shipped(m, pattern, &met) : ERR_NOMEM;
    if (error || met > 0 || star == 0 || star + 1 != wanted.len)
        return error;
    for (int i = 0; i < VERBS && !error; i++)
        error = add_joined(m, slice_of(wanted.ptr, star), verbs[i]);
    return error;
}

/* --- the whole ---------------------------------------------------------------------------------------- */

static uint64_t version_of(const struct event_plan_api *api)
{
    uint64_t version = digest_hash(api->api);
    for (size_t i = 0; i < api->event_count; i++)
        version = (version ^ digest_hash(api->events[i].spelled)) * 0x9e3779b97f4a7c15u;
    return version;
}

static int plan_api(struct event_plan *plan, struct event_plan_api *api, const struct event_want *wants,
                    size_t want_count)
{
    const struct making m = {plan, api};
    size_t met = 0;
    api->events = arena_zalloc(&plan->arena, EVENT_PLAN_EVENTS * sizeof *api->events);
    api->entities = arena_zalloc(&plan->arena, EVENT_PLAN_ENTITIES * sizeof *api->entities);
    if (!api->api.ptr || !api->events || !api->entities)
        return ERR_NOMEM;
    int error = want_count == 0 ? add_shipped(&m, SLICE("*"), &met) : 0;
    for (size_t i = 0; i < want_count && !error; i++)
        if (slice_equal(wants[i].api, api->api))
            error = add_want(&m, wants[i].event);
    api->version = version_of(api);
    return error;
}

int event_plan_create(const struct slice *apis, size_t api_count, const struct event_want *wants,
                      size_t want_count, struct event_plan **out)
{
    struct event_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return ERR_NOMEM;
    atomic_init(&plan->refs, 1);
    arena_init(&plan->arena, NULL, 0, 16 * 1024 * 1024);
    plan->apis = arena_zalloc(&plan->arena, (api_count + 1) * sizeof *plan->apis);
    int error = plan->apis ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < api_count && !error; i++) {
        plan->apis[i].api = arena_copy(&plan->arena, apis[i]);
        error = plan_api(plan, &plan->apis[i], wants, want_count);
        plan->api_count++;
    }
    if (error) {
        event_plan_release(plan);
        return error;
    }
    *out = plan;
    return 0;
}

struct event_plan *event_plan_retain(struct event_plan *plan)
{
    if (plan)
        atomic_fetch_add(&plan->refs, 1);
    return plan;
}

void event_plan_release(struct event_plan *plan)
{
    if (!plan || atomic_fetch_sub(&plan->refs, 1) != 1)
        return;
    arena_reset(&plan->arena);
    free(plan);
}

int event_plan_entity(const struct event_plan_api *api, struct slice entity)
{
    for (size_t i = 0; i < api->entity_count; i++)
        if (slice_equal(api->entities[i], entity))
            return (int)i;
    return -1;
}

int event_plan_find(const struct event_plan_api *api, struct slice event)
{
    char storage[EVENT_TEXT_MAX];
    if (event.len > sizeof storage)
        return -1;
    struct slice spelled = event_normalise_into(storage, event);
    for (size_t i = 0; i < api->event_count; i++)
        if (slice_equal(api->events[i].spelled, spelled))
            return (int)i;
    return -1;
}
