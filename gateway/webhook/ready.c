/*
 * POST /webhooks/rollout, without a token: Rollout's callback, set for the whole account in its dashboard,
 * when the first sync of a credential is over. Signed as events are. What it says is not documented; the
 * credential is looked for under the names that it may have. Whoever waits for that credential asks at once,
 * so a word too many does no harm: nothing is remembered of it.
 */
#include "base/log.h"
#include "http/json.h"
#include "webhook_internal.h"

static struct slice id_in(const json_t *object)
{
    static const char *const names[] = {"credentialId", "credential_id", "credential"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct slice id = json_text(object, names[i]);
        if (id.len > 0)
            return id;
    }
    struct slice id = json_text(json_object_get(object, "credential"), "id");
    return id.len > 0 ? id : json_text(object, "id");
}

/* On its own, or in an envelope, whose own id is another. */
static struct slice find_id(const json_t *root)
{
    struct slice id = id_in(json_object_get(root, "data"));
    return id.len > 0 ? id : id_in(root);
}

static void log_callback(struct slice credential_id)
{
    struct log_line line;
    if (!log_begin(&line, LOG_INFO, "webhook"))
        return;
    log_cstr(&line, "name", "sync-completed");
    if (credential_id.len > 0)
        log_id(&line, "credential", credential_id);
    log_cstr(&line, "outcome", credential_id.len > 0 ? "accepted" : "ignored");
    log_end(&line);
}

/* What there was before was read from an account without data. */
static void take(struct webhook *webhook, struct slice credential_id)
{
    struct cache_subject subject = {.credential = credential_id};
    log_callback(credential_id);
    webhook_count(&webhook->stats.accepted);
    if (credential_id.len == 0)
        return;
    cache_invalidate(webhook->cache, &subject);
    if (webhook->on_ready)
        webhook->on_ready(webhook->ready_owner, credential_id);
}

static void on_collected(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct webhook *webhook = x->user;
    struct fault fault = {""};
    if (!webhook_believes(webhook, x, problem, body))
        return;
    json_t *root = json_read(body, webhook->options.body_max, &fault);
    if (!json_is_object(root)) {
        webhook_count(&webhook->stats.malformed);
        server_problem(x, PROBLEM_BAD_REQUEST, "", "", "%s", root ? "not an object" : fault.text);
    } else {
        take(webhook, find_id(root));
        server_reply(x, 204, "", "", SLICE(""));
    }
    json_decref(root);
}

static void on_done(struct server_exchange *x, enum server_outcome outcome)
{
    (void)x;
    (void)outcome;
}

bool ready_takes(struct webhook *webhook, struct server_exchange *x)
{
    struct slice target = x->request.target;
    if (!slice_equal(slice_of(target.ptr, slice_find(target, '?')), SLICE("/webhooks/rollout")))
        return false;
    x->on_done = on_done;
    x->user = webhook;
    if (x->request.method == METHOD_POST)
        server_collect(x, webhook->options.body_max, on_collected);
    else
        server_problem(x, PROBLEM_METHOD_NOT_ALLOWED, "Allow: POST\r\n", "", "webhooks are POSTed");
    return true;
}

void webhook_on_ready(struct webhook *webhook, void *owner,
                      void (*on_ready)(void *owner, struct slice credential_id))
{
    webhook->ready_owner = owner;
    webhook->on_ready = on_ready;
}
