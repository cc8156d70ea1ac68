#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdalign.h>

static void small_requests_stay_in_the_first_block(void **state)
{
    (void)state;
    alignas(16) char first[256];
    struct arena arena;
    arena_init(&arena, first, sizeof first, 0);
    for (size_t i = 0; i < 16; i++) {
        char *at = arena_alloc(&arena, i % 16 + 1);
        assert_ptr_equal(at, first + 16 * i);
    }
    assert_null(arena_alloc(&arena, 1)); /* full, and the maximum of heap bytes is 0 */
    arena_reset(&arena);
    assert_ptr_equal(arena_alloc(&arena, 256), first);
    arena_reset(&arena);
}

static void everything_is_aligned_and_apart(void **state)
{
    (void)state;
    alignas(16) char first[64];
    struct arena arena;
    char *at[200];
    arena_init(&arena, first, sizeof first, 1 << 20);
    for (size_t i = 0; i < 200; i++) {
        at[i] = arena_alloc(&arena, i * 7);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % 16, 0);
        memset(at[i], (int)i, i * 7);
    }
    for (size_t i = 0; i < 200; i++) {
        for (size_t j = 0; j < i * 7; j++)
            assert_int_equal((unsigned char)at[i][j], i);
    }
    arena_reset(&arena);
    assert_int_equal(arena.used, 0);
}

static void maximum_holds(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, 20000);
    assert_null(arena_alloc(&arena, 20001));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX / 2));
    assert_null(arena_zalloc(&arena, SIZE_MAX - 8));
    size_t got = 0;
    while (arena_alloc(&arena, 100))
        got += 100;
    assert_in_range(got, 16000, 20000);
    assert_in_range(arena.used, 16000, 20000);
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 19000));
    arena_reset(&arena);
}

static void large_pieces_do_not_waste_the_present_block(void **state)
{
    (void)state;
    alignas(16) char first[128];
    struct arena arena;
    arena_init(&arena, first, sizeof first, 1 << 20);
    assert_ptr_equal(arena_alloc(&arena, 16), first);
    assert_non_null(arena_alloc(&arena, 5000));
    assert_ptr_equal(arena_alloc(&arena, 16), first + 16);
    arena_reset(&arena);
}

static void zeroes_copies_and_formats(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 20);
    unsigned char *zero = arena_zalloc(&arena, 500);
    for (size_t i = 0; i < 500; i++)
        assert_int_equal(zero[i], 0);
    struct slice copy = arena_copy(&arena, slice_of("ab\0c", 4));
    assert_int_equal(copy.len, 4);
    assert_memory_equal(copy.ptr, "ab\0c\0", 5);
    copy = arena_copy(&arena, slice_of(NULL, 0));
    assert_int_equal(copy.len, 0);
    assert_string_equal(copy.ptr, "");
    struct slice line = arena_format(&arena, "%s-%05d", "x", 42);
    assert_string_equal(line.ptr, "x-00042");
    assert_int_equal(line.len, 7);
    line = arena_format(&arena, "%20000d", 1);
    assert_int_equal(line.len, 20000);
    arena_reset(&arena);
}

static void failure_gives_null_slices(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    assert_null(arena_copy(&arena, SLICE("x")).ptr);
    assert_null(arena_format(&arena, "x").ptr);
    assert_null(arena_zalloc(&arena, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_requests_stay_in_the_first_block),
        cmocka_unit_test(everything_is_aligned_and_apart),
        cmocka_unit_test(maximum_holds),
        cmocka_unit_test(large_pieces_do_not_waste_the_present_block),
        cmocka_unit_test(zeroes_copies_and_formats),
        cmocka_unit_test(failure_gives_null_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
