/* Shapes that the files of this room share. Times in here are nanoseconds of the caller's clock. */
#ifndef LIMIT_INTERNAL_H
#define LIMIT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/map.h"
#include "limit/limit.h"

/* A reload holds them all: fewer than the thread sanitizer's deadlock detector can follow. */
enum { SHARD_BITS = 5, SHARDS = 1 << SHARD_BITS, CLIENT_SHARD = SHARDS, LANE_MAX = 1024 };

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)
#define NEVER     UINT64_MAX

/* --- learning ------------------------------------------------------------------------------------------ */

enum { LEARN_SLOTS = 5 };
#define LEARN_SLOT_NS (250 * NS_PER_MS)
struct learned_slot {
    uint64_t number; /* time / LEARN_SLOT_NS */
    uint64_t accepted;
};

/* What a bucket knows of a limit that nobody told us. */
struct learned {
    double ceiling;     /* the limit, as far as it can be told; 0: upstream did not object */
    double base;        /* the rate at since_ns, growing from there (learn_rate) */
    double known;       /* the last ceiling that was found by a slow climb */
    bool sure;          /* the ceiling is the limit rather than a guess */
    uint64_t since_ns;  /* the last cut, or the end of the pause it asked for */
    uint64_t cut_ns;    /* the last cut: what was sent before it says nothing new. 0: never */
    uint64_t paused_ns; /* the pause it asked for */
    uint64_t wait_ns;   /* the last wait of our own */
    unsigned streak;    /* cuts without quiet in between */
    uint64_t accepted;  /* answers since the last objection */
    struct learned_slot slots[LEARN_SLOTS]; /* … of the last second */
};

/* The rate it allows now, at most `configured` unless that is 0 for none. 0: it has nothing to say. */
double learn_rate(const struct learned *learned, double configured, uint64_t now_ns);

struct objection {
    double rate; /* in force; 0: none */
    uint64_t sent_ns, now_ns, pause_ns;
    bool overload; /* 503 rather than 429 */
};
enum lesson {
    LESSON_KNOWN, /* it was sent before the last cut */
    LESSON_WAIT,  /* nothing for *wait_ns from now */
    LESSON_CUT,
};
enum lesson learn_objection(struct learned *learned, const struct objection *objection, uint64_t *wait_ns);
/* Upstream took one. */
void learn_accept(struct learned *learned, uint64_t now_ns);
/* Forgets what has outlived itself. True: there was something. */
bool learn_expire(struct learned *learned, double configured, uint64_t now_ns);

/* --- buckets ------------------------------------------------------------------------------------------- */

struct limit_lane;

struct limit_bucket {
    struct map_node node;
    struct list age; /* in the shard's list, least recently used first */
    struct limit_shard *shard;
    enum limit_scope scope;
    unsigned pins; /* turns that hold it */
    uint64_t in_flight;
    uint64_t tat_ns;   /* GCRA: when the bucket will be full again */
    uint64_t pause_ns; /* nothing goes before */
    struct learned learned;
    _Atomic uint64_t waiting;
    struct limit_lane *lane; /* of a tenant: guarded by the queue's lock */
    double own_rate;         /* of a service: instead of the rule's rate and burst; 0: none */
    size_t owner_len;        /* of a credential: its tenant stands first in the key */
    size_t key_len;
    char key[];
};

struct limit_shard {
    pthread_mutex_t lock;
    struct map buckets;
    struct list ages;
};

/* What is in force for a bucket now. */
struct effective {
    double rate;
    uint64_t interval_ns, tolerance_ns; /* GCRA: between two, and ahead of time. interval 0: no rate */
    uint64_t burst, concurrency;
    bool learned, shadow;
};

/* The shard's lock is held in all of these. */
struct effective bucket_effective(const struct limit_rule *rule, const struct limit_bucket *bucket,
                                  uint64_t now_ns);
/* When the next but `ahead` conforms: at most now when it may go at once. NEVER: concurrency is used up. */
uint64_t bucket_ready(const struct effective *e, const struct limit_bucket *bucket, uint64_t ahead,
                      uint64_t now_ns);
/* Would a quarter of the burst and of the concurrency stay for others? */
bool bucket_has_spare(const struct effective *e, const struct limit_bucket *bucket, uint64_t now_ns);
/* Lets go of what was learned when its time is over. */
void bucket_settle(const struct limit_rule *rule, struct limit_bucket *bucket, uint64_t now_ns);
void bucket_charge(const struct effective *e, struct limit_bucket *bucket, uint64_t now_ns);
uint64_t bucket_remaining(const struct effective *e, const struct limit_bucket *bucket, uint64_t now_ns);

