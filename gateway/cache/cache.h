/*
 * The cache desk: what may be stored, what is fresh, what an event makes stale. RFC 9111, 5861, 9213 as a
 * shared cache whose users are one tenant's services (contract 4 and 5). No sockets; time is an argument;
 * safe to call from every worker: lookups take a shard's lock for the length of a pointer walk, generations
 * are atomics, entries are immutable and counted.
 *
 * Times: `now_ms` is clock_mono_ms; `wall_s` seconds since 1970 for dates. Durations in milliseconds.
 */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "base/buf.h"
#include "http/cache_control.h"
#include "http/message.h"

struct cache;

struct cache_options {
    size_t memory;    /* hard budget in bytes, overhead included */
    size_t entry_max; /* largest entry: key, head and body */
};

struct cache *cache_create(const struct cache_options *options);
void cache_destroy(struct cache *cache);
/* New budget; evicts down to it. */
void cache_configure(struct cache *cache, const struct cache_options *options);

/* --- keys ------------------------------------------------------------------------------------ */

/* At most 65,535 bytes (ERR_LIMIT). Length-prefixed parts, so that no two different requests share one; the
 * whole key stands in the entry and is compared on every hit. Bytes are the caller's. */
struct cache_key {
    uint64_t hash;
    struct slice bytes;
};
/* Appends the key of (tenant, credential, api, path, query) to out. The method is not in it: only GET is
 * stored, HEAD is answered from it. */
int cache_key_build(struct buf *out, const struct slice parts[5], struct cache_key *key) MUST_CHECK;

/* --- generations (house.md, "the one idea to understand first") ------------------------------ */

/* What a request reads or a change touches. entity is normalised (lower case, no hyphens). To
 * cache_invalidate empty slices are "any". A request is never about "any": for cache_deps_of and cache_settle
 * an empty credential is the one called CACHE_NO_CREDENTIAL (`core`; to invalidate it alone, name it so;
 * better, give core requests something that stands for the tenant), an empty entity is one of its own, and an
 * empty id means a list. */
struct cache_subject {
    struct slice credential, api, entity, id;
};
#define CACHE_NO_CREDENTIAL SLICE("\x01none") /* no credential id has control bytes */

enum { CACHE_DEPS = 6 };
/* The counters an answer depends on. `sum` is their sum when the upstream request began: counters only grow,
 * so an unchanged sum means that none of them moved. */
struct cache_deps {
    uint32_t slot[CACHE_DEPS];
    uint64_t sum;
};
/* Of a record when subject.id is not empty, else of a list. Reads the counters. */
struct cache_deps cache_deps_of(const struct cache *cache, const struct cache_subject *subject);
/* Do the counters still stand where they stood? */
bool cache_deps_hold(const struct cache *cache, const struct cache_deps *deps);

/* Makes stale what the subject covers, the empty parts being "any": with an id that record and the lists of
 * its entity, without one all of the entity; without entity all of the api for that credential; without api
 * all of the credential (also when it names an entity: whoever knows the apis asks for each); without
 * credential all of (api, entity) or of the api for everybody; with nothing everything. O(1). Returns the
 * counters raised. */
unsigned cache_invalidate(struct cache *cache, const struct cache_subject *subject);
/* For a write whose own answer may be stored: deps, read when it began, goes along with what is raised here,
 * and with nothing else. */
unsigned cache_invalidate_around(struct cache *cache, const struct cache_subject *subject,
                                 struct cache_deps *deps);
/* A write by this credential to this entity (the id is not looked at): until `until_ms` reads of it go
 * upstream and are not stored. cache_find and cache_store see to both: nothing found is fresh or
 * stale-while-revalidate, and an answer whose request was sent before `until_ms` stays out. */
void cache_settle(struct cache *cache, const struct cache_subject *subject, uint64_t until_ms);
bool cache_settling(const struct cache *cache, const struct cache_deps *deps, uint64_t now_ms);

/* Two processes on the same data for a while (one hands over to the other) have to have the same generations:
 * what makes something stale in either then does in both. The descriptor of the cache's own (it stays the
 * cache's), and taking those of another process in place of them: before the cache is used, the descriptor is
 * taken over. ERR_INVALID: it is no such thing, or another version's. */
int cache_share(const struct cache *cache);
int cache_join(struct cache *cache, int fd) MUST_CHECK;

