/* What a change makes stale, and what it leaves alone; the fence; settling; keys. */
#include "unit/cache/harness.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define S(text)                                                                                              \
    {                                                                                                        \
        text, sizeof(text) - 1                                                                               \
    }
#define ANY                                                                                                  \
    {                                                                                                        \
        NULL, 0                                                                                              \
    }

static const struct cache_policy hour = {
    .ttl_ms = 3600000, .ttl_uncovered_ms = 3600000, .swr_ms = 3600000, .sie_ms = 3600000};

/* The answers that somebody holds: records, lists, other entities, credentials, apis. */
static const struct cache_subject held[] = {
    {S("c1"), S("crm"), S("people"), S("7")}, {S("c1"), S("crm"), S("people"), S("8")},
    {S("c1"), S("crm"), S("people"), ANY},    {S("c1"), S("crm"), S("notes"), S("7")},
    {S("c1"), S("crm"), S("notes"), ANY},     {S("c1"), S("los"), S("people"), S("7")},
    {S("c2"), S("crm"), S("people"), S("7")}, {S("c2"), S("crm"), S("people"), ANY},
    {ANY, S("core"), S("credentials"), ANY},  {S("c1"), S("crm"), S("people"), S("list")},
};
enum { HELD = sizeof held / sizeof held[0] };

