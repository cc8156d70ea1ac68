/* Do webhooks cover what a request reads? Asked for each: a few loads, no lock. */
#include "internal.h"

bool coverage_of(const struct pipeline *pipeline, const struct pipeline_settings *settings,
                 const struct route *route, struct slice credential, bool tell)
{
    struct cache *cache = pipeline->shared->cache;
    uint64_t now_ms = loop_now(pipeline->loop);
    const struct event_plan_api *plan = settings->plan ? &settings->plan->apis[route->api] : NULL;
    bool ask;
    if (credential.len == 0)
        return false;
    if (!plan) /* somebody else subscribes */
        return cache_covered(cache, credential, now_ms, settings->coverage_ms);
    int entity = event_plan_entity(plan, route->entity);
    if (entity < 0)
        return false;
    uint64_t key = cache_lease_key(credential, plan->api, plan->version);
    bool covered = cache_lease_holds(cache, key, (unsigned)entity, now_ms, &ask);
    if (ask && tell && pipeline->watcher.watch)
        pipeline->watcher.watch(pipeline->watcher.owner, route->tenant, credential, plan->api);
    return covered;
}
