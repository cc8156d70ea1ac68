#include "http/problem.h"

#include <assert.h>

#define TYPE_BASE "https://rollout-gateway.dev/problems/"

static const struct {
    const char *code;
    int status;
    const char *title;
    const char *proxy_error;
} table[PROBLEM_COUNT] = {
#define PROBLEM_ROW(id, code, status, title, error) [PROBLEM_##id] = {(code), (status), (title), (error)},
    PROBLEM_LIST(PROBLEM_ROW)
#undef PROBLEM_ROW
};

int problem_status(enum problem problem)
{
    assert((unsigned)problem < PROBLEM_COUNT);
    return table[problem].status;
}

const char *problem_code(enum problem problem)
{
    assert((unsigned)problem < PROBLEM_COUNT);
    return table[problem].code;
}

const char *problem_proxy_error(enum problem problem)
{
    assert((unsigned)problem < PROBLEM_COUNT);
    return table[problem].proxy_error;
}

int problem_body(struct buf *out, enum problem problem, struct slice detail, struct slice request_id,
                 const char *extra)
{
    assert((unsigned)problem < PROBLEM_COUNT);
    /* A failed append makes every later one fail with it: the last one tells. */
    buf_append_format(out, "{\"type\":\"" TYPE_BASE "%s\",\"title\":\"%s\",\"status\":%d,\"detail\":\"",
                      table[problem].code, table[problem].title, table[problem].status);
    buf_append_json(out, detail);
    if (request_id.len > 0) {
        buf_append_text(out, "\",\"request_id\":\"");
        buf_append_json(out, request_id);
    }
    buf_append_format(out, "\",\"code\":\"%s\"", table[problem].code);
    buf_append_text(out, extra);
    return buf_append_char(out, '}');
}
