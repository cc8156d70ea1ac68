/* The walk of a request: caller -> route -> credential -> cache -> flight or answer (house.md). */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "credential/credential.h"
#include "internal.h"

/* --- life
 * ---------------------------------------------------------------------------------------------------------
 */

struct pipeline_shared *pipeline_shared_create(struct cache *cache, struct token_ring *tokens,
                                               struct store *store, struct limit *limit, int caller_table,
                                               int idempotency_table)
{
    struct pipeline_shared *shared = calloc(1, sizeof *shared);
    if (!shared)
        return NULL;
    shared->cache = cache;
    shared->tokens = tokens;
    shared->store = store;
    shared->limit = limit;
    shared->caller_table = caller_table;
    shared->hosts = upstream_hosts_create();
    if (!shared->hosts || !once_open(&shared->once, idempotency_table) || !ready_open(&shared->ready)) {
        upstream_hosts_destroy(shared->hosts);
        free(shared);
        return NULL;
    }
    for (int i = 0; i < FLIGHT_SHARDS; i++) {
        pthread_mutex_init(&shared->shards[i].lock, NULL);
        map_init(&shared->shards[i].flights);
    }
    return shared;
}

void pipeline_shared_destroy(struct pipeline_shared *shared)
{
    if (!shared)
        return;
    for (int i = 0; i < FLIGHT_SHARDS; i++) {
        assert(shared->shards[i].flights.count == 0);
        map_deinit(&shared->shards[i].flights);
        pthread_mutex_destroy(&shared->shards[i].lock);
    }
    once_close(&shared->once);
    ready_close(&shared->ready);
    upstream_hosts_destroy(shared->hosts);
    free(shared);
}

static void use_settings(struct pipeline *pipeline, struct pipeline_settings *settings)
{
    for (size_t i = 0; i < settings->api_count; i++)
        settings->apis[i].host = upstream_host_find(pipeline->shared->hosts, &settings->apis[i].origin);
    pipeline->settings = settings;
}

struct pipeline *pipeline_create(struct loop *loop, struct pipeline_shared *shared, struct upstream *upstream,
                                 struct pipeline_settings *settings)
{
    struct pipeline *pipeline = calloc(1, sizeof *pipeline);
    if (!pipeline)
        return NULL;
    pipeline->loop = loop;
    pipeline->shared = shared;
    pipeline->upstream = upstream;
    use_settings(pipeline, settings);
    list_init(&pipeline->air);
    list_init(&pipeline->canaries);
    pipeline->view = store_view_create(shared->store);
    pipeline->desk = caller_desk_create(shared->store, shared->caller_table);
    if (!pipeline->view || !pipeline->desk || !turns_open(pipeline)) {
        caller_desk_destroy(pipeline->desk);
        store_view_destroy(pipeline->view);
        free(pipeline);
        return NULL;
    }
    once_clean_start(pipeline);
    return pipeline;
}

void pipeline_configure(struct pipeline *pipeline, struct pipeline_settings *settings)
{
    pipeline_settings_release(pipeline->settings);
    use_settings(pipeline, settings);
    turns_pump(pipeline);
}

void pipeline_stop(struct pipeline *pipeline)
{
    once_clean_stop(pipeline);
    canary_stop(pipeline);
    list_each_safe (node, &pipeline->air)
        fetch_cancel(container_of(node, struct flight, in_air));
}

void pipeline_destroy(struct pipeline *pipeline)
{
    if (!pipeline)
        return;
    turns_close(pipeline);
    caller_desk_destroy(pipeline->desk);
    store_view_destroy(pipeline->view);
    pipeline_settings_release(pipeline->settings);
    free(pipeline);
}

struct upstream_hosts *pipeline_hosts(const struct pipeline *pipeline)
{
    return pipeline->shared->hosts;
}

void pipeline_serve(struct pipeline *pipeline, const struct pipeline_hooks *hooks)
{
    pipeline->hooks = *hooks;
}

