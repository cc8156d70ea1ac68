/*
 * The canary: now and then a hit is read again behind the scenes, with what the limits leave, and compared
 * with what was answered. Where it differs and no event comes within a while either, the feed of that entity
 * is silent, whatever Rollout says of its subscriptions: coverage is withdrawn.
 *
 *   hit -> read -> same
 *               -> differs -> (grace) -> an event came: late
 *                                     -> read again -> differs in the same way: drift
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "internal.h"

enum {
    AT_ONCE = 4,               /* on one worker */
    GRACE_MS = 30 * 1000,      /* for an event to come */
    DOUBT_MS = 15 * 60 * 1000, /* without coverage after drift was found */
    REQUEST_MAX = 64 * 1024,
};

static const struct insider canary_insider = {.background = true};

struct canary {
    struct list node;
    struct pipeline *pipeline;
    struct server_inner *inner;
    struct loop_timer grace;
    struct cache_entry *entry; /* retained */
    struct cache_deps deps;    /* as the hit found them */
    uint64_t lease;
    unsigned bit;
    bool again;
    uint64_t seen; /* hash of what was read the first time */
    struct cache_subject subject;
    struct slice tenant;
    struct arena arena; /* of the slices */
    struct buf request;
};

static void read_again(struct canary *canary);

static void end(struct canary *canary, _Atomic uint64_t *counter)
{
    if (counter)
        count_add(counter, 1);
    list_remove(&canary->node);
    loop_timer_clear(canary->pipeline->loop, &canary->grace);
    cache_release(canary->entry);
    buf_deinit(&canary->request);
    arena_reset(&canary->arena);
    free(canary);
}

void canary_stop(struct pipeline *pipeline)
{
    list_each_safe (node, &pipeline->canaries) {
        struct canary *canary = container_of(node, struct canary, node);
        if (canary->inner)
            server_inner_cancel(canary->inner);
        end(canary, NULL);
    }
}

/* --- what was found ------------------------------------------------------------------------------------- */

/* But for the nextLink, which is each client's own. */
static bool is_same(const struct cache_entry *entry, struct slice fresh)
{
    struct slice stored = cache_entry_body(entry), link = cache_entry_splice(entry);
    if (link.len == 0)
        return slice_equal(stored, fresh);
    size_t before = (size_t)(link.ptr - stored.ptr), behind = stored.len - before - link.len;
    return fresh.len >= before + behind && memcmp(fresh.ptr, stored.ptr, before) == 0 &&
           memcmp(fresh.ptr + fresh.len - behind, link.ptr + link.len, behind) == 0;
}

static void on_drift(struct canary *canary)
{
    struct pipeline *pipeline = canary->pipeline;
    struct log_line line;
    cache_lease_doubt(pipeline->shared->cache, canary->lease, canary->bit, &canary->subject,
                      loop_now(pipeline->loop) + DOUBT_MS);
    if (log_begin(&line, LOG_WARN, "coverage-drift")) {
        log_text(&line, "tenant", canary->tenant);
        log_id(&line, "credential", canary->subject.credential);
        log_text(&line, "api", canary->subject.api);
        log_text(&line, "entity", canary->subject.entity);
        log_cstr(&line, "message",
                 "a cached answer was wrong and no event had come: ttl_uncovered for a while");
        log_end(&line);
    }
    end(canary, &pipeline->stats.canary_drift);
}

static void on_grace(struct loop_timer *timer)
{
    struct canary *canary = container_of(timer, struct canary, grace);
    struct pipeline *pipeline = canary->pipeline;
    if (!cache_deps_hold(pipeline->shared->cache, &canary->deps))
        end(canary, &pipeline->stats.canary_late);
    else
        read_again(canary);
}

static void on_answer(void *user, const struct server_inner_answer *answer)
{
    struct canary *canary = user;
    struct pipeline *pipeline = canary->pipeline;
    uint64_t hash = digest_hash(answer->body);
    canary->inner = NULL;
    if (answer->status != cache_entry_status(canary->entry)) {
        end(canary, &pipeline->stats.canary_failed);
    } else if (is_same(canary->entry, answer->body)) {
        end(canary, canary->again ? &pipeline->stats.canary_unclear : &pipeline->stats.canary_same);
    } else if (!cache_deps_hold(pipeline->shared->cache, &canary->deps)) {
        end(canary, &pipeline->stats.canary_late);
    } else if (!canary->again) {
        canary->again = true;
        canary->seen = hash;
        if (loop_timer_set(pipeline->loop, &canary->grace, loop_now(pipeline->loop) + GRACE_MS, on_grace))
            end(canary, &pipeline->stats.canary_failed);
    } else if (canary->seen == hash) {
        on_drift(canary);
    } else { /* it is another one each time: nothing to compare */
        end(canary, &pipeline->stats.canary_unclear);
    }
}

