/* Where jobs come from: the walk through the mapping, and what other threads ask for. */
#include <stdlib.h>

#include "base/log.h"
#include "base/random.h"
#include "webhook/subscribe_internal.h"

enum { PAGE_TENANTS = 16, INBOX_MAX = 10000 };

uint64_t subscribe_apis(const struct subscribe *s, const struct credential *credential)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < s->plan->api_count && i < SUBSCRIBE_APIS; i++) {
        bool named = credential->api_count > 0;
        if (credential_serves(credential, s->plan->apis[i].api) &&
            !slice_equal(s->plan->apis[i].api, SLICE("core")) && (named || s->plan->apis[i].event_count > 0))
            bits |= (uint64_t)1 << i;
    }
    return bits;
}

/* --- the walk ------------------------------------------------------------------------------------------- */

struct page {
    struct subscribe *s;
    size_t count;
    struct slice tenants[PAGE_TENANTS];
};

static void on_tenant(struct slice tenant, size_t count, void *arg)
{
    struct page *page = arg;
    (void)count;
    page->tenants[page->count++] = tenant;
}

/* A view is open. */
static void look_at_tenant(struct subscribe *s, struct slice tenant, enum subscribe_place place)
{
    struct credential_set set;
    if (credential_lookup(s->view, tenant, &set))
        return;
    for (size_t i = 0; i < set.count; i++) {
        uint64_t apis = set.items[i].status == CREDENTIAL_ACTIVE ? subscribe_apis(s, &set.items[i]) : 0;
        struct subscribe_job *job = apis ? subscribe_job(s, tenant, set.items[i].id, SLICE("")) : NULL;
        if (!job)
            continue;
        *(job->place == PLACE_RUNNING ? &job->again : &job->todo) |= apis;
        job->fresh = true;
        bool idle = job->place == PLACE_NONE || job->place == PLACE_WAITING;
        if (place == PLACE_READY && (idle || job->place == PLACE_PARKED || job->place == PLACE_WALK)) {
            job->attempts = 0;
            subscribe_move_to(job, PLACE_READY);
        } else if (idle) {
            subscribe_move_to(job, place);
        }
    }
}

static bool keep_cursor(struct subscribe *s, struct slice last)
{
    char *copy = malloc(last.len + 1);
    if (!copy)
        return false;
    memcpy(copy, last.ptr, last.len);
    free(s->cursor);
    s->cursor = copy;
    s->cursor_len = last.len;
    return true;
}

/* False: it could not be read, now. */
static bool next_page(struct subscribe *s)
{
    struct page page = {.s = s};
    const struct credential_page wanted = {.cursor = slice_of(s->cursor, s->cursor_len),
                                           .limit = PAGE_TENANTS};
    struct slice next = {NULL, 0};
    if (store_view_begin(s->view))
        return false;
    bool good = credential_list_tenants(s->view, &wanted, on_tenant, &page, &next) == 0;
    for (size_t i = 0; i < page.count && good; i++)
        look_at_tenant(s, page.tenants[i], PLACE_WALK);
    s->paged = good && next.len == 0;
    if (good && next.len > 0)
        good = keep_cursor(s, next);
    store_view_end(s->view);
    return good;
}

void subscribe_walk_begin(struct subscribe *s)
{
    free(s->cursor);
    s->cursor = NULL;
    s->cursor_len = 0;
    s->walking = true;
    s->paged = false;
    atomic_store(&s->stats.walking, 1);
}

static void log_walk(const struct subscribe *s)
{
    struct log_line line;
    if (!log_begin(&line, LOG_INFO, "webhooks-synced"))
        return;
    log_int(&line, "looks", (int64_t)atomic_load(&s->stats.looks));
    log_int(&line, "created", (int64_t)atomic_load(&s->stats.created));
    log_int(&line, "pointed", (int64_t)atomic_load(&s->stats.pointed));
    log_int(&line, "deleted", (int64_t)atomic_load(&s->stats.deleted));
    log_int(&line, "failed", (int64_t)atomic_load(&s->stats.failed));
    log_end(&line);
}

/* Spread by a tenth, so that gateways that were started together do not stay together. */
static uint64_t with_jitter(uint64_t ms)
{
    return ms - ms / 10 + random_u64() % (ms / 5 + 1);
}

void subscribe_walk_on(struct subscribe *s)
{
    bool good = true;
    while (s->walking && !s->paged && good && list_empty(&s->walk))
        good = next_page(s);
    if (!s->walking || !s->paged || !list_empty(&s->walk) || s->walking_count > 0)
        return;
    s->walking = false;
    atomic_store(&s->stats.walking, 0);
    s->walk_ms = loop_now(s->loop) + with_jitter(s->interval_ms);
    subscribe_count(&s->stats.walks);
    log_walk(s);
}

