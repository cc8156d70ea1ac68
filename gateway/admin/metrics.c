/* /metrics: Prometheus text format 0.0.4. No tenant or credential is ever a label. */
#include "admin_internal.h"

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_append_format(out, "# HELP rollout_gateway_%s %s\n# TYPE rollout_gateway_%s %s\n", name, help, name,
                      type);
}

static void one(struct buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    head(out, name, type, help);
    buf_append_format(out, "rollout_gateway_%s %llu\n", name, (unsigned long long)value);
}

static void labelled(struct buf *out, const char *name, const char *label, const char *value, uint64_t number)
{
    buf_append_format(out, "rollout_gateway_%s{%s=\"%s\"} %llu\n", name, label, value,
                      (unsigned long long)number);
}

static void requests(struct buf *out, const struct pipeline_stats *s)
{
    static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    head(out, "requests_total", "counter", "Requests on the data listener, by how the cache took part.");
    for (int i = 0; i < PIPELINE_OUTCOME_COUNT; i++)
        labelled(out, "requests_total", "outcome", pipeline_outcome_name((enum pipeline_outcome)i),
                 s->outcomes[i]);
    head(out, "responses_total", "counter", "Answers on the data listener, by class of status.");
    for (int i = 0; i < 6; i++)
        labelled(out, "responses_total", "class", classes[i], s->statuses[i]);
    one(out, "clients_gone_total", "counter", "Requests whose client left before the end of the answer.",
        s->clients_gone);
    one(out, "fills_fenced_total", "counter",
        "Answers not kept as fresh since an event came while they were fetched.", s->fenced);
    one(out, "retries_total", "counter", "Further tries of requests that failed or were answered badly.",
        s->retries);
    one(out, "retry_budget_exhausted_total", "counter",
        "Further tries that were due, but not paid for by the retry budget.", s->retry_budget_exhausted);
    head(out, "idempotency_total", "counter", "Writes with an Idempotency-Key, by what became of them.");
    for (int i = 0; i < PIPELINE_ONCE_COUNT; i++)
        labelled(out, "idempotency_total", "outcome", pipeline_once_name((enum pipeline_once)i), s->once[i]);
    one(out, "not_ready_waiting", "gauge",
        "Requests that wait until Rollout has the data of their credential (Prefer: wait).", s->not_ready);
    one(out, "token_retries_total", "counter", "Requests repeated with a new token after a 401.",
        s->token_retries);
}

static void duration(struct buf *out, const struct pipeline_stats *s)
{
    uint64_t sum = 0;
    head(out, "request_duration_seconds", "histogram", "From the request's head to the end of its answer.");
    for (int i = 0; i < PIPELINE_BUCKETS; i++) {
        sum += s->buckets[i];
        if (i < PIPELINE_BUCKETS - 1)
            buf_append_format(out, "rollout_gateway_request_duration_seconds_bucket{le=\"%g\"} %llu\n",
                              (double)pipeline_bucket_us[i] / 1e6, (unsigned long long)sum);
    }
    buf_append_format(out, "rollout_gateway_request_duration_seconds_bucket{le=\"+Inf\"} %llu\n",
                      (unsigned long long)sum);
    buf_append_format(out, "rollout_gateway_request_duration_seconds_sum %.6f\n",
                      (double)s->duration_us / 1e6);
    buf_append_format(out, "rollout_gateway_request_duration_seconds_count %llu\n", (unsigned long long)sum);
}

