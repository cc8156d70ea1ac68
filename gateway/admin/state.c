/* /v1/status, /v1/cache, /v1/config: what the gateway knows of itself. */
#include "admin_internal.h"
#include "base/clock.h"

struct pipeline_stats admin_pipeline_stats(const struct admin *admin)
{
    struct pipeline_stats stats = {0};
    for (unsigned i = 0; i < admin->options.worker_count + admin->options.helper_count; i++)
        pipeline_stats(admin->options.workers[i].pipeline, &stats);
    return stats;
}

struct upstream_stats admin_upstream_stats(const struct admin *admin)
{
    struct upstream_stats sum = {0}, one;
    for (unsigned i = 0; i < admin->options.worker_count + admin->options.helper_count; i++) {
        upstream_stats(admin->options.workers[i].upstream, &one);
        sum.connects += one.connects;
        sum.connect_failures += one.connect_failures;
        sum.reuses += one.reuses;
        sum.transfers += one.transfers;
        sum.failures += one.failures;
        sum.open += one.open;
        sum.idle += one.idle;
        sum.waiting += one.waiting;
    }
    return sum;
}

size_t admin_hosts(const struct admin *admin, struct upstream_host_stats *out)
{
    return upstream_hosts_stats(pipeline_hosts(admin->options.workers[0].pipeline), out, ADMIN_HOSTS_MAX);
}

struct webhook_stats admin_webhook_stats(const struct admin *admin)
{
    struct webhook_stats stats = {0};
    for (unsigned i = 0; i < admin->options.worker_count + admin->options.helper_count; i++)
        webhook_stats(admin->options.workers[i].webhook, &stats);
    return stats;
}

static json_t *outcomes_of(const struct pipeline_stats *stats)
{
    json_t *outcomes = json_object();
    for (int i = 0; i < PIPELINE_OUTCOME_COUNT; i++)
        json_object_set_new(outcomes, pipeline_outcome_name((enum pipeline_outcome)i),
                            json_integer((json_int_t)stats->outcomes[i]));
    return outcomes;
}

static double hit_ratio(const struct pipeline_stats *s)
{
    uint64_t hits = s->outcomes[PIPELINE_HIT] + s->outcomes[PIPELINE_STALE] + s->outcomes[PIPELINE_COLLAPSED];
    uint64_t asked = hits + s->outcomes[PIPELINE_MISS] + s->outcomes[PIPELINE_REVALIDATED];
    return asked > 0 ? (double)hits / (double)asked : 0.0;
}

#define N(value) (json_int_t)(value)
/* counts[i]: requests that took at most bounds_us[i]; the last is of those that took longer. */
static json_t *duration_of(const struct pipeline_stats *s)
{
    json_t *bounds = json_array(), *counts = json_array();
    for (int i = 0; i < PIPELINE_BUCKETS; i++) {
        if (i < PIPELINE_BUCKETS - 1)
            json_array_append_new(bounds, json_integer(N(pipeline_bucket_us[i])));
        json_array_append_new(counts, json_integer(N(s->buckets[i])));
    }
    return json_pack("{s:o, s:o, s:I}", "bounds_us", bounds, "counts", counts, "sum_us", N(s->duration_us));
}

static json_t *warm_of(const struct cache_warm_stats *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "bytes", N(s->bytes), "limit", N(s->limit),
                     "written", N(s->written), "restored", N(s->restored), "dropped", N(s->dropped),
                     "evicted", N(s->evicted), "damaged", N(s->damaged));
}

static json_t *cache_of(const struct admin *admin)
{
    struct cache_stats cache;
    struct pipeline_stats pipeline = admin_pipeline_stats(admin);
    cache_stats(admin->options.cache, &cache);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:f, s:o}", "entries", N(cache.entries),
                     "bytes", N(cache.bytes), "budget", N(cache.budget), "stores", N(cache.stores),
                     "evictions", N(cache.evictions), "replaced", N(cache.replaced), "fence_discarded",
                     N(cache.fenced), "invalidations", N(cache.invalidations), "disk", warm_of(&cache.warm),
                     "hit_ratio", hit_ratio(&pipeline), "outcomes", outcomes_of(&pipeline));
}

void admin_cache(struct admin_request *r)
{
    admin_reply_json(r, 200, cache_of(r->admin));
}

static json_t *upstream_of(const struct admin *admin)
{
    struct upstream_stats s = admin_upstream_stats(admin);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "transfers", N(s.transfers), "failures",
                     N(s.failures), "connects", N(s.connects), "connect_failures", N(s.connect_failures),
                     "reuses", N(s.reuses), "open", N(s.open), "idle", N(s.idle), "waiting", N(s.waiting));
}

