/* The copy on disk: what comes back after a restart, as what, with which age; what does not; and that nothing
 * about the file ever harms the cache. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/warm.h"
#include "unit/cache/harness.h"

enum { SIZE = 8 << 20, HOUR = 3600 };

static const struct cache_policy POLICY = {.ttl_ms = HOUR * 1000,
                                           .ttl_uncovered_ms = HOUR * 1000,
                                           .swr_ms = HOUR * 1000,
                                           .sie_ms = 24 * HOUR * 1000};

struct place {
    char root[64], path[96], data[128];
};

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->root, sizeof place->root, "/tmp/warm-test-XXXXXX");
    assert_non_null(mkdtemp(place->root));
    snprintf(place->path, sizeof place->path, "%s/cache", place->root);
    snprintf(place->data, sizeof place->data, "%s/data.mdb", place->path);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", place->root);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static struct cache *start_sized(const struct place *place, size_t memory, size_t size)
{
    struct cache *cache = cache_new(memory);
    struct fault fault = {""};
    const struct cache_warm_options options = {place->path, size};
    if (cache_warm_open(cache, &options, &fault))
        fail_msg("%s", fault.text);
    return cache;
}

static struct cache *start(const struct place *place)
{
    return start_sized(place, 16 << 20, SIZE);
}

static struct cache_warm_stats stats_of(const struct cache *cache)
{
    struct cache_stats stats;
    cache_stats(cache, &stats);
    return stats.warm;
}

/* Until what is queued is on disk: the writer has nothing to do any more. */
static void settle(struct cache *cache)
{
    struct cache_stats stats;
    for (int i = 0; i < 20000; i++) {
        cache_stats(cache, &stats);
        if (stats.warm.written + stats.warm.dropped >= stats.stores)
            return;
        usleep(500);
    }
    fail_msg("the queue does not drain");
}

static struct cache *restart(const struct place *place, struct cache *cache)
{
    cache_destroy(cache);
    return start(place);
}

static void store_one(struct cache *cache, struct request *request, const char *head, const char *body)
{
    struct cache_entry *entry = store_text(cache, request, 200, head, body);
    assert_non_null(entry);
    cache_release(entry);
}

/* As pipeline/ asks. The entry is the caller's. */
static struct cache_found ask(struct cache *cache, struct request *request, int64_t wall_ms)
{
    struct cache_found found;
    request->query.deps = cache_deps_of(cache, &people);
    cache_find(cache, &request->query, &found);
    if (found.decision == CACHE_MISS)
        cache_warm_find(cache, &request->query, wall_ms, &found);
    return found;
}

static void expect_restored(struct cache *cache, struct request *request, const char *body)
{
    struct cache_found found = ask(cache, request, WALL * 1000);
    if (!found.entry)
        fail_msg("%s did not come back", body);
    assert_int_equal(found.decision, CACHE_REVALIDATE);
    assert_string_equal(found.fwd, "stale");
    assert_string_equal(found.detail, "restored");
    assert_slice(cache_entry_body(found.entry), body);
    cache_release(found.entry);
}

static void expect_miss(struct cache *cache, struct request *request)
{
    struct cache_found found = ask(cache, request, WALL * 1000);
    assert_int_equal(found.decision, CACHE_MISS);
    assert_null(found.entry);
}

/* --- coming back --- */

static void an_entry_comes_back_to_be_revalidated(void **state)
{
    struct cache *cache = start(*state);
    struct request request;
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request,
              "ETag: \"v1\"\nLast-Modified: @-300\nContent-Type: text/plain\nCDN-Cache-Control: max-age=5\n",
              "body");
    struct cache_found before = ask(cache, &request, WALL * 1000);
    const struct slice head = cache_entry_head(before.entry);
    char text[1024];
    memcpy(text, head.ptr, head.len);
    text[head.len] = '\0';
    assert_int_equal(before.decision, CACHE_HIT);
    cache_release(before.entry);
    cache = restart(*state, cache);
    struct cache_found found = ask(cache, &request, WALL * 1000);
    assert_int_equal(found.decision, CACHE_REVALIDATE);
    assert_false(found.background);
    assert_string_equal(found.detail, "restored");
    assert_int_equal(cache_entry_status(found.entry), 200);
    assert_slice(cache_entry_head(found.entry), text);
    assert_slice(cache_entry_body(found.entry), "body");
    assert_slice(cache_entry_etag(found.entry), "\"v1\"");
    assert_int_equal(cache_entry_last_modified(found.entry).len, DATE_LENGTH);
    assert_int_equal(stats_of(cache).restored, 1);
    /* A 304 makes it fresh again, and that is written as well. */
    struct reply reply;
    reply_init(&reply, &request, 304,
               "ETag: \"v1\"\nCache-Control: max-age=60\nCDN-Cache-Control: max-age=60");
    struct cache_entry *fresh = cache_freshen(cache, &request.query, found.entry, &reply.answer);
    assert_non_null(fresh);
    cache_release(found.entry);
    cache_release(fresh);
    found = ask(cache, &request, WALL * 1000);
    assert_int_equal(found.decision, CACHE_HIT);
    assert_slice(cache_entry_body(found.entry), "body");
    cache_release(found.entry);
    cache = restart(*state, cache);
    expect_restored(cache, &request, "body");
    request_deinit(&request);
    cache_destroy(cache);
}

