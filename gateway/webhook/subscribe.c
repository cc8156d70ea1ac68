/* The reconciler: whose turn it is, and when again. */
#include "webhook/subscribe.h"

#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/random.h"
#include "webhook/subscribe_internal.h"

enum {
    TICK_MS = 500,
    GLANCE_MS = 10 * 1000,
    COUNT_MS = 5 * 1000,
    PAUSE_MS = 2000,
    PAUSE_MAX_MS = 60 * 1000,
    REMOVAL_PAUSE_MAX_MS = 300 * 1000,
    AFTER_MAX_MS = 600 * 1000,
    ATTEMPTS_LATER = 8,
    ATTEMPTS_NOT_READY = 60,
};

/* --- jobs and their places ------------------------------------------------------------------------------ */

static struct list *list_of(struct subscribe *s, enum subscribe_place place)
{
    switch (place) {
    case PLACE_READY:
        return &s->ready;
    case PLACE_WALK:
        return &s->walk;
    case PLACE_RUNNING:
        return &s->running;
    case PLACE_WAITING:
        return &s->waiting;
    case PLACE_PARKED:
        return &s->parked;
    case PLACE_NONE:
        break;
    }
    return NULL;
}

static void count_place(struct subscribe *s, const struct subscribe_job *job, unsigned step)
{
    if (job->place == PLACE_RUNNING) {
        s->running_count += step;
        s->walking_count += job->walked ? step : 0;
    }
    if (job->place == PLACE_PARKED)
        s->parked_count += step;
}

/* Sorted by due_ms: nearly always at the end. */
static void wait_in_order(struct subscribe *s, struct subscribe_job *job)
{
    struct list *before = s->waiting.prev;
    while (before != &s->waiting && container_of(before, struct subscribe_job, link)->due_ms > job->due_ms)
        before = before->prev;
    list_insert_between(&job->link, before, before->next);
}

void subscribe_move_to(struct subscribe_job *job, enum subscribe_place place)
{
    struct subscribe *s = job->owner;
    struct list *to = list_of(s, place);
    count_place(s, job, (unsigned)-1);
    list_remove(&job->link);
    if (place == PLACE_WALK || place == PLACE_READY)
        job->walked = place == PLACE_WALK;
    job->place = place;
    count_place(s, job, 1);
    if (place == PLACE_WAITING)
        wait_in_order(s, job);
    else if (to)
        list_push_back(to, &job->link);
}

static void free_job(struct subscribe_job *job)
{
    struct subscribe *s = job->owner;
    subscribe_run_cancel(job);
    subscribe_move_to(job, PLACE_NONE);
    map_remove(&s->jobs, &job->node);
    s->removal_count -= job->removal;
    s->watched_count -= job->watched != 0;
    digest_wipe(job->token, sizeof job->token);
    free(job);
}

static uint64_t hash_of(struct slice tenant, struct slice id, struct slice key)
{
    return (digest_hash(tenant) * 3 ^ digest_hash(id)) * 5 ^ digest_hash(key);
}

static bool is_of(const struct subscribe_job *job, struct slice tenant, struct slice id, struct slice key)
{
    return job->removal == (key.len > 0) && slice_equal(job_tenant(job), tenant) &&
           slice_equal(job_id(job), id) &&
           (!job->removal || slice_equal(slice_of(job->key, sizeof job->key), key));
}

struct subscribe_job *subscribe_job(struct subscribe *s, struct slice tenant, struct slice id,
                                    struct slice key)
{
    uint64_t hash = hash_of(tenant, id, key);
    for (struct map_node *node = map_find(&s->jobs, hash); node; node = map_next(node)) {
        struct subscribe_job *job = container_of(node, struct subscribe_job, node);
        if (is_of(job, tenant, id, key))
            return job;
    }
    struct subscribe_job *job = calloc(1, sizeof *job + tenant.len + id.len);
    if (!job || map_insert(&s->jobs, &job->node, hash)) {
        free(job);
        return NULL;
    }
    list_init(&job->link);
    job->owner = s;
    job->removal = key.len > 0;
    s->removal_count += job->removal;
    memcpy(job->key, key.ptr, key.len < sizeof job->key ? key.len : sizeof job->key);
    job->tenant_len = tenant.len;
    job->id_len = id.len;
    memcpy(job->names, tenant.ptr, tenant.len);
    memcpy(job->names + tenant.len, id.ptr, id.len);
    return job;
}