/* --- reading -------------------------------------------------------------------------------------------- */

static void read_again(struct canary *canary)
{
    struct pipeline *pipeline = canary->pipeline;
    const struct server_inner_request request = {
        .bytes = buf_slice(&canary->request),
        .answer_max = ROLLOUT_ANSWER_MAX,
        .from = &canary_insider,
        .user = canary,
        .on_answer = on_answer,
    };
    canary->inner = pipeline->server ? server_inner_start(pipeline->server, &request) : NULL;
    if (!canary->inner)
        end(canary, &pipeline->stats.canary_failed);
}

static void put_request(struct buf *out, const struct visit *visit)
{
    const struct route *route = &visit->route;
    buf_append_format(out, "GET /t/%.*s/%.*s%.*s%s%.*s HTTP/1.0\r\n", SLICE_ARG(route->tenant),
                      SLICE_ARG(visit->api->name), SLICE_ARG(route->path), route->has_query ? "?" : "",
                      SLICE_ARG(route->query));
    buf_append_format(out, "Cache-Control: no-store\r\nX-Rollout-Credential-Id: %.*s\r\n",
                      SLICE_ARG(visit->credential_id));
    forward_put_shared(out, &visit->x->request.fields);
    buf_append_text(out, "\r\n");
}

static bool copy_subject(struct canary *canary, const struct visit *visit)
{
    struct cache_subject *subject = &canary->subject;
    subject->credential = arena_copy(&canary->arena, visit->subject.credential);
    subject->api = arena_copy(&canary->arena, visit->subject.api);
    subject->entity = arena_copy(&canary->arena, visit->subject.entity);
    canary->tenant = arena_copy(&canary->arena, visit->route.tenant);
    return subject->credential.ptr && subject->api.ptr && subject->entity.ptr && canary->tenant.ptr;
}

static void start(struct visit *visit, struct cache_entry *entry, const struct event_plan_api *plan,
                  unsigned bit)
{
    struct pipeline *pipeline = visit->pipeline;
    struct canary *canary = calloc(1, sizeof *canary);
    if (!canary)
        return;
    canary->pipeline = pipeline;
    list_init(&canary->node);
    arena_init(&canary->arena, NULL, 0, REQUEST_MAX);
    buf_init(&canary->request, REQUEST_MAX);
    cache_retain(entry);
    canary->entry = entry;
    canary->deps = visit->query.deps;
    canary->bit = bit;
    canary->lease = cache_lease_key(visit->credential_id, plan->api, plan->version);
    put_request(&canary->request, visit);
    list_push_back(&pipeline->canaries, &canary->node);
    if (canary->request.failed || !copy_subject(canary, visit))
        end(canary, &pipeline->stats.canary_failed);
    else
        read_again(canary);
}

/* One hit of all workers', when it is time. */
static bool is_turn(struct visit *visit)
{
    _Atomic uint64_t *next = &visit->pipeline->shared->canary_ms;
    uint64_t due = atomic_load_explicit(next, memory_order_relaxed), now = visit->query.now_ms;
    return now >= due && atomic_compare_exchange_strong(next, &due, now + visit->settings->canary_ms) &&
           due > 0; /* not the first hit of all */
}

static size_t under_way(const struct pipeline *pipeline)
{
    size_t count = 0;
    list_each (node, &pipeline->canaries)
        count++;
    return count;
}

void canary_hit(struct visit *visit, const struct cache_found *found)
{
    const struct pipeline_settings *settings = visit->settings;
    if (settings->canary_ms == 0 || found->decision != CACHE_HIT || !visit->query.covered ||
        visit->query.method != METHOD_GET || visit->insider)
        return;
    const struct event_plan_api *plan = &settings->plan->apis[visit->route.api];
    int bit = event_plan_entity(plan, visit->route.entity);
    if (bit >= 0 && is_turn(visit) && under_way(visit->pipeline) < AT_ONCE)
        start(visit, found->entry, plan, (unsigned)bit);
}
