/* Webhooks (rollout-facts 5): which subscriptions an event meets, and the payload, which names neither tenant
 * nor credential. */
#include "base/clock.h"
#include "sandbox/sandbox_internal.h"

enum { NAME_MAX_LEN = 64, PAYLOAD_MAX = 256 * 1024 };

/* --- names
 * --------------------------------------------------------------------------------------------------- */

static bool same_name(struct slice a, struct slice b)
{
    char one[NAME_MAX_LEN], other[NAME_MAX_LEN];
    struct buf x, y;
    buf_init_fixed(&x, one, sizeof one);
    buf_init_fixed(&y, other, sizeof other);
    return event_normalise(&x, a) == 0 && event_normalise(&y, b) == 0 &&
           slice_equal(buf_slice(&x), buf_slice(&y));
}

static bool match_entity(const struct sandbox_entity *entity, struct slice name, struct buf *out)
{
    static const char *const endings[] = {"Created", "Updated", "Deleted", "TagsCreated"};
    size_t count = strcmp(entity->path, "people") ? 3 : 4;
    for (size_t i = 0; i < count; i++) {
        char storage[NAME_MAX_LEN];
        struct buf buf;
        buf_init_fixed(&buf, storage, sizeof storage);
        sandbox_event_name(entity, endings[i], &buf);
        if (same_name(name, buf_slice(&buf))) {
            buf_append_slice(out, buf_slice(&buf));
            return true;
        }
    }
    return false;
}

bool sandbox_event_known(enum sandbox_api api, struct slice name, struct buf *out)
{
    for (size_t i = 0; i < sandbox_entity_count; i++) {
        const struct sandbox_entity *entity = &sandbox_entities[i];
        if (entity->api == api && !(entity->flags & SANDBOX_BARE) && match_entity(entity, name, out))
            return true;
    }
    return false;
}

/* --- subscriptions
 * ------------------------------------------------------------------------------------------- */

bool sandbox_hook_check(struct sandbox_call *call, json_t *fields, bool partial)
{
    char storage[NAME_MAX_LEN];
    struct buf name;
    struct url url;
    buf_init_fixed(&name, storage, sizeof storage);
    if (json_object_get(fields, "url") && !url_parse(json_text(fields, "url"), &url)) {
        sandbox_call_invalid(call, "/url", "Expected URL");
        return false;
    }
    if (json_object_get(fields, "event")) {
        if (!sandbox_event_known(call->api, json_text(fields, "event"), &name)) {
            sandbox_call_invalid(call, "/event", "Unknown event");
            return false;
        }
        json_object_set_new(fields, "event", json_stringn(name.ptr, name.len));
    }
    if (!partial && !json_object_get(fields, "status"))
        json_object_set_new(fields, "status", json_string("Active"));
    if (!partial && !json_object_get(fields, "filters"))
        json_object_set_new(fields, "filters", json_object());
    return true;
}

/* --- events
 * -------------------------------------------------------------------------------------------------- */

/* The uri lacks the /api of the API's own paths, as documented. */
static struct sandbox_text *make_payload(const struct sandbox_entity *entity, struct slice event,
                                         const char *const *ids, size_t count)
{
    char id[SANDBOX_ID_SIZE], now[SANDBOX_TIME_SIZE];
    struct buf buf;
    sandbox_fresh_id(id);
    sandbox_format_time(clock_wall_ms(), false, now);
    buf_init(&buf, PAYLOAD_MAX);
    buf_append_format(&buf,
                      "{\"eventId\":\"%s\",\"eventCreated\":\"%s\",\"event\":\"%.*s\",\"resourceIds\":[", id,
                      now, SLICE_ARG(event));
    for (size_t i = 0; i < count; i++) {
        buf_append_text(&buf, i ? ",\"" : "\"");
        buf_append_json(&buf, slice_from(ids[i]));
        buf_append_char(&buf, '"');
    }
    buf_append_format(&buf,
                      "],\"uri\":\"https://%s.universal.rollout.com/%s?ids=", sandbox_api_name(entity->api),
                      entity->path);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append_char(&buf, ',');
        url_encode(&buf, slice_from(ids[i]));
    }
    buf_append_text(&buf, "\"}");
    struct sandbox_text *text = buf.failed ? NULL : sandbox_text_create(buf_slice(&buf));
    buf_deinit(&buf);
    return text;
}

