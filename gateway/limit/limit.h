/*
 * How much goes upstream, and whose turn it is (contract 8). Four scopes, each a token bucket for every key
 * (GCRA) with a bound on what is upstream at once: the whole client id, a tenant, a credential, a calling
 * service. Who is over a limit waits, fairly between tenants and, within a tenant, between services (deficit
 * round robin; every request costs one); who could not begin within max_wait is refused at once. A 429 or 503
 * slows its scope down, silence brings it back (learn.c).
 *
 * One desk for all workers; any thread may call. Time is an argument: monotonic milliseconds. Buckets stand
 * in tables with a short lock for each part; only requests that wait share one lock. Without waiting nothing
 * is posted and no timer is needed.
 */
#ifndef LIMIT_LIMIT_H
#define LIMIT_LIMIT_H

#include "base/buf.h"
#include "base/loop.h"

/* X(id, "name") */
#define LIMIT_SCOPES(X)                                                                                      \
    X(CLIENT, "client") X(TENANT, "tenant") X(CREDENTIAL, "credential") X(SERVICE, "service")

enum limit_scope {
#define LIMIT_SCOPE_ENUM(id, name) LIMIT_##id,
    LIMIT_SCOPES(LIMIT_SCOPE_ENUM)
#undef LIMIT_SCOPE_ENUM
        LIMIT_SCOPE_COUNT
};
const char *limit_scope_name(enum limit_scope scope);

struct limit_rule {
    double rate;                 /* requests per second; 0: none */
    uint64_t burst, concurrency; /* 0: as many as a second of rate gives; any number */
    uint64_t max_wait_ms;
    bool shadow; /* counts what it would refuse, refuses nothing */
};

struct limit_options {
    struct limit_rule rules[LIMIT_SCOPE_COUNT];
    size_t keys_max;    /* buckets remembered; idle ones are forgotten first. 0: 262144 */
    size_t waiting_max; /* turns that wait, over all tenants; no tenant may take the last places. 0: 16384 */
};

struct limit;

/* NULL: out of memory. */
struct limit *limit_create(const struct limit_options *options);
/* New rules for what asks from now on, and for what waits. keys_max and waiting_max stay. */
void limit_configure(struct limit *limit, const struct limit_options *options);
/* After every turn is over. */
void limit_destroy(struct limit *limit);

/* --- turns --------------------------------------------------------------------------------------------- */

enum limit_answer { LIMIT_GRANTED, LIMIT_WAITING, LIMIT_REFUSED };

/* Who wants to go upstream. An empty credential or service has no bucket of that scope. Borrowed for the
 * call. */
struct limit_who {
    struct slice tenant, credential, service;
    bool background; /* goes only when nobody waits and a share of the burst stays for others; never waits */
    /* The service's own, in place of its rule's rate and burst: a second of it may go at once. 0: it has
     * none. */
    double service_rate;
};

struct limit_bucket;
struct limit_flow;

/* One request's turn, in its owner's memory, zeroed before it asks. The owner sets loop and on_turn; the rest
 * is the desk's. */
struct limit_turn {
    struct loop *loop;
    /* The waiting is over: answer is GRANTED or REFUSED. On the loop, once, only after limit_ask said
     * WAITING. */
    void (*on_turn)(struct limit_turn *turn);

    enum limit_answer answer;
    enum limit_scope by;    /* who refused, or made it wait */
    uint64_t retry_after_s; /* of a refusal, at least 1: asked again then, with nobody before it, it goes at
                               once */
    uint64_t asked_ms, granted_ms;

    struct limit_bucket *buckets[LIMIT_SCOPE_COUNT];
    bool counted; /* in the buckets' in_flight */
    bool posted;
    struct limit_flow *flow;
    struct list in_flow, in_deadlines;
    uint64_t deadline_ns;
    struct loop_task task;
};

/* Asks for a turn. Whatever the answer, it ends in limit_done (a WAITING one may end in limit_leave). */
enum limit_answer limit_ask(struct limit *limit, struct limit_turn *turn, const struct limit_who *who,
                            uint64_t now_ms);
/* One more request of a turn that was granted (a second attempt): counted, never refused. */
void limit_charge(struct limit *limit, struct limit_turn *turn, uint64_t now_ms);
/* The owner of a waiting turn is not interested any more, on its loop. True: on_turn is on its way
 * nevertheless, the memory has to stay and limit_done has to follow there. False: the place is free, the turn
 * over. */
bool limit_leave(struct limit *limit, struct limit_turn *turn, uint64_t now_ms) MUST_CHECK;
/* A granted (or late refused) turn is over. Harmless for one that is over already. */
void limit_done(struct limit *limit, struct limit_turn *turn, uint64_t now_ms);

/* Whoever called any of these asks next when limit_pump has to be called: one caller is told each time,
 * UINT64_MAX tells that it is not this one. Who is told has to keep it, also when it has no turn of its own
 * waiting. */
uint64_t limit_due_ms(struct limit *limit);
/* Grants and refuses what is due. */
void limit_pump(struct limit *limit, uint64_t now_ms);

/* --- learning ------------------------------------------------------------------------------------------ */

enum { LIMIT_PAUSE_MAX_MS = 60 * 1000 };

/* What upstream said to a granted turn. retry_after_ms: UINT64_MAX when it did not say; more than
 * LIMIT_PAUSE_MAX_MS counts as that. 429 slows the tenant (Rollout's limit is by tenant), 503 the credential
 * where that has a limit, else the tenant. */
void limit_learn(struct limit *limit, struct limit_turn *turn, int status, uint64_t retry_after_ms,
                 uint64_t now_ms);

/* --- looking ------------------------------------------------------------------------------------------- */

/* Appends "RateLimit-Policy: …\r\nRateLimit: …\r\n" (draft-ietf-httpapi-ratelimit-headers) of the scopes that
 * have a rate and enforce it; nothing when there is none. For a refused turn r is 0 and t its retry_after_s.
 */
void limit_put_fields(struct limit *limit, const struct limit_turn *turn, uint64_t now_ms, struct buf *out);

struct limit_state {
    enum limit_scope scope;
    struct slice key; /* empty for client */
    double rate;      /* in force, learned or configured; 0: none */
    double configured_rate;
    uint64_t burst, remaining, concurrency, in_flight, waiting, paused_ms;
    bool learned, shadow;
};
/* The client's bucket, the tenant's (full when nothing is remembered of it), and its credentials' as far as
 * they are remembered. With an empty tenant: the client's, and every bucket that is slowed or has somebody
 * waiting. fn is called under a lock: short, and no call back into the desk. */
void limit_each(struct limit *limit, struct slice tenant, uint64_t now_ms,
                void (*fn)(const struct limit_state *state, void *arg), void *arg);

struct limit_stats {
    uint64_t granted, waited, wait_ms; /* waited: granted after waiting; wait_ms: their sum */
    uint64_t refused[LIMIT_SCOPE_COUNT], shadow_refused[LIMIT_SCOPE_COUNT];
    uint64_t left, yielded,
        cuts;               /* waiters that went; background that was not let; times a scope was slowed */
    uint64_t waiting, keys; /* now */
};
void limit_stats(struct limit *limit, struct limit_stats *out);

#endif
