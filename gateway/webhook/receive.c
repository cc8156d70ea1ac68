/* The receiver: one request, one event. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/log.h"
#include "credential/credential.h"
#include "inbox.h"
#include "webhook_internal.h"

enum { DELIVERY_TEXTS = 1024, DELIVERY_TEXTS_MAX = 4096, BODY_GROWTH = 8 /* numbers are written anew */ };

/* One delivery. In the heap: the commit may outlive the exchange when the sender leaves. */
struct delivery {
    struct store_change change;
    struct webhook *webhook;
    struct server_exchange *x; /* NULL once the sender has left */
    bool stale;                /* what the event is about has been made stale */
    bool taken;                /* new, and in the outbox; else it came twice at the same time */
    struct letter letter;
    struct buf body;
    struct arena arena; /* the letter's other texts, and */
    struct slice key;   /* of the inbox */
    int first_table;    /* likewise: the options are the loop's, the commit is not on it */
    _Alignas(max_align_t) char texts[DELIVERY_TEXTS];
};

/* What stands in the exchange's arena while the body comes. */
struct arrival {
    struct webhook *webhook;
    struct delivery *delivery; /* once the commit is under way */
    struct event_origin origin;
    struct slice apis[CREDENTIAL_API_MAX];
    size_t api_count;
};

/* --- options
 * ------------------------------------------------------------------------------------------------------ */

static bool copy_rule(struct arena *arena, struct event_rule *rule)
{
    rule->api = arena_copy(arena, rule->api);
    rule->pattern = arena_copy(arena, rule->pattern);
    bool good = rule->api.ptr && rule->pattern.ptr;
    for (size_t i = 0; i < rule->stale_count && good; i++) {
        rule->stale[i] = arena_copy(arena, rule->stale[i]);
        good = rule->stale[i].ptr != NULL;
    }
    return good;
}

static int copy_options(struct arena *arena, const struct webhook_options *from, struct webhook_options *to)
{
    *to = *from;
    struct slice *apis = arena_alloc(arena, (from->api_count + 1) * sizeof *apis);
    struct event_rule *rules = arena_alloc(arena, (from->dependency_count + 1) * sizeof *rules);
    to->secret = arena_copy(arena, from->secret);
    to->previous_secret = arena_copy(arena, from->previous_secret);
    if (!apis || !rules || !to->secret.ptr || !to->previous_secret.ptr)
        return ERR_NOMEM;
    for (size_t i = 0; i < from->api_count; i++) {
        apis[i] = arena_copy(arena, from->apis[i]);
        if (!apis[i].ptr)
            return ERR_NOMEM;
    }
    for (size_t i = 0; i < from->dependency_count; i++) {
        rules[i] = from->dependencies[i];
        if (!copy_rule(arena, &rules[i]))
            return ERR_NOMEM;
    }
    to->apis = apis;
    to->dependencies = rules;
    return 0;
}

/* `copy` is the arena's, not the caller's. */
static void wipe(struct slice copy)
{
    if (copy.ptr)
        digest_wipe((char *)(uintptr_t)copy.ptr, copy.len);
}

static void wipe_options(struct webhook *webhook)
{
    wipe(webhook->options.secret);
    wipe(webhook->options.previous_secret);
    arena_reset(&webhook->arena);
}

int webhook_configure(struct webhook *webhook, const struct webhook_options *options)
{
    struct arena arena;
    struct webhook_options copy;
    arena_init(&arena, NULL, 0, 4 * 1024 * 1024);
    int error = copy_options(&arena, options, &copy);
    if (error) {
        arena_reset(&arena);
        return error;
    }
    wipe_options(webhook);
    webhook->arena = arena;
    webhook->options = copy;
    return 0;
}

struct webhook *webhook_create(struct loop *loop, struct outbox *outbox, struct cache *cache,
                               const struct webhook_options *options)
{
    struct webhook *webhook = calloc(1, sizeof *webhook);
    if (!webhook)
        return NULL;
    webhook->loop = loop;
    webhook->outbox = outbox;
    webhook->cache = cache;
    arena_init(&webhook->arena, NULL, 0, 4 * 1024 * 1024);
    webhook->view = store_view_create(outbox_store(outbox));
    if (webhook->view)
        webhook->streams = streams_create(loop, outbox, webhook->view);
    if (!webhook->streams || webhook_configure(webhook, options)) {
        webhook_destroy(webhook);
        return NULL;
    }
    return webhook;
}

void webhook_destroy(struct webhook *webhook)
{
    if (!webhook)
        return;
    streams_destroy(webhook->streams);
    store_view_destroy(webhook->view);
    wipe_options(webhook);
    free(webhook);
}

