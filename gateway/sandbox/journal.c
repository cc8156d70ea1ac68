/* What the sandbox saw: counters always, whole requests when asked to record. Tests read here what reached
 * Rollout. */
#include <stdlib.h>

#include "base/digest.h"
#include "sandbox/sandbox_internal.h"

enum { HEAD_MAX = 256 * 1024, PART_MAX = 8192 };

/* --- entries
 * ------------------------------------------------------------------------------------------------- */

static void release_entry(struct sandbox_entry *entry)
{
    if (--entry->references > 0)
        return;
    sandbox_text_release(entry->head);
    sandbox_text_release(entry->body);
    free(entry);
}

static void drop_oldest(struct sandbox *sandbox)
{
    struct list *node = list_pop(&sandbox->journal);
    if (!node)
        return;
    sandbox->journal_count--;
    release_entry(container_of(node, struct sandbox_entry, node));
}

void sandbox_journal_clear(struct sandbox *sandbox)
{
    while (sandbox->journal_count > 0)
        drop_oldest(sandbox);
}

static void write_string(struct buf *out, struct slice text)
{
    buf_append_char(out, '"');
    buf_append_json(out, text);
    buf_append_char(out, '"');
}

static void write_headers(struct buf *out, const struct http_fields *fields)
{
    buf_append_text(out, ",\"headers\":[");
    for (size_t i = 0; i < fields->count; i++) {
        buf_append_text(out, i ? ",[" : "[");
        write_string(out, fields->at[i].name);
        buf_append_char(out, ',');
        write_string(out, fields->at[i].value);
        buf_append_char(out, ']');
    }
    buf_append_char(out, ']');
}

/* One part of the token as the JSON that it holds, or null; nobody has checked it. */
static void write_part(struct buf *out, const char *name, struct slice part)
{
    char storage[PART_MAX];
    struct buf buf;
    struct fault fault;
    buf_init_fixed(&buf, storage, sizeof storage);
    json_t *value =
        digest_unbase64url(&buf, part) == 0 ? json_read(buf_slice(&buf), sizeof storage, &fault) : NULL;
    buf_append_format(out, ",\"%s\":", name);
    if (!value || json_write(out, value) != 0)
        buf_append_text(out, "null");
    json_decref(value);
}

static void write_token(struct buf *out, const struct http_fields *fields)
{
    struct slice value = http_value(fields, FIELD_AUTHORIZATION), scheme, token, header, claims, rest;
    slice_cut(value, ' ', &scheme, &token);
    slice_cut(token, '.', &header, &rest);
    slice_cut(rest, '.', &claims, &rest);
    write_part(out, "token_header", header);
    write_part(out, "claims", claims);
}

static struct sandbox_text *describe(const struct sandbox_call *call)
{
    const struct http_request *request = &call->x->request;
    struct buf buf;
    buf_init(&buf, HEAD_MAX);
    buf_append_text(&buf, "\"method\":");
    write_string(&buf, request->method_name);
    buf_append_text(&buf, ",\"target\":");
    write_string(&buf, request->target);
    buf_append_format(&buf, ",\"version\":\"1.%d\",\"api\":\"%s\"", request->minor,
                      sandbox_api_name(call->api));
    write_headers(&buf, &request->fields);
    write_token(&buf, &request->fields);
    struct sandbox_text *text = buf.failed ? NULL : sandbox_text_create(buf_slice(&buf));
    buf_deinit(&buf);
    return text;
}

/* Without memory the request is not recorded, no more. */
void sandbox_journal_begin(struct sandbox_call *call)
{
    struct sandbox *sandbox = call->sandbox;
    struct sandbox_entry *entry = sandbox->knobs.record ? calloc(1, sizeof *entry) : NULL;
    if (!entry)
        return;
    entry->head = describe(call);
    if (!entry->head) {
        free(entry);
        return;
    }
    entry->references = 2;
    call->entry = entry;
    list_push_back(&sandbox->journal, &entry->node);
    if (++sandbox->journal_count > SANDBOX_JOURNAL)
        drop_oldest(sandbox);
}

