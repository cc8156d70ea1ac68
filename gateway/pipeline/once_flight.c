/*
 * Writes with an Idempotency-Key: what is under way. A `struct once` lives from once_board to the outcome's
 * commit, on the flight's owner; visits come and go. Its flight is withheld all that time: neither the first
 * visit nor those that wait for it (Prefer: wait) are told anything that is not durable. In this process the
 * table lets one use of a key be under way; the store's writer decides among processes, and over restarts.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "once.h"

struct once {
    struct map_node node; /* in table->uses: guarded by its lock */
    struct idempotency_change change;
    struct flight *flight;     /* retained */
    struct pipeline *pipeline; /* the owner */
    bool decided;              /* the outcome was submitted */
    bool body_copied;
    struct buf fields; /* of the answer, while it is written */
};

/* --- the table
 * -------------------------------------------------------------------------------------------------- */

bool once_open(struct once_table *table, int first_table)
{
    table->first_table = first_table;
    table->self = idempotency_self();
    map_init(&table->uses);
    return pthread_mutex_init(&table->lock, NULL) == 0;
}

void once_close(struct once_table *table)
{
    map_deinit(&table->uses);
    pthread_mutex_destroy(&table->lock);
}

static struct once *table_find(const struct once_table *table, const struct idempotency_use *use)
{
    uint64_t hash = digest_hash(slice_of(use->id, sizeof use->id));
    for (struct map_node *node = map_find(&table->uses, hash); node; node = map_next(node)) {
        struct once *once = container_of(node, struct once, node);
        if (memcmp(once->change.use.id, use->id, sizeof use->id) == 0)
            return once;
    }
    return NULL;
}

/* --- the end of a use
 * -------------------------------------------------------------------------------------------- */

/* Whoever stands on the flight goes on. Consumes the reference. */
static void let_go(struct flight *flight)
{
    pthread_mutex_lock(&flight->lock);
    flight->withheld = false;
    flight_wake(flight);
    pthread_mutex_unlock(&flight->lock);
    flight_release(flight);
}

/* Out of the table: who comes now begins anew. Whoever found it before stands on the flight. */
static void destroy(struct once *once)
{
    struct once_table *table = &once->pipeline->shared->once;
    struct flight *flight = once->flight;
    flight->once = NULL;
    once->pipeline->active--;
    pthread_mutex_lock(&table->lock);
    map_remove(&table->uses, &once->node);
    pthread_mutex_unlock(&table->lock);
    buf_deinit(&once->fields);
    free(once);
    let_go(flight);
}

/* On the writer thread. */
static void on_forgotten(struct store_change *change)
{
    struct once *once = container_of(change, struct once, change.change);
    if (change->outcome)
        log_message(LOG_ERROR, "idempotency-not-stored", "an intent could not be taken back: %s",
                    error_text(change->outcome));
    free(once);
}

/* Nothing left. Nobody has to wait for the commit: whoever uses the key next is behind it in the writer's
 * queue. So the process may end before it without a callback to a loop that is gone. */
static void take_back(struct once *once)
{
    struct once_table *table = &once->pipeline->shared->once;
    struct store *store = once->pipeline->shared->store;
    struct flight *flight = once->flight;
    flight->once = NULL;
    once->pipeline->active--;
    once->change.verb = IDEMPOTENCY_FORGET;
    once->change.change.on_done = on_forgotten;
    once->change.change.loop = NULL;
    pthread_mutex_lock(&table->lock);
    map_remove(&table->uses, &once->node);
    store_submit(store, &once->change.change);
    pthread_mutex_unlock(&table->lock);
    let_go(flight);
}

static void on_settled(struct store_change *change)
{
    struct once *once = container_of(change, struct once, change.change);
    if (change->outcome)
        log_message(
            LOG_ERROR, "idempotency-not-stored",
            "the outcome of a write could not be stored, a repetition of it is told that it is unknown: %s",
            error_text(change->outcome));
    if (once->body_copied)
        free((char *)(uintptr_t)once->change.answer.body.ptr);
    destroy(once);
}

static void submit(struct once *once, enum idempotency_verb verb, void (*on_done)(struct store_change *))
{
    once->change.verb = verb;
    once->change.now_ms = clock_wall_ms();
    once->change.change.on_done = on_done;
    store_submit(once->pipeline->shared->store, &once->change.change);
}

/* --- the beginning of a use
 * -------------------------------------------------------------------------------------- */

/* It never flew: what belongs to this worker goes back here, not where the last reference falls. */
static void ground(struct once *once)
{
    struct flight *flight = once->flight;
    pipeline_settings_release(flight->settings);
    flight->settings = NULL;
}

static void launch(struct once *once, struct visit *visit)
{
    struct flight *flight = once->flight;
    once_note(visit, PIPELINE_ONCE_SENT);
    invalidate_write(visit->pipeline, visit->settings, &visit->subject, flight->method);
    patience_start(visit);
    flight_retain(flight);
    visit_launch(visit, flight, NULL); /* the once may be gone afterwards */
}

static void on_begun(struct store_change *change)
{
    struct once *once = container_of(change, struct once, change.change);
    struct visit *visit = once->flight->sender;
    if (change->outcome == 0 && visit) {
        launch(once, visit);
        return;
    }
    ground(once);
    if (change->outcome == 0) {
        take_back(once); /* its client left before anything was sent */
        return;
    }
    if (visit && change->outcome == ERR_EXISTS) {
        visit->ask->waits = true; /* looks again, as those do who wait for it */
        visit->ask->orphan = once->change.state == IDEMPOTENCY_LOST;
    } else if (visit) {
        once_refuse_unstored(visit, change->outcome);
    }
    destroy(once);
}