static void precision(void **state)
{
    (void)state;
    static const struct {
        struct cache_subject changed;
        unsigned raised;
        const char *stale; /* one character for each held: x is stale */
    } rows[] = {
        {{S("c1"), S("crm"), S("people"), S("7")}, 2, "x.x......."},
        {{S("c1"), S("crm"), S("people"), S("9")}, 2, "..x......."},
        {{S("c1"), S("crm"), S("people"), ANY}, 1, "xxx......x"},
        {{S("c1"), S("crm"), ANY, ANY}, 1, "xxxxx....x"},
        {{S("c1"), ANY, ANY, ANY}, 1, "xxxxxx...x"},
        {{S("c1"), ANY, S("people"), S("7")}, 1, "xxxxxx...x"},
        {{ANY, S("crm"), S("people"), ANY}, 1, "xxx...xx.x"},
        {{ANY, S("crm"), S("people"), S("7")}, 1, "xxx...xx.x"},
        {{ANY, S("crm"), ANY, ANY}, 1, "xxxxx.xx.x"},
        {{ANY, ANY, ANY, ANY}, 1, "xxxxxxxxxx"},
        {{ANY, ANY, S("people"), ANY}, 1, "xxxxxxxxxx"},
        {{S("\x01none"), ANY, ANY, ANY}, 1, "........x."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cache *cache = cache_new(1 << 20);
        struct cache_deps deps[HELD];
        char got[HELD + 1] = {0};
        for (size_t j = 0; j < HELD; j++)
            deps[j] = cache_deps_of(cache, &held[j]);
        assert_int_equal(cache_invalidate(cache, &rows[i].changed), rows[i].raised);
        for (size_t j = 0; j < HELD; j++)
            got[j] = cache_deps_hold(cache, &deps[j]) ? '.' : 'x';
        if (strcmp(got, rows[i].stale) != 0)
            fail_msg("row %zu: %s is not %s", i, got, rows[i].stale);
        cache_destroy(cache);
    }
}

/* A response whose upstream request began before the event is dead on arrival; so is what was stored before
 * it. */
static void the_fence(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct request before, after;
    struct cache_found found;
    struct cache_stats stats;
    request_init(&before, cache, &hour, "");
    cache_invalidate(cache, &people); /* while the answer is on its way */
    cache_release(store_text(cache, &before, 200, "ETag: \"old\"", "old"));
    request_init(&after, cache, &hour, "");
    cache_find(cache, &after.query, &found);
    assert_int_equal(found.decision, CACHE_REVALIDATE);
    assert_string_equal(found.detail, "invalidated");
    assert_string_equal(found.fwd, "stale");
    assert_true(found.ttl_ms <= 0);
    assert_false(found.background);
    assert_true(cache_stale_if_error(found.entry, &after.query, after.query.now_ms));
    cache_release(found.entry);
    cache_stats(cache, &stats);
    assert_int_equal(stats.fenced, 1);

    /* The one that began later is stored; one from before that comes in last does not take its place. */
    cache_release(store_text(cache, &after, 200, "ETag: \"new\"", "new"));
    cache_release(store_text(cache, &before, 200, "ETag: \"old\"", "old"));
    cache_find(cache, &after.query, &found);
    assert_int_equal(found.decision, CACHE_HIT);
    assert_slice(cache_entry_body(found.entry), "new");
    cache_release(found.entry);
    request_deinit(&before);
    request_deinit(&after);
    cache_destroy(cache);
}

/* Neither stale-while-revalidate nor max-stale gives what an event has made stale. */
static void invalidated_is_never_merely_stale(void **state)
{
    (void)state;
    static const char *const asks[] = {"", "Cache-Control: max-stale", "Cache-Control: max-stale=99999",
                                       "Cache-Control: only-if-cached"};
    for (size_t i = 0; i < 4; i++) {
        struct cache *cache = cache_new(1 << 20);
        struct request request;
        struct cache_found found;
        request_init(&request, cache, &hour, asks[i]);
        cache_release(
            store_text(cache, &request, 200, "Cache-Control: max-age=1, stale-while-revalidate=9999", "old"));
        cache_invalidate(cache, &people);
        request.query.now_ms += 5000;
        cache_find(cache, &request.query, &found);
        assert_int_equal(found.decision, CACHE_REVALIDATE);
        cache_release(found.entry);
        request_deinit(&request);
        cache_destroy(cache);
    }
}

static void settling(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct request request;
    struct cache_found found;
    const struct cache_subject write = {S("c"), S("crm"), S("people"), S("7")},
                               other = {S("c"), S("crm"), S("notes"), ANY};
    request_init(&request, cache, &hour, "");
    cache_release(store_text(cache, &request, 200, "", "before"));
    cache_settle(cache, &write, MONO + 3000);
    cache_settle(cache, &write, MONO + 2000); /* an earlier end shortens nothing */
    const struct cache_deps notes = cache_deps_of(cache, &other);
    assert_true(cache_settling(cache, &request.query.deps, MONO + 2999));
    assert_false(cache_settling(cache, &request.query.deps, MONO + 3000));
    assert_false(cache_settling(cache, &notes, MONO));

    cache_find(cache, &request.query, &found);
    assert_int_equal(found.decision, CACHE_REVALIDATE);
    assert_string_equal(found.detail, "settling");
    cache_release(found.entry);

    /* Fetched meanwhile: handed to whoever asked, but not put in, also when it comes in after the end. */
    cache_remove(cache, request.query.key);
    struct cache_entry *entry = store_text(cache, &request, 200, "", "meanwhile");
    assert_slice(cache_entry_body(entry), "meanwhile");
    cache_release(entry);
    request.query.now_ms = MONO + 3000;
    cache_find(cache, &request.query, &found);
    assert_int_equal(found.decision, CACHE_MISS);
    cache_release(store_text(cache, &request, 200, "", "after"));
    cache_find(cache, &request.query, &found);
    assert_int_equal(found.decision, CACHE_HIT);
    cache_release(found.entry);
    request_deinit(&request);
    cache_destroy(cache);
}

/* --- keys ------------------------------------------------------------------------------------ */

static void keys_have_boundaries(void **state)
{
    (void)state;
    static const struct slice rows[][5] = {
        {S("ab"), S("c"), S("crm"), S("/p"), S("q")}, {S("a"), S("bc"), S("crm"), S("/p"), S("q")},
        {S("ab"), S(""), S("ccrm"), S("/p"), S("q")}, {S("ab"), S("c"), S("crm"), S("/pq"), S("")},
        {S("ab"), S("c"), S("crm"), S(""), S("/pq")}, {S("a\0b"), S("c"), S("crm"), S("/p"), S("q")},
    };
    struct buf out;
    struct cache_key keys[6];
    buf_init(&out, 1 << 12);
    assert_int_equal(buf_reserve(&out, 1 << 11), 0);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(cache_key_build(&out, rows[i], &keys[i]), 0);
        for (size_t j = 0; j < i; j++) {
            assert_false(slice_equal(keys[i].bytes, keys[j].bytes));
            assert_true(keys[i].hash != keys[j].hash);
        }
    }
    buf_deinit(&out);
}

