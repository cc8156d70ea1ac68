#include "base/pulse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

enum { LOOPS = 3, EVERY_MS = 2 };

struct stage {
    struct pulse pulse;
    struct loop *loops[LOOPS];
    pthread_t threads[LOOPS];
    atomic_uint beats;
    struct loop_timer look;
    unsigned wanted; /* beats, after which the first loop stops */
};

static void on_pulse(void *owner)
{
    struct stage *stage = owner;
    atomic_fetch_add(&stage->beats, 1);
}

static void on_look(struct loop_timer *timer)
{
    struct stage *stage = container_of(timer, struct stage, look);
    if (atomic_load(&stage->beats) >= stage->wanted)
        loop_stop(stage->loops[0]);
    else
        assert_int_equal(loop_timer_set(stage->loops[0], timer, loop_now(stage->loops[0]) + 1, on_look), 0);
}

static void *run(void *loop)
{
    loop_run(loop);
    return NULL;
}

static void open_stage(struct stage *stage)
{
    *stage = (struct stage){.pulse = {.on_pulse = on_pulse}};
    stage->pulse.owner = stage;
    for (int i = 0; i < LOOPS; i++) {
        stage->loops[i] = loop_create();
        assert_non_null(stage->loops[i]);
    }
    assert_int_equal(pulse_start(&stage->pulse, stage->loops[0], EVERY_MS, stage->loops, LOOPS), 0);
}

static void run_until(struct stage *stage, unsigned beats)
{
    stage->wanted = beats;
    assert_int_equal(loop_timer_set(stage->loops[0], &stage->look, loop_now(stage->loops[0]) + 1, on_look),
                     0);
    loop_run(stage->loops[0]);
}

static void it_beats_while_all_loops_turn(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    for (int i = 1; i < LOOPS; i++)
        assert_int_equal(pthread_create(&stage.threads[i], NULL, run, stage.loops[i]), 0);
    run_until(&stage, 5);
    pulse_stop(&stage.pulse);
    for (int i = 1; i < LOOPS; i++) {
        loop_stop(stage.loops[i]);
        pthread_join(stage.threads[i], NULL);
    }
    for (int i = 0; i < LOOPS; i++)
        loop_destroy(stage.loops[i]);
    pulse_deinit(&stage.pulse);
    assert_true(atomic_load(&stage.beats) >= 5);
}

static void on_enough(struct loop_timer *timer)
{
    loop_stop(container_of(timer, struct stage, look)->loops[0]);
}

/* The last loop hangs: nobody runs it. Once it turns again, so does the pulse. */
static void it_stops_with_one_loop_and_comes_back_with_it(void **state)
{
    (void)state;
    struct stage stage;
    open_stage(&stage);
    assert_int_equal(pthread_create(&stage.threads[1], NULL, run, stage.loops[1]), 0);
    assert_int_equal(
        loop_timer_set(stage.loops[0], &stage.look, loop_now(stage.loops[0]) + 20 * EVERY_MS, on_enough), 0);
    loop_run(stage.loops[0]);
    assert_int_equal(atomic_load(&stage.beats), 0);
    assert_int_equal(pthread_create(&stage.threads[2], NULL, run, stage.loops[2]), 0);
    run_until(&stage, 3);
    pulse_stop(&stage.pulse);
    for (int i = 1; i < LOOPS; i++) {
        loop_stop(stage.loops[i]);
        pthread_join(stage.threads[i], NULL);
    }
    for (int i = 0; i < LOOPS; i++)
        loop_destroy(stage.loops[i]);
    pulse_deinit(&stage.pulse);
}

static void a_zeroed_one_is_harmless(void **state)
{
    (void)state;
    struct pulse pulse = {.every_ms = 0};
    pulse_stop(&pulse);
    pulse_deinit(&pulse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_beats_while_all_loops_turn),
        cmocka_unit_test(it_stops_with_one_loop_and_comes_back_with_it),
        cmocka_unit_test(a_zeroed_one_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
