/* Shapes that the files of this room share: settings, what workers share, a visit, a flight. */
#ifndef PIPELINE_SHAPES_H
#define PIPELINE_SHAPES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/list.h"
#include "base/map.h"
#include "caller/caller.h"
#include "idempotency/idempotency.h"
#include "limit/limit.h"
#include "pipeline/pipeline.h"
#include "route/route.h"

/* --- settings
 * ------------------------------------------------------------------------------------------------- */

struct pipeline_api {
    struct slice name;
    struct slice base_url;  /* as configured, without a trailing slash */
    struct slice base_path; /* "/api" or "" */
    struct upstream_origin origin;
    struct upstream_host *host; /* its breaker and budget, shared by all workers; or NULL */
    bool is_core;               /* needs no credential */
    bool client_authorization;  /* the client's own may go up */
};

struct pipeline_rule {
    int api; /* -1: none of ours */
    struct slice entity;
    struct cache_policy policy;
};

struct pipeline_settings {
    unsigned refs; /* one worker only */
    struct arena arena;
    struct slice *names;
    struct pipeline_api *apis;
    size_t api_count;
    struct pipeline_rule *rules;
    size_t rule_count;
    struct event_rule *dependencies;
    size_t dependency_count;
    struct cache_policy default_policy;
    uint64_t write_settle_ms, coverage_ms, body_max, leg_ms;
    size_t entry_max;
    struct event_plan *plan; /* or NULL */
    uint64_t canary_ms;      /* between two re-reads; 0: none */
    bool access_log, discovery;
    bool allow_anonymous;
};

/* --- shared between workers
 * ----------------------------------------------------------------------------------- */

enum { FLIGHT_SHARDS = 16 };

struct flight_shard {
    pthread_mutex_t lock; /* taken before a flight's own lock */
    struct map flights;   /* listed ones by key */
};

/* Keyed writes under way in this process (once.c). */
struct once_table {
    pthread_mutex_t lock; /* taken before a flight's own lock */
    struct map uses;      /* by id */
    int first_table;
    struct idempotency_owner self;
    /* once_clean.c, on one worker's loop */
    struct pipeline *cleaner; /* that worker's; NULL once it stops */
    struct loop_timer clean;
    struct idempotency_change cleaning;
};

/* Credentials whose data is waited for (ready_room.c). */
struct ready_table {
    pthread_mutex_t lock;
    struct map rooms; /* by credential */
};

struct pipeline_shared {
    struct cache *cache;
    struct token_ring *tokens;
    struct store *store;
    int caller_table;
    struct upstream_hosts *hosts;
    struct limit *limit;
    _Atomic uint64_t canary_ms; /* when the next hit is read again */
    struct flight_shard shards[FLIGHT_SHARDS];
    struct once_table once;
    struct ready_table ready;
};

struct pipeline {
    struct loop *loop;
    struct server *server; /* where its own requests enter; or NULL */
    struct pipeline_hooks hooks;
    struct pipeline_watcher watcher;
    struct pipeline_shared *shared;
    struct upstream *upstream;
    struct store_view *view;
    struct caller_desk *desk;
    struct pipeline_settings *settings;
    unsigned active;
    bool cleans;             /* it is the one that forgets old idempotency keys */
    size_t fanned;           /* bytes that fan-outs hold */
    struct list air;         /* flights whose transfer runs on this worker, or waits for its turn */
    struct list canaries;    /* under way */
    struct loop_timer turns; /* the queue of limit/: armed always */
    struct {
        _Atomic uint64_t outcomes[PIPELINE_OUTCOME_COUNT];
        _Atomic uint64_t statuses[6];
        _Atomic uint64_t buckets[PIPELINE_BUCKETS];
        _Atomic uint64_t canary_same, canary_late, canary_drift, canary_unclear, canary_failed;
        _Atomic uint64_t duration_us, fenced, clients_gone, token_retries, not_ready, retries,
            retry_budget_exhausted;
        _Atomic uint64_t once[PIPELINE_ONCE_COUNT];
    } stats;
};

/* Only this worker writes, others read: a plain add without a locked instruction. */
static inline void count_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* --- a request's state: lives in the exchange's arena
 * ---------------------------------------------------------- */