/* --- coverage: do this credential's webhooks work? ---
 *
 * Two ways to know. Where somebody else subscribes, by the events that come: cache_event_seen, cache_covered.
 * Where the gateway does it itself (webhook/subscribe.h), by what it sees at Rollout: a lease on (credential,
 * api) with a bit for each entity, renewed while all is in order. Both are forgotten at a restart; nothing is
 * covered then before somebody has looked. */

/* A genuine event of the credential came. Any thread. */
void cache_event_seen(struct cache *cache, struct slice credential, uint64_t now_ms);
/* Did one come within the window? */
bool cache_covered(const struct cache *cache, struct slice credential, uint64_t now_ms, uint64_t window_ms);

/* What a lease is found by. `version` stands for the meaning of the bits. */
uint64_t cache_lease_key(struct slice credential, struct slice api, uint64_t version);
/* On the way of a hit: a few loads, no lock. *ask: nobody looks after this lease, or not soon enough, and
 * nobody was told so in the last seconds: the caller is to tell. */
bool cache_lease_holds(struct cache *cache, uint64_t key, unsigned bit, uint64_t now_ms, bool *ask);

struct cache_lease {
    uint64_t mask;     /* entities covered; 0: none */
    uint64_t print;    /* of what covers them, not 0: another one means that events may have been missed */
    uint64_t until_ms; /* the lease ends unless it is renewed; 0: there is none */
    uint64_t ask_ms;   /* from then on readers ask for a renewal */
};
/* Makes or renews the lease; if entries of (credential, api) may have missed an event (another print than the
 * last) all of them become stale. Any thread. Returns the bits that were covered before. */
uint64_t cache_lease_set(struct cache *cache, uint64_t key, const struct cache_subject *subject,
                         const struct cache_lease *lease, uint64_t now_ms);
/* The entity was found to be wrong: it is stale now, and its bit does not count before until_ms. */
void cache_lease_doubt(struct cache *cache, uint64_t key, unsigned bit, const struct cache_subject *subject,
                       uint64_t until_ms);
/* As it is now, bits in doubt left out; used_ms is when somebody read by it. False: there is none. */
bool cache_lease_show(const struct cache *cache, uint64_t key, uint64_t now_ms, struct cache_lease *lease,
                      uint64_t *used_ms);

/* --- policy ---------------------------------------------------------------------------------- */

/* Bits of cache_policy.ignore beside CC_*. */
enum {
    CACHE_IGNORE_MAX_AGE = 1 << 16,
    CACHE_IGNORE_S_MAXAGE = 1 << 17,
    CACHE_IGNORE_EXPIRES = 1 << 18,
};

/* What the configuration says for one api and entity. Upstream's explicit freshness is obeyed before ttl, and
 * swr_ms prolongs only what ttl made fresh (else upstream's own stale-while-revalidate counts). With both ttl
 * 0 this is plain RFC 9111, and upstream's Cache-Control is sent as it came (private only where it says
 * nothing); else it is made private. */
struct cache_policy {
    uint64_t ttl_ms; /* 0: only upstream's headers count */
    uint64_t ttl_uncovered_ms;
    uint64_t swr_ms, sie_ms;
    uint64_t negative_ms; /* for 404 and 410 where ttl applies; at most ttl */
    unsigned ignore;   /* CC_*, CACHE_IGNORE_* of upstream to overlook ("override"); CC_NO_STORE: no effect */
    bool heuristic;    /* RFC 9111 4.2.2 where upstream gives no freshness and ttl is 0 */
    bool keep_cookies; /* Set-Cookie answers may be stored (RFC 9111 7.3) and are sent to whoever asks; off by
                          default (contract 4) */
};
/* Does the configuration leave freshness to upstream alone (both ttl 0)? */
static inline bool cache_policy_is_plain(const struct cache_policy *policy)
{
    return policy->ttl_ms == 0 && policy->ttl_uncovered_ms == 0;
}

/* --- lookup ---------------------------------------------------------------------------------- */

struct cache_entry; /* immutable, counted */

/* What the cache must know of a client's request. Borrowed. */
struct cache_query {
    struct cache_key key;
    enum method method;
    const struct http_fields *fields; /* the client's, for Cache-Control, Pragma, Vary, preconditions */
    struct cache_control control;     /* parsed from them */
    const struct cache_policy *policy;
    struct cache_deps deps; /* read at the beginning of the request */
    bool covered; /* webhooks cover it: ttl, else ttl_uncovered. What was fetched uncovered stays so; whoever
                     finds coverage to have been interrupted invalidates the credential */
    uint64_t now_ms;
};