/* Nothing that a request or a policy says makes it fresh or stale-while-revalidate. */
static void what_came_back_is_never_taken_for_fresh(void **state)
{
    const struct {
        const char *request, *head;
    } rows[] = {
        {"", "Cache-Control: max-age=1000000"},
        {"", "Cache-Control: max-age=1000000, immutable"},
        {"", "Cache-Control: max-age=0, stale-while-revalidate=1000000"},
        {"", "ETag: \"x\""},
        {"Cache-Control: max-stale", "Cache-Control: max-age=1"},
        {"Cache-Control: max-stale=100000", "Cache-Control: max-age=100"},
        {"Cache-Control: only-if-cached", "Cache-Control: max-age=100"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cache *cache = start(*state);
        struct request request;
        request_init(&request, cache, &POLICY, rows[i].request);
        store_one(cache, &request, rows[i].head, "body");
        cache = restart(*state, cache);
        for (int again = 0; again < 2; again++) {
            struct cache_found found = ask(cache, &request, WALL * 1000);
            if (found.decision != CACHE_REVALIDATE || found.background)
                fail_msg("row %zu: decision %d", i, (int)found.decision);
            cache_release(found.entry);
        }
        /* Nor does a HEAD whose answer names no validator. */
        struct reply reply;
        reply_init(&reply, &request, 200, "Cache-Control: max-age=60\nContent-Length: 4");
        cache_head_seen(cache, &request.query, &reply.answer);
        struct cache_found found = ask(cache, &request, WALL * 1000);
        if (found.decision != CACHE_REVALIDATE && found.decision != CACHE_MISS)
            fail_msg("row %zu after HEAD: decision %d", i, (int)found.decision);
        cache_release(found.entry);
        request_deinit(&request);
        cache_destroy(cache);
    }
}

static void what_memory_evicts_stays_on_disk(void **state)
{
    struct cache *cache = start_sized(*state, 1 << 20, 8 * SIZE);
    struct request request;
    char path[32], body[4000];
    memset(body, 'b', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    request_init(&request, cache, &POLICY, "");
    for (int i = 0; i < 600; i++) {
        snprintf(path, sizeof path, "/people/%d", i);
        request_set_key(&request, path);
        store_one(cache, &request, "ETag: \"e\"", body);
        settle(cache);
    }
    struct cache_stats stats;
    cache_stats(cache, &stats);
    assert_true(stats.evictions > 200);
    size_t back = 0;
    for (int i = 0; i < 600; i++) {
        snprintf(path, sizeof path, "/people/%d", i);
        request_set_key(&request, path);
        struct cache_found found = ask(cache, &request, WALL * 1000);
        assert_non_null(found.entry);
        back += found.decision == CACHE_REVALIDATE;
        cache_release(found.entry);
    }
    assert_true(back > 200);
    cache_stats(cache, &stats);
    assert_true(stats.bytes <= stats.budget);
    request_deinit(&request);
    cache_destroy(cache);
}

/* Sizes around the borders of pieces; each comes back to the byte. */
static void sizes_come_back_whole(void **state)
{
    static char body[300000];
    const size_t sizes[] = {0,    1,    1500, 1700, 1750, 1760, 1770, 1780,  1790,  1800,  1810,
                            1850, 1960, 2000, 3700, 3750, 3800, 5000, 65535, 65536, 299999};
    struct cache *cache = start(*state);
    struct request request;
    char path[32];
    request_init(&request, cache, &POLICY, "");
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct reply reply;
        snprintf(path, sizeof path, "/people/%zu", i);
        request_set_key(&request, path);
        reply_init(&reply, &request, 200, "ETag: \"e\"");
        cache_release(cache_store(cache, &request.query, &reply.answer, slice_of(body, sizes[i])));
    }
    cache = restart(*state, cache);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        snprintf(path, sizeof path, "/people/%zu", i);
        request_set_key(&request, path);
        struct cache_found found = ask(cache, &request, WALL * 1000);
        if (!found.entry || !slice_equal(cache_entry_body(found.entry), slice_of(body, sizes[i])))
            fail_msg("%zu bytes did not come back", sizes[i]);
        cache_release(found.entry);
    }
    request_deinit(&request);
    cache_destroy(cache);
}

