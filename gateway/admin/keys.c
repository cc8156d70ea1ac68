/* /v1/keys: service keys. The key itself is in one answer, that of its making, and nowhere else. */
#include <stdlib.h>

#include "admin_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "caller/caller.h"

/* A change under way. In the heap: it may outlive the request. */
struct admin_key_job {
    struct caller_change change;
    struct admin *admin;
    struct admin_request *r; /* NULL once the client has left */
    bool creates;
};

void admin_key_job_orphan(struct admin_key_job *job)
{
    job->r = NULL;
}

/* --- reading
 * ------------------------------------------------------------------------------------------------------- */

static json_t *json_of_words(const struct caller_words *words)
{
    json_t *array = json_array();
    for (size_t i = 0; i < words->count; i++)
        json_array_append_new(array, admin_json_text(words->at[i]));
    return array;
}

static json_t *time_or_null(int64_t ms)
{
    return ms ? admin_json_time(ms) : json_null();
}

static json_t *json_of(const struct caller *c)
{
    const struct caller_spec *spec = &c->spec;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:o}", "id",
                     admin_json_text(slice_of(c->id, sizeof c->id)), "name", admin_json_text(spec->name),
                     "tenants", json_of_words(&spec->tenants), "apis", json_of_words(&spec->apis), "methods",
                     json_of_words(&spec->methods), "peers", json_of_words(&spec->peers), "rate",
                     spec->rate.len > 0 ? admin_json_text(spec->rate) : json_null(), "status",
                     caller_status_text(c->status), "created_at", admin_json_time(c->created_at),
                     "last_used_at", time_or_null(c->last_used_at), "revoked_at",
                     time_or_null(c->revoked_at));
}

struct listing {
    json_t *keys;
    uint64_t limit;
    char last[CALLER_ID_LEN];
    bool more;
};

static bool on_key(const struct caller *caller, void *arg)
{
    struct listing *listing = arg;
    listing->more = json_array_size(listing->keys) == listing->limit;
    if (listing->more)
        return false;
    json_array_append_new(listing->keys, json_of(caller));
    memcpy(listing->last, caller->id, sizeof listing->last);
    return true;
}

static void answer_list(struct admin_request *r, struct listing *listing, int error, size_t damaged)
{
    json_t *next =
        listing->more ? admin_json_text(slice_of(listing->last, sizeof listing->last)) : json_null();
    json_t *answer =
        json_pack("{s:o, s:o, s:I}", "keys", listing->keys, "next", next, "damaged", (json_int_t)damaged);
    if (error == 0) {
        admin_reply_json(r, 200, answer);
        return;
    }
    json_decref(answer);
    if (error == ERR_INVALID)
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "cursor has to be what \"next\" said");
    else
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "", "", "the keys cannot be read: %s",
                       error_text(error));
}

void admin_list_keys(struct admin_request *r)
{
    struct listing listing = {.limit = 1000};
    struct slice cursor = {NULL, 0}, limit;
    size_t damaged = 0;
    admin_query(r, "cursor", &cursor);
    if (admin_query(r, "limit", &limit) &&
        (!slice_to_u64(limit, &listing.limit) || listing.limit < 1 || listing.limit > 10000)) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "limit has to be 1 to 10000");
        return;
    }
    listing.keys = json_array();
    int error = store_view_begin(r->admin->view);
    if (!error) {
        error =
            caller_each(r->admin->view, r->admin->options.caller_table, cursor, on_key, &listing, &damaged);
        store_view_end(r->admin->view);
    }
    answer_list(r, &listing, error, damaged);
}

/* --- writing
 * ------------------------------------------------------------------------------------------------------- */

static void log_change(const struct admin_key_job *job)
{
    struct log_line line;
    if (!log_begin(&line, LOG_INFO, job->creates ? "key-created" : "key-revoked"))
        return;
    log_text(&line, "key_id", slice_of(job->change.result.id, sizeof job->change.result.id));
    log_text(&line, "caller", job->change.result.spec.name);
    log_end(&line);
}