/* --- what an event makes stale
 * -------------------------------------------------------------------------------------- */

struct touch {
    struct cache *cache;
    struct cache_subject subject;
};

static void on_touch(struct slice entity, void *arg)
{
    struct touch *touch = arg;
    struct cache_subject subject = touch->subject;
    subject.entity = entity;
    subject.id = (struct slice){NULL, 0};
    cache_invalidate(touch->cache, &subject);
}

static void invalidate_api(const struct webhook *webhook, struct slice credential_id, struct slice api,
                           const struct event *event)
{
    struct touch touch = {webhook->cache, {credential_id, api, event->entity, {NULL, 0}}};
    for (size_t i = 0; i < event->id_count; i++) {
        touch.subject.id = event->ids[i];
        cache_invalidate(webhook->cache, &touch.subject);
    }
    touch.subject.id = (struct slice){NULL, 0};
    if (event->id_count == 0)
        cache_invalidate(webhook->cache, &touch.subject); /* it does not say which: all of them */
    event_dependants(webhook->options.dependencies, webhook->options.dependency_count, api, event->name,
                     on_touch, &touch);
}

static bool serves(const struct arrival *arrival, struct slice api)
{
    for (size_t i = 0; i < arrival->api_count; i++)
        if (slice_equal(arrival->apis[i], api))
            return true;
    return arrival->api_count == 0;
}

/* The event's api is told by its uri; where it is not, it counts for every api of the credential (contract
 * 12). */
static void invalidate(const struct arrival *arrival, const struct event *event)
{
    const struct webhook_options *options = &arrival->webhook->options;
    bool told = event->api.len > 0 && serves(arrival, event->api);
    for (size_t i = 0; i < options->api_count; i++)
        if (told ? slice_equal(options->apis[i], event->api) : serves(arrival, options->apis[i]))
            invalidate_api(arrival->webhook, arrival->origin.credential_id, options->apis[i], event);
}

/* --- durability
 * ------------------------------------------------------------------------------------------------------ */

static int apply(struct store_change *change, struct store_txn *txn)
{
    struct delivery *delivery = container_of(change, struct delivery, change);
    assert(delivery->stale); /* whoever is told of the event must not find what was there before */
    delivery->taken = false;
    int error = inbox_put(txn, delivery->first_table, delivery->key, delivery->letter.at_ms);
    if (error == ERR_EXISTS)
        return 0;
    if (!error)
        error = outbox_put(delivery->webhook->outbox, txn, &delivery->letter, NULL);
    delivery->taken = error == 0;
    return error;
}

static void free_delivery(struct delivery *delivery)
{
    buf_deinit(&delivery->body);
    arena_reset(&delivery->arena);
    free(delivery);
}

static void refuse(struct server_exchange *x, int error)
{
    const char *why =
        error == ERR_FULL ? "the disk is full, or the store has reached its size" : error_text(error);
    server_problem(x, PROBLEM_STORE_UNAVAILABLE, "Retry-After: 5\r\n", "",
                   "the event could not be stored: %s", why);
}

static void on_committed(struct store_change *change)
{
    struct delivery *delivery = container_of(change, struct delivery, change);
    struct webhook *webhook = delivery->webhook;
    int error = change->outcome;
    webhook_count(error             ? &webhook->stats.failed
                  : delivery->taken ? &webhook->stats.accepted
                                    : &webhook->stats.duplicates);
    if (error)
        log_message(LOG_ERROR, "webhook-not-stored", "an event could not be made durable: %s",
                    error_text(error));
    struct server_exchange *x = delivery->x;
    if (x) {
        ((struct arrival *)x->user)->delivery = NULL;
        if (error)
            refuse(x, error);
        else
            server_reply(x, 204, "", "", SLICE(""));
    }
    if (!error && delivery->taken)
        outbox_announce(webhook->outbox);
    free_delivery(delivery);
}

