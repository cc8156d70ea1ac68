#include "token/token.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const int64_t wall = 1700000000000;

static struct token_ring *make(int64_t ttl_s, unsigned remember)
{
    struct token_options options = {SLICE("client"), SLICE("secret"), ttl_s, remember};
    struct token_ring *ring = token_ring_create(&options);
    assert_non_null(ring);
    return ring;
}

/* Asks once, checks the token and whether it was minted now; returns its iat. */
static int64_t ask(struct token_ring *ring, const char *tenant, bool fresh, uint64_t mono, int64_t wall_ms,
                   bool minted)
{
    struct token_stats before, after;
    struct token_claims claims;
    struct buf out;
    buf_init(&out, TOKEN_MAX);
    token_stats(ring, &before);
    assert_int_equal(token_get(ring, slice_from(tenant), fresh, mono, wall_ms, &out), 0);
    token_stats(ring, &after);
    assert_int_equal(token_verify(buf_slice(&out), SLICE("client"), SLICE("secret"), wall_ms / 1000, &claims),
                     TOKEN_GOOD);
    assert_string_equal(claims.sub, tenant);
    buf_deinit(&out);
    if (after.minted - before.minted != minted || after.reused - before.reused != !minted)
        fail_msg("%s at %llu: minted %llu", tenant, (unsigned long long)mono,
                 (unsigned long long)(after.minted - before.minted));
    return claims.iat;
}

static void reuses_until_four_fifths(void **state)
{
    static const struct {
        int64_t ttl_s, wall_ms; /* at the mint */
        uint64_t last;          /* ms after it that it is still reused; 0: never */
    } rows[] = {
        {900, 1700000000000, 719999}, {900, 1700000000999, 719000}, {10, 1700000000000, 7999},
        {10, 1700000000500, 7499},    {1, 1700000000000, 799},      {1, 1700000000700, 99},
        {1, 1700000000800, 0},        {1, 1700000000999, 0},        {3600, 1700000000000, 2879999},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct token_ring *ring = make(rows[i].ttl_s, 0);
        uint64_t mono = 77777, last = rows[i].last;
        int64_t at = rows[i].wall_ms;
        int64_t iat = ask(ring, "acme", false, mono, at, true);
        assert_int_equal(iat, at / 1000);
        if (last > 0) {
            assert_int_equal(ask(ring, "acme", false, mono + last / 2, at + (int64_t)last / 2, false), iat);
            assert_int_equal(ask(ring, "acme", false, mono + last, at + (int64_t)last, false), iat);
        }
        ask(ring, "acme", false, mono + last + 1, at + (int64_t)last + 1, true);
        token_ring_destroy(ring);
    }
}

static void tenants_have_their_own(void **state)
{
    struct token_ring *ring = make(900, 0);
    struct token_stats stats;
    (void)state;
    for (int turn = 0; turn < 2; turn++) {
        for (int i = 0; i < 500; i++) {
            char tenant[16];
            snprintf(tenant, sizeof tenant, "t%d", i);
            ask(ring, tenant, false, 1000, wall, turn == 0);
        }
    }
    token_stats(ring, &stats);
    assert_int_equal(stats.remembered, 500);
    token_ring_destroy(ring);
}