static void answer_job(struct admin_request *r, const struct admin_key_job *job)
{
    int error = job->change.change.outcome;
    r->key_job = NULL;
    if (error == 0 && !job->creates) {
        server_reply(r->x, 204, "", "", SLICE(""));
    } else if (error == 0) {
        json_t *answer = json_of(&job->change.result);
        if (answer)
            json_object_set_new(answer, "key", json_stringn(job->change.key, sizeof job->change.key));
        admin_reply_json(r, 201, answer);
    } else if (error == ERR_NOTFOUND) {
        server_problem(r->x, PROBLEM_NOT_FOUND, "", "", "no such key, or it was revoked already");
    } else if (error == ERR_EXISTS) {
        server_problem(r->x, PROBLEM_CONFLICT, "", "", "another key has %s",
                       slice_equal(job->change.taken, job->change.result.spec.name) ? "this name"
                                                                                    : "one of these peers");
    } else {
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "Retry-After: 5\r\n", "",
                       "the change could not be stored: %s", error_text(error));
    }
}

static void on_stored(struct store_change *change)
{
    struct caller_change *c = container_of(change, struct caller_change, change);
    struct admin_key_job *job = container_of(c, struct admin_key_job, change);
    if (change->outcome == 0)
        log_change(job);
    if (job->r)
        answer_job(job->r, job);
    caller_change_wipe(&job->change);
    free(job);
}

static void submit(struct admin_request *r, struct admin_key_job *job)
{
    job->admin = r->admin;
    job->r = r;
    r->key_job = job;
    job->change.change.on_done = on_stored;
    job->change.change.loop = r->admin->options.loop;
    store_submit(r->admin->options.store, &job->change.change);
}

static int take_words(json_t *value, const char *key, struct caller_words *out, struct fault *fault)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value) || json_array_size(value) == 0)
        return fault_set(fault, ERR_INVALID,
                         "%s: expected an array with at least one text; leave it out for every one", key);
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item))
            return fault_set(fault, ERR_INVALID, "%s[%zu]: expected a text", key, i);
        if (i < CALLER_WORDS_MAX)
            out->at[i] = slice_of(json_string_value(item), json_string_length(item));
        out->count++;
    }
    return 0;
}

static int take_text(json_t *value, const char *key, struct slice *out, struct fault *fault)
{
    if (!json_is_string(value) || json_string_length(value) == 0)
        return fault_set(fault, ERR_INVALID, "%s: expected a text", key);
    *out = slice_of(json_string_value(value), json_string_length(value));
    return 0;
}

static int take_member(const char *key, json_t *value, struct caller_spec *spec, struct fault *fault)
{
    if (strcmp(key, "name") == 0)
        return take_text(value, key, &spec->name, fault);
    if (strcmp(key, "rate") == 0)
        return json_is_null(value) ? 0 : take_text(value, key, &spec->rate, fault);
    if (strcmp(key, "tenants") == 0)
        return take_words(value, key, &spec->tenants, fault);
    if (strcmp(key, "apis") == 0)
        return take_words(value, key, &spec->apis, fault);
    if (strcmp(key, "methods") == 0)
        return take_words(value, key, &spec->methods, fault);
    if (strcmp(key, "peers") == 0)
        return take_words(value, key, &spec->peers, fault);
    return fault_set(fault, ERR_INVALID,
                     "%.40s: not a member of a key (name, tenants, apis, methods, peers, rate)", key);
}

static void on_create(struct admin_request *r, json_t *body)
{
    struct caller_spec spec = {0};
    struct fault fault = {""};
    const char *key;
    json_t *value;
    int error = 0;
    json_object_foreach(body, key, value)
    {
        if (!error)
            error = take_member(key, value, &spec, &fault);
    }
    struct admin_key_job *job = error ? NULL : calloc(1, sizeof *job);
    if (job)
        error = caller_change_create(&job->change, r->admin->options.caller_table, &spec, clock_wall_ms(),
                                     &fault);
    if (job && !error) {
        job->creates = true;
        submit(r, job);
        return;
    }
    free(job);
    if (error && error != ERR_NOMEM)
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "%s", fault.text);
    else
        server_problem(r->x, PROBLEM_OVERLOADED, "", "", "out of memory");
}

void admin_create_key(struct admin_request *r)
{
    admin_take_body(r, false, on_create);
}

void admin_revoke_key(struct admin_request *r)
{
    struct admin_key_job *job = calloc(1, sizeof *job);
    if (!job) {
        server_problem(r->x, PROBLEM_OVERLOADED, "", "", "out of memory");
        return;
    }
    if (caller_change_revoke(&job->change, r->admin->options.caller_table, r->segments[2], clock_wall_ms())) {
        free(job);
        server_problem(r->x, PROBLEM_NOT_FOUND, "", "", "no such key");
        return;
    }
    submit(r, job);
}
