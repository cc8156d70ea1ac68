/*
 * Shapes that the files of this room share. From the bottom: generation.c (counters), targeted.c, policy.c,
 * vary.c and condition.c (decisions, pure), entry.c (one allocation an entry), index.c (who is in, who has to
 * go), warm*.c (the copy on disk), find.c and store.c (the desk).
 */
#ifndef CACHE_CACHE_INTERNAL_H
#define CACHE_CACHE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/cache.h"

/* --- entries --------------------------------------------------------------------------------- */

/* Flags of an entry beside the CC_* bits of the upstream's directives, which stand in the same word. */
enum {
    ENTRY_S_MAXAGE = 1 << 24,  /* the lifetime is s-maxage: RFC 9111 5.2.2.10 */
    ENTRY_HEURISTIC = 1 << 25, /* the lifetime is a guess (4.2.2) */
    ENTRY_ETAG_OURS = 1 << 26,
    ENTRY_COVERED = 1 << 27,  /* webhooks covered it when it was fetched */
    ENTRY_RESTORED = 1 << 28, /* read back from disk: its deps never hold */
};

/*
 * One allocation: this, then key | vary | hidden fields | fields to send | body. ETag and Last-Modified, when
 * there are any, are the first lines of the fields to send, so that their places need no members. Immutable
 * once in the index but for the atomics and the links, which belong to the shard's lock. 136 bytes, so that
 * with the heap's own 8 and its rounding an entry costs at most 160.
 */
struct cache_entry {
    struct cache_entry *chain;         /* next in the bucket */
    struct cache_entry *newer, *older; /* the eviction queue */
    struct cache *cache;               /* whose budget it weighs on */
    uint64_t hash;
    atomic_uint refs; /* one of them is the index's, while `linked` */
    uint16_t status;
    atomic_uchar visited; /* SIEVE: asked for since the hand came by */
    bool linked;
    struct cache_deps deps;
    int64_t born_ms;                  /* mono time at which its age was 0; may lie before the clock's start */
    int32_t lifetime_s, swr_s, sie_s; /* upstream's own; CC_ABSENT */
    uint32_t flags;
    uint32_t hidden_len, head_len, body_len;
    uint32_t splice_at;
    uint16_t key_len, vary_len, etag_len, modified_len, splice_len;
    char data[];
};

/* What to make an entry from. Borrowed. */
struct entry_parts {
    const struct cache_query *query;
    const struct cache_answer *answer;
    struct slice vary;
    struct slice body;
};
/* Counted on the cache's budget, one reference, not in the index. NULL: too large, no room, no memory. */
struct cache_entry *entry_create(struct cache *cache, const struct entry_parts *parts);
/* Memory for an entry and its data, on the budget; nothing in it is set. */
struct cache_entry *entry_alloc(struct cache *cache, size_t size, uint64_t hash);
struct slice entry_key(const struct cache_entry *entry);
struct slice entry_vary(const struct cache_entry *entry);
/* Has it a validator that upstream would know? */
bool entry_validates(const struct cache_entry *entry);
/* Bytes that it occupies, the heap's overhead included. */
size_t entry_weight(const struct cache_entry *entry);
/* The stored fields, hidden ones first, our own ETag left out. Returns how many stand in `at`; max + 1 when
 * there are more. */
size_t entry_fields(const struct cache_entry *entry, struct http_field *at, size_t max);

/* --- policy: RFC 9111 as values -------------------------------------------------------------- */

/* What upstream says about an answer, CDN-Cache-Control and the rule's overrides applied. */
struct directives {
    unsigned flags;     /* CC_* and ENTRY_S_MAXAGE */
    int64_t lifetime_s; /* explicit; CC_ABSENT */
    int64_t swr_s, sie_s;
};
struct directives policy_read(const struct cache_answer *answer, unsigned ignore);
/* As cache_may_store, whatever the method and whether cookies come with it: for updates of what is stored. */
enum cache_storing policy_storable(const struct cache_query *query, const struct cache_answer *answer,
                                   const char **why);
/* RFC 9111 4.2.2; CC_ABSENT when it may not be guessed. */
int64_t policy_heuristic(const struct cache_answer *answer, unsigned flags);
/* RFC 9111 4.2.3: corrected_initial_age. `apparent`: distrust the Age field and look at Date as well. */
int64_t policy_initial_age_ms(const struct cache_answer *answer, bool apparent);
/* The Date of an answer, or when it arrived. */
int64_t policy_date(const struct cache_answer *answer);
/* How long the configuration lets an answer with that status live; 0: it says nothing. */
uint64_t policy_ttl_ms(const struct cache_policy *policy, bool covered, int status);
/* The verdict on an entry that was found: decision, ttl, fwd, detail. */
void policy_judge(const struct cache_entry *entry, const struct cache_query *query, bool settling, bool holds,
                  struct cache_found *found);