static void cache(struct buf *out, const struct admin *admin)
{
    struct cache_stats s;
    cache_stats(admin->options.cache, &s);
    one(out, "cache_entries", "gauge", "Stored answers.", s.entries);
    one(out, "cache_bytes", "gauge", "Memory of stored answers, overhead included.", s.bytes);
    one(out, "cache_budget_bytes", "gauge", "The most that cache_bytes may become.", s.budget);
    one(out, "cache_stores_total", "counter", "Answers stored.", s.stores);
    one(out, "cache_evictions_total", "counter", "Answers evicted to stay within the budget.", s.evictions);
    one(out, "cache_invalidations_total", "counter", "Generations raised by events, writes and purges.",
        s.invalidations);
    one(out, "cache_disk_bytes", "gauge", "Size of the cache's copy on disk; 0 when there is none.",
        s.warm.bytes);
    one(out, "cache_disk_written_total", "counter", "Answers written to the copy on disk.", s.warm.written);
    one(out, "cache_disk_restored_total", "counter", "Answers read back from it, to be revalidated.",
        s.warm.restored);
    one(out, "cache_disk_dropped_total", "counter", "Answers that were not written to it.", s.warm.dropped);
    one(out, "cache_disk_evicted_total", "counter", "Records that made room in it.", s.warm.evicted);
    one(out, "cache_disk_damaged_total", "counter", "Records in it that could not be believed.",
        s.warm.damaged);
}

static void of_host(struct buf *out, const char *name, const struct upstream_host_stats *host,
                    uint64_t number)
{
    buf_append_format(out, "rollout_gateway_%s{host=\"", name);
    buf_append_json(out, host->host);
    buf_append_format(out, "\"} %llu\n", (unsigned long long)number);
}

static void coverage(struct buf *out, const struct admin *admin)
{
    struct subscribe_stats s = {0};
    if (!admin->options.subscribe)
        return;
    subscribe_stats(admin->options.subscribe, &s);
    head(out, "webhook_covered", "gauge",
         "Pairs of credential and API that are read from, by what the gateway's subscriptions cover.");
    labelled(out, "webhook_covered", "state", "all", s.covered);
    labelled(out, "webhook_covered", "state", "part", s.partly);
    labelled(out, "webhook_covered", "state", "none", s.uncovered);
    head(out, "subscriptions_total", "counter", "What the gateway did to its subscriptions at Rollout.");
    labelled(out, "subscriptions_total", "action", "created", s.created);
    labelled(out, "subscriptions_total", "action", "pointed", s.pointed);
    labelled(out, "subscriptions_total", "action", "deleted", s.deleted);
    labelled(out, "subscriptions_total", "action", "refused", s.refused);
    one(out, "subscription_looks_total", "counter", "Lists of subscriptions that were compared.", s.looks);
    one(out, "subscription_failures_total", "counter", "Looks and changes that failed.", s.failed);
    one(out, "subscription_not_ready_total", "counter", "Times that Rollout answered 409.", s.not_ready);
}

static void canary(struct buf *out, const struct pipeline_stats *s)
{
    head(out, "canary_total", "counter", "Hits that were read again, by what came out.");
    labelled(out, "canary_total", "outcome", "same", s->canary.same);
    labelled(out, "canary_total", "outcome", "late", s->canary.late);
    labelled(out, "canary_total", "outcome", "drift", s->canary.drift);
    labelled(out, "canary_total", "outcome", "unclear", s->canary.unclear);
    labelled(out, "canary_total", "outcome", "failed", s->canary.failed);
}

static void upstream(struct buf *out, const struct admin *admin)
{
    struct upstream_stats s = admin_upstream_stats(admin);
    one(out, "upstream_requests_total", "counter", "Requests sent to Rollout.", s.transfers);
    one(out, "upstream_failures_total", "counter", "Requests to Rollout that failed without an answer.",
        s.failures);
    one(out, "upstream_connects_total", "counter", "Connections made to Rollout.", s.connects);
    one(out, "upstream_connect_failures_total", "counter", "Connections to Rollout that could not be made.",
        s.connect_failures);
    one(out, "upstream_reuses_total", "counter", "Requests sent on a kept connection.", s.reuses);
    one(out, "upstream_connections", "gauge", "Open connections to Rollout.", s.open);
    one(out, "upstream_idle_connections", "gauge", "Kept connections that wait for use.", s.idle);
    one(out, "upstream_waiting", "gauge", "Requests that wait for a connection.", s.waiting);
}

