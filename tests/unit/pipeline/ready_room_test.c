/* Rooms of those who wait for a credential's data: who asks when, and what happens when somebody leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pipeline/ready.h"

static const struct cache_subject crm = {{"cred", 4}, {"crm", 3}, {"people", 6}, {"", 0}};
static const struct cache_subject tms = {{"cred", 4}, {"tms", 3}, {"people", 6}, {"", 0}};
static const struct cache_subject other = {{"credc", 5}, {"rm", 2}, {"people", 6}, {"", 0}};

struct rig {
    struct pipeline_shared shared;
    struct loop *loop;
    struct visit visit; /* only whether there is one matters here */
};

static void on_order(struct loop_task *task)
{
    (void)task;
}

static struct rig *rig_open(void)
{
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->loop = loop_create();
    assert_non_null(rig->loop);
    assert_true(ready_open(&rig->shared.ready));
    return rig;
}

static void rig_close(struct rig *rig)
{
    assert_int_equal(rig->shared.ready.rooms.count, 0);
    ready_close(&rig->shared.ready);
    loop_stop(rig->loop);
    loop_run(rig->loop);
    loop_destroy(rig->loop);
    free(rig);
}

static struct ready_waiting *make(struct rig *rig)
{
    struct ready_waiting *waiting = calloc(1, sizeof *waiting);
    assert_non_null(waiting);
    list_init(&waiting->node);
    waiting->loop = rig->loop;
    waiting->task.run = on_order;
    waiting->visit = &rig->visit;
    return waiting;
}

static uint64_t enter(struct rig *rig, struct ready_waiting *waiting, const struct cache_subject *subject,
                      uint64_t asked_ms, uint64_t now)
{
    uint64_t due = 0;
    assert_int_equal(ready_enter(&rig->shared.ready, waiting, subject, asked_ms, now, &due), 0);
    return due;
}

static enum ready_order take(struct rig *rig, struct ready_waiting *waiting, uint64_t now, uint64_t *due)
{
    if (!waiting->posted)
        return READY_NOTHING;
    loop_stop(rig->loop); /* the task is the loop's until it ran */
    loop_run(rig->loop);
    return ready_take(&rig->shared.ready, waiting, now, due);
}

static void end(struct rig *rig, struct ready_waiting *waiting)
{
    uint64_t due;
    take(rig, waiting, 0, &due);
    ready_end(&rig->shared.ready, waiting);
}

static void assert_between(uint64_t value, uint64_t low, uint64_t high)
{
    assert_true(value >= low && value <= high);
}

static void pauses_grow(void **state)
{
    static const uint64_t pauses[] = {2000, 3000, 4500, 6750, 10000, 10000, 10000};
    struct rig *rig = rig_open();
    struct ready_waiting *one = make(rig);
    uint64_t now = 1000, due;
    (void)state;
    for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
        due = enter(rig, one, &crm, 0, now);
        assert_between(due - now, pauses[i] - pauses[i] / 5, pauses[i]);
        ready_depart(&rig->shared.ready, one);
        now = due;
    }
    assert_int_equal(enter(rig, one, &crm, 30000, now), now + 30000);
    ready_depart(&rig->shared.ready, one);
    assert_int_equal(enter(rig, one, &crm, 3600 * 1000, now), now + 60000); /* bounded */
    end(rig, one);
    rig_close(rig);
}

static void one_asks_and_all_go(void **state)
{
    struct rig *rig = rig_open();
    struct ready_waiting *asks = make(rig), *second = make(rig), *third = make(rig), *apart = make(rig);
    struct ready_waiting *stranger = make(rig);
    uint64_t due;
    (void)state;
    assert_true(enter(rig, asks, &crm, 0, 0) != READY_NEVER);
    assert_true(enter(rig, second, &crm, 0, 0) == READY_NEVER);
    assert_true(enter(rig, apart, &tms, 0, 0) != READY_NEVER); /* another API: a room of its own */
    assert_true(enter(rig, stranger, &other, 0, 0) != READY_NEVER);
    ready_depart(&rig->shared.ready, asks);
    assert_true(enter(rig, third, &crm, 0, 0) == READY_NEVER); /* somebody is asking */
    ready_leave(&rig->shared.ready, asks, true);
    assert_int_equal(take(rig, second, 0, &due), READY_GO);
    assert_int_equal(take(rig, third, 0, &due), READY_GO);
    assert_int_equal(take(rig, apart, 0, &due), READY_NOTHING);
    assert_true(enter(rig, second, &crm, 0, 0) != READY_NEVER); /* it was not: a new room */
    pipeline_ready(&rig->shared, SLICE("cred"));
    assert_int_equal(take(rig, second, 0, &due), READY_GO);
    assert_int_equal(take(rig, apart, 0, &due), READY_GO);
    assert_int_equal(take(rig, stranger, 0, &due), READY_NOTHING);
    end(rig, asks);
    end(rig, second);
    end(rig, third);
    end(rig, apart);
    end(rig, stranger);
    rig_close(rig);
}

static void who_leaves_is_followed(void **state)
{
    struct rig *rig = rig_open();
    struct ready_waiting *first = make(rig), *second = make(rig), *third = make(rig);
    uint64_t planned, due = 0;
    (void)state;
    planned = enter(rig, first, &crm, 0, 0);
    enter(rig, second, &crm, 0, 0);
    enter(rig, third, &crm, 0, 0);
    end(rig, first); /* in its pause: the next one keeps it */
    assert_int_equal(take(rig, second, 100, &due), READY_PROBE);
    assert_int_equal(due, planned);
    ready_depart(&rig->shared.ready, second);
    end(rig, second); /* while it asked: a new pause */
    assert_int_equal(take(rig, third, planned, &due), READY_PROBE);
    assert_between(due - planned, 2400, 3000);
    end(rig, third);
    rig_close(rig);
}

static void orders_that_cross(void **state)
{
    struct rig *rig = rig_open();
    struct ready_waiting *first = make(rig), *second = make(rig);
    uint64_t due = 0;
    (void)state;
    enter(rig, first, &crm, 0, 0);
    enter(rig, second, &crm, 0, 0);
    ready_leave(&rig->shared.ready, first, false); /* second: it is yours */
    ready_leave(&rig->shared.ready, second, false);
    assert_int_equal(take(rig, second, 0, &due), READY_NOTHING); /* it had left */
    enter(rig, first, &crm, 0, 0);
    enter(rig, second, &crm, 0, 0);
    ready_leave(&rig->shared.ready, first, false);
    pipeline_ready(&rig->shared, SLICE("cred"));
    assert_int_equal(take(rig, second, 0, &due), READY_GO); /* the later one holds */
    end(rig, first);
    end(rig, second);
    rig_close(rig);
}

static void told_while_it_asks(void **state)
{
    struct rig *rig = rig_open();
    struct ready_waiting *asks = make(rig);
    (void)state;
    enter(rig, asks, &crm, 0, 0);
    ready_depart(&rig->shared.ready, asks);
    pipeline_ready(&rig->shared, SLICE("cred"));
    assert_int_equal(enter(rig, asks, &crm, 0, 700), 700); /* its answer may be of before: at once, once */
    ready_depart(&rig->shared.ready, asks);
    assert_true(enter(rig, asks, &crm, 0, 700) > 700);
    end(rig, asks);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_grow),
        cmocka_unit_test(one_asks_and_all_go),
        cmocka_unit_test(who_leaves_is_followed),
        cmocka_unit_test(orders_that_cross),
        cmocka_unit_test(told_while_it_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