static void a_clock_step_drops_tokens(void **state)
{
    static const struct {
        int64_t ttl_s, step;
        bool dropped;
    } rows[] = {
        {900, 0, false},    {900, 5000, false},    {900, 5001, true},      {900, -5000, false},
        {900, -5001, true}, {900, 86400000, true}, {900, -86400000, true}, {10, 1000, false},
        {10, 1001, true},   {10, -1001, true},     {1, 100, false},        {1, 101, true},
        {50, 5000, false},  {49, 4901, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct token_ring *ring = make(rows[i].ttl_s, 0);
        ask(ring, "acme", false, 1000, wall, true);
        int64_t now = wall + 100 + rows[i].step;
        int64_t iat = ask(ring, "acme", false, 1100, now, rows[i].dropped);
        assert_int_equal(iat, (rows[i].dropped ? now : wall) / 1000);
        /* And what was minted under the new time is kept. */
        ask(ring, "acme", false, 1101, now + 1, false);
        token_ring_destroy(ring);
    }
}

/* A refused token is never given again, though the second is the same: its claims would be the same, too. */
static void after_a_401_it_is_another_text(void **state)
{
    static const struct {
        int64_t ttl_s, later_ms, iat_s; /* of the second one, from the first one's on */
    } rows[] = {{900, 0, -1}, {900, 999, -1}, {900, 1000, 1}, {2, 500, -1}, {1, 100, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct token_ring *ring = make(rows[i].ttl_s, 0);
        uint64_t later = (uint64_t)rows[i].later_ms;
        int64_t first = ask(ring, "acme", false, 10000, wall, true);
        int64_t second = ask(ring, "acme", true, 10000 + later, wall + rows[i].later_ms, true);
        assert_int_equal(second - first, rows[i].iat_s);
        token_ring_destroy(ring);
    }
}

static void a_401_mints_once(void **state)
{
    struct token_ring *ring = make(900, 0);
    (void)state;
    ask(ring, "acme", false, 10000, wall, true);
    ask(ring, "acme", true, 10500, wall + 500, true);
    for (uint64_t later = 0; later < 1000; later += 37)
        ask(ring, "acme", true, 10500 + later, wall + 500 + (int64_t)later, false);
    ask(ring, "acme", true, 11499, wall + 1499, false);
    ask(ring, "acme", false, 11499, wall + 1499, false);
    ask(ring, "acme", true, 11500, wall + 1500, true);
    ask(ring, "acme", true, 10999, wall + 999, false); /* a clock that was read a little before */
    ask(ring, "other", true, 11500, wall + 1500, true);
    ask(ring, "acme", false, 600000, wall + 590000, false);
    ask(ring, "acme", true, 600000, wall + 590000, true);
    token_ring_destroy(ring);
}

static void memory_is_bounded(void **state)
{
    static const unsigned limits[] = {1, 2, 7, 1000, 2048};
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        struct token_ring *ring = make(900, limits[i]);
        struct token_stats stats;
        for (int tenant = 0; tenant < 5000; tenant++) {
            char name[16];
            snprintf(name, sizeof name, "t%d", tenant);
            ask(ring, name, false, 1000, wall, true);
            token_stats(ring, &stats);
            assert_true(stats.remembered <= limits[i]);
        }
        assert_true(stats.remembered * 10 >= limits[i] * 9);
        ask(ring, "t4999", false, 1000, wall, false);
        token_ring_destroy(ring);
    }
}

/* Once full, it is the oldest that go: the newest were evicted by each other, since the one that was moved
 * into a freed place stood under the hand. */
static void the_newest_stay(void **state)
{
    struct token_ring *ring = make(900, 8);
    (void)state;
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        ask(ring, name, false, 1000, wall, true);
    }
    for (int i = 92; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        ask(ring, name, false, 1000, wall, false);
    }
    token_ring_destroy(ring);
}

/* CLOCK: a tenant that is asked for stays while strangers pass by. */
static void the_used_one_stays(void **state)
{
    struct token_ring *ring = make(900, 8);
    (void)state;
    ask(ring, "regular", false, 1000, wall, true);
    for (int i = 0; i < 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        ask(ring, name, false, 1000, wall, true);
        ask(ring, "regular", false, 1000, wall, false);
    }
    ask(ring, "t0", false, 1000, wall, true);
    token_ring_destroy(ring);
}

