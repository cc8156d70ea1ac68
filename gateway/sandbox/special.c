/* The paths and effects that are unlike the rest (rollout-facts 4.3 and 7). */
#include "base/clock.h"
#include "sandbox/sandbox_internal.h"

static struct sandbox_write write_of(const struct sandbox_call *call)
{
    return (struct sandbox_write){.lag_ms = call->sandbox->knobs.lag_ms};
}

/* --- arrays inside records
 * ----------------------------------------------------------------------------------- */

static bool contains(const json_t *array, const json_t *value)
{
    const json_t *member;
    size_t i;
    json_array_foreach(array, i, member)
    {
        if (json_equal(member, value))
            return true;
    }
    return false;
}

/* A new array: what is in `have` without, or with, what is in `given`. */
static json_t *combine(const json_t *have, const json_t *given, bool with)
{
    json_t *result = json_array(), *member;
    size_t i;
    json_array_foreach(have, i, member)
    {
        if (with || !contains(given, member))
            json_array_append(result, member);
    }
    json_array_foreach(given, i, member)
    {
        if (with && !contains(result, member))
            json_array_append(result, member);
    }
    return result;
}

/* The body's array of strings; NULL: answered. The body is to be decref'd by the caller. */
static const json_t *read_strings(struct sandbox_call *call, const json_t *body, const char *name)
{
    const json_t *array = json_object_get(body, name), *member;
    const char *path = *name == 't' ? "/tags" : "/personIds";
    size_t i;
    if (!json_is_array(array)) {
        sandbox_call_invalid(call, path, array ? "Expected array" : "Required property");
        return NULL;
    }
    json_array_foreach(array, i, member)
    {
        if (!json_is_string(member)) {
            sandbox_call_invalid(call, path, "Expected string");
            return NULL;
        }
    }
    return array;
}

/* Changes one array of the record that the path names, and answers with it as it is then. */
static void change_array(struct sandbox_call *call, const char *given_name, const char *field, bool with,
                         const char *extra)
{
    struct sandbox_collection *collection =
        sandbox_collection_of(call->sandbox, call->credential, call->entity);
    struct sandbox_record *record = collection ? sandbox_record_find(collection, call->segments[1]) : NULL;
    struct sandbox_write write = write_of(call);
    if (!record || !record->latest) {
        sandbox_answer_not_found(call);
        return;
    }
    json_t *body = sandbox_call_object(call);
    const json_t *given = body ? read_strings(call, body, given_name) : NULL;
    if (given) {
        json_t *result = combine(json_object_get(record->latest, field), given, with);
        json_t *set = json_pack("{s:O}", field, result);
        write.extra = extra;
        int rc = set ? sandbox_data_update(collection, record, set, &write) : ERR_NOMEM;
        json_decref(set);
        sandbox_answer_json(call, 200, rc == 0 ? result : NULL);
        if (rc != 0)
            json_decref(result);
    }
    json_decref(body);
}

/* --- metadata
 * ------------------------------------------------------------------------------------------------ */

static void describe_transactions(struct sandbox_call *call)
{
    struct slice type;
    if (!url_query_find(call->query, SLICE("transactionType"), &type))
        type = SLICE("purchase");
    if (!slice_equal(type, SLICE("purchase")) && !slice_equal(type, SLICE("listing"))) {
        sandbox_call_invalid(call, "/transactionType", "Expected one of the documented values");
        return;
    }
    sandbox_answer_json(
        call, 200,
        json_pack("[{s:s,s:s,s:s,s:b},{s:s,s:s,s:s,s:b},{s:s,s:s,s:s,s:b}]", "name", "address",
                  "originalName", "propertyAddress", "type", "object", "required", 1, "name", "name",
                  "originalName", "title", "type", "string", "required", 1, "name", "price", "originalName",
                  *type.ptr == 'p' ? "salePrice" : "listPrice", "type", "number", "required", 0));
}

/* --- paths
 * --------------------------------------------------------------------------------------------------- */

static bool segment_is(const struct sandbox_call *call, size_t i, const char *text)
{
    return i < call->segment_count && slice_equal(call->segments[i], slice_from(text));
}

