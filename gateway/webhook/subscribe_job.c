/*
 * One credential's turn, API by API: list what Rollout has, compare, say what is covered, mend, say it again.
 *
 *   next_api -> (page -> page …) -> compare -> create … -> point … -> delete … -> next_api -> end
 */
#include <stdlib.h>

#include "base/digest.h"
#include "base/log.h"
#include "webhook/subscribe_internal.h"

enum { ARENA_MAX = 4 * 1024 * 1024, PATH_MAX_LEN = 2048, NOTHING_PRINT = 1 };

struct subscribe_run {
    struct subscribe_job *job;
    struct subscribe *s;
    struct rollout_call *call;
    struct slice apis;            /* of a removal */
    struct credential credential; /* slices in `kept` */
    struct arena kept;            /* for the whole run */
    struct arena arena;           /* for one API */
    struct subscribe_own own;
    const struct event_plan_api *plan;
    unsigned api;
    uint64_t asked_ms;
    struct subscribe_listed *listed;
    size_t count;
    unsigned pages;
    size_t event, at; /* what is to be done next: events to create, then listed ones */
    uint64_t print;
    bool missing[EVENT_PLAN_EVENTS], have[EVENT_PLAN_EVENTS];
    char next[PATH_MAX_LEN];
};

static void next_api(struct subscribe_run *run);
static void ask_page(struct subscribe_run *run, struct slice next);
static void mend(struct subscribe_run *run);

static const struct event_plan_api no_events;

/* --- life ----------------------------------------------------------------------------------------------- */

static void destroy(struct subscribe_run *run)
{
    run->job->run = NULL;
    arena_reset(&run->arena);
    arena_reset(&run->kept);
    free(run);
}

static void finish(struct subscribe_run *run, enum subscribe_end end, uint64_t after_ms)
{
    struct subscribe_job *job = run->job;
    destroy(run);
    subscribe_ended(job, end, after_ms);
}

void subscribe_run_cancel(struct subscribe_job *job)
{
    if (!job->run)
        return;
    if (job->run->call)
        job->run->s->door.cancel(job->run->call);
    destroy(job->run);
}

/* --- coverage ------------------------------------------------------------------------------------------- */

static unsigned bits_in(uint64_t mask)
{
    return (unsigned)__builtin_popcountll(mask);
}

static void log_coverage(const struct subscribe_run *run, uint64_t before, uint64_t now)
{
    struct log_line line;
    bool lost = (before & ~now) != 0, in_use = run->job->watched >> run->api & 1;
    if (before == now || !log_begin(&line, lost ? LOG_WARN : in_use ? LOG_INFO : LOG_DEBUG, "coverage"))
        return;
    log_text(&line, "tenant", job_tenant(run->job));
    log_id(&line, "credential", job_id(run->job));
    log_text(&line, "api", run->plan->api);
    log_int(&line, "entities", (int64_t)run->plan->entity_count);
    log_int(&line, "covered", bits_in(now));
    log_end(&line);
}

static void put_lease(struct subscribe_run *run, uint64_t mask, uint64_t until_ms, uint64_t ask_ms)
{
    const struct subscribe *s = run->s;
    if (run->job->removal || run->plan->event_count == 0)
        return;
    struct slice id = job_id(run->job);
    const struct cache_subject subject = {id, run->plan->api, {NULL, 0}, {NULL, 0}};
    const struct cache_lease lease = {mask, run->print | NOTHING_PRINT, until_ms, ask_ms};
    uint64_t key = cache_lease_key(id, run->plan->api, run->plan->version);
    log_coverage(run, cache_lease_set(s->cache, key, &subject, &lease, loop_now(s->loop)), mask);
}

/* What is known by the list that was asked for at asked_ms, and by what was done since. Nobody looks after it
 * before somebody reads by it. */
static void set_lease(struct subscribe_run *run, uint64_t mask)
{
    uint64_t bound = run->s->bound_ms, watched = run->job->watched >> run->api & 1;
    put_lease(run, mask, run->asked_ms + bound, watched ? run->asked_ms + bound / 4 * 3 : 0);
}

