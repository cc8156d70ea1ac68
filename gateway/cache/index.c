/*
 * The index: 64 shards by hash, each a table of chains and a SIEVE queue behind one mutex that is held for
 * pointer walks only; nothing is allocated, compared at length, or freed under it.
 *
 * SIEVE: new entries go to the front; a hand walks from the oldest to the newest, spares (once) what was
 * asked for since it last came by, and takes the first that was not. A scan leaves by the hand without
 * pushing anything out that is used. An entry that takes another's place (a newer answer, a 304) takes its
 * place in the queue as well.
 *
 * The budget is one number for all shards and counts every entry until it is freed, so what is still being
 * sent counts, too; the hand passes over it, since evicting it would free nothing. Room is reserved before
 * memory is asked for: the sum is never above it.
 */
#include <assert.h>
#include <stdlib.h>

#include "cache/cache_internal.h"

enum { BUCKET_BYTES = 2048, BUCKETS_MIN = 1, BUCKETS_MAX = 1 << 17, HAND_STEPS = 64, HAND_TURNS = 64 };

static struct shard *shard_of(struct cache *cache, uint64_t hash)
{
    return &cache->shards[hash >> 58];
}

static struct cache_entry **bucket_of(struct shard *shard, uint64_t hash)
{
    return &shard->buckets[hash & shard->mask];
}

/* The key stands two lines behind the links: asked for together, they come together. */
static bool is_key(const struct cache_entry *entry, const struct cache_key *key)
{
    __builtin_prefetch((const char *)entry + 64);
    __builtin_prefetch((const char *)entry + 128);
    __builtin_prefetch((const char *)entry + 192);
    return entry->hash == key->hash && slice_equal(entry_key(entry), key->bytes);
}

/* --- life ------------------------------------------------------------------------------------ */

static size_t buckets_for(size_t budget)
{
    size_t count = BUCKETS_MIN;
    while (count < BUCKETS_MAX && count < budget / INDEX_SHARDS / BUCKET_BYTES)
        count *= 2;
    return count;
}

int index_init(struct cache *cache)
{
    const size_t count = buckets_for(atomic_load(&cache->budget));
    for (size_t i = 0; i < INDEX_SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->buckets = calloc(count, sizeof(struct cache_entry *));
        if (!shard->buckets)
            return ERR_NOMEM;
        shard->mask = count - 1;
        atomic_fetch_add(&cache->bytes, count * sizeof(struct cache_entry *));
    }
    return 0;
}

void index_deinit(struct cache *cache)
{
    for (size_t i = 0; i < INDEX_SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        while (shard->oldest) {
            struct cache_entry *entry = shard->oldest;
            shard->oldest = entry->newer;
            entry->linked = false;
            assert(atomic_load(&entry->refs) ==
                   1); /* whoever retained one has released it before the cache goes */
            cache_release(entry);
        }
        if (shard->buckets)
            pthread_mutex_destroy(&shard->lock);
        free(shard->buckets);
    }
}

/* Hangs a chain into the new table, its order kept: one old bucket feeds whole new ones. */
static void move_chain(struct shard *shard, struct cache_entry *chain)
{
    struct cache_entry *reversed = NULL, *next;
    for (struct cache_entry *entry = chain; entry; entry = next) {
        next = entry->chain;
        entry->chain = reversed;
        reversed = entry;
    }
    for (struct cache_entry *entry = reversed; entry; entry = next) {
        struct cache_entry **bucket = bucket_of(shard, entry->hash);
        next = entry->chain;
        entry->chain = *bucket;
        *bucket = entry;
    }
}

static struct cache_entry **exchange_table(struct shard *shard, struct cache_entry **buckets, size_t count)
{
    struct cache_entry **old = shard->buckets;
    const size_t have = shard->mask + 1;
    shard->buckets = buckets;
    shard->mask = count - 1;
    for (size_t i = 0; i < have; i++)
        move_chain(shard, old[i]);
    return old;
}

void index_resize(struct cache *cache)
{
    const size_t count = buckets_for(atomic_load(&cache->budget));
    for (size_t i = 0; i < INDEX_SHARDS; i++) {
        struct shard *shard = &cache->shards[i];
        pthread_mutex_lock(&shard->lock);
        const size_t have = shard->mask + 1;
        pthread_mutex_unlock(&shard->lock);
        const size_t more = (count - have) * sizeof(struct cache_entry *);
        if (count <= have || !index_reserve(cache, more, 0))
            continue;
        struct cache_entry **buckets = calloc(count, sizeof(struct cache_entry *));
        if (!buckets) { /* longer chains, then */
            index_unreserve(cache, more);
            return;
        }
        pthread_mutex_lock(&shard->lock);
        struct cache_entry **old = exchange_table(shard, buckets, count);
        pthread_mutex_unlock(&shard->lock);
        free(old);
    }
}

/* --- the queue: with the shard's lock -------------------------------------------------------- */

static void queue_push(struct shard *shard, struct cache_entry *entry)
{
    entry->newer = NULL;
    entry->older = shard->newest;
    if (shard->newest)
        shard->newest->newer = entry;
    else
        shard->oldest = entry;
    shard->newest = entry;
}

