#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int value;
    struct list node;
};

static void fill(struct list *head, struct item *items, int first)
{
    list_init(head);
    for (int i = 0; i < 3; i++) {
        items[i].value = first + i;
        list_push_back(head, &items[i].node);
    }
}

static int digits(struct list *head)
{
    int out = 0;
    list_each (node, head)
        out = out * 10 + container_of(node, struct item, node)->value;
    return out;
}

static void pushes_and_pops_at_both_ends(void **state)
{
    (void)state;
    struct list head;
    struct item items[3], front = {.value = 9};
    fill(&head, items, 1);
    list_push_front(&head, &front.node);
    assert_int_equal(digits(&head), 9123);
    assert_ptr_equal(list_pop(&head), &front.node);
    assert_true(list_empty(&front.node));
    list_remove(&items[1].node);
    assert_int_equal(digits(&head), 13);
    list_remove(&items[1].node); /* in no list: harmless */
    assert_int_equal(digits(&head), 13);
    list_pop(&head);
    list_pop(&head);
    assert_null(list_pop(&head));
    assert_true(list_empty(&head));
}

static void splices(void **state)
{
    (void)state;
    struct list a, b;
    struct item left[3], right[3];
    fill(&a, left, 1);
    fill(&b, right, 4);
    list_splice(&a, &b);
    assert_int_equal(digits(&a), 123456);
    assert_true(list_empty(&b));
    list_splice(&a, &b);
    assert_int_equal(digits(&a), 123456);
    list_splice(&b, &a);
    assert_int_equal(digits(&b), 123456);
}

static void safe_walk_may_remove(void **state)
{
    (void)state;
    struct list head;
    struct item items[3];
    fill(&head, items, 1);
    list_each_safe (node, &head) {
        if (container_of(node, struct item, node)->value != 2)
            list_remove(node);
    }
    assert_int_equal(digits(&head), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushes_and_pops_at_both_ends),
        cmocka_unit_test(splices),
        cmocka_unit_test(safe_walk_may_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
