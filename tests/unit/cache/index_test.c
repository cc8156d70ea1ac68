/* The index: the budget, variants, eviction in the long run, several threads at once. */
#include <pthread.h>
#include <stdatomic.h>

#include "unit/cache/harness.h"

static const struct cache_policy hour = {.ttl_ms = 3600000, .ttl_uncovered_ms = 3600000};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void set_path(struct request *request, uint64_t n)
{
    char path[32];
    snprintf(path, sizeof path, "/people/%llu", (unsigned long long)n);
    request_set_key(request, path);
}

/* --- the budget ------------------------------------------------------------------------------ */

/* Sizes, entries that are held, removals and new budgets, at random: the sum is never above the budget, and
 * nothing is lost of it. */
static void the_budget_holds(void **state)
{
    (void)state;
    enum { KEYS = 3000, HELD = 40, STEPS = 40000 };
    uint64_t random = 7;
    size_t budget = 2 << 20;
    struct cache *cache = cache_new(budget);
    struct request request;
    struct reply reply;
    struct cache_entry *held[HELD] = {0};
    struct cache_stats stats;
    char *body = calloc(1, 1 << 20);
    assert_non_null(body);
    request_init(&request, cache, &hour, "");
    for (int step = 0; step < STEPS; step++) {
        set_path(&request, next_random(&random) % KEYS);
        reply_init(&reply, &request, 200, "Content-Type: text/plain");
        size_t size = next_random(&random) % 4096;
        if (next_random(&random) % 200 == 0)
            size = next_random(&random) % 400000;
        struct cache_entry *entry = cache_store(cache, &request.query, &reply.answer, slice_of(body, size));
        cache_stats(cache, &stats);
        assert_true(stats.bytes <= budget);
        const size_t slot = next_random(&random) % HELD;
        if (next_random(&random) % 8 == 0 && size < 20000) {
            cache_release(held[slot]);
            held[slot] = entry;
        } else {
            cache_release(entry);
        }
        if (step % 1000 == 999)
            cache_remove(cache, request.query.key);
        if (step == STEPS / 2 || step == STEPS * 3 / 4) {
            budget = step == STEPS / 2 ? 4 << 20 : 3 << 19;
            cache_configure(cache, &(struct cache_options){budget, 1 << 20});
            cache_stats(cache, &stats);
            assert_true(stats.bytes <= budget);
        }
    }
    cache_stats(cache, &stats);
    assert_true(stats.evictions > 0 && stats.entries > 0 && stats.replaced > 0);
    assert_true(stats.bytes > budget / 2); /* it is used, too */
    for (size_t i = 0; i < HELD; i++)
        cache_release(held[i]);
    for (uint64_t i = 0; i < KEYS; i++) {
        set_path(&request, i);
        cache_remove(cache, request.query.key);
    }
    cache_stats(cache, &stats);
    assert_int_equal(stats.entries, 0);
    assert_true(stats.bytes < 64 * 1024); /* the buckets alone */
    free(body);
    request_deinit(&request);
    cache_destroy(cache);
}

static void what_is_held_is_not_evicted_for_nothing(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct request request;
    struct reply reply;
    struct cache_entry *held[8];
    char *body = calloc(1, 200000);
    assert_non_null(body);
    request_init(&request, cache, &hour, "");
    size_t count = 0;
    for (; count < 8; count++) {
        set_path(&request, count);
        reply_init(&reply, &request, 200, "");
        held[count] = cache_store(cache, &request.query, &reply.answer, slice_of(body, 200000));
        if (!held[count])
            break;
    }
    assert_int_equal(count, 5); /* the sixth finds no room that could be made */
    for (size_t i = 0; i < count; i++) {
        struct cache_found found;
        set_path(&request, i);
        cache_find(cache, &request.query, &found);
        assert_int_equal(found.decision, CACHE_HIT);
        cache_release(found.entry);
        cache_release(held[i]);
    }
    set_path(&request, 99);
    reply_init(&reply, &request, 200, "");
    struct cache_entry *entry = cache_store(cache, &request.query, &reply.answer, slice_of(body, 200000));
    assert_non_null(entry);
    cache_release(entry);
    free(body);
    request_deinit(&request);
    cache_destroy(cache);
}

/* At most 160 bytes for an entry beside its key, fields and body. The heap may give 16 more, where what stays
 * of a free piece would be too small for another. */
