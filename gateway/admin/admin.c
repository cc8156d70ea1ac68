#include <stdlib.h>

#include "admin_internal.h"

/* --- life
 * ----------------------------------------------------------------------------------------------------------
 */

struct admin *admin_create(const struct admin_options *options)
{
    struct admin *admin = calloc(1, sizeof *admin);
    if (!admin)
        return NULL;
    admin->options = *options;
    admin->options.token = (struct slice){NULL, 0};
    buf_init(&admin->token, 8192);
    admin->view = store_view_create(options->store);
    if (!admin->view || admin_set_token(admin, options->token)) {
        admin_destroy(admin);
        return NULL;
    }
    return admin;
}

int admin_set_token(struct admin *admin, struct slice token)
{
    buf_wipe(&admin->token);
    return token.len > 0 ? buf_append_slice(&admin->token, token) : 0;
}

void admin_destroy(struct admin *admin)
{
    if (!admin)
        return;
    if (admin->view)
        store_view_destroy(admin->view);
    buf_wipe(&admin->token);
    free(admin);
}

/* --- answers
 * ------------------------------------------------------------------------------------------------------- */

void admin_reply_json(struct admin_request *r, int status, json_t *value)
{
    struct buf out;
    buf_init(&out, ADMIN_ANSWER_MAX);
    if (!value || json_write(&out, value) || buf_append_char(&out, '\n'))
        server_problem(r->x, PROBLEM_OVERLOADED, "", "", "the answer does not fit into memory");
    else
        server_reply(r->x, status, "application/json", "Cache-Control: no-store\r\n", buf_slice(&out));
    buf_deinit(&out);
    json_decref(value);
}

static void on_collected(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct admin_request *r = x->user;
    struct fault fault = {""};
    if (problem != PROBLEM_COUNT) {
        server_problem(x, problem, "", "", "the body could not be taken");
        return;
    }
    if (body.len == 0 && r->segments[0].len == 0) {
        r->on_body(r, NULL);
        return;
    }
    json_t *value = json_read(body, ADMIN_BODY_MAX, &fault);
    if (!value || !json_is_object(value))
        server_problem(x, PROBLEM_BAD_REQUEST, "", "", "%s",
                       value ? "the body has to be a JSON object" : fault.text);
    else
        r->on_body(r, value);
    json_decref(value);
}

void admin_take_body(struct admin_request *r, bool optional,
                     void (*on_body)(struct admin_request *r, json_t *body))
{
    r->on_body = on_body;
    if (optional)
        r->segments[0] = SLICE(""); /* told to on_collected */
    server_collect(r->x, ADMIN_BODY_MAX, on_collected);
}

bool admin_query(struct admin_request *r, const char *name, struct slice *value)
{
    struct slice raw;
    if (!url_query_find(r->query, slice_from(name), &raw))
        return false;
    char *storage = arena_alloc(&r->x->arena, raw.len + 1);
    struct buf out;
    if (!storage)
        return false;
    buf_init_fixed(&out, storage, raw.len + 1);
    if (url_decode(&out, raw))
        return false;
    *value = buf_slice(&out);
    return true;
}

/* --- small endpoints
 * ----------------------------------------------------------------------------------------------- */

static void livez(struct admin_request *r)
{
    server_reply(r->x, 200, "text/plain; charset=utf-8", "Cache-Control: no-store\r\n", SLICE("alive\n"));
}

static void readyz(struct admin_request *r)
{
    const struct admin_hooks *hooks = &r->admin->options.hooks;
    bool draining = hooks->draining(hooks->owner);
    server_reply(r->x, draining ? 503 : 200, "text/plain; charset=utf-8", "Cache-Control: no-store\r\n",
                 draining ? SLICE("draining\n") : SLICE("ready\n"));
}

static void on_reload(struct admin_request *r, json_t *body)
{
    const struct admin_hooks *hooks = &r->admin->options.hooks;
    struct fault fault = {""};
    (void)body;
    if (hooks->reload(hooks->owner, &fault))
        server_problem(r->x, PROBLEM_CONFLICT, "", "", "the old configuration stays: %s", fault.text);
    else
        admin_reply_json(r, 200, json_pack("{s:b}", "reloaded", 1));
}