struct flight;
struct waiter;
struct ask;
struct once;
struct fanout;
struct unready;

/* Who stands behind a request of the gateway's own (server_inner_start): nobody has to be identified. */
struct insider {
    const struct caller *caller; /* for whom, or NULL */
    bool background;
    bool of_client;    /* a part of a client's request */
    bool tls;          /* … and how they came */
    struct slice peer; /* … and the name of theirs (peer_name) */
    uint64_t wait_ms;  /* how long they wait at most; 0: as long as they say themselves */
};

struct visit {
    struct pipeline *pipeline;
    struct server_exchange *x;
    struct pipeline_settings *settings; /* retained */
    const struct insider *insider;      /* NULL: a client's request */
    struct insider inside;              /* what it points to: its maker may leave before this visit ends */
    const struct caller *caller;        /* retained; NULL: not asked for */
    const char *rule;                   /* of callers, that refused; or NULL */
    struct route route;
    const struct pipeline_api *api;
    struct slice credential_id, app_key; /* in the arena; empty for core */
    struct cache_subject subject;
    struct cache_query query;  /* its key is built when the cache may take part */
    struct cache_entry *entry; /* retained: what revalidation or stale-if-error may use */
    bool cacheable;            /* GET or HEAD that the cache may answer */
    bool settling;

    /* How it was answered: for Cache-Status, counters and the access line. */
    enum pipeline_outcome outcome;
    const char *fwd; /* RFC 9211 fwd, NULL for a hit */
    const char *detail;
    bool collapsed, stored;
    int upstream_status; /* 0: none asked */
    int64_t ttl_ms;

    struct slice limits;        /* RateLimit lines of the flight that answers it, copied */
    uint64_t retry_after_s;     /* of a refusal by limit/ */
    unsigned tries;             /* requests that its flight had sent */
    struct loop_timer patience; /* Prefer: wait */
    struct rollout_wait discovery;
    bool discovering, discovered; /* the tenant is being looked up; was */

    struct waiter *waiter;             /* while it stands on a flight */
    bool opener;                       /* it opened that flight */
    struct cache_entry *sending_entry; /* retained: the answer's bytes are its */
    struct flight *sending_flight;     /* likewise */
    bool begun;                        /* server_begin was called */
    bool head_only;                    /* HEAD, or an answer without body */
    uint64_t cursor;                   /* body bytes of the flight that were given to the server */
    struct slice link;                 /* the nextLink as this client must see it */
    bool linked;                       /* … has been sent */

    struct unready *unready; /* it has waited for the credential's data; or NULL */
    struct fanout *fanout;   /* the request goes to several systems; or NULL */

    /* Request body on its way up (the private flight's sender). */
    struct slice upload; /* taken from the server, not yet by upstream */

    struct ask *ask; /* of a write with an Idempotency-Key, in the arena; else NULL */
};

/* --- flights
 * --------------------------------------------------------------------------------------------------- */

/* A piece of body, as it came. */
struct segment {
    atomic_uint refs;
    struct segment *next;
    uint64_t at; /* offset in the body */
    size_t len;
    char data[];
};

enum flight_phase {
    FLIGHT_WAITING,   /* no head yet */
    FLIGHT_STREAMING, /* head known, body coming */
    FLIGHT_LANDED,    /* all there */
    FLIGHT_FAILED,    /* failure is set; may come after STREAMING: then the answer is cut */
};

/*
 * A fetch: it belongs to nobody's request. Visits stand on it as waiters, on any worker; the worker that
 * opened it drives the transfer. Fields below `lock` are guarded by it; those below `owner` are the owner
 * worker's alone; the head is written before the phase leaves WAITING and never after.
 *
 *   WAITING --head--> STREAMING --end--> LANDED
 *      |                  |
 *      +------ fail ------+----------> FAILED
 */
struct flight {
    atomic_uint refs;
    struct map_node node;
    bool listed; /* stands in the shard's map: guarded by the shard */
    struct slice key;
    uint64_t key_hash;