static void queue_remove(struct shard *shard, struct cache_entry *entry)
{
    if (shard->hand == entry)
        shard->hand = entry->newer;
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        shard->newest = entry->older;
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        shard->oldest = entry->newer;
}

static void queue_replace(struct shard *shard, struct cache_entry *old, struct cache_entry *entry)
{
    entry->newer = old->newer;
    entry->older = old->older;
    if (entry->newer)
        entry->newer->older = entry;
    else
        shard->newest = entry;
    if (entry->older)
        entry->older->newer = entry;
    else
        shard->oldest = entry;
    if (shard->hand == old)
        shard->hand = entry;
    atomic_store_explicit(&entry->visited, atomic_load_explicit(&old->visited, memory_order_relaxed),
                          memory_order_relaxed);
}

static void chain_remove(struct shard *shard, struct cache_entry *entry)
{
    struct cache_entry **at = bucket_of(shard, entry->hash);
    while (*at != entry)
        at = &(*at)->chain;
    *at = entry->chain;
}

/* What was taken out hangs on a list by `chain`, until the lock is free. */
static void forget(struct cache *cache, struct shard *shard, struct cache_entry *entry,
                   struct cache_entry **gone)
{
    chain_remove(shard, entry);
    entry->linked = false;
    shard->count--;
    atomic_fetch_sub_explicit(&shard->bytes, entry_weight(entry), memory_order_relaxed);
    atomic_fetch_sub_explicit(&cache->entries, 1, memory_order_relaxed);
    entry->chain = *gone;
    *gone = entry;
}

static void unlink_entry(struct cache *cache, struct shard *shard, struct cache_entry *entry,
                         struct cache_entry **gone)
{
    queue_remove(shard, entry);
    forget(cache, shard, entry, gone);
}

static size_t release_all(struct cache_entry *gone)
{
    size_t count = 0;
    while (gone) {
        struct cache_entry *next = gone->chain;
        cache_release(gone);
        gone = next;
        count++;
    }
    return count;
}

/* --- finding --------------------------------------------------------------------------------- */

size_t index_collect(struct cache *cache, struct cache_key key, struct cache_entry **out)
{
    struct shard *shard = shard_of(cache, key.hash);
    size_t count = 0;
    pthread_mutex_lock(&shard->lock);
    struct cache_entry *entry = *bucket_of(shard, key.hash);
    for (; entry && count < INDEX_VARIANTS; entry = entry->chain) {
        if (!is_key(entry, &key))
            continue;
        cache_retain(entry); /* the caller's */
        out[count++] = entry;
        if (entry->vary_len == 0)
            break; /* fits every request; what stands behind it is older */
    }
    pthread_mutex_unlock(&shard->lock);
    return count;
}

void index_touch(struct cache_entry *entry)
{
    if (!atomic_load_explicit(&entry->visited, memory_order_relaxed))
        atomic_store_explicit(&entry->visited, 1, memory_order_relaxed);
}

/* --- changing -------------------------------------------------------------------------------- */

/* The stored variant with the same selecting values, and how many there are of the key; *last is the one that
 * came first. */
static struct cache_entry *find_variant(struct shard *shard, const struct cache_entry *like, size_t *count,
                                        struct cache_entry **last)
{
    const struct cache_key key = {like->hash, entry_key(like)};
    struct cache_entry *same = NULL;
    *count = 0;
    *last = NULL;
    for (struct cache_entry *entry = *bucket_of(shard, like->hash); entry; entry = entry->chain) {
        if (!is_key(entry, &key))
            continue;
        ++*count;
        *last = entry;
        if (!same && slice_equal(entry_vary(entry), entry_vary(like)))
            same = entry;
    }
    return same;
}

static void link_entry(struct cache *cache, struct shard *shard, struct cache_entry *entry)
{
    struct cache_entry **bucket = bucket_of(shard, entry->hash);
    entry->chain = *bucket;
    *bucket = entry;
    entry->linked = true;
    shard->count++;
    atomic_fetch_add_explicit(&shard->bytes, entry_weight(entry), memory_order_relaxed);
    atomic_fetch_add_explicit(&cache->entries, 1, memory_order_relaxed);
    cache_retain(entry); /* the index's */
}

bool index_insert(struct cache *cache, struct cache_entry *entry, struct cache_entry *old)
{
    struct shard *shard = shard_of(cache, entry->hash);
    struct cache_entry *gone = NULL, *last;
    size_t variants;
    pthread_mutex_lock(&shard->lock);
    struct cache_entry *same = find_variant(shard, entry, &variants, &last);
    /* Counters only grow: a larger sum began later, and knows of changes that this one does not. What comes
     * from disk is never newer than what is here. */
    if (same && ((entry->flags & ENTRY_RESTORED) ||
                 (same->deps.sum > entry->deps.sum &&
                  memcmp(same->deps.slot, entry->deps.slot, sizeof same->deps.slot) == 0))) {
        pthread_mutex_unlock(&shard->lock);
        return false;
    }
    if (old && old->linked && old != same)
        unlink_entry(cache, shard, old, &gone);
    if (same) {
        queue_replace(shard, same, entry);
        forget(cache, shard, same, &gone);
    } else {
        if (variants >= INDEX_VARIANTS && last->linked)
            unlink_entry(cache, shard, last, &gone);
        queue_push(shard, entry);
    }
    link_entry(cache, shard, entry);
    pthread_mutex_unlock(&shard->lock);
    atomic_fetch_add_explicit(&cache->replaced, release_all(gone), memory_order_relaxed);
    return true;
}

