/*
 * The gateway's own subscriptions at Rollout (contract 9): for each credential, API it serves and event of
 * the plan one subscription that leads to this credential's own URL. The reconciler compares what Rollout has
 * with that and mends it: at the start, after changes, at intervals with jitter, and for credentials that are
 * read from often enough for coverage to end within a bound. It remembers nothing that Rollout's list and the
 * mapping do not say, so it can be killed anywhere. On one loop, with that loop's door to Rollout; its calls
 * are background ones.
 *
 * What it sees becomes leases in cache/ (cache_lease_set): `ttl` or `ttl_uncovered`.
 */
#ifndef WEBHOOK_SUBSCRIBE_H
#define WEBHOOK_SUBSCRIBE_H

#include "cache/cache.h"
#include "event/event.h"
#include "rollout/rollout.h"
#include "store/store.h"

struct subscribe;

/* Borrowed for the call; the plan is retained. */
struct subscribe_options {
    const char *public_url;  /* NULL: rests */
    struct event_plan *plan; /* its APIs in the order of the configuration */
    uint64_t interval_ms;    /* between two looks at everything */
    uint64_t bound_ms;       /* within which coverage is known to have ended */
};

/* Begins with the loop's next turns. NULL: out of memory. Store and cache are borrowed. */
struct subscribe *subscribe_create(struct loop *loop, struct store *store, struct cache *cache,
                                   const struct rollout_door *door, const struct subscribe_options *options);
/* On its loop. Looks at everything anew when what is wanted has changed. ERR_NOMEM: the old options stay. */
int subscribe_configure(struct subscribe *s, const struct subscribe_options *options) MUST_CHECK;
/* On its loop, before the door is shut: no more calls. */
void subscribe_stop(struct subscribe *s);
/* After its loop has ended and the store has called back. NULL is allowed. */
void subscribe_destroy(struct subscribe *s);

/* Any thread. Somebody reads from this API by this credential, and nobody looks after its lease. */
void subscribe_want(struct subscribe *s, struct slice tenant, struct slice credential_id, struct slice api);
/* Any thread. Looks at the tenant's credentials now, as after a change; an empty tenant: at everything. */
void subscribe_sync(struct subscribe *s, struct slice tenant);

struct subscribe_stats {
    uint64_t looks;                      /* lists of a credential and API that were compared */
    uint64_t created, pointed, deleted;  /* what it did at Rollout */
    uint64_t refused;                    /* events that Rollout would not have */
    uint64_t not_ready, failed;          /* 409; nobody was there to be asked, or 401 … */
    uint64_t removed;                    /* credentials cleaned up after */
    uint64_t walks;                      /* times that everything was looked at */
    uint64_t covered, partly, uncovered; /* now: credential and API pairs in use */
    uint64_t walking;                    /* 1: it is looking at everything */
};
/* Any thread. */
void subscribe_stats(const struct subscribe *s, struct subscribe_stats *out);

#endif