static void a_link_to_rewrite_comes_back(void **state)
{
    struct cache *cache = start(*state);
    struct request request;
    struct reply reply;
    request_init(&request, cache, &POLICY, "");
    reply_init(&reply, &request, 200, "ETag: \"e\"");
    reply.answer.splice_at = 2;
    reply.answer.splice_len = 3;
    cache_release(cache_store(cache, &request.query, &reply.answer, SLICE("ab123cd")));
    cache = restart(*state, cache);
    struct cache_found found = ask(cache, &request, WALL * 1000);
    assert_slice(cache_entry_splice(found.entry), "123");
    cache_release(found.entry);
    request_deinit(&request);
    cache_destroy(cache);
}

/* --- whose it is --- */

static void the_whole_key_decides(void **state)
{
    struct cache *cache = start(*state);
    struct request request;
    const struct slice theirs[5] = {SLICE("other"), SLICE("c"), SLICE("crm"), SLICE("/people"), SLICE("")};
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request, "ETag: \"e\"", "body");
    cache = restart(*state, cache);
    buf_reset(&request.key);
    assert_int_equal(cache_key_build(&request.key, theirs, &request.query.key), 0);
    expect_miss(cache, &request);
    request_set_key(&request, "/people");
    expect_restored(cache, &request, "body");
    request_deinit(&request);
    cache_destroy(cache);
}

/* A record under the name of another key, as a collision of the hashes would put it: not given out. */
struct move {
    struct store_change change;
    struct slice from, to;
};

static int on_move(struct store_change *change, struct store_txn *txn)
{
    struct move *move = container_of(change, struct move, change);
    char copy[2000];
    struct slice value;
    int rc = store_txn_get(txn, WARM_TABLE, move->from, &value);
    if (rc)
        return rc;
    memcpy(copy, value.ptr, value.len);
    return store_txn_put(txn, WARM_TABLE, move->to, slice_of(copy, value.len));
}

static struct store *open_raw(const struct place *place, struct digest_key *salt)
{
    static const char *const tables[] = {"entries", "about", NULL};
    const struct store_options options = {
        .path = place->path, .tables = tables, .map_size = SIZE, .contents = "cache 1", .disposable = true};
    struct store *store;
    struct fault fault;
    struct slice value;
    assert_int_equal(store_open(&store, &options, &fault), 0);
    struct store_view *view = store_view_create(store);
    assert_int_equal(store_view_begin(view), 0);
    assert_int_equal(store_get(view, WARM_ABOUT, SLICE("salt"), &value), 0);
    assert_int_equal(value.len, sizeof *salt);
    memcpy(salt, value.ptr, sizeof *salt);
    store_view_end(view);
    store_view_destroy(view);
    return store;
}

static void a_collision_gives_nothing_away(void **state)
{
    struct cache *cache = start(*state);
    struct request request;
    struct warm_name from, to;
    struct digest_key salt;
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request, "ETag: \"e\"", "secret of /people");
    cache_destroy(cache);
    struct store *store = open_raw(*state, &salt);
    const struct warm_id mine = warm_id_of(&salt, request.query.key.bytes, SLICE(""));
    request_set_key(&request, "/other");
    const struct warm_id other = warm_id_of(&salt, request.query.key.bytes, SLICE(""));
    struct move move = {
        .change.apply = on_move, .from = warm_name_of(&from, &mine, 0), .to = warm_name_of(&to, &other, 0)};
    assert_int_equal(store_apply(store, &move.change), 0);
    store_close(store);
    cache = start(*state);
    expect_miss(cache, &request);
    assert_int_equal(stats_of(cache).damaged, 0);
    assert_int_equal(stats_of(cache).restored, 0);
    request_deinit(&request);
    cache_destroy(cache);
}

/* --- variants --- */

static const char *const languages[] = {"Accept-Language: de", "Accept-Language: fr", "Accept-Language: it"};