static void hosts(struct buf *out, const struct admin *admin)
{
    struct upstream_host_stats all[ADMIN_HOSTS_MAX];
    size_t count = admin_hosts(admin, all);
    head(out, "breaker_state", "gauge", "Circuit breaker of a host upstream: 0 closed, 1 open, 2 half-open.");
    for (size_t i = 0; i < count; i++)
        of_host(out, "breaker_state", &all[i], (uint64_t)all[i].circuit);
    head(out, "breaker_opened_total", "counter", "Times that the host's breaker opened.");
    for (size_t i = 0; i < count; i++)
        of_host(out, "breaker_opened_total", &all[i], all[i].opened);
    head(out, "breaker_refused_total", "counter", "Requests not sent since the host's breaker was open.");
    for (size_t i = 0; i < count; i++)
        of_host(out, "breaker_refused_total", &all[i], all[i].refused);
    head(out, "breaker_failures_total", "counter", "Requests to the host that its breaker counts as failed.");
    for (size_t i = 0; i < count; i++)
        of_host(out, "breaker_failures_total", &all[i], all[i].failures);
}

static void webhooks(struct buf *out, const struct admin *admin)
{
    struct webhook_stats s = admin_webhook_stats(admin);
    head(out, "webhooks_total", "counter", "Webhooks received, by outcome.");
    labelled(out, "webhooks_total", "outcome", "accepted", s.accepted);
    labelled(out, "webhooks_total", "outcome", "duplicate", s.duplicates);
    labelled(out, "webhooks_total", "outcome", "unauthenticated", s.unauthenticated);
    labelled(out, "webhooks_total", "outcome", "unknown", s.unknown);
    labelled(out, "webhooks_total", "outcome", "malformed", s.malformed);
    labelled(out, "webhooks_total", "outcome", "failed", s.failed);
}

static void of_subscriber(struct buf *out, const char *name, const struct relay_subscriber *s,
                          uint64_t number)
{
    buf_append_format(out, "rollout_gateway_%s{subscriber=\"%.*s\"} %llu\n", name, SLICE_ARG(s->name),
                      (unsigned long long)number);
}

static void add_backlog(const struct relay_subscriber *s, void *arg)
{
    of_subscriber(arg, "relay_backlog", s, s->backlog);
}

static void add_disabled(const struct relay_subscriber *s, void *arg)
{
    of_subscriber(arg, "relay_disabled", s, s->state == RELAY_DISABLED);
}

static void relay(struct buf *out, const struct admin *admin)
{
    struct relay_stats s;
    relay_stats(admin->options.relay, &s);
    one(out, "relay_delivered_total", "counter", "Events that subscribers took.", s.delivered);
    one(out, "relay_failed_total", "counter", "Deliveries that failed and are repeated.", s.failed);
    one(out, "relay_dead_total", "counter", "Events that became dead letters.", s.dead);
    one(out, "relay_missed_total", "counter", "Events that left the outbox before a subscriber took them.",
        s.missed);
    one(out, "relay_dropped_total", "counter", "Events dropped with a subscriber that was removed.",
        s.dropped);
    head(out, "relay_backlog", "gauge", "Events that wait for a subscriber.");
    relay_each(admin->options.relay, add_backlog, out);
    head(out, "relay_disabled", "gauge", "1 after a subscriber answered 410.");
    relay_each(admin->options.relay, add_disabled, out);
    one(out, "event_streams", "gauge", "Open event streams.", outbox_streams(admin->options.outbox));
}

