/* The whole decision about a request as JSON, nothing sent: the same desks are asked as by pipeline.c. */
#include "base/clock.h"
#include "credential/credential.h"
#include "internal.h"

struct explain {
    struct pipeline *pipeline;
    const struct http_request *request;
    struct arena *arena;
    struct buf *out;
    struct route route;
    struct credential_set set;
    const struct pipeline_api *api;
    struct slice credential_id;
};

static void put_text(struct buf *out, const char *key, struct slice value)
{
    buf_append_format(out, ",\"%s\":\"", key);
    buf_append_json(out, value);
    buf_append_char(out, '"');
}

static void put_refusal(struct explain *e, enum problem problem, const char *why)
{
    put_text(e->out, "problem", slice_from(problem_code(problem)));
    buf_append_format(e->out, ",\"status\":%d", problem_status(problem));
    put_text(e->out, "detail", slice_from(why ? why : ""));
}

static bool explain_route(struct explain *e)
{
    const struct pipeline_settings *s = e->pipeline->settings;
    switch (route_find(e->request, s->names, s->api_count, e->arena, &e->route)) {
    case ROUTE_OK:
        e->api = &s->apis[e->route.api];
        put_text(e->out, "tenant", e->route.tenant);
        put_text(e->out, "api", e->api->name);
        put_text(e->out, "entity", e->route.entity);
        put_text(e->out, "id", e->route.id);
        return true;
    case ROUTE_TENANT_REQUIRED:
        put_refusal(e, PROBLEM_TENANT_REQUIRED, "no tenant is named");
        return false;
    case ROUTE_UNKNOWN_API:
        put_refusal(e, PROBLEM_API_UNKNOWN, "the first path segment names no configured API");
        return false;
    case ROUTE_LINK:
    case ROUTE_EVENTS:
        put_refusal(e, PROBLEM_NOT_FOUND, "not an API");
        return false;
    case ROUTE_BAD_TARGET:
    case ROUTE_BAD_TENANT:
        put_refusal(e, PROBLEM_BAD_REQUEST, e->route.why);
        return false;
    case ROUTE_NOMEM:
        put_refusal(e, PROBLEM_OVERLOADED, "out of memory");
        return false;
    }
    return false;
}

static bool explain_credential(struct explain *e)
{
    if (e->api->is_core)
        return true;
    struct credential_selector selector = {
        .api = e->api->name,
        .app_key = http_value(&e->request->fields, FIELD_X_APP_KEY),
        .id = http_value(&e->request->fields, FIELD_X_ROLLOUT_CREDENTIAL_ID),
    };
    size_t index = 0;
    switch (credential_choose(&e->set, &selector, &index)) {
    case CREDENTIAL_CHOSEN:
        e->credential_id = arena_copy(e->arena, e->set.items[index].id);
        put_text(e->out, "credential_id", e->credential_id);
        put_text(e->out, "app_key", e->set.items[index].app_key);
        return true;
    case CREDENTIAL_NONE:
        put_refusal(e, PROBLEM_CREDENTIAL_NOT_FOUND,
                    e->pipeline->settings->discovery
                        ? "nothing is mapped that serves this API; a request would look at Rollout first"
                        : "the tenant has no credential that serves this API");
        return false;
    case CREDENTIAL_AMBIGUOUS:
        put_refusal(e, PROBLEM_CREDENTIAL_AMBIGUOUS, "several credentials fit and none is the default");
        return false;
    case CREDENTIAL_FOREIGN:
        put_refusal(e, PROBLEM_CREDENTIAL_FORBIDDEN, "not a credential of this tenant");
        return false;
    }
    return false;
}

static const char *decision_name(enum cache_decision decision)
{
    switch (decision) {
    case CACHE_MISS:
        return "miss";
    case CACHE_HIT:
        return "hit";
    case CACHE_STALE:
        return "stale";
    case CACHE_REVALIDATE:
        return "revalidate";
    }
    return "miss";
}