/* It is not there, or does not serve this: as long as that is so nobody reads by it. */
static void lose(struct subscribe_run *run)
{
    run->print = 0;
    put_lease(run, 0, run->asked_ms + run->s->bound_ms, 0);
    subscribe_unwatch(run->job, (uint64_t)1 << run->api);
}

/* Nothing is covered, and nobody need ask before the next interval. */
static void give_up(struct subscribe_run *run)
{
    uint64_t later = run->asked_ms + run->s->interval_ms;
    run->print = 0;
    put_lease(run, 0, later, later);
    if (!run->job->removal)
        subscribe_unwatch(run->job, (uint64_t)1 << run->api);
}

/* Ids and what they are for, in any order. */
static void add_print(struct subscribe_run *run, struct slice id, size_t event)
{
    run->have[event] = true;
    run->print += digest_hash(id) * (2 * event + 3) * 2;
}

/* --- answers -------------------------------------------------------------------------------------------- */

enum verdict { GOOD, REFUSED, FORBIDDEN, NOT_READY, LATER };

static enum verdict judge(const struct rollout_answer *answer)
{
    int status = answer->status;
    if (status >= 200 && status < 300)
        return GOOD;
    if (status == 0 || status == 429 || status >= 500)
        return LATER;
    if (answer->own || status == 401 || status == 403)
        return FORBIDDEN; /* the gateway's own refusals: it is not mapped any more */
    return status == 409 ? NOT_READY : REFUSED;
}

/* To the limits, which count that themselves: nothing is wrong. */
static bool gave_way(const struct rollout_answer *answer)
{
    return answer->own && answer->status == 429;
}

/* True: the run is over, or goes on with the next API. */
static bool ends_here(struct subscribe_run *run, enum verdict verdict, const struct rollout_answer *answer)
{
    struct subscribe *s = run->s;
    switch (verdict) {
    case GOOD:
    case REFUSED:
        return false;
    case FORBIDDEN:
        subscribe_count(&s->stats.failed);
        give_up(run);
        next_api(run);
        return true;
    case NOT_READY:
    case LATER:
        if (verdict == NOT_READY)
            subscribe_count(&s->stats.not_ready);
        else if (!gave_way(answer))
            subscribe_count(&s->stats.failed);
        run->job->todo |= (uint64_t)1 << run->api;
        finish(run, verdict == LATER ? END_LATER : END_NOT_READY, answer->retry_after_s * 1000);
        return true;
    }
    return false;
}

/* The walk is in no hurry: at most a thousand calls a second, whatever the limits would let through. */
static void pace(struct subscribe *s)
{
    uint64_t now = loop_now(s->loop);
    if (s->pace_ms + SUBSCRIBE_HEADWAY_MS < now)
        s->pace_ms = now - SUBSCRIBE_HEADWAY_MS;
    s->pace_ms++;
}

static void call(struct subscribe_run *run, enum method method, struct slice path, struct slice body,
                 void (*on_answer)(void *user, const struct rollout_answer *answer))
{
    const struct rollout_request request = {
        .method = method,
        .tenant = job_tenant(run->job),
        .api = run->plan->api,
        .credential_id = job_id(run->job),
        .path = path,
        .body = body,
        .background = true,
    };
    if (run->job->walked)
        pace(run->s);
    run->call = run->s->door.start(run->s->door.owner, &request, run, on_answer);
    if (run->call)
        return;
    run->job->todo |= (uint64_t)1 << run->api;
    finish(run, END_LATER, 0);
}

/* --- mending -------------------------------------------------------------------------------------------- */

static bool was_refused(const struct subscribe_job *job, unsigned api, size_t event)
{
    for (unsigned i = 0; i < job->refused_count; i++)
        if (job->refused[i] == (api << 8 | event))
            return true;
    return job->refused_count == SUBSCRIBE_REFUSED;
}