static void variants_come_back_each_to_its_request(void **state)
{
    struct cache *cache = start(*state);
    struct request request[3], plain;
    for (size_t i = 0; i < 3; i++) {
        request_init(&request[i], cache, &POLICY, languages[i]);
        store_one(cache, &request[i], "Vary: Accept-Language\nETag: \"e\"", languages[i]);
    }
    request_init(&plain, cache, &POLICY, "");
    cache = restart(*state, cache);
    for (size_t i = 0; i < 3; i++)
        expect_restored(cache, &request[i], languages[i]);
    expect_miss(cache, &plain);
    /* An answer without Vary takes the place of them all … */
    store_one(cache, &plain, "ETag: \"p\"", "plain");
    cache = restart(*state, cache);
    for (size_t i = 0; i < 3; i++)
        expect_restored(cache, &request[i], "plain");
    /* … and they that of it. */
    cache_remove(cache, plain.query.key);
    store_one(cache, &request[1], "Vary: Accept-Language\nETag: \"e\"", "fr again");
    cache = restart(*state, cache);
    expect_restored(cache, &request[1], "fr again");
    expect_miss(cache, &request[0]);
    expect_miss(cache, &plain);
    for (size_t i = 0; i < 3; i++)
        request_deinit(&request[i]);
    request_deinit(&plain);
    cache_destroy(cache);
}

static void many_variants_are_bounded(void **state)
{
    struct cache *cache = start(*state);
    struct request request;
    char text[64];
    size_t back = 0;
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "X-Kind: kind-%d", i);
        request_init(&request, cache, &POLICY, text);
        store_one(cache, &request, "Vary: X-Kind\nETag: \"e\"", text);
        request_deinit(&request);
    }
    cache = restart(*state, cache);
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "X-Kind: kind-%d", i);
        request_init(&request, cache, &POLICY, text);
        struct cache_found found = ask(cache, &request, WALL * 1000);
        if (found.entry)
            assert_slice(cache_entry_body(found.entry), text);
        else
            assert_true(i < 100 - INDEX_VARIANTS);
        back += found.entry != NULL;
        cache_release(found.entry);
        request_deinit(&request);
    }
    assert_int_equal(back, INDEX_VARIANTS);
    cache_destroy(cache);
}

/* --- superseded, removed --- */

static void what_went_does_not_come_back(void **state)
{
    struct cache *cache = start(*state);
    struct request request, varied;
    request_init(&request, cache, &POLICY, "");
    request_init(&varied, cache, &POLICY, languages[0]);
    request_set_key(&varied, "/varied");
    store_one(cache, &request, "ETag: \"1\"", "first, and a good deal longer than what follows it");
    store_one(cache, &request, "ETag: \"2\"", "second");
    store_one(cache, &varied, "Vary: Accept-Language\nETag: \"1\"", "varied");
    cache = restart(*state, cache);
    expect_restored(cache, &request, "second");
    cache_remove(cache, request.query.key);
    cache_remove(cache, varied.query.key);
    cache = restart(*state, cache);
    expect_miss(cache, &request);
    expect_miss(cache, &varied);
    request_deinit(&request);
    request_deinit(&varied);
    cache_destroy(cache);
}

static void a_head_that_shows_a_change_removes_it(void **state)
{
    struct cache *cache = start(*state);
    struct request request;
    struct reply reply;
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request, "ETag: \"1\"", "body");
    reply_init(&reply, &request, 200, "ETag: \"2\"");
    cache_head_seen(cache, &request.query, &reply.answer);
    cache = restart(*state, cache);
    expect_miss(cache, &request);
    request_deinit(&request);
    cache_destroy(cache);
}

static void an_update_that_forbids_storing_removes_it(void **state)
{
    struct cache *cache = start(*state);
    struct request request;
    struct reply reply;
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request, "ETag: \"1\"", "body");
    struct cache_found found = ask(cache, &request, WALL * 1000);
    reply_init(&reply, &request, 304, "ETag: \"1\"\nCache-Control: no-store");
    cache_release(cache_freshen(cache, &request.query, found.entry, &reply.answer));
    cache_release(found.entry);
    cache = restart(*state, cache);
    expect_miss(cache, &request);
    request_deinit(&request);
    cache_destroy(cache);
}

