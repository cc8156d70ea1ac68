/* The walk of a request from its target to the one that answers it. */
#include "base/clock.h"
#include "base/digest.h"
#include "sandbox/sandbox_internal.h"

static const char not_ready[] = "Data for this credential is not ready yet. Please try again.";

/* --- the target
 * ---------------------------------------------------------------------------------------------- */

/* ptr is NULL for a bad escape. */
static struct slice decode_segment(struct sandbox_call *call, struct slice segment)
{
    struct buf buf;
    if (slice_find(segment, '%') == segment.len)
        return segment;
    char *storage = arena_alloc(&call->x->arena, segment.len);
    if (!storage)
        return slice_of(NULL, 0);
    buf_init_fixed(&buf, storage, segment.len);
    return url_decode(&buf, segment) == 0 ? buf_slice(&buf) : slice_of(NULL, 0);
}

/* "/crm/api/people/1": api and segments. False: nothing of ours. */
static bool read_path(struct sandbox_call *call)
{
    struct slice rest = call->path, segment;
    if (rest.len == 0 || rest.ptr[0] != '/')
        return false;
    slice_cut(slice_skip(rest, 1), '/', &segment, &rest);
    call->api = sandbox_api_find(segment);
    slice_cut(rest, '/', &segment, &rest);
    if (call->api == SANDBOX_API_COUNT || !slice_equal(segment, SLICE("api")))
        return false;
    while (rest.len > 0) {
        slice_cut(rest, '/', &segment, &rest);
        segment = decode_segment(call, segment);
        if (segment.len == 0 || call->segment_count == SANDBOX_SEGMENTS)
            return false;
        call->segments[call->segment_count++] = segment;
    }
    return call->segment_count > 0;
}

static void read_target(struct sandbox_call *call)
{
    call->api = SANDBOX_API_COUNT;
    slice_cut(call->x->request.target, '?', &call->path, &call->query);
    if (slice_starts(call->path, SLICE("/_sandbox/"))) {
        call->control = true;
    } else if (read_path(call)) {
        call->entity = sandbox_entity_find(call->api, call->segments[0]);
    } else {
        call->api = SANDBOX_API_COUNT;
    }
}

/* --- who answers
 * --------------------------------------------------------------------------------------------- */

/* Some tenants may meet in one window: then they share it. */
static bool is_over_rate(struct sandbox_call *call)
{
    struct sandbox *sandbox = call->sandbox;
    if (sandbox->knobs.rate == 0)
        return false;
    size_t i = digest_hash(slice_from(call->claims.sub)) % SANDBOX_WINDOWS;
    uint64_t second = loop_now(sandbox->loop) / 1000;
    if (sandbox->windows[i].second != second) {
        sandbox->windows[i].second = second;
        sandbox->windows[i].count = 0;
    }
    return ++sandbox->windows[i].count > sandbox->knobs.rate;
}

static bool is_ready(const struct sandbox_call *call)
{
    const struct sandbox_credential *credential = call->credential;
    return loop_now(call->sandbox->loop) >= credential->ready_ms &&
           !sandbox_knobs_holds(&call->sandbox->knobs, credential->id);
}

static void serve_entity(struct sandbox_call *call)
{
    unsigned can = call->entity ? call->entity->flags : 0;
    if (!call->entity || call->segment_count > 2)
        sandbox_answer_not_found(call);
    else if (call->segment_count == 2)
        sandbox_record_serve(call);
    else if (call->method == METHOD_GET && can & SANDBOX_CAN_LIST)
        sandbox_list(call);
    else if (call->method == METHOD_POST && can & SANDBOX_CAN_CREATE)
        sandbox_record_create(call);
    else
        sandbox_answer_not_found(call);
}

static void serve(struct sandbox_call *call)
{
    if (!sandbox_auth(call))
        return;
    if (is_over_rate(call))
        sandbox_answer_error(call, 429, "Too many requests.");
    else if (call->api == SANDBOX_CORE)
        sandbox_core(call);
    else if (!is_ready(call))
        sandbox_answer_error(call, 409, not_ready);
    else if (!sandbox_special(call))
        serve_entity(call);
}

/* Rules go by what the request looks like, before it is looked at. */
static void decide(struct sandbox_call *call)
{
    struct sandbox *sandbox = call->sandbox;
    sandbox_journal_body(call);
    if (call->control) {
        sandbox_control(call, slice_skip(call->path, sizeof "/_sandbox/" - 1));
        return;
    }
    const struct sandbox_rule *rule = sandbox_knobs_match(&sandbox->knobs, call);
    if (rule)
        call->fault = *rule;
    if (call->api == SANDBOX_API_COUNT) {
        sandbox_answer_not_found(call);
    } else if (call->fault.kind == SANDBOX_FAULT_STATUS) {
        call->retry_after = call->fault.retry_after;
        sandbox_answer_error(call, call->fault.status,
                             call->fault.status == 409 ? not_ready : http_reason(call->fault.status));
    } else {
        serve(call);
    }
}

/* --- the exchange
 * -------------------------------------------------------------------------------------------- */

static void on_done(struct server_exchange *x, enum server_outcome outcome)
{
    struct sandbox_call *call = x->user;
    if (!call)
        return;
    loop_timer_clear(call->sandbox->loop, &call->timer);
    if (!call->control) {
        struct sandbox_stats *stats = &call->sandbox->stats;
        stats->unanswered += outcome != SERVER_SENT;
        stats->by_status[outcome == SERVER_SENT && x->status < 600 ? x->status : 0]++;
    }
    sandbox_journal_end(call);
    sandbox_text_release(call->text);
}

static void on_collected(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct sandbox_call *call = x->user;
    if (problem != PROBLEM_COUNT) {
        sandbox_answer_error(call, problem_status(problem), "The body cannot be read.");
        return;
    }
    call->body = body;
    decide(call);
}

/* A browser asks first (rollout-facts 1). */
static void answer_preflight(struct sandbox_call *call)
{
    server_begin(
        call->x, 204,
        SLICE("Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET, POST, PUT, DELETE\r\n"
              "Access-Control-Allow-Headers: authorization, content-type, x-rollout-credential-id\r\n"),
        0);
    server_end(call->x);
}

static void count(struct sandbox_call *call)
{
    struct sandbox *sandbox = call->sandbox;
    if (call->control)
        return;
    sandbox->stats.requests++;
    sandbox->stats.by_api[call->api]++;
    if (call->entity)
        sandbox->by_entity[sandbox_entity_index(call->entity)]++;
    sandbox_journal_begin(call);
}

void sandbox_on_request(void *owner, struct server_exchange *x)
{
    struct sandbox_call *call = arena_zalloc(&x->arena, sizeof *call);
    x->user = call;
    x->on_done = on_done;
    if (!call) {
        server_abort(x);
        return;
    }
    call->sandbox = owner;
    call->x = x;
    call->method = x->request.method == METHOD_HEAD ? METHOD_GET : x->request.method;
    read_target(call);
    count(call);
    if (call->method == METHOD_OPTIONS)
        answer_preflight(call);
    else if (x->request.framing == FRAMING_NONE)
        decide(call);
    else
        server_collect(x, SANDBOX_BODY_MAX, on_collected);
}
