/* Which pages may call (Fetch, "CORS protocol"): those of the configured origins, compared as browsers write
 * them. Without configuration nothing is said. */
#include "internal.h"

/* The request's Origin when it is allowed, else empty. */
static struct slice allowed_origin(const struct link *link, const struct http_fields *fields)
{
    struct slice origin = http_value(fields, FIELD_ORIGIN);
    if (http_count(fields, FIELD_ORIGIN) != 1)
        return (struct slice){NULL, 0};
    for (size_t i = 0; i < link->options.origin_count; i++)
        if (slice_equal(link->options.origins[i], origin))
            return link->options.origins[i];
    return (struct slice){NULL, 0};
}

const char *cors_fields(const struct link *link, struct server_exchange *x)
{
    struct slice origin = allowed_origin(link, &x->request.fields);
    if (link->options.origin_count == 0)
        return "";
    if (origin.len == 0)
        return "Vary: Origin\r\n";
    return arena_format(&x->arena,
                        "Access-Control-Allow-Origin: %.*s\r\n"
                        "Access-Control-Expose-Headers: X-Request-Id, Retry-After\r\nVary: Origin\r\n",
                        SLICE_ARG(origin))
        .ptr;
}

/* As it stands in the request: what needs decoding is no page's of ours. */
static bool is_link_path(struct slice target)
{
    struct slice path, query, name, rest;
    slice_cut(target, '?', &path, &query);
    if (slice_starts(path, SLICE("/t/"))) {
        if (!slice_cut(slice_skip(path, 3), '/', &name, &rest))
            return false;
        return slice_starts(rest, SLICE("link/"));
    }
    return slice_starts(path, SLICE("/link/"));
}

static void on_done(struct server_exchange *x, enum server_outcome outcome)
{
    struct errand asked = {.link = x->user, .x = x};
    access_write(&asked, outcome);
}

bool link_preflight(void *owner, struct server_exchange *x)
{
    static const char method[] = "access-control-request-method";
    struct slice origin = allowed_origin(owner, &x->request.fields);
    if (origin.len == 0 || !is_link_path(x->request.target) ||
        !http_find_name(&x->request.fields, SLICE(method)))
        return false;
    struct slice fields = arena_format(
        &x->arena,
        "Access-Control-Allow-Origin: %.*s\r\nAccess-Control-Allow-Methods: GET, POST, DELETE\r\n"
        "Access-Control-Allow-Headers: Authorization, Content-Type, X-Gateway-Key, X-Request-Id, "
        "X-Tenant-Id\r\n"
        "Access-Control-Max-Age: 600\r\n"
        "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"
        "Cache-Status: rollout-gateway; fwd=bypass; detail=link\r\nVia: 1.1 rollout-gateway\r\n",
        SLICE_ARG(origin));
    x->user = owner;
    x->on_done = on_done;
    if (fields.ptr)
        server_reply(x, 204, NULL, fields.ptr, SLICE(""));
    else
        server_abort(x);
    return true;
}
