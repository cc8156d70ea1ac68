/* The adaptive cap in simulated time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "upstream/cap.h"

enum { MAX = 256 };

struct run {
    struct cap cap;
    uint64_t now;
};

/* So many windows of this latency with the cap used up to `busy` (0: wholly). */
static void windows(struct run *run, unsigned count, uint64_t latency_ms, unsigned busy)
{
    while (count-- > 0)
        for (unsigned i = 0; i < CAP_SAMPLES; i++) {
            run->now += CAP_WINDOW_MS / (CAP_SAMPLES - 1) + 1;
            cap_sample(&run->cap, latency_ms, busy ? busy : cap_limit(&run->cap, MAX), MAX, run->now);
        }
}

static void starts_without_a_cap(void **state)
{
    struct run run = {.now = 1000};
    (void)state;
    assert_int_equal(cap_limit(&run.cap, MAX), MAX);
    assert_int_equal(cap_limit(&run.cap, 7), 7);
    windows(&run, 100, 300, 0);
    assert_int_equal(cap_limit(&run.cap, MAX), MAX); /* slow, but no slower than ever */
}

static void falls_when_latency_rises_with_load(void **state)
{
    struct run run = {.now = 1000};
    (void)state;
    windows(&run, 20, 100, 0);
    windows(&run, 2, 1000, 0);
    assert_in_range(cap_limit(&run.cap, MAX), MAX / 4, MAX / 2);
    windows(&run, 5, 2000, 0);
    assert_in_range(cap_limit(&run.cap, MAX), CAP_MIN, MAX / 8);
    windows(&run, 100, 100, 0); /* and comes back */
    assert_int_equal(cap_limit(&run.cap, MAX), MAX);
}

static void never_falls_below_its_least(void **state)
{
    struct run run = {.now = 1000};
    (void)state;
    windows(&run, 20, 30, 0);
    for (int i = 0; i < 10; i++)
        windows(&run, 1, 30000, 0);
    assert_true(cap_limit(&run.cap, MAX) >= CAP_MIN);
}

/* Slow answers to few requests are not queueing; noise of some milliseconds is none either. */
static void little_load_and_noise_say_nothing(void **state)
{
    struct run run = {.now = 1000};
    (void)state;
    windows(&run, 20, 100, 0);
    windows(&run, 20, 5000, 10);
    assert_int_equal(cap_limit(&run.cap, MAX), MAX);
    run = (struct run){.now = 1000};
    windows(&run, 20, 1, 0);
    windows(&run, 20, 39, 0);
    assert_int_equal(cap_limit(&run.cap, MAX), MAX);
}

/* A simulated host that answers 20 at a time in 50 ms, and queues the rest: a closed loop of 200 users behind
 * the cap. */
static void settles_near_what_a_host_can_do(void **state)
{
    struct run run = {.now = 1000};
    (void)state;
    windows(&run, 20, 50, 130); /* a quiet time, before its capacity fell */
    for (int i = 0; i < 120; i++) {
        unsigned busy = cap_limit(&run.cap, MAX) < 200 ? cap_limit(&run.cap, MAX) : 200;
        windows(&run, 1, busy > 20 ? (uint64_t)50 * busy / 20 : 50, busy);
    }
    assert_in_range(cap_limit(&run.cap, MAX), CAP_MIN, 100); /* after a minute of 200 that want more */
}

static void rising_is_told(void **state)
{
    struct run run = {.now = 1000};
    bool rose = false;
    (void)state;
    windows(&run, 20, 100, 0);
    windows(&run, 3, 2000, 0);
    unsigned low = cap_limit(&run.cap, MAX);
    for (unsigned i = 0; i < CAP_SAMPLES; i++) {
        assert_false(rose);
        run.now += CAP_WINDOW_MS;
        rose = cap_sample(&run.cap, 100, low, MAX, run.now);
    }
    assert_true(rose);
    assert_int_equal(cap_limit(&run.cap, MAX), low + CAP_STEP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_without_a_cap),
        cmocka_unit_test(falls_when_latency_rises_with_load),
        cmocka_unit_test(never_falls_below_its_least),
        cmocka_unit_test(little_load_and_noise_say_nothing),
        cmocka_unit_test(settles_near_what_a_host_can_do),
        cmocka_unit_test(rising_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
