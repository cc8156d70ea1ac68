/*
 * A flight's turn (limit/): asked for before its first byte goes up, given back when it is over; what
 * upstream answers teaches the desk. The queue's time runs on the loops of those who touched it: each keeps
 * one timer. On the owner's loop.
 */
#include "base/clock.h"
#include "http/date.h"
#include "internal.h"

enum { FAR_MS = 24 * 3600 * 1000, FIELDS_MAX = 512 };

static struct limit *desk_of(const struct flight *flight)
{
    return flight->owner->shared->limit;
}

/* --- the queue's time
 * --------------------------------------------------------------------------------------------- */

static void on_due(struct loop_timer *timer);

/* After every call that may have moved the queue. */
static void mind(struct pipeline *pipeline)
{
    uint64_t due = limit_due_ms(pipeline->shared->limit);
    if (due < pipeline->turns.deadline) /* never fails: the timer is armed always */
        (void)loop_timer_set(pipeline->loop, &pipeline->turns, due, on_due);
}

static void on_due(struct loop_timer *timer)
{
    struct pipeline *pipeline = container_of(timer, struct pipeline, turns);
    /* Into the place that it just left: never fails. */
    (void)loop_timer_set(pipeline->loop, timer, loop_now(pipeline->loop) + FAR_MS, on_due);
    turns_pump(pipeline);
}

void turns_pump(struct pipeline *pipeline)
{
    limit_pump(pipeline->shared->limit, loop_now(pipeline->loop));
    mind(pipeline);
}

bool turns_open(struct pipeline *pipeline)
{
    return loop_timer_set(pipeline->loop, &pipeline->turns, loop_now(pipeline->loop) + FAR_MS, on_due) == 0;
}

void turns_close(struct pipeline *pipeline)
{
    loop_timer_clear(pipeline->loop, &pipeline->turns);
}

/* --- asking
 * ----------------------------------------------------------------------------------------------------------
 */

static void put_fields(struct flight *flight)
{
    char storage[FIELDS_MAX];
    struct buf out;
    buf_init_fixed(&out, storage, sizeof storage);
    limit_put_fields(desk_of(flight), &flight->turn, loop_now(flight->owner->loop), &out);
    if (!out.failed && out.len > 0)
        flight->limits = arena_copy(&flight->arena, buf_slice(&out));
}

static const char *refusal(enum limit_scope scope)
{
    switch (scope) {
    case LIMIT_CLIENT:
        return "over the limit of the whole client id, and no turn within max_wait";
    case LIMIT_TENANT:
        return "over the tenant's limit, and no turn within max_wait";
    case LIMIT_CREDENTIAL:
        return "over the credential's limit, and no turn within max_wait";
    case LIMIT_SERVICE:
        return "over the calling service's limit, and no turn within max_wait";
    case LIMIT_SCOPE_COUNT:
        break;
    }
    return "over a limit";
}

static void refused(struct flight *flight)
{
    flight->retry_after_s = flight->turn.retry_after_s;
    put_fields(flight);
    fetch_refused(flight, refusal(flight->turn.by));
}

static void on_turn(struct limit_turn *turn)
{
    struct flight *flight = container_of(turn, struct flight, turn);
    flight->queued = false;
    if (flight->left) { /* it was over while this was on its way */
        limit_done(desk_of(flight), turn, loop_now(flight->owner->loop));
        mind(flight->owner);
        flight_release(flight);
    } else if (turn->answer == LIMIT_GRANTED) {
        fetch_go(flight);
    } else {
        refused(flight);
    }
}

void turn_ask(struct flight *flight)
{
    struct limit_who who = {flight->tenant, flight->credential_id, flight->service, flight->background,
                            flight->service_rate};
    flight->turn.loop = flight->owner->loop;
    flight->turn.on_turn = on_turn;
    switch (limit_ask(desk_of(flight), &flight->turn, &who, loop_now(flight->owner->loop))) {
    case LIMIT_GRANTED:
        fetch_go(flight);
        break;
    case LIMIT_WAITING:
        flight->queued = true;
        mind(flight->owner);
        break;
    case LIMIT_REFUSED:
        refused(flight);
        break;
    }
}

bool turn_cancel(struct flight *flight)
{
    if (!flight->queued)
        return false;
    flight->queued = false;
    flight->left = limit_leave(desk_of(flight), &flight->turn, loop_now(flight->owner->loop));
    if (flight->left)
        flight_retain(flight); /* until on_turn */
    mind(flight->owner);
    return true;
}

void turn_again(struct flight *flight)
{
    limit_charge(desk_of(flight), &flight->turn, loop_now(flight->owner->loop));
}

void turn_end(struct flight *flight)
{
    if (flight->left)
        return;
    limit_done(desk_of(flight), &flight->turn, loop_now(flight->owner->loop));
    mind(flight->owner);
}

void turns_give_up(struct pipeline *pipeline, struct upstream_host *host)
{
    if (!upstream_host_refuses(host, loop_now(pipeline->loop)))
        return;
    list_each_safe (node, &pipeline->air) {
        struct flight *flight = container_of(node, struct flight, in_air);
        if (!flight->queued || flight->api->host != host)
            continue;
        flight->failure = UPSTREAM_OPEN;
        fetch_abort(flight, PROBLEM_CIRCUIT_OPEN,
                    "Rollout's host is failing: not tried until the next probe");
    }
}

/* --- learning
 * ----------------------------------------------------------------------------------------------------------
 */

/* Retry-After (RFC 9110 10.2.3) in seconds or as a date; UINT64_MAX: none, or not readable. */
static uint64_t asked_pause_ms(const struct http_fields *fields)
{
    struct slice value = http_value(fields, FIELD_RETRY_AFTER);
    uint64_t seconds;
    int64_t date_s, now_ms = clock_wall_ms();
    if (slice_to_u64(value, &seconds))
        return seconds < LIMIT_PAUSE_MAX_MS / 1000 ? seconds * 1000 : LIMIT_PAUSE_MAX_MS;
    if (value.len == 0 || !date_parse(value, now_ms / 1000, &date_s))
        return UINT64_MAX;
    if (date_s - now_ms / 1000 > LIMIT_PAUSE_MAX_MS / 1000)
        return LIMIT_PAUSE_MAX_MS;
    return date_s * 1000 > now_ms ? (uint64_t)(date_s * 1000 - now_ms) : 0;
}

void turn_answered(struct flight *flight, const struct http_response *head)
{
    bool objection = head->status == 429 || head->status == 503;
    uint64_t pause = objection ? asked_pause_ms(&head->fields) : UINT64_MAX;
    limit_learn(desk_of(flight), &flight->turn, head->status, pause, loop_now(flight->owner->loop));
    put_fields(flight);
}
