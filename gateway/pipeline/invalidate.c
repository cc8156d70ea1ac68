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

/* Where freshness is upstream's own word, RFC 9111 alone holds: a success invalidates, and that is all. What
 * the configuration keeps fresh is invalidated in any case, and settles: upstream may still read back what
 * was before the write. */
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
        event_dependants(touch->settings->dependencies, touch->settings->dependency_count, subject->api,
                         buf_slice(&event), on_touch, touch);
}

static struct touch touch_of(const struct pipeline *pipeline, const struct pipeline_settings *settings,
                             const struct cache_subject *subject)
{
    return (struct touch){.cache = pipeline->shared->cache,
                          .settings = settings,
                          .subject = *subject,
                          .until_ms = loop_now(pipeline->loop) + settings->write_settle_ms};
}

void invalidate_write(const struct pipeline *pipeline, const struct pipeline_settings *settings,
                      const struct cache_subject *subject, enum method method)
{
    struct touch touch = touch_of(pipeline, settings, subject);
    touch_all(&touch, method);
}

/* RFC 9111 4.4: what the answer names on the same origin. */
static void touch_named(struct flight *flight, struct touch *touch, enum field_id id)
{
    struct route route;
    struct slice reference = http_value(flight->answer.fields, id);
    if (reference.len == 0 || !location_route(flight, reference, &route))
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