static json_t *hosts_of(const struct admin *admin)
{
    struct upstream_host_stats all[ADMIN_HOSTS_MAX];
    size_t count = admin_hosts(admin, all);
    json_t *hosts = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct upstream_host_stats *h = &all[i];
        json_array_append_new(hosts,
                              json_pack("{s:s%, s:s, s:f, s:I, s:I, s:I, s:I, s:I}", "host", h->host.ptr,
                                        h->host.len, "breaker", upstream_circuit_name(h->circuit),
                                        "next_probe_s", (double)h->wait_ms / 1000.0, "opened", N(h->opened),
                                        "refused", N(h->refused), "failures", N(h->failures), "retries",
                                        N(h->retries), "retry_budget_exhausted", N(h->retries_unpaid)));
    }
    return hosts;
}

json_t *admin_json_received(const struct admin *admin)
{
    struct webhook_stats s = admin_webhook_stats(admin);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "accepted", N(s.accepted), "duplicates",
                     N(s.duplicates), "unauthenticated", N(s.unauthenticated), "unknown", N(s.unknown),
                     "malformed", N(s.malformed), "failed", N(s.failed));
}

static json_t *store_of(const struct admin *admin)
{
    struct store_stats s;
    store_stats(admin->options.store, &s);
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "commits", N(s.commits), "changes", N(s.changes),
                     "failures", N(s.failures), "used_bytes", N(s.used_bytes), "map_bytes", N(s.map_bytes));
}

static json_t *tokens_of(const struct admin *admin)
{
    struct token_stats s;
    token_stats(admin->options.tokens, &s);
    return json_pack("{s:I, s:I, s:I}", "minted", N(s.minted), "reused", N(s.reused), "remembered",
                     N(s.remembered));
}

static json_t *idempotency_of(const struct pipeline_stats *s)
{
    json_t *outcomes = json_object();
    for (int i = 0; i < PIPELINE_ONCE_COUNT; i++)
        json_object_set_new(outcomes, pipeline_once_name((enum pipeline_once)i), json_integer(N(s->once[i])));
    return outcomes;
}

static json_t *canary_of(const struct pipeline_stats *s)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "same", N(s->canary.same), "late", N(s->canary.late),
                     "drift", N(s->canary.drift), "unclear", N(s->canary.unclear), "failed",
                     N(s->canary.failed));
}

static json_t *discovery_of(const struct admin *admin)
{
    struct link_stats s;
    link_stats(admin->options.link_shared, &s);
    return json_pack("{s:I, s:I, s:I, s:I}", "look_ups", N(s.look_ups), "failed", N(s.failed), "found",
                     N(s.found), "gone", N(s.gone));
}

/* Where the outbox cannot be read, all the rest still is of use. */
static json_t *relay_of(const struct admin *admin)
{
    json_t *relay = admin_json_relay(admin);
    return relay ? relay : json_null();
}

static json_t *parts_of(const struct admin *admin, const struct pipeline_stats *pipeline)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "duration",
                     duration_of(pipeline), "cache", cache_of(admin), "upstream", upstream_of(admin), "hosts",
                     hosts_of(admin), "idempotency", idempotency_of(pipeline), "webhooks",
                     admin_json_received(admin), "subscriptions", admin_json_subscriptions(admin), "canary",
                     canary_of(pipeline), "relay", relay_of(admin), "discovery", discovery_of(admin), "store",
                     store_of(admin), "tokens", tokens_of(admin));
}

void admin_status(struct admin_request *r)
{
    const struct admin *admin = r->admin;
    const struct admin_hooks *hooks = &admin->options.hooks;
    struct pipeline_stats pipeline = admin_pipeline_stats(admin);
    uint64_t requests = 0;
    for (int i = 0; i < PIPELINE_OUTCOME_COUNT; i++)
        requests += pipeline.outcomes[i];
    int64_t up = (clock_wall_ms() - admin->options.started_wall_ms) / 1000;
    json_t *answer =
        json_pack("{s:s, s:s, s:I, s:I, s:I}", "version", GATEWAY_VERSION, "state",
                  hooks->draining(hooks->owner) ? "draining" : "ready", "uptime_s", N(up > 0 ? up : 0),
                  "workers", N(admin->options.worker_count), "requests", N(requests));
    json_t *parts = parts_of(admin, &pipeline);
    if (!answer || !parts || json_object_update(answer, parts)) {
        json_decref(answer);
        answer = NULL; /* no memory */
    }
    json_decref(parts);
    admin_reply_json(r, 200, answer);
}

void admin_config(struct admin_request *r)
{
    const struct admin_hooks *hooks = &r->admin->options.hooks;
    struct buf out;
    buf_init(&out, ADMIN_ANSWER_MAX);
    if (hooks->describe(hooks->owner, &out))
        server_problem(r->x, PROBLEM_OVERLOADED, "", "", "out of memory");
    else
        server_reply(r->x, 200, "application/json", "Cache-Control: no-store\r\n", buf_slice(&out));
    buf_deinit(&out);
}
