/*
 * Hit ratios of the cache against LRU with as many entries, on Zipf's law alone and mixed with scans (a run
 * of keys that come once, after three runs that follow the law). One JSON line for each trace.
 *
 *   eviction
 */
#include "desk.h"

enum { OBJECTS = 20000, CAPACITY = 2000, REQUESTS = 400000, PLACES = OBJECTS + REQUESTS + 1 };

/* The plain way: a ring, the head's place is 0. */
struct lru {
    size_t next[PLACES], prev[PLACES];
    bool in[PLACES];
    size_t count;
};

static void lru_unlink(struct lru *lru, size_t n)
{
    lru->next[lru->prev[n]] = lru->next[n];
    lru->prev[lru->next[n]] = lru->prev[n];
}

static bool lru_ask(struct lru *lru, size_t key, size_t capacity)
{
    size_t n = key + 1;
    bool hit = lru->in[n];
    if (hit) {
        lru_unlink(lru, n);
    } else if (lru->count == capacity) {
        size_t last = lru->prev[0];
        lru_unlink(lru, last);
        lru->in[last] = false;
    } else {
        lru->count++;
    }
    lru->in[n] = true;
    lru->next[n] = lru->next[0];
    lru->prev[n] = 0;
    lru->prev[lru->next[0]] = n;
    lru->next[0] = n;
    return hit;
}

static const struct cache_subject people = {{"c", 1}, {"crm", 3}, {"people", 6}, {NULL, 0}};

static bool cache_ask(struct desk *desk, size_t key)
{
    char path[32];
    snprintf(path, sizeof path, "/people/%09zu", key); /* all of one size */
    desk_point(desk, &people, path);
    if (desk_finds(desk))
        return true;
    desk_store(desk, SLICE("body"));
    return false;
}

static size_t weight_of_one(void)
{
    struct desk desk;
    struct cache_stats before, after;
    desk_open(&desk, 1 << 30);
    cache_stats(desk.cache, &before);
    cache_ask(&desk, 1);
    cache_stats(desk.cache, &after);
    desk_close(&desk);
    return (size_t)(after.bytes - before.bytes);
}

static void run(double skew, unsigned scan_every)
{
    size_t weight = weight_of_one(), hits = 0, lru_hits = 0, scanned = 0;
    struct lru *lru = calloc(1, sizeof *lru);
    struct zipf zipf;
    struct desk desk;
    struct cache_stats stats;
    uint64_t random = 42;
    if (!lru)
        stop("out of memory");
    zipf_init(&zipf, OBJECTS, skew);
    desk_open(&desk, CAPACITY * weight);
    cache_stats(desk.cache, &stats);
    size_t capacity = (CAPACITY * weight - (size_t)stats.bytes) / weight;
    for (unsigned n = 0; n < REQUESTS; n++) {
        bool scan = scan_every > 0 && n / scan_every % 4 == 3;
        size_t key = scan ? OBJECTS + scanned++ : zipf_next(&zipf, &random);
        lru_hits += lru_ask(lru, key, capacity);
        hits += cache_ask(&desk, key);
    }
    printf("{\"bench\":\"eviction\",\"skew\":%.1f,\"scan\":%u,\"lru\":%.4f,\"cache\":%.4f}\n", skew,
           scan_every, (double)lru_hits / REQUESTS, (double)hits / REQUESTS);
    desk_close(&desk);
    free(zipf.cumulated);
    free(lru);
}

int main(void)
{
    static const double skews[] = {0.8, 0.9, 1.0, 1.1};
    static const unsigned scans[] = {0, 500, 2000};
    for (size_t s = 0; s < sizeof scans / sizeof *scans; s++)
        for (size_t i = 0; i < sizeof skews / sizeof *skews; i++)
            run(skews[i], scans[s]);
    return 0;
}