static void overhead(void **state)
{
    (void)state;
    struct cache *cache = cache_new(64 << 20);
    struct request request;
    struct reply reply;
    struct cache_stats before, after;
    char body[1024] = {0};
    request_init(&request, cache, &hour, "");
    for (size_t size = 0; size < 1000; size += 7) {
        set_path(&request, size);
        reply_init(&reply, &request, 200, "Content-Type: text/plain");
        cache_stats(cache, &before);
        struct cache_entry *entry = cache_store(cache, &request.query, &reply.answer, slice_of(body, size));
        assert_non_null(entry);
        cache_stats(cache, &after);
        const size_t own = request.query.key.bytes.len + cache_entry_head(entry).len + size;
        const uint64_t cost = after.bytes - before.bytes - own;
        if (cost > 160 + 16)
            fail_msg("%llu bytes", (unsigned long long)cost);
        cache_release(entry);
    }
    request_deinit(&request);
    cache_destroy(cache);
}

static void no_budget_no_entries(void **state)
{
    (void)state;
    struct cache *cache = cache_new(0);
    struct request request;
    request_init(&request, cache, &hour, "");
    assert_null(store_text(cache, &request, 200, "", "body"));
    request_deinit(&request);
    cache_destroy(cache);
}

/* --- variants -------------------------------------------------------------------------------- */

static void variants_are_bounded(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct cache_stats stats;
    struct cache_found found;
    char text[64], body[16];
    for (int i = 0; i < 100; i++) {
        struct request request;
        snprintf(text, sizeof text, "Foo: %d", i);
        snprintf(body, sizeof body, "%d", i);
        request_init(&request, cache, &hour, text);
        cache_release(store_text(cache, &request, 200, "Vary: Foo", body));
        request_deinit(&request);
    }
    cache_stats(cache, &stats);
    assert_int_equal(stats.entries, 32);
    for (int i = 0; i < 100; i++) {
        struct request request;
        snprintf(text, sizeof text, "Foo: %d", i);
        snprintf(body, sizeof body, "%d", i);
        request_init(&request, cache, &hour, text);
        cache_find(cache, &request.query, &found);
        assert_int_equal(found.decision, i < 68 ? CACHE_MISS : CACHE_HIT);
        if (found.entry)
            assert_slice(cache_entry_body(found.entry), body);
        else
            assert_string_equal(found.fwd, "vary-miss");
        cache_release(found.entry);
        request_deinit(&request);
    }
    cache_destroy(cache);
}

/* RFC 9111 4.1: of several that fit, the most recent. */
static void the_latest_fit_is_chosen(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct request request;
    struct cache_found found;
    static const char *const heads[] = {"Vary: Foo", "Vary: Foo, Bar", "", "Vary: Bar", "Vary: Foo"};
    for (size_t i = 0; i < 5; i++) {
        char body[8];
        snprintf(body, sizeof body, "%zu", i);
        request_init(&request, cache, &hour, "Foo: 1\nBar: 2");
        cache_release(store_text(cache, &request, 200, heads[i], body));
        cache_find(cache, &request.query, &found);
        assert_slice(cache_entry_body(found.entry), body);
        cache_release(found.entry);
        request_deinit(&request);
    }
    cache_destroy(cache);
}

static void waiters_know_their_variant(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *one, *other;
        bool same;
    } rows[] = {
        {"", "Foo: 1", "Foo: 2", true},
        {"Vary: Foo", "Foo: 1", "Foo: 1", true},
        {"Vary: Foo", "Foo: 1", "Foo: 2", false},
        {"Vary: Foo", "Foo: 1", "", false},
        {"Vary: *", "", "", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct message answer, one, other;
        message_init(&answer, rows[i].answer);
        message_init(&one, rows[i].one);
        message_init(&other, rows[i].other);
        assert_int_equal(cache_same_variant(&answer.fields, &one.fields, &other.fields), rows[i].same);
    }
}

/* A larger table keeps what is there. */
static void growing_loses_nothing(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct cache *cache = cache_new(1 << 20);
    struct request request;
    struct cache_found found;
    request_init(&request, cache, &hour, "");
    for (uint64_t i = 0; i < COUNT; i++) {
        set_path(&request, i);
        cache_release(store_text(cache, &request, 200, "", "x"));
    }
    cache_configure(cache, &(struct cache_options){256 << 20, 1 << 20});
    for (uint64_t i = 0; i < COUNT; i++) {
        set_path(&request, i);
        cache_find(cache, &request.query, &found);
        assert_int_equal(found.decision, CACHE_HIT);
        cache_release(found.entry);
    }
    request_deinit(&request);
    cache_destroy(cache);
}

