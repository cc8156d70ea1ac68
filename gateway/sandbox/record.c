/* One record: POST, GET, PUT, DELETE with the documented statuses and bodies (rollout-facts 4.2 and 4.4). */
#include "sandbox/sandbox_internal.h"

void sandbox_call_invalid(struct sandbox_call *call, const char *path, const char *message)
{
    sandbox_answer_json(call, 422, json_pack("{s:[{s:s,s:s}]}", "errors", "path", path, "message", message));
}

json_t *sandbox_call_object(struct sandbox_call *call)
{
    struct fault fault;
    json_t *value = call->body.len > 0 ? json_read(call->body, SANDBOX_BODY_MAX, &fault) : json_object();
    if (!value) {
        sandbox_answer_error(call, 400, "The body is not valid JSON.");
        return NULL;
    }
    if (json_is_object(value))
        return value;
    json_decref(value);
    sandbox_call_invalid(call, "", "Expected object");
    return NULL;
}

/* The known fields of the body once they have passed the check; NULL: answered. */
static json_t *read_fields(struct sandbox_call *call, json_t *given, bool partial)
{
    json_t *errors = sandbox_entity_check(call->entity, given, partial), *fields = NULL;
    if (!errors) {
        sandbox_answer_text(call, 500, NULL);
    } else if (json_array_size(errors) > 0) {
        sandbox_answer_json(call, 422, json_pack("{s:O}", "errors", errors));
    } else {
        fields = sandbox_entity_pick(call->entity, given);
        if (!fields)
            sandbox_answer_text(call, 500, NULL);
    }
    json_decref(errors);
    if (fields && call->entity->flags & SANDBOX_HIDDEN)
        json_object_clear(fields);
    return fields;
}

/* FUB tells a name that it makes of the two. */
static void complete_name(json_t *fields, const json_t *before)
{
    json_t *first = json_object_get(fields, "firstName"), *last = json_object_get(fields, "lastName");
    if ((!first && !last) || json_object_get(fields, "name"))
        return;
    const json_t *a = first ? first : json_object_get(before, "firstName");
    const json_t *b = last ? last : json_object_get(before, "lastName");
    if (json_is_string(a) && json_is_string(b))
        json_object_set_new(fields, "name",
                            json_sprintf("%s %s", json_string_value(a), json_string_value(b)));
}

static bool complete(struct sandbox_call *call, json_t *fields, const json_t *before)
{
    if (call->entity->flags & SANDBOX_BARE)
        return sandbox_hook_check(call, fields, before != NULL);
    complete_name(fields, before);
    return true;
}

static void answer_created(struct sandbox_call *call, const struct sandbox_record *record)
{
    json_t *value = json_incref(record->latest);
    if (call->entity->flags & SANDBOX_ARRAY_CREATED)
        value = json_pack("[o]", value);
    sandbox_answer_json(call, 201, value);
}

void sandbox_record_create(struct sandbox_call *call)
{
    struct sandbox_collection *collection =
        sandbox_collection_of(call->sandbox, call->credential, call->entity);
    struct sandbox_write write = {.lag_ms = call->sandbox->knobs.lag_ms};
    json_t *given = sandbox_call_object(call);
    json_t *fields = given ? read_fields(call, given, false) : NULL;
    if (fields && complete(call, fields, NULL)) {
        struct sandbox_record *record =
            collection ? sandbox_data_create(collection, json_incref(fields), &write) : NULL;
        if (record) {
            sandbox_special_created(call, given, record);
            answer_created(call, record);
        } else {
            sandbox_answer_text(call, 500, NULL);
        }
    }
    json_decref(fields);
    json_decref(given);
}

/* mergeTags=true: the given tags come to those that are there. */
static void merge_tags(struct sandbox_call *call, json_t *fields, const json_t *before)
{
    struct slice value;
    const json_t *given = json_object_get(fields, "tags"), *tag, *other;
    json_t *tags;
    size_t i, k;
    if (!json_is_array(given) || !url_query_find(call->query, SLICE("mergeTags"), &value) ||
        !slice_equal(value, SLICE("true")))
        return;
    tags = json_array();
    json_array_extend(tags, json_object_get(before, "tags"));
    json_array_foreach(given, i, tag)
    {
        bool there = false;
        json_array_foreach(tags, k, other) there = there || json_equal(tag, other);
        if (!there)
            json_array_append(tags, (json_t *)(uintptr_t)tag);
    }
    json_object_set_new(fields, "tags", tags);
}

static void update(struct sandbox_call *call, struct sandbox_collection *collection,
                   struct sandbox_record *record)
{
    struct sandbox_write write = {.lag_ms = call->sandbox->knobs.lag_ms};
    json_t *given = sandbox_call_object(call);
    json_t *fields = given ? read_fields(call, given, true) : NULL;
    if (fields && complete(call, fields, record->latest)) {
        merge_tags(call, fields, record->latest);
        int rc = sandbox_data_update(collection, record, fields, &write);
        sandbox_answer_json(call, rc == 0 ? 200 : 500, rc == 0 ? json_incref(record->latest) : NULL);
    }
    json_decref(fields);
    json_decref(given);
}

static void erase(struct sandbox_call *call, struct sandbox_collection *collection,
                  struct sandbox_record *record)
{
    struct sandbox_write write = {.lag_ms = call->sandbox->knobs.lag_ms};
    sandbox_data_delete(collection, record, &write);
    sandbox_answer_json(call, 200, json_array());
}

void sandbox_record_serve(struct sandbox_call *call)
{
    struct sandbox_collection *collection =
        sandbox_collection_of(call->sandbox, call->credential, call->entity);
    struct sandbox_record *record = collection ? sandbox_record_find(collection, call->segments[1]) : NULL;
    unsigned can = call->entity->flags;
    if (!collection)
        sandbox_answer_text(call, 500, NULL);
    else if (record && record->seen && call->method == METHOD_GET && can & SANDBOX_CAN_GET)
        sandbox_answer_text(call, 200, sandbox_text_retain(sandbox_record_text(record)));
    else if (record && record->latest && call->method == METHOD_PUT && can & SANDBOX_CAN_UPDATE)
        update(call, collection, record);
    else if (record && record->latest && call->method == METHOD_DELETE && can & SANDBOX_CAN_DELETE)
        erase(call, collection, record);
    else
        sandbox_answer_not_found(call);
}