/* --- the end of a turn ---------------------------------------------------------------------------------- */

bool subscribe_lease(const struct subscribe_job *job, unsigned api, struct cache_lease *lease,
                     uint64_t *used_ms)
{
    const struct subscribe *s = job->owner;
    const struct event_plan_api *plan = &s->plan->apis[api];
    return cache_lease_show(s->cache, cache_lease_key(job_id(job), plan->api, plan->version),
                            loop_now(s->loop), lease, used_ms);
}

void subscribe_unwatch(struct subscribe_job *job, uint64_t apis)
{
    if (job->watched && !(job->watched & ~apis))
        job->owner->watched_count--;
    job->watched &= ~apis;
}

/* APIs that nobody has read from for an interval are looked at by the walk alone. */
static void forget_unused(struct subscribe_job *job)
{
    const struct subscribe *s = job->owner;
    uint64_t now = loop_now(s->loop), used, left = 0;
    struct cache_lease lease;
    for (uint64_t rest = job->watched; rest; rest &= rest - 1) {
        unsigned api = (unsigned)__builtin_ctzll(rest);
        if (api < s->plan->api_count && subscribe_lease(job, api, &lease, &used) &&
            used + s->interval_ms > now)
            left |= (uint64_t)1 << api;
    }
    subscribe_unwatch(job, ~left);
}

static void rest(struct subscribe_job *job)
{
    const struct subscribe *s = job->owner;
    job->attempts = 0;
    if (job->removal || !job->watched) {
        free_job(job);
        return;
    }
    job->due_ms = loop_now(s->loop) + s->bound_ms * 2 / 3;
    subscribe_move_to(job, PLACE_WAITING);
}

/* Once: its coverage has run out, and nobody could be asked. */
static void tell_lapse(struct subscribe_job *job)
{
    uint64_t used;
    struct cache_lease lease;
    struct log_line line;
    for (uint64_t left = job->watched; left && !job->lapsed; left &= left - 1) {
        unsigned api = (unsigned)__builtin_ctzll(left);
        if (!subscribe_lease(job, api, &lease, &used) || lease.until_ms > loop_now(job->owner->loop))
            continue;
        job->lapsed = true;
        if (!log_begin(&line, LOG_WARN, "coverage-lapsed"))
            return;
        log_text(&line, "tenant", job_tenant(job));
        log_id(&line, "credential", job_id(job));
        log_text(&line, "api", job->owner->plan->apis[api].api);
        log_cstr(&line, "message", "its subscriptions could not be looked at");
        log_end(&line);
    }
}

static uint64_t pause_of(const struct subscribe_job *job, uint64_t after_ms)
{
    uint64_t cap = job->removal ? REMOVAL_PAUSE_MAX_MS : PAUSE_MAX_MS;
    if (job->watched && cap > job->owner->bound_ms / 3)
        cap = job->owner->bound_ms / 3;
    uint64_t pause = (uint64_t)PAUSE_MS << (job->attempts < 10 ? job->attempts - 1 : 9);
    pause = pause < cap ? pause : cap;
    if (after_ms > pause)
        pause = after_ms < AFTER_MAX_MS ? after_ms : AFTER_MAX_MS;
    return pause + random_u64() % (pause / 4 + 1);
}

static void park(struct subscribe_job *job, enum subscribe_end end, uint64_t after_ms)
{
    struct subscribe *s = job->owner;
    unsigned most = end == END_NOT_READY ? ATTEMPTS_NOT_READY : ATTEMPTS_LATER;
    job->attempts++;
    tell_lapse(job);
    if (s->parked_count >= SUBSCRIBE_PARKED || (job->attempts > most && !job->watched && !job->removal)) {
        rest(job); /* until the next interval */
        return;
    }
    job->due_ms = loop_now(s->loop) + pause_of(job, after_ms);
    subscribe_move_to(job, PLACE_PARKED);
}

void subscribe_ended(struct subscribe_job *job, enum subscribe_end end, uint64_t after_ms)
{
    struct subscribe *s = job->owner;
    job->todo |= job->again;
    job->again = 0;
    switch (end) {
    case END_DONE:
    case END_GIVEN_UP:
        job->lapsed = false;
        if (job->removal)
            subscribe_removed(job);
        if (job->todo) /* asked for meanwhile */
            subscribe_move_to(job, PLACE_READY);
        else
            rest(job);
        break;
    case END_NOT_READY:
    case END_LATER:
        park(job, end, after_ms);
        break;
    }
    subscribe_pump(s);
}