/* --- eviction: SIEVE against LRU ------------------------------------------------------------- */

enum { OBJECTS = 20000, CAPACITY = 2000, REQUESTS = 120000 };

/* Keys of a Zipf distribution by its cumulated weights; from OBJECTS on they are a scan's. */
struct trace {
    double *cumulated;
    uint64_t random, scan;
    unsigned scan_every; /* a run of scanned keys after so many; 0: none */
    unsigned step;
};

static double power(double base, double exponent)
{
    /* By repeated roots: the mathematics library is not linked for this one use. */
    double result = 1, root = base;
    double rest = exponent;
    for (double weight = 1; weight > 1e-6; weight /= 2) {
        for (; rest >= weight; rest -= weight)
            result *= root;
        double guess = root > 1 ? root : 1;
        for (int i = 0; i < 40; i++)
            guess = (guess + root / guess) / 2;
        root = guess;
    }
    return result;
}

static void trace_init(struct trace *trace, double skew, unsigned scan_every)
{
    *trace =
        (struct trace){.cumulated = malloc(OBJECTS * sizeof(double)), .random = 42, .scan_every = scan_every};
    assert_non_null(trace->cumulated);
    double sum = 0;
    for (size_t i = 0; i < OBJECTS; i++) {
        sum += 1 / power((double)(i + 1), skew);
        trace->cumulated[i] = sum;
    }
}

