/* Coverage: a credential is covered while its last event is young enough, and never by another's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "cache/cache.h"

static struct cache *make(void)
{
    struct cache_options options = {.memory = 8 * 1024 * 1024, .entry_max = 1024};
    struct cache *cache = cache_create(&options);
    assert_non_null(cache);
    return cache;
}

static void an_event_covers_for_the_window(void **state)
{
    (void)state;
    struct cache *cache = make();
    assert_false(cache_covered(cache, SLICE("a"), 1000, 500));
    cache_event_seen(cache, SLICE("a"), 1000);
    assert_true(cache_covered(cache, SLICE("a"), 1000, 500));
    assert_true(cache_covered(cache, SLICE("a"), 1500, 500));
    assert_false(cache_covered(cache, SLICE("a"), 1501, 500));
    assert_true(cache_covered(cache, SLICE("a"), 999, 500)); /* another loop's clock, a turn behind */
    assert_false(cache_covered(cache, SLICE("b"), 1000, 500));
    cache_event_seen(cache, SLICE("a"), 2000);
    assert_true(cache_covered(cache, SLICE("a"), 2400, 500));
    cache_destroy(cache);
}

/* Far more credentials than slots: whoever counts as covered had an event of its own. */
static void nobody_is_covered_by_another(void **state)
{
    (void)state;
    struct cache *cache = make();
    char name[32];
    unsigned covered = 0;
    for (int i = 0; i < 200000; i += 2) {
        int len = snprintf(name, sizeof name, "credential-%d", i);
        cache_event_seen(cache, slice_of(name, (size_t)len), 1000);
    }
    for (int i = 0; i < 200000; i++) {
        int len = snprintf(name, sizeof name, "credential-%d", i);
        bool is = cache_covered(cache, slice_of(name, (size_t)len), 1000, 500);
        assert_false(is && i % 2 == 1);
        covered += is;
    }
    assert_true(covered > 30000);
    cache_destroy(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_covers_for_the_window),
        cmocka_unit_test(nobody_is_covered_by_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
