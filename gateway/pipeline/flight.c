/* Flights as shared objects: the table, waiters, body segments, back-pressure. What happens on the wire is in
 * fetch.c. */
#include <assert.h>
#include <stdlib.h>

#include "internal.h"

enum { FLIGHT_ARENA_FIRST = 3072, FLIGHT_ARENA_MAX = 512 * 1024, FLIGHT_REPLAY_MAX = 64 * 1024 };

/* --- segments
 * ------------------------------------------------------------------------------------------------- */

static struct segment *segment_create(uint64_t at, struct slice data)
{
    struct segment *segment = malloc(sizeof *segment + data.len);
    if (!segment)
        return NULL;
    atomic_init(&segment->refs, 1); /* the flight's */
    segment->next = NULL;
    segment->at = at;
    segment->len = data.len;
    memcpy(segment->data, data.ptr, data.len);
    return segment;
}

void segment_release(void *object)
{
    struct segment *segment = object;
    if (atomic_fetch_sub_explicit(&segment->refs, 1, memory_order_acq_rel) == 1)
        free(segment);
}

/* --- life
 * ----------------------------------------------------------------------------------------------------- */

static bool copy_slice(struct flight *flight, struct slice *to, struct slice from)
{
    *to = arena_copy(&flight->arena, from);
    return to->ptr != NULL;
}

/* The opener may leave before the flight lands: what storing needs of its request is copied. */
static bool copy_query(struct flight *flight, const struct visit *visit)
{
    struct http_fields *fields = http_fields_copy(&flight->arena, &visit->x->request.fields);
    if (!fields)
        return false;
    flight->query = visit->query;
    flight->query.fields = fields;
    return copy_slice(flight, &flight->key, visit->query.key.bytes) &&
           copy_slice(flight, &flight->tenant, visit->route.tenant) &&
           copy_slice(flight, &flight->credential_id, visit->credential_id) &&
           copy_slice(flight, &flight->subject.credential, visit->subject.credential) &&
           copy_slice(flight, &flight->subject.entity, visit->subject.entity) &&
           copy_slice(flight, &flight->subject.id, visit->subject.id);
}

struct flight *flight_create(struct visit *visit)
{
    struct flight *flight = malloc(sizeof *flight + FLIGHT_ARENA_FIRST);
    if (!flight)
        return NULL;
    memset(flight, 0, sizeof *flight); /* not the arena */
    atomic_init(&flight->refs, 1);
    pthread_mutex_init(&flight->lock, NULL);
    list_init(&flight->waiters);
    list_init(&flight->in_air);
    arena_init(&flight->arena, flight->first_block, FLIGHT_ARENA_FIRST, FLIGHT_ARENA_MAX);
    buf_init(&flight->replay, FLIGHT_REPLAY_MAX);
    buf_init(&flight->held, 1024 * 1024);
    flight->owner = visit->pipeline;
    flight->settings = visit->settings;
    flight->settings->refs++;
    flight->api = visit->api;
    flight->method = visit->x->request.method;
    flight->length = SERVER_LENGTH_UNKNOWN;
    flight->upload_framing = visit->x->request.framing;
    flight->upload_length = visit->x->request.length;
    if (!copy_query(flight, visit)) {
        flight_release(flight);
        return NULL;
    }
    flight->query.key.bytes = flight->key;
    flight->key_hash = visit->query.key.hash;
    flight->subject.api = visit->api->name;
    flight->answer.deps = visit->query.deps;
    flight->unsafe = !method_is_safe(flight->method);
    return flight;
}

void flight_retain(struct flight *flight)
{
    atomic_fetch_add_explicit(&flight->refs, 1, memory_order_relaxed);
}

static void free_segments(struct flight *flight)
{
    while (flight->first) {
        struct segment *segment = flight->first;
        flight->first = segment->next;
        segment_release(segment);
    }
    flight->last = NULL;
}

void flight_release(struct flight *flight)
{
    if (atomic_fetch_sub_explicit(&flight->refs, 1, memory_order_acq_rel) != 1)
        return;
    assert(!flight->listed && list_empty(&flight->waiters) && !flight->transfer);
    free_segments(flight);
    free(flight->splice);
    if (flight->entry)
        cache_release(flight->entry);
    if (flight->validating)
        cache_release(flight->validating);
    /* The settings belong to the owner's worker: fetch.c gave them back when the transfer ended; a flight
     * that never started dies on that worker. */
    if (flight->settings)
        pipeline_settings_release(flight->settings);
    buf_wipe(&flight->replay);
    buf_deinit(&flight->held);
    arena_reset(&flight->arena);
    pthread_mutex_destroy(&flight->lock);
    free(flight);
}