enum cache_decision {
    CACHE_MISS,  /* nothing to use */
    CACHE_HIT,   /* fresh: answer with the entry */
    CACHE_STALE, /* answer with the entry, which is stale, and revalidate in the background (RFC 5861 3, or
                    max-stale: no revalidation needed) */
    CACHE_REVALIDATE, /* ask upstream first; the entry gives validators and is the answer to a 304 or under
                         stale-if-error */
};
struct cache_found {
    enum cache_decision decision;
    struct cache_entry *entry; /* retained; NULL for a miss */
    uint64_t age_ms;
    int64_t ttl_ms;  /* freshness left; negative when stale by so much */
    bool background; /* CACHE_STALE: a revalidation is due */
    const char *fwd; /* RFC 9211 fwd parameter when not a hit: "uri-miss", "vary-miss", "stale", "request" */
    const char *detail; /* RFC 9211 detail token, or NULL: "invalidated", "no-cache" … */
};
/* Never takes longer than a walk over the variants of one key. only-if-cached is the caller's: a found entry
 * that is not CACHE_HIT or CACHE_STALE then means 504. */
void cache_find(struct cache *cache, const struct cache_query *query, struct cache_found *out);

/* May this entry answer although upstream failed (RFC 5861 4, contract 4)? age_ms as in cache_found. */
bool cache_stale_if_error(const struct cache_entry *entry, const struct cache_query *query, uint64_t now_ms);

void cache_retain(struct cache_entry *entry);
void cache_release(struct cache_entry *entry);

/* What an entry says. Slices live as long as it is retained. */
int cache_entry_status(const struct cache_entry *entry);
/* Is it for some requests of its key only? */
bool cache_entry_varies(const struct cache_entry *entry);
struct slice cache_entry_head(
    const struct cache_entry
        *entry); /* field lines ready to send: no framing, no Age, Date always, Cache-Control for clients */
struct slice cache_entry_body(const struct cache_entry *entry);
struct slice cache_entry_etag(const struct cache_entry *entry); /* with quotes; upstream's own or ours */
bool cache_entry_etag_is_ours(const struct cache_entry *entry);
struct slice cache_entry_last_modified(const struct cache_entry *entry);
/* Where in the body a nextLink value stands, that has to be rewritten for the client: a run without quotes,
 * len 0 when none. */
struct slice cache_entry_splice(const struct cache_entry *entry);
uint64_t cache_entry_age_ms(const struct cache_entry *entry, uint64_t now_ms);

/* Appends the Cache-Control lines that clients get for an answer of upstream with these fields, as entries
 * have them: upstream's own lines under a plain policy, when it sent any; else "private" first, upstream's
 * directives behind it without public, private and s-maxage. For what is passed on without being stored. */
void cache_write_control(struct buf *out, const struct http_fields *fields,
                         const struct cache_policy *policy);
/* Would the answer to one request, by its Vary, be the answer to the other, too? For waiters on one flight
 * (RFC 9111 4.1). */
bool cache_same_variant(const struct http_fields *answer, const struct http_fields *one,
                        const struct http_fields *other);

/* --- storing --------------------------------------------------------------------------------- */

/* An answer of upstream, as the flight sees it. Borrowed. */
struct cache_answer {
    int status;
    const struct http_fields *fields;
    uint64_t request_ms, response_ms; /* mono: request sent, head received */
    int64_t response_wall_s;
    struct cache_deps deps; /* as read when the upstream request began: the fence */
    size_t splice_at, splice_len;
};

enum cache_storing {
    CACHE_STORE,
    CACHE_STORE_NOT, /* must not, or nothing says for how long */
};
/* Decides on the head alone. `why` gets a RFC 9211 detail token or NULL. For a POST the caller has seen that
 * Content-Location names the very target (RFC 9110 9.3.3); its answer then answers later GETs. */
enum cache_storing cache_may_store(const struct cache_query *query, const struct cache_answer *answer,
                                   const char **why);
/* Makes the entry from a complete body and puts it in, replacing the variant it supersedes. The answer must
 * have passed cache_may_store. Returns the entry retained for the caller (who sends from it), NULL when it is
 * too large or there is no memory. If the generations moved meanwhile the entry is stored as already stale
 * (it can still answer under stale-if-error), unless a later one is there; while the entity settles it is not
 * put in at all. */
struct cache_entry *cache_store(struct cache *cache, const struct cache_query *query,
                                const struct cache_answer *answer, struct slice body);
/* A 304 for the entry (RFC 9111 4.3.4): a new entry with updated fields and the same body takes its place;
 * where the update forbids storing, the old one goes and the new one is the caller's alone. NULL: no memory,
 * or the validators do not match (then the caller fetches without conditions). */
