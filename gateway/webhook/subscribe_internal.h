/*
 * The reconciler's parts. decide.c: what Rollout has against what is wanted, pure. job.c: one credential's
 * turn, call by call. subscribe.c: whose turn it is. subscribe_walk.c: where
 * jobs come from. subscribe_removal.c: credentials that are gone.
 *
 *   READY -> RUNNING -> (freed), or WAITING for its next look, or PARKED until Rollout can be asked again
 */
#ifndef WEBHOOK_SUBSCRIBE_INTERNAL_H
#define WEBHOOK_SUBSCRIBE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "credential/credential.h"
#include "webhook/subscribe.h"

/* --- decide.c ----------------------------------------------------------------------------------- */

enum subscribe_move {
    SUBSCRIBE_KEEP,    /* as it should be */
    SUBSCRIBE_FOREIGN, /* not ours: never touched */
    SUBSCRIBE_POINT,   /* PUT: it leads to another URL of ours */
    SUBSCRIBE_DELETE,  /* ours, and one too many: unwanted, a duplicate, disabled, filtered */
};
/* A subscription at Rollout. */
struct subscribe_listed {
    struct slice id, url;
    int event; /* index in the plan; -1: not in it */
    bool active, filtered;
    enum subscribe_move move; /* the decision */
};
struct subscribe_own {
    struct slice url;    /* this credential's */
    struct slice prefix; /* "{public_url}/webhooks/rollout/": whatever begins so is ours */
    struct slice path;   /* "/webhooks/rollout/{token}": so is what ends so, wherever we were before */
};
/* Pure. Decides on each that is listed; missing[event] (event_count of them) is set for those to create.
 * Of several that would do, the one with the smallest id stays. */
void subscribe_decide(const struct subscribe_own *own, struct subscribe_listed *listed, size_t count,
                      bool *missing, size_t event_count);
/* Pure. The entities of which have[event] is true for each event. */
uint64_t subscribe_mask(const struct event_plan_api *plan, const bool *have);

/* --- jobs --------------------------------------------------------------------------------------- */

enum {
    SUBSCRIBE_RUNNING = 16,     /* credentials whose turn it is at the same time … */
    SUBSCRIBE_WALKING = 4,      /* … of them those that only the walk has brought */
    SUBSCRIBE_HEADWAY_MS = 100, /* what the walk may make up for after a pause */
    SUBSCRIBE_WATCHED = 100000, /* credentials in use that are looked after */
    SUBSCRIBE_PARKED = 20000,
    SUBSCRIBE_REMOVALS = 64,
    SUBSCRIBE_LISTED = 2000, /* subscriptions of one credential and api */
    SUBSCRIBE_PAGES = 40,
    SUBSCRIBE_REFUSED = 48,
    SUBSCRIBE_APIS = 64,
    SUBSCRIBE_URL_MAX = 2048,
};

enum subscribe_place { PLACE_NONE, PLACE_READY, PLACE_WALK, PLACE_RUNNING, PLACE_WAITING, PLACE_PARKED };

/* How a run ended. */
enum subscribe_end {
    END_DONE,
    END_GIVEN_UP,  /* until the next interval: refused, or not there */
    END_NOT_READY, /* 409 */
    END_LATER,     /* nobody could be asked: limits, network, 5xx */
};

struct subscribe_run;

