/*
 * /_sandbox/…: what a user or a test does to the stand-in itself. Not authenticated: it holds nothing real,
 * and listens on loopback.
 *
 *   GET link (a page) · GET link.js · GET stats · GET|DELETE requests · GET|PUT knobs · GET accounts · POST
 * storm · POST touch · POST reset
 */
#include "sandbox/sandbox_internal.h"

enum { STORM_MAX = 10000 };

static json_t *done(void)
{
    return json_pack("{s:b}", "ok", 1);
}

static void get_stats(struct sandbox_call *call)
{
    sandbox_answer_json(call, 200, sandbox_stats_json(call->sandbox));
}

/* --- requests
 * ------------------------------------------------------------------------------------------------ */

static void get_requests(struct sandbox_call *call)
{
    struct buf buf;
    buf_init(&buf, SANDBOX_ANSWER_MAX);
    bool written = sandbox_journal_write(call->sandbox, &buf);
    sandbox_answer_text(call, 200, written ? sandbox_text_create(buf_slice(&buf)) : NULL);
    buf_deinit(&buf);
}

static void delete_requests(struct sandbox_call *call)
{
    sandbox_journal_clear(call->sandbox);
    sandbox_answer_json(call, 200, done());
}

/* --- knobs
 * --------------------------------------------------------------------------------------------------- */

static void get_knobs(struct sandbox_call *call)
{
    sandbox_answer_json(call, 200, json_incref(call->sandbox->knobs.source));
}

static void put_knobs(struct sandbox_call *call)
{
    struct fault fault;
    json_t *change = sandbox_call_object(call);
    if (!change)
        return;
    if (sandbox_knobs_set(&call->sandbox->knobs, change, &fault) == 0) {
        sandbox_deliver_wake(call->sandbox);
        get_knobs(call);
    } else {
        sandbox_answer_error(call, 400, fault.text);
    }
    json_decref(change);
}

/* --- records and events
 * -------------------------------------------------------------------------------------- */

/* Where the body points: credential, api ("crm" when not told) and entity. False: answered. */
static bool read_place(struct sandbox_call *call, const json_t *body, struct sandbox_collection **out)
{
    struct slice api = json_text(body, "api");
    struct sandbox_credential *credential =
        sandbox_credential_find(call->sandbox, json_text(body, "credential"));
    enum sandbox_api which = api.len > 0 ? sandbox_api_find(api) : SANDBOX_CRM;
    const struct sandbox_entity *entity = sandbox_entity_find(which, json_text(body, "entity"));
    if (!credential || !entity) {
        sandbox_answer_error(call, 400, credential ? "No such api and entity." : "No such credential.");
        return false;
    }
    *out = sandbox_collection_of(call->sandbox, credential, entity);
    if (!*out)
        sandbox_answer_text(call, 500, NULL);
    return *out != NULL;
}

static size_t read_ids(const json_t *array, const char *ids[SANDBOX_EVENT_IDS])
{
    size_t count = 0, i;
    const json_t *id;
    json_array_foreach(array, i, id)
    {
        if (json_is_string(id) && count < SANDBOX_EVENT_IDS)
            ids[count++] = json_string_value(id);
    }
    return count;
}

/* With the given ids in each event, or one of the collection's own, in turn. */
static void storm(struct sandbox_call *call, struct sandbox_collection *collection, const json_t *body)
{
    const char *given[SANDBOX_EVENT_IDS];
    const char *what = json_string_value(json_object_get(body, "event"));
    json_int_t count = json_integer_value(json_object_get(body, "count"));
    size_t ids = read_ids(json_object_get(body, "ids"), given);
    if (count < 1 || count > STORM_MAX) {
        sandbox_answer_error(call, 400, "count: not 1 to 10000");
        return;
    }
    for (size_t i = 0; i < (size_t)count; i++) {
        const char *own[1];
        if (ids == 0 && collection->count == 0)
            break;
        if (ids == 0)
            own[0] = collection->at[i % collection->count]->id;
        sandbox_emit(call->sandbox, collection->credential, collection->entity, what ? what : "Updated",
                     ids ? given : own, ids ? ids : 1);
    }
    sandbox_answer_json(call, 200, done());
}

/* As if somebody had worked in the system itself: seen at once. `set` makes or changes the record; null
 * deletes it. */
static void touch(struct sandbox_call *call, struct sandbox_collection *collection, const json_t *body)
{
    const char *id = json_string_value(json_object_get(body, "id"));
    const struct sandbox_write write = {.silent = json_is_true(json_object_get(body, "silent")), .id = id};
    struct sandbox_record *record = id ? sandbox_record_find(collection, slice_from(id)) : NULL;
    json_t *set = json_object_get(body, "set");
    bool there = record && record->latest;
    int rc = ERR_INVALID;
    if (json_is_null(set) && there)
        rc = sandbox_data_delete(collection, record, &write);
    else if (json_is_object(set) && there)
        rc = sandbox_data_update(collection, record, set, &write);
    else if (json_is_object(set) && !record && (!id || (*id && strlen(id) < SANDBOX_ID_TEXT)))
        rc = sandbox_data_create(collection, json_copy(set), &write) ? 0 : ERR_NOMEM;
    if (rc == 0)
        sandbox_answer_json(call, 200, done());
    else
        sandbox_answer_error(call, 400, "Nothing to change: set is not an object, or no such record.");
}

static void with_place(struct sandbox_call *call,
                       void (*act)(struct sandbox_call *call, struct sandbox_collection *collection,
                                   const json_t *body))
{
    json_t *body = sandbox_call_object(call);
    struct sandbox_collection *collection;
    if (body && read_place(call, body, &collection))
        act(call, collection, body);
    json_decref(body);
}

static void post_storm(struct sandbox_call *call)
{
    with_place(call, storm);
}

static void post_touch(struct sandbox_call *call)
{
    with_place(call, touch);
}

/* --- the whole
 * ----------------------------------------------------------------------------------------------- */

static void get_accounts(struct sandbox_call *call)
{
    json_t *all = json_array();
    for (const struct sandbox_account *account = sandbox_accounts; account->tenant; account++)
        json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:s}", "tenant", account->tenant, "credential_id",
                                             account->credential_id, "app_key", account->app_key, "apis",
                                             account->apis));
    sandbox_answer_json(call, 200, all);
}

static void post_reset(struct sandbox_call *call)
{
    if (sandbox_reset(call->sandbox) == 0)
        sandbox_answer_json(call, 200, done());
    else
        sandbox_answer_text(call, 500, NULL);
}

static const struct {
    enum method method;
    const char *what;
    void (*serve)(struct sandbox_call *call);
} paths[] = {
    {METHOD_GET, "stats", get_stats},
    {METHOD_GET, "requests", get_requests},
    {METHOD_PUT, "knobs", put_knobs},
    {METHOD_DELETE, "requests", delete_requests},
    {METHOD_GET, "knobs", get_knobs},
    {METHOD_GET, "accounts", get_accounts},
    {METHOD_POST, "storm", post_storm},
    {METHOD_POST, "touch", post_touch},
    {METHOD_POST, "reset", post_reset},
    {METHOD_GET, "link", sandbox_page},
    {METHOD_GET, "link.js", sandbox_page_script},
};

void sandbox_control(struct sandbox_call *call, struct slice what)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (paths[i].method == call->method && slice_equal(what, slice_from(paths[i].what))) {
            paths[i].serve(call);
            return;
        }
    }
    sandbox_answer_not_found(call);
}