void pipeline_watch(struct pipeline *pipeline, const struct pipeline_watcher *watcher)
{
    pipeline->watcher = *watcher;
}

unsigned pipeline_active(const struct pipeline *pipeline)
{
    return pipeline->active;
}

/* --- parting
 * --------------------------------------------------------------------------------------------------------
 */

/* The visit has nothing to do with the exchange any more. */
static void leave(struct visit *visit)
{
    discover_clear(visit);
    caller_release(visit->caller);
    pipeline_settings_release(visit->settings);
    visit->pipeline->active--;
}

/* Without a visit (no memory for one) nothing is counted. */
static void on_done_bare(struct server_exchange *x, enum server_outcome outcome)
{
    (void)x;
    (void)outcome;
}

/* --- route
 * ----------------------------------------------------------------------------------------------------------
 */

static void refuse(struct visit *visit, enum problem problem, const char *detail)
{
    visit->outcome = PIPELINE_REFUSED;
    answer_problem(visit, problem, detail);
}

/* To the rooms beside this one: from now on the exchange is theirs, its caller was asked for here. */
static void hand_over(struct visit *visit, bool link)
{
    const struct pipeline_hooks *hooks = &visit->pipeline->hooks;
    struct slice tenant = visit->route.tenant, path = visit->route.path;
    struct server_exchange *x = visit->x;
    struct slice caller = {NULL, 0};
    if (!(link ? hooks->on_link != NULL : hooks->on_events != NULL)) {
        refuse(visit, PROBLEM_NOT_FOUND, "not served here");
        return;
    }
    if (!step_allowed(visit, link ? SLICE("link") : SLICE("events")))
        return;
    if (visit->caller)
        caller = arena_copy(&x->arena, visit->caller->spec.name);
    leave(visit);
    x->user = NULL;
    x->on_body = x->on_drained = NULL;
    x->on_done = on_done_bare;
    if (link)
        hooks->on_link(hooks->owner, x, tenant, path, caller);
    else
        hooks->on_events(hooks->owner, x, tenant);
}

static bool step_route(struct visit *visit)
{
    const struct pipeline_settings *s = visit->settings;
    struct route *route = &visit->route;
    enum route_outcome outcome =
        route_find(&visit->x->request, s->names, s->api_count, &visit->x->arena, route);
    switch (outcome) {
    case ROUTE_OK:
        visit->api = &s->apis[route->api];
        return true;
    case ROUTE_LINK:
    case ROUTE_EVENTS:
        hand_over(visit, outcome == ROUTE_LINK);
        return false;
    case ROUTE_BAD_TARGET:
    case ROUTE_BAD_TENANT:
        refuse(visit, PROBLEM_BAD_REQUEST, route->why);
        return false;
    case ROUTE_NOMEM:
        refuse(visit, PROBLEM_OVERLOADED, "out of memory");
        return false;
    case ROUTE_TENANT_REQUIRED:
        refuse(visit, PROBLEM_TENANT_REQUIRED, "name the tenant: X-Tenant-Id, or /t/{tenant}/{api}/…");
        return false;
    case ROUTE_UNKNOWN_API:
        refuse(visit, PROBLEM_API_UNKNOWN, "the first path segment names no configured API");
        return false;
    }
    return false;
}

/* --- credential
 * ------------------------------------------------------------------------------------------------------- */

