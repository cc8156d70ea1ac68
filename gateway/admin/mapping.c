/* /v1/tenants…: the mapping from tenants to credentials. Reads on this loop, writes through the store's
 * writer. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "admin_internal.h"
#include "base/clock.h"
#include "credential/credential.h"

/* A change under way. In the heap: it may outlive the request. */
struct admin_job {
    struct credential_change change;
    struct admin *admin;
    struct admin_request *r; /* NULL once the client has left */
};

void admin_job_orphan(struct admin_job *job)
{
    job->r = NULL;
}

json_t *admin_json_text(struct slice s)
{
    return json_stringn(s.ptr ? s.ptr : "", s.len);
}

json_t *admin_json_time(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    char text[40];
    if (!gmtime_r(&seconds, &parts) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return json_null();
    return json_string(text);
}

static json_t *json_of(const struct credential *c)
{
    json_t *apis = json_array();
    for (size_t i = 0; i < c->api_count; i++)
        json_array_append_new(apis, admin_json_text(c->apis[i]));
    char path[128];
    int len = snprintf(path, sizeof path, "/webhooks/rollout/%.*s", SLICE_ARG(c->webhook_token));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:s, s:o, s:o, s:b, s:o, s:o}", "tenant",
                     admin_json_text(c->tenant), "credential_id", admin_json_text(c->id), "app_key",
                     admin_json_text(c->app_key), "apis", apis, "label", admin_json_text(c->label), "default",
                     (int)c->is_default, "status", credential_status_text(c->status), "created_at",
                     admin_json_time(c->created_at), "updated_at", admin_json_time(c->updated_at),
                     "discovered", (int)c->found, "last_checked",
                     c->checked_at > 0 ? admin_json_time(c->checked_at) : json_null(), "webhook_path",
                     admin_json_text(slice_of(path, (size_t)len)));
}

static bool begin(struct admin_request *r)
{
    if (store_view_begin(r->admin->view) == 0)
        return true;
    server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "", "", "the mapping cannot be read");
    return false;
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------- */

static void on_tenant(struct slice tenant, size_t count, void *arg)
{
    json_array_append_new(
        arg, json_pack("{s:o, s:I}", "tenant", admin_json_text(tenant), "credentials", (json_int_t)count));
}

bool admin_read_page(struct admin_request *r, struct credential_page *page)
{
    struct slice limit;
    uint64_t wanted;
    *page = (struct credential_page){.limit = 100};
    admin_query(r, "prefix", &page->prefix);
    admin_query(r, "cursor", &page->cursor);
    if (!admin_query(r, "limit", &limit))
        return true;
    if (!slice_to_u64(limit, &wanted) || wanted < 1 || wanted > 10000) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "limit has to be 1 to 10000");
        return false;
    }
    page->limit = (size_t)wanted;
    return true;
}

void admin_list_tenants(struct admin_request *r)
{
    struct credential_page page;
    struct slice next = {NULL, 0};
    if (!admin_read_page(r, &page) || !begin(r))
        return;
    json_t *tenants = json_array();
    int error = credential_list_tenants(r->admin->view, &page, on_tenant, tenants, &next);
    json_t *cursor = next.len > 0 ? admin_json_text(next) : json_null();
    store_view_end(r->admin->view);
    json_t *answer = json_pack("{s:o, s:o}", "tenants", tenants, "next", cursor);
    if (error) {
        json_decref(answer);
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "", "", "the mapping cannot be read: %s",
                       error_text(error));
        return;
    }
    admin_reply_json(r, 200, answer);
}

json_t *admin_credentials_json(struct admin_request *r, struct slice tenant)
{
    struct credential_set set;
    if (!begin(r))
        return NULL;
    int error = credential_lookup(r->admin->view, tenant, &set);
    json_t *credentials = error ? NULL : json_array();
    for (size_t i = 0; credentials && i < set.count; i++)
        json_array_append_new(credentials, json_of(&set.items[i]));
    store_view_end(r->admin->view);
    if (!credentials)
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "", "", "the mapping cannot be read: %s",
                       error_text(error ? error : ERR_NOMEM));
    return credentials;
}

void admin_list_credentials(struct admin_request *r)
{
    struct slice tenant = r->segments[2];
    if (!credential_tenant_valid(tenant)) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "a tenant is 1-128 of A-Z a-z 0-9 . _ : @ -");
        return;
    }
    json_t *credentials = admin_credentials_json(r, tenant);
    if (credentials)
        admin_reply_json(
            r, 200, json_pack("{s:o, s:o}", "tenant", admin_json_text(tenant), "credentials", credentials));
}

void admin_get_credential(struct admin_request *r)
{
    struct credential found;
    if (!begin(r))
        return;
    int error = credential_find(r->admin->view, r->segments[2], r->segments[4], &found);
    json_t *answer = error ? NULL : json_of(&found);
    store_view_end(r->admin->view);
    if (answer)
        admin_reply_json(r, 200, answer);
    else if (error == ERR_NOTFOUND)
        server_problem(r->x, PROBLEM_NOT_FOUND, "", "", "the tenant has no such credential");
    else
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "", "", "the mapping cannot be read: %s",
                       error_text(error));
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------- */

