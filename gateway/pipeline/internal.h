/* Shapes that the files of this room share. */
#ifndef PIPELINE_INTERNAL_H
#define PIPELINE_INTERNAL_H

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

const struct cache_policy *settings_policy(const struct pipeline_settings *settings, int api,
                                           struct slice entity);
/* Of what a subject names. */
const struct cache_policy *settings_policy_of(const struct pipeline_settings *settings,
                                              const struct cache_subject *subject);

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
    bool of_client;   /* a part of a client's request */
    bool tls;         /* … and how they came */
    uint64_t wait_ms; /* how long they wait at most; 0: as long as they say themselves */
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
void segment_release(void *segment);

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

/* flight.c */
/* A flight with one reference for the caller, not yet started. NULL: no memory. */
struct flight *flight_create(struct visit *visit);
void flight_retain(struct flight *flight);
void flight_release(struct flight *flight);
/* The visit stands on the flight from now on. False: no memory. The shard's or no lock is held. */
bool flight_attach(struct flight *flight, struct visit *visit);
/* The body is there from the beginning: it goes up as if it went for a second time. False: no memory. */
bool flight_load(struct flight *flight, struct slice body);
void flight_detach(struct visit *visit);
/* Wakes every waiter; the flight's lock is held, on the owner's loop. */
void flight_wake(struct flight *flight);
/* Appends body bytes. False: no memory. Takes the lock. */
bool flight_append(struct flight *flight, struct slice data);
/* Frees what every waiter has passed, resumes the transfer when there is room again. On the waiter's loop. */
void flight_consumed(struct waiter *waiter, uint64_t cursor);
/* Takes the flight out of the table, so that later requests open their own. */
void flight_unlist(struct flight *flight);
/* Finds a flight that this visit may join, or lists a new one of its own: *opened tells which. A cache hit
 * that came in between is left in *found instead and NULL is returned. NULL and found->decision other than
 * hit: no memory. */
struct flight *flight_join(struct visit *visit, struct cache_found *found, bool *opened);

/* fetch.c: the owner's side */
/* Sends the request upstream; failing is told to the waiters like any failure. */
void fetch_start(struct flight *flight);
/* Nobody waits any more, or the sender's body broke. */
void fetch_cancel(struct flight *flight);
/* Its turn has come. */
void fetch_go(struct flight *flight);
/* … will not come. */
void fetch_refused(struct flight *flight, const char *why);
/* The next try. */
void fetch_again(struct flight *flight);
/* Ends what is in the air. */
void fetch_abort(struct flight *flight, enum problem problem, const char *why);

/* The body so far in one run of bytes: the only segment, or a copy (*copied: to be freed). NULL: no memory.
 */
char *fetch_whole_body(const struct flight *flight, bool *copied);

/* strike.c */
enum { STRIKE_MAX = 1024 * 1024 };
/* Puts the struck body in the place of what came. False: it cannot be read, and is not passed on. */
bool strike_body(struct flight *flight);

/* upload.c */
/* The sender has (more) body. */
void fetch_upload(struct flight *flight);

/* retry.c: further tries */
/* Does this head call for another try, and may there be one? Then its body is passed over, and fetch_again
 * follows. */
bool retry_head(struct flight *flight, const struct http_response *head);
/* Likewise for a failure. */
bool retry_failure(struct flight *flight, enum upstream_failure failure, bool sent);
/* The transfer ended, one way or the other: was it one that is passed over? */
bool retry_passed_over(struct flight *flight);
/* Was the flight in the pause between two tries? It is not any more. */
bool retry_cancel(struct flight *flight);

/* turn.c: limit/ before and behind the transfer */
/* With the worker. False: no memory. */
bool turns_open(struct pipeline *pipeline);
void turns_close(struct pipeline *pipeline);
/* Lets go up who may by now: rules may have changed. */
void turns_pump(struct pipeline *pipeline);
/* The host has failed again: once its breaker is open, nobody has to wait for a turn to hear so. */
void turns_give_up(struct pipeline *pipeline, struct upstream_host *host);
/* Asks for the flight's turn; fetch_go or fetch_refused follows, now or later. */
void turn_ask(struct flight *flight);
/* Was the flight waiting for its turn? It is not any more. */
bool turn_cancel(struct flight *flight);
/* One more request of the same flight goes up. */
void turn_again(struct flight *flight);
/* What upstream thinks of our pace; notes the RateLimit lines. */
void turn_answered(struct flight *flight, const struct http_response *head);
/* The flight is over. */
void turn_end(struct flight *flight);