/* What is in memory is newer than what is on disk, whatever its generations. */
static void disk_never_replaces_memory(void **state)
{
    struct cache *cache = start(*state);
    struct request request;
    struct cache_found found;
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request, "ETag: \"1\"", "old");
    cache = restart(*state, cache);
    request.query.deps = cache_deps_of(cache, &people);
    cache_find(cache, &request.query, &found); /* a miss, and then somebody else stores */
    store_one(cache, &request, "ETag: \"2\"", "new");
    request.query.deps =
        cache_deps_of(cache, &(struct cache_subject){{"c", 1}, {"crm", 3}, {"other", 5}, {NULL, 0}});
    cache_warm_find(cache, &request.query, WALL * 1000, &found);
    assert_int_equal(found.decision, CACHE_HIT);
    assert_slice(cache_entry_body(found.entry), "new");
    cache_release(found.entry);
    request_deinit(&request);
    cache_destroy(cache);
}

/* --- age --- */

enum { MINUTE = 60 };

/* A record of a boot before: its mono times mean nothing. */
struct rewrite {
    struct store_change change;
    struct slice name;
};

static int on_other_boot(struct store_change *change, struct store_txn *txn)
{
    struct rewrite *rewrite = container_of(change, struct rewrite, change);
    char copy[2000];
    struct slice value;
    struct warm_head head;
    int rc = store_txn_get(txn, WARM_TABLE, rewrite->name, &value);
    if (rc || !warm_head_read(value, &head))
        return rc ? rc : ERR_CORRUPT;
    memcpy(copy, value.ptr, value.len);
    head.times.boot ^= 1;
    warm_head_write(copy, &head);
    return store_txn_put(txn, WARM_TABLE, rewrite->name, slice_of(copy, value.len));
}

static void make_of_other_boot(const struct place *place, const struct request *request)
{
    struct digest_key salt;
    struct warm_name name;
    struct store *store = open_raw(place, &salt);
    const struct warm_id id = warm_id_of(&salt, request->query.key.bytes, SLICE(""));
    struct rewrite rewrite = {.change.apply = on_other_boot, .name = warm_name_of(&name, &id, 0)};
    assert_int_equal(store_apply(store, &rewrite.change), 0);
    store_close(store);
}