/* RFC 9213: CDN-Cache-Control as a structured dictionary. False when absent, empty or malformed: then it
 * counts for nothing. */
bool targeted_parse(const struct http_fields *fields, struct cache_control *out);

/* --- Vary ------------------------------------------------------------------------------------ */

enum { VARY_MAX = 4096 };
/* Appends the names of the answer's Vary with the request's values: "name:value\n", "name\n" for a field that
 * it lacks; behind Accept-Language's a mark and the answer's one Content-Language. ERR_INVALID for '*', the
 * buffer's errors when it is too long. */
int vary_build(struct buf *out, const struct http_fields *answer, const struct http_fields *request);
/* Does a request select the variant with that text? */
bool vary_matches(struct slice vary, const struct http_fields *request);

/* --- generations ----------------------------------------------------------------------------- */

struct generations {
    struct generation_table *table; /* memory that another process may share */
    int fd;                         /* of it */
};
/* ERR_NOMEM. */
int generations_init(struct generations *generations) MUST_CHECK;
/* Those of another process, by its descriptor, which is taken over. ERR_INVALID: not such a table. */
int generations_join(struct generations *generations, int fd) MUST_CHECK;
void generations_deinit(struct generations *generations);

/* --- index ----------------------------------------------------------------------------------- */

enum { INDEX_SHARDS = 64, INDEX_VARIANTS = 32 };

struct shard {
    pthread_mutex_t lock;
    struct cache_entry **buckets;
    size_t mask;
    struct cache_entry *newest, *oldest, *hand;
    size_t count;
    _Atomic size_t bytes; /* of its linked entries */
} __attribute__((aligned(64)));

struct coverage_slot {
    _Atomic uint64_t hash;    /* of the credential that has the slot */
    _Atomic uint64_t seen_ms; /* of its last event; 0: none */
};
/* A lease. Written under the lock, but for used_ms and asked_ms; the key stands in a table of its own. */
struct lease_slot {
    _Atomic uint64_t mask, until_ms, ask_ms;
    _Atomic uint64_t doubted, doubt_ms;
    _Atomic uint64_t used_ms, asked_ms;
    uint64_t print;
};
struct coverage {
    struct coverage_slot *slots;
    _Atomic uint64_t *keys; /* of the leases; 0: free */
    struct lease_slot *leases;
    bool lost; /* a lease had to make room: what is not known may have been covered before */
    pthread_mutex_t lock;
};
int coverage_init(struct coverage *coverage);
void coverage_deinit(struct coverage *coverage);
int lease_init(struct coverage *coverage);
void lease_deinit(struct coverage *coverage);

struct warm;

struct cache {
    struct shard shards[INDEX_SHARDS];
    _Atomic(struct warm *) warm; /* NULL: nothing is kept on disk, or not yet */
    struct generations generations;
    struct coverage coverage;
    _Atomic size_t budget, entry_max;
    _Atomic size_t bytes; /* every entry not yet freed, and the buckets */
    _Atomic uint64_t entries, stores, evictions, replaced, fenced, invalidations;
};

int index_init(struct cache *cache);
void index_deinit(struct cache *cache);
/* Larger buckets when the budget has grown. */
void index_resize(struct cache *cache);
/* Entries of the key, the most recent first, each retained; at most INDEX_VARIANTS. The first one only, when
 * it has no Vary. */
size_t index_collect(struct cache *cache, struct cache_key key, struct cache_entry **out);
void index_touch(struct cache_entry *entry);
/* Puts it in (the index takes a reference of its own) in place of `old`, when that is still in, and of the
 * variant that it supersedes. False: a variant that began later is there and stays. */
bool index_insert(struct cache *cache, struct cache_entry *entry, struct cache_entry *old);
void index_remove(struct cache *cache, struct cache_entry *entry);
size_t index_remove_key(struct cache *cache, struct cache_key key);
size_t index_walk(struct cache *cache, size_t *at, size_t *bucket, size_t buckets, struct cache_entry **out,
                  size_t max);
/* Room for `size` bytes in the budget, evicting as needed, beginning near `hash`. False: more than can be
 * had. */
bool index_reserve(struct cache *cache, size_t size, uint64_t hash);
void index_unreserve(struct cache *cache, size_t size);

/* --- the copy on disk (warm.c); nothing happens where there is none -------------------------- */

/* The entry was put in, made from that answer. */
void warm_keep(struct cache *cache, struct cache_entry *entry, const struct cache_answer *answer);
/* It is no longer to be had: that variant, all of the key. */
void warm_forget(struct cache *cache, const struct cache_entry *entry);
void warm_forget_key(struct cache *cache, struct cache_key key);
bool warm_sweep(struct cache *cache, struct cache_sweep *sweep);

/* sweep.c: does the key belong to a credential that is no more? */
bool sweep_is_over(const struct cache_sweep *sweep, struct slice key);
void warm_stats(const struct cache *cache, struct cache_warm_stats *out);

#endif
