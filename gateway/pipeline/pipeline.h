/*
 * One data request from start to end: caller -> route -> credential -> cache -> flight -> answer (house.md,
 * "How a request walks"). One pipeline per worker; what workers share (cache, flights, tokens, mapping) is in
 * pipeline_shared.
 */
#ifndef PIPELINE_PIPELINE_H
#define PIPELINE_PIPELINE_H

#include "base/list.h"
#include "cache/cache.h"
#include "event/event.h"
#include "limit/limit.h"
#include "rollout/rollout.h"
#include "server/server.h"
#include "store/store.h"
#include "token/token.h"
#include "upstream/upstream.h"

struct pipeline;
struct pipeline_settings;
struct pipeline_shared;

/* --- settings: immutable, one copy per worker and reload
 * ------------------------------------------------------ */

struct pipeline_api_options {
    struct slice name; /* "crm" */
    struct slice url;  /* "https://crm.universal.rollout.com/api" */
    const char *ca;    /* file or NULL */
    bool client_authorization;
};
struct pipeline_rule_options {
    struct slice api, entity; /* entity as configured, any spelling; empty: all of the api */
    struct cache_policy policy;
};
/* Everything is borrowed for the call and copied. */
struct pipeline_options {
    const struct pipeline_api_options *apis;
    size_t api_count;
    const struct pipeline_rule_options *rules;
    size_t rule_count;
    struct cache_policy default_policy;
    const struct event_rule *dependencies;
    size_t dependency_count;
    uint64_t write_settle_ms;
    uint64_t coverage_ms;    /* an event within this time: the credential's webhooks work */
    struct event_plan *plan; /* what the gateway subscribes to itself: then leases tell (cache.h); or NULL */
    double canary;           /* hits a second, of all workers, that are read again; 0: none */
    size_t entry_max;
    uint64_t body_max;
    uint64_t leg_ms; /* until one of several systems has answered */
    bool access_log;
    bool discovery;       /* for explain: the finder of the hooks would ask Rollout */
    bool allow_anonymous; /* who presents no key is let in, also when there are keys */
};
/* ERR_SYNTAX (a URL), ERR_NOMEM. */
int pipeline_settings_create(const struct pipeline_options *options, struct pipeline_settings **out,
                             struct fault *fault) MUST_CHECK;
void pipeline_settings_release(struct pipeline_settings *settings);

/* --- what workers share
 * --------------------------------------------------------------------------------------- */

/* Borrows all four; the tables are the indices of CALLER_TABLES and IDEMPOTENCY_TABLES in the store. NULL
 * when out of memory. */
struct pipeline_shared *pipeline_shared_create(struct cache *cache, struct token_ring *tokens,
                                               struct store *store, struct limit *limit, int caller_table,
                                               int idempotency_table);
void pipeline_shared_destroy(struct pipeline_shared *shared);

/* Rollout says that the first sync of a credential is over: who waits for that asks now. Any thread. */
void pipeline_ready(struct pipeline_shared *shared, struct slice credential_id);

/* --- a worker's pipeline
 * -------------------------------------------------------------------------------------- */

/* Takes one reference on the settings over. */
struct pipeline *pipeline_create(struct loop *loop, struct pipeline_shared *shared, struct upstream *upstream,
                                 struct pipeline_settings *settings);
/* On the worker's loop: requests that begin from now on use these. Takes the reference over. */
void pipeline_configure(struct pipeline *pipeline, struct pipeline_settings *settings);
/* What the data listener calls. */
struct server_handler pipeline_handler(struct pipeline *pipeline);
/* The worker stops: cancels what is in the air (background refreshes). On its loop, after its server is
 * closed. */
void pipeline_stop(struct pipeline *pipeline);
/* After its upstream is closed, too. */
void pipeline_destroy(struct pipeline *pipeline);

/* --- calls of the gateway's own
 * -------------------------------------------------------------------------------- */

/* The server whose handler this is: where its own requests enter. Once, before the first of them. */
void pipeline_attach(struct pipeline *pipeline, struct server *server);
/* Lives as long as the pipeline; shut once its server closes. */
struct rollout_door pipeline_door(struct pipeline *pipeline);

/* --- what others serve
 * ------------------------------------------------------------------------------------------- */