static void on_tick(struct loop_timer *timer);

/* --- turns ---------------------------------------------------------------------------------------------- */

static struct subscribe_job *due_of(struct subscribe *s)
{
    struct list *first = s->waiting.next;
    if (first == &s->waiting)
        return NULL;
    struct subscribe_job *job = container_of(first, struct subscribe_job, link);
    return job->due_ms <= loop_now(s->loop) ? job : NULL;
}

/* Those that wait are due before those that the walk brings. */
static struct subscribe_job *next_job(struct subscribe *s)
{
    if (s->running_count >= SUBSCRIBE_RUNNING)
        return NULL;
    if (!list_empty(&s->ready))
        return container_of(s->ready.next, struct subscribe_job, link);
    struct subscribe_job *job;
    while ((job = due_of(s))) {
        forget_unused(job);
        if (!job->watched) {
            free_job(job);
            continue;
        }
        job->todo |= job->watched;
        job->walked = false;
        return job;
    }
    if (s->walking_count >= SUBSCRIBE_WALKING || s->pace_ms > loop_now(s->loop))
        return NULL;
    subscribe_walk_on(s);
    return list_empty(&s->walk) ? NULL : container_of(s->walk.next, struct subscribe_job, link);
}

void subscribe_pump(struct subscribe *s)
{
    struct subscribe_job *job;
    if (s->pumping || s->stopped || !s->plan)
        return;
    s->pumping = true;
    while ((job = next_job(s))) {
        subscribe_move_to(job, PLACE_RUNNING);
        if (!subscribe_run_start(job))
            park(job, END_LATER, 0);
    }
    s->pumping = false;
    if (s->walking && s->pace_ms > loop_now(s->loop) && s->pace_ms < s->timer.deadline)
        (void)loop_timer_set(s->loop, &s->timer, s->pace_ms, on_tick); /* it is armed: never fails */
}

/* --- gauges --------------------------------------------------------------------------------------------- */

struct gauges {
    uint64_t covered, partly, uncovered;
};

static void count_job(struct map_node *node, void *arg)
{
    const struct subscribe_job *job = container_of(node, struct subscribe_job, node);
    struct gauges *gauges = arg;
    struct cache_lease lease;
    uint64_t used;
    for (uint64_t left = job->watched; left; left &= left - 1) {
        unsigned api = (unsigned)__builtin_ctzll(left);
        uint64_t mask = subscribe_lease(job, api, &lease, &used) ? lease.mask : 0;
        size_t have = (size_t)__builtin_popcountll(mask), all = job->owner->plan->apis[api].entity_count;
        gauges->covered += have == all;
        gauges->partly += have > 0 && have < all;
        gauges->uncovered += have == 0;
    }
}

static void count_coverage(struct subscribe *s)
{
    struct gauges gauges = {0, 0, 0};
    map_each(&s->jobs, count_job, &gauges);
    atomic_store(&s->stats.covered, gauges.covered);
    atomic_store(&s->stats.partly, gauges.partly);
    atomic_store(&s->stats.uncovered, gauges.uncovered);
}

/* --- time ----------------------------------------------------------------------------------------------- */

static void unpark(struct subscribe *s, uint64_t now)
{
    list_each_safe (node, &s->parked) {
        struct subscribe_job *job = container_of(node, struct subscribe_job, link);
        if (job->due_ms <= now)
            subscribe_move_to(job, PLACE_READY);
    }
}

static void do_chores(struct subscribe *s, uint64_t now)
{
    unpark(s, now);
    if (s->glance_ms <= now) {
        s->glance_ms = now + GLANCE_MS;
        subscribe_glance(s);
    }
    if (s->count_ms <= now) {
        s->count_ms = now + COUNT_MS;
        count_coverage(s);
    }
    if (!s->walking && s->walk_ms <= now)
        subscribe_walk_begin(s);
}

static void on_tick(struct loop_timer *timer)
{
    struct subscribe *s = container_of(timer, struct subscribe, timer);
    uint64_t now = loop_now(s->loop);
    if (s->chores_ms <= now) {
        s->chores_ms = now + TICK_MS;
        if (s->plan)
            do_chores(s, now);
    }
    (void)loop_timer_set(s->loop, timer, s->chores_ms, on_tick); /* into the place that it just left */
    subscribe_pump(s);
}