static void keys_have_an_end(void **state)
{
    (void)state;
    struct buf out;
    struct cache_key key;
    char *path = calloc(1, 70000);
    assert_non_null(path);
    buf_init(&out, 1 << 20);
    static const size_t fails[] = {65536, 70000, 65530};
    for (size_t i = 0; i < 3; i++) {
        const struct slice parts[5] = {S("t"), S("c"), S("crm"), {path, fails[i]}, S("")};
        assert_int_equal(cache_key_build(&out, parts, &key), ERR_LIMIT);
    }
    const struct slice parts[5] = {S("t"), S("c"), S("crm"), {path, 65520}, S("")};
    assert_int_equal(cache_key_build(&out, parts, &key), 0);
    buf_deinit(&out);
    free(path);
}

/* Two keys with one hash, as a forger might wish: the bytes decide (threats T1). */
static void the_whole_key_is_compared(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct request mine, theirs;
    struct cache_found found;
    request_init(&mine, cache, &hour, "");
    request_init(&theirs, cache, &hour, "");
    request_set_key(&theirs, "/people/secret");
    theirs.query.key.hash = mine.query.key.hash;
    cache_release(store_text(cache, &mine, 200, "", "mine"));
    cache_find(cache, &theirs.query, &found);
    assert_int_equal(found.decision, CACHE_MISS);
    cache_release(store_text(cache, &theirs, 200, "", "theirs"));
    cache_find(cache, &mine.query, &found);
    assert_slice(cache_entry_body(found.entry), "mine");
    cache_release(found.entry);
    request_deinit(&mine);
    request_deinit(&theirs);
    cache_destroy(cache);
}

/* A write's own answer outlives what the write makes stale, and nothing else. */
static void around_a_write(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    for (size_t i = 0; i < HELD; i++) {
        struct cache_deps other = cache_deps_of(cache, &held[i]), deps = other;
        cache_invalidate_around(cache, &held[i], &deps);
        assert_true(cache_deps_hold(cache, &deps));
        assert_false(cache_deps_hold(cache, &other));
        cache_invalidate(cache, &held[i]);
        assert_false(cache_deps_hold(cache, &deps));
    }
    cache_destroy(cache);
}

/* As two processes do while one hands over to the other. */
static void shared_by_two(void **state)
{
    (void)state;
    struct cache *first = cache_new(1 << 20), *second = cache_new(1 << 20);
    cache_invalidate(first, &held[0]);
    assert_int_equal(cache_join(second, dup(cache_share(first))), 0);
    for (size_t i = 0; i < HELD; i++) {
        struct cache_deps here = cache_deps_of(first, &held[i]), there = cache_deps_of(second, &held[i]);
        assert_memory_equal(&here, &there, sizeof here);
        cache_invalidate(first, &held[i]);
        assert_false(cache_deps_hold(second, &there));
        there = cache_deps_of(second, &held[i]);
        cache_invalidate(second, &held[i]);
        assert_false(cache_deps_hold(first, &there));
        cache_settle(first, &held[i], 5000);
        assert_true(cache_settling(second, &there, 4999));
        assert_false(cache_settling(second, &there, 5000));
    }
    cache_destroy(first); /* the other goes on */
    struct cache_deps deps = cache_deps_of(second, &held[0]);
    cache_invalidate(second, &(struct cache_subject){0});
    assert_false(cache_deps_hold(second, &deps));
    cache_destroy(second);
}

static void what_is_no_table_is_not_joined(void **state)
{
    (void)state;
    struct cache *cache = cache_new(1 << 20);
    struct cache_deps deps = cache_deps_of(cache, &held[0]);
    struct stat file;
    assert_int_equal(fstat(cache_share(cache), &file), 0);
    for (int i = 0; i < 3; i++) { /* nothing, too small, of another mark */
        int fd = i == 0 ? open("/dev/null", O_RDWR) : memfd_create("test", 0);
        assert_int_equal(i == 0 ? 0 : ftruncate(fd, i == 1 ? 4096 : file.st_size), 0);
        assert_int_equal(cache_join(cache, fd), ERR_INVALID);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        assert_true(cache_deps_hold(cache, &deps));
    }
    cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(precision),
        cmocka_unit_test(the_fence),
        cmocka_unit_test(invalidated_is_never_merely_stale),
        cmocka_unit_test(settling),
        cmocka_unit_test(around_a_write),
        cmocka_unit_test(shared_by_two),
        cmocka_unit_test(what_is_no_table_is_not_joined),
        cmocka_unit_test(keys_have_boundaries),
        cmocka_unit_test(keys_have_an_end),
        cmocka_unit_test(the_whole_key_is_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
