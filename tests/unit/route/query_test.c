#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void takes_every_spelling_out(void **state)
{
    static const struct {
        const char *query, *left;
    } rows[] = {
        {"", ""},
        {"a=b", "a=b"},
        {"includeData", ""},
        {"includeData=true", ""},
        {"includeData=true&a=b", "a=b"},
        {"a=b&includeData=true", "a=b"},
        {"a=b&includeData=true&c=d", "a=b&c=d"},
        {"includeData=1&includeData=2", ""},
        {"includeData=1&a&includeData=2", "a"},
        {"INCLUDEDATA=true&x=1", "x=1"},
        {"%69nclude%44ata=true&x=1", "x=1"},
        {"%69%6E%63%6C%75%64%65%44%61%74%61=true", ""},
        {"includeData[]=true&x", "x"},
        {"includeData[0]=true&x", "x"},
        {"includeData%5b%5d=true&x", "x"},
        {"a=1;includeData=true", "a=1"},
        {"a=1;includeData=true&b=2", "a=1&b=2"},
        {"includeData=true;a=1&b", "a=1&b"},
        /* Others stay as they are, byte for byte. */
        {"includeDat=1", "includeDat=1"},
        {"includeDataX=1", "includeDataX=1"},
        {"xincludeData=1", "xincludeData=1"},
        {"a=includeData", "a=includeData"},
        {"include%zzData=1", "include%zzData=1"},
        {"includeData%=1", "includeData%=1"},
        {"includeData%5=1", "includeData%5=1"},
        {"%2569ncludeData=1", "%2569ncludeData=1"},
        {"=includeData", "=includeData"},
        {"&&a=b&&", "&&a=b&&"},
        {"&includeData&a", "a"},
        {"a&&includeData&&b", "a&&&b"},
        {"a&includeData&", "a&"},
        {"appKey=x%26includeData=1&includeProfile=true", "appKey=x%26includeData=1&includeProfile=true"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        _Alignas(16) char storage[512];
        struct arena arena;
        arena_init(&arena, storage, sizeof storage, 0);
        struct slice query = slice_from(rows[i].query);
        struct slice left = route_query_without(&arena, query, SLICE("includeData"));
        assert_non_null(left.ptr);
        if (!slice_equal(left, slice_from(rows[i].left)))
            fail_msg("\"%s\" became \"%.*s\", not \"%s\"", rows[i].query, SLICE_ARG(left), rows[i].left);
        if (slice_equal(left, query))
            assert_ptr_equal(left.ptr, query.ptr);
    }
}

static void nothing_left_is_not_a_failure(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, NULL, 0, 0);
    assert_non_null(route_query_without(&arena, slice_of(NULL, 0), SLICE("x")).ptr);
    assert_non_null(route_query_without(&arena, SLICE("a=b"), SLICE("x")).ptr);
    assert_null(route_query_without(&arena, SLICE("x=b"), SLICE("x")).ptr);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_every_spelling_out),
        cmocka_unit_test(nothing_left_is_not_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