/* fetch_upload sends it "again". */
bool flight_load(struct flight *flight, struct slice body)
{
    flight->resending = true;
    flight->upload_done = true;
    buf_deinit(&flight->replay);
    buf_init(&flight->replay, body.len + 1);
    return buf_reserve(&flight->replay, body.len + 1) == 0 && buf_append_slice(&flight->replay, body) == 0;
}

/* --- waiters
 * -------------------------------------------------------------------------------------------------- */

static void waiter_run(struct loop_task *task)
{
    struct waiter *waiter = container_of(task, struct waiter, task);
    pthread_mutex_lock(&waiter->flight->lock);
    waiter->posted = false;
    pthread_mutex_unlock(&waiter->flight->lock);
    if (waiter->visit) {
        visit_progress(waiter->visit);
        return;
    }
    flight_release(waiter->flight);
    free(waiter);
}

bool flight_attach(struct flight *flight, struct visit *visit)
{
    struct waiter *waiter = calloc(1, sizeof *waiter);
    if (!waiter)
        return false;
    waiter->flight = flight;
    waiter->pipeline = visit->pipeline;
    waiter->visit = visit;
    waiter->task.run = waiter_run;
    flight_retain(flight);
    visit->waiter = waiter;
    visit->cursor = 0;
    pthread_mutex_lock(&flight->lock);
    list_push_back(&flight->waiters, &waiter->node);
    if (flight->phase != FLIGHT_WAITING) { /* nothing more may come to wake it */
        waiter->posted = true;
        loop_defer(visit->pipeline->loop, &waiter->task);
    }
    pthread_mutex_unlock(&flight->lock);
    return true;
}

static void owner_run(struct loop_task *task);

/* The owner has to look: there may be room again, or nobody left. The lock is held. */
static void poke_owner(struct flight *flight, struct pipeline *from)
{
    if (flight->resume_posted)
        return;
    flight->resume_posted = true;
    flight->resume.run = owner_run;
    flight_retain(flight);
    if (from == flight->owner)
        loop_defer(from->loop, &flight->resume);
    else
        loop_post(flight->owner->loop, &flight->resume);
}

static uint64_t slowest(const struct flight *flight)
{
    uint64_t least = flight->produced;
    list_each (node, &flight->waiters) {
        const struct waiter *waiter = container_of(node, struct waiter, node);
        if (waiter->cursor < least)
            least = waiter->cursor;
    }
    return least;
}

static bool in_the_air(const struct flight *flight)
{
    return flight->phase == FLIGHT_WAITING || flight->phase == FLIGHT_STREAMING;
}

static void owner_run(struct loop_task *task)
{
    struct flight *flight = container_of(task, struct flight, resume);
    pthread_mutex_lock(&flight->lock);
    flight->resume_posted = false;
    bool flying = in_the_air(flight);
    /* What may still fill the cache goes on without anybody waiting, and so does what is to be known. */
    bool goes_on = flight->keeps || (flight->once && once_gathers(flight)) ||
                   (flight->outlives && flight->phase == FLIGHT_WAITING);
    bool abandoned = flying && list_empty(&flight->waiters) && !goes_on;
    bool resume = flying && flight->paused && flight->produced - slowest(flight) < FLIGHT_WINDOW / 2;
    if (resume)
        flight->paused = false;
    pthread_mutex_unlock(&flight->lock);
    if (abandoned) {
        fetch_cancel(flight);
    } else if (resume && flight->transfer) {
        upstream_resume(flight->transfer);
    }
    flight_release(flight);
}

void flight_detach(struct visit *visit)
{
    struct waiter *waiter = visit->waiter;
    if (!waiter)
        return;
    struct flight *flight = waiter->flight;
    visit->waiter = NULL;
    waiter->visit = NULL;
    if (waiter->pipeline == flight->owner && flight->sender == visit) /* the owner's field */
        flight->sender = NULL;
    pthread_mutex_lock(&flight->lock);
    list_remove(&waiter->node);
    bool posted = waiter->posted;
    if (in_the_air(flight) && (list_empty(&flight->waiters) || !flight->keeps))
        poke_owner(flight, waiter->pipeline);
    pthread_mutex_unlock(&flight->lock);
    if (!posted) {
        free(waiter);
        flight_release(flight);
    }
}

void flight_wake(struct flight *flight)
{
    list_each (node, &flight->waiters) {
        struct waiter *waiter = container_of(node, struct waiter, node);
        if (waiter->posted)
            continue;
        waiter->posted = true;
        if (waiter->pipeline == flight->owner)
            loop_defer(flight->owner->loop, &waiter->task);
        else
            loop_post(waiter->pipeline->loop, &waiter->task);
    }
}

/* --- body
 * ----------------------------------------------------------------------------------------------------- */

