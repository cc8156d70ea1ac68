/* Buckets: GCRA, and the tables they stand in. A bucket that is full again is as good as none, so it may be
 * forgotten at any time. */
#include <stdlib.h>

#include "base/digest.h"
#include "limit_internal.h"

enum { SWEEP = 4, EVICT_LOOK = 16, SPARE_SHARE = 4 };

/* How late a timer may fire without slowing a learned rate. */
#define LATE_NS (10 * NS_PER_MS)

/* --- GCRA ---------------------------------------------------------------------------------------------- */

static uint64_t whole_burst(uint64_t burst, double rate)
{
    if (burst > 0)
        return burst;
    uint64_t second = (uint64_t)rate;
    second += (double)second < rate ? 1 : 0;
    return second > 0 ? second : 1;
}

struct effective bucket_effective(const struct limit_rule *rule, const struct limit_bucket *bucket,
                                  uint64_t now_ns)
{
    bool own = bucket->own_rate > 0;
    struct effective e = {.rate = own ? bucket->own_rate : rule->rate,
                          .concurrency = rule->concurrency,
                          .shadow = rule->shadow};
    double learned = learn_rate(&bucket->learned, e.rate, now_ns);
    if (e.rate > 0)
        e.burst = whole_burst(own ? 0 : rule->burst, e.rate);
    if (learned > 0) {
        /* Evenly spaced: whatever window upstream counts by, no part of it is crowded. */
        uint64_t hundredth = whole_burst(0, learned / 100);
        e.burst = e.rate > 0 && e.burst < hundredth ? e.burst : hundredth;
        e.rate = learned;
        e.learned = true;
    }
    if (e.rate > 0) {
        double interval = 1e9 / e.rate;
        e.interval_ns = interval < 1 ? 1 : (uint64_t)interval;
        e.tolerance_ns = (e.burst - 1) * e.interval_ns;
        if (e.learned && e.tolerance_ns < LATE_NS)
            e.tolerance_ns = e.interval_ns / 2 < LATE_NS ? e.interval_ns / 2 : LATE_NS;
    }
    return e;
}

uint64_t bucket_ready(const struct effective *e, const struct limit_bucket *bucket, uint64_t ahead,
                      uint64_t now_ns)
{
    if (e->concurrency > 0 && bucket->in_flight >= e->concurrency)
        return NEVER;
    uint64_t full = bucket->tat_ns;
    if (ahead > 0)
        full = (full > now_ns ? full : now_ns) + ahead * e->interval_ns;
    uint64_t ready = e->interval_ns > 0 && full > e->tolerance_ns ? full - e->tolerance_ns : 0;
    return ready > bucket->pause_ns ? ready : bucket->pause_ns;
}

bool bucket_has_spare(const struct effective *e, const struct limit_bucket *bucket, uint64_t now_ns)
{
    if (e->concurrency > 0 && bucket->in_flight + e->concurrency / SPARE_SHARE >= e->concurrency)
        return false;
    return e->interval_ns == 0 || bucket_remaining(e, bucket, now_ns) > e->burst / SPARE_SHARE;
}

/* The burst comes back with the rest, as an empty bucket: what was not asked for meanwhile is not saved up.
 */
void bucket_settle(const struct limit_rule *rule, struct limit_bucket *bucket, uint64_t now_ns)
{
    if (!learn_expire(&bucket->learned, rule->rate, now_ns) || rule->rate <= 0)
        return;
    struct effective e = bucket_effective(rule, bucket, now_ns);
    uint64_t empty = now_ns + e.tolerance_ns;
    bucket->tat_ns = bucket->tat_ns > empty ? bucket->tat_ns : empty;
}

void bucket_charge(const struct effective *e, struct limit_bucket *bucket, uint64_t now_ns)
{
    bucket->tat_ns = (bucket->tat_ns > now_ns ? bucket->tat_ns : now_ns) + e->interval_ns;
}

uint64_t bucket_remaining(const struct effective *e, const struct limit_bucket *bucket, uint64_t now_ns)
{
    uint64_t debt = bucket->tat_ns > now_ns ? bucket->tat_ns - now_ns : 0;
    uint64_t room = e->tolerance_ns + e->interval_ns;
    return e->interval_ns == 0 || now_ns < bucket->pause_ns || debt > room ? 0
                                                                           : (room - debt) / e->interval_ns;
}

/* --- tables -------------------------------------------------------------------------------------------- */

void bucket_free(struct map_node *node, void *arg)
{
    (void)arg;
    free(container_of(node, struct limit_bucket, node));
}

