/* A client's own patience: after N seconds without an answer it has the stale one, or an error; the flight
 * goes on. */
#include "internal.h"

enum { PATIENCE_MAX_S = 3600 };

/* "wait=10", white space around "=" and parameters behind allowed. */
static bool is_wait(struct slice member, uint64_t *seconds)
{
    struct slice name, value, rest;
    slice_cut(member, ';', &member, &rest);
    return slice_cut(member, '=', &name, &value) && slice_equal_nocase(slice_trim(name), SLICE("wait")) &&
           slice_to_u64(slice_trim(value), seconds);
}

bool patience_is_all(struct slice prefer)
{
    struct http_field field = {.value = prefer, .id = FIELD_PREFER};
    struct http_fields fields = {&field, 1};
    struct http_members it = {0};
    struct slice member;
    uint64_t seconds;
    while (http_member_next(&fields, FIELD_PREFER, &it, &member))
        if (!is_wait(member, &seconds))
            return false;
    return true;
}

/* The first one counts (RFC 7240 2). */
bool patience_seconds(const struct visit *visit, uint64_t *seconds)
{
    struct http_members it = {0};
    struct slice member;
    while (http_member_next(&visit->x->request.fields, FIELD_PREFER, &it, &member)) {
        if (!is_wait(member, seconds))
            continue;
        *seconds = *seconds < PATIENCE_MAX_S ? *seconds : PATIENCE_MAX_S;
        return true;
    }
    return false;
}

/* What may fill the cache is worth its end; so is a write that has gone up, which nobody can take back. */
void patience_let_go(struct visit *visit)
{
    struct flight *flight = visit->waiter->flight;
    bool gone_up = flight->unsafe && (flight->upload_framing == FRAMING_NONE || flight->upload_done);
    pthread_mutex_lock(&flight->lock);
    flight->outlives = flight->outlives || flight->fills || gone_up;
    pthread_mutex_unlock(&flight->lock);
}

static void on_over(struct loop_timer *timer)
{
    struct visit *visit = container_of(timer, struct visit, patience);
    if (visit->begun || ready_give_up(visit) || !visit->waiter)
        return;
    if (once_waits(visit)) {
        once_give_up(visit);
        return;
    }
    patience_let_go(visit);
    if (visit_answer_stale(visit, "prefer-wait"))
        return;
    visit->outcome = PIPELINE_FAILED;
    flight_detach(visit);
    answer_problem(visit, PROBLEM_UPSTREAM_TIMEOUT, "not answered within the time that Prefer: wait allows");
}

bool patience_given(const struct visit *visit)
{
    uint64_t seconds;
    return patience_seconds(visit, &seconds);
}

void patience_shorten(struct visit *visit, uint64_t deadline_ms)
{
    if (visit->patience.deadline > deadline_ms) /* never fails: it is armed */
        (void)loop_timer_set(visit->pipeline->loop, &visit->patience, deadline_ms, on_over);
}

void patience_start(struct visit *visit)
{
    struct loop *loop = visit->pipeline->loop;
    uint64_t seconds, most = visit->insider ? visit->insider->wait_ms : 0;
    bool given = patience_seconds(visit, &seconds);
    if (visit->patience.deadline > 0 || (!given && most == 0))
        return;
    uint64_t wait = given && (most == 0 || seconds * 1000 < most) ? seconds * 1000 : most;
    if (loop_timer_set(loop, &visit->patience, loop_now(loop) + wait, on_over))
        return; /* no memory for a timer: a preference need not be honoured */
}
