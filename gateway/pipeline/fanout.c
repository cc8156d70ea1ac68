/*
 * X-Fanout: one request to several of a tenant's systems (contract 7). Each leg is a request of our own
 * (server_inner_start) for the same caller: it walks as if a client had sent it with that credential's id,
 * through its own cache entry, limits, tries and errors. A few are under way at a time; their answers are
 * gathered whole, and joined in the order in which the systems were named.
 */
#include <stdlib.h>

#include "fanout.h"
#include "wire/wire.h"

enum {
    LEGS_MAX = CREDENTIAL_MAX + FANOUT_NAMES_MAX,
    WIDTH = 8,                    /* legs under way at a time … */
    BODIES_MAX = 8 * 1024 * 1024, /* … fewer, when they have large bodies */
    HEAD_MAX = 128 * 1024,
    GRACE_MS = 1000, /* what is answered in time may take this long to be there */
};

static void refuse(struct visit *visit, enum problem problem, const char *detail)
{
    visit->outcome = PIPELINE_REFUSED;
    answer_problem(visit, problem, detail);
}

/* --- which systems
 * ---------------------------------------------------------------------------------------------- */

static bool has_leg(const struct fanout *fanout, struct slice id)
{
    for (size_t i = 0; i < fanout->count; i++)
        if (slice_equal(fanout->legs[i].credential_id, id))
            return true;
    return false;
}

static bool add_leg(struct fanout *fanout, struct slice id, struct slice app_key, struct slice cursor)
{
    struct arena *arena = &fanout->visit->x->arena;
    struct leg *leg = &fanout->legs[fanout->count];
    leg->fanout = fanout;
    leg->credential_id = arena_copy(arena, id);
    leg->app_key = arena_copy(arena, app_key);
    leg->cursor = cursor;
    fanout->count++;
    return leg->credential_id.ptr && leg->app_key.ptr;
}

/* The tenant's credentials for one name. A name that fits none is a leg, too: it hides no other. */
static bool add_name(struct fanout *fanout, const struct credential_set *set, const struct fanout_name *name)
{
    bool found = false;
    for (size_t i = 0; i < set->count; i++) {
        const struct credential *credential = &set->items[i];
        if (!fanout_names(name, credential, fanout->visit->api->name))
            continue;
        found = true;
        if (!has_leg(fanout, credential->id) &&
            !add_leg(fanout, credential->id, credential->app_key, name->cursor))
            return false;
    }
    return found || add_leg(fanout, SLICE(""), name->name, SLICE(""));
}

static bool add_all(struct fanout *fanout, const struct credential_set *set)
{
    struct credential_selector selector = {.api = fanout->visit->api->name};
    for (size_t i = 0; i < set->count; i++)
        if (credential_fits(&set->items[i], &selector) &&
            !add_leg(fanout, set->items[i].id, set->items[i].app_key, SLICE("")))
            return false;
    return true;
}

static bool serves_any(const struct credential_set *set, struct slice api)
{
    struct credential_selector selector = {.api = api};
    for (size_t i = 0; i < set->count; i++)
        if (credential_fits(&set->items[i], &selector))
            return true;
    return false;
}

/* Of an empty set, legs are none. 0, ERR_NOMEM. */
static int choose_from(struct fanout *fanout, const struct credential_set *set,
                       const struct fanout_names *names)
{
    if (!serves_any(set, fanout->visit->api->name))
        return 0;
    fanout->legs = arena_zalloc(&fanout->visit->x->arena, LEGS_MAX * sizeof *fanout->legs);
    if (!fanout->legs)
        return ERR_NOMEM;
    if (names->all)
        return add_all(fanout, set) ? 0 : ERR_NOMEM;
    for (size_t i = 0; i < names->count; i++)
        if (!add_name(fanout, set, &names->at[i]))
            return ERR_NOMEM;
    return 0;
}

