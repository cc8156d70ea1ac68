/* What a write through the gateway makes stale: the same things as the webhook that will follow it. */
#include "internal.h"

struct touch {
    struct cache *cache;
    const struct pipeline_settings *settings;
    struct cache_subject subject;
    uint64_t until_ms;
};

/* What the configuration keeps fresh settles: upstream may read back what was before the write. Where freshness is upstream's own
 * word (RFC 9111 alone), so is its consistency. */
static void touch_subject(const struct touch *touch, const struct cache_subject *subject)
{
    cache_invalidate(touch->cache, subject);
    if (!cache_policy_is_plain(settings_policy_of(touch->settings, subject)))
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

void invalidate_write(const struct pipeline *pipeline, const struct pipeline_settings *settings, const struct cache_subject *subject,
                      struct slice api_name, enum method method)
{
    struct touch touch = {pipeline->shared->cache, settings, *subject, loop_now(pipeline->loop) + settings->write_settle_ms};
    touch_subject(&touch, subject);
    char name[ROUTE_ENTITY_MAX * 2];
    struct buf event;
    buf_init_fixed(&event, name, sizeof name);
    buf_append_slice(&event, subject->entity);
    /* POST /people/1/tags/apply changes an existing record. */
    buf_append_text(&event, method == METHOD_POST && subject->id.len > 0 ? "updated" : event_suffix(method));
    if (!event.failed)
        event_dependants(settings->dependencies, settings->dependency_count, api_name, buf_slice(&event), on_touch, &touch);
}
