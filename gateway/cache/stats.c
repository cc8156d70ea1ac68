/* What the room has counted. */
#include "cache/cache_internal.h"

static uint64_t read_counter(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void cache_stats(const struct cache *cache, struct cache_stats *out)
{
    *out = (struct cache_stats){
        .entries = read_counter(&cache->entries),
        .bytes = atomic_load_explicit(&cache->bytes, memory_order_relaxed),
        .budget = atomic_load_explicit(&cache->budget, memory_order_relaxed),
        .stores = read_counter(&cache->stores),
        .evictions = read_counter(&cache->evictions),
        .replaced = read_counter(&cache->replaced),
        .fenced = read_counter(&cache->fenced),
        .invalidations = read_counter(&cache->invalidations),
    };
    warm_stats(cache, &out->warm);
}
