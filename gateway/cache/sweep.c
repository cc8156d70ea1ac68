/* What belongs to credentials that are no more: found by walking memory and the copy on disk in bounded
 * steps. */
#include "cache/cache_internal.h"
#include "cache/warm.h"

enum { STEP_ENTRIES = 256, STEP_BUCKETS = 256 };

/* Tenant and credential stand first in a key; its end may be missing. */
static bool read_part(struct slice *key, struct slice *part)
{
    if (key->len < 2)
        return false;
    const size_t len = (size_t)warm_get_number(key->ptr, 2);
    if (len > key->len - 2)
        return false;
    *part = slice_of(key->ptr + 2, len);
    *key = slice_skip(*key, 2 + len);
    return true;
}

bool sweep_is_over(const struct cache_sweep *sweep, struct slice key)
{
    struct slice tenant, credential;
    if (!read_part(&key, &tenant) || !read_part(&key, &credential) || credential.len == 0)
        return false; /* core has no credential */
    return !sweep->keeps(tenant, credential, sweep->arg);
}

static void sweep_memory(struct cache *cache, struct cache_sweep *sweep)
{
    struct cache_entry *entries[STEP_ENTRIES];
    const size_t count =
        index_walk(cache, &sweep->shard, &sweep->bucket, STEP_BUCKETS, entries, STEP_ENTRIES);
    for (size_t i = 0; i < count; i++) {
        if (sweep_is_over(sweep, entry_key(entries[i]))) {
            index_remove(cache, entries[i]);
            sweep->removed++;
        }
        cache_release(entries[i]);
    }
}

bool cache_sweep_step(struct cache *cache, struct cache_sweep *sweep)
{
    if (sweep->shard < INDEX_SHARDS) {
        sweep_memory(cache, sweep);
        return true;
    }
    return warm_sweep(cache, sweep);
}
