/* What the files of this room share. */
#ifndef LINK_INTERNAL_H
#define LINK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "link/link.h"

enum {
    LINK_RECHECK_MS = 60 * 1000, /* between two looks because of a doubt */
    LINK_FAILED_MS = 1000,       /* until Rollout is asked again after it could not be */
    LINK_FLYING_MAX = 64,        /* look-ups at once: strangers' tenant names must not become a flood */
    LINK_REMEMBERED_MAX = 16384, /* tenants in the table */
    LINK_ARENA_MAX = 4 * 1024 * 1024,
};

struct link_shared {
    struct store *store;
    struct cache *cache;
    struct token_ring *tokens;
    struct link_news news;
    pthread_mutex_t lock; /* of the rest */
    struct map look_ups;  /* by tenant */
    struct list rested;   /* those that are not under way, the one that ended first in front */
    struct list landing;  /* parties whose loop has yet to hear */
    unsigned flying;
    struct {
        _Atomic uint64_t look_ups, failed, found, gone;
    } stats;
};

struct link {
    struct loop *loop;
    struct link_shared *shared;
    struct rollout_door door;
    struct store_view *view;
    struct arena arena; /* of the options */
    struct link_options options;
};

/* --- connectors.c: which APIs an account serves */

/* Fills the apis; *known says whether its app key is in a table. False: out of memory. The slices are in the
 * arena, or static. */
bool connectors_apply(const struct link_options *options, struct arena *arena, struct credential_listed *out);

/* --- trouble.c: what stands behind an answer that is none */

struct trouble {
    enum problem problem;   /* PROBLEM_COUNT: none */
    const char *why;        /* for who asked for this very call */
    const char *unknown;    /* for who asked for data of a tenant that nothing is mapped for */
    uint64_t retry_after_s; /* 0: not told */
};
/* `allowed`: a further status beside 2xx that is an answer, or 0. */
struct trouble trouble_of(const struct rollout_answer *answer, int allowed);
struct trouble trouble_from(enum problem problem);

/* --- listing.c: Rollout's list of a tenant's accounts */

struct listing {
    struct link *link;
    void *user;
    void (*on_listed)(struct listing *listing);
    void (*on_synced)(struct listing *listing);
    struct arena arena;
    struct slice tenant;
    struct trouble trouble; /* then there is no list */
    bool whole;             /* a list; false: Rollout knows nothing of the tenant (404) */
    struct credential_listed *items;
    size_t count;
    struct credential_sync sync; /* after on_synced; its change.outcome counts */
};
/* on_listed in a later turn. NULL: out of memory, or the door is shut. */
struct listing *listing_start(struct link *link, struct slice tenant, bool background, void *user,
                              void (*on_listed)(struct listing *listing));
/* The mapping follows the list; what was marked gone is dropped from the cache. on_synced in a later turn. */
void listing_sync(struct listing *listing, const struct credential_lesson *lesson,
                  void (*on_synced)(struct listing *listing));
const struct credential_listed *listing_find(const struct listing *listing, struct slice id);
void listing_free(struct listing *listing);

/* --- errand.c: one request under /link/ */

struct errand {
    struct link *link;
    struct server_exchange *x; /* NULL once the client has left or was answered */
    bool busy;                 /* something of it is under way: it outlives the exchange */
    bool disconnected;         /* Rollout has done its part of a DELETE */
    struct slice path, caller; /* live as long as x */
    struct slice tenant, id, app_key;
    struct credential_change change;
    char text[CREDENTIAL_TENANT_MAX + CREDENTIAL_ID_MAX + CREDENTIAL_APP_KEY_MAX];
};
/* What was under way is over: answer before. */
void errand_end(struct errand *errand);
/* Does nothing when nobody is there to hear it. */
void errand_reply(struct errand *errand, int status, struct slice body);
void errand_problem(struct errand *errand, enum problem problem, uint64_t retry_after_s, const char *detail);
void errand_trouble(struct errand *errand, const struct trouble *trouble);
/* The stored credential, or the refusal of the store. */
void errand_store_failed(struct errand *errand, int error);

/* --- endpoints: begin with an errand whose exchange is there */
void serve_token(struct errand *errand);   /* token.c */
void serve_list(struct errand *errand);    /* accounts.c */
void serve_connect(struct errand *errand); /* connect.c */
void serve_disconnect(struct errand *errand);
/* As the admin listener shows it, without the webhook's token. */
void account_write(struct buf *out, const struct credential *credential);

/* --- cors.c */
/* Field lines of an answer, in the exchange's arena; "" when there are none, NULL when out of memory. */
const char *cors_fields(const struct link *link, struct server_exchange *x);

/* --- access.c */
void access_write(const struct errand *errand, enum server_outcome outcome);

#endif