static void reload(struct admin_request *r)
{
    admin_take_body(r, true, on_reload);
}

static void on_drain(struct admin_request *r, json_t *body)
{
    const struct admin_hooks *hooks = &r->admin->options.hooks;
    (void)body;
    hooks->drain(hooks->owner);
    admin_reply_json(r, 202, json_pack("{s:b}", "draining", 1));
}

static void drain(struct admin_request *r)
{
    admin_take_body(r, true, on_drain);
}

/* --- routing
 * ------------------------------------------------------------------------------------------------------- */

/* '*' stands for one segment. */
struct endpoint {
    enum method method;
    const char *path;
    bool open; /* without the admin token: probes of orchestrators */
    void (*serve)(struct admin_request *r);
};

static const struct endpoint endpoints[] = {
    {METHOD_GET, "livez", true, livez},
    {METHOD_GET, "readyz", true, readyz},
    {METHOD_GET, "metrics", false, admin_metrics},
    {METHOD_GET, "", false, admin_dashboard},
    {METHOD_GET, "v1/status", false, admin_status},
    {METHOD_GET, "v1/config", false, admin_config},
    {METHOD_POST, "v1/reload", false, reload},
    {METHOD_POST, "v1/drain", false, drain},
    {METHOD_GET, "v1/tenants", false, admin_list_tenants},
    {METHOD_GET, "v1/tenants/*/credentials", false, admin_list_credentials},
    {METHOD_GET, "v1/tenants/*/credentials/*", false, admin_get_credential},
    {METHOD_PUT, "v1/tenants/*/credentials/*", false, admin_put_credential},
    {METHOD_DELETE, "v1/tenants/*/credentials/*", false, admin_delete_credential},
    {METHOD_POST, "v1/tenants/*/discover", false, admin_discover},
    {METHOD_GET, "v1/keys", false, admin_list_keys},
    {METHOD_POST, "v1/keys", false, admin_create_key},
    {METHOD_DELETE, "v1/keys/*", false, admin_revoke_key},
    {METHOD_POST, "v1/purge", false, admin_purge},
    {METHOD_GET, "v1/cache", false, admin_cache},
    {METHOD_GET, "v1/limits", false, admin_limits},
    {METHOD_GET, "v1/webhooks", false, admin_webhooks},
    {METHOD_GET, "v1/relay/dead", false, admin_list_dead},
    {METHOD_POST, "v1/relay/dead/*/replay", false, admin_replay_dead},
    {METHOD_POST, "v1/webhooks/sync", false, admin_sync_webhooks},
    {METHOD_POST, "v1/explain", false, admin_explain},
};

static bool split(struct admin_request *r)
{
    struct slice path, one, rest;
    slice_cut(r->x->request.target, '?', &path, &r->query);
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    rest = slice_skip(path, 1);
    for (bool more = true; more;) {
        struct buf out;
        more = slice_cut(rest, '/', &one, &rest);
        char *storage = arena_alloc(&r->x->arena, one.len + 1);
        if (!storage || r->segment_count == ADMIN_SEGMENTS)
            return false;
        buf_init_fixed(&out, storage, one.len + 1);
        if (url_decode(&out, one))
            return false;
        r->segments[r->segment_count++] = buf_slice(&out);
    }
    return true;
}

static bool matches(const struct admin_request *r, const char *pattern)
{
    struct slice rest = slice_from(pattern), one;
    bool more = true;
    for (size_t i = 0; i < r->segment_count; i++) {
        if (!more)
            return false;
        more = slice_cut(rest, '/', &one, &rest);
        if (slice_equal(one, SLICE("*")) ? r->segments[i].len == 0 : !slice_equal(one, r->segments[i]))
            return false;
    }
    return !more;
}