    /* owner worker */
    struct pipeline *owner;
    struct pipeline_settings *settings;
    const struct pipeline_api *api;
    struct list in_air; /* in owner->air */
    struct upstream_transfer *transfer;
    struct arena arena;
    struct cache_query query; /* the opener's, copied: for Vary and the policy */
    struct cache_answer answer;
    struct slice tenant, credential_id, service;
    double service_rate;
    struct cache_subject subject;
    enum method method;
    struct slice request_head; /* up to where our own identity comes: to send it again */
    enum http_framing upload_framing;
    uint64_t upload_length;
    struct visit *sender;           /* whose request body goes up; NULL without one or once it left */
    struct buf replay;              /* body bytes that went up, while they are few: for a further try */
    size_t replayed;                /* bytes of it that the present try has sent */
    bool resending;                 /* this try is not the first: `replay` goes up before the rest */
    bool upload_done;               /* the sender's body ended */
    struct cache_entry *validating; /* conditions of this entry were sent */
    struct route_scan scan;
    bool strike;        /* core/credentials: secrets are struck out before anybody sees the body */
    bool retried;       /* the one re-mint after a 401 was used */
    bool swallowing;    /* the 401's body is being passed over */
    uint64_t swallowed; /* … so much of it */
    struct buf held;    /* body bytes taken from the sender, not yet by upstream */
    bool unsafe;
    bool own_authorization; /* request_head has the client's: no token */
    struct limit_turn turn;
    bool queued;          /* waits for its turn */
    bool left;            /* gave that up while the turn was on its way: on_turn ends it */
    bool background;      /* a refresh that nobody asked for */
    unsigned tries;       /* requests sent, the present one included */
    uint64_t deadline_ms; /* of all tries; 0 before the first */
    uint64_t pause_ms;    /* before the next try */
    struct loop_timer pause;
    bool passing_over; /* a bad answer's body, before it is tried again */
    bool fills;        /* opened for the cache: its answer may be stored and shared */
    struct loop_task resume;

    /* the head: written once */
    struct slice limits;    /* RateLimit lines; also of a refusal */
    uint64_t retry_after_s; /* of a refusal */
    int status;
    struct slice block; /* field lines for clients, made once */
    uint64_t length;    /* of upstream's body; SERVER_LENGTH_UNKNOWN */
    bool varies;        /* waiters have to know the variant to be theirs */
    bool has_date, has_retry_after;
    uint64_t asked_s;  /* … in seconds, or 0 */
    bool not_modified; /* a 304 to our own conditions */

    pthread_mutex_t lock;
    enum flight_phase phase;
    bool outlives;         /* goes on until its head although nobody waits */
    bool keeps;            /* it may still fill the cache: the body is gathered from its beginning */
    bool shareable;        /* waiters other than the opener may have the answer */
    const char *store_why; /* RFC 9211 detail of what was not stored */
    bool paused;           /* upstream is not read: the slowest waiter is a window behind */
    bool resume_posted;
    struct list waiters;
    struct segment *first, *last;
    uint64_t produced;  /* bytes that came */
    uint64_t settled;   /* bytes that may be sent on: not inside a nextLink */
    uint64_t splice_at; /* where a nextLink value stands; splice_len 0: none */
    size_t splice_len;
    char *splice;              /* its bytes, gathered */
    bool scan_over;            /* the splice cannot come any more: lengths can be told */
    struct cache_entry *entry; /* landed and stored (or freshened) */
    enum problem problem;
    enum upstream_failure failure;
    const char *why;
    bool sent; /* a byte of the present try left, or may have */

    struct once *once; /* owner worker: whose outcome is to be kept, until it is; else NULL */
    bool withheld;     /* lock: nobody is told anything before that outcome is durable */

    _Alignas(max_align_t) char first_block[]; /* the arena's */
};

/* One visit on one flight. Its own allocation, since a wake-up may still be on its way when the visit ends.
 */
struct waiter {
    struct list node; /* in flight->waiters: guarded by its lock */
    struct loop_task task;
    struct flight *flight; /* retained */
    struct pipeline *pipeline;
    struct visit *visit; /* NULL once it left; its own worker only */
    bool posted;         /* a wake-up is on its way: guarded by the flight's lock */
    uint64_t cursor;     /* guarded by the flight's lock */
};

enum {
    FLIGHT_WINDOW = 256 * 1024,
    VISIT_BACKLOG = 256 * 1024,
    VISIT_HOLD = 64 * 1024,
    SWALLOW_MAX = 64 * 1024
};

#endif