/* Pins the turn's buckets, new ones if need be. False: no memory or no place; nothing is pinned then. Takes
 * locks. */
bool buckets_pin(struct limit *limit, struct limit_turn *turn, const struct limit_who *who, uint64_t now_ns);
void buckets_unpin(struct limit *limit, struct limit_turn *turn);
/* The turn is not upstream any more. True: nobody waits, and it was unpinned as well. */
bool buckets_give_back(struct limit *limit, struct limit_turn *turn);
/* All shards of a turn, in order. */
void turn_lock(const struct limit_turn *turn);
void turn_unlock(const struct limit_turn *turn);
void bucket_free(struct map_node *node, void *arg);

/* --- the queue ----------------------------------------------------------------------------------------- */

/* A service's waiting turns within a tenant. */
struct limit_flow {
    struct list in_lane;
    struct list turns;
    struct limit_lane *lane;
    size_t len;
    struct slice service; /* the bytes follow */
};

/* A tenant that has waiting turns. Stands in the ring when it may have its turn, else in the heap until
 * due_ns. */
struct limit_lane {
    struct limit_bucket *tenant; /* pinned by the turns */
    struct list in_ring;
    struct list flows; /* in the order of their turns: the first is next */
    size_t len, flow_count;
    uint64_t due_ns;
    size_t heap_at; /* place + 1; 0: in the ring */
};

struct queue {
    pthread_mutex_t lock; /* taken before any shard's */
    struct list ring;
    struct limit_lane **heap;
    size_t heap_len, heap_cap, lanes;
    _Atomic uint64_t waiting;
    _Atomic bool client_blocked; /* the ring waits for the client's bucket */
    uint64_t client_due_ns;
    struct list deadlines[LIMIT_SCOPE_COUNT]; /* by whose max_wait holds: each in order */
    uint64_t longer[LANE_MAX + 1];            /* lanes that have at least so many turns */
    uint64_t promised_ns;                     /* somebody calls limit_pump then */
};

struct limit {
    struct limit_rule rules[LIMIT_SCOPE_COUNT]; /* written under all locks, read under any of them */
    _Atomic bool
        on[LIMIT_SCOPE_COUNT]; /* the scope has a rule: without one (but for tenant) there is no bucket */
    size_t shard_keys_max, waiting_max;
    struct limit_shard shards[SHARDS + 1];
    struct limit_bucket *client;
    struct queue queue;
    struct {
        _Atomic uint64_t granted, waited, wait_ms, left, yielded, cuts, keys;
        _Atomic uint64_t refused[LIMIT_SCOPE_COUNT], shadow_refused[LIMIT_SCOPE_COUNT];
    } stats;
};

static inline void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* Whether a turn may go, and who is in its way. */
struct verdict {
    uint64_t ready_ns; /* <= now: it may */
    enum limit_scope by;
};
/* With `ahead[scope]` before it. Tenant, credential and service come before the client, whose bucket is
 * everybody's. The turn's shards are locked. */
struct verdict turn_verdict(const struct limit *limit, const struct limit_turn *turn,
                            const uint64_t ahead[LIMIT_SCOPE_COUNT], uint64_t now_ns);
/* Takes a token of each bucket if all have one. Locks. */
struct verdict turn_take(struct limit *limit, struct limit_turn *turn, uint64_t now_ns);

/* queue.c; its lock is held. */
/* Puts the turn into its place. False: no memory, or the queue is full for this tenant. */
bool queue_push(struct limit *limit, struct limit_turn *turn, struct slice service, uint64_t deadline_ns);
void queue_remove(struct limit *limit, struct limit_turn *turn);
/* When a turn of that tenant and service would begin, behind those that wait. */
struct verdict queue_estimate(struct limit *limit, const struct limit_turn *turn, struct slice service,
                              uint64_t now_ns);
/* Grants and refuses. `asking` is told by its answer alone, the others by their loops. */
void queue_pump(struct limit *limit, struct limit_turn *asking, uint64_t now_ns);
/* The tenant's lane may have become ready before its time; `all`: every lane may. */
void queue_stir(struct limit *limit, struct limit_bucket *tenant, bool all);
void turn_refuse(struct limit *limit, struct limit_turn *turn, struct verdict verdict, uint64_t now_ns);

/* heap.c: lanes by due_ns */
void heap_put(struct queue *queue, struct limit_lane *lane);
void heap_take(struct queue *queue, struct limit_lane *lane);

#endif
