/* The door: requests of the gateway's own, in the form in which a client would send them. */
#include <stdlib.h>

#include "internal.h"

enum { HEAD_MAX = 8192 };

static const struct insider foreground, background = {.background = true};

struct rollout_call {
    struct server_inner *inner;
    void *user;
    void (*on_answer)(void *user, const struct rollout_answer *answer);
};

static const char *method_text(enum method method)
{
    switch (method) {
    case METHOD_POST:
        return "POST";
    case METHOD_PUT:
        return "PUT";
    case METHOD_DELETE:
        return "DELETE";
    case METHOD_GET:
    case METHOD_HEAD:
    case METHOD_PATCH:
    case METHOD_OPTIONS:
    case METHOD_PURGE:
    case METHOD_OTHER:
        break;
    }
    return "GET";
}

static void put_request(struct buf *out, const struct rollout_request *r)
{
    buf_append_format(out, "%s /t/%.*s/%.*s%.*s HTTP/1.0\r\nCache-Control: no-store\r\n",
                      method_text(r->method), SLICE_ARG(r->tenant), SLICE_ARG(r->api), SLICE_ARG(r->path));
    if (r->credential_id.len > 0)
        buf_append_format(out, "X-Rollout-Credential-Id: %.*s\r\n", SLICE_ARG(r->credential_id));
    if (r->body.len > 0)
        buf_append_format(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", r->body.len);
    buf_append_text(out, "\r\n");
    buf_append_slice(out, r->body);
}

static uint64_t retry_after(const struct http_fields *fields)
{
    uint64_t seconds;
    return slice_to_u64(http_value(fields, FIELD_RETRY_AFTER), &seconds) ? seconds : 0;
}

static void on_inner(void *user, const struct server_inner_answer *came)
{
    struct rollout_call *call = user;
    struct rollout_answer answer = {.status = came->status, .body = came->body};
    if (came->status) {
        answer.own = http_find(came->fields, FIELD_PROXY_STATUS) != NULL;
        answer.retry_after_s = retry_after(came->fields);
    }
    call->on_answer(call->user, &answer);
    free(call);
}

static struct rollout_call *start(void *owner, const struct rollout_request *request, void *user,
                                  void (*on_answer)(void *user, const struct rollout_answer *answer))
{
    struct pipeline *pipeline = owner;
    struct rollout_call *call = pipeline->server ? calloc(1, sizeof *call) : NULL;
    if (!call)
        return NULL;
    struct buf bytes;
    buf_init(&bytes, HEAD_MAX + request->body.len);
    put_request(&bytes, request);
    call->user = user;
    call->on_answer = on_answer;
    struct server_inner_request inner = {
        .bytes = buf_slice(&bytes),
        .answer_max = ROLLOUT_ANSWER_MAX,
        .from = request->background ? &background : &foreground,
        .user = call,
        .on_answer = on_inner,
    };
    if (!bytes.failed)
        call->inner = server_inner_start(pipeline->server, &inner);
    buf_deinit(&bytes);
    if (call->inner)
        return call;
    free(call);
    return NULL;
}

static void cancel(struct rollout_call *call)
{
    server_inner_cancel(call->inner);
    free(call);
}

void pipeline_attach(struct pipeline *pipeline, struct server *server)
{
    pipeline->server = server;
}

struct rollout_door pipeline_door(struct pipeline *pipeline)
{
    return (struct rollout_door){pipeline, start, cancel};
}
