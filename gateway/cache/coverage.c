/*
 * Coverage: when the last genuine event of a credential came. A table of (hash, time) pairs, written without
 * a lock; two credentials that meet in a slot take it from each other, and the one that lost counts as
 * uncovered: fresh for too short, never for too long.
 */
#include <stdlib.h>

#include "base/digest.h"
#include "cache/cache_internal.h"

enum { COVERAGE_BITS = 16 };

int coverage_init(struct coverage *coverage)
{
    coverage->slots = calloc((size_t)1 << COVERAGE_BITS, sizeof *coverage->slots);
    if (coverage->slots && lease_init(coverage) == 0)
        return 0;
    free(coverage->slots);
    coverage->slots = NULL;
    return ERR_NOMEM;
}

void coverage_deinit(struct coverage *coverage)
{
    if (coverage->slots)
        lease_deinit(coverage);
    free(coverage->slots);
    coverage->slots = NULL;
}

void cache_event_seen(struct cache *cache, struct slice credential, uint64_t now_ms)
{
    uint64_t hash = digest_hash(credential);
    struct coverage_slot *slot = &cache->coverage.slots[hash >> (64 - COVERAGE_BITS)];
    /* The time is taken away before the name changes: nobody sees another's time under its own name. */
    if (atomic_load(&slot->hash) != hash) {
        atomic_store(&slot->seen_ms, 0);
        atomic_store(&slot->hash, hash);
    }
    atomic_store(&slot->seen_ms, now_ms > 0 ? now_ms : 1);
}

bool cache_covered(const struct cache *cache, struct slice credential, uint64_t now_ms, uint64_t window_ms)
{
    uint64_t hash = digest_hash(credential);
    struct coverage_slot *slot = &cache->coverage.slots[hash >> (64 - COVERAGE_BITS)];
    uint64_t seen = atomic_load(&slot->seen_ms);
    /* The name is read after the time, and once more: a slot that changed hands meanwhile does not count. */
    return atomic_load(&slot->hash) == hash && seen > 0 && atomic_load(&slot->seen_ms) == seen &&
           (now_ms < seen || now_ms - seen <= window_ms); /* loops' clocks differ by a turn */
}
