/* Webhook subscriptions on the wire (rollout-facts 4.1 and 5). */
#include "http/json.h"
#include "http/url.h"
#include "rollout/rollout.h"

enum { PAGE = 100, NUMBER_MAX = 24 };

/* --- requests ----------------------------------------------------------------------------------------- */

int rollout_webhooks_path(struct buf *out, struct slice next)
{
    buf_append_text(out, "/webhooks?");
    if (next.len > 0)
        return buf_append_slice(out, next);
    return buf_append_format(out, "limit=%d", PAGE);
}

int rollout_webhook_path(struct buf *out, struct slice id)
{
    buf_append_text(out, "/webhooks/");
    return url_encode(out, id);
}

int rollout_webhook_body(struct buf *out, struct slice url, struct slice event)
{
    buf_append_text(out, "{\"url\":\"");
    buf_append_json(out, url);
    if (event.len > 0) {
        buf_append_text(out, "\",\"event\":\"");
        buf_append_json(out, event);
    }
    return buf_append_text(out, "\"}");
}

/* --- answers ------------------------------------------------------------------------------------------ */

static bool is_filtered(const json_t *value)
{
    const json_t *filters = json_object_get(value, "filters");
    return filters && !json_is_null(filters) && !(json_is_object(filters) && json_object_size(filters) == 0);
}

/* An id is a string; a number is taken, too. */
static struct slice id_of(const json_t *value, char number[NUMBER_MAX])
{
    const json_t *id = json_object_get(value, "id");
    struct buf text;
    if (!json_is_integer(id))
        return json_text(value, "id");
    buf_init_fixed(&text, number, NUMBER_MAX);
    buf_append_format(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    return buf_slice(&text);
}

/* False: it is none. */
static bool read_one(const json_t *value, char number[NUMBER_MAX], struct rollout_webhook *out)
{
    *out = (struct rollout_webhook){
        .id = id_of(value, number),
        .event = json_text(value, "event"),
        .url = json_text(value, "url"),
        .active = slice_equal_nocase(json_text(value, "status"), SLICE("active")),
        .filtered = is_filtered(value),
    };
    return out->id.len > 0 && out->event.len > 0;
}

/* Under the name that the envelope tells, else under the path's. */
static const json_t *items_of(const json_t *root)
{
    const json_t *told = json_object_get(json_object_get(root, "_metadata"), "collection");
    const json_t *items =
        json_is_string(told) ? json_object_get(root, json_string_value(told)) : (const json_t *)NULL;
    if (!json_is_array(items))
        items = json_object_get(root, "webhooks");
    if (!json_is_array(items))
        items = json_object_get(root, "data");
    return json_is_array(root) ? root : items;
}

/* It becomes a part of a request line as it is: a blank or a line end would be the end of it. */
static bool is_query(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f)
            return false;
    return true;
}

/* The query of the following page; nothing after the last. */
static int put_next(struct buf *out, const json_t *root, size_t count)
{
    const json_t *about = json_object_get(root, "_metadata");
    struct slice next = json_text(about, "next"), link = json_text(about, "nextLink"), rest;
    if (next.len > 0) {
        buf_append_format(out, "limit=%d&next=", PAGE);
        return url_encode(out, next);
    }
    if (slice_cut(link, '?', &next, &rest) && rest.len > 0)
        return is_query(rest) ? buf_append_slice(out, rest) : ERR_SYNTAX;
    json_int_t offset = json_integer_value(json_object_get(about, "offset"));
    json_int_t total = json_integer_value(json_object_get(about, "total"));
    if (count == 0 || offset < 0 || total <= offset + (json_int_t)count)
        return 0;
    return buf_append_format(out, "limit=%d&offset=%" JSON_INTEGER_FORMAT, PAGE, offset + (json_int_t)count);
}

int rollout_webhooks_read(struct slice body, bool (*visit)(const struct rollout_webhook *webhook, void *arg),
                          void *arg, struct buf *next)
{
    char number[NUMBER_MAX];
    struct fault fault;
    struct rollout_webhook webhook;
    json_t *root = json_read(body, ROLLOUT_ANSWER_MAX, &fault);
    const json_t *items = items_of(root), *value;
    int error = json_is_array(items) ? 0 : ERR_SYNTAX;
    size_t i;
    json_array_foreach(items, i, value)
    {
        if (!error && !(read_one(value, number, &webhook) && visit(&webhook, arg)))
            error = ERR_LIMIT;
    }
    if (!error)
        error = put_next(next, root, json_array_size(items));
    json_decref(root);
    return error;
}

int rollout_webhook_read(struct slice body, void (*visit)(const struct rollout_webhook *webhook, void *arg),
                         void *arg)
{
    char number[NUMBER_MAX];
    struct fault fault;
    struct rollout_webhook webhook;
    json_t *root = json_read(body, ROLLOUT_ANSWER_MAX, &fault);
    const json_t *value = json_is_array(root) ? json_array_get(root, 0) : root;
    int error = value && read_one(value, number, &webhook) ? 0 : ERR_SYNTAX;
    if (!error)
        visit(&webhook, arg);
    json_decref(root);
    return error;
}
