/* What the tests of this room stand on: one desk, one loop that is drained by hand, a clock that is a number.
 */
#ifndef LIMIT_FIXTURE_H
#define LIMIT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* cmocka needs the four above first */
#include <cmocka.h>

#include "limit/limit.h"

struct desk {
    struct limit *limit;
    struct loop *loop;
    uint64_t now;
    unsigned told; /* on_turn calls */
};

struct guest {
    struct limit_turn turn;
    struct desk *desk;
    int tag;
    bool told;
};

static inline void on_turn(struct limit_turn *turn)
{
    struct guest *guest = container_of(turn, struct guest, turn);
    guest->told = true;
    guest->desk->told++;
}

static inline void desk_open(struct desk *desk, const struct limit_options *options)
{
    *desk = (struct desk){.limit = limit_create(options), .loop = loop_create(), .now = 1000000};
    assert_non_null(desk->limit);
    assert_non_null(desk->loop);
}

/* Runs what was posted. */
static inline void desk_drain(struct desk *desk)
{
    loop_stop(desk->loop);
    loop_run(desk->loop);
}

static inline void desk_close(struct desk *desk)
{
    desk_drain(desk);
    limit_destroy(desk->limit);
    loop_destroy(desk->loop);
}

static inline enum limit_answer ask_as(struct desk *desk, struct guest *guest, struct limit_who who)
{
    *guest =
        (struct guest){.desk = desk, .tag = guest->tag, .turn = {.loop = desk->loop, .on_turn = on_turn}};
    return limit_ask(desk->limit, &guest->turn, &who, desk->now);
}

static inline enum limit_answer ask(struct desk *desk, struct guest *guest, const char *tenant,
                                    const char *service)
{
    return ask_as(desk, guest,
                  (struct limit_who){.tenant = slice_from(tenant), .service = slice_from(service)});
}

static inline void done(struct desk *desk, struct guest *guest)
{
    limit_done(desk->limit, &guest->turn, desk->now);
}

/* Lets the time pass as a worker would: wakes exactly when it was told to. */
static inline void desk_pass(struct desk *desk, uint64_t until)
{
    for (;;) {
        uint64_t due = limit_due_ms(desk->limit);
        if (due > until)
            break;
        desk->now = due > desk->now ? due : desk->now;
        limit_pump(desk->limit, desk->now);
        desk_drain(desk);
    }
    desk->now = until;
    limit_pump(desk->limit, desk->now); /* keeps the promise that was just made */
    desk_drain(desk);
}

/* A generator of the tests' own: the same numbers every time. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