static void note_refusal(struct subscribe_run *run, size_t event, int status)
{
    struct subscribe_job *job = run->job;
    struct log_line line;
    subscribe_count(&run->s->stats.refused);
    if (job->refused_count < SUBSCRIBE_REFUSED)
        job->refused[job->refused_count++] = (uint16_t)(run->api << 8 | event);
    if (!log_begin(&line, job->watched ? LOG_WARN : LOG_DEBUG, "subscription-refused"))
        return;
    log_id(&line, "credential", job_id(job));
    log_text(&line, "api", run->plan->api);
    log_text(&line, "name", run->plan->events[event].name);
    log_int(&line, "status", status);
    log_end(&line);
}

static void on_created_one(const struct rollout_webhook *webhook, void *arg)
{
    struct subscribe_run *run = arg;
    if (webhook->active && !webhook->filtered)
        add_print(run, webhook->id, run->event);
}

/* Who gets further is told to wait as after a first try: only turns without any success are put off longer
 * and longer. */
static void get_further(struct subscribe_run *run, _Atomic uint64_t *counter)
{
    subscribe_count(counter);
    run->job->attempts = 0;
}

static void on_created(void *user, const struct rollout_answer *answer)
{
    struct subscribe_run *run = user;
    enum verdict verdict = judge(answer);
    run->call = NULL;
    if (ends_here(run, verdict, answer))
        return;
    if (verdict == GOOD) {
        get_further(run, &run->s->stats.created);
        if (rollout_webhook_read(answer->body, on_created_one, run))
            log_message(LOG_DEBUG, "subscription", "Rollout's answer tells no id: seen with the next look");
    }
    if (verdict == REFUSED || !run->have[run->event])
        note_refusal(run, run->event, answer->status);
    run->event++;
    mend(run);
}

static void create(struct subscribe_run *run)
{
    char storage[SUBSCRIBE_URL_MAX + EVENT_TEXT_MAX * 6 + 64];
    struct buf body;
    buf_init_fixed(&body, storage, sizeof storage);
    if (rollout_webhook_body(&body, run->own.url, run->plan->events[run->event].name))
        finish(run, END_GIVEN_UP, 0);
    else
        call(run, METHOD_POST, SLICE("/webhooks"), buf_slice(&body), on_created);
}

/* It leads here from now on; or it cannot be changed, and is replaced. */
static void on_pointed(void *user, const struct rollout_answer *answer)
{
    struct subscribe_run *run = user;
    struct subscribe_listed *one = &run->listed[run->at];
    enum verdict verdict = judge(answer);
    run->call = NULL;
    if (ends_here(run, verdict, answer))
        return;
    if (verdict == GOOD) {
        get_further(run, &run->s->stats.pointed);
        add_print(run, one->id, (size_t)one->event);
        run->at++;
    } else {
        one->move = SUBSCRIBE_DELETE;
        run->missing[one->event] = true;
        run->event = (size_t)one->event;
    }
    mend(run);
}

static void on_deleted(void *user, const struct rollout_answer *answer)
{
    struct subscribe_run *run = user;
    enum verdict verdict = judge(answer);
    run->call = NULL;
    if (verdict == REFUSED && answer->status != 404)
        subscribe_count(&run->s->stats.failed);
    else if (verdict == GOOD || verdict == REFUSED)
        get_further(run, &run->s->stats.deleted);
    else if (ends_here(run, verdict, answer))
        return;
    run->at++;
    mend(run);
}

static void change_listed(struct subscribe_run *run, const struct subscribe_listed *one)
{
    char path_storage[PATH_MAX_LEN], storage[SUBSCRIBE_URL_MAX + 64];
    struct buf path, body;
    bool point = one->move == SUBSCRIBE_POINT;
    buf_init_fixed(&path, path_storage, sizeof path_storage);
    buf_init_fixed(&body, storage, sizeof storage);
    int error = rollout_webhook_path(&path, one->id);
    if (!error && point)
        error = rollout_webhook_body(&body, run->own.url, SLICE(""));
    if (error)
        finish(run, END_GIVEN_UP, 0);
    else
        call(run, point ? METHOD_PUT : METHOD_DELETE, buf_slice(&path), buf_slice(&body),
             point ? on_pointed : on_deleted);
}