/* Called on a worker's loop, with its own `owner`. Each may be NULL: then there is nothing of the kind. */
struct pipeline_hooks {
    void *owner;
    /* Takes over an exchange under /link/: the caller is known and may call this tenant ("link" is the API
     * it needs). `path`: what follows "/link"; `caller`: its name, or empty. All live as long as x. */
    void (*on_link)(void *owner, struct server_exchange *x, struct slice tenant, struct slice path,
                    struct slice caller);
    /* Likewise for the tenant's events (API "events"). */
    void (*on_events)(void *owner, struct server_exchange *x, struct slice tenant);
    /* An OPTIONS request, before anybody asks who calls: a browser's preflight has no key. True: taken over.
     */
    bool (*on_preflight)(void *owner, struct server_exchange *x);
    struct rollout_finder finder; /* all of it, or nothing (discover is NULL) */
};
/* Would whoever sent what was handed to on_events still be let in? (A key may be revoked while a stream is
 * open.) On the loop. */
bool pipeline_admits(struct pipeline *pipeline, const struct server_exchange *x, struct slice tenant);
/* Before requests come. Copied. */
void pipeline_serve(struct pipeline *pipeline, const struct pipeline_hooks *hooks);

/* Who looks after leases (cache.h); called on the worker's loop when somebody reads by one that nobody looks
 * after. */
struct pipeline_watcher {
    void *owner;
    void (*watch)(void *owner, struct slice tenant, struct slice credential_id, struct slice api);
};
/* Before requests come. Copied. */
void pipeline_watch(struct pipeline *pipeline, const struct pipeline_watcher *watcher);

/* Breakers and budgets of the hosts upstream, shared by all workers. */
struct upstream_hosts *pipeline_hosts(const struct pipeline *pipeline);
/* Requests in flight on this worker. */
unsigned pipeline_active(const struct pipeline *pipeline);

/* X(id, "name"): outcomes by how the cache took part (contract 10, /v1/cache). */
#define PIPELINE_OUTCOMES(X)                                                                                 \
    X(HIT, "hit")                                                                                            \
    X(STALE, "stale")                                                                                        \
    X(MISS, "miss")                                                                                          \
    X(REVALIDATED, "revalidated")                                                                            \
    X(COLLAPSED, "collapsed")                                                                                \
    X(BYPASS, "bypass")                                                                                      \
    X(REFUSED, "refused")                                                                                    \
    X(FAILED, "failed")

enum pipeline_outcome {
#define PIPELINE_OUTCOME_ENUM(id, name) PIPELINE_##id,
    PIPELINE_OUTCOMES(PIPELINE_OUTCOME_ENUM)
#undef PIPELINE_OUTCOME_ENUM
        PIPELINE_OUTCOME_COUNT
};
const char *pipeline_outcome_name(enum pipeline_outcome outcome);

enum { PIPELINE_BUCKETS = 14 };
/* Upper bounds of the latency histogram in microseconds; the last bucket is unbounded. */
extern const uint32_t pipeline_bucket_us[PIPELINE_BUCKETS - 1];

/* X(id, "name"): what became of writes with an Idempotency-Key. */
#define PIPELINE_ONCES(X)                                                                                    \
    X(SENT, "sent")                                                                                          \
    X(REPLAYED, "replayed")                                                                                  \
    X(CONFLICT, "conflict")                                                                                  \
    X(MISMATCH, "mismatch")                                                                                  \
    X(UNKNOWN, "unknown")

enum pipeline_once {
#define PIPELINE_ONCE_ENUM(id, name) PIPELINE_ONCE_##id,
    PIPELINE_ONCES(PIPELINE_ONCE_ENUM)
#undef PIPELINE_ONCE_ENUM
        PIPELINE_ONCE_COUNT
};
const char *pipeline_once_name(enum pipeline_once once);

struct pipeline_stats {
    uint64_t outcomes[PIPELINE_OUTCOME_COUNT];
    uint64_t statuses[6];               /* by hundreds; 0: the client left before an answer */
    uint64_t buckets[PIPELINE_BUCKETS]; /* not cumulative */
    uint64_t duration_us;               /* sum */
    uint64_t fenced;                    /* fills not kept as fresh: an event came in between */
    uint64_t clients_gone;
    uint64_t token_retries;
    uint64_t not_ready;              /* waiting now until a credential's data is there */
    uint64_t retries;                /* further tries of what failed or was answered badly */
    uint64_t retry_budget_exhausted; /* … that were due, but not paid for */
    uint64_t once[PIPELINE_ONCE_COUNT];
    struct {
        uint64_t same, late, drift, unclear, failed; /* late: it differed, and its event came then */
    } canary;
};
/* Adds this worker's numbers to *out; any thread. */
void pipeline_stats(const struct pipeline *pipeline, struct pipeline_stats *out);

/* How the gateway would treat a request, without sending it (contract 10, `explain`): appends JSON. On the
 * worker's loop. */
/* `caller`: the name of a service key that it would come with, or empty: may it? */
int pipeline_explain(struct pipeline *pipeline, const struct http_request *request, struct slice caller,
                     struct arena *arena, struct buf *out);

#endif