static bool wants(const struct sandbox_record *subscription, struct slice event)
{
    const json_t *value = subscription->seen;
    return value && slice_equal(json_text(value, "status"), SLICE("Active")) &&
           slice_equal(json_text(value, "event"), event);
}

/* One payload, and so one eventId, for all who subscribed. */
void sandbox_emit(struct sandbox *sandbox, struct sandbox_credential *credential,
                  const struct sandbox_entity *entity, const char *what, const char *const *ids, size_t count)
{
    const struct sandbox_entity *hooks = sandbox_entity_find(entity->api, SLICE("webhooks"));
    struct sandbox_collection *all = hooks ? sandbox_collection_of(sandbox, credential, hooks) : NULL;
    struct sandbox_text *payload = NULL;
    char storage[NAME_MAX_LEN];
    struct buf event;
    buf_init_fixed(&event, storage, sizeof storage);
    sandbox_event_name(entity, what, &event);
    sandbox->stats.events++;
    for (size_t i = 0; all && i < all->count; i++) {
        if (!wants(all->at[i], buf_slice(&event)))
            continue;
        if (!payload)
            payload = make_payload(entity, buf_slice(&event), ids, count);
        if (payload)
            sandbox_deliver(sandbox, json_text(all->at[i]->seen, "url"), payload);
    }
    sandbox_text_release(payload);
}

/* --- by hand
 * ------------------------------------------------------------------------------------------------- */

static bool is_subscribed(const struct sandbox_collection *hooks, struct slice url, struct slice event)
{
    for (size_t i = 0; i < hooks->count; i++) {
        const json_t *value = hooks->at[i]->latest;
        if (value && slice_equal(json_text(value, "url"), url) &&
            slice_equal(json_text(value, "event"), event))
            return true;
    }
    return false;
}

static int subscribe_event(struct sandbox_collection *hooks, struct slice url,
                           const struct sandbox_entity *entity, const char *what)
{
    const struct sandbox_write write = {0};
    char storage[NAME_MAX_LEN];
    struct buf event;
    buf_init_fixed(&event, storage, sizeof storage);
    sandbox_event_name(entity, what, &event);
    if (is_subscribed(hooks, url, buf_slice(&event)))
        return 0;
    json_t *fields = json_pack("{s:s#,s:s#,s:{},s:s}", "url", url.ptr, (int)url.len, "event", event.ptr,
                               (int)event.len, "filters", "status", "Active");
    return sandbox_data_create(hooks, fields, &write) ? 0 : ERR_NOMEM;
}

static int subscribe_entity(struct sandbox_collection *hooks, struct slice url,
                            const struct sandbox_entity *entity)
{
    static const char *const endings[] = {"Created", "Updated", "Deleted", "TagsCreated"};
    size_t count = strcmp(entity->path, "people") ? 3 : 4;
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = subscribe_event(hooks, url, entity, endings[i]);
    return rc;
}

int sandbox_subscribe(struct sandbox *sandbox, struct slice credential_id, struct slice url)
{
    struct sandbox_credential *credential = sandbox_credential_find(sandbox, credential_id);
    struct url parsed;
    int rc = 0;
    if (!credential)
        return ERR_NOTFOUND;
    if (!url_parse(url, &parsed))
        return ERR_SYNTAX;
    for (size_t i = 0; i < sandbox_entity_count && rc == 0; i++) {
        const struct sandbox_entity *entity = &sandbox_entities[i];
        const struct sandbox_entity *hooks = sandbox_entity_find(entity->api, SLICE("webhooks"));
        if (!(credential->apis & 1U << entity->api) || entity->flags & SANDBOX_BARE)
            continue;
        struct sandbox_collection *all = sandbox_collection_of(sandbox, credential, hooks);
        rc = all ? subscribe_entity(all, url, entity) : ERR_NOMEM;
    }
    return rc;
}