bool flight_append(struct flight *flight, struct slice data)
{
    struct segment *segment = segment_create(flight->produced, data);
    if (!segment)
        return false;
    pthread_mutex_lock(&flight->lock);
    if (flight->last)
        flight->last->next = segment;
    else
        flight->first = segment;
    flight->last = segment;
    flight->produced += data.len;
    pthread_mutex_unlock(&flight->lock);
    return true;
}

void flight_consumed(struct waiter *waiter, uint64_t cursor)
{
    struct flight *flight = waiter->flight;
    pthread_mutex_lock(&flight->lock);
    waiter->cursor = cursor;
    if (!flight->keeps) {
        uint64_t least = slowest(flight);
        while (flight->first && flight->first->at + flight->first->len <= least) {
            struct segment *segment = flight->first;
            flight->first = segment->next;
            if (!flight->first)
                flight->last = NULL;
            segment_release(segment);
        }
        if (flight->paused && flight->produced - least < FLIGHT_WINDOW / 2)
            poke_owner(flight, waiter->pipeline);
    }
    pthread_mutex_unlock(&flight->lock);
}

/* --- the table
 * ------------------------------------------------------------------------------------------------ */

static struct flight_shard *shard_of(struct pipeline_shared *shared, uint64_t hash)
{
    return &shared->shards[hash % FLIGHT_SHARDS];
}

static struct flight *shard_find(struct flight_shard *shard, const struct cache_key *key)
{
    for (struct map_node *node = map_find(&shard->flights, key->hash); node; node = map_next(node)) {
        struct flight *flight = container_of(node, struct flight, node);
        if (slice_equal(flight->key, key->bytes))
            return flight;
    }
    return NULL;
}

static void shard_remove(struct flight_shard *shard, struct flight *flight)
{
    map_remove(&shard->flights, &flight->node);
    flight->listed = false;
    flight_release(flight); /* the table's reference */
}

void flight_unlist(struct flight *flight)
{
    struct flight_shard *shard = shard_of(flight->owner->shared, flight->key_hash);
    pthread_mutex_lock(&shard->lock);
    if (flight->listed)
        shard_remove(shard, flight);
    pthread_mutex_unlock(&shard->lock);
}

/* Also where the cache had nothing that it could have refused for that reason. */
static bool wants_newer(const struct visit *visit)
{
    const struct cache_control *control = &visit->query.control;
    if ((visit->fwd && strcmp(visit->fwd, "request") == 0) || (control->flags & CC_NO_CACHE) ||
        control->max_age == 0)
        return true;
    return http_find(&visit->x->request.fields, FIELD_PRAGMA) &&
           !http_find(&visit->x->request.fields, FIELD_CACHE_CONTROL);
}

/* May this visit have what that flight brings? Not when an invalidation lies between their beginnings (the
 * fence), nor when the client asked for something newer than its own request. */
static bool joinable(struct flight *flight, const struct visit *visit)
{
    if (forward_authorization(visit))
        return false; /* what others are answered is not for this one */
    if (wants_newer(visit))
        return false;
    if (!cache_deps_hold(visit->pipeline->shared->cache, &flight->answer.deps))
        return false;
    pthread_mutex_lock(&flight->lock);
    bool whole = flight->phase == FLIGHT_WAITING || (flight->phase != FLIGHT_FAILED && flight->keeps);
    pthread_mutex_unlock(&flight->lock);
    return whole;
}

struct flight *flight_join(struct visit *visit, struct cache_found *found, bool *opened)
{
    struct pipeline_shared *shared = visit->pipeline->shared;
    struct flight_shard *shard = shard_of(shared, visit->query.key.hash);
    *opened = false;
    pthread_mutex_lock(&shard->lock);
    struct flight *flight = shard_find(shard, &visit->query.key);
    if (flight && joinable(flight, visit)) {
        if (!flight_attach(flight, visit))
            flight = NULL;
        pthread_mutex_unlock(&shard->lock);
        return flight;
    }
    if (flight)
        shard_remove(shard, flight);
    /* A flight that was missed by a moment has put its answer into the cache before it left the table. */
    cache_find(shared->cache, &visit->query, found);
    if (found->decision == CACHE_HIT) {
        pthread_mutex_unlock(&shard->lock);
        return NULL;
    }
    flight = flight_create(visit);
    if (flight && map_insert(&shard->flights, &flight->node, visit->query.key.hash)) {
        flight_release(flight);
        flight = NULL;
    }
    if (flight) {
        flight->fills = true;
        flight->listed = true; /* the reference made by flight_create is the table's */
        *opened = true;
        flight_retain(flight); /* the caller's */
    }
    pthread_mutex_unlock(&shard->lock);
    return flight;
}
