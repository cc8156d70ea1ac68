/* A call to the running gateway's admin listener, from JSON to JSON. */
#include "base/digest.h"
#include "cli/cli_internal.h"

enum {
    TOKEN_LEN_MAX = 8192,
    BODY_MAX = 1024 * 1024,
    REQUEST_MAX = BODY_MAX + 16384,
    ANSWER_MAX = 8 * 1024 * 1024
};

struct ask {
    const struct cli_call *call;
    const char *method, *path;
    struct buf raw;
    struct cli_answer answer;
    struct fault fault;
};

/* What no header field can carry would end it early. */
static bool is_plain(struct slice token)
{
    for (size_t i = 0; i < token.len; i++)
        if (token.ptr[i] <= 0x20 || token.ptr[i] > 0x7E)
            return false;
    return token.len <= TOKEN_LEN_MAX;
}

static void write_request(struct buf *out, const struct ask *ask, struct slice body)
{
    const struct cli_context *context = &ask->call->context;
    bool is_path = slice_starts(slice_from(context->admin_address), SLICE("unix:"));
    buf_append_format(out, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", ask->method, ask->path,
                      is_path ? "localhost" : context->admin_address);
    if (context->admin_token.len > 0) {
        buf_append_text(out, "Authorization: Bearer ");
        buf_append_slice(out, buf_slice(&context->admin_token));
        buf_append_text(out, "\r\n");
    }
    if (body.len > 0)
        buf_append_format(out, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body.len);
    buf_append_text(out, "\r\n");
    buf_append_slice(out, body);
}

static int exchange(struct ask *ask, struct slice body)
{
    struct buf request;
    if (!is_plain(buf_slice(&ask->call->context.admin_token)))
        return fault_set(&ask->fault, ERR_INVALID,
                         "admin.token has characters that no header field can carry");
    buf_init(&request, REQUEST_MAX);
    int error = buf_reserve(&request, body.len + 2 * TOKEN_LEN_MAX);
    if (!error)
        write_request(&request, ask, body);
    if (error || request.failed)
        error = fault_set(&ask->fault, ERR_NOMEM, "the request does not fit into memory");
    else
        error = cli_client_exchange(ask->call->context.admin_address, buf_slice(&request), &ask->raw,
                                    &ask->fault);
    buf_wipe(&request);
    return error ? error : cli_answer_parse(&ask->raw, &ask->answer, &ask->fault);
}

/* Takes the body over. */
static int send_json(struct ask *ask, json_t *value)
{
    struct buf body;
    buf_init(&body, BODY_MAX);
    buf_init(&ask->raw, ANSWER_MAX);
    int error = value ? json_write(&body, value) : 0;
    if (error)
        fault_set(&ask->fault, error, "the request is too large");
    else
        error = exchange(ask, buf_slice(&body));
    buf_deinit(&body);
    json_decref(value);
    return error;
}

/* The admin listener's RFC 9457 detail, or what there is. */
static int tell_refusal(const struct ask *ask, const json_t *value)
{
    struct slice detail = json_is_object(value) ? json_text(value, "detail") : SLICE("");
    if (detail.len == 0 && json_is_object(value))
        detail = json_text(value, "title");
    if (ask->answer.status == 401)
        return cli_fail(ask->call->command,
                        "the gateway at %s wants its admin token (admin.token of the configuration)",
                        ask->call->context.admin_address);
    return cli_fail(ask->call->command, "the gateway answered %d%s%.*s", ask->answer.status,
                    detail.len > 0 ? ": " : "", (int)(detail.len < 600 ? detail.len : 600),
                    detail.ptr ? detail.ptr : "");
}

static int tell_failure(const struct ask *ask, int error)
{
    if (error == ERR_NOTFOUND)
        return cli_fail(ask->call->command,
                        "no gateway answers at %s (is it running? -c names its configuration)",
                        ask->call->context.admin_address);
    return cli_fail(ask->call->command, "%s", ask->fault.text);
}

int cli_ask(struct cli_call *call, const char *method, const char *path, json_t *body, json_t **answer)
{
    struct ask ask = {.call = call, .method = method, .path = path};
    *answer = NULL;
    int status = cli_call_load(call, false);
    if (status != CLI_OK) {
        json_decref(body);
        return status;
    }
    int error = send_json(&ask, body);
    if (error) {
        buf_deinit(&ask.raw);
        return tell_failure(&ask, error);
    }
    json_t *value = json_read(ask.answer.body, ANSWER_MAX, &ask.fault);
    if (ask.answer.status >= 300)
        status = tell_refusal(&ask, value);
    else if (!json_is_object(value))
        status = cli_fail(call->command, "the gateway's answer is not a JSON object");
    buf_deinit(&ask.raw);
    if (status == CLI_OK)
        *answer = value;
    else
        json_decref(value);
    return status;
}

void cli_ask_softly(struct cli_call *call, const char *method, const char *path, json_t *body)
{
    struct ask ask = {.call = call, .method = method, .path = path};
    int error = body ? send_json(&ask, body) : ERR_NOMEM;
    if (!error && ask.answer.status >= 300)
        error = fault_set(&ask.fault, ERR_DENIED, "it answered %d", ask.answer.status);
    if (error && error != ERR_NOTFOUND)
        cli_fail(call->command,
                 "done, but the running gateway could not be told to drop what it has cached: %s",
                 error == ERR_NOMEM ? error_text(error) : ask.fault.text);
    if (body)
        buf_deinit(&ask.raw);
}
