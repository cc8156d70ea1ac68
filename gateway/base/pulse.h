/*
 * Is every loop still turning? One loop asks all of them again and again; when each has answered, the owner
 * is told. A loop that hangs ends the pulse, and nothing else starts it again but that loop's answer.
 */
#ifndef BASE_PULSE_H
#define BASE_PULSE_H

#include <stdatomic.h>

#include "base/loop.h"

struct pulse;

struct pulse_beat {
    struct loop_task task;
    struct pulse *pulse;
    struct loop *loop;
};

struct pulse {
    struct loop_timer timer;
    struct loop *loop;
    uint64_t every_ms;
    struct pulse_beat *beats;
    unsigned count;
    atomic_uint missing; /* loops that have not answered yet */
    void (*on_pulse)(void *owner);
    void *owner;
};

/* On `loop`: every `every_ms` from now on, on_pulse on whichever of the loops answers last. ERR_NOMEM. */
int pulse_start(struct pulse *pulse, struct loop *loop, uint64_t every_ms, struct loop *const *loops,
                unsigned count) MUST_CHECK;
/* On its loop: no more questions. One that is under way may still call on_pulse. A zeroed one is allowed. */
void pulse_stop(struct pulse *pulse);
/* After the loops have ended. A zeroed one is allowed. */
void pulse_deinit(struct pulse *pulse);

#endif
