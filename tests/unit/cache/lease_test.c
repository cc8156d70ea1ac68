/* Leases: what holds, what makes stale, who asks. */
#include "cache/cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { BOUND = 60000 };

struct desk {
    struct cache *cache;
    uint64_t key;
    struct cache_subject subject; /* people of it */
    uint64_t now;
};

static int set_up(void **state)
{
    static struct desk desk;
    const struct cache_options options = {1 << 20, 1 << 16};
    desk = (struct desk){.cache = cache_create(&options), .now = 1000000};
    desk.subject = (struct cache_subject){SLICE("cred"), SLICE("crm"), SLICE("people"), {NULL, 0}};
    desk.key = cache_lease_key(desk.subject.credential, desk.subject.api, 7);
    *state = &desk;
    return desk.cache ? 0 : -1;
}

static int tear_down(void **state)
{
    cache_destroy(((struct desk *)*state)->cache);
    return 0;
}

static bool holds(struct desk *desk, unsigned bit)
{
    bool ask;
    return cache_lease_holds(desk->cache, desk->key, bit, desk->now, &ask);
}

static bool asks(struct desk *desk)
{
    bool ask;
    (void)cache_lease_holds(desk->cache, desk->key, 0, desk->now, &ask);
    return ask;
}

static uint64_t set(struct desk *desk, uint64_t mask, uint64_t print)
{
    const struct cache_lease lease = {mask, print, desk->now + BOUND, desk->now + BOUND / 4 * 3};
    return cache_lease_set(desk->cache, desk->key, &desk->subject, &lease, desk->now);
}

static void it_holds_until_its_end(void **state)
{
    struct desk *desk = *state;
    assert_false(holds(desk, 0));
    assert_int_equal(set(desk, 5, 9), 0);
    assert_true(holds(desk, 0));
    assert_false(holds(desk, 1));
    assert_true(holds(desk, 2));
    desk->now += BOUND - 1;
    assert_true(holds(desk, 0));
    desk->now += 1;
    assert_false(holds(desk, 0));
    assert_int_equal(set(desk, 5, 9), 0); /* it had run out */
    assert_true(holds(desk, 2));
    assert_int_equal(set(desk, 4, 9), 5);
}

static void another_version_or_credential_is_another_lease(void **state)
{
    struct desk *desk = *state;
    set(desk, 1, 9);
    uint64_t key = desk->key;
    desk->key = cache_lease_key(SLICE("cred"), SLICE("crm"), 8);
    assert_true(desk->key != key && !holds(desk, 0));
    desk->key = cache_lease_key(SLICE("cred"), SLICE("tms"), 7);
    assert_true(desk->key != key && !holds(desk, 0));
    desk->key = cache_lease_key(SLICE("derc"), SLICE("crm"), 7);
    assert_true(desk->key != key && !holds(desk, 0));
}

/* Renewal makes nothing stale, an interruption does. */
static void what_may_have_missed_an_event_becomes_stale(void **state)
{
    static const struct {
        uint64_t mask, print;
        bool stale;
    } steps[] = {
        {0, 1, false},                                 /* nothing was ever covered */
        {3, 10, false}, {3, 10, false}, {2, 12, true}, /* one lost */
        {2, 12, false}, {3, 14, true},                 /* one regained */
        {3, 16, true},                                 /* another subscription in its place */
        {0, 1, true},   {3, 16, true},
    };
    struct desk *desk = *state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct cache_deps deps = cache_deps_of(desk->cache, &desk->subject);
        set(desk, steps[i].mask, steps[i].print);
        if (cache_deps_hold(desk->cache, &deps) == steps[i].stale)
            fail_msg("step %zu", i);
        desk->now += BOUND * 2; /* that it had run out in between does not matter */
    }
}

static void readers_ask_now_and_then(void **state)
{
    struct desk *desk = *state;
    assert_true(asks(desk));
    assert_false(asks(desk));
    desk->now += 6000;
    assert_true(asks(desk));
    set(desk, 1, 9);
    desk->now += 6000;
    assert_false(asks(desk)); /* somebody looks after it */
    desk->now += BOUND / 4 * 3;
    assert_true(asks(desk));
}

static void doubt_withdraws_one_entity_for_a_while(void **state)
{
    struct desk *desk = *state;
    struct cache_lease lease;
    uint64_t used;
    set(desk, 3, 9);
    struct cache_deps deps = cache_deps_of(desk->cache, &desk->subject);
    struct cache_subject notes = desk->subject;
    notes.entity = SLICE("notes");
    struct cache_deps other = cache_deps_of(desk->cache, &notes);
    cache_lease_doubt(desk->cache, desk->key, 0, &desk->subject, desk->now + 1000);
    assert_false(cache_deps_hold(desk->cache, &deps));
    assert_true(cache_deps_hold(desk->cache, &other));
    assert_false(holds(desk, 0));
    assert_true(holds(desk, 1));
    assert_true(cache_lease_show(desk->cache, desk->key, desk->now, &lease, &used));
    assert_int_equal(lease.mask, 2);
    set(desk, 3, 9); /* what Rollout says does not help */
    assert_false(holds(desk, 0));
    desk->now += 1000;
    assert_true(holds(desk, 0));
}

/* More of them than there are places: none that was not set holds, and what lost its place may have missed
 * something. */
static void leases_that_lost_their_place(void **state)
{
    struct desk *desk = *state;
    uint64_t first = desk->key;
    char name[32];
    set(desk, 1, 9);
    for (int i = 0; i < 400000; i++) {
        snprintf(name, sizeof name, "other-%d", i);
        desk->key = cache_lease_key(slice_from(name), SLICE("crm"), 7);
        set(desk, 2, 11);
        desk->now += 1;
        assert_false(holds(desk, 0));
        assert_true(holds(desk, 1));
    }
    desk->key = first;
    desk->now += BOUND;
    assert_false(holds(desk, 0));
    struct cache_deps deps = cache_deps_of(desk->cache, &desk->subject);
    desk->key = cache_lease_key(SLICE("never seen"), SLICE("crm"), 7);
    set(desk, 1, 9);
    assert_false(cache_deps_hold(desk->cache, &deps));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_holds_until_its_end),
        TEST(another_version_or_credential_is_another_lease),
        TEST(what_may_have_missed_an_event_becomes_stale),
        TEST(readers_ask_now_and_then),
        TEST(doubt_withdraws_one_entity_for_a_while),
        TEST(leases_that_lost_their_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
