/*
 * Deliveries: each is posted, signed, until somebody answers 2xx, with growing pauses and 100 times at most.
 * The queue is bounded; what does not fit is dropped and counted. A delivery stands in `queue` until it is
 * due and there is room, then in `flying`.
 */
#include <stdlib.h>

#include "base/random.h"
#include "sandbox/sandbox_internal.h"

enum {
    ATTEMPTS_MAX = 100, /* some 90 minutes with the default pause */
    QUEUE_MAX = 10000,
    FLIGHTS_MAX = 32,
    ORIGINS_MAX = 256,
    URL_MAX = 2048,
    PAUSE_MAX_MS = 60000,
    SIGNATURE_MAX = 128
};

struct delivery {
    struct list node;
    struct sandbox *sandbox;
    struct sandbox_text *body;
    struct upstream_transfer *transfer;
    size_t sent;
    uint64_t due;
    unsigned attempts;
    int status;
    char url[]; /* NUL-terminated */
};

static void launch_due(struct sandbox *sandbox);

static void on_deliver_timer(struct loop_timer *timer)
{
    launch_due(container_of(timer, struct sandbox, deliver_timer));
}

static void free_delivery(struct delivery *delivery)
{
    list_remove(&delivery->node);
    sandbox_text_release(delivery->body);
    free(delivery);
}

/* --- flights
 * ------------------------------------------------------------------------------------------------- */

/* Doubled each time, and spread a little so that they do not come together again. */
static uint64_t pause_of(const struct delivery *delivery)
{
    uint64_t base = delivery->sandbox->knobs.retry_ms,
             shift = delivery->attempts < 16 ? delivery->attempts - 1 : 16;
    uint64_t pause = base << shift;
    if (pause > PAUSE_MAX_MS || pause < base)
        pause = PAUSE_MAX_MS;
    return pause + random_u64() % (pause / 8 + 1);
}

static void land(struct delivery *delivery)
{
    struct sandbox *sandbox = delivery->sandbox;
    sandbox->flights--;
    delivery->transfer = NULL;
    if (delivery->status >= 200 && delivery->status < 300) {
        sandbox->stats.delivered++;
        free_delivery(delivery);
    } else if (delivery->attempts >= ATTEMPTS_MAX) {
        sandbox->stats.dropped++;
        free_delivery(delivery);
    } else {
        sandbox->stats.failed++;
        delivery->due = loop_now(sandbox->loop) + pause_of(delivery);
        list_remove(&delivery->node);
        list_push_back(&sandbox->queue, &delivery->node);
        sandbox->queued++;
    }
    launch_due(sandbox);
}

static void on_head(void *user, const struct http_response *head)
{
    ((struct delivery *)user)->status = head->status;
}

static void on_body(void *user, struct slice data)
{
    (void)user;
    (void)data;
}

static void on_end(void *user)
{
    land(user);
}

static void on_fail(void *user, enum upstream_failure failure, bool sent, const char *why)
{
    (void)failure;
    (void)sent;
    (void)why;
    ((struct delivery *)user)->status = 0;
    land(user);
}

static void on_writable(void *user)
{
    struct delivery *delivery = user;
    struct slice rest =
        slice_of(delivery->body->bytes + delivery->sent, delivery->body->len - delivery->sent);
    if (rest.len > 0)
        delivery->sent += upstream_send(delivery->transfer, rest, true);
}

static const struct upstream_hooks hooks = {on_head, on_body, on_end, on_fail, on_writable, NULL};

/* Origins outlive the upstream that uses them: they are kept to the end. */
static const struct upstream_origin *find_origin(struct sandbox *sandbox, const struct url *url,
                                                 struct slice text)
{
    list_each (node, &sandbox->origins) {
        const struct sandbox_origin *known = container_of(node, struct sandbox_origin, node);
        if (known->origin.https == url->https && slice_equal(known->origin.authority, url->authority))
            return &known->origin;
    }
    struct sandbox_origin *made = sandbox->origin_count < ORIGINS_MAX ? calloc(1, sizeof *made) : NULL;
    if (!made || upstream_origin_init(&made->origin, text, NULL) != 0) {
        free(made);
        return NULL;
    }
    sandbox->origin_count++;
    list_push_back(&sandbox->origins, &made->node);
    return &made->origin;
}