static bool authorised(const struct admin_request *r)
{
    const struct admin *admin = r->admin;
    if (admin->token.len == 0)
        return true;
    struct slice value = http_value(&r->x->request.fields, FIELD_AUTHORIZATION), scheme, given;
    if (http_count(&r->x->request.fields, FIELD_AUTHORIZATION) != 1 ||
        !slice_cut(value, ' ', &scheme, &given))
        return false;
    return slice_equal_nocase(scheme, SLICE("Bearer")) && slice_equal_secret(given, buf_slice(&admin->token));
}

/* A page of another origin may not steer the gateway through an operator's browser. */
static bool cross_site(const struct admin_request *r)
{
    struct slice origin = http_value(&r->x->request.fields, FIELD_ORIGIN), scheme, host;
    if (origin.len == 0)
        return false;
    return !slice_cut(origin, '/', &scheme, &host) || host.len < 1 ||
           !slice_equal(slice_skip(host, 1), r->x->request.host);
}

/* A name that its owner has pointed at this machine (DNS rebinding) makes the operator's browser a client
 * from here. Where no token is asked for, who comes over loopback has to name it as what it is: an address,
 * or localhost. */
static bool rebound(const struct admin_request *r)
{
    struct slice peer = slice_from(r->x->peer), host = r->x->request.host, name, port;
    if (r->admin->token.len > 0 || host.len == 0)
        return false;
    if (!slice_starts(peer, SLICE("127.")) && !slice_equal(peer, SLICE("::1")) &&
        !slice_equal(peer, SLICE("::ffff:127.0.0.1")))
        return false;
    slice_cut(host, ':', &name, &port);
    if (slice_equal_nocase(name, SLICE("localhost")) || host.ptr[0] == '[')
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] != '.' && (name.ptr[i] < '0' || name.ptr[i] > '9'))
            return true;
    return false;
}

static void dispatch(struct admin_request *r)
{
    const struct endpoint *found = NULL;
    bool path_known = false;
    enum method method = r->x->request.method == METHOD_HEAD ? METHOD_GET : r->x->request.method;
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints && !found; i++) {
        if (!matches(r, endpoints[i].path))
            continue;
        path_known = true;
        if (endpoints[i].method == method)
            found = &endpoints[i];
    }
    if (!path_known)
        server_problem(r->x, PROBLEM_NOT_FOUND, "", "", "no such admin path");
    else if (!found)
        server_problem(r->x, PROBLEM_METHOD_NOT_ALLOWED, "", "", "this path does not take that method");
    else if (!found->open && !authorised(r))
        server_problem(r->x, PROBLEM_UNAUTHENTICATED, "WWW-Authenticate: Bearer\r\n", "",
                       "the admin token is missing or wrong");
    else if (!found->open && rebound(r))
        server_problem(r->x, PROBLEM_FORBIDDEN, "", "",
                       "without an admin token, Host has to be an address or localhost");
    else if (method != METHOD_GET && cross_site(r))
        server_problem(r->x, PROBLEM_FORBIDDEN, "", "", "a page of another origin may not do this");
    else
        found->serve(r);
}

static void on_done(struct server_exchange *x, enum server_outcome outcome)
{
    (void)outcome;
    struct admin_request *r = x->user;
    if (r && r->job)
        admin_job_orphan(r->job);
    if (r && r->search)
        admin_search_orphan(r->search);
    if (r && r->key_job)
        admin_key_job_orphan(r->key_job);
    if (r && r->replay)
        admin_replay_orphan(r->replay);
}

static void on_request(void *owner, struct server_exchange *x)
{
    x->on_done = on_done;
    struct admin_request *r = arena_zalloc(&x->arena, sizeof *r);
    if (!r) {
        server_problem(x, PROBLEM_OVERLOADED, "", "", "out of memory");
        return;
    }
    r->admin = owner;
    r->x = x;
    x->user = r;
    if (!split(r))
        server_problem(x, PROBLEM_BAD_REQUEST, "", "", "the path is malformed or too long");
    else
        dispatch(r);
}

struct server_handler admin_handler(struct admin *admin)
{
    return (struct server_handler){admin, on_request, NULL};
}
