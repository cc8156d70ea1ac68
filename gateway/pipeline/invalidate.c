/* What a write through the gateway makes stale: the same things as the webhook that will follow it. */
#include "internal.h"

struct touch {
    struct cache *cache;
    const struct pipeline_settings *settings;
    struct cache_subject subject;
    uint64_t until_ms;
    bool succeeded;          /* or nobody knows: RFC 9111 4.4 */
    struct cache_deps *deps; /* of the write's own answer, or NULL */
};

/* Where freshness is upstream's own word, RFC 9111 alone holds: a success invalidates, and that is all. What the configuration keeps
 * fresh is invalidated in any case, and settles: upstream may still read back what was before the write. */
static void touch_subject(const struct touch *touch, const struct cache_subject *subject)
{
    bool plain = cache_policy_is_plain(settings_policy_of(touch->settings, subject));
    if (plain && !touch->succeeded)
        return;
    cache_invalidate_around(touch->cache, subject, touch->deps);
    if (!plain)
        cache_settle(touch->cache, subject, touch->until_ms);
}

static void on_touch(struct slice entity, void *arg)
{
    struct touch *touch = arg;
    struct cache_subject subject = touch->subject;
    subject.entity = entity;
    subject.id = (struct slice){NULL, 0};
    touch_subject(touch, &subject);
}

static const char *event_suffix(enum method method)
{
    if (method == METHOD_POST)
        return "created";
    return method == METHOD_DELETE ? "deleted" : "updated";
}

static void touch_all(struct touch *touch, enum method method)
{
    const struct cache_subject *subject = &touch->subject;
    touch_subject(touch, subject);
    char name[ROUTE_ENTITY_MAX * 2];
    struct buf event;
    buf_init_fixed(&event, name, sizeof name);
    buf_append_slice(&event, subject->entity);
    /* POST /people/1/tags/apply changes an existing record. */
    buf_append_text(&event, method == METHOD_POST && subject->id.len > 0 ? "updated" : event_suffix(method));
    if (!event.failed)
        event_dependants(touch->settings->dependencies, touch->settings->dependency_count, subject->api, buf_slice(&event), on_touch,
                         touch);
}

static struct touch touch_of(const struct pipeline *pipeline, const struct pipeline_settings *settings,
                             const struct cache_subject *subject)
{
    return (struct touch){.cache = pipeline->shared->cache,
                          .settings = settings,
                          .subject = *subject,
                          .until_ms = loop_now(pipeline->loop) + settings->write_settle_ms};
}

void invalidate_write(const struct pipeline *pipeline, const struct pipeline_settings *settings, const struct cache_subject *subject,
                      struct slice api_name, enum method method)
{
    (void)api_name;
    struct touch touch = touch_of(pipeline, settings, subject);
    touch_all(&touch, method);
}

/* --- what the answer names: RFC 9111 4.4 --------------------------------------------------------------------------------- */

/* The path below the API's base of a reference on the same origin, with its query; ptr is NULL for any other. */
static struct slice own_path(const struct pipeline_api *api, struct slice reference)
{
    struct url url;
    struct slice path = reference;
    if (url_parse(reference, &url)) {
        if (url.https != api->origin.https || !slice_equal_nocase(url.authority, api->origin.authority))
            return (struct slice){NULL, 0};
        path = slice_skip(reference, (size_t)(url.authority.ptr - reference.ptr) + url.authority.len);
    } else if (slice_starts(path, SLICE("//"))) {
        return (struct slice){NULL, 0};
    }
    if (!slice_starts(path, api->base_path))
        return (struct slice){NULL, 0};
    path = slice_skip(path, api->base_path.len);
    return path.len > 0 && path.ptr[0] == '/' ? path : (struct slice){NULL, 0};
}

/* What a client would have to ask for to get it. */
static bool find_route(struct flight *flight, struct slice reference, struct route *route)
{
    struct slice path = own_path(flight->api, reference);
    if (!path.ptr)
        return false;
    struct http_request request = {.method = METHOD_GET};
    request.target = arena_format(&flight->arena, "/t/%.*s/%.*s%.*s", SLICE_ARG(flight->tenant), SLICE_ARG(flight->api->name),
                                  SLICE_ARG(path));
    return request.target.ptr &&
           route_find(&request, &flight->api->name, 1, &flight->arena, route) == ROUTE_OK;
}

static void touch_named(struct flight *flight, struct touch *touch, enum field_id id)
{
    struct route route;
    struct slice reference = http_value(flight->answer.fields, id);
    if (reference.len == 0 || !find_route(flight, reference, &route))
        return;
    struct cache_subject subject = touch->subject;
    subject.entity = route.entity;
    subject.id = route.id;
    touch_subject(touch, &subject);
}

void invalidate_answered(struct flight *flight)
{
    struct touch touch = touch_of(flight->owner, flight->settings, &flight->subject);
    touch.succeeded = flight->answer.status < 400;
    touch.deps = &flight->answer.deps;
    touch_all(&touch, flight->method);
    if (!touch.succeeded || !flight->answer.fields)
        return;
    touch_named(flight, &touch, FIELD_LOCATION);
    touch_named(flight, &touch, FIELD_CONTENT_LOCATION);
}