void sandbox_journal_body(struct sandbox_call *call)
{
    if (!call->entry)
        return;
    call->entry->body_length = call->body.len;
    if (call->body.len > 0 && call->body.len <= SANDBOX_JOURNAL_BODY)
        call->entry->body = sandbox_text_create(call->body);
}

void sandbox_journal_end(struct sandbox_call *call)
{
    if (!call->entry)
        return;
    call->entry->status = call->x->status;
    release_entry(call->entry);
    call->entry = NULL;
}

bool sandbox_journal_write(const struct sandbox *sandbox, struct buf *out)
{
    const char *separator = "";
    buf_append_text(out, "{\"requests\":[");
    list_each (node, (struct list *)(uintptr_t)&sandbox->journal) {
        const struct sandbox_entry *entry = container_of(node, struct sandbox_entry, node);
        buf_append_text(out, separator);
        buf_append_char(out, '{');
        buf_append(out, entry->head->bytes, entry->head->len);
        buf_append_format(out, ",\"status\":%d,\"body_length\":%llu,\"body\":", entry->status,
                          (unsigned long long)entry->body_length);
        if (entry->body)
            write_string(out, slice_of(entry->body->bytes, entry->body->len));
        else
            buf_append_text(out, "null");
        buf_append_char(out, '}');
        separator = ",";
    }
    buf_append_text(out, "]}");
    return !out->failed;
}

/* --- counters
 * ------------------------------------------------------------------------------------------------ */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *stats_by_api(const struct sandbox_stats *stats)
{
    json_t *object = json_object();
    for (unsigned i = 0; i <= SANDBOX_API_COUNT; i++) {
        if (stats->by_api[i] > 0)
            json_object_set_new(object,
                                i < SANDBOX_API_COUNT ? sandbox_api_name((enum sandbox_api)i) : "none",
                                number(stats->by_api[i]));
    }
    return object;
}

static json_t *stats_by_entity(const struct sandbox *sandbox)
{
    json_t *object = json_object();
    for (size_t i = 0; i < sandbox_entity_count; i++) {
        char key[64] = "";
        struct buf buf;
        if (sandbox->by_entity[i] == 0)
            continue;
        buf_init_fixed(&buf, key, sizeof key - 1);
        buf_append_text(&buf, sandbox_api_name(sandbox_entities[i].api));
        buf_append_char(&buf, '/');
        buf_append_text(&buf, sandbox_entities[i].path);
        key[buf.len] = '\0';
        json_object_set_new(object, key, number(sandbox->by_entity[i]));
    }
    return object;
}

static json_t *stats_by_status(const struct sandbox_stats *stats)
{
    json_t *object = json_object();
    for (unsigned i = 200; i < 600; i++) {
        char key[4] = {(char)('0' + i / 100), (char)('0' + i / 10 % 10), (char)('0' + i % 10), '\0'};
        if (stats->by_status[i] > 0)
            json_object_set_new(object, key, number(stats->by_status[i]));
    }
    return object;
}

json_t *sandbox_stats_json(const struct sandbox *sandbox)
{
    const struct sandbox_stats *stats = &sandbox->stats;
    json_t *object = json_pack("{s:o,s:o,s:o,s:o,s:o}", "requests", number(stats->requests), "by_api",
                               stats_by_api(stats), "by_entity", stats_by_entity(sandbox), "by_status",
                               stats_by_status(stats), "unanswered", number(stats->unanswered));
    json_t *deliveries =
        json_pack("{s:o,s:o,s:o,s:o,s:o}", "attempts", number(stats->attempts), "delivered",
                  number(stats->delivered), "failed", number(stats->failed), "dropped",
                  number(stats->dropped), "waiting", number(sandbox_deliver_waiting(sandbox)));
    json_object_set_new(object, "events", number(stats->events));
    json_object_set_new(object, "deliveries", deliveries);
    json_object_set_new(object, "connections", number(server_connections(sandbox->server)));
    return object;
}