static bool is_crm_like(const struct sandbox_call *call)
{
    return call->api == SANDBOX_CRM || call->api == SANDBOX_MORTGAGE_CRM;
}

bool sandbox_special(struct sandbox_call *call)
{
    bool post = call->method == METHOD_POST, third = call->segment_count == 3,
         fourth = call->segment_count == 4;
    if (!is_crm_like(call))
        return false;
    if (third && segment_is(call, 0, "metadata") && segment_is(call, 1, "transactions") &&
        segment_is(call, 2, "create") && call->method == METHOD_GET)
        describe_transactions(call);
    else if (!call->entity)
        return false;
    else if (fourth && post && segment_is(call, 0, "people") && segment_is(call, 2, "tags") &&
             segment_is(call, 3, "apply"))
        change_array(call, "tags", "tags", true, "TagsCreated");
    else if (fourth && post && segment_is(call, 0, "people") && segment_is(call, 2, "tags") &&
             segment_is(call, 3, "delete"))
        change_array(call, "tags", "tags", false, NULL);
    else if (third && (post || call->method == METHOD_DELETE) && segment_is(call, 0, "lists") &&
             segment_is(call, 2, "people"))
        change_array(call, "personIds", "peopleParticipantIds", post, NULL);
    else
        return false;
    return true;
}

/* --- what a new record changes besides itself
 * ---------------------------------------------------------------- */

/* Changes a record of another entity of the same credential, if it is there; reads see it, no event tells of
 * it. */
static void touch_other(struct sandbox_call *call, const char *path, struct slice id, json_t *set)
{
    const struct sandbox_entity *entity = sandbox_entity_find(call->api, slice_from(path));
    struct sandbox_collection *collection =
        entity ? sandbox_collection_of(call->sandbox, call->credential, entity) : NULL;
    struct sandbox_record *record = collection && id.len > 0 ? sandbox_record_find(collection, id) : NULL;
    struct sandbox_write write = write_of(call);
    write.silent = true;
    if (record && record->latest && set)
        sandbox_data_update(collection, record, set,
                            &write); /* without memory the effect is missing, no more */
    json_decref(set);
}

/* The loan was made a moment ago: nobody has its value but `latest` and `seen`. */
static void create_borrowers(struct sandbox_call *call, const json_t *given, struct sandbox_record *loan)
{
    const struct sandbox_entity *entity = sandbox_entity_find(call->api, SLICE("borrowers"));
    struct sandbox_collection *borrowers = sandbox_collection_of(call->sandbox, call->credential, entity);
    struct sandbox_write write = write_of(call);
    json_t *ids = json_array(), *one;
    size_t i;
    json_array_foreach(json_object_get(given, "borrowers"), i, one)
    {
        json_t *fields = json_is_object(one) && borrowers ? sandbox_entity_pick(entity, one) : NULL;
        if (fields)
            json_object_set_new(fields, "loanId", json_string(loan->id));
        const struct sandbox_record *made = fields ? sandbox_data_create(borrowers, fields, &write) : NULL;
        if (made)
            json_array_append_new(ids, json_string(made->id));
    }
    json_object_del(loan->latest, "borrowers");
    json_object_set_new(loan->latest, "borrowerParticipantIds", ids);
}

void sandbox_special_created(struct sandbox_call *call, const json_t *given, struct sandbox_record *record)
{
    char now[SANDBOX_TIME_SIZE];
    sandbox_format_time(clock_wall_ms(), true, now);
    if (call->entity->flags & SANDBOX_ACTIVITY)
        touch_other(call, "people", json_text(given, "personId"),
                    json_pack("{s:s,s:s}", "lastActivity", now, "lastActivityType", call->entity->path));
    if (!strcmp(call->entity->path, "emailMessages"))
        touch_other(call, "email-threads", json_text(given, "threadId"),
                    json_pack("{s:s}", "lastMessageAt", now));
    if (call->api == SANDBOX_LOS && !strcmp(call->entity->path, "loans") &&
        json_is_array(json_object_get(given, "borrowers")))
        create_borrowers(call, given, record);
}
