/* What Rollout has against what is wanted: pure. */
#include "webhook/subscribe_internal.h"

static bool ends_with(struct slice text, struct slice end)
{
    return end.len > 0 && text.len >= end.len && slice_equal(slice_skip(text, text.len - end.len), end);
}

static bool is_ours(const struct subscribe_own *own, struct slice url)
{
    return slice_starts(url, own->prefix) || ends_with(url, own->path);
}

static bool is_smaller(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    return order ? order < 0 : a.len < b.len;
}

/* Of those that still stand to be deleted: a whole one of that event, with the smallest id. */
static struct subscribe_listed *best_of(struct subscribe_listed *listed, size_t count, int event,
                                        struct slice url)
{
    struct subscribe_listed *best = NULL;
    for (size_t i = 0; i < count; i++) {
        struct subscribe_listed *one = &listed[i];
        if (one->move != SUBSCRIBE_DELETE || one->event != event || !one->active || one->filtered)
            continue;
        if (url.ptr && !slice_equal(one->url, url))
            continue;
        if (!best || is_smaller(one->id, best->id))
            best = one;
    }
    return best;
}

void subscribe_decide(const struct subscribe_own *own, struct subscribe_listed *listed, size_t count,
                      bool *missing, size_t event_count)
{
    const struct slice any = {NULL, 0};
    for (size_t i = 0; i < count; i++)
        listed[i].move = is_ours(own, listed[i].url) ? SUBSCRIBE_DELETE : SUBSCRIBE_FOREIGN;
    for (size_t event = 0; event < event_count; event++) {
        struct subscribe_listed *best = best_of(listed, count, (int)event, own->url);
        struct subscribe_listed *astray = best ? NULL : best_of(listed, count, (int)event, any);
        if (best)
            best->move = SUBSCRIBE_KEEP;
        if (astray)
            astray->move = SUBSCRIBE_POINT;
        missing[event] = !best && !astray;
    }
}

uint64_t subscribe_mask(const struct event_plan_api *plan, const bool *have)
{
    uint64_t mask = plan->entity_count < 64 ? ((uint64_t)1 << plan->entity_count) - 1 : UINT64_MAX;
    for (size_t i = 0; i < plan->event_count; i++)
        if (!have[i])
            mask &= ~((uint64_t)1 << plan->events[i].entity);
    return mask;
}
