/*
 * Leases: what webhook subscriptions cover, by (credential, api). Readers take no lock: they look for the key
 * in a group of eight, read the slot, and look at the key once more. Who writes has the lock, and a slot that
 * changes hands is emptied between its two keys. After one had to make room, whatever nobody knows may have
 * been covered before, and counts as interrupted: stale too early, never too late.
 */
#include <stdlib.h>

#include "base/digest.h"
#include "cache/cache_internal.h"

enum { LEASE_BITS = 18, GROUP = 8, USED_EVERY_MS = 1000, ASK_EVERY_MS = 5000 };

int lease_init(struct coverage *coverage)
{
    const size_t count = (size_t)1 << LEASE_BITS;
    /* Pages that nobody touches are never there. */
    coverage->keys = calloc(count, sizeof *coverage->keys);
    coverage->leases = calloc(count, sizeof *coverage->leases);
    if (coverage->keys && coverage->leases && pthread_mutex_init(&coverage->lock, NULL) == 0)
        return 0;
    free(coverage->keys);
    free(coverage->leases);
    return ERR_NOMEM;
}

void lease_deinit(struct coverage *coverage)
{
    pthread_mutex_destroy(&coverage->lock);
    free(coverage->keys);
    free(coverage->leases);
}

uint64_t cache_lease_key(struct slice credential, struct slice api, uint64_t version)
{
    uint64_t h = (digest_hash(credential) ^ version) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 32) ^ digest_hash(api)) * 0xd6e8feb86659fd93u;
    h ^= h >> 29;
    return h ? h : 1;
}

/* --- finding ---------------------------------------------------------------------------------- */

static size_t group_of(uint64_t key)
{
    return (size_t)(key >> (64 - LEASE_BITS)) & ~(size_t)(GROUP - 1);
}

/* Its place, or -1. */
static ptrdiff_t place_of(const struct coverage *coverage, uint64_t key)
{
    const size_t first = group_of(key);
    for (size_t i = first; i < first + GROUP; i++)
        if (atomic_load(&coverage->keys[i]) == key)
            return (ptrdiff_t)i;
    return -1;
}

/* Under the lock: its place, or that of the one that nobody has used for longest, emptied. */
static size_t claim(struct coverage *coverage, uint64_t key, bool *known)
{
    const size_t first = group_of(key);
    const ptrdiff_t found = place_of(coverage, key);
    size_t victim = first;
    *known = found >= 0;
    if (*known)
        return (size_t)found;
    for (size_t i = first; i < first + GROUP; i++) {
        if (atomic_load(&coverage->keys[i]) == 0) {
            victim = i;
            break;
        }
        if (atomic_load(&coverage->leases[i].used_ms) < atomic_load(&coverage->leases[victim].used_ms))
            victim = i;
    }
    struct lease_slot *slot = &coverage->leases[victim];
    coverage->lost = coverage->lost || slot->print != 0;
    atomic_store(&coverage->keys[victim], 0);
    atomic_store(&slot->mask, 0);
    atomic_store(&slot->until_ms, 0);
    atomic_store(&slot->ask_ms, 0);
    atomic_store(&slot->doubted, 0);
    atomic_store(&slot->doubt_ms, 0);
    atomic_store(&slot->used_ms, 0);
    atomic_store(&slot->asked_ms, 0);
    slot->print = 0;
    atomic_store(&coverage->keys[victim], key);
    return victim;
}

/* --- reading ---------------------------------------------------------------------------------- */

static uint64_t bits_of(const struct lease_slot *slot, uint64_t now_ms)
{
    if (atomic_load(&slot->until_ms) <= now_ms)
        return 0;
    uint64_t doubted = atomic_load(&slot->doubt_ms) > now_ms ? atomic_load(&slot->doubted) : 0;
    return atomic_load(&slot->mask) & ~doubted;
}

/* Once in a while one reader gets to ask. */
static bool may_ask(struct lease_slot *slot, uint64_t now_ms)
{
    uint64_t asked = atomic_load_explicit(&slot->asked_ms, memory_order_relaxed);
    if (asked > 0 && now_ms < asked + ASK_EVERY_MS)
        return false;
    return atomic_compare_exchange_strong(&slot->asked_ms, &asked, now_ms > 0 ? now_ms : 1);
}