/* --- wishes of other threads ---------------------------------------------------------------------------- */

struct wish {
    struct list link;
    bool sync; /* else: an API that is read from */
    size_t tenant_len, id_len, api_len;
    char text[];
};

static void put_wish(struct subscribe *s, bool sync, struct slice tenant, struct slice id, struct slice api)
{
    struct wish *wish = malloc(sizeof *wish + tenant.len + id.len + api.len + 1);
    if (!wish)
        return;
    wish->sync = sync;
    wish->tenant_len = tenant.len;
    wish->id_len = id.len;
    wish->api_len = api.len;
    memcpy(wish->text, tenant.ptr ? tenant.ptr : "", tenant.len);
    memcpy(wish->text + tenant.len, id.ptr ? id.ptr : "", id.len);
    memcpy(wish->text + tenant.len + id.len, api.ptr ? api.ptr : "", api.len);
    pthread_mutex_lock(&s->lock);
    bool room = s->inbox_count < INBOX_MAX, post = room && !s->inbox_posted;
    if (room) {
        list_push_back(&s->inbox, &wish->link);
        s->inbox_count++;
        s->inbox_posted = true;
    }
    pthread_mutex_unlock(&s->lock);
    if (post)
        loop_post(s->loop, &s->inbox_task);
    if (!room) /* who reads asks again; a change is seen by the next walk */
        free(wish);
}

void subscribe_want(struct subscribe *s, struct slice tenant, struct slice credential_id, struct slice api)
{
    put_wish(s, false, tenant, credential_id, api);
}

void subscribe_sync(struct subscribe *s, struct slice tenant)
{
    put_wish(s, true, tenant, SLICE(""), SLICE(""));
}

/* At once, unless somebody has just looked. */
static void look_when_due(struct subscribe_job *job, unsigned api)
{
    const struct subscribe *s = job->owner;
    struct cache_lease lease = {0, 0, 0, 0};
    uint64_t used, now = loop_now(s->loop);
    bool idle = job->place == PLACE_NONE || job->place == PLACE_WAITING;
    subscribe_lease(job, api, &lease, &used);
    if (idle && lease.until_ms > now + s->bound_ms / 2) {
        uint64_t due = lease.until_ms - s->bound_ms / 3;
        if (job->place == PLACE_NONE || due < job->due_ms) {
            job->due_ms = due;
            subscribe_move_to(job, PLACE_WAITING);
        }
        return;
    }
    *(job->place == PLACE_RUNNING ? &job->again : &job->todo) |= (uint64_t)1 << api;
    if (idle || job->place == PLACE_WALK)
        subscribe_move_to(job, PLACE_READY);
}

static void watch(struct subscribe *s, const struct wish *wish)
{
    struct slice tenant = slice_of(wish->text, wish->tenant_len);
    struct slice id = slice_of(wish->text + wish->tenant_len, wish->id_len);
    struct slice api = slice_of(id.ptr + id.len, wish->api_len);
    size_t i = 0;
    while (i < s->plan->api_count && !slice_equal(s->plan->apis[i].api, api))
        i++;
    if (i == s->plan->api_count || i >= SUBSCRIBE_APIS || s->watched_count >= SUBSCRIBE_WATCHED)
        return;
    struct subscribe_job *job = subscribe_job(s, tenant, id, SLICE(""));
    if (!job)
        return;
    s->watched_count += job->watched == 0;
    job->watched |= (uint64_t)1 << i;
    look_when_due(job, (unsigned)i);
}

static void grant(struct subscribe *s, const struct wish *wish)
{
    struct slice tenant = slice_of(wish->text, wish->tenant_len);
    if (!wish->sync) {
        watch(s, wish);
        return;
    }
    subscribe_glance(s);
    if (tenant.len == 0) {
        subscribe_walk_begin(s);
        return;
    }
    if (store_view_begin(s->view))
        return;
    look_at_tenant(s, tenant, PLACE_READY);
    store_view_end(s->view);
}

static void take(struct subscribe *s, struct list *wishes)
{
    list_init(wishes);
    pthread_mutex_lock(&s->lock);
    list_splice(wishes, &s->inbox);
    s->inbox_count = 0;
    s->inbox_posted = false;
    pthread_mutex_unlock(&s->lock);
}

void subscribe_take_inbox(struct subscribe *s)
{
    struct list wishes, *node;
    take(s, &wishes);
    while ((node = list_pop(&wishes))) {
        struct wish *wish = container_of(node, struct wish, link);
        if (s->plan && !s->stopped)
            grant(s, wish);
        free(wish);
    }
}

void subscribe_drop_inbox(struct subscribe *s)
{
    struct list wishes, *node;
    take(s, &wishes);
    while ((node = list_pop(&wishes)))
        free(container_of(node, struct wish, link));
}
