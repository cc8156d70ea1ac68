/* What the programs that measure the cache share: random numbers, Zipf's law, and storing an answer. */
#ifndef BENCH_DESK_H
#define BENCH_DESK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/cache.h"

static inline void stop(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Numbers from 0 to count - 1, the lower the more often. */
struct zipf {
    double *cumulated;
    size_t count;
};

static inline void zipf_init(struct zipf *zipf, size_t count, double skew)
{
    double sum = 0;
    *zipf = (struct zipf){malloc(count * sizeof(double)), count};
    if (!zipf->cumulated)
        stop("out of memory");
    for (size_t i = 0; i < count; i++)
        zipf->cumulated[i] = sum += pow((double)(i + 1), -skew);
}

static inline size_t zipf_next(const struct zipf *zipf, uint64_t *random)
{
    double at = (double)(next_random(random) >> 11) / 9007199254740992.0 * zipf->cumulated[zipf->count - 1];
    size_t low = 0, high = zipf->count - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (zipf->cumulated[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* One GET after the other, as the pipeline asks. */
struct desk {
    struct cache *cache;
    struct cache_policy policy;
    struct cache_query query;
    struct http_field type;
    struct http_fields none, fields;
    struct buf key;
};

enum { DESK_NOW_MS = 1000000000 };

static inline void desk_open(struct desk *desk, size_t memory)
{
    *desk = (struct desk){.cache = cache_create(&(struct cache_options){memory, 1 << 20}),
                          .policy = {.ttl_ms = 3600000, .ttl_uncovered_ms = 3600000},
                          .type = {SLICE("Content-Type"), SLICE("application/json"), FIELD_CONTENT_TYPE}};
    if (!desk->cache)
        stop("out of memory");
    desk->fields = (struct http_fields){&desk->type, 1};
    buf_init(&desk->key, 4096);
    desk->query = (struct cache_query){.method = METHOD_GET,
                                       .fields = &desk->none,
                                       .control = cache_control_parse(&desk->none, FIELD_CACHE_CONTROL),
                                       .policy = &desk->policy,
                                       .covered = true,
                                       .now_ms = DESK_NOW_MS};
}

static inline void desk_close(struct desk *desk)
{
    cache_destroy(desk->cache);
    buf_deinit(&desk->key);
}

static inline void desk_point(struct desk *desk, const struct cache_subject *subject, const char *path)
{
    const struct slice parts[5] = {SLICE("acme"), subject->credential, subject->api, slice_from(path),
                                   SLICE("")};
    buf_reset(&desk->key);
    if (cache_key_build(&desk->key, parts, &desk->query.key))
        stop("no key");
    desk->query.deps = cache_deps_of(desk->cache, subject);
}

static inline bool desk_finds(struct desk *desk)
{
    struct cache_found found;
    cache_find(desk->cache, &desk->query, &found);
    if (found.entry)
        cache_release(found.entry);
    return found.decision == CACHE_HIT;
}

/* Returns the length of what is the answer's own: key, fields, body. */
static inline size_t desk_store(struct desk *desk, struct slice body)
{
    struct cache_answer answer = {.status = 200,
                                  .fields = &desk->fields,
                                  .request_ms = DESK_NOW_MS,
                                  .response_ms = DESK_NOW_MS,
                                  .response_wall_s = 1700000000,
                                  .deps = desk->query.deps};
    const char *why;
    if (cache_may_store(&desk->query, &answer, &why) != CACHE_STORE)
        stop("an answer may not be stored");
    struct cache_entry *entry = cache_store(desk->cache, &desk->query, &answer, body);
    if (!entry)
        stop("an answer was not stored");
    size_t own = desk->query.key.bytes.len + cache_entry_head(entry).len + body.len;
    cache_release(entry);
    return own;
}

#endif