static void age_tells_the_truth_or_more(void **state)
{
    const uint64_t for_ever = (uint64_t)INT32_MAX;
    const struct {
        const char *name;
        bool other_boot;
        int64_t mono_s, wall_s; /* how far the clocks went meanwhile */
        uint64_t age_s;
        bool usable; /* under stale-if-error: 24 hours after an hour of lifetime */
    } rows[] = {
        {"at once", false, 0, 0, 30, true},
        {"ten minutes", false, 600, 600, 630, true},
        {"the wall clock went back", false, 600, -5000, 630, true},
        {"the wall clock leapt ahead", false, 600, 7200, 7230, true},
        {"too old", false, 90000, 90000, 90030, false},
        {"another boot", true, -999000, 600, 630, true},
        {"another boot, later mono", true, 500000, 600, 630, true},
        {"another boot, wall went back", true, -999000, -10, 30 + for_ever, false},
        {"another boot, years", true, 5, INT64_C(40) * 365 * 86400, 30 + INT64_C(40) * 365 * 86400, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cache *cache = start(*state);
        struct request request;
        request_init(&request, cache, &POLICY, "");
        store_one(cache, &request, "ETag: \"e\"\nAge: 30", "body");
        cache_destroy(cache);
        if (rows[i].other_boot)
            make_of_other_boot(*state, &request);
        cache = start(*state);
        request.query.now_ms = (uint64_t)((int64_t)MONO + rows[i].mono_s * 1000);
        struct cache_found found = ask(cache, &request, (WALL + rows[i].wall_s) * 1000);
        assert_non_null(found.entry);
        if (found.age_ms / 1000 != rows[i].age_s)
            fail_msg("%s: age %llu", rows[i].name, (unsigned long long)found.age_ms / 1000);
        if (cache_stale_if_error(found.entry, &request.query, request.query.now_ms) != rows[i].usable)
            fail_msg("%s: %s", rows[i].name, rows[i].usable ? "not usable" : "usable");
        assert_int_equal(found.decision, CACHE_REVALIDATE);
        cache_release(found.entry);
        request_deinit(&request);
        cache_destroy(cache);
    }
}

/* --- records that cannot be believed --- */

struct spoil {
    struct store_change change;
    struct slice name;
    size_t at;
    unsigned char mask;
    long cut;
};

static int on_spoil(struct store_change *change, struct store_txn *txn)
{
    struct spoil *spoil = container_of(change, struct spoil, change);
    char copy[2100];
    struct slice value;
    int rc = store_txn_get(txn, WARM_TABLE, spoil->name, &value);
    if (rc)
        return rc;
    memset(copy, 0, sizeof copy);
    memcpy(copy, value.ptr, value.len);
    copy[spoil->at] = (char)((unsigned char)copy[spoil->at] ^ spoil->mask);
    return store_txn_put(txn, WARM_TABLE, spoil->name,
                         slice_of(copy, (size_t)((long)value.len + spoil->cut)));
}

/* Sealed anew by the store, so that the checksum holds: whatever one byte of the head or of the text becomes,
 * what comes back is refused or sound, and never fresh. */
static void any_byte_of_a_record_may_be_wrong(void **state)
{
    struct place *place = *state;
    struct digest_key salt;
    struct warm_name name;
    struct request request;
    struct cache *cache = start(place);
    request_init(&request, cache, &POLICY, "");
    static const unsigned char masks[] = {0x01, 0x80, 0xff};
    size_t refused = 0;
    for (size_t at = 0; at < 260; at++) {
        struct cache_stats before;
        store_one(cache, &request, "ETag: \"v1\"\nLast-Modified: @-300\nContent-Type: text/plain", "body");
        cache_destroy(cache);
        struct store *store = open_raw(place, &salt);
        const struct warm_id id = warm_id_of(&salt, request.query.key.bytes, SLICE(""));
        struct spoil spoil = {
            .change.apply = on_spoil, .name = warm_name_of(&name, &id, 0), .at = at, .mask = masks[at % 3]};
        if (store_apply(store, &spoil.change))
            fail_msg("byte %zu", at);
        store_close(store);
        cache = start(place);
        struct cache_found found = ask(cache, &request, WALL * 1000);
        cache_stats(cache, &before);
        if (found.entry) {
            assert_int_equal(found.decision, CACHE_REVALIDATE);
            cache_stale_if_error(found.entry, &request.query, MONO);
            struct reply reply;
            reply_init(&reply, &request, 304, "");
            cache_release(cache_freshen(cache, &request.query, found.entry, &reply.answer));
            cache_release(found.entry);
        }
        refused += before.warm.damaged;
    }
    assert_true(refused > 60);
    request_deinit(&request);
    cache_destroy(cache);
}

static void records_of_wrong_length_are_dropped_and_counted(void **state)
{
    static char body[10000];
    struct place *place = *state;
    struct digest_key salt;
    struct warm_name name;
    struct request request;
    const struct {
        size_t piece;
        long cut;
        size_t at;
        unsigned char mask;
    } rows[] = {{0, -1, 0, 0}, {0, 1, 0, 0},  {0, -1900, 0, 0}, {1, -1, 0, 0}, {1, 1, 0, 0},
                {5, 1, 0, 0},  {5, -1, 0, 0}, {2, 0, 0, 1},     {0, 0, 0, 1}};
    memset(body, 'x', sizeof body - 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cache *cache = start(place);
        request_init(&request, cache, &POLICY, "");
        store_one(cache, &request, "ETag: \"v1\"", body);
        cache_destroy(cache);
        struct store *store = open_raw(place, &salt);
        const struct warm_id id = warm_id_of(&salt, request.query.key.bytes, SLICE(""));
        struct spoil spoil = {.change.apply = on_spoil,
                              .name = warm_name_of(&name, &id, rows[i].piece),
                              .at = rows[i].at,
                              .mask = rows[i].mask,
                              .cut = rows[i].cut};
        if (store_apply(store, &spoil.change))
            fail_msg("row %zu: no piece", i);
        store_close(store);
        cache = start(place);
        expect_miss(cache, &request);
        if (stats_of(cache).damaged != 1)
            fail_msg("row %zu was believed", i);
        cache = restart(place, cache);
        expect_miss(cache, &request);
        assert_int_equal(stats_of(cache).damaged, 0); /* it is gone */
        request_deinit(&request);
        cache_destroy(cache);
    }
}

/* --- the file --- */

static void a_damaged_file_is_begun_anew(void **state)
{
    struct place *place = *state;
    struct request request;
    struct cache *cache = start(place);
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request, "ETag: \"e\"", "body");
    cache_destroy(cache);
    int fd = open(place->data, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_int_equal(write(fd, "not a store", 11), 11);
    close(fd);
    cache = start(place);
    expect_miss(cache, &request);
    store_one(cache, &request, "ETag: \"e\"", "body");
    cache = restart(place, cache);
    expect_restored(cache, &request, "body");
    request_deinit(&request);
    cache_destroy(cache);
}

static void a_place_that_cannot_be_is_an_error_and_no_more(void **state)
{
    struct place *place = *state;
    struct fault fault = {""};
    struct cache *cache = cache_new(1 << 20);
    int fd = open(place->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    close(fd);
    char path[160];
    snprintf(path, sizeof path, "%s/below/a/file", place->path);
    const struct cache_warm_options options = {path, SIZE};
    assert_int_not_equal(cache_warm_open(cache, &options, &fault), 0);
    assert_true(fault.text[0] != '\0');
    struct request request;
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request, "ETag: \"e\"", "body");
    struct cache_found found = ask(cache, &request, WALL * 1000);
    assert_int_equal(found.decision, CACHE_HIT);
    cache_release(found.entry);
    assert_int_equal(stats_of(cache).limit, 0);
    request_deinit(&request);
    cache_destroy(cache);
}

/* Ten times what fits: it goes on evicting, and what was written last is mostly there. */
static void a_full_file_evicts(void **state)
{
    enum { COUNT = 4000, TINY = 2 << 20, LAST = 200 };
    static char body[4000];
    struct cache *cache = start_sized(*state, 64 << 20, TINY);
    struct request request;
    char path[32];
    size_t back = 0;
    memset(body, 'x', sizeof body - 1);
    request_init(&request, cache, &POLICY, "");
    for (int i = 0; i < COUNT; i++) {
        snprintf(path, sizeof path, "/people/%d", i);
        request_set_key(&request, path);
        store_one(cache, &request, "ETag: \"e\"", i % 7 ? body : "short");
        if (i % 50 == 0)
            settle(cache);
    }
    settle(cache);
    struct cache_warm_stats stats = stats_of(cache);
    assert_true(stats.evicted > 0);
    if (stats.dropped > COUNT / 20)
        fail_msg("%llu dropped", (unsigned long long)stats.dropped);
    assert_true(stats.bytes <= TINY);
    cache_destroy(cache);
    cache = start_sized(*state, 64 << 20, TINY);
    for (int i = COUNT - LAST; i < COUNT; i++) {
        snprintf(path, sizeof path, "/people/%d", i);
        request_set_key(&request, path);
        struct cache_found found = ask(cache, &request, WALL * 1000);
        back += found.entry != NULL;
        cache_release(found.entry);
    }
    if (back < LAST / 6) /* what goes is chosen at random, in runs */
        fail_msg("only %zu of the last %d came back", back, LAST);
    assert_int_equal(stats_of(cache).damaged, 0);
    request_deinit(&request);
    cache_destroy(cache);
}

static void what_is_too_large_is_not_written_and_its_elder_goes(void **state)
{
    static char body[900000];
    struct cache *cache = start_sized(*state, 64 << 20, 4 << 20);
    struct request request;
    memset(body, 'x', sizeof body - 1);
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request, "ETag: \"1\"", "small");
    store_one(cache, &request, "ETag: \"2\"", body);
    assert_int_equal(stats_of(cache).dropped, 1);
    cache_destroy(cache);
    cache = start_sized(*state, 64 << 20, 4 << 20);
    expect_miss(cache, &request);
    request_deinit(&request);
    cache_destroy(cache);
}