/* False: the visit was answered, or waits for discovery. */
static bool choose(struct fanout *fanout, const struct fanout_names *names)
{
    struct visit *visit = fanout->visit;
    struct store_view *view = visit->pipeline->view;
    struct credential_set set;
    int error = store_view_begin(view);
    if (!error) {
        error = credential_lookup(view, visit->route.tenant, &set);
        error = error ? error : choose_from(fanout, &set, names);
        store_view_end(view);
    }
    if (error == ERR_NOMEM)
        refuse(visit, PROBLEM_OVERLOADED, "out of memory");
    else if (error)
        refuse(visit, PROBLEM_STORE_UNAVAILABLE, "the mapping cannot be read");
    else if (fanout->count == 0 && !discover_start(visit))
        refuse(visit, PROBLEM_CREDENTIAL_NOT_FOUND, discover_outcome(visit));
    return !error && fanout->count > 0;
}

/* --- a leg's request
 * ---------------------------------------------------------------------------------------------- */

/* What of the client's fields goes along. Not who it is, since that was asked; not for which system. Its
 * conditions are about one system's answer: a read goes without them, a write never does. */
static bool goes_along(const struct visit *visit, const struct http_field *field)
{
    unsigned flags = field_flags(field->id);
    if (flags & (FIELD_HOP | FIELD_IDENTITY | FIELD_FRAMING | FIELD_OVERRIDE))
        return false;
    if ((flags & FIELD_PRECONDITION) && method_is_safe(visit->x->request.method))
        return false;
    if (field->id == FIELD_X_REQUEST_ID || field->id == FIELD_IDEMPOTENCY_KEY)
        return false; /* written by put_own */
    return !http_connection_names(&visit->x->request.fields, field->name);
}

static void put_line(struct buf *out, struct slice name, struct slice value)
{
    if (wire_put_field(out, name, value))
        out->failed = true;
}

/* One key for each system: a write to one is not a repetition of a write to another. */
static void put_idempotency_key(struct buf *out, const struct http_fields *fields, struct slice credential_id)
{
    const struct http_field *key = http_find(fields, FIELD_IDEMPOTENCY_KEY);
    if (!key)
        return;
    bool quoted = key->value.len > 1 && key->value.ptr[key->value.len - 1] == '"';
    buf_append_format(out, "Idempotency-Key: %.*s:%.*s%s\r\n", (int)key->value.len - quoted, key->value.ptr,
                      SLICE_ARG(credential_id), quoted ? "\"" : "");
}

static void put_own(struct buf *out, const struct leg *leg)
{
    const struct visit *visit = leg->fanout->visit;
    const struct http_request *request = &visit->x->request;
    if (request->host.len > 0)
        put_line(out, SLICE("Host"), request->host);
    if (!visit->route.tenant_in_path)
        put_line(out, SLICE("X-Tenant-Id"), visit->route.tenant);
    put_line(out, SLICE("X-Rollout-Credential-Id"), leg->credential_id);
    put_line(out, SLICE("X-Request-Id"), visit->x->request_id);
    put_idempotency_key(out, &request->fields, leg->credential_id);
    if (request->framing != FRAMING_NONE)
        buf_append_format(out, "Content-Length: %zu\r\n", leg->fanout->body.len);
}

/* The client's own target; with a cursor, the page that begins there. */
static void put_target(struct buf *out, const struct leg *leg)
{
    struct slice target = leg->fanout->visit->x->request.target, query = leg->fanout->query;
    if (leg->cursor.len == 0) {
        buf_append_slice(out, target);
        return;
    }
    buf_append_slice(out, slice_of(target.ptr, slice_find(target, '?')));
    buf_append_format(out, "?%.*s%snext=%.*s", SLICE_ARG(query), query.len > 0 ? "&" : "",
                      SLICE_ARG(leg->cursor));
}

static void put_request(struct buf *out, const struct leg *leg)
{
    const struct visit *visit = leg->fanout->visit;
    const struct http_request *request = &visit->x->request;
    buf_append_slice(out, request->method_name);
    buf_append_char(out, ' ');
    put_target(out, leg);
    buf_append_text(out, " HTTP/1.0\r\n");
    for (size_t i = 0; i < request->fields.count; i++)
        if (goes_along(visit, &request->fields.at[i]))
            put_line(out, request->fields.at[i].name, request->fields.at[i].value);
    put_own(out, leg);
    buf_append_text(out, "\r\n");
    buf_append_slice(out, leg->fanout->body);
}