/* The letter and the inbox's key: all that the commit needs, copied. */
static int compose(struct delivery *delivery, const struct arrival *arrival, struct event *event)
{
    struct arena *arena = &delivery->arena;
    struct letter *letter = &delivery->letter;
    char id[LETTER_ID_MAX], key[INBOX_KEY_MAX];
    struct buf id_text, key_text;
    buf_init_fixed(&id_text, id, sizeof id);
    buf_init_fixed(&key_text, key, sizeof key);
    int error = inbox_key(&key_text, arrival->origin.credential_id, event->id);
    if (!error)
        error = letter_id(arrival->origin.credential_id, event->id, &id_text);
    if (!error)
        error = event_write(event, &arrival->origin, &delivery->body);
    if (error)
        return error;
    delivery->key = arena_copy(arena, buf_slice(&key_text));
    *letter = (struct letter){.at_ms = clock_wall_ms(),
                              .id = arena_copy(arena, buf_slice(&id_text)),
                              .name = arena_copy(arena, event->name),
                              .tenant = arena_copy(arena, arrival->origin.tenant),
                              .credential_id = arena_copy(arena, arrival->origin.credential_id),
                              .app_key = arena_copy(arena, arrival->origin.app_key),
                              .body = buf_slice(&delivery->body)};
    return delivery->key.ptr && letter->id.ptr && letter->name.ptr && letter->tenant.ptr &&
                   letter->credential_id.ptr && letter->app_key.ptr
               ? 0
               : ERR_NOMEM;
}

/* ERR_EXISTS: seen before. */
static int look_up(const struct webhook *webhook, struct slice key)
{
    int error = store_view_begin(webhook->view);
    if (error)
        return error;
    error = inbox_find(webhook->view, webhook->options.first_table, key);
    store_view_end(webhook->view);
    return error == 0 ? ERR_EXISTS : error == ERR_NOTFOUND || error == ERR_CORRUPT ? 0 : error;
}

/* 0: committing, ERR_EXISTS: a duplicate, else an error. */
static int remember(struct server_exchange *x, struct event *event)
{
    struct arrival *arrival = x->user;
    struct webhook *webhook = arrival->webhook;
    struct delivery *delivery = calloc(1, sizeof *delivery);
    if (!delivery)
        return ERR_NOMEM;
    arena_init(&delivery->arena, delivery->texts, sizeof delivery->texts, DELIVERY_TEXTS_MAX);
    buf_init(&delivery->body, BODY_GROWTH * webhook->options.body_max + sizeof delivery->texts);
    int error = compose(delivery, arrival, event);
    if (!error)
        error = look_up(webhook, delivery->key);
    if (error) {
        free_delivery(delivery);
        return error;
    }
    invalidate(arrival, event);
    cache_event_seen(webhook->cache, arrival->origin.credential_id, loop_now(webhook->loop));
    delivery->stale = true;
    delivery->webhook = webhook;
    delivery->first_table = webhook->options.first_table;
    delivery->x = x;
    delivery->change = (struct store_change){.apply = apply, .on_done = on_committed, .loop = webhook->loop};
    arrival->delivery = delivery;
    store_submit(outbox_store(webhook->outbox), &delivery->change);
    return 0;
}

/* --- the request
 * ------------------------------------------------------------------------------------------------------- */

static void log_event_line(const struct arrival *arrival, const struct event *event, const char *outcome)
{
    struct log_line line;
    if (!log_begin(&line, LOG_INFO, "webhook"))
        return;
    log_text(&line, "name", event->name);
    log_text(&line, "api", event->api);
    log_int(&line, "ids", (int64_t)event->id_count);
    log_id(&line, "credential", arrival->origin.credential_id);
    log_cstr(&line, "outcome", outcome);
    log_end(&line);
}

static void take_event(struct server_exchange *x, struct event *event)
{
    struct arrival *arrival = x->user;
    struct webhook *webhook = arrival->webhook;
    int error = remember(x, event);
    log_event_line(arrival, event, error == 0 ? "accepted" : error == ERR_EXISTS ? "duplicate" : "failed");
    if (error == 0)
        return;
    if (error == ERR_EXISTS) {
        webhook_count(&webhook->stats.duplicates);
        server_reply(x, 204, "", "", SLICE(""));
        return;
    }
    webhook_count(&webhook->stats.failed);
    refuse(x, error);
}

/* By either secret, both always tried: the time does not tell which one it was. */
static bool is_genuine(const struct webhook *webhook, const struct server_exchange *x, struct slice body)
{
    const struct webhook_options *options = &webhook->options;
    const struct http_fields *fields = &x->request.fields;
    struct slice signature = http_value(fields, FIELD_X_ROLLOUT_SIGNATURE);
    bool present = event_verify(options->signature, options->secret, body, signature);
    bool previous = event_verify(options->signature, options->previous_secret, body, signature);
    return http_count(fields, FIELD_X_ROLLOUT_SIGNATURE) == 1 && (present || previous);
}

bool webhook_believes(struct webhook *webhook, struct server_exchange *x, enum problem problem,
                      struct slice body)
{
    if (problem != PROBLEM_COUNT) {
        webhook_count(&webhook->stats.malformed);
        server_problem(x, problem, "", "", "the body could not be taken");
        return false;
    }
    if (is_genuine(webhook, x, body))
        return true;
    webhook_count(&webhook->stats.unauthenticated);
    server_problem(x, PROBLEM_UNAUTHENTICATED, "", "", "X-Rollout-Signature is missing or wrong");
    return false;
}

