#include <stdio.h>
#include <stdlib.h>

#include "event/event_internal.h"
#include "http/json.h"
#include "http/url.h"

enum { API_MAX = 32, NUMBER_MAX = 21 };

/* --- checks ------------------------------------------------------------------------------------------- */

/* A member that has to be a string of 1 to EVENT_TEXT_MAX bytes. */
static int read_text(const json_t *root, const char *key, struct slice *out, struct fault *fault)
{
    *out = json_text(root, key);
    if (out->len == 0)
        return fault_set(fault, ERR_SYNTAX, "%s: a string is wanted here", key);
    if (out->len > EVENT_TEXT_MAX)
        return fault_set(fault, ERR_LIMIT, "%s: longer than %d bytes", key, EVENT_TEXT_MAX);
    return 0;
}

/* --- which api ---------------------------------------------------------------------------------------- */

/* "https://crm.universal.rollout.com/people?ids=…" -> "crm". Only hosts of Rollout tell; the label is
 * lower-cased into `out`. */
static struct slice api_of(struct slice uri, char out[API_MAX])
{
    static const struct slice core = {"universal.rollout.com", 21};
    struct slice label, rest;
    struct url url;
    if (uri.len == 0 || !url_parse(uri, &url))
        return SLICE("");
    if (slice_equal_nocase(url.host, core))
        return SLICE("core");
    slice_cut(url.host, '.', &label, &rest);
    if (!slice_equal_nocase(rest, core) || label.len > API_MAX)
        return SLICE("");
    for (size_t i = 0; i < label.len; i++)
        out[i] = (char)(label.ptr[i] >= 'A' && label.ptr[i] <= 'Z' ? label.ptr[i] | 0x20 : label.ptr[i]);
    return slice_of(out, label.len);
}

/* --- ids ---------------------------------------------------------------------------------------------- */

static int read_id(const json_t *item, struct slice *id, char **text, struct fault *fault)
{
    if (json_is_integer(item)) {
        int len = snprintf(*text, NUMBER_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(item));
        *id = slice_of(*text, (size_t)len);
        *text += len;
        return 0;
    }
    *id = slice_of(json_string_value(item), json_string_length(item));
    if (id->len == 0)
        return fault_set(fault, ERR_SYNTAX, "resourceIds: an item is not a string");
    if (id->len > EVENT_TEXT_MAX)
        return fault_set(fault, ERR_LIMIT, "resourceIds: an item is longer than %d bytes", EVENT_TEXT_MAX);
    return 0;
}

/* Follow Up Boss, whose payload Rollout copies, names records by number: taken as digits. */
static int read_ids(struct event *event, const json_t *ids, char *text, struct fault *fault)
{
    size_t count = json_array_size(ids);
    if (count == 0)
        return 0;
    event->ids = calloc(count, sizeof *event->ids);
    if (!event->ids)
        return fault_set(fault, ERR_NOMEM, "%s", error_text(ERR_NOMEM));
    for (; event->id_count < count; event->id_count++) {
        int rc = read_id(json_array_get(ids, event->id_count), &event->ids[event->id_count], &text, fault);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int check_ids(const json_t *ids, struct fault *fault)
{
    if (ids && !json_is_null(ids) && !json_is_array(ids))
        return fault_set(fault, ERR_SYNTAX, "resourceIds: an array is wanted here");
    if (json_array_size(ids) > EVENT_IDS_MAX)
        return fault_set(fault, ERR_LIMIT, "resourceIds: more than %d items", EVENT_IDS_MAX);
    return 0;
}

static size_t count_numbers(const json_t *ids)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(ids); i++)
        count += json_is_integer(json_array_get(ids, i));
    return count;
}

/* --- the whole ---------------------------------------------------------------------------------------- */

/* What has to be written anew stands in one block: entity, api, numbers. */
static int read_rest(struct event *event, const json_t *root, struct fault *fault)
{
    const json_t *ids = json_object_get(root, "resourceIds");
    int rc = check_ids(ids, fault);
    if (rc != 0)
        return rc;
    event->text = malloc(event->name.len + API_MAX + NUMBER_MAX * (count_numbers(ids) + 1));
    if (!event->text)
        return fault_set(fault, ERR_NOMEM, "%s", error_text(ERR_NOMEM));
    event->entity = event_entity_of(event_normalise_into(event->text, event->name));
    if (event->entity.len > EVENT_ENTITY_MAX)
        event->entity.len = EVENT_ENTITY_MAX;
    event->api = api_of(json_text(root, "uri"), event->text + event->name.len);
    return read_ids(event, ids, event->text + event->name.len + API_MAX, fault);
}

static int read_event(struct event *event, const json_t *root, struct fault *fault)
{
    if (!json_is_object(root))
        return fault_set(fault, ERR_SYNTAX, "an object is wanted");
    int rc = read_text(root, "eventId", &event->id, fault);
    if (rc == 0)
        rc = read_text(root, "event", &event->name, fault);
    if (rc == 0 && !slice_is_name(event->name, EVENT_TEXT_MAX, "-_.:"))
        rc = fault_set(fault, ERR_SYNTAX, "event: not the name of an event");
    return rc == 0 ? read_rest(event, root, fault) : rc;
}

int event_parse(struct event *event, struct slice body, struct fault *fault)
{
    *event = (struct event){0};
    json_t *root = json_read(body, body.len, fault);
    if (!root)
        return ERR_SYNTAX;
    event->owned = root;
    int rc = read_event(event, root, fault);
    if (rc != 0)
        event_deinit(event);
    return rc;
}

int event_write(struct event *event, const struct event_origin *origin, struct buf *out)
{
    const struct {
        const char *key;
        struct slice value;
    } added[] = {
        {"tenant", origin->tenant}, {"credential_id", origin->credential_id}, {"app_key", origin->app_key}};
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        struct slice value = added[i].value;
        json_t *text = json_stringn(value.len ? value.ptr : "", value.len);
        if (!text)
            return ERR_INVALID;
        if (json_object_set_new(event->owned, added[i].key, text))
            return ERR_NOMEM;
    }
    return json_write(out, event->owned);
}

void event_deinit(struct event *event)
{
    json_decref(event->owned);
    free(event->ids);
    free(event->text);
    *event = (struct event){0};
}