/* --- under way
 * ---------------------------------------------------------------------------------------------------- */

static void pump(struct fanout *fanout);

static void leg_done(struct leg *leg)
{
    leg->fanout->done++;
    leg->fanout->flying--;
    loop_timer_clear(leg->fanout->visit->pipeline->loop, &leg->timer);
    pump(leg->fanout);
}

static void on_answer(void *user, const struct server_inner_answer *answer)
{
    struct leg *leg = user;
    leg->inner = NULL;
    fanout_result(leg, answer);
    leg_done(leg);
}

/* Its own patience has ended the leg by now, unless its body stopped coming. */
static void on_late(struct loop_timer *timer)
{
    struct leg *leg = container_of(timer, struct leg, timer);
    struct loop *loop = leg->fanout->visit->pipeline->loop;
    if (!leg->late) {
        leg->late = true;
        if (loop_timer_set(loop, &leg->timer, loop_now(loop) + GRACE_MS, on_late) == 0)
            return;
    }
    server_inner_cancel(leg->inner);
    leg->inner = NULL;
    fanout_problem(leg, PROBLEM_UPSTREAM_TIMEOUT, "the answer of this system began, but did not end in time");
    leg_done(leg);
}

static bool send_leg(struct leg *leg)
{
    struct visit *visit = leg->fanout->visit;
    struct loop *loop = visit->pipeline->loop;
    struct buf bytes;
    buf_init(&bytes, HEAD_MAX + leg->fanout->body.len);
    put_request(&bytes, leg);
    struct server_inner_request request = {
        .bytes = buf_slice(&bytes),
        .answer_max = FANOUT_ANSWER_MAX,
        .from = &leg->insider,
        .user = leg,
        .on_answer = on_answer,
    };
    if (!bytes.failed && visit->pipeline->server &&
        loop_timer_set(loop, &leg->timer, loop_now(loop) + leg->insider.wait_ms, on_late) == 0)
        leg->inner = server_inner_start(visit->pipeline->server, &request);
    buf_deinit(&bytes);
    return leg->inner != NULL;
}

/* A caller's Prefer: wait is about the whole: a leg that begins late has what is left of it. At the end of
 * it, reads may still be answered from the cache; a write is not sent any more. */
static bool time_leg(struct leg *leg)
{
    const struct fanout *fanout = leg->fanout;
    struct visit *visit = fanout->visit;
    uint64_t now = loop_now(visit->pipeline->loop);
    bool over = fanout->deadline_ms > 0 && now >= fanout->deadline_ms;
    leg->insider = (struct insider){
        .caller = visit->caller, .of_client = true, .tls = visit->x->tls, .peer = visit->x->peer_name};
    leg->insider.wait_ms = fanout->deadline_ms == 0 ? visit->settings->leg_ms
                           : over                   ? 1
                                                    : fanout->deadline_ms - now;
    return !over || method_is_safe(visit->x->request.method);
}

static void start(struct leg *leg)
{
    if (leg->credential_id.len == 0)
        fanout_problem(leg, PROBLEM_CREDENTIAL_NOT_FOUND,
                       "the tenant has no credential of this app key or id that serves this API");
    else if (!time_leg(leg))
        fanout_problem(leg, PROBLEM_UPSTREAM_TIMEOUT,
                       "not sent: the time that Prefer: wait allows was over before its turn");
    else if (send_leg(leg))
        return;
    else
        fanout_problem(leg, PROBLEM_OVERLOADED, "out of memory: not sent");
    loop_timer_clear(leg->fanout->visit->pipeline->loop, &leg->timer);
    leg->fanout->done++;
    leg->fanout->flying--;
}

