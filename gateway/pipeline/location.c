/* URLs in an answer's fields (Location, Content-Location), read back as requests of the gateway's own. */
#include "http/url.h"
#include "internal.h"

/* The path below the API's base, and the query, of a reference on the same origin; ptr is NULL for any other.
 * References relative to the path are none. */
static struct slice own_path(const struct pipeline_api *api, struct slice reference)
{
    struct url url;
    struct slice path = reference;
    if (url_parse(reference, &url)) {
        if (url.https != api->origin.https || !slice_equal_nocase(url.authority, api->origin.authority))
            return (struct slice){NULL, 0};
        path = slice_skip(reference, (size_t)(url.authority.ptr - reference.ptr) + url.authority.len);
    } else if (slice_starts(path, SLICE("//"))) {
        return (struct slice){NULL, 0};
    }
    if (!slice_starts(path, api->base_path))
        return (struct slice){NULL, 0};
    path = slice_skip(path, api->base_path.len);
    return path.len > 0 && path.ptr[0] == '/' ? path : (struct slice){NULL, 0};
}

bool location_route(struct flight *flight, struct slice reference, struct route *route)
{
    struct slice path = own_path(flight->api, reference);
    struct http_request request = {.method = METHOD_GET};
    if (!path.ptr)
        return false;
    request.target = arena_format(&flight->arena, "/t/%.*s/%.*s%.*s", SLICE_ARG(flight->tenant),
                                  SLICE_ARG(flight->api->name), SLICE_ARG(path));
    return request.target.ptr &&
           route_find(&request, &flight->api->name, 1, &flight->arena, route) == ROUTE_OK;
}

bool location_is_target(struct flight *flight)
{
    struct route route;
    struct buf buf;
    struct cache_key key;
    const struct http_fields *fields = flight->answer.fields;
    if (http_count(fields, FIELD_CONTENT_LOCATION) != 1 ||
        !location_route(flight, http_value(fields, FIELD_CONTENT_LOCATION), &route))
        return false;
    const struct slice query =
        route.has_query ? slice_of(route.query.ptr - 1, route.query.len + 1) : SLICE("");
    const struct slice parts[5] = {flight->tenant, flight->credential_id, flight->api->name, route.path,
                                   query};
    buf_init(&buf, 65536);
    bool same = cache_key_build(&buf, parts, &key) == 0 && slice_equal(key.bytes, flight->key);
    buf_deinit(&buf);
    return same;
}
