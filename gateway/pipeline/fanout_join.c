/* What the systems answered, as one document (contract 7): each leg's own answer stands in it as it came. */
#include <stdlib.h>

#include "fanout.h"
#include "http/json.h"

enum { RESULT_EXTRA = 8192, NEXT_MAX = 512 * 1024 };

/* --- one result
 * -------------------------------------------------------------------------------------------------- */

static void put_text(struct buf *out, const char *name, struct slice value)
{
    buf_append_format(out, "\"%s\":", name);
    if (value.len == 0) {
        buf_append_text(out, "null");
        return;
    }
    buf_append_char(out, '"');
    buf_append_json(out, value);
    buf_append_char(out, '"');
}

/* Results are written as members of one list, each with the comma before it. */
static void put_begin(struct leg *leg, int status, struct slice cache)
{
    struct buf *out = &leg->result;
    buf_append_text(out, leg == leg->fanout->legs ? "{" : ",{");
    put_text(out, "credential_id", leg->credential_id);
    buf_append_char(out, ',');
    put_text(out, "app_key", leg->app_key);
    buf_append_format(out, ",\"status\":%d,", status);
    put_text(out, "cache", cache);
}

static bool is_good(int status)
{
    return status >= 200 && status < 300;
}

/* `_metadata.next` of a list (Rollout's cursor), as the JSON string that it is; empty: the last page. */
static struct slice find_next(struct slice body)
{
    struct slice next = json_member(json_member(body, SLICE("_metadata")), SLICE("next"));
    return next.len > 2 && next.ptr[0] == '"' ? next : SLICE("");
}

/* The cursor as X-Fanout takes it. One that it could not take is not offered. */
static void note_next(struct leg *leg, struct slice quoted)
{
    struct fault fault;
    char storage[FANOUT_CURSOR_MAX];
    struct buf encoded;
    buf_init_fixed(&encoded, storage, sizeof storage);
    json_t *cursor = json_read(quoted, FANOUT_CURSOR_MAX, &fault);
    if (!cursor)
        return;
    if (url_encode(&encoded, slice_of(json_string_value(cursor), json_string_length(cursor))) == 0)
        leg->next = arena_copy(&leg->fanout->visit->x->arena, buf_slice(&encoded));
    json_decref(cursor);
}

static void put_body(struct leg *leg, int status, struct slice body)
{
    struct buf *out = &leg->result;
    bool json = json_is_valid(body);
    struct slice next = json && is_good(status) ? find_next(body) : SLICE("");
    if (next.len > 0)
        note_next(leg, next);
    buf_append_text(out, ",\"next\":");
    buf_append_slice(out, leg->next.len > 0 ? next : SLICE("null"));
    if (json) {
        buf_append_text(out, ",\"body\":");
        buf_append_slice(out, body);
    } else {
        buf_append_char(out, ',');
        put_text(out, "body", body);
    }
    buf_append_char(out, '}');
}

/* Counts what the result holds. False: it is more than there may be, and is given up. */
static bool keep(struct leg *leg)
{
    struct fanout *fanout = leg->fanout;
    struct pipeline *pipeline = fanout->visit->pipeline;
    size_t size = leg->result.cap;
    if (leg->result.failed || fanout->held + size > FANOUT_HELD_MAX ||
        pipeline->fanned + size > FANOUT_WORKER_MAX) {
        buf_deinit(&leg->result);
        leg->next = (struct slice){NULL, 0};
        return false;
    }
    fanout->held += size;
    pipeline->fanned += size;
    return true;
}

void fanout_problem(struct leg *leg, enum problem problem, const char *detail)
{
    struct visit *visit = leg->fanout->visit;
    struct buf *out = &leg->result;
    buf_init(out, RESULT_EXTRA);
    put_begin(leg, problem_status(problem), SLICE("rollout-gateway; fwd=bypass; detail=not-forwarded"));
    buf_append_text(out, ",\"next\":null,\"body\":");
    problem_body(out, problem, slice_from(detail), visit->x->request_id, "");
    buf_append_char(out, '}');
    leg->fanout->held += out->cap; /* small: always kept */
    visit->pipeline->fanned += out->cap;
}

static void put_more(struct buf *out, const struct http_fields *fields)
{
    uint64_t seconds;
    if (slice_to_u64(http_value(fields, FIELD_RETRY_AFTER), &seconds))
        buf_append_format(out, ",\"retry_after\":%llu", (unsigned long long)seconds);
    if (http_find_name(fields, SLICE("Idempotent-Replayed")))
        buf_append_text(out, ",\"replayed\":true");
}

void fanout_result(struct leg *leg, const struct server_inner_answer *answer)
{
    if (answer->status == 0) {
        fanout_problem(leg, PROBLEM_UPSTREAM_INVALID,
                       answer->outgrown ? "the answer of this system is too large to be joined with others"
                                        : "the answer of this system broke off");
        return;
    }
    buf_init(&leg->result, RESULT_EXTRA + answer->body.len * 6); /* a body that is no JSON grows so much */
    put_begin(leg, answer->status, http_value(answer->fields, FIELD_CACHE_STATUS));
    put_more(&leg->result, answer->fields);
    put_body(leg, answer->status, answer->body);
    if (!keep(leg))
        fanout_problem(leg, PROBLEM_OVERLOADED, "the answers of all systems together are too large");
}

/* --- the whole
 * --------------------------------------------------------------------------------------------------- */

/* What X-Fanout has to be for the pages that follow; in the arena. */
static struct slice whole_next(struct fanout *fanout)
{
    struct buf out;
    const char *comma = "";
    buf_init(&out, NEXT_MAX);
    buf_append_text(&out, "],\"next\":");
    for (size_t i = 0; i < fanout->count; i++) {
        const struct leg *leg = &fanout->legs[i];
        if (leg->next.len == 0)
            continue;
        buf_append_format(&out, "%s%.*s;next=%.*s", *comma ? comma : "\"", SLICE_ARG(leg->credential_id),
                          SLICE_ARG(leg->next));
        comma = ", ";
    }
    buf_append_text(&out, *comma ? "\"}\n" : "null}\n");
    struct slice next = {NULL, 0};
    if (!out.failed)
        next = arena_copy(&fanout->visit->x->arena, buf_slice(&out));
    buf_deinit(&out);
    return next;
}

static void write_legs(struct fanout *fanout)
{
    for (size_t i = 0; i < fanout->count; i++) {
        struct buf *result = &fanout->legs[i].result;
        struct slice data = buf_slice(result);
        void *storage = result->ptr;
        *result = (struct buf){0}; /* the piece's */
        server_write(fanout->visit->x, (struct server_piece){data, free, storage});
    }
}

void fanout_answer(struct fanout *fanout)
{
    static const char fields[] = "Content-Type: application/json\r\nCache-Control: private, no-store\r\n";
    struct visit *visit = fanout->visit;
    struct slice head = SLICE("{\"results\":["), tail = whole_next(fanout);
    uint64_t length = head.len + tail.len;
    for (size_t i = 0; i < fanout->count; i++)
        length += fanout->legs[i].result.len;
    if (!tail.ptr) {
        visit->outcome = PIPELINE_FAILED;
        answer_problem(visit, PROBLEM_OVERLOADED, "out of memory: what was done is not known");
        return;
    }
    if (!answer_begin(visit, 207, fields, length))
        return;
    server_write(visit->x, (struct server_piece){head, NULL, NULL});
    write_legs(fanout);
    server_write(visit->x, (struct server_piece){tail, NULL, NULL});
    server_end(visit->x);
}