/* "choices": what the caller can name in X-Rollout-Credential-Id or X-App-Key. */
static void refuse_ambiguous(struct visit *visit, const struct credential_set *set,
                             const struct credential_selector *selector)
{
    char storage[8192];
    struct buf extra;
    buf_init_fixed(&extra, storage, sizeof storage - 1);
    buf_append_text(&extra, ",\"choices\":[");
    const char *comma = "";
    for (size_t i = 0; i < set->count; i++) {
        if (!credential_fits(&set->items[i], selector))
            continue;
        buf_append_text(&extra, comma);
        buf_append_text(&extra, "{\"credential_id\":\"");
        buf_append_json(&extra, set->items[i].id);
        buf_append_text(&extra, "\",\"app_key\":\"");
        buf_append_json(&extra, set->items[i].app_key);
        buf_append_text(&extra, "\"}");
        comma = ",";
    }
    buf_append_text(&extra, "]");
    storage[extra.failed ? 0 : extra.len] = '\0';
    visit->outcome = PIPELINE_REFUSED;
    answer_problem_with(visit, PROBLEM_CREDENTIAL_AMBIGUOUS, storage,
                        "choose one with X-App-Key or X-Rollout-Credential-Id, or mark one as default");
}

static bool take_credential(struct visit *visit, const struct credential *credential)
{
    visit->credential_id = arena_copy(&visit->x->arena, credential->id);
    visit->app_key = arena_copy(&visit->x->arena, credential->app_key);
    if (visit->credential_id.ptr && visit->app_key.ptr)
        return true;
    refuse(visit, PROBLEM_OVERLOADED, "out of memory");
    return false;
}

static bool choose(struct visit *visit, const struct credential_set *set)
{
    const struct http_fields *fields = &visit->x->request.fields;
    struct credential_selector selector = {
        .api = visit->api->name,
        .app_key = http_value(fields, FIELD_X_APP_KEY),
        .id = http_value(fields, FIELD_X_ROLLOUT_CREDENTIAL_ID),
    };
    size_t index = 0;
    switch (credential_choose(set, &selector, &index)) {
    case CREDENTIAL_CHOSEN:
        return take_credential(visit, &set->items[index]);
    case CREDENTIAL_NONE:
        if (discover_start(visit))
            return false;
        refuse(visit, PROBLEM_CREDENTIAL_NOT_FOUND, discover_outcome(visit));
        return false;
    case CREDENTIAL_AMBIGUOUS:
        refuse_ambiguous(visit, set, &selector);
        return false;
    case CREDENTIAL_FOREIGN:
        if (discover_start(visit))
            return false;
        refuse(visit, PROBLEM_CREDENTIAL_FORBIDDEN,
               "X-Rollout-Credential-Id names no credential of this tenant");
        return false;
    }
    return false;
}

static bool step_credential(struct visit *visit)
{
    if (visit->api->is_core)
        return true;
    if (visit->insider && !visit->insider->of_client)
        visit->credential_id = http_value(&visit->x->request.fields, FIELD_X_ROLLOUT_CREDENTIAL_ID);
    if (visit->credential_id.len >
        0) /* the gateway knows itself; it may be one that is not mapped any more */
        return true;
    struct store_view *view = visit->pipeline->view;
    struct credential_set set;
    bool good = false;
    int error = store_view_begin(view);
    if (!error) {
        error = credential_lookup(view, visit->route.tenant, &set);
        good = !error && choose(visit, &set);
        store_view_end(view);
    }
    if (error)
        refuse(visit, PROBLEM_STORE_UNAVAILABLE, "the mapping cannot be read");
    return good;
}

/* --- cache
 * --------------------------------------------------------------------------------------------------------------
 */

static bool is_credentials(const struct visit *visit)
{
    return inquiry_is_struck(visit->api, &visit->route);
}

static bool prepare_query(struct visit *visit)
{
    struct inquiry inquiry = {.request = &visit->x->request,
                              .route = &visit->route,
                              .api = visit->api,
                              .credential_id = visit->credential_id};
    if (!inquiry_make(visit->pipeline, visit->settings, &visit->x->arena, &inquiry))
        return false;
    visit->subject = inquiry.subject;
    visit->query = inquiry.query;
    visit->settling = inquiry.settling;
    visit->cacheable = inquiry.cacheable;
    return true;
}

