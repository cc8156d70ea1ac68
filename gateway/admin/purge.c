/* POST /v1/purge: by tenant, credential, API, entity and ids, each of them optional. */
#include "admin_internal.h"
#include "credential/credential.h"
#include "event/event.h"

enum { PURGE_IDS_MAX = 10000 };

struct purge {
    struct admin_request *r;
    struct slice tenant, credential_id, api, entity;
    json_t *ids;
    json_t *upstreams; /* the APIs by name, where an entity is named and none of them; else NULL */
    unsigned raised;
};

static void invalidate_in(struct purge *purge, struct slice credential, struct slice api)
{
    struct cache_subject subject = {credential, api, purge->entity, {NULL, 0}};
    struct cache *cache = purge->r->admin->options.cache;
    size_t i;
    json_t *id;
    if (!purge->ids) {
        purge->raised += cache_invalidate(cache, &subject);
        return;
    }
    json_array_foreach(purge->ids, i, id)
    {
        subject.id = slice_of(json_string_value(id), json_string_length(id));
        purge->raised += cache_invalidate(cache, &subject);
    }
}

/* An entity in no particular API is one in each of them. */
static void invalidate(struct purge *purge, struct slice credential)
{
    const char *name;
    json_t *upstream;
    if (!purge->upstreams)
        invalidate_in(purge, credential, purge->api);
    json_object_foreach(purge->upstreams, name, upstream) invalidate_in(purge, credential, slice_from(name));
}

/* Everything of the tenant: its credentials, and what `core` answered to it. */
static int invalidate_tenant(struct purge *purge)
{
    struct credential_set set;
    struct admin *admin = purge->r->admin;
    int error = store_view_begin(admin->view);
    if (error)
        return error;
    error = credential_lookup(admin->view, purge->tenant, &set);
    for (size_t i = 0; !error && i < set.count; i++)
        if (purge->credential_id.len == 0 || slice_equal(purge->credential_id, set.items[i].id))
            invalidate(purge, set.items[i].id);
    store_view_end(admin->view);
    struct slice core = arena_format(&purge->r->x->arena, "\x01%.*s", SLICE_ARG(purge->tenant));
    if (core.ptr && purge->credential_id.len == 0)
        invalidate(purge, core);
    return error;
}

static bool take_ids(struct purge *purge, json_t *value, struct fault *fault)
{
    size_t i;
    json_t *id;
    if (!json_is_array(value) || json_array_size(value) == 0 || json_array_size(value) > PURGE_IDS_MAX) {
        fault_set(fault, ERR_INVALID, "ids: expected an array of 1 to %d strings", PURGE_IDS_MAX);
        return false;
    }
    json_array_foreach(value, i, id)
    {
        if (!json_is_string(id) || json_string_length(id) == 0) {
            fault_set(fault, ERR_INVALID, "ids[%zu]: expected a string", i);
            return false;
        }
    }
    purge->ids = value;
    return true;
}

static bool take(struct purge *purge, json_t *body, struct fault *fault)
{
    const char *key;
    json_t *value;
    json_object_foreach(body, key, value)
    {
        struct slice *to = strcmp(key, "tenant") == 0          ? &purge->tenant
                           : strcmp(key, "credential_id") == 0 ? &purge->credential_id
                           : strcmp(key, "api") == 0           ? &purge->api
                           : strcmp(key, "entity") == 0        ? &purge->entity
                                                               : NULL;
        if (strcmp(key, "ids") == 0) {
            if (!take_ids(purge, value, fault))
                return false;
            continue;
        }
        if (!to || !json_is_string(value) || json_string_length(value) == 0) {
            fault_set(fault, ERR_INVALID,
                      to ? "%.40s: expected a string"
                         : "%.40s: not a member (tenant, credential_id, api, entity, ids)",
                      key);
            return false;
        }
        *to = slice_of(json_string_value(value), json_string_length(value));
    }
    if (purge->ids && purge->entity.len == 0) {
        fault_set(fault, ERR_INVALID, "ids: entity is needed with it");
        return false;
    }
    if (purge->ids && purge->tenant.len == 0 && purge->credential_id.len == 0) {
        fault_set(fault, ERR_INVALID, "ids: tenant or credential_id is needed with it");
        return false;
    }
    return true;
}

static bool normalise(struct purge *purge)
{
    size_t size = purge->entity.len + 1;
    char *storage = arena_alloc(&purge->r->x->arena, size);
    struct buf out;
    if (!storage)
        return false;
    buf_init_fixed(&out, storage, size);
    if (event_normalise(&out, purge->entity))
        return false;
    purge->entity = buf_slice(&out);
    return true;
}

/* The names under "upstreams" of the configuration in force. */
static json_t *find_upstreams(const struct admin_request *r)
{
    const struct admin_hooks *hooks = &r->admin->options.hooks;
    struct buf text;
    buf_init(&text, ADMIN_ANSWER_MAX);
    json_t *config = hooks->describe(hooks->owner, &text) ? NULL : json_loadb(text.ptr, text.len, 0, NULL);
    json_t *upstreams = json_incref(json_object_get(config, "upstreams"));
    json_decref(config);
    buf_deinit(&text);
    return upstreams;
}

static void run(struct purge *purge)
{
    struct admin_request *r = purge->r;
    int error = 0;
    if (purge->tenant.len > 0)
        error = invalidate_tenant(purge);
    else
        invalidate(purge, purge->credential_id);
    if (error)
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "", "", "the mapping cannot be read: %s",
                       error_text(error));
    else
        admin_reply_json(r, 200, json_pack("{s:i}", "generations", (int)purge->raised));
}

static void on_body(struct admin_request *r, json_t *body)
{
    struct purge purge = {.r = r};
    struct fault fault = {""};
    if (body && !take(&purge, body, &fault)) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "%s", fault.text);
        return;
    }
    if (!normalise(&purge)) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "entity: malformed");
        return;
    }
    if (purge.entity.len > 0 && purge.api.len == 0 && !(purge.upstreams = find_upstreams(r))) {
        server_problem(r->x, PROBLEM_OVERLOADED, "", "", "out of memory");
        return;
    }
    run(&purge);
    json_decref(purge.upstreams);
}

void admin_purge(struct admin_request *r)
{
    admin_take_body(r, true, on_body);
}