/* inquiry.c: what a request asks of the cache. */
struct inquiry {
    const struct http_request *request;
    const struct route *route;
    const struct pipeline_api *api;
    struct slice credential_id;
    bool silent; /* nobody is told of a lease that nobody looks after */

    /* made */
    struct cache_subject subject;
    struct cache_query query;
    bool settling, cacheable; /* cacheable: GET or HEAD that the cache may answer */
};
/* False: no memory, or a key that is too long. What is made lives as long as the arena and what was given. */
bool inquiry_make(struct pipeline *pipeline, const struct pipeline_settings *settings, struct arena *arena,
                  struct inquiry *inquiry);
/* core/credentials carries upstream secrets: its answers are struck, and never kept. */
bool inquiry_is_struck(const struct pipeline_api *api, const struct route *route);

/* forward.c */
/* Writes the request head for upstream up to where Authorization comes, into the flight's arena; ptr is NULL
 * when it does not fit, and fetch_start fails then. */
void forward_head(struct flight *flight, const struct visit *visit, struct cache_entry *validating);
/* Appends what of the client's fields is part of the cache key, since it goes up and an upstream may repeat
 * it: one line for each, begun by LF, which no query holds. False: they do not fit into `out`. */
bool forward_put_keyed(struct buf *out, const struct http_fields *fields);
/* Appends, as lines, what of the client's fields goes up with a request whose answer others may get. */
void forward_put_shared(struct buf *out, const struct http_fields *fields);
/* The client's Authorization when it is to go up as it is; NULL: the gateway's token goes. */
const struct http_field *forward_authorization(const struct visit *visit);

/* answer.c */
/* Appends what of an answer's fields is neither about the connection nor the gateway's own to say. */
void answer_put_end_to_end(struct buf *out, const struct http_fields *fields,
                           const struct cache_policy *policy);
/* Appends an answer's end-to-end fields as lines for clients. */
void answer_put_fields(struct buf *out, const struct http_fields *fields, const struct flight *flight);
/* Answers from an entry: conditions, ranges, splice and all. age_ms is the entry's present age. */
void answer_entry(struct visit *visit, struct cache_entry *entry, uint64_t age_ms);
/* Answers with what was kept for a repetition; what it consists of lives until on_done. */
void answer_kept(struct visit *visit, const struct idempotency_answer *kept);
/* Begins the answer of a flight whose head is known; `length` is the body's as the client will see it. */
void answer_flight(struct visit *visit, struct flight *flight, uint64_t length);
/* The link as this visit's client must see it; the raw one when it does not point at upstream. */
struct slice answer_link(struct visit *visit, struct slice link);
/* Begins an answer of our own making with these field lines, beside those that every answer carries. False:
 * no memory, and there will be no answer. */
bool answer_begin(struct visit *visit, int status, const char *fields, uint64_t length);
/* Answers with upstream_status from copies in the arena of what a flight brought. */
void answer_copy(struct visit *visit, struct slice block, bool has_date, uint64_t length, struct slice body);
/* Our own error. */
void answer_problem(struct visit *visit, enum problem problem, const char *detail);
/* `extra`: further members, as problem_body's. */
void answer_problem_with(struct visit *visit, enum problem problem, const char *extra, const char *detail);

/* stream.c: the visit's side of a flight */
/* Opens or joins a flight for what the cache cannot answer. */
void visit_fetch(struct visit *visit);
/* The flight moved. */
void visit_progress(struct visit *visit);
/* Starts a flight that the visit stands on. Consumes one reference. */
void visit_launch(struct visit *visit, struct flight *flight, struct cache_entry *validating);
/* A revalidation that nobody waits for. */
void visit_refresh(struct visit *visit);
/* Sends what is there, as far as the client takes it. */
void visit_stream(struct visit *visit);
/* The known answer instead of a failure (RFC 5861 4). False: there is none. */
bool visit_answer_stale(struct visit *visit, const char *detail);

/* patience.c: Prefer: wait=N (RFC 7240 4.3) */
/* From now on the client waits for N seconds; without the preference nothing happens. on_done clears the
 * timer. */
void patience_start(struct visit *visit);
/* … as it says itself. False: it does not. */
bool patience_seconds(const struct visit *visit, uint64_t *seconds);
/* Does a Prefer field say nothing but that? */
bool patience_is_all(struct slice prefer);
/* The visit is about to leave its flight, which goes on if it may be of use. */
void patience_let_go(struct visit *visit);

