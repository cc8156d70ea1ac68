#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const uint64_t HOUR_MS = 3600000;

static void monotonic_time_never_goes_back(void **state)
{
    (void)state;
    uint64_t before = clock_mono_ns();
    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_mono_ns();
        assert_true(now >= before);
        before = now;
    }
    assert_true(clock_mono_ms() >= before / 1000000);
    assert_true(clock_mono_ms() < before / 1000000 + HOUR_MS);
}

static void wall_time_is_of_this_age(void **state)
{
    (void)state;
    assert_true(clock_wall_ms() > 1577836800000); /* 2020 */
    assert_true(clock_wall_ms() < 7258118400000); /* 2200 */
}

static void write_offset(const char *path, int64_t offset)
{
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fwrite(&offset, sizeof offset, 1, file), 1);
    fclose(file);
}

/* Both clocks jump by what is written, at once; a release ignores the file. */
static void file_moves_both_clocks(void **state)
{
    const char *path = *state;
#ifdef TEST_CLOCK
    bool moves = true;
#else
    bool moves = false;
#endif
    uint64_t mono = clock_mono_ms(), ns = clock_mono_ns();
    int64_t wall = clock_wall_ms();
    write_offset(path, (int64_t)HOUR_MS);
    assert_int_equal(clock_mono_ms() - mono >= HOUR_MS, moves);
    assert_int_equal(clock_mono_ns() - ns >= HOUR_MS * 1000000, moves);
    assert_int_equal(clock_wall_ms() - wall >= (int64_t)HOUR_MS, moves);
    write_offset(path, 0);
    assert_true(clock_mono_ms() - mono < HOUR_MS);
}

int main(void)
{
    char path[] = "/tmp/gateway-clock-test-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, 8) != 0 || setenv("ROLLOUT_GATEWAY_TEST_CLOCK", path, 1) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_never_goes_back),
        cmocka_unit_test(wall_time_is_of_this_age),
        cmocka_unit_test_prestate(file_moves_both_clocks, path),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    close(fd);
    return rc;
}