static void answer_hit(struct visit *visit, const struct cache_found *found)
{
    visit->outcome = found->decision == CACHE_HIT ? PIPELINE_HIT : PIPELINE_STALE;
    visit->fwd = NULL;
    visit->detail = found->decision == CACHE_HIT ? found->detail : "stale";
    visit->ttl_ms = found->ttl_ms;
    canary_hit(visit, found);
    answer_entry(visit, found->entry, found->age_ms);
    if (found->background)
        visit_refresh(visit);
}

static void step_cache(struct visit *visit)
{
    struct cache_found found;
    cache_find(visit->pipeline->shared->cache, &visit->query, &found);
    if (found.decision == CACHE_MISS)
        cache_warm_find(visit->pipeline->shared->cache, &visit->query, clock_wall_ms(), &found);
    visit->entry = found.entry; /* the visit's until on_done */
    switch (found.decision) {
    case CACHE_HIT:
    case CACHE_STALE:
        answer_hit(visit, &found);
        return;
    case CACHE_MISS:
    case CACHE_REVALIDATE:
        break;
    }
    visit->fwd = found.fwd ? found.fwd : "uri-miss";
    visit->detail = found.detail;
    if (visit->query.control.flags & CC_ONLY_IF_CACHED) {
        visit->outcome = PIPELINE_MISS;
        answer_problem(visit, PROBLEM_CACHE_ONLY_MISS,
                       "only-if-cached, and there is no answer that may be used");
        return;
    }
    visit->outcome = PIPELINE_MISS;
    visit_fetch(visit);
}

static void step_bypass(struct visit *visit)
{
    enum method method = visit->x->request.method;
    visit->outcome = PIPELINE_BYPASS;
    visit->fwd = method == METHOD_GET || method == METHOD_HEAD ? "bypass" : "method";
    visit->detail = visit->settling ? "write-settle" : NULL;
    if (visit->query.control.flags & CC_ONLY_IF_CACHED) {
        answer_problem(visit, PROBLEM_CACHE_ONLY_MISS,
                       "only-if-cached, and this request is not answered from the cache");
        return;
    }
    if (once_asked(visit)) {
        once_start(visit);
        return;
    }
    if (!method_is_safe(method))
        invalidate_write(visit->pipeline, visit->settings, &visit->subject, method);
    visit_fetch(visit);
}

static void purge(struct visit *visit)
{
    char text[64];
    unsigned raised = cache_invalidate(visit->pipeline->shared->cache, &visit->subject);
    int len = snprintf(text, sizeof text, "{\"generations\":%u}\n", raised);
    visit->outcome = PIPELINE_BYPASS;
    visit->begun = true;
    server_reply(visit->x, 200, "application/json",
                 "Cache-Status: rollout-gateway; fwd=method; detail=purged\r\nVia: 1.1 "
                 "rollout-gateway\r\nCache-Control: private\r\n",
                 slice_of(text, (size_t)len));
}

/* includeData would ask Rollout for its customers' upstream secrets: it never goes up (contract 3). */
static bool strip_include_data(struct visit *visit)
{
    if (!is_credentials(visit) || !visit->route.has_query)
        return true;
    visit->route.query = route_query_without(&visit->x->arena, visit->route.query, SLICE("includeData"));
    visit->route.has_query = visit->route.query.len > 0;
    return visit->route.query.ptr != NULL;
}

/* --- the handler
 * ----------------------------------------------------------------------------------------------------------
 */

static void on_done(struct server_exchange *x, enum server_outcome outcome)
{
    struct visit *visit = x->user;
    access_done(visit, outcome);
    ready_clear(visit);
    flight_detach(visit);
    once_done(visit);
    fanout_clear(visit);
    loop_timer_clear(visit->pipeline->loop, &visit->patience);
    if (visit->entry)
        cache_release(visit->entry);
    if (visit->sending_entry)
        cache_release(visit->sending_entry);
    if (visit->sending_flight)
        flight_release(visit->sending_flight);
    leave(visit);
}

