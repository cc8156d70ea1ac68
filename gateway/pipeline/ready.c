/*
 * Rollout has no data for a credential until its first sync is over, and says 409. That goes to the caller as
 * it came, with a Retry-After. One that said Prefer: wait=N waits instead: in the credential's room
 * (ready_room.c), until somebody is answered there, and then walks once more. At the end of its time it has
 * the 409 that it would have had at first.
 */
#include <stdlib.h>

#include "ready.h"

enum { JUDGED_MAX = 16 * 1024, HOLD_MAX_MS = 120 * 1000, RETRY_AFTER_S = 5 };

/* What a visit that waits keeps; in its arena. */
struct unready {
    struct ready_waiting *waiting;
    struct loop_timer poll;
    bool parked; /* it asks nothing now */
    bool has_date, has_retry_after;
    struct slice block, body; /* of the 409 */
    uint64_t length;
    struct slice upload; /* the request's own body */
};

static struct ready_table *table_of(const struct visit *visit)
{
    return &visit->pipeline->shared->ready;
}

/* --- is it that?
 * ------------------------------------------------------------------------------------------------ */

/* The whole body, which is small. The flight has landed, and this visit has passed nothing of it. */
static struct slice copy_body(struct visit *visit, struct flight *flight)
{
    size_t len = (size_t)flight->produced, at = 0;
    char *copy = arena_alloc(&visit->x->arena, len + 1);
    if (!copy)
        return (struct slice){NULL, 0};
    pthread_mutex_lock(&flight->lock);
    for (const struct segment *s = flight->first; s && at + s->len <= len; s = s->next) {
        memcpy(copy + at, s->data, s->len);
        at += s->len;
    }
    pthread_mutex_unlock(&flight->lock);
    return slice_of(copy, at);
}

static bool says_not_ready(struct slice body)
{
    struct slice words = SLICE("not ready");
    for (size_t i = 0; i + words.len <= body.len; i++)
        if (slice_equal_nocase(slice_of(body.ptr + i, words.len), words))
            return true;
    return false;
}

/* Nothing but this is a conflict for a read; for a write the words tell. */
static bool is_read(const struct visit *visit)
{
    enum method method = visit->x->request.method;
    return method == METHOD_GET || method == METHOD_HEAD;
}

/* --- waiting
 * --------------------------------------------------------------------------------------------------- */

static void set_parked(struct visit *visit, bool parked)
{
    if (visit->unready->parked != parked)
        count_add(&visit->pipeline->stats.not_ready, parked ? 1 : UINT64_MAX);
    visit->unready->parked = parked;
}

static void walk_again(struct visit *visit)
{
    set_parked(visit, false);
    visit_walk_again(visit);
}

static void on_poll(struct loop_timer *timer)
{
    struct unready *unready = container_of(timer, struct unready, poll);
    struct visit *visit = unready->waiting->visit;
    ready_depart(table_of(visit), unready->waiting);
    walk_again(visit);
}

static void poll_at(struct visit *visit, uint64_t due_ms)
{
    if (loop_timer_set(visit->pipeline->loop, &visit->unready->poll, due_ms, on_poll))
        ready_give_up(visit); /* no memory for a timer */
}

static void on_order(struct loop_task *task)
{
    struct ready_waiting *waiting = container_of(task, struct ready_waiting, task);
    struct visit *visit = waiting->visit;
    uint64_t due_ms = 0;
    if (!visit) {
        free(waiting);
        return;
    }
    switch (ready_take(table_of(visit), waiting, loop_now(visit->pipeline->loop), &due_ms)) {
    case READY_NOTHING:
        break;
    case READY_PROBE:
        if (visit->unready->parked)
            poll_at(visit, due_ms);
        break;
    case READY_GO:
        loop_timer_clear(visit->pipeline->loop, &visit->unready->poll);
        if (visit->unready->parked)
            walk_again(visit);
        break;
    }
}

/* What of the answer, and of the request, is needed later. False: no memory. */
static bool note(struct visit *visit, const struct flight *flight, struct slice body)
{
    struct arena *arena = &visit->x->arena;
    struct unready *unready = arena_zalloc(arena, sizeof *unready);
    struct ready_waiting *waiting = unready ? calloc(1, sizeof *waiting) : NULL;
    if (!waiting)
        return false;
    unready->block = arena_copy(arena, flight->block);
    unready->body = body;
    unready->length = visit->head_only ? flight->length : body.len;
    unready->has_date = flight->has_date;
    unready->has_retry_after = flight->has_retry_after;
    unready->upload = SLICE("");
    if (flight->upload_framing != FRAMING_NONE && !visit->ask)
        unready->upload = arena_copy(arena, buf_slice(&flight->replay));
    if (!unready->block.ptr || !unready->upload.ptr) {
        free(waiting);
        return false;
    }
    list_init(&waiting->node);
    waiting->loop = visit->pipeline->loop;
    waiting->task.run = on_order;
    waiting->visit = visit;
    unready->waiting = waiting;
    visit->unready = unready;
    patience_shorten(visit, loop_now(visit->pipeline->loop) + HOLD_MAX_MS);
    return true;
}