static bool ask_anew(struct coverage *coverage, uint64_t key, uint64_t now_ms)
{
    bool known;
    pthread_mutex_lock(&coverage->lock);
    struct lease_slot *slot = &coverage->leases[claim(coverage, key, &known)];
    atomic_store(&slot->used_ms, now_ms);
    pthread_mutex_unlock(&coverage->lock);
    return may_ask(slot, now_ms);
}

bool cache_lease_holds(struct cache *cache, uint64_t key, unsigned bit, uint64_t now_ms, bool *ask)
{
    struct coverage *coverage = &cache->coverage;
    const ptrdiff_t at = place_of(coverage, key);
    *ask = false;
    if (at < 0) {
        *ask = ask_anew(coverage, key, now_ms);
        return false;
    }
    struct lease_slot *slot = &coverage->leases[at];
    const uint64_t bits = bits_of(slot, now_ms);
    const bool due = atomic_load(&slot->ask_ms) <= now_ms;
    if (atomic_load(&coverage->keys[at]) != key)
        return false;
    if (atomic_load_explicit(&slot->used_ms, memory_order_relaxed) + USED_EVERY_MS <= now_ms)
        atomic_store_explicit(&slot->used_ms, now_ms, memory_order_relaxed);
    *ask = due && may_ask(slot, now_ms);
    return bits >> bit & 1;
}

bool cache_lease_show(const struct cache *cache, uint64_t key, uint64_t now_ms, struct cache_lease *lease,
                      uint64_t *used_ms)
{
    struct coverage *coverage = (struct coverage *)(uintptr_t)&cache->coverage;
    pthread_mutex_lock(&coverage->lock);
    const ptrdiff_t at = place_of(coverage, key);
    if (at >= 0) {
        const struct lease_slot *slot = &coverage->leases[at];
        *lease = (struct cache_lease){bits_of(slot, now_ms), slot->print, atomic_load(&slot->until_ms),
                                      atomic_load(&slot->ask_ms)};
        *used_ms = atomic_load(&slot->used_ms);
    }
    pthread_mutex_unlock(&coverage->lock);
    return at >= 0;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* What may have missed an event becomes stale while nothing is covered: an answer that was asked for before
 * is fenced by its deps, one that is asked for from here on sees the new bits or none. */
static void replace(struct cache *cache, struct lease_slot *slot, const struct cache_subject *subject)
{
    const struct cache_subject all = {subject->credential, subject->api, {NULL, 0}, {NULL, 0}};
    atomic_store(&slot->mask, 0);
    cache_invalidate(cache, &all);
}

uint64_t cache_lease_set(struct cache *cache, uint64_t key, const struct cache_subject *subject,
                         const struct cache_lease *lease, uint64_t now_ms)
{
    struct coverage *coverage = &cache->coverage;
    bool known;
    pthread_mutex_lock(&coverage->lock);
    struct lease_slot *slot = &coverage->leases[claim(coverage, key, &known)];
    const uint64_t before = bits_of(slot, now_ms);
    const bool first = slot->print == 0 && !coverage->lost; /* nothing was ever covered */
    if (!first && slot->print != lease->print)
        replace(cache, slot, subject);
    if (!first || lease->mask != 0)
        slot->print = lease->print;
    atomic_store(&slot->until_ms, lease->until_ms);
    atomic_store(&slot->ask_ms, lease->ask_ms);
    atomic_store(&slot->mask, lease->mask);
    pthread_mutex_unlock(&coverage->lock);
    return before;
}

void cache_lease_doubt(struct cache *cache, uint64_t key, unsigned bit, const struct cache_subject *subject,
                       uint64_t until_ms)
{
    struct coverage *coverage = &cache->coverage;
    const struct cache_subject entity = {subject->credential, subject->api, subject->entity, {NULL, 0}};
    bool known;
    pthread_mutex_lock(&coverage->lock);
    struct lease_slot *slot = &coverage->leases[claim(coverage, key, &known)];
    atomic_store(&slot->doubted, atomic_load(&slot->doubted) | (uint64_t)1 << bit);
    atomic_store(&slot->doubt_ms, until_ms);
    cache_invalidate(cache, &entity);
    pthread_mutex_unlock(&coverage->lock);
}
