/* Lookup: which variant of a key a request selects, and what it may have of it. */
#include "cache/cache_internal.h"

/* The most recent variant that the request selects keeps its reference, the others give theirs back. */
static struct cache_entry *choose(struct cache_entry **variants, size_t count,
                                  const struct http_fields *request)
{
    struct cache_entry *chosen = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!chosen && vary_matches(entry_vary(variants[i]), request))
            chosen = variants[i];
        else
            cache_release(variants[i]);
    }
    return chosen;
}

static void miss(struct cache_found *out, const char *fwd, const char *detail)
{
    *out = (struct cache_found){.decision = CACHE_MISS, .fwd = fwd, .detail = detail};
}

void cache_find(struct cache *cache, const struct cache_query *query, struct cache_found *out)
{
    struct cache_entry *variants[INDEX_VARIANTS];
    if (query->method != METHOD_GET && query->method != METHOD_HEAD) {
        miss(out, "method", NULL);
        return;
    }
    if (query->control.flags &
        CC_NO_STORE) { /* RFC 9111 5.2.1.5; the client wants nothing to do with a cache */
        miss(out, "request", "no-store");
        return;
    }
    const size_t count = index_collect(cache, query->key, variants);
    struct cache_entry *entry = choose(variants, count, query->fields);
    if (!entry) {
        miss(out, count > 0 ? "vary-miss" : "uri-miss", NULL);
        return;
    }
    index_touch(entry);
    *out = (struct cache_found){.entry = entry};
    /* The entry's own counters: what it was made from decides, should a request once be mapped otherwise. */
    policy_judge(entry, query, cache_settling(cache, &query->deps, query->now_ms),
                 cache_deps_hold(cache, &entry->deps), out);
}