static void on_collected(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct arrival *arrival = x->user;
    struct webhook *webhook = arrival->webhook;
    if (!webhook_believes(webhook, x, problem, body))
        return;
    struct event event;
    struct fault fault = {""};
    if (event_parse(&event, body, &fault)) {
        webhook_count(&webhook->stats.malformed);
        server_problem(x, PROBLEM_BAD_REQUEST, "", "", "%s", fault.text);
        return;
    }
    take_event(x, &event);
    event_deinit(&event);
}

/* The token says whose it is; nothing else in a webhook does (rollout-facts 5). */
static int find_credential(struct webhook *webhook, struct slice token, struct server_exchange *x,
                           struct arrival *arrival)
{
    struct credential found;
    int error = store_view_begin(webhook->view);
    if (error)
        return error;
    error = credential_by_token(webhook->view, token, &found);
    if (!error) {
        arrival->origin = (struct event_origin){.tenant = arena_copy(&x->arena, found.tenant),
                                                .credential_id = arena_copy(&x->arena, found.id),
                                                .app_key = arena_copy(&x->arena, found.app_key)};
        arrival->api_count = found.api_count;
        bool good =
            arrival->origin.tenant.ptr && arrival->origin.credential_id.ptr && arrival->origin.app_key.ptr;
        for (size_t i = 0; i < found.api_count; i++) {
            arrival->apis[i] = arena_copy(&x->arena, found.apis[i]);
            good = good && arrival->apis[i].ptr;
        }
        error = good ? 0 : ERR_NOMEM;
    }
    store_view_end(webhook->view);
    return error;
}

static void on_done(struct server_exchange *x, enum server_outcome outcome)
{
    (void)outcome;
    struct arrival *arrival = x->user;
    if (arrival && arrival->delivery)
        arrival->delivery->x = NULL; /* the commit goes on; nobody is there to be told */
}

static void on_request(void *owner, struct server_exchange *x)
{
    struct webhook *webhook = owner;
    x->on_done = on_done;
    struct slice prefix = SLICE("/webhooks/rollout/");
    if (ready_takes(webhook, x))
        return;
    if (!slice_starts(x->request.target, prefix)) {
        server_problem(x, PROBLEM_NOT_FOUND, "", "", "webhooks come to /webhooks/rollout/{token}");
        return;
    }
    if (x->request.method != METHOD_POST) {
        server_problem(x, PROBLEM_METHOD_NOT_ALLOWED, "Allow: POST\r\n", "", "webhooks are POSTed");
        return;
    }
    struct arrival *arrival = arena_zalloc(&x->arena, sizeof *arrival);
    struct slice token = slice_skip(x->request.target, prefix.len);
    int error = arrival ? find_credential(webhook, token, x, arrival) : ERR_NOMEM;
    if (error == ERR_NOTFOUND) {
        webhook_count(&webhook->stats.unknown);
        server_problem(x, PROBLEM_NOT_FOUND, "", "", "no credential has this webhook path");
        return;
    }
    if (error) {
        webhook_count(&webhook->stats.failed);
        server_problem(x, PROBLEM_STORE_UNAVAILABLE, "Retry-After: 5\r\n", "", "the mapping cannot be read");
        return;
    }
    arrival->webhook = webhook;
    x->user = arrival;
    server_collect(x, webhook->options.body_max, on_collected);
}

struct server_handler webhook_handler(struct webhook *webhook)
{
    return (struct server_handler){webhook, on_request, NULL};
}

void webhook_stream_open(struct webhook *webhook, struct server_exchange *x, struct slice tenant)
{
    streams_open(webhook->streams, x, tenant);
}

void webhook_on_admit(struct webhook *webhook, void *owner,
                      bool (*admits)(void *owner, const struct server_exchange *x, struct slice tenant))
{
    streams_on_admit(webhook->streams, owner, admits);
}

void webhook_drain(struct webhook *webhook)
{
    streams_drain(webhook->streams);
}

void webhook_stats(const struct webhook *webhook, struct webhook_stats *out)
{
#define TAKE(name) out->name += atomic_load_explicit(&webhook->stats.name, memory_order_relaxed)
    TAKE(accepted);
    TAKE(duplicates);
    TAKE(unauthenticated);
    TAKE(unknown);
    TAKE(malformed);
    TAKE(failed);
#undef TAKE
}