static void a_reload_drops_the_old_secret(void **state)
{
    struct token_ring *ring = make(900, 0);
    struct token_stats stats;
    struct token_claims claims;
    (void)state;
    ask(ring, "acme", false, 1000, wall, true);
    /* A bad one changes nothing. */
    static const struct token_options bad[] = {
        {{"client", 6}, {"", 0}, 900, 0}, {{"", 0}, {"s", 1}, 900, 0},        {{"c", 1}, {"s", 1}, 0, 0},
        {{"c", 1}, {"s", 1}, -1, 0},      {{"c", 1}, {"s", 1}, INT64_MAX, 0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(token_ring_configure(ring, &bad[i]), ERR_INVALID);
        assert_null(token_ring_create(&bad[i]));
    }
    ask(ring, "acme", false, 1000, wall, false);
    static const unsigned remember[] = {0, 2, 0, 4096, 1};
    for (size_t i = 0; i < sizeof remember / sizeof remember[0]; i++) {
        char secret[8] = {'n', 'e', 'w', (char)('0' + i)};
        struct token_options options = {SLICE("client"), slice_from(secret), 60, remember[i]};
        struct buf out;
        buf_init(&out, TOKEN_MAX);
        assert_int_equal(token_ring_configure(ring, &options), 0);
        token_stats(ring, &stats);
        assert_int_equal(stats.remembered, 0);
        assert_int_equal(token_get(ring, SLICE("acme"), false, 1000, wall, &out), 0);
        assert_int_equal(
            token_verify(buf_slice(&out), SLICE("client"), slice_from(secret), wall / 1000, &claims),
            TOKEN_GOOD);
        assert_int_equal(claims.exp - claims.iat, 60);
        buf_deinit(&out);
    }
    token_ring_destroy(ring);
    token_ring_destroy(NULL);
}

static void refuses_and_keeps_nothing(void **state)
{
    struct token_ring *ring = make(900, 0);
    char storage[10], tenant[200];
    struct buf out;
    (void)state;
    memset(tenant, 'x', sizeof tenant);
    buf_init_fixed(&out, storage, sizeof storage);
    assert_int_equal(token_get(ring, SLICE(""), false, 1, wall, &out), ERR_INVALID);
    assert_int_equal(token_get(ring, slice_of(tenant, 129), false, 1, wall, &out), ERR_INVALID);
    assert_int_equal(token_get(ring, SLICE("a"), false, 1, -1, &out), ERR_INVALID);
    struct token_stats stats;
    token_stats(ring, &stats);
    assert_int_equal(stats.minted + stats.reused + stats.remembered, 0);
    assert_int_equal(token_get(ring, SLICE("a"), false, 1, wall, &out), ERR_LIMIT);
    buf_reset(&out);
    assert_int_equal(token_get(ring, SLICE("a"), false, 1, wall, &out), ERR_LIMIT);
    assert_int_equal(out.len, 0);
    ask(ring, "a", false, 1, wall, false);
    token_ring_destroy(ring);
}

/* --- many threads: for the sanitizers ----------------------------------------------------------------- */

struct crowd {
    struct token_ring *ring;
    unsigned seed;
};

static void *crowd_member(void *arg)
{
    struct crowd *crowd = arg;
    struct token_claims claims;
    for (unsigned i = 0; i < 3000; i++) {
        char tenant[16], storage[TOKEN_MAX];
        struct buf out;
        buf_init_fixed(&out, storage, sizeof storage);
        snprintf(tenant, sizeof tenant, "t%u", (i * 7 + crowd->seed) % 50);
        if (token_get(crowd->ring, slice_from(tenant), i % 97 == 0, 1000 + i, wall + i, &out) != 0)
            return "token_get failed";
        bool one = token_verify(buf_slice(&out), SLICE("client"), SLICE("secret"), wall / 1000, &claims) ==
                   TOKEN_GOOD;
        bool two = token_verify(buf_slice(&out), SLICE("client"), SLICE("rotated"), wall / 1000, &claims) ==
                   TOKEN_GOOD;
        if (one == two || strcmp(claims.sub, tenant) != 0)
            return "a token of another tenant, or of no secret";
    }
    return NULL;
}

static void workers_share_it(void **state)
{
    struct token_ring *ring = make(900, 40);
    struct token_options options[2] = {{SLICE("client"), SLICE("rotated"), 900, 2000},
                                       {SLICE("client"), SLICE("secret"), 900, 20}};
    pthread_t threads[4];
    struct crowd crowds[4];
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        crowds[i] = (struct crowd){ring, i * 13};
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_member, &crowds[i]), 0);
    }
    for (int i = 0; i < 50; i++)
        assert_int_equal(token_ring_configure(ring, &options[i % 2]), 0);
    for (unsigned i = 0; i < 4; i++) {
        void *problem;
        pthread_join(threads[i], &problem);
        if (problem)
            fail_msg("%s", (const char *)problem);
    }
    token_ring_destroy(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reuses_until_four_fifths),
        cmocka_unit_test(tenants_have_their_own),
        cmocka_unit_test(a_clock_step_drops_tokens),
        cmocka_unit_test(after_a_401_it_is_another_text),
        cmocka_unit_test(a_401_mints_once),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(the_used_one_stays),
        cmocka_unit_test(the_newest_stay),
        cmocka_unit_test(a_reload_drops_the_old_secret),
        cmocka_unit_test(refuses_and_keeps_nothing),
        cmocka_unit_test(workers_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