void index_remove(struct cache *cache, struct cache_entry *entry)
{
    struct shard *shard = shard_of(cache, entry->hash);
    struct cache_entry *gone = NULL;
    pthread_mutex_lock(&shard->lock);
    if (entry->linked)
        unlink_entry(cache, shard, entry, &gone);
    pthread_mutex_unlock(&shard->lock);
    release_all(gone);
}

size_t index_remove_key(struct cache *cache, struct cache_key key)
{
    struct shard *shard = shard_of(cache, key.hash);
    struct cache_entry *gone = NULL;
    pthread_mutex_lock(&shard->lock);
    struct cache_entry *next;
    for (struct cache_entry *entry = *bucket_of(shard, key.hash); entry; entry = next) {
        next = entry->chain;
        if (is_key(entry, &key))
            unlink_entry(cache, shard, entry, &gone);
    }
    pthread_mutex_unlock(&shard->lock);
    return release_all(gone);
}

/* A stretch of buckets, each as one moment shows it; what of it finds no place in `out` is passed over. */
size_t index_walk(struct cache *cache, size_t *at, size_t *bucket, size_t buckets, struct cache_entry **out,
                  size_t max)
{
    struct shard *shard = &cache->shards[*at];
    size_t count = 0;
    pthread_mutex_lock(&shard->lock);
    for (size_t end = *bucket + buckets; *bucket <= shard->mask && *bucket < end && count < max; ++*bucket)
        for (struct cache_entry *entry = shard->buckets[*bucket]; entry && count < max;
             entry = entry->chain) {
            cache_retain(entry); /* the caller's */
            out[count++] = entry;
        }
    const bool over = *bucket > shard->mask;
    pthread_mutex_unlock(&shard->lock);
    if (over) {
        ++*at;
        *bucket = 0;
    }
    return count;
}

/* --- the budget ------------------------------------------------------------------------------ */

/* A few steps of the hand. Takes an entry out, or NULL. */
static struct cache_entry *sweep(struct cache *cache, struct shard *shard)
{
    struct cache_entry *gone = NULL;
    pthread_mutex_lock(&shard->lock);
    for (int step = 0; step < HAND_STEPS && shard->count > 0 && !gone; step++) {
        struct cache_entry *entry = shard->hand ? shard->hand : shard->oldest;
        shard->hand = entry->newer;
        if (atomic_load_explicit(&entry->visited, memory_order_relaxed))
            atomic_store_explicit(&entry->visited, 0, memory_order_relaxed);
        else if (atomic_load_explicit(&entry->refs, memory_order_relaxed) == 1)
            unlink_entry(cache, shard, entry, &gone);
    }
    pthread_mutex_unlock(&shard->lock);
    return gone;
}

static bool evict_from(struct cache *cache, struct shard *shard)
{
    for (int turn = 0; turn < HAND_TURNS; turn++) {
        if (atomic_load_explicit(&shard->bytes, memory_order_relaxed) == 0)
            return false;
        struct cache_entry *gone = sweep(cache, shard);
        if (gone) {
            cache_release(gone);
            atomic_fetch_add_explicit(&cache->evictions, 1, memory_order_relaxed);
            return true;
        }
    }
    return false;
}

/* From the first shard, beginning with the hash's own, that holds at least its share; from any, when those
 * yield nothing. */
static bool evict_one(struct cache *cache, uint64_t hash)
{
    const size_t first = (size_t)(hash >> 58);
    const size_t share = atomic_load_explicit(&cache->bytes, memory_order_relaxed) / INDEX_SHARDS;
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < INDEX_SHARDS; i++) {
            struct shard *shard = &cache->shards[(first + i) % INDEX_SHARDS];
            const bool fat = atomic_load_explicit(&shard->bytes, memory_order_relaxed) >= share;
            if ((fat || pass == 1) && evict_from(cache, shard))
                return true;
        }
    return false;
}

bool index_reserve(struct cache *cache, size_t size, uint64_t hash)
{
    for (;;) {
        const size_t budget = atomic_load_explicit(&cache->budget, memory_order_relaxed);
        size_t bytes = atomic_load_explicit(&cache->bytes, memory_order_relaxed);
        if (size > budget)
            return false;
        while (bytes <= budget && size <= budget - bytes)
            if (atomic_compare_exchange_weak_explicit(&cache->bytes, &bytes, bytes + size,
                                                      memory_order_relaxed, memory_order_relaxed))
                return true;
        if (!evict_one(cache, hash))
            return false;
    }
}

void index_unreserve(struct cache *cache, size_t size)
{
    atomic_fetch_sub_explicit(&cache->bytes, size, memory_order_relaxed);
}
