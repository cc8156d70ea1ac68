/*
 * Rollout's webhooks in (contract 5): POST /webhooks/rollout/{token} -> whose credential -> genuine? -> make
 * stale -> make durable -> 204. One receiver per worker; it is a server handler. Order matters: generations
 * are raised before the commit, and the answer comes after it, so a read that begins after the 204 never gets
 * what was there before. The commit holds the event's id and, in the outbox, what goes on to subscribers and
 * streams: they are told later still, so the same is true of what they read.
 */
#ifndef WEBHOOK_WEBHOOK_H
#define WEBHOOK_WEBHOOK_H

#include "cache/cache.h"
#include "event/event.h"
#include "server/server.h"
#include "store/store.h"
#include "webhook/outbox.h"

struct webhook;

/* The room's tables: after those of credential/ in store_options.tables. */
#define WEBHOOK_TABLES "events", "event_times"

/* Borrowed for the call, copied. */
struct webhook_options {
    struct slice secret;          /* the client secret */
    struct slice previous_secret; /* accepted as well while it is being rotated, or empty */
    enum event_signature signature;
    const struct slice *apis; /* the configured APIs: for credentials that serve each of them */
    size_t api_count;
    const struct event_rule *dependencies;
    size_t dependency_count;
    size_t body_max; /* sizes.webhook_body */
    int first_table; /* index of WEBHOOK_TABLES in the store */
};

/* NULL: out of memory. The outbox (with its store) and the cache are borrowed. */
struct webhook *webhook_create(struct loop *loop, struct outbox *outbox, struct cache *cache,
                               const struct webhook_options *options);
/* On the worker's loop; 0 or ERR_NOMEM (then the old ones stay). */
int webhook_configure(struct webhook *webhook, const struct webhook_options *options) MUST_CHECK;
struct server_handler webhook_handler(struct webhook *webhook);
/* Whom to tell, on the worker's loop, that Rollout has finished the first sync of a credential (which need
 * not be one of ours). Before requests come. */
void webhook_on_ready(struct webhook *webhook, void *owner,
                      void (*on_ready)(void *owner, struct slice credential_id));
/* GET /t/{tenant}/events: takes the exchange over, as an event stream (stream.h). The caller may call this
 * tenant; the tenant lives as long as the exchange. */
void webhook_stream_open(struct webhook *webhook, struct server_exchange *x, struct slice tenant);
/* Asked of each stream now and then: one that is not admitted any more ends. Before the first stream. */
void webhook_on_admit(struct webhook *webhook, void *owner,
                      bool (*admits)(void *owner, const struct server_exchange *x, struct slice tenant));
/* The worker drains: streams end, no new ones are opened. */
void webhook_drain(struct webhook *webhook);
/* After its server is closed and the store has called back all changes. */
void webhook_destroy(struct webhook *webhook);

struct webhook_stats {
    uint64_t accepted, duplicates, unauthenticated, unknown, malformed, failed;
};
/* Adds to *out; any thread. */
void webhook_stats(const struct webhook *webhook, struct webhook_stats *out);

#endif