/* What is missing comes first, what is too much goes last: no event falls in between. */
static void mend(struct subscribe_run *run)
{
    for (; run->event < run->plan->event_count; run->event++) {
        if (run->missing[run->event] && !run->have[run->event] &&
            !was_refused(run->job, run->api, run->event)) {
            create(run);
            return;
        }
    }
    for (; run->at < run->count; run->at++) {
        const struct subscribe_listed *one = &run->listed[run->at];
        if (one->move == SUBSCRIBE_POINT || one->move == SUBSCRIBE_DELETE) {
            change_listed(run, one);
            return;
        }
    }
    set_lease(run, subscribe_mask(run->plan, run->have));
    next_api(run);
}

/* --- looking -------------------------------------------------------------------------------------------- */

static void compare(struct subscribe_run *run)
{
    subscribe_decide(&run->own, run->listed, run->count, run->missing, run->plan->event_count);
    subscribe_count(&run->s->stats.looks);
    for (size_t i = 0; i < run->count; i++)
        if (run->listed[i].move == SUBSCRIBE_KEEP)
            add_print(run, run->listed[i].id, (size_t)run->listed[i].event);
    set_lease(run, subscribe_mask(run->plan, run->have));
    mend(run);
}

static bool on_listed(const struct rollout_webhook *webhook, void *arg)
{
    struct subscribe_run *run = arg;
    if (run->count == SUBSCRIBE_LISTED)
        return false;
    struct subscribe_listed *one = &run->listed[run->count];
    *one = (struct subscribe_listed){
        .id = arena_copy(&run->arena, webhook->id),
        .url = arena_copy(&run->arena, webhook->url),
        .event = event_plan_find(run->plan, webhook->event),
        .active = webhook->active,
        .filtered = webhook->filtered,
    };
    run->count++;
    return one->id.ptr && one->url.ptr;
}

static void on_page(void *user, const struct rollout_answer *answer)
{
    struct subscribe_run *run = user;
    enum verdict verdict = judge(answer);
    struct buf next;
    run->call = NULL;
    if (ends_here(run, verdict, answer))
        return;
    buf_init_fixed(&next, run->next, sizeof run->next);
    int error = verdict == GOOD ? rollout_webhooks_read(answer->body, on_listed, run, &next) : ERR_NOTFOUND;
    if (error || (next.len > 0 && run->pages >= SUBSCRIBE_PAGES)) {
        if (error != ERR_NOTFOUND)
            log_message(LOG_WARN, "subscriptions", "Rollout's list of webhooks cannot be taken: %s",
                        error_text(error ? error : ERR_LIMIT));
        subscribe_count(&run->s->stats.failed);
        give_up(run);
        next_api(run);
    } else if (next.len > 0) {
        ask_page(run, buf_slice(&next));
    } else {
        compare(run);
    }
}

static void ask_page(struct subscribe_run *run, struct slice next)
{
    char storage[PATH_MAX_LEN + 16];
    struct buf path;
    buf_init_fixed(&path, storage, sizeof storage);
    run->pages++;
    if (rollout_webhooks_path(&path, next))
        finish(run, END_GIVEN_UP, 0);
    else
        call(run, METHOD_GET, buf_slice(&path), SLICE(""), on_page);
}

/* --- API by API ----------------------------------------------------------------------------------------- */

static bool begin_api(struct subscribe_run *run, unsigned api)
{
    arena_reset(&run->arena);
    run->api = api;
    run->plan = &run->s->plan->apis[api];
    if (run->job->removal) { /* nothing is wanted any more */
        struct event_plan_api *none = arena_alloc(&run->arena, sizeof *none);
        if (!none)
            return false;
        *none = no_events;
        none->api = run->plan->api;
        run->plan = none;
    }
    run->asked_ms = loop_now(run->s->loop);
    run->listed = arena_alloc(&run->arena, SUBSCRIBE_LISTED * sizeof *run->listed);
    run->count = run->event = run->at = 0;
    run->pages = 0;
    run->print = 0;
    memset(run->have, 0, sizeof run->have);
    return run->listed != NULL;
}