static void answer_job(struct admin_request *r, const struct admin_job *job)
{
    int error = job->change.change.outcome;
    r->job = NULL;
    if (error == 0 && job->change.action == CREDENTIAL_DELETE)
        server_reply(r->x, 204, "", "", SLICE(""));
    else if (error == 0)
        admin_reply_json(r, job->change.created ? 201 : 200, json_of(&job->change.result));
    else if (error == ERR_NOTFOUND)
        server_problem(r->x, PROBLEM_NOT_FOUND, "", "", "the tenant has no such credential");
    else if (error == ERR_EXISTS)
        server_problem(r->x, PROBLEM_CONFLICT, "", "", "another tenant has this credential");
    else if (error == ERR_LIMIT)
        server_problem(r->x, PROBLEM_CONFLICT, "", "", "a tenant has at most %d credentials", CREDENTIAL_MAX);
    else
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "Retry-After: 5\r\n", "",
                       "the change could not be stored: %s", error_text(error));
}

static void on_stored(struct store_change *change)
{
    struct credential_change *c = container_of(change, struct credential_change, change);
    struct admin_job *job = container_of(c, struct admin_job, change);
    if (change->outcome == 0 && c->action == CREDENTIAL_DELETE) {
        struct cache_subject subject = {.credential = c->id};
        cache_invalidate(job->admin->options.cache, &subject);
        job->admin->options.hooks.deleted(job->admin->options.hooks.owner);
    }
    if (change->outcome == 0 && job->admin->options.subscribe)
        subscribe_sync(job->admin->options.subscribe, c->tenant);
    if (job->r)
        answer_job(job->r, job);
    free(job);
}

static void submit(struct admin_request *r, struct admin_job *job)
{
    job->admin = r->admin;
    job->r = r;
    r->job = job;
    job->change.change.on_done = on_stored;
    job->change.change.loop = r->admin->options.loop;
    store_submit(r->admin->options.store, &job->change.change);
}

static int bad(struct fault *fault, const char *path, const char *expected)
{
    return fault_set(fault, ERR_INVALID, "%s: expected %s", path, expected);
}

static int take_apis(json_t *value, struct credential_patch *patch, struct fault *fault)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value))
        return bad(fault, "apis", "an array of API names");
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item))
            return bad(fault, "apis", "an array of API names");
        if (i < CREDENTIAL_API_MAX)
            patch->apis[i] = slice_of(json_string_value(item), json_string_length(item));
        patch->api_count++;
    }
    patch->has_apis = true;
    return 0;
}

static int take_text(json_t *value, const char *key, struct slice *to, bool *has, struct fault *fault)
{
    if (!json_is_string(value))
        return bad(fault, key, "a string");
    *to = slice_of(json_string_value(value), json_string_length(value));
    *has = true;
    return 0;
}

static int take_member(const char *key, json_t *value, struct credential_patch *patch, struct fault *fault)
{
    if (strcmp(key, "app_key") == 0)
        return take_text(value, key, &patch->app_key, &patch->has_app_key, fault);
    if (strcmp(key, "label") == 0)
        return take_text(value, key, &patch->label, &patch->has_label, fault);
    if (strcmp(key, "apis") == 0)
        return take_apis(value, patch, fault);
    if (strcmp(key, "default") != 0)
        return fault_set(fault, ERR_INVALID,
                         "%.40s: not a member of a credential (app_key, apis, label, default)", key);
    if (!json_is_boolean(value))
        return bad(fault, key, "true or false");
    patch->is_default = json_is_true(value);
    patch->has_default = true;
    return 0;
}

static void on_put(struct admin_request *r, json_t *body)
{
    struct credential_patch patch = {0};
    struct fault fault = {""};
    const char *key;
    json_t *value;
    int error = 0;
    if (body) {
        json_object_foreach(body, key, value)
        {
            if (!error)
                error = take_member(key, value, &patch, &fault);
        }
    }
    struct admin_job *job = error ? NULL : calloc(1, sizeof *job);
    if (job)
        error =
            credential_change_put(&job->change, r->tenant, r->credential_id, &patch, clock_wall_ms(), &fault);
    if (job && !error) {
        submit(r, job);
        return;
    }
    free(job);
    if (error)
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "%s", fault.text);
    else
        server_problem(r->x, PROBLEM_OVERLOADED, "", "", "out of memory");
}

void admin_put_credential(struct admin_request *r)
{
    r->tenant = r->segments[2];
    r->credential_id = r->segments[4];
    admin_take_body(r, true, on_put);
}

void admin_delete_credential(struct admin_request *r)
{
    struct admin_job *job = calloc(1, sizeof *job);
    if (!job) {
        server_problem(r->x, PROBLEM_OVERLOADED, "", "", "out of memory");
        return;
    }
    if (credential_change_delete(&job->change, r->segments[2], r->segments[4])) {
        free(job);
        server_problem(r->x, PROBLEM_NOT_FOUND, "", "", "the tenant has no such credential");
        return;
    }
    submit(r, job);
}
