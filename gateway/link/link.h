/*
 * Rollout Link, and finding accounts (contract 6). A worker's `struct link` serves /link/… (what pipeline/
 * has checked the caller of), and is the finder of rollout/: a tenant that nothing is mapped for is looked up
 * in Rollout's list once, whatever the number of requests and workers that wait; a credential that Rollout
 * has refused is looked for in the list, at most once a minute and tenant. What the list says becomes the
 * mapping (credential_sync). Calls go out through the door, under the tenant's own token and limits.
 *
 * Shared by the workers, under one lock: which tenants are being looked up, and for whom that brought
 * nothing. Everything else belongs to the worker's loop.
 */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include "base/loop.h"
#include "cache/cache.h"
#include "credential/credential.h"
#include "http/problem.h"
#include "rollout/rollout.h"
#include "server/server.h"
#include "token/token.h"

struct link;
struct link_shared;

struct link_connector {
    struct slice app_key;
    const struct slice *apis;
    size_t api_count;
};

/* Borrowed for the call and copied. */
struct link_options {
    const struct link_connector *connectors; /* looked at before the shipped ones */
    size_t connector_count;
    const struct slice *apis; /* the names under upstreams, without core */
    size_t api_count;
    bool discovery;
    uint64_t negative_ms;        /* how long a look-up that brought nothing is remembered */
    const struct slice *origins; /* of pages that may call (CORS) */
    size_t origin_count;
    bool access_log;
};

struct link_stats {
    uint64_t look_ups, failed, found, gone; /* lists asked for, not got; credentials added, marked gone */
};

/* --- life ----------------------------------------------------------------------------------------- */

/* For whoever looks after subscriptions and what the cache keeps. On the loop of any worker. */
struct link_news {
    void *owner;
    void (*on_changed)(void *owner, struct slice tenant); /* its mapping is another one */
    void (*on_deleted)(void *owner);                      /* a credential is no more */
};

/* Borrows the three rooms. NULL: out of memory. */
struct link_shared *link_shared_create(struct store *store, struct cache *cache, struct token_ring *tokens,
                                       const struct link_news *news);
/* After every link. */
void link_shared_destroy(struct link_shared *shared);
/* Any thread. */
void link_stats(const struct link_shared *shared, struct link_stats *out);

/* NULL: out of memory. */
struct link *link_create(struct loop *loop, struct link_shared *shared, const struct rollout_door *door,
                         const struct link_options *options);
/* On its loop. ERR_NOMEM: the old ones stay. */
int link_configure(struct link *link, const struct link_options *options) MUST_CHECK;
/* After its loop has ended, or was never run. NULL is allowed. */
void link_destroy(struct link *link);

/* --- what pipeline/ calls: `owner` is a struct link ----------------------------------------------- */

/* Takes the exchange over. `path` is what follows "/link"; it, tenant and caller live as long as x. */
void link_serve(void *owner, struct server_exchange *x, struct slice tenant, struct slice path,
                struct slice caller);
/* True: it was a browser's question about a path of ours from an allowed origin, and is answered. */
bool link_preflight(void *owner, struct server_exchange *x);
struct rollout_finder link_finder(struct link *link);

/* --- what operators ask for ----------------------------------------------------------------------- */

/* A look-up now, whatever is remembered. Filled and kept by who asks until on_done, on the link's loop. */
struct link_search {
    void *user;
    void (*on_done)(struct link_search *search);
    /* The outcome: PROBLEM_COUNT when all is well, else what to answer and why (static). */
    enum problem problem;
    const char *why;
    unsigned added, returned, gone, foreign, surplus;
};
/* on_done comes in a later turn. ERR_NOMEM, ERR_CLOSED: it does not. */
int link_search(struct link *link, struct slice tenant, struct link_search *search) MUST_CHECK;

#endif
