#include "base/pulse.h"

#include <stdlib.h>

static void on_beat(struct loop_task *task)
{
    struct pulse *pulse = container_of(task, struct pulse_beat, task)->pulse;
    if (atomic_fetch_sub(&pulse->missing, 1) == 1)
        pulse->on_pulse(pulse->owner);
}

static void on_timer(struct loop_timer *timer);

/* Into the place that it just left, or never before: never fails later on. */
static int arm(struct pulse *pulse)
{
    return loop_timer_set(pulse->loop, &pulse->timer, loop_now(pulse->loop) + pulse->every_ms, on_timer);
}

static void on_timer(struct loop_timer *timer)
{
    struct pulse *pulse = container_of(timer, struct pulse, timer);
    (void)arm(pulse);
    if (atomic_load(&pulse->missing) > 0)
        return;
    atomic_store(&pulse->missing, pulse->count);
    for (unsigned i = 0; i < pulse->count; i++)
        loop_post(pulse->beats[i].loop, &pulse->beats[i].task);
}

int pulse_start(struct pulse *pulse, struct loop *loop, uint64_t every_ms, struct loop *const *loops,
                unsigned count)
{
    pulse->beats = calloc(count, sizeof *pulse->beats);
    if (!pulse->beats)
        return ERR_NOMEM;
    for (unsigned i = 0; i < count; i++)
        pulse->beats[i] = (struct pulse_beat){.task.run = on_beat, .pulse = pulse, .loop = loops[i]};
    pulse->loop = loop;
    pulse->count = count;
    pulse->every_ms = every_ms > 0 ? every_ms : 1;
    return arm(pulse);
}

void pulse_stop(struct pulse *pulse)
{
    if (pulse->loop)
        loop_timer_clear(pulse->loop, &pulse->timer);
}

void pulse_deinit(struct pulse *pulse)
{
    free(pulse->beats);
    pulse->beats = NULL;
}