static void run_inbox(struct loop_task *task)
{
    struct subscribe *s = container_of(task, struct subscribe, inbox_task);
    subscribe_take_inbox(s);
    subscribe_pump(s);
}

/* --- options -------------------------------------------------------------------------------------------- */

static void drop_jobs(struct subscribe *s)
{
    struct list *const lists[] = {&s->ready, &s->walk, &s->running, &s->waiting, &s->parked};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        while (!list_empty(lists[i]))
            free_job(container_of(lists[i]->next, struct subscribe_job, link));
}

static bool same_plan(const struct event_plan *a, const struct event_plan *b)
{
    if (!a || !b || a->api_count != b->api_count)
        return a == b;
    for (size_t i = 0; i < a->api_count; i++)
        if (a->apis[i].version != b->apis[i].version)
            return false;
    return true;
}

static bool same_url(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static char *copy_url(const char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    return strndup(url, len);
}

static int use(struct subscribe *s, const struct subscribe_options *options, bool *changed)
{
    char *url = options->public_url ? copy_url(options->public_url) : NULL;
    if (options->public_url && !url)
        return ERR_NOMEM;
    struct event_plan *plan = url ? options->plan : NULL;
    *changed = !same_url(url, s->public_url) || !same_plan(plan, s->plan);
    s->interval_ms = options->interval_ms;
    s->bound_ms = options->bound_ms;
    if (!*changed) { /* jobs go on, and hold on to the plan that they began with */
        free(url);
        return 0;
    }
    drop_jobs(s);
    event_plan_retain(plan);
    event_plan_release(s->plan);
    free(s->public_url);
    s->plan = plan;
    s->public_url = url;
    return 0;
}

int subscribe_configure(struct subscribe *s, const struct subscribe_options *options)
{
    static const struct cache_subject everything;
    bool changed;
    int error = use(s, options, &changed);
    uint64_t soonest = loop_now(s->loop) + s->interval_ms + s->interval_ms / 10;
    if (error)
        return error;
    if (s->walk_ms > soonest)
        s->walk_ms = soonest;
    if (!changed)
        return 0;
    /* What was covered by something else before may have missed an event in between. */
    cache_invalidate(s->cache, &everything);
    s->walking = false;
    s->walk_ms = s->glance_ms = s->chores_ms = 0;
    return 0;
}

/* --- life ----------------------------------------------------------------------------------------------- */

struct subscribe *subscribe_create(struct loop *loop, struct store *store, struct cache *cache,
                                   const struct rollout_door *door, const struct subscribe_options *options)
{
    struct subscribe *s = calloc(1, sizeof *s);
    bool changed;
    if (!s)
        return NULL;
    s->loop = loop;
    s->store = store;
    s->cache = cache;
    s->door = *door;
    s->inbox_task.run = run_inbox;
    map_init(&s->jobs);
    struct list *const lists[] = {&s->ready, &s->walk, &s->running, &s->waiting, &s->parked, &s->inbox};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list_init(lists[i]);
    pthread_mutex_init(&s->lock, NULL);
    s->view = store_view_create(store);
    if (s->view && use(s, options, &changed) == 0 &&
        loop_timer_set(loop, &s->timer, loop_now(loop), on_tick) == 0)
        return s;
    subscribe_destroy(s);
    return NULL;
}

void subscribe_stop(struct subscribe *s)
{
    s->stopped = true;
    loop_timer_clear(s->loop, &s->timer);
    drop_jobs(s);
}

void subscribe_destroy(struct subscribe *s)
{
    if (!s)
        return;
    drop_jobs(s);
    subscribe_drop_inbox(s);
    store_view_destroy(s->view);
    map_deinit(&s->jobs);
    pthread_mutex_destroy(&s->lock);
    event_plan_release(s->plan);
    free(s->public_url);
    free(s->cursor);
    free(s);
}

void subscribe_stats(const struct subscribe *s, struct subscribe_stats *out)
{
#define TAKE(name) out->name = atomic_load_explicit(&s->stats.name, memory_order_relaxed)
    TAKE(looks);
    TAKE(created);
    TAKE(pointed);
    TAKE(deleted);
    TAKE(refused);
    TAKE(not_ready);
    TAKE(failed);
    TAKE(removed);
    TAKE(walks);
    TAKE(covered);
    TAKE(partly);
    TAKE(uncovered);
    TAKE(walking);
#undef TAKE
}