static void forget(struct limit *limit, struct limit_bucket *bucket)
{
    map_remove(&bucket->shard->buckets, &bucket->node);
    list_remove(&bucket->age);
    atomic_fetch_sub_explicit(&limit->stats.keys, 1, memory_order_relaxed);
    free(bucket);
}

static bool is_idle(const struct limit *limit, struct limit_bucket *bucket, uint64_t now_ns)
{
    bucket_settle(&limit->rules[bucket->scope], bucket, now_ns);
    return bucket->pins == 0 && bucket->tat_ns <= now_ns && bucket->pause_ns <= now_ns &&
           bucket->learned.ceiling <= 0;
}

/* A new bucket pays for its place: it looks at some of the oldest. False: the table is full of buckets in
 * use. */
static bool make_room(struct limit *limit, struct limit_shard *shard, uint64_t now_ns)
{
    for (int i = 0; i < SWEEP && !list_empty(&shard->ages); i++) {
        struct limit_bucket *oldest = container_of(shard->ages.next, struct limit_bucket, age);
        if (is_idle(limit, oldest, now_ns)) {
            forget(limit, oldest);
        } else if (oldest->pins > 0 || oldest->learned.ceiling > 0) {
            list_remove(&oldest->age);
            list_push_back(&shard->ages, &oldest->age);
        }
    }
    for (int i = 0; i < EVICT_LOOK && shard->buckets.count >= limit->shard_keys_max; i++) {
        struct limit_bucket *oldest = container_of(shard->ages.next, struct limit_bucket, age);
        if (oldest->pins == 0) {
            forget(limit, oldest);
        } else {
            list_remove(&oldest->age);
            list_push_back(&shard->ages, &oldest->age);
        }
    }
    return shard->buckets.count < limit->shard_keys_max;
}

/* Two parts: of a credential's key its tenant, else an empty one. */
struct bucket_key {
    enum limit_scope scope;
    struct slice owner, name;
    uint64_t hash;
};

static bool is_bucket(const struct limit_bucket *bucket, const struct bucket_key *key)
{
    return bucket->scope == key->scope && bucket->owner_len == key->owner.len &&
           bucket->key_len == key->owner.len + key->name.len &&
           (key->owner.len == 0 || memcmp(bucket->key, key->owner.ptr, key->owner.len) == 0) &&
           (key->name.len == 0 || memcmp(bucket->key + key->owner.len, key->name.ptr, key->name.len) == 0);
}

static struct limit_bucket *create(struct limit *limit, struct limit_shard *shard,
                                   const struct bucket_key *key, uint64_t now_ns)
{
    if (!make_room(limit, shard, now_ns))
        return NULL;
    struct limit_bucket *bucket = calloc(1, sizeof *bucket + key->owner.len + key->name.len);
    if (!bucket || map_insert(&shard->buckets, &bucket->node, key->hash)) {
        free(bucket);
        return NULL;
    }
    bucket->shard = shard;
    bucket->scope = key->scope;
    bucket->owner_len = key->owner.len;
    bucket->key_len = key->owner.len + key->name.len;
    if (key->owner.len > 0)
        memcpy(bucket->key, key->owner.ptr, key->owner.len);
    if (key->name.len > 0)
        memcpy(bucket->key + key->owner.len, key->name.ptr, key->name.len);
    list_init(&bucket->age);
    count(&limit->stats.keys);
    return bucket;
}

static struct limit_bucket *pin(struct limit *limit, struct limit_shard *shard, const struct bucket_key *key,
                                uint64_t now_ns)
{
    struct limit_bucket *found = NULL;
    for (struct map_node *node = map_find(&shard->buckets, key->hash); node && !found;
         node = map_next(node)) {
        struct limit_bucket *bucket = container_of(node, struct limit_bucket, node);
        found = is_bucket(bucket, key) ? bucket : NULL;
    }
    if (!found)
        found = create(limit, shard, key, now_ns);
    if (!found)
        return NULL;
    found->pins++;
    list_remove(&found->age);
    list_push_back(&shard->ages, &found->age);
    return found;
}

static bool is_on(const struct limit *limit, enum limit_scope scope)
{
    return atomic_load_explicit(&limit->on[scope], memory_order_relaxed);
}

/* The map takes the low bits of a hash, so the shard is chosen by the high ones. A credential stands with its
 * tenant: one lock for both. */
