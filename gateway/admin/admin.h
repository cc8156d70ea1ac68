/*
 * The operator's listener (contract 10 and 12): /livez, /readyz, /metrics, /v1/…, and the dashboard at /. A
 * server handler on one worker's loop. What it cannot do itself (reload, drain) it asks of main.c through the
 * hooks.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "cache/cache.h"
#include "limit/limit.h"
#include "link/link.h"
#include "pipeline/pipeline.h"
#include "server/server.h"
#include "store/store.h"
#include "token/token.h"
#include "upstream/upstream.h"
#include "webhook/relay.h"
#include "webhook/subscribe.h"
#include "webhook/webhook.h"

struct admin;

/* What one worker shows: pointers stay valid while the admin lives; only thread-safe calls are made on them.
 */
struct admin_worker {
    struct pipeline *pipeline; /* explain runs on the first one's loop, which is the admin's */
    const struct upstream *upstream;
    const struct webhook *webhook;
    const struct server *data;
    struct loop *loop;
};

struct admin_hooks {
    void *owner;
    /* Reads the file again. 0, or an error with the line(s) for a person. */
    int (*reload)(void *owner, struct fault *fault);
    void (*drain)(void *owner);
    bool (*draining)(void *owner);
    /* Appends the effective configuration as JSON, secrets struck out. */
    int (*describe)(void *owner, struct buf *out);
    /* What the gateway subscribes to, for the time of the call; NULL: it does not. */
    struct event_plan *(*plan)(void *owner);
    /* A credential was deleted: what the cache keeps of it has to go. */
    void (*deleted)(void *owner);
};

struct admin_options {
    struct loop *loop;
    struct store *store;
    int caller_table; /* index of CALLER_TABLES in the store */
    struct cache *cache;
    struct token_ring *tokens;
    struct limit *limit;
    struct link *link; /* of this loop */
    const struct link_shared *link_shared;
    struct outbox *outbox;
    struct relay *relay;
    const struct admin_worker *workers; /* borrowed for the admin's life */
    unsigned worker_count;
    unsigned helper_count;       /* behind them: workers without listeners */
    struct subscribe *subscribe; /* thread-safe calls only; or NULL */
    struct admin_hooks hooks;
    struct slice
        token; /* "": none is asked for; copied. Compared in constant time with Authorization: Bearer */
    int64_t started_wall_ms;
};

struct admin *admin_create(const struct admin_options *options);
/* A reload may bring a new token. */
int admin_set_token(struct admin *admin, struct slice token) MUST_CHECK;
struct server_handler admin_handler(struct admin *admin);
/* After its server is closed and the store has called back. */
void admin_destroy(struct admin *admin);

#endif
