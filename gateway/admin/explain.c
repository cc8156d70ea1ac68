/* POST /v1/explain {"tenant", "method", "path", "caller"?}: the whole decision, nothing sent. */
#include "admin_internal.h"

static bool make_request(struct admin_request *r, json_t *body, struct http_request *request)
{
    struct slice tenant = json_text(body, "tenant"), method = json_text(body, "method"),
                 path = json_text(body, "path");
    struct http_field *field = arena_alloc(&r->x->arena, sizeof *field);
    if (json_object_get(body, "caller") && json_text(body, "caller").len == 0)
        return false;
    if (!field || tenant.len == 0 || path.len == 0 || path.ptr[0] != '/' || !field_is_value(path) ||
        slice_find(path, ' ') < path.len)
        return false;
    if (method.len == 0)
        method = SLICE("GET");
    *field = (struct http_field){SLICE("X-Tenant-Id"), tenant, FIELD_X_TENANT_ID};
    *request = (struct http_request){
        .method = method_lookup(method),
        .method_name = method,
        .target = path,
        .fields = {field, 1},
        .minor = 1,
    };
    return field_is_token(method);
}

static void on_body(struct admin_request *r, json_t *body)
{
    struct http_request request;
    struct buf out;
    if (!make_request(r, body, &request)) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "",
                       "expected {\"tenant\", \"method\", \"path\", \"caller\"?}, the path beginning with /");
        return;
    }
    buf_init(&out, ADMIN_BODY_MAX);
    if (pipeline_explain(r->admin->options.workers[0].pipeline, &request, json_text(body, "caller"),
                         &r->x->arena, &out))
        server_problem(r->x, PROBLEM_OVERLOADED, "", "", "out of memory, or the mapping cannot be read");
    else
        server_reply(r->x, 200, "application/json", "Cache-Control: no-store\r\n", buf_slice(&out));
    buf_deinit(&out);
}

void admin_explain(struct admin_request *r)
{
    admin_take_body(r, false, on_body);
}
