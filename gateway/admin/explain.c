/* POST /v1/explain {"tenant", "method", "path", "headers"?, "caller"?}: the whole decision, nothing sent. */
#include "admin_internal.h"

enum { HEADERS_MAX = 64 };

/* {"Name": "value"} behind what is there already. The tenant is named once. */
static bool add_headers(json_t *headers, struct http_field *at, struct http_fields *fields)
{
    const char *name;
    json_t *value;
    if (headers && (!json_is_object(headers) || json_object_size(headers) > HEADERS_MAX))
        return false;
    json_object_foreach(headers, name, value)
    {
        struct http_field field = {.name = slice_from(name), .value = json_text(headers, name)};
        field.id = field_lookup(field.name);
        if (!json_is_string(value) || !field_is_token(field.name) || !field_is_value(field.value) ||
            field.id == FIELD_X_TENANT_ID)
            return false;
        at[fields->count++] = field;
    }
    return true;
}

static bool make_request(struct admin_request *r, json_t *body, struct http_request *request)
{
    struct slice tenant = json_text(body, "tenant"), method = json_text(body, "method"),
                 path = json_text(body, "path");
    struct http_field *field = arena_alloc(&r->x->arena, (1 + HEADERS_MAX) * sizeof *field);
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
    return field_is_token(method) && add_headers(json_object_get(body, "headers"), field, &request->fields);
}

static void on_body(struct admin_request *r, json_t *body)
{
    struct http_request request;
    struct buf out;
    if (!make_request(r, body, &request)) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "",
                       "expected {\"tenant\", \"method\", \"path\", \"headers\"?, \"caller\"?}, the path "
                       "beginning with / and "
                       "headers as texts by name, without X-Tenant-Id");
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