static void on_drained(struct server_exchange *x)
{
    struct visit *visit = x->user;
    if (visit->waiter && visit->begun)
        visit_stream(visit);
}

static void on_body(struct server_exchange *x)
{
    struct visit *visit = x->user;
    if (visit->waiter && visit->waiter->flight->sender == visit)
        fetch_upload(visit->waiter->flight);
}

static bool too_large(const struct visit *visit)
{
    const struct http_request *request = &visit->x->request;
    return request->framing == FRAMING_LENGTH && request->length > visit->settings->body_max;
}

void visit_walk_on(struct visit *visit)
{
    if (fanout_takes(visit) || !step_credential(visit))
        return;
    if (!strip_include_data(visit) || !prepare_query(visit)) {
        refuse(visit, PROBLEM_OVERLOADED, "out of memory");
        return;
    }
    visit->head_only = visit->x->request.method == METHOD_HEAD;
    if (visit->x->request.method == METHOD_PURGE)
        purge(visit);
    else if (too_large(visit))
        refuse(visit, PROBLEM_PAYLOAD_TOO_LARGE, "the body is larger than sizes.request_body");
    else if (visit->cacheable)
        step_cache(visit);
    else
        step_bypass(visit);
}

void visit_walk_again(struct visit *visit)
{
    if (visit->entry)
        cache_release(visit->entry);
    visit->entry = NULL;
    visit->fwd = visit->detail = NULL;
    visit->opener = visit->collapsed = visit->stored = visit->linked = false;
    visit->upstream_status = 0;
    visit->retry_after_s = 0;
    visit->limits = visit->link = (struct slice){NULL, 0};
    if (visit->ask)
        once_again(visit);
    else
        visit_walk_on(visit);
}

/* Whose request it is a part of: keys of theirs are theirs alone (once.c). Copied, as the maker may leave. */
static bool step_insider(struct visit *visit)
{
    struct server_exchange *x = visit->x;
    if (!visit->insider || visit->insider->peer.len == 0)
        return true;
    x->peer_name = visit->inside.peer = arena_copy(&x->arena, visit->insider->peer);
    if (x->peer_name.ptr)
        return true;
    refuse(visit, PROBLEM_OVERLOADED, "out of memory");
    return false;
}

static void walk(struct visit *visit)
{
    if (step_insider(visit) && step_caller(visit) && step_route(visit) &&
        step_allowed(visit, visit->api->name))
        visit_walk_on(visit);
}

static void on_request(void *owner, struct server_exchange *x)
{
    struct pipeline *pipeline = owner;
    const struct pipeline_hooks *hooks = &pipeline->hooks;
    if (x->request.method == METHOD_OPTIONS && !x->from && hooks->on_preflight &&
        hooks->on_preflight(hooks->owner, x))
        return;
    struct visit *visit = arena_zalloc(&x->arena, sizeof *visit);
    if (!visit) {
        x->on_done = on_done_bare;
        server_problem(x, PROBLEM_OVERLOADED, "", "", "out of memory");
        return;
    }
    visit->pipeline = pipeline;
    visit->x = x;
    if (x->from) {
        visit->inside = *(const struct insider *)x->from;
        visit->insider = &visit->inside;
    }
    visit->settings = pipeline->settings;
    visit->settings->refs++;
    pipeline->active++;
    x->user = visit;
    x->on_done = on_done;
    x->on_drained = on_drained;
    x->on_body = on_body;
    walk(visit);
}

static void on_refused(void *owner, int status, const char *why)
{
    struct pipeline *pipeline = owner;
    (void)why;
    count_add(&pipeline->stats.outcomes[PIPELINE_REFUSED], 1);
    count_add(&pipeline->stats.statuses[status / 100], 1);
}

struct server_handler pipeline_handler(struct pipeline *pipeline)
{
    return (struct server_handler){pipeline, on_request, on_refused};
}