static void discovery(struct buf *out, const struct admin *admin)
{
    struct link_stats s;
    link_stats(admin->options.link_shared, &s);
    one(out, "discovery_lookups_total", "counter", "Times that Rollout was asked for a tenant's accounts.",
        s.look_ups);
    one(out, "discovery_failed_total", "counter", "… of these, without a usable answer.", s.failed);
    one(out, "discovery_found_total", "counter", "Credentials mapped since Rollout listed them.", s.found);
    one(out, "discovery_gone_total", "counter", "Credentials marked gone since Rollout did not.", s.gone);
}

static void limits(struct buf *out, const struct admin *admin)
{
    struct limit_stats s = {0};
    limit_stats(admin->options.limit, &s);
    one(out, "limit_granted_total", "counter", "Requests that went upstream under the limits.", s.granted);
    one(out, "limit_waited_total", "counter", "… of these, after waiting for their turn.", s.waited);
    head(out, "limit_wait_seconds_total", "counter", "Time that those waited.");
    buf_append_format(out, "rollout_gateway_limit_wait_seconds_total %.3f\n", (double)s.wait_ms / 1000);
    head(out, "limit_refused_total", "counter",
         "Requests answered 429, by the scope that was over its limit.");
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++)
        labelled(out, "limit_refused_total", "scope", limit_scope_name((enum limit_scope)i), s.refused[i]);
    head(out, "limit_shadow_refused_total", "counter",
         "Requests that a limit in shadow mode would have held up.");
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++)
        labelled(out, "limit_shadow_refused_total", "scope", limit_scope_name((enum limit_scope)i),
                 s.shadow_refused[i]);
    one(out, "limit_left_total", "counter", "Waiting requests that were given up.", s.left);
    one(out, "limit_background_yielded_total", "counter",
        "Refreshes not made, to leave the allowance to requests.", s.yielded);
    one(out, "limit_slowed_total", "counter", "Times that a 429 or 503 of Rollout slowed a scope.", s.cuts);
    one(out, "limit_waiting", "gauge", "Requests that wait for their turn.", s.waiting);
    one(out, "limit_keys", "gauge", "Tenants, credentials and services whose use is remembered.", s.keys);
}

static void rest(struct buf *out, const struct admin *admin)
{
    struct store_stats store;
    struct token_stats tokens;
    const struct admin_hooks *hooks = &admin->options.hooks;
    store_stats(admin->options.store, &store);
    token_stats(admin->options.tokens, &tokens);
    one(out, "store_commits_total", "counter", "Transactions committed to the state store.", store.commits);
    one(out, "store_failures_total", "counter", "Changes that could not be stored.", store.failures);
    one(out, "store_used_bytes", "gauge", "Bytes of the state store in use.", store.used_bytes);
    one(out, "tokens_minted_total", "counter", "Tokens minted.", tokens.minted);
    one(out, "tokens_reused_total", "counter", "Tokens used again.", tokens.reused);
    one(out, "draining", "gauge", "1 while the gateway drains.", hooks->draining(hooks->owner) ? 1 : 0);
    head(out, "build_info", "gauge", "Always 1.");
    labelled(out, "build_info", "version", GATEWAY_VERSION, 1);
}

void admin_metrics(struct admin_request *r)
{
    struct pipeline_stats pipeline = admin_pipeline_stats(r->admin);
    struct buf out;
    buf_init(&out, 1024 * 1024);
    requests(&out, &pipeline);
    duration(&out, &pipeline);
    cache(&out, r->admin);
    upstream(&out, r->admin);
    hosts(&out, r->admin);
    webhooks(&out, r->admin);
    relay(&out, r->admin);
    coverage(&out, r->admin);
    canary(&out, &pipeline);
    discovery(&out, r->admin);
    limits(&out, r->admin);
    rest(&out, r->admin);
    if (out.failed)
        server_problem(r->x, PROBLEM_OVERLOADED, "", "", "out of memory");
    else
        server_reply(r->x, 200, "text/plain; version=0.0.4; charset=utf-8", "Cache-Control: no-store\r\n",
                     buf_slice(&out));
    buf_deinit(&out);
}