bool buckets_pin(struct limit *limit, struct limit_turn *turn, const struct limit_who *who, uint64_t now_ns)
{
    uint64_t hash = digest_hash(who->tenant);
    struct limit_shard *shard = &limit->shards[hash >> (64 - SHARD_BITS)];
    struct bucket_key tenant = {LIMIT_TENANT, SLICE(""), who->tenant, hash};
    bool credentials = who->credential.len > 0 && is_on(limit, LIMIT_CREDENTIAL);
    bool services = who->service.len > 0 && (who->service_rate > 0 || is_on(limit, LIMIT_SERVICE));
    pthread_mutex_lock(&shard->lock);
    turn->buckets[LIMIT_TENANT] = pin(limit, shard, &tenant, now_ns);
    bool good = turn->buckets[LIMIT_TENANT] != NULL;
    if (good && credentials) {
        struct bucket_key credential = {LIMIT_CREDENTIAL, who->tenant, who->credential,
                                        hash * 31 + digest_hash(who->credential)};
        turn->buckets[LIMIT_CREDENTIAL] = pin(limit, shard, &credential, now_ns);
        good = turn->buckets[LIMIT_CREDENTIAL] != NULL;
    }
    pthread_mutex_unlock(&shard->lock);
    if (good && services) {
        struct bucket_key service = {LIMIT_SERVICE, SLICE(""), who->service, ~digest_hash(who->service)};
        shard = &limit->shards[service.hash >> (64 - SHARD_BITS)];
        pthread_mutex_lock(&shard->lock);
        turn->buckets[LIMIT_SERVICE] = pin(limit, shard, &service, now_ns);
        good = turn->buckets[LIMIT_SERVICE] != NULL;
        if (good)
            turn->buckets[LIMIT_SERVICE]->own_rate = who->service_rate;
        pthread_mutex_unlock(&shard->lock);
    }
    if (is_on(limit, LIMIT_CLIENT))
        turn->buckets[LIMIT_CLIENT] = limit->client; /* never forgotten: needs no pin */
    if (!good)
        buckets_unpin(limit, turn);
    return good;
}

static void unpin_all(const struct limit *limit, struct limit_turn *turn)
{
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++)
        if (turn->buckets[i] && turn->buckets[i] != limit->client)
            turn->buckets[i]->pins--;
}

void buckets_unpin(struct limit *limit, struct limit_turn *turn)
{
    turn_lock(turn);
    struct limit_turn held = *turn; /* what the unlocking goes by */
    unpin_all(limit, turn);
    memset(turn->buckets, 0, sizeof turn->buckets);
    turn_unlock(&held);
}

bool buckets_give_back(struct limit *limit, struct limit_turn *turn)
{
    turn_lock(turn);
    struct limit_turn held = *turn;
    for (int i = 0; i < LIMIT_SCOPE_COUNT && turn->counted; i++)
        if (turn->buckets[i])
            turn->buckets[i]->in_flight--;
    turn->counted = false;
    /* Who came to wait after this look finds what was given back: it looks at the buckets after it was
     * counted. */
    bool over = atomic_load(&limit->queue.waiting) == 0;
    if (over) {
        unpin_all(limit, turn);
        memset(turn->buckets, 0, sizeof turn->buckets);
    }
    turn_unlock(&held);
    return over;
}

/* --- a turn's buckets ---------------------------------------------------------------------------------- */

/* The shards of a turn: tenant and credential share one; the client's stands last. Both orders are the same
 * for everybody. */
static unsigned shards_of(const struct limit_turn *turn, struct limit_shard *out[3])
{
    struct limit_bucket *const *b = turn->buckets;
    unsigned n = 0;
    if (b[LIMIT_TENANT])
        out[n++] = b[LIMIT_TENANT]->shard;
    if (b[LIMIT_SERVICE] && (n == 0 || b[LIMIT_SERVICE]->shard != out[0]))
        out[n++] = b[LIMIT_SERVICE]->shard;
    if (n == 2 && out[1] < out[0]) {
        struct limit_shard *swap = out[0];
        out[0] = out[1];
        out[1] = swap;
    }
    if (b[LIMIT_CLIENT])
        out[n++] = b[LIMIT_CLIENT]->shard;
    return n;
}

void turn_lock(const struct limit_turn *turn)
{
    struct limit_shard *shards[3];
    unsigned n = shards_of(turn, shards);
    for (unsigned i = 0; i < n; i++)
        pthread_mutex_lock(&shards[i]->lock);
}

void turn_unlock(const struct limit_turn *turn)
{
    struct limit_shard *shards[3];
    unsigned n = shards_of(turn, shards);
    for (unsigned i = n; i > 0; i--)
        pthread_mutex_unlock(&shards[i - 1]->lock);
}
