#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/list.h"

struct item {
    int value;
    struct map_node node;
};

static struct item *item_of(struct map_node *node)
{
    return node ? container_of(node, struct item, node) : NULL;
}

static uint64_t hash_of(int i)
{
    return (uint64_t)i * 0x9E3779B97F4A7C15u;
}

static void empty_map_answers(void **state)
{
    (void)state;
    struct map map;
    map_init(&map);
    assert_null(map_find(&map, 0));
    map_each(&map, NULL, NULL);
    map_deinit(&map);
}

static void finds_what_was_inserted_through_growth(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    struct item *items = calloc(COUNT, sizeof *items);
    struct map map;
    map_init(&map);
    for (int i = 0; i < COUNT; i++) {
        items[i].value = i;
        assert_int_equal(map_insert(&map, &items[i].node, hash_of(i)), 0);
    }
    assert_int_equal(map.count, COUNT);
    assert_true(map.mask + 1 >= COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(item_of(map_find(&map, hash_of(i)))->value, i);
    for (int i = 0; i < COUNT; i += 2)
        map_remove(&map, &items[i].node);
    assert_int_equal(map.count, COUNT / 2);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(map_find(&map, hash_of(i)) != NULL, i % 2 == 1);
    map_deinit(&map);
    assert_null(map_find(&map, hash_of(1)));
    free(items);
}

/* Equal hashes, and hashes that only share a bucket, told apart. */
static void walks_equal_hashes(void **state)
{
    (void)state;
    struct item items[6] = {0};
    static const uint64_t hashes[] = {7, 7 + 16, 7, 7 + 1024, 7, 0};
    struct map map;
    map_init(&map);
    for (int i = 0; i < 6; i++) {
        items[i].value = 1 << i;
        assert_int_equal(map_insert(&map, &items[i].node, hashes[i]), 0);
    }
    int seen = 0;
    for (struct map_node *node = map_find(&map, 7); node; node = map_next(node))
        seen += item_of(node)->value;
    assert_int_equal(seen, 1 + 4 + 16);
    map_remove(&map, &items[2].node);
    seen = 0;
    for (struct map_node *node = map_find(&map, 7); node; node = map_next(node))
        seen += item_of(node)->value;
    assert_int_equal(seen, 1 + 16);
    map_deinit(&map);
}

static void free_item(struct map_node *node, void *arg)
{
    *(int *)arg += item_of(node)->value;
    free(item_of(node));
}

static void each_may_free(void **state)
{
    (void)state;
    struct map map;
    int sum = 0;
    map_init(&map);
    for (int i = 1; i <= 100; i++) {
        struct item *item = calloc(1, sizeof *item);
        item->value = i;
        assert_int_equal(map_insert(&map, &item->node, hash_of(i % 10)), 0);
    }
    map_each(&map, free_item, &sum);
    assert_int_equal(sum, 5050);
    map_deinit(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_map_answers),
        cmocka_unit_test(finds_what_was_inserted_through_growth),
        cmocka_unit_test(walks_equal_hashes),
        cmocka_unit_test(each_may_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
