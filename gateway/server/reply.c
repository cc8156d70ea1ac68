/* Whole small answers: copied, dated, named; and problem documents. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "http/date.h"
#include "server/server_internal.h"

enum { DETAIL_MAX = 1024, BODY_MAX = 64 * 1024, IN_ARENA_MAX = 16 * 1024 };

struct slice server_date(void)
{
    static _Thread_local struct {
        int64_t second;
        char text[DATE_LENGTH];
    } cached;
    int64_t second = clock_wall_ms() / 1000;
    if (second != cached.second) {
        date_format(second, cached.text);
        cached.second = second;
    }
    return slice_of(cached.text, DATE_LENGTH);
}

/* A copy that lives until it is sent; false when out of memory. */
static bool copy_body(struct server_exchange *x, struct slice body, struct server_piece *out)
{
    *out = (struct server_piece){0};
    if (body.len == 0)
        return true;
    if (body.len <= IN_ARENA_MAX) {
        out->data = arena_copy(&x->arena, body);
        return out->data.ptr != NULL;
    }
    char *copy = malloc(body.len);
    if (!copy)
        return false;
    memcpy(copy, body.ptr, body.len);
    *out = (struct server_piece){slice_of(copy, body.len), free, copy};
    return true;
}

void server_reply(struct server_exchange *x, int status, const char *content_type, const char *fields,
                  struct slice body)
{
    struct server_piece piece;
    if (content_type && !*content_type)
        content_type = NULL;
    struct slice head =
        arena_format(&x->arena, "%s%s%sDate: %.*s\r\nX-Request-Id: %.*s\r\n%s",
                     content_type ? "Content-Type: " : "", content_type ? content_type : "",
                     content_type ? "\r\n" : "", SLICE_ARG(server_date()), SLICE_ARG(x->request_id), fields);
    if (!head.ptr || !copy_body(x, body, &piece)) {
        server_abort(x);
        return;
    }
    server_begin(x, status, head, body.len);
    server_write(x, piece);
    server_end(x);
}

/* --- problems ------------------------------------------------------------------------------------ */

static void reply_problem(struct server_exchange *x, int status, enum problem problem, const char *fields,
                          const struct buf *body)
{
    const struct server *server = server_exchange_of(x)->connection->server;
    const char *error = problem_proxy_error(problem), *own = server->options.problem_fields;
    if (*fields || !own)
        own = ""; /* the handler says it better */
    struct slice lines = arena_format(&x->arena, "Proxy-Status: rollout-gateway%s%s\r\n%s%s",
                                      *error ? "; error=" : "", error, own, fields);
    if (!lines.ptr || body->failed) {
        server_abort(x);
        return;
    }
    server_reply(x, status, "application/problem+json", lines.ptr, buf_slice(body));
}

void server_problem(struct server_exchange *x, enum problem problem, const char *fields, const char *extra,
                    const char *detail, ...)
{
    char text[DETAIL_MAX];
    struct buf body;
    va_list args;
    va_start(args, detail);
    vsnprintf(text, sizeof text, detail, args);
    va_end(args);
    buf_init(&body, BODY_MAX);
    problem_body(&body, problem, slice_from(text), x->request_id, extra);
    reply_problem(x, problem_status(problem), problem, fields, &body);
    buf_deinit(&body);
}

/* As problem_body, with a status that the table does not have. `why` and the id need no escaping. */
static void odd_body(struct buf *out, int status, const char *why, struct slice id)
{
    const char *code = problem_code(PROBLEM_BAD_REQUEST);
    buf_append_format(out,
                      "{\"type\":\"https://rollout-gateway.dev/problems/%s\",\"title\":\"%s\",\"status\":%d,"
                      "\"detail\":\"%s\",\"request_id\":\"%.*s\",\"code\":\"%s\"}",
                      code, http_reason(status), status, why, SLICE_ARG(id), code);
}

void server_refuse(struct exchange *e, int status, const char *why)
{
    struct buf body;
    switch (status) {
    case 400:
        server_problem(&e->x, PROBLEM_BAD_REQUEST, "", "", "%s", why);
        return;
    case 431:
        server_problem(&e->x, PROBLEM_HEADERS_TOO_LARGE, "", "", "%s", why);
        return;
    case 503:
        server_problem(&e->x, PROBLEM_OVERLOADED, "", "", "%s", why);
        return;
    default:
        buf_init(&body, DETAIL_MAX);
        odd_body(&body, status, why, e->x.request_id);
        reply_problem(&e->x, status, PROBLEM_BAD_REQUEST, "", &body);
        buf_deinit(&body);
    }
}