static void pump(struct fanout *fanout)
{
    while (fanout->begun < fanout->count && fanout->flying < fanout->width) {
        fanout->flying++;
        start(&fanout->legs[fanout->begun++]);
    }
    if (fanout->done == fanout->count)
        fanout_answer(fanout);
}

/* --- the visit's side
 * --------------------------------------------------------------------------------------------- */

static void go(struct fanout *fanout, struct slice body)
{
    size_t fit = body.len > 0 ? BODIES_MAX / body.len : WIDTH;
    fanout->body = body;
    fanout->width = fit < 1 ? 1 : fit < WIDTH ? (unsigned)fit : WIDTH;
    pump(fanout);
}

static void on_collected(struct server_exchange *x, enum problem problem, struct slice body)
{
    struct visit *visit = x->user;
    if (problem == PROBLEM_COUNT)
        go(visit->fanout, body);
    else
        refuse(visit, problem,
               problem == PROBLEM_PAYLOAD_TOO_LARGE ? "the body is larger than sizes.request_body"
                                                    : "the body could not be taken");
}

/* What makes no sense with several systems. NULL: nothing of it. */
static const char *contradiction(const struct visit *visit)
{
    const struct http_fields *fields = &visit->x->request.fields;
    if (visit->api->is_core)
        return "core is about the tenant, not about one of its systems: without X-Fanout";
    if (http_find(fields, FIELD_X_APP_KEY) || http_find(fields, FIELD_X_ROLLOUT_CREDENTIAL_ID))
        return "X-Fanout with X-App-Key or X-Rollout-Credential-Id: one of them alone says which systems";
    return NULL;
}

/* Where a page begins is said for each system. False: no memory. */
static bool take_query(struct fanout *fanout)
{
    struct visit *visit = fanout->visit;
    struct arena *arena = &visit->x->arena;
    fanout->query = route_query_without(arena, visit->route.query, SLICE("next"));
    if (fanout->query.ptr)
        fanout->query = route_query_without(arena, fanout->query, SLICE("offset"));
    return fanout->query.ptr != NULL;
}

static void begin(struct visit *visit, struct fanout *fanout)
{
    uint64_t seconds;
    if (patience_seconds(visit, &seconds))
        fanout->deadline_ms = loop_now(visit->pipeline->loop) + seconds * 1000;
    visit->fanout = fanout;
    visit->head_only = visit->x->request.method == METHOD_HEAD;
    visit->outcome = PIPELINE_BYPASS;
    visit->fwd = method_is_safe(visit->x->request.method) ? "bypass" : "method";
    visit->detail = "fanout";
    if (visit->x->request.framing == FRAMING_NONE)
        go(fanout, SLICE(""));
    else
        server_collect(visit->x, (size_t)visit->settings->body_max, on_collected);
}

bool fanout_takes(struct visit *visit)
{
    const struct http_fields *fields = &visit->x->request.fields;
    if (!http_find(fields, FIELD_X_FANOUT))
        return false;
    struct fanout_names names;
    const char *why = contradiction(visit);
    if (why || !fanout_read(fields, &names, &why)) {
        refuse(visit, PROBLEM_BAD_REQUEST, why);
        return true;
    }
    struct fanout *fanout = arena_zalloc(&visit->x->arena, sizeof *fanout);
    if (fanout)
        fanout->visit = visit;
    if (!fanout || !take_query(fanout)) {
        refuse(visit, PROBLEM_OVERLOADED, "out of memory");
        return true;
    }
    if (choose(fanout, &names))
        begin(visit, fanout);
    return true;
}

void fanout_clear(struct visit *visit)
{
    struct fanout *fanout = visit->fanout;
    if (!fanout)
        return;
    for (size_t i = 0; i < fanout->count; i++) {
        struct leg *leg = &fanout->legs[i];
        loop_timer_clear(visit->pipeline->loop, &leg->timer);
        if (leg->inner)
            server_inner_cancel(leg->inner);
        buf_deinit(&leg->result);
    }
    visit->pipeline->fanned -= fanout->held;
    visit->fanout = NULL;
}