/* Has the client said how long it would wait? */
bool patience_given(const struct visit *visit);

/* The client does not wait longer than until then. */
void patience_shorten(struct visit *visit, uint64_t deadline_ms);

/* ready.c: a credential without data yet */
bool ready_open(struct ready_table *table);
void ready_close(struct ready_table *table);
/* A head has come (the flight's lock is not held). True: nothing is answered now: its end is awaited, or the
 * visit waits for a better answer, and has left the flight. */
bool ready_holds(struct visit *visit, struct flight *flight, enum flight_phase phase, uint64_t produced);
/* The client waits no longer: it has the answer that was withheld. False: that is not how it waits. */
bool ready_give_up(struct visit *visit);
/* The body of the request, when it is sent once more; ptr is NULL when it is not. */
struct slice ready_upload(const struct visit *visit);
/* The visit ends. */
void ready_clear(struct visit *visit);

/* once.c: Idempotency-Key (contract 8) */
bool once_open(struct once_table *table, int first_table);
void once_close(struct once_table *table);
/* The first worker that starts forgets what is too old, from time to time. Before the threads run. */
void once_clean_start(struct pipeline *pipeline);
void once_clean_stop(struct pipeline *pipeline);
/* Is this a write with a key? */
bool once_asked(const struct visit *visit);
/* Answers a repetition; or sends the write, once its intent is durable. */
void once_start(struct visit *visit);
/* The visit waited for the outcome of another one's use of its key: it is there. */
bool once_waits(const struct visit *visit);
void once_again(struct visit *visit);
/* … and does not wait any longer. */
void once_give_up(struct visit *visit);
/* "replayed" …, or NULL. */
const char *once_word(const struct visit *visit);
/* Was this answer kept from an earlier request? */
bool once_replays(const struct visit *visit);
/* The visit is over. */
void once_done(struct visit *visit);
/* The flight's side, on the owner's loop, for a flight with `once`. More of the body came: must all of it be
 * gathered still, although nobody may be waiting? */
bool once_gathers(struct flight *flight);
/* The answer is complete. */
void once_landed(struct flight *flight);
/* It failed; says as which problem. */
void once_failed(struct flight *flight, enum problem *problem, const char **why);

/* fanout.c: X-Fanout (contract 7) */
/* Does the request ask for it? Then it is walked on from here. */
bool fanout_takes(struct visit *visit);
/* The visit ends. */
void fanout_clear(struct visit *visit);

/* invalidate.c */
/* An unsafe request by the gateway's own clients is about to go up. */
void invalidate_write(const struct pipeline *pipeline, const struct pipeline_settings *settings,
                      const struct cache_subject *subject, enum method method);
/* … was answered, or nobody will know. */
void invalidate_answered(struct flight *flight);

/* location.c: URLs in an answer's fields, as the gateway's own requests */
/* What of the flight's tenant and API a Location names. False: nothing, or it is not on the same origin. */
bool location_route(struct flight *flight, struct slice reference, struct route *route);
/* Does Content-Location name what the flight asked for? */
bool location_is_target(struct flight *flight);

/* caller.c: both answer themselves when they are false */
/* Who is calling? Before anything is said about the request. */
bool step_caller(struct visit *visit);
/* May they, for this tenant, API and method? After the route is known. */
bool step_allowed(struct visit *visit, struct slice api);

/* discover.c */
/* No credential fits: is the tenant looked up first? Then visit_walk_on follows, or its end. */
bool discover_start(struct visit *visit);
/* The visit ends. */
void discover_clear(struct visit *visit);
/* Why there is nothing, for the refusal; static. */
const char *discover_outcome(const struct visit *visit);
/* What an answer says of the credential that it was given to. */
void discover_doubt(const struct flight *flight, int status);

/* coverage.c */
/* Do webhooks cover what the route reads by that credential? `tell`: the watcher, if nobody looks after it.
 */
bool coverage_of(const struct pipeline *pipeline, const struct pipeline_settings *settings,
                 const struct route *route, struct slice credential, bool tell);

/* canary.c */
/* A hit is about to be answered from the entry: it may be one that is read again. */
void canary_hit(struct visit *visit, const struct cache_found *found);
/* The worker stops. */
void canary_stop(struct pipeline *pipeline);

/* pipeline.c */
/* The walk from the credential on. */
void visit_walk_on(struct visit *visit);
/* … once more, as if nothing had been asked yet. */
void visit_walk_again(struct visit *visit);

/* access.c */
void access_done(struct visit *visit, enum server_outcome outcome);

#endif