/* --- processes: forked before this one has a thread --- */

static void store_many(struct cache *cache, int count, int news)
{
    struct request request;
    char path[32];
    request_init(&request, cache, &POLICY, "");
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/people/%d", i);
        request_set_key(&request, path);
        store_one(cache, &request, "ETag: \"e\"", path);
        settle(cache);
        if (news >= 0)
            assert_int_equal(write(news, "x", 1), 1);
    }
    request_deinit(&request);
}

static void a_killed_process_leaves_its_copy(void **state)
{
    int news[2], status, heard = 0;
    char byte, path[32];
    assert_int_equal(pipe(news), 0);
    pid_t pid = fork();
    if (pid == 0) {
        store_many(start(*state), 100000, news[1]);
        _exit(1);
    }
    close(news[1]);
    while (heard < 300 && read(news[0], &byte, 1) == 1)
        heard++;
    kill(pid, SIGKILL);
    while (read(news[0], &byte, 1) == 1)
        heard++;
    close(news[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    struct cache *cache = start(*state);
    struct request request;
    request_init(&request, cache, &POLICY, "");
    for (int i = 0; i < heard; i++) {
        snprintf(path, sizeof path, "/people/%d", i);
        request_set_key(&request, path);
        expect_restored(cache, &request, path);
    }
    request_deinit(&request);
    cache_destroy(cache);
}

/* A full disk: writes fail, the cache goes on, and the pause keeps it cheap. */
static int run_on_a_full_disk(const struct place *place)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    struct cache *cache = start(place);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 512 << 10;
    setrlimit(RLIMIT_FSIZE, &limit);
    static char body[8000];
    memset(body, 'x', sizeof body - 1);
    struct request request;
    char path[32];
    request_init(&request, cache, &POLICY, "");
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "/people/%d", i);
        request_set_key(&request, path);
        struct cache_entry *entry = store_text(cache, &request, 200, "ETag: \"e\"", body);
        if (!entry)
            return 10;
        cache_release(entry);
        settle(cache);
        struct cache_found found = ask(cache, &request, WALL * 1000);
        if (found.decision != CACHE_HIT)
            return 11;
        cache_release(found.entry);
    }
    /* Paused, it does not so much as try: the file is not touched again. */
    struct cache_stats stats;
    cache_stats(cache, &stats);
    const uint64_t written = stats.warm.written;
    if (stats.warm.dropped < 500)
        return 12;
    store_one(cache, &request, "ETag: \"e\"", "small");
    settle(cache);
    if (stats_of(cache).written != written)
        return 13;
    /* Later it tries again. */
    request.query.now_ms += 11000;
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    store_one(cache, &request, "ETag: \"e\"", "small");
    settle(cache);
    if (stats_of(cache).written != written + 1)
        return 14;
    request_deinit(&request);
    cache_destroy(cache);
    return 0;
}