static uint64_t trace_next(struct trace *trace)
{
    if (trace->scan_every > 0 && trace->step++ / trace->scan_every % 4 == 3)
        return OBJECTS + trace->scan++;
    const double at =
        (double)(next_random(&trace->random) >> 11) / 9007199254740992.0 * trace->cumulated[OBJECTS - 1];
    size_t low = 0, high = OBJECTS - 1;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (trace->cumulated[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* LRU of the same number of equal objects, the plain way. */
struct lru {
    size_t next[OBJECTS + REQUESTS + 1], prev[OBJECTS + REQUESTS + 1];
    bool in[OBJECTS + REQUESTS + 1];
    size_t count;
};

static void lru_unlink(struct lru *lru, size_t n)
{
    lru->next[lru->prev[n]] = lru->next[n];
    lru->prev[lru->next[n]] = lru->prev[n];
}

static bool lru_ask(struct lru *lru, size_t key, size_t capacity)
{
    const size_t n = key + 1; /* 0 is the head of the ring */
    const bool hit = lru->in[n];
    if (hit) {
        lru_unlink(lru, n);
    } else if (lru->count == capacity) {
        const size_t last = lru->prev[0];
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

static bool desk_ask(struct cache *cache, struct request *request, uint64_t key)
{
    struct cache_found found;
    char path[32];
    snprintf(path, sizeof path, "/people/%09llu", (unsigned long long)key); /* all of one size */
    request_set_key(request, path);
    cache_find(cache, &request->query, &found);
    cache_release(found.entry);
    if (found.decision == CACHE_HIT)
        return true;
    cache_release(store_text(cache, request, 200, "", "body"));
    return false;
}

static void sieve_is_no_worse_than_lru(void **state)
{
    (void)state;
    static const struct {
        double skew;
        unsigned scan_every;
    } rows[] = {{0.8, 0}, {0.9, 0}, {1.0, 0}, {1.1, 0}, {0.8, 500}, {0.9, 2000}, {1.0, 500}, {1.1, 2000}};
    print_message("  zipf  scans    LRU   SIEVE\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lru *lru = calloc(1, sizeof *lru);
        struct cache *cache = cache_new(1 << 30);
        struct request request;
        struct trace trace;
        struct cache_stats before, after;
        size_t lru_hits = 0, sieve_hits = 0;
        assert_non_null(lru);
        request_init(&request, cache, &hour, "");
        /* A budget for as many entries of that size. */
        cache_stats(cache, &before);
        desk_ask(cache, &request, 1);
        cache_stats(cache, &after);
        cache_destroy(cache);
        const size_t weight = (size_t)(after.bytes - before.bytes);
        cache = cache_new(CAPACITY * weight);
        cache_stats(cache, &before);
        const size_t capacity = (CAPACITY * weight - (size_t)before.bytes) / weight;
        trace_init(&trace, rows[i].skew, rows[i].scan_every);
        for (size_t n = 0; n < REQUESTS; n++) {
            const uint64_t key = trace_next(&trace);
            lru_hits += lru_ask(lru, (size_t)key, capacity);
            sieve_hits += desk_ask(cache, &request, key);
        }
        const double of_lru = (double)lru_hits / REQUESTS, of_sieve = (double)sieve_hits / REQUESTS;
        print_message("  %.1f   %5u   %.4f  %.4f\n", rows[i].skew, rows[i].scan_every, of_lru, of_sieve);
        assert_true(of_sieve >= of_lru - 0.002);
        free(trace.cumulated);
        free(lru);
        request_deinit(&request);
        cache_destroy(cache);
    }
}

/* --- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 6000, SHARED_KEYS = 64 };

struct worker {
    pthread_t thread;
    struct cache *cache;
    _Atomic uint64_t *upstream; /* each record's version, as upstream would answer now */
    _Atomic uint64_t *known;    /* the versions whose events are over */
    uint64_t random;
    unsigned wrong;
};

static struct cache_subject subject_of(char *id, size_t size, uint64_t n)
{
    struct cache_subject subject = people;
    snprintf(id, size, "%llu", (unsigned long long)n);
    subject.id = slice_from(id);
    return subject;
}

/* A fresh answer must not be older than the last event that was over when the question was asked. */
static void read_record(struct worker *worker, struct request *request, uint64_t n)
{
    char id[24], body[24];
    const struct cache_subject subject = subject_of(id, sizeof id, n);
    struct cache_found found;
    set_path(request, n);
    const uint64_t known = atomic_load(&worker->known[n]);
    request->query.deps = cache_deps_of(worker->cache, &subject);
    cache_find(worker->cache, &request->query, &found);
    uint64_t got;
    if (found.decision == CACHE_HIT && (!slice_to_u64(cache_entry_body(found.entry), &got) || got < known))
        worker->wrong++;
    if (found.decision != CACHE_HIT) {
        snprintf(body, sizeof body, "%llu", (unsigned long long)atomic_load(&worker->upstream[n]));
        cache_release(store_text(worker->cache, request, 200, n % 2 ? "Vary: Foo" : "", body));
    }
    cache_release(found.entry);
}

/* The change happens upstream, then its event comes in; when that was acted on, the change is known. */
static void change_record(struct worker *worker, uint64_t n)
{
    char id[24];
    const struct cache_subject subject = subject_of(id, sizeof id, n);
    const uint64_t version = atomic_fetch_add(&worker->upstream[n], 1) + 1;
    cache_invalidate(worker->cache, &subject);
    uint64_t known = atomic_load(&worker->known[n]);
    while (known < version && !atomic_compare_exchange_weak(&worker->known[n], &known, version))
        ;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct request *request = malloc(sizeof *request);
    if (!request)
        return NULL;
    request_init(request, worker->cache, &hour, "Foo: 1");
    for (int i = 0; i < ROUNDS; i++) {
        const uint64_t n = next_random(&worker->random) % SHARED_KEYS;
        const uint64_t dice = next_random(&worker->random) % 100;
        if (dice < 5)
            change_record(worker, n);
        else if (dice < 6)
            cache_remove(worker->cache, request->query.key);
        else
            read_record(worker, request, n);
    }
    request_deinit(request);
    free(request);
    return NULL;
}

static void several_threads(void **state)
{
    (void)state;
    /* Little room, so that the hand is always at work as well. */
    struct cache *cache = cache_new(12 << 10);
    struct worker workers[THREADS];
    _Atomic uint64_t upstream[SHARED_KEYS] = {0}, known[SHARED_KEYS] = {0};
    struct cache_stats stats;
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.cache = cache, .upstream = upstream, .known = known, .random = i + 1};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].wrong, 0);
    }
    cache_stats(cache, &stats);
    assert_true(stats.evictions > 0 && stats.stores > 0 && stats.invalidations > 0);
    assert_true(stats.bytes <= stats.budget);
    cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_budget_holds),
        cmocka_unit_test(what_is_held_is_not_evicted_for_nothing),
        cmocka_unit_test(overhead),
        cmocka_unit_test(no_budget_no_entries),
        cmocka_unit_test(variants_are_bounded),
        cmocka_unit_test(the_latest_fit_is_chosen),
        cmocka_unit_test(waiters_know_their_variant),
        cmocka_unit_test(growing_loses_nothing),
        cmocka_unit_test(sieve_is_no_worse_than_lru),
        cmocka_unit_test(several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
