/* Callers that wait until Rollout has a credential's data: what ready.c, the visit's side, and ready_room.c
 * share. */
#ifndef PIPELINE_READY_H
#define PIPELINE_READY_H

#include "pipeline/internal.h"

enum ready_order {
    READY_NOTHING,
    READY_PROBE, /* it is the one that asks from now on */
    READY_GO,    /* the data is there, it seems: everybody asks */
};

struct ready_room;

/* One visit that waits, on whatever worker. Its own allocation, since an order may still be on its way when
 * the visit ends. */
struct ready_waiting {
    struct loop_task task;
    struct loop *loop;
    struct visit *visit; /* NULL once it ended; its own worker only */
    /* guarded by the table's lock */
    struct list node;        /* in room->waiting; in none while it asks */
    struct ready_room *room; /* NULL: in none */
    bool posted;             /* an order is on its way */
    bool told;               /* the room was opened while it was asking: what it hears may be of before */
    enum ready_order order;
};

#define READY_NEVER UINT64_MAX

/* ready_room.c: all may be called on any worker. */
/* Stands in the credential's room for that API. *due_ms: when it is to ask; READY_NEVER: somebody else does.
 * `asked_ms`: for so long upstream wants not to be asked. ERR_NOMEM. */
int ready_enter(struct ready_table *table, struct ready_waiting *waiting, const struct cache_subject *subject,
                uint64_t asked_ms, uint64_t now_ms, uint64_t *due_ms);
/* It asks now: nobody else does until it enters again or leaves. */
void ready_depart(struct ready_table *table, struct ready_waiting *waiting);
/* It waits no more. `good`: it was answered, so the others ask, too; else the next one takes its part. */
void ready_leave(struct ready_table *table, struct ready_waiting *waiting, bool good);
/* The order that came, and with READY_PROBE when it is to ask. */
enum ready_order ready_take(struct ready_table *table, struct ready_waiting *waiting, uint64_t now_ms,
                            uint64_t *due_ms);
/* The visit ends, and so does `waiting`. */
void ready_end(struct ready_table *table, struct ready_waiting *waiting);

#endif