static void explain_cache(struct explain *e)
{
    struct cache *cache = e->pipeline->shared->cache;
    struct inquiry inquiry = {.request = e->request,
                              .route = &e->route,
                              .api = e->api,
                              .credential_id = e->credential_id,
                              .silent = true};
    struct cache_found found = {.decision = CACHE_MISS};
    const struct cache_query *query = &inquiry.query;
    if (!inquiry_make(e->pipeline, e->pipeline->settings, e->arena, &inquiry) ||
        (!inquiry.cacheable && !inquiry.settling)) {
        buf_append_text(e->out, ",\"cache\":{\"decision\":\"bypass\"}");
        return;
    }
    if (inquiry.cacheable)
        cache_find(cache, query, &found);
    if (inquiry.cacheable && found.decision == CACHE_MISS)
        cache_warm_find(cache, query, clock_wall_ms(), &found);
    buf_append_format(
        e->out,
        ",\"cache\":{\"decision\":\"%s\",\"age_s\":%llu,\"ttl_s\":%lld,\"configured_ttl_s\":%llu,"
        "\"settling\":%s,\"covered\":%s",
        inquiry.cacheable ? decision_name(found.decision) : "bypass",
        (unsigned long long)(found.age_ms / 1000), (long long)(found.entry ? found.ttl_ms / 1000 : 0),
        (unsigned long long)((query->covered ? query->policy->ttl_ms : query->policy->ttl_uncovered_ms) /
                             1000),
        inquiry.settling ? "true" : "false", query->covered ? "true" : "false");
    put_text(e->out, "detail", slice_from(found.detail ? found.detail : ""));
    buf_append_char(e->out, '}');
    if (found.entry)
        cache_release(found.entry);
}

static void explain_upstream(struct explain *e)
{
    buf_append_text(e->out, ",\"upstream\":{\"method\":\"");
    buf_append_json(e->out, e->request->method_name);
    buf_append_text(e->out, "\",\"url\":\"");
    buf_append_json(e->out, e->api->base_url);
    buf_append_json(e->out, e->route.path);
    if (e->route.has_query) {
        buf_append_char(e->out, '?');
        buf_append_json(e->out, e->route.query);
    }
    buf_append_text(e->out, "\"}");
}

/* In the view. What was asked for without a caller is explained for one who may. */
static int explain_caller(struct explain *e, struct slice name, bool *allowed)
{
    struct caller caller;
    *allowed = true;
    if (name.len == 0)
        return 0;
    put_text(e->out, "caller", name);
    int error = caller_find_name(e->pipeline->view, e->pipeline->shared->caller_table, name, &caller);
    *allowed = false;
    if (error == ERR_NOTFOUND)
        put_refusal(e, PROBLEM_UNAUTHENTICATED, "no service key of that name");
    if (error)
        return error == ERR_NOTFOUND ? 0 : error;
    enum caller_rule rule = caller_may(&caller, e->route.tenant, e->api->name, e->request->method_name);
    *allowed = rule == CALLER_ALLOWED;
    if (!*allowed) {
        put_refusal(e, PROBLEM_FORBIDDEN, "the caller's key does not allow this");
        put_text(e->out, "rule", slice_from(caller_rule_name(rule)));
    }
    return 0;
}

int pipeline_explain(struct pipeline *pipeline, const struct http_request *request, struct slice caller,
                     struct arena *arena, struct buf *out)
{
    struct explain *e = arena_zalloc(arena, sizeof *e);
    if (!e)
        return ERR_NOMEM;
    e->pipeline = pipeline;
    e->request = request;
    e->arena = arena;
    e->out = out;
    buf_append_text(out, "{\"method\":\"");
    buf_append_json(out, request->method_name);
    buf_append_char(out, '"');
    if (explain_route(e)) {
        int error = store_view_begin(pipeline->view);
        if (error)
            return error;
        bool allowed;
        error = explain_caller(e, caller, &allowed);
        if (!error)
            error = credential_lookup(pipeline->view, e->route.tenant, &e->set);
        bool chosen = !error && allowed && explain_credential(e);
        store_view_end(pipeline->view);
        if (error)
            return error;
        if (chosen) {
            explain_cache(e);
            explain_upstream(e);
        }
    }
    buf_append_text(out, "}\n");
    return out->failed ? ERR_NOMEM : 0;
}