/* A use with its flight, which the visit stands on. NULL: no memory. The table is locked. */
static struct once *create(struct visit *visit)
{
    struct pipeline *pipeline = visit->pipeline;
    struct once_table *table = &pipeline->shared->once;
    struct once *once = calloc(1, sizeof *once);
    struct flight *flight = once ? flight_create(visit) : NULL;
    uint64_t hash = digest_hash(slice_of(visit->ask->use.id, sizeof visit->ask->use.id));
    if (!flight || !flight_load(flight, visit->ask->body) || map_insert(&table->uses, &once->node, hash))
        goto no_memory;
    if (!flight_attach(flight, visit)) {
        map_remove(&table->uses, &once->node);
        goto no_memory;
    }
    flight->once = once;
    flight->withheld = true;
    flight->sender = visit; /* until it leaves */
    visit->opener = true;
    once->flight = flight;
    once->pipeline = pipeline;
    once->change = (struct idempotency_change){
        .change = {.apply = idempotency_apply, .loop = pipeline->loop},
        .use = visit->ask->use,
        .bounds = IDEMPOTENCY_BOUNDS,
    };
    buf_init(&once->fields, IDEMPOTENCY_FIELDS_MAX);
    pipeline->active++;
    return once;
no_memory:
    if (flight)
        flight_release(flight);
    free(once);
    return NULL;
}

enum once_boarding once_board(struct visit *visit)
{
    struct once_table *table = &visit->pipeline->shared->once;
    struct ask *ask = visit->ask;
    pthread_mutex_lock(&table->lock);
    struct once *other = table_find(table, &ask->use);
    bool same = other && memcmp(other->change.use.digest, ask->use.digest, IDEMPOTENCY_HASH) == 0;
    ask->waits = same && patience_given(visit) && flight_attach(other->flight, visit);
    struct once *once = other ? NULL : create(visit);
    pthread_mutex_unlock(&table->lock);
    if (once)
        submit(once, IDEMPOTENCY_BEGIN, on_begun);
    if (!other)
        return once ? ONCE_BEGUN : ONCE_NOMEM;
    if (!same)
        return ONCE_MISMATCH;
    return ask->waits ? ONCE_WAITS : ONCE_BUSY;
}

/* --- the flight
 * ----------------------------------------------------------------------------------------------------------
 */

/* What Rollout answers without having done anything: it did not know our token, holds us back, or has no data
 * for the credential yet. A repetition may be sent. All else is final, 5xx included. */
static bool was_not_executed(int status)
{
    return status == 401 || status == 409 || status == 429;
}

/* The client's own lines, but for cookies. */
static bool put_fields(struct once *once)
{
    struct flight *flight = once->flight;
    const struct http_fields *from = flight->answer.fields;
    struct http_fields fields = {arena_alloc(&flight->arena, (from->count + 1) * sizeof *from->at), 0};
    if (!fields.at)
        return false;
    for (size_t i = 0; i < from->count; i++)
        if (from->at[i].id != FIELD_SET_COOKIE)
            fields.at[fields.count++] = from->at[i];
    answer_put_fields(&once->fields, &fields, flight);
    if (!flight->has_date)
        buf_append_format(&once->fields, "Date: %.*s\r\n", SLICE_ARG(server_date()));
    return !once->fields.failed;
}

static void settle(struct once *once, bool whole)
{
    struct flight *flight = once->flight;
    struct idempotency_answer *answer = &once->change.answer;
    char *body = whole && put_fields(once) ? fetch_whole_body(flight, &once->body_copied) : NULL;
    once->decided = true;
    *answer = (struct idempotency_answer){.status = flight->status};
    if (body || (whole && flight->produced == 0 && !once->fields.failed)) {
        answer->whole = true;
        answer->fields = buf_slice(&once->fields);
        answer->body = slice_of(body, (size_t)flight->produced);
        answer->splice_at = flight->splice_at;
        answer->splice_len = (uint32_t)flight->splice_len;
    }
    submit(once, IDEMPOTENCY_ANSWER, on_settled);
}

bool once_gathers(struct flight *flight)
{
    struct once *once = flight->once;
    if (!once->decided && flight->produced > IDEMPOTENCY_ANSWER_MAX)
        settle(once, false); /* too large to be kept: passed on as soon as that is stored */
    return !once->decided;
}

void once_landed(struct flight *flight)
{
    struct once *once = flight->once;
    if (once->decided)
        return;
    if (was_not_executed(flight->status))
        take_back(once);
    else
        settle(once, true);
}

void once_failed(struct flight *flight, enum problem *problem, const char **why)
{
    struct once *once = flight->once;
    if (once->decided)
        return;
    once->decided = true;
    if (!flight->sent) {
        take_back(once);
        return;
    }
    *problem = PROBLEM_OUTCOME_UNKNOWN;
    *why = "the write was sent, and then Rollout did not answer in whole: whether it happened is not known, "
           "and it "
           "is not sent again with this Idempotency-Key";
    if (flight->sender)
        once_note(flight->sender, PIPELINE_ONCE_UNKNOWN);
    once->change.answer = (struct idempotency_answer){.status = flight->status};
    submit(once, IDEMPOTENCY_LOSE, on_settled);
}
