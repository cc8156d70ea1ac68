#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

static void fills_exactly_the_length(void **state)
{
    (void)state;
    unsigned char bytes[66], seen[64] = {0};
    for (int round = 0; round < 64; round++) {
        memset(bytes, 0, sizeof bytes);
        random_secret(bytes + 1, 64);
        assert_int_equal(bytes[0], 0);
        assert_int_equal(bytes[65], 0);
        for (int i = 0; i < 64; i++)
            seen[i] |= bytes[1 + i];
    }
    for (int i = 0; i < 64; i++)
        assert_int_equal(seen[i], 0xff); /* every bit was set once: chance of failing 2^-55 */
    random_secret(bytes, 0);
}

static void *draw(void *arg)
{
    *(uint64_t *)arg = random_u64();
    return NULL;
}

static void numbers_differ_between_calls_and_threads(void **state)
{
    (void)state;
    uint64_t numbers[16];
    pthread_t thread;
    for (int i = 0; i < 8; i++)
        numbers[i] = random_u64();
    for (int i = 8; i < 16; i++) {
        assert_int_equal(pthread_create(&thread, NULL, draw, &numbers[i]), 0);
        pthread_join(thread, NULL);
    }
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < i; j++)
            assert_true(numbers[i] != numbers[j]);
    }
}

static void every_bit_is_used_evenly(void **state)
{
    (void)state;
    int ones[64] = {0};
    for (int i = 0; i < 10000; i++) {
        uint64_t number = random_u64();
        for (int bit = 0; bit < 64; bit++)
            ones[bit] += (int)(number >> bit & 1);
    }
    for (int bit = 0; bit < 64; bit++)
        assert_in_range(ones[bit], 4500, 5500); /* ten standard deviations */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fills_exactly_the_length),
        cmocka_unit_test(numbers_differ_between_calls_and_threads),
        cmocka_unit_test(every_bit_is_used_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
