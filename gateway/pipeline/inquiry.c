/* What a request asks of the cache: its subject, its key, and whether the cache may answer at all. The same
 * for who answers it (pipeline.c) and for who tells how it would be answered (explain.c). */
#include "internal.h"

enum { KEYED_MAX = 4096 };

bool inquiry_is_struck(const struct pipeline_api *api, const struct route *route)
{
    return api->is_core && slice_equal(route->entity, SLICE("credentials"));
}

static struct slice query_part(const struct route *route)
{
    return route->has_query ? slice_of(route->query.ptr - 1, route->query.len + 1) : SLICE("");
}

/* The query, and the fields that go up as they are (forward.c). More of them than fit make the request one of
 * its own. Where upstream alone says what is fresh, its Vary says what an answer was made from (RFC
 * 9111 4.1). */
static struct slice steering_part(struct inquiry *inquiry, struct arena *arena)
{
    char storage[KEYED_MAX];
    struct buf keyed;
    struct slice query = query_part(inquiry->route);
    if (cache_policy_is_plain(inquiry->query.policy))
        return query;
    buf_init_fixed(&keyed, storage, sizeof storage);
    inquiry->cacheable = forward_put_keyed(&keyed, &inquiry->request->fields) && inquiry->cacheable;
    if (keyed.len == 0 || !inquiry->cacheable)
        return query;
    return arena_format(arena, "%.*s%.*s", SLICE_ARG(query), SLICE_ARG(buf_slice(&keyed)));
}

static bool build_key(struct inquiry *inquiry, struct arena *arena)
{
    const struct slice parts[5] = {inquiry->route->tenant, inquiry->credential_id, inquiry->api->name,
                                   inquiry->route->path, steering_part(inquiry, arena)};
    size_t size = 64;
    for (int i = 0; i < 5; i++)
        size += parts[i].len;
    struct buf buf;
    char *storage = arena_alloc(arena, size);
    if (!storage || !parts[4].ptr)
        return false;
    buf_init_fixed(&buf, storage, size);
    return cache_key_build(&buf, parts, &inquiry->query.key) == 0;
}

bool inquiry_make(struct pipeline *pipeline, const struct pipeline_settings *settings, struct arena *arena,
                  struct inquiry *inquiry)
{
    const struct http_request *request = inquiry->request;
    const struct route *route = inquiry->route;
    struct cache *cache = pipeline->shared->cache;
    uint64_t now = loop_now(pipeline->loop);
    struct slice whose = inquiry->credential_id;
    if (inquiry->api->is_core) /* no credential: the tenant itself, in a form that no credential id has */
        whose = arena_format(arena, "\x01%.*s", SLICE_ARG(route->tenant));
    if (!whose.ptr)
        return false;
    inquiry->subject = (struct cache_subject){whose, inquiry->api->name, route->entity, route->id};
    struct cache_query *q = &inquiry->query;
    q->method = request->method;
    q->fields = &request->fields;
    q->control = cache_control_parse(&request->fields, FIELD_CACHE_CONTROL);
    q->policy = settings_policy(settings, route->api, route->entity);
    q->deps = cache_deps_of(cache, &inquiry->subject);
    q->covered = coverage_of(pipeline, settings, route, inquiry->credential_id, !inquiry->silent);
    q->now_ms = now;
    inquiry->settling = cache_settling(cache, &q->deps, now);
    inquiry->cacheable = (request->method == METHOD_GET || request->method == METHOD_HEAD) &&
                         request->framing == FRAMING_NONE && !inquiry->settling &&
                         !inquiry_is_struck(inquiry->api, route) && !(q->control.flags & CC_NO_STORE);
    return build_key(inquiry, arena);
}