static void write_head(const struct delivery *delivery, const struct url *url, struct buf *out)
{
    const struct sandbox *sandbox = delivery->sandbox;
    struct slice body = slice_of(delivery->body->bytes, delivery->body->len);
    buf_append_text(out, "POST ");
    buf_append_slice(out, url->path);
    if (url->query.len > 0)
        buf_append_char(out, '?');
    buf_append_slice(out, url->query);
    buf_append_format(out,
                      " HTTP/1.1\r\nHost: %.*s\r\nContent-Type: application/json\r\nUser-Agent: Rollout\r\n"
                      "Content-Length: %zu\r\nX-Rollout-Signature: ",
                      SLICE_ARG(url->authority), body.len);
    event_sign(sandbox->options.signature, buf_slice(&sandbox->client_secret), body, out);
    buf_append_text(out, "\r\n\r\n");
}

/* False: it could not start. */
static bool launch(struct delivery *delivery)
{
    struct sandbox *sandbox = delivery->sandbox;
    struct slice text = slice_from(delivery->url);
    struct url url;
    struct buf head;
    if (!url_parse(text, &url))
        return false;
    const struct upstream_origin *origin = find_origin(sandbox, &url, text);
    buf_init(&head, URL_MAX * 2 + SIGNATURE_MAX + 512);
    write_head(delivery, &url, &head);
    struct upstream_request request = {.origin = origin,
                                       .method = METHOD_POST,
                                       .head = buf_slice(&head),
                                       .framing = FRAMING_LENGTH,
                                       .length = delivery->body->len,
                                       .user = delivery,
                                       .hooks = &hooks};
    delivery->transfer = origin && !head.failed ? upstream_start(sandbox->upstream, &request) : NULL;
    buf_deinit(&head);
    delivery->sent = 0;
    delivery->status = 0;
    if (delivery->transfer)
        on_writable(delivery);
    return delivery->transfer != NULL;
}

/* --- the queue
 * ----------------------------------------------------------------------------------------------- */

static void take_off(struct sandbox *sandbox, struct delivery *delivery)
{
    list_remove(&delivery->node);
    sandbox->queued--;
    sandbox->stats.attempts++;
    delivery->attempts++;
    if (launch(delivery)) {
        list_push_back(&sandbox->flying, &delivery->node);
        sandbox->flights++;
        return;
    }
    sandbox->stats.dropped++;
    free_delivery(delivery);
}

static void launch_due(struct sandbox *sandbox)
{
    uint64_t now = loop_now(sandbox->loop), next = UINT64_MAX;
    if (sandbox->closing || sandbox->knobs.deliver_paused)
        return;
    list_each_safe (node, &sandbox->queue) {
        struct delivery *delivery = container_of(node, struct delivery, node);
        if (sandbox->flights >= FLIGHTS_MAX)
            return;
        if (delivery->due <= now)
            take_off(sandbox, delivery);
        else if (delivery->due < next)
            next = delivery->due;
    }
    if (next != UINT64_MAX)
        loop_timer_set(sandbox->loop, &sandbox->deliver_timer, next, on_deliver_timer);
}

void sandbox_deliver_wake(struct sandbox *sandbox)
{
    loop_timer_set(sandbox->loop, &sandbox->deliver_timer, loop_now(sandbox->loop), on_deliver_timer);
}

static void enqueue(struct sandbox *sandbox, struct slice url, struct sandbox_text *body)
{
    struct delivery *delivery =
        sandbox->queued < QUEUE_MAX && url.len <= URL_MAX ? malloc(sizeof *delivery + url.len + 1) : NULL;
    if (!delivery) {
        sandbox->stats.dropped++;
        return;
    }
    *delivery = (struct delivery){.sandbox = sandbox, .body = sandbox_text_retain(body)};
    delivery->due = loop_now(sandbox->loop) + sandbox->knobs.deliver_delay_ms;
    memcpy(delivery->url, url.ptr, url.len);
    delivery->url[url.len] = '\0';
    list_push_back(&sandbox->queue, &delivery->node);
    sandbox->queued++;
}

void sandbox_deliver(struct sandbox *sandbox, struct slice url, struct sandbox_text *body)
{
    enqueue(sandbox, url, body);
    if (sandbox->knobs.deliver_twice)
        enqueue(sandbox, url, body);
    sandbox_deliver_wake(sandbox);
}

void sandbox_deliver_clear(struct sandbox *sandbox)
{
    loop_timer_clear(sandbox->loop, &sandbox->deliver_timer);
    list_each_safe (node, &sandbox->flying) {
        struct delivery *delivery = container_of(node, struct delivery, node);
        upstream_cancel(delivery->transfer);
        free_delivery(delivery);
    }
    while (!list_empty(&sandbox->queue))
        free_delivery(container_of(sandbox->queue.next, struct delivery, node));
    sandbox->queued = sandbox->flights = 0;
}

size_t sandbox_deliver_waiting(const struct sandbox *sandbox)
{
    return sandbox->queued + sandbox->flights;
}