static void a_full_disk_harms_nothing(void **state)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(run_on_a_full_disk(*state));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    struct cache *cache = start(*state);
    struct request request;
    request_init(&request, cache, &POLICY, "");
    store_one(cache, &request, "ETag: \"e\"", "body");
    cache = restart(*state, cache);
    expect_restored(cache, &request, "body");
    request_deinit(&request);
    cache_destroy(cache);
}

/* --- threads --- */

struct worker {
    pthread_t thread;
    struct cache *cache;
    unsigned seed;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct request *request = malloc(sizeof *request);
    char path[32];
    request_init(request, worker->cache, &POLICY, "");
    for (int i = 0; i < 3000; i++) {
        worker->seed = worker->seed * 1103515245u + 12345u;
        const unsigned dice = worker->seed >> 16;
        snprintf(path, sizeof path, "/people/%u", dice % 400);
        request_set_key(request, path);
        struct cache_found found = ask(worker->cache, request, WALL * 1000);
        if (found.entry)
            assert_true(slice_starts(cache_entry_body(found.entry), slice_from(path)));
        else
            store_one(worker->cache, request, "ETag: \"e\"", path);
        cache_release(found.entry);
        if (dice % 31 == 0)
            cache_remove(worker->cache, request->query.key);
        if (dice % 101 == 0)
            cache_invalidate(worker->cache, &people);
    }
    request_deinit(request);
    free(request);
    return NULL;
}

static void workers_share_it(void **state)
{
    struct worker workers[4];
    struct cache *cache = start_sized(*state, 256 << 10, 1 << 20);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 4; i++) {
            workers[i] = (struct worker){.cache = cache, .seed = 7 * i + round};
            assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < 4; i++)
            pthread_join(workers[i].thread, NULL);
        assert_int_equal(stats_of(cache).damaged, 0);
        cache_destroy(cache);
        cache = start_sized(*state, 256 << 10, 1 << 20);
    }
    cache_destroy(cache);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_killed_process_leaves_its_copy),
        CASE(a_full_disk_harms_nothing),
        CASE(an_entry_comes_back_to_be_revalidated),
        CASE(what_came_back_is_never_taken_for_fresh),
        CASE(what_memory_evicts_stays_on_disk),
        CASE(sizes_come_back_whole),
        CASE(a_link_to_rewrite_comes_back),
        CASE(the_whole_key_decides),
        CASE(a_collision_gives_nothing_away),
        CASE(variants_come_back_each_to_its_request),
        CASE(many_variants_are_bounded),
        CASE(what_went_does_not_come_back),
        CASE(a_head_that_shows_a_change_removes_it),
        CASE(an_update_that_forbids_storing_removes_it),
        CASE(disk_never_replaces_memory),
        CASE(age_tells_the_truth_or_more),
        CASE(any_byte_of_a_record_may_be_wrong),
        CASE(records_of_wrong_length_are_dropped_and_counted),
        CASE(a_damaged_file_is_begun_anew),
        CASE(a_place_that_cannot_be_is_an_error_and_no_more),
        CASE(a_full_file_evicts),
        CASE(what_is_too_large_is_not_written_and_its_elder_goes),
        CASE(workers_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
