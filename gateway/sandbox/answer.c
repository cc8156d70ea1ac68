/*
 * Answers as Rollout would give them, and what the knobs make of them: late, never, cut, or malformed.
 * Rollout sends no ETag, no Cache-Control and no Retry-After of its own; only knobs add such fields.
 */
#include <stdlib.h>

#include "base/digest.h"
#include "sandbox/sandbox_internal.h"

/* --- malformed answers
 * --------------------------------------------------------------------------------------- */

/* Each stands behind "HTTP/1.1 200 OK\r\n" and ends its head itself; what the server adds behind it no longer
 * counts. */
#define JSON_TYPE "Content-Type: application/json\r\n"
static const struct malformed {
    const char *name;
    struct slice bytes;
} malformed[] = {
#define MALFORMED(name, text)                                                                                \
    {                                                                                                        \
        name,                                                                                                \
        {                                                                                                    \
            text, sizeof(text) - 1                                                                           \
        }                                                                                                    \
    }
    MALFORMED("two-lengths", JSON_TYPE "Content-Length: 2\r\nContent-Length: 4\r\n\r\n{}{}"),
    MALFORMED("length-list", JSON_TYPE "Content-Length: 2, 4\r\n\r\n{}{}"),
    MALFORMED("bad-length", JSON_TYPE "Content-Length: 2x\r\n\r\n{}"),
    MALFORMED("negative-length", JSON_TYPE "Content-Length: -2\r\n\r\n{}"),
    MALFORMED("huge-length", JSON_TYPE "Content-Length: 99999999999999999999999\r\n\r\n{}"),
    MALFORMED("cl-te",
              JSON_TYPE "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    MALFORMED("te-unknown", JSON_TYPE "Transfer-Encoding: chunked, wonder\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    MALFORMED("two-te", JSON_TYPE
              "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    MALFORMED("bad-chunk", JSON_TYPE "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    MALFORMED("huge-chunk",
              JSON_TYPE "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\n{}\r\n0\r\n\r\n"),
    MALFORMED("chunk-end", JSON_TYPE "Transfer-Encoding: chunked\r\n\r\n2\r\n{}}}\r\n0\r\n\r\n"),
    MALFORMED("bare-cr", JSON_TYPE "X-Note: a\rContent-Length: 4\r\nContent-Length: 2\r\n\r\n{}"),
    MALFORMED("bare-lf", JSON_TYPE "X-Note: a\nContent-Length: 4\r\nContent-Length: 2\r\n\r\n{}"),
    MALFORMED("nul", JSON_TYPE "X-Note: a\0b\r\nContent-Length: 2\r\n\r\n{}"),
    MALFORMED("obs-fold", JSON_TYPE "X-Note: a\r\n b\r\nContent-Length: 2\r\n\r\n{}"),
    MALFORMED("no-colon", JSON_TYPE "X-Note\r\nContent-Length: 2\r\n\r\n{}"),
    MALFORMED("space-colon", JSON_TYPE "Content-Length : 2\r\n\r\n{}"),
    MALFORMED("surplus", JSON_TYPE "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n" JSON_TYPE
                                   "Content-Length: 10\r\n\r\n{\"evil\":1}"),
    MALFORMED("huge-head", ""), /* made when it is sent */
#undef MALFORMED
};

enum { HUGE_HEAD = 300 * 1024 };

int sandbox_malformed_find(struct slice name)
{
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        if (slice_equal(name, slice_from(malformed[i].name)))
            return (int)i;
    }
    return -1;
}

static struct slice make_huge(struct sandbox_call *call)
{
    static const char line[] = "X-Filler: 0123456789012345678901234567890123456789012345678\r\n";
    char *bytes = arena_alloc(&call->x->arena, HUGE_HEAD);
    size_t len = 0;
    for (; bytes && len + sizeof line - 1 <= HUGE_HEAD; len += sizeof line - 1)
        memcpy(bytes + len, line, sizeof line - 1);
    return slice_of(bytes, len);
}

static void send_malformed(struct sandbox_call *call)
{
    struct slice bytes = malformed[call->fault.malformed].bytes;
    if (bytes.len == 0)
        bytes = make_huge(call);
    server_begin(call->x, 200, bytes, 0);
    server_flush(call->x);
    server_abort(call->x);
}

/* --- the head
 * ------------------------------------------------------------------------------------------------ */

/* The fields beside the framing; ptr NULL when out of memory. */
static struct slice make_fields(struct sandbox_call *call, const char *etag)
{
    const struct sandbox_knobs *knobs = &call->sandbox->knobs;
    char retry[48] = "";
    struct buf buf;
    const char *cors =
        http_find(&call->x->request.fields, FIELD_ORIGIN) ? "Access-Control-Allow-Origin: *\r\n" : "";
    if (call->retry_after > 0) {
        buf_init_fixed(&buf, retry, sizeof retry - 1);
        buf_append_text(&buf, "Retry-After: ");
        buf_append_u64(&buf, call->retry_after);
        buf_append_text(&buf, "\r\n");
        retry[buf.len] = '\0';
    }
    return arena_format(
        &call->x->arena, "Content-Type: application/json; charset=utf-8\r\nDate: %.*s\r\n%s%s%s%.*s",
        SLICE_ARG(server_date()), retry, cors, etag, call->control ? 0 : (int)knobs->fields.len,
        knobs->fields.ptr ? knobs->fields.ptr : "");
}

/* Only with the knob; true when the client has it already. */
static bool make_etag(const struct sandbox_call *call, char out[40])
{
    struct buf buf;
    if (!call->sandbox->knobs.etag || call->control || call->status != 200 || call->method != METHOD_GET)
        return false;
    uint64_t sum = digest_checksum(call->text->bytes, call->text->len);
    buf_init_fixed(&buf, out, 39);
    buf_append_text(&buf, "ETag: \"");
    digest_hex(&buf, &sum, sizeof sum);
    buf_append_text(&buf, "\"\r\n");
    out[buf.len] = '\0';
    struct slice told = http_value(&call->x->request.fields, FIELD_IF_NONE_MATCH);
    return slice_equal(told, slice_of(out + 6, 18));
}

/* False: the connection was cut. */
static bool begin(struct sandbox_call *call)
{
    const struct sandbox_knobs *knobs = &call->sandbox->knobs;
    char etag[40] = "";
    bool same = make_etag(call, etag), unknown = !call->control && (knobs->chunked || knobs->close_delimited);
    struct slice fields = make_fields(call, etag);
    if (!fields.ptr) {
        server_abort(call->x);
        return false;
    }
    if (!call->control && knobs->close_delimited) {
        /* As for a client that knows no chunks: the end of the connection ends the body. */
        call->x->request.minor = 0;
        call->x->request.keep_alive = false;
    }
    if (same)
        call->status = 304;
    server_begin(call->x, call->status, fields, unknown ? SERVER_LENGTH_UNKNOWN : call->text->len);
    return true;
}

/* --- the body
 * ------------------------------------------------------------------------------------------------ */

static void send_until(struct sandbox_call *call, size_t end)
{
    struct slice part = slice_of(call->text->bytes + call->sent, end - call->sent);
    call->sent = end;
    if (part.len > 0)
        server_write(call->x,
                     (struct server_piece){part, sandbox_text_release, sandbox_text_retain(call->text)});
}

/* In three pieces when chunked, so that there is something to put together. */
static void send_rest(struct sandbox_call *call)
{
    size_t len = call->text->len;
    if (!call->control && call->sandbox->knobs.chunked && call->sent == 0) {
        send_until(call, len / 3);
        send_until(call, len / 3 * 2);
    }
    send_until(call, len);
    server_end(call->x);
}

static void on_stall_over(struct loop_timer *timer)
{
    struct sandbox_call *call = container_of(timer, struct sandbox_call, timer);
    call->stalled = false;
    if (call->fault.where == SANDBOX_BODY || begin(call))
        send_rest(call);
}

static void stall(struct sandbox_call *call)
{
    struct loop *loop = call->sandbox->loop;
    if (call->fault.where == SANDBOX_BODY) {
        if (!begin(call))
            return;
        send_until(call, call->text->len / 2);
        server_flush(call->x);
    }
    call->stalled = true;
    if (call->fault.ms > 0)
        loop_timer_set(loop, &call->timer, loop_now(loop) + call->fault.ms, on_stall_over);
}

static void cut(struct sandbox_call *call)
{
    if (call->fault.where != SANDBOX_BEFORE) {
        if (!begin(call))
            return;
        if (call->fault.where == SANDBOX_BODY)
            send_until(call, call->text->len / 2);
        server_flush(call->x);
    }
    server_abort(call->x);
}

static void play(struct sandbox_call *call)
{
    switch (call->fault.kind) {
    case SANDBOX_FAULT_STALL:
        stall(call);
        return;
    case SANDBOX_FAULT_RESET:
        cut(call);
        return;
    case SANDBOX_FAULT_MALFORMED:
        send_malformed(call);
        return;
    case SANDBOX_FAULT_NONE:
    case SANDBOX_FAULT_STATUS:
        break;
    }
    if (begin(call))
        send_rest(call);
}

/* --- answers
 * ------------------------------------------------------------------------------------------------- */

static void on_latency_over(struct loop_timer *timer)
{
    play(container_of(timer, struct sandbox_call, timer));
}

/* What the answer says was decided when the request came; only its way takes time. */
void sandbox_answer_text(struct sandbox_call *call, int status, struct sandbox_text *text)
{
    struct sandbox *sandbox = call->sandbox;
    uint64_t latency = call->control ? 0 : sandbox->knobs.latency_ms;
    call->status = text ? status : 500;
    call->text = text ? text : sandbox_text_create(SLICE("{\"errorMessage\":\"Internal server error.\"}"));
    if (!call->text)
        server_abort(call->x);
    else if (latency == 0 || loop_timer_set(sandbox->loop, &call->timer, loop_now(sandbox->loop) + latency,
                                            on_latency_over) != 0)
        play(call);
}

void sandbox_answer_json(struct sandbox_call *call, int status, json_t *value)
{
    struct sandbox_text *text = sandbox_text_from(value);
    json_decref(value);
    sandbox_answer_text(call, status, text);
}

void sandbox_answer_error(struct sandbox_call *call, int status, const char *message)
{
    bool core = call->api == SANDBOX_CORE && !call->control;
    sandbox_answer_json(call, status,
                        core ? json_pack("{s:[{s:s}]}", "errors", "message", message)
                             : json_pack("{s:s}", "errorMessage", message));
}

void sandbox_answer_not_found(struct sandbox_call *call)
{
    sandbox_answer_error(call, 404, "Requested resource was not found.");
}