/* A body that was too large to be kept is gone; only the opener's flight has it at all. */
static bool may_ask_again(const struct visit *visit, const struct flight *flight)
{
    if (flight->upload_framing == FRAMING_NONE || visit->ask)
        return true;
    return visit->opener && flight->upload_done && !flight->replay.failed;
}

static bool wants_to_wait(const struct visit *visit)
{
    bool background = visit->insider && visit->insider->background;
    return !background && patience_given(visit) && visit->patience.deadline > 0;
}

static bool park(struct visit *visit, const struct flight *flight, struct slice body)
{
    uint64_t asked_s = flight->asked_s < 3600 ? flight->asked_s : 3600;
    uint64_t now = loop_now(visit->pipeline->loop), due_ms;
    if (!wants_to_wait(visit) || !may_ask_again(visit, flight))
        return false;
    if (!visit->unready && !note(visit, flight, body))
        return false;
    if (ready_enter(table_of(visit), visit->unready->waiting, &visit->subject, asked_s * 1000, now, &due_ms))
        return false;
    set_parked(visit, true);
    flight_detach(visit);
    if (due_ms != READY_NEVER)
        poll_at(visit, due_ms);
    return true;
}

/* --- what the rest of the room asks
 * -------------------------------------------------------------------------------- */

/* An answer from which others who wait can tell that it is worth asking. */
static bool is_good(int status)
{
    return status >= 200 && status < 500 && status != 409 && status != 429;
}

bool ready_holds(struct visit *visit, struct flight *flight, enum flight_phase phase, uint64_t produced)
{
    if (flight->status != 409 || visit->credential_id.len == 0) {
        if (visit->unready && is_good(flight->status))
            ready_leave(table_of(visit), visit->unready->waiting, true);
        return false;
    }
    bool small = produced <= JUDGED_MAX;
    if (small && phase == FLIGHT_STREAMING)
        return true; /* its end is awaited */
    bool needed = small && !(visit->unready && is_read(visit));
    struct slice body = needed ? copy_body(visit, flight) : SLICE("");
    if (!body.ptr || !(is_read(visit) || says_not_ready(body)))
        return false;
    if (small && park(visit, flight, body))
        return true;
    visit->detail = "not-ready";
    visit->retry_after_s = flight->has_retry_after ? 0 : RETRY_AFTER_S;
    return false;
}

bool ready_give_up(struct visit *visit)
{
    struct unready *unready = visit->unready;
    bool asks = unready && visit->waiter;
    if (!unready || visit->begun || (!unready->parked && !asks))
        return false;
    if (asks && !method_is_safe(visit->x->request.method))
        return false; /* it may be done by now: nobody knows */
    if (asks)
        patience_let_go(visit);
    flight_detach(visit);
    loop_timer_clear(visit->pipeline->loop, &unready->poll);
    ready_leave(table_of(visit), unready->waiting, false);
    set_parked(visit, false);
    visit->outcome = PIPELINE_BYPASS;
    visit->fwd = method_is_safe(visit->x->request.method) ? "uri-miss" : "method";
    visit->detail = "not-ready";
    visit->upstream_status = 409;
    visit->retry_after_s = unready->has_retry_after ? 0 : RETRY_AFTER_S;
    answer_copy(visit, unready->block, unready->has_date, unready->length, unready->body);
    return true;
}

struct slice ready_upload(const struct visit *visit)
{
    bool again = visit->unready && !visit->ask && visit->x->request.framing != FRAMING_NONE;
    return again ? visit->unready->upload : (struct slice){NULL, 0};
}

void ready_clear(struct visit *visit)
{
    struct unready *unready = visit->unready;
    if (!unready)
        return;
    set_parked(visit, false);
    loop_timer_clear(visit->pipeline->loop, &unready->poll);
    if (is_good(visit->x->status))
        ready_leave(table_of(visit), unready->waiting, true);
    ready_end(table_of(visit), unready->waiting);
    visit->unready = NULL;
}