struct cache_entry *cache_freshen(struct cache *cache, const struct cache_query *query,
                                  struct cache_entry *entry, const struct cache_answer *answer);
/* A HEAD answer for a stored GET (RFC 9111 4.3.5): updates it, or removes it when it shows that it has
 * changed. */
void cache_head_seen(struct cache *cache, const struct cache_query *query, const struct cache_answer *answer);
/* RFC 9111 4.4: an unsafe method succeeded on the key. No fence: what is in flight can still be stored, so
 * invalidate its subject, too. */
void cache_remove(struct cache *cache, struct cache_key key);

/* --- conditional requests by clients (RFC 9110 13, 14) --------------------------------------- */

enum cache_condition {
    CONDITION_SEND,          /* the whole representation */
    CONDITION_NOT_MODIFIED,  /* 304 */
    CONDITION_FAILED,        /* 412 */
    CONDITION_PARTIAL,       /* 206: *first, *last are set */
    CONDITION_UNSATISFIABLE, /* 416 */
};
/* RFC 9110 13.2.2 in its order; preconditions count for 2xx only, ranges for a GET answered 200. Evaluates
 * If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, If-Range and a single-range Range against
 * a stored answer; size is the length of the representation as it would be sent. Several ranges:
 * CONDITION_SEND. */
enum cache_condition cache_condition(const struct cache_entry *entry, const struct cache_query *query,
                                     uint64_t size, uint64_t *first, uint64_t *last);

/* --- warm restart ------------------------------------------------------------------------------
 *
 * A copy of what is stored, in a disposable store of its own (store.h): it is written behind by that store's
 * thread, an entry that memory evicts stays there, and a request that finds nothing in memory looks there.
 * What it finds counts as invalidated (detail "restored"), for events may have been missed meanwhile: never
 * fresh, never stale-while-revalidate; its validators make a revalidation cheap, and it answers under
 * stale-if-error with its true age. Nothing that happens to the file is an error for a request. The queue
 * holds at most 32 MiB or an eighth of the budget of entries alive; what does not fit is dropped and counted.
 */

struct cache_warm_options {
    const char *path; /* directory */
    size_t size;      /* of the file at most; at least 1 MiB */
};
/* Once, by one thread; others may be using the cache. store_open's errors: go on without. */
int cache_warm_open(struct cache *cache, const struct cache_warm_options *options,
                    struct fault *fault) MUST_CHECK;
/* After the last use by any other thread: writes what is queued. Does nothing where nothing is open. */
void cache_warm_close(struct cache *cache);
/* After cache_find has answered CACHE_MISS: brings the variant that the request selects back into memory, if
 * it is on disk, and decides again. wall_ms is clock_wall_ms. */
void cache_warm_find(struct cache *cache, const struct cache_query *query, int64_t wall_ms,
                     struct cache_found *out);

/* --- sweeping
 * ----------------------------------------------------------------------------------------------- */

/* A walk over all that is kept, in memory and on disk, that takes out what belongs to credentials that are no
 * more. What is stored meanwhile may escape it: walk again some time. Begins as {.keeps = …, .arg = …}. */
struct cache_sweep {
    /* Is there such a credential? On the sweeping thread, without a lock of the cache; the slices die after.
     */
    bool (*keeps)(struct slice tenant, struct slice credential, void *arg);
    void *arg;
    size_t removed; /* entries and records so far */

    /* the cache's */
    size_t shard, bucket;
    char from[32];
    size_t from_len;
};
/* A step of at most some hundred entries. False: the walk is over. Waits for the disk: not on a loop; before
 * cache_warm_close. */
bool cache_sweep_step(struct cache *cache, struct cache_sweep *sweep);

/* bytes: entries with the heap's overhead, those still being sent included, and the index; never more than
 * budget. Beside it stand at most 8 MiB of generation tables, of which only pages that were touched exist. */
struct cache_warm_stats {
    uint64_t bytes, limit; /* of the file, free pages in it included; 0: there is none */
    uint64_t written, restored;
    uint64_t dropped; /* not written: the queue was full, the disk was, the entry is too large */
    uint64_t evicted; /* records that made room for others */
    uint64_t damaged; /* read back and not believed */
};
struct cache_stats {
    uint64_t entries, bytes, budget;
    uint64_t stores, evictions, replaced, fenced, invalidations;
    struct cache_warm_stats warm;
};
void cache_stats(const struct cache *cache, struct cache_stats *out);

#endif