/* One credential that is looked after, or was removed. */
struct subscribe_job {
    struct map_node node;
    struct list link; /* in the list of its place */
    enum subscribe_place place;
    struct subscribe *owner;
    struct subscribe_run *run;
    uint64_t todo;    /* APIs of the plan to look at in this turn */
    uint64_t again;   /* … asked for while it is RUNNING, by a mapping that may be another one by now */
    uint64_t watched; /* APIs that are read from: looked at again and again */
    uint64_t due_ms;
    unsigned attempts; /* turns in a row that ended too early */
    bool walked;       /* the walk brought it */
    bool fresh;        /* what was refused may be tried again */
    bool lapsed;       /* told that coverage has run out */
    bool removal;
    uint16_t refused[SUBSCRIBE_REFUSED]; /* events that Rollout does not know: api << 8 | event */
    unsigned refused_count;
    /* of a removal */
    char token[CREDENTIAL_TOKEN_LEN];
    char key[CREDENTIAL_REMOVED_KEY];
    size_t tenant_len, id_len;
    char names[]; /* tenant, id */
};
static inline struct slice job_tenant(const struct subscribe_job *job)
{
    return slice_of(job->names, job->tenant_len);
}
static inline struct slice job_id(const struct subscribe_job *job)
{
    return slice_of(job->names + job->tenant_len, job->id_len);
}

struct subscribe {
    struct loop *loop;
    struct store *store;
    struct store_view *view;
    struct cache *cache;
    struct rollout_door door;
    struct event_plan *plan; /* NULL: nothing is subscribed to */
    char *public_url;        /* without a trailing slash */
    uint64_t interval_ms, bound_ms;
    struct map jobs;
    struct list ready, walk, running, waiting, parked;
    unsigned running_count, walking_count, watched_count, parked_count, removal_count;
    bool walking, paged, stopped, pumping; /* paged: the walk has read its last page */
    char *cursor;                          /* the walk's last tenant */
    size_t cursor_len;
    uint64_t walk_ms, chores_ms, glance_ms, count_ms; /* when they are next due */
    uint64_t pace_ms; /* when the walk may go on: each of its calls takes a millisecond of it */
    struct loop_timer timer;
    struct loop_task inbox_task;
    pthread_mutex_t lock; /* of the inbox */
    struct list inbox;
    unsigned inbox_count;
    bool inbox_posted;
    struct {
        _Atomic uint64_t looks, created, pointed, deleted, refused, not_ready, failed, removed, walks;
        _Atomic uint64_t covered, partly, uncovered, walking; /* gauges */
    } stats;
};

/* subscribe.c */
/* The job of that credential, made where there is none; `key`: of what it left behind, or empty. NULL: no
 * memory. A new one is in no place: to be moved at once. */
struct subscribe_job *subscribe_job(struct subscribe *s, struct slice tenant, struct slice id,
                                    struct slice key);
/* Into another list; the only way for a job to move. */
void subscribe_move_to(struct subscribe_job *job, enum subscribe_place place);
/* The lease of an API of the plan, as cache_lease_show. */
bool subscribe_lease(const struct subscribe_job *job, unsigned api, struct cache_lease *lease,
                     uint64_t *used_ms);
/* Nobody looks after these APIs any more. */
void subscribe_unwatch(struct subscribe_job *job, uint64_t apis);
/* The run is over. */
void subscribe_ended(struct subscribe_job *job, enum subscribe_end end, uint64_t after_ms);
void subscribe_pump(struct subscribe *s);
static inline void subscribe_count(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* walk.c */
/* What other threads have asked for. */
void subscribe_take_inbox(struct subscribe *s);
void subscribe_drop_inbox(struct subscribe *s);
/* Everything is looked at from the beginning. */
void subscribe_walk_begin(struct subscribe *s);
/* The next tenants, when those before them are done. */
void subscribe_walk_on(struct subscribe *s);

/* job.c */
/* Begins the turn of a job that is RUNNING; subscribe_ended follows, now or later. False: no memory. */
bool subscribe_run_start(struct subscribe_job *job);
/* Ends it without a word. */
void subscribe_run_cancel(struct subscribe_job *job);

/* APIs of the plan that the credential serves, as bits: those with events, and those that it names. */
uint64_t subscribe_apis(const struct subscribe *s, const struct credential *credential);

/* removal.c */
/* Makes jobs of what credentials left behind that were removed. */
void subscribe_glance(struct subscribe *s);
/* Nothing of it is left at Rollout, or nobody can tell any more: forgets it. */
void subscribe_removed(struct subscribe_job *job);

#endif
