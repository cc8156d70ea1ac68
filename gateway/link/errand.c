/* One request under /link/: from the hand-over to its answer, whether or not its client stays. */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

/* --- its end
 * ------------------------------------------------------------------------------------------------------- */

static void on_done(struct server_exchange *x, enum server_outcome outcome)
{
    struct errand *errand = x->user;
    access_write(errand, outcome);
    errand->x = NULL;
    if (!errand->busy)
        free(errand);
}

static void on_done_bare(struct server_exchange *x, enum server_outcome outcome)
{
    (void)x;
    (void)outcome;
}

void errand_end(struct errand *errand)
{
    errand->busy = false;
    if (!errand->x)
        free(errand);
}

/* --- answers
 * ------------------------------------------------------------------------------------------------------- */

#define OWN_FIELDS                                                                                           \
    "Cache-Control: no-store\r\nCache-Status: rollout-gateway; fwd=bypass; detail=link\r\n"                  \
    "Via: 1.1 rollout-gateway\r\n"

void errand_reply(struct errand *errand, int status, struct slice body)
{
    struct server_exchange *x = errand->x;
    if (!x)
        return;
    const char *cors = cors_fields(errand->link, x);
    struct slice fields = arena_format(&x->arena, OWN_FIELDS "%s", cors ? cors : "");
    if (!cors || !fields.ptr)
        server_abort(x);
    else
        server_reply(x, status, body.len > 0 ? "application/json" : NULL, fields.ptr, body);
}

static void problem_with(struct errand *errand, enum problem problem, const char *further, const char *detail)
{
    struct server_exchange *x = errand->x;
    if (!x)
        return;
    const char *cors = cors_fields(errand->link, x);
    struct slice fields = arena_format(&x->arena, OWN_FIELDS "%s%s", further, cors ? cors : "");
    if (!cors || !fields.ptr)
        server_abort(x);
    else
        server_problem(x, problem, fields.ptr, "", "%s", detail);
}

void errand_problem(struct errand *errand, enum problem problem, uint64_t retry_after_s, const char *detail)
{
    char further[48] = "";
    if (retry_after_s == 0 && (problem == PROBLEM_RATE_LIMITED || problem == PROBLEM_CIRCUIT_OPEN ||
                               problem == PROBLEM_OVERLOADED || problem == PROBLEM_STORE_UNAVAILABLE))
        retry_after_s = 1;
    if (retry_after_s > 0)
        snprintf(further, sizeof further, "Retry-After: %llu\r\n", (unsigned long long)retry_after_s);
    problem_with(errand, problem, further, detail);
}

void errand_trouble(struct errand *errand, const struct trouble *trouble)
{
    errand_problem(errand, trouble->problem, trouble->retry_after_s, trouble->why);
}

void errand_store_failed(struct errand *errand, int error)
{
    char text[160];
    if (error == ERR_EXISTS)
        errand_problem(errand, PROBLEM_CONFLICT, 0,
                       "the credential is mapped for another tenant; an operator has to delete that first");
    else if (error == ERR_LIMIT) {
        snprintf(text, sizeof text, "a tenant has at most %d credentials", CREDENTIAL_MAX);
        errand_problem(errand, PROBLEM_CONFLICT, 0, text);
    } else {
        snprintf(text, sizeof text, "%sthe mapping could not be changed: %s",
                 errand->disconnected ? "disconnected at Rollout, repeat the call: " : "", error_text(error));
        errand_problem(errand, PROBLEM_STORE_UNAVAILABLE, 0, text);
    }
}

/* --- its beginning
 * ------------------------------------------------------------------------------------------------ */

static const struct endpoint {
    const char *path;
    bool id; /* one more segment follows */
    enum method method;
    const char *allow;
    void (*serve)(struct errand *errand);
} endpoints[] = {
    {"/token", false, METHOD_POST, "Allow: POST\r\n", serve_token},
    {"/credentials", false, METHOD_GET, "Allow: GET, HEAD, POST\r\n", serve_list},
    {"/credentials", false, METHOD_POST, "Allow: GET, HEAD, POST\r\n", serve_connect},
    {"/credentials/", true, METHOD_DELETE, "Allow: DELETE\r\n", serve_disconnect},
};

static bool matches(const struct endpoint *endpoint, struct slice path)
{
    struct slice pattern = slice_from(endpoint->path);
    if (!endpoint->id)
        return slice_equal(path, pattern);
    return slice_starts(path, pattern) && path.len > pattern.len &&
           slice_find(slice_skip(path, pattern.len), '/') == path.len - pattern.len;
}

static void dispatch(struct errand *errand)
{
    enum method method = errand->x->request.method;
    const char *allow = NULL;
    method = method == METHOD_HEAD ? METHOD_GET : method;
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints; i++) {
        if (!matches(&endpoints[i], errand->path))
            continue;
        if (endpoints[i].method == method) {
            endpoints[i].serve(errand);
            return;
        }
        allow = endpoints[i].allow;
    }
    if (allow)
        problem_with(errand, PROBLEM_METHOD_NOT_ALLOWED, allow, "this path does not take that method");
    else
        problem_with(errand, PROBLEM_NOT_FOUND, "", "there are /link/token and /link/credentials");
}

void link_serve(void *owner, struct server_exchange *x, struct slice tenant, struct slice path,
                struct slice caller)
{
    struct errand *errand = calloc(1, sizeof *errand);
    x->on_done = on_done_bare;
    if (!errand) {
        server_problem(x, PROBLEM_OVERLOADED, "", "", "out of memory");
        return;
    }
    errand->link = owner;
    errand->x = x;
    errand->path = path;
    errand->caller = caller;
    memcpy(errand->text, tenant.ptr, tenant.len); /* of a valid length: route/ */
    errand->tenant = slice_of(errand->text, tenant.len);
    x->user = errand;
    x->on_done = on_done;
    dispatch(errand);
}
