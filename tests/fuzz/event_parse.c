/*
 * event_parse on any body: what is accepted keeps every promise of the header; what it makes stale can be
 * asked. And a signature made over the body verifies, while the body's own bytes do not pass for one.
 */
#include <stdint.h>
#include <stdlib.h>

#include "event/event.h"

static void must(bool holds)
{
    if (!holds)
        abort();
}

static bool is_text(struct slice s)
{
    return s.len >= 1 && s.len <= EVENT_TEXT_MAX;
}

static void must_be_normal(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        must(name.ptr[i] != '-' && !(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z'));
}

static void on_touch(struct slice entity, void *arg)
{
    const struct event *event = arg;
    must(entity.len > 0 && entity.len <= EVENT_TEXT_MAX && !slice_equal(entity, event->entity));
    must_be_normal(entity);
}

static void check(struct event *event)
{
    struct event_rule own = {.pattern = event->name, .stale = {event->id}, .stale_count = 1};
    size_t count;
    const struct event_rule *rules = event_default_rules(&count);
    must(is_text(event->id) && is_text(event->name));
    must(event->entity.len <= EVENT_ENTITY_MAX && event->api.len <= 32);
    must_be_normal(event->entity);
    must_be_normal(slice_of(event->api.ptr, event->api.len > 0 && memchr(event->api.ptr, '-', event->api.len)
                                                ? 0
                                                : event->api.len));
    must(event->id_count <= EVENT_IDS_MAX && (event->id_count == 0) == (event->ids == NULL));
    for (size_t i = 0; i < event->id_count; i++)
        must(is_text(event->ids[i]));
    event_dependants(rules, count, event->api, event->name, on_touch, event);
    event_dependants(&own, 1, event->api, event->name, on_touch, event);
}

static void check_signature(struct slice body)
{
    char storage[64];
    struct buf signature;
    for (int form = EVENT_SIGNATURE_AUTO; form <= EVENT_SIGNATURE_BODY_BASE64; form++) {
        buf_init_fixed(&signature, storage, sizeof storage);
        event_sign((enum event_signature)form, SLICE("secret"), body, &signature);
        must(!signature.failed &&
             event_verify(EVENT_SIGNATURE_AUTO, SLICE("secret"), body, buf_slice(&signature)));
        must(!event_verify(EVENT_SIGNATURE_AUTO, SLICE("other"), body, buf_slice(&signature)));
    }
    must(!event_verify(EVENT_SIGNATURE_AUTO, SLICE("secret"), body, body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = slice_of((const char *)data, size);
    struct event event;
    struct fault fault = {.text = ""};
    int rc = event_parse(&event, body, &fault);
    must(rc == 0 || rc == ERR_SYNTAX || rc == ERR_LIMIT || rc == ERR_NOMEM);
    must((rc == 0) == (event.owned != NULL) && (rc == 0 || fault.text[0] != '\0'));
    if (rc == 0)
        check(&event);
    event_deinit(&event);
    if (size % 8 == 0)
        check_signature(body);
    return 0;
}