static void next_api(struct subscribe_run *run)
{
    struct subscribe_job *job = run->job;
    while (job->todo) {
        unsigned api = (unsigned)__builtin_ctzll(job->todo);
        job->todo &= job->todo - 1;
        if (api >= run->s->plan->api_count)
            continue;
        if (!begin_api(run, api)) {
            finish(run, END_LATER, 0);
            return;
        }
        if (job->removal || credential_serves(&run->credential, run->plan->api)) {
            ask_page(run, SLICE(""));
            return;
        }
        lose(run);
    }
    finish(run, END_DONE, 0);
}

/* --- the beginning -------------------------------------------------------------------------------------- */

/* Whose it is, and what its URL is. ERR_NOTFOUND: it is not there any more. */
static int read_mapping(struct subscribe_run *run, struct slice *token)
{
    struct subscribe *s = run->s;
    struct credential *credential = &run->credential;
    int error = store_view_begin(s->view);
    if (error)
        return error;
    error = credential_find(s->view, job_tenant(run->job), job_id(run->job), credential);
    if (!error && credential->status != CREDENTIAL_ACTIVE)
        error = ERR_NOTFOUND;
    for (size_t i = 0; !error && i < credential->api_count; i++) {
        credential->apis[i] = arena_copy(&run->kept, credential->apis[i]);
        error = credential->apis[i].ptr ? 0 : ERR_NOMEM;
    }
    if (!error) {
        *token = arena_copy(&run->kept, credential->webhook_token);
        error = token->ptr ? 0 : ERR_NOMEM;
    }
    store_view_end(s->view);
    return error;
}

static int prepare(struct subscribe_run *run)
{
    struct slice token = slice_of(run->job->token, sizeof run->job->token);
    int error = run->job->removal ? 0 : read_mapping(run, &token);
    if (error)
        return error;
    const char *base = run->s->public_url;
    struct subscribe_own *own = &run->own;
    own->prefix = arena_format(&run->kept, "%s/webhooks/rollout/", base);
    own->path = arena_format(&run->kept, "/webhooks/rollout/%.*s", SLICE_ARG(token));
    own->url = arena_format(&run->kept, "%s/webhooks/rollout/%.*s", base, SLICE_ARG(token));
    if (run->job->removal) /* another credential's may be there under the same id */
        own->prefix = own->url;
    return own->prefix.ptr && own->path.ptr && own->url.ptr ? 0 : ERR_NOMEM;
}

static void lose_all(struct subscribe_run *run)
{
    struct subscribe_job *job = run->job;
    job->todo |= job->watched;
    while (job->todo) {
        unsigned api = (unsigned)__builtin_ctzll(job->todo);
        job->todo &= job->todo - 1;
        if (api >= run->s->plan->api_count)
            continue;
        run->api = api;
        run->plan = &run->s->plan->apis[api];
        run->asked_ms = loop_now(run->s->loop);
        lose(run);
    }
}

bool subscribe_run_start(struct subscribe_job *job)
{
    struct subscribe_run *run = calloc(1, sizeof *run);
    if (!run)
        return false;
    run->job = job;
    run->s = job->owner;
    job->run = run;
    arena_init(&run->kept, NULL, 0, ARENA_MAX);
    arena_init(&run->arena, NULL, 0, ARENA_MAX);
    if (job->fresh)
        job->refused_count = 0;
    job->fresh = false;
    int error = prepare(run);
    if (error == ERR_NOTFOUND) {
        lose_all(run);
        finish(run, END_GIVEN_UP, 0);
    } else if (error) {
        finish(run, END_LATER, 0);
    } else {
        next_api(run);
    }
    return true;
}
