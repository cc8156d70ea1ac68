/* The one end of every request: counters and the access line. */
#include "base/clock.h"
#include "base/log.h"
#include "internal.h"

const uint32_t pipeline_bucket_us[PIPELINE_BUCKETS - 1] = {
    100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 500000, 2500000, 10000000};

static const char *const outcome_names[] = {
#define NAME(id, name) name,
    PIPELINE_OUTCOMES(NAME)
#undef NAME
};

const char *pipeline_outcome_name(enum pipeline_outcome outcome)
{
    return outcome < PIPELINE_OUTCOME_COUNT ? outcome_names[outcome] : "unknown";
}

static void count_duration(struct pipeline *pipeline, uint64_t us)
{
    unsigned bucket = 0;
    while (bucket < PIPELINE_BUCKETS - 1 && us > pipeline_bucket_us[bucket])
        bucket++;
    count_add(&pipeline->stats.buckets[bucket], 1);
    count_add(&pipeline->stats.duration_us, us);
}

/* Below credentials/ the path goes on with a whole credential id, which no log may hold. */
static struct slice shown_path(const struct visit *visit)
{
    const struct route *route = &visit->route;
    bool names_credentials =
        slice_equal(route->entity, SLICE("credentials")) && (!visit->api || visit->api->is_core);
    size_t first = route->path.len > 0 ? 1 + slice_find(slice_skip(route->path, 1), '/') : 0;
    return names_credentials && first < route->path.len ? slice_of(route->path.ptr, first + 1) : route->path;
}

/* The gateway's own requests are no requests of the data listener. */
static bool is_own(const struct visit *visit)
{
    return visit->insider && !visit->insider->of_client;
}

static void write_line(const struct visit *visit, enum server_outcome outcome, uint64_t us)
{
    const struct server_exchange *x = visit->x;
    struct log_line line;
    if (!log_begin(&line, is_own(visit) ? LOG_DEBUG : LOG_INFO, "request"))
        return;
    log_text(&line, "request_id", x->request_id);
    if (visit->caller)
        log_text(&line, "caller", visit->caller->spec.name);
    if (x->peer_name.len > 0)
        log_text(&line, "peer", x->peer_name);
    if (visit->rule)
        log_cstr(&line, "rule", visit->rule);
    log_text(&line, "method", x->request.method_name);
    if (visit->api)
        log_text(&line, "api", visit->api->name);
    log_text(&line, "tenant", visit->route.tenant);
    log_text(&line, "path", shown_path(visit));
    if (visit->credential_id.len > 0)
        log_id(&line, "credential", visit->credential_id);
    log_int(&line, "status", x->status);
    log_cstr(&line, "cache", pipeline_outcome_name(visit->outcome));
    if (visit->upstream_status > 0)
        log_int(&line, "upstream_status", visit->upstream_status);
    if (visit->tries > 0)
        log_int(&line, "tries", (int64_t)visit->tries);
    if (once_word(visit))
        log_cstr(&line, "idempotency", once_word(visit));
    log_int(&line, "bytes", (int64_t)x->sent_bytes);
    log_int(&line, "duration_us", (int64_t)us);
    if (outcome != SERVER_SENT)
        log_cstr(&line, "end", outcome == SERVER_CUT ? "cut" : "client-gone");
    log_end(&line);
}

void access_done(struct visit *visit, enum server_outcome outcome)
{
    struct pipeline *pipeline = visit->pipeline;
    uint64_t us = (clock_mono_ns() - visit->x->started_ns) / 1000;
    int status = visit->x->status;
    if (!is_own(visit)) {
        count_add(&pipeline->stats.outcomes[visit->outcome], 1);
        count_add(&pipeline->stats.statuses[status >= 100 && status < 600 ? status / 100 : 0], 1);
        count_add(&pipeline->stats.clients_gone, outcome == SERVER_GONE);
        count_duration(pipeline, us);
    }
    if (visit->settings->access_log)
        write_line(visit, outcome, us);
}

void pipeline_stats(const struct pipeline *pipeline, struct pipeline_stats *out)
{
#define TAKE(to, from) (to) += atomic_load_explicit(&(from), memory_order_relaxed)
    for (int i = 0; i < PIPELINE_OUTCOME_COUNT; i++)
        TAKE(out->outcomes[i], pipeline->stats.outcomes[i]);
    for (int i = 0; i < 6; i++)
        TAKE(out->statuses[i], pipeline->stats.statuses[i]);
    for (int i = 0; i < PIPELINE_BUCKETS; i++)
        TAKE(out->buckets[i], pipeline->stats.buckets[i]);
    for (int i = 0; i < PIPELINE_ONCE_COUNT; i++)
        TAKE(out->once[i], pipeline->stats.once[i]);
    TAKE(out->duration_us, pipeline->stats.duration_us);
    TAKE(out->fenced, pipeline->stats.fenced);
    TAKE(out->clients_gone, pipeline->stats.clients_gone);
    TAKE(out->token_retries, pipeline->stats.token_retries);
    TAKE(out->not_ready, pipeline->stats.not_ready);
    TAKE(out->retries, pipeline->stats.retries);
    TAKE(out->retry_budget_exhausted, pipeline->stats.retry_budget_exhausted);
    TAKE(out->canary.same, pipeline->stats.canary_same);
    TAKE(out->canary.late, pipeline->stats.canary_late);
    TAKE(out->canary.drift, pipeline->stats.canary_drift);
    TAKE(out->canary.unclear, pipeline->stats.canary_unclear);
    TAKE(out->canary.failed, pipeline->stats.canary_failed);
#undef TAKE
}
