#include "route/route_internal.h"

/* Cuts the first segment off a path that is empty or begins with '/'. What is left is empty or begins with
 * '/'. */
static struct slice take_segment(struct slice *path)
{
    if (path->len == 0)
        return *path;
    struct slice inside = slice_skip(*path, 1);
    size_t end = slice_find(inside, '/');
    *path = slice_skip(inside, end);
    return slice_of(inside.ptr, end);
}

/* The wire lets only URI bytes through; a target that is built elsewhere is held to the same. A '#' would be
 * cut off by whoever takes the target for a URL. */
static bool is_query(struct slice query)
{
    for (size_t i = 0; i < query.len; i++) {
        unsigned char c = (unsigned char)query.ptr[i];
        if (c <= 0x20 || c >= 0x7F || c == '#')
            return false;
    }
    return true;
}

static int find_api(const struct slice *names, size_t count, struct slice name)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(names[i], name))
            return (int)i;
    }
    return -1;
}

/* An id with parameters has two readings; it stays empty, which means: depends on the whole entity. */
static bool set_id(struct route *out, struct slice segment, struct arena *arena)
{
    struct slice id = route_decode(arena, segment);
    if (!id.ptr)
        return false;
    if (slice_find(id, ';') == id.len)
        out->id = id;
    return true;
}

static bool is_entity_byte(char c)
{
    return c != '-' && !(c >= 'A' && c <= 'Z');
}

/* "smart-lists" -> "smartlists": as events spell it. A segment that is so already is borrowed. */
static bool set_entity(struct route *out, struct slice segment, struct arena *arena)
{
    struct slice name = route_decode(arena, segment);
    size_t plain = 0, len = 0;
    if (!name.ptr)
        return false;
    name.len = slice_find(name, ';');
    while (plain < name.len && is_entity_byte(name.ptr[plain]))
        plain++;
    if (plain == name.len) {
        out->entity = slice_of(name.ptr, name.len < ROUTE_ENTITY_MAX ? name.len : ROUTE_ENTITY_MAX);
        return true;
    }
    char *lower = arena_alloc(arena, ROUTE_ENTITY_MAX);
    if (!lower)
        return false;
    for (size_t i = 0; i < name.len && len < ROUTE_ENTITY_MAX; i++) {
        char c = name.ptr[i];
        if (c != '-')
            lower[len++] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    out->entity = slice_of(lower, len);
    return true;
}

static enum route_outcome find_subject(struct route *out, struct slice path, struct arena *arena)
{
    struct slice entity = take_segment(&path);
    struct slice id = take_segment(&path);
    if (!set_entity(out, entity, arena) || !set_id(out, id, arena))
        return ROUTE_NOMEM;
    return ROUTE_OK;
}

static enum route_outcome refuse(struct route *out, enum route_outcome outcome, const char *why)
{
    out->why = why;
    return outcome;
}

/* What the first segment after the tenant stands for. An API that was given the name of an endpoint of ours
 * has it. */
static enum route_outcome find_place(struct route *out, struct slice name, const struct slice *names,
                                     size_t count)
{
    out->api = find_api(names, count, name);
    if (out->api >= 0)
        return ROUTE_OK;
    if (slice_equal(name, SLICE("link")))
        return ROUTE_LINK;
    if (slice_equal(name, SLICE("events")) && out->path.len == 0)
        return ROUTE_EVENTS;
    return refuse(out, ROUTE_UNKNOWN_API, "the path does not begin with the name of a configured API");
}

static enum route_outcome split_target(struct slice target, struct arena *arena, struct slice *path,
                                       struct route *out)
{
    struct slice raw;
    out->has_query = slice_cut(target, '?', &raw, &out->query);
    enum route_outcome outcome = route_path_canonical(raw, arena, path, &out->why);
    if (outcome != ROUTE_OK)
        return outcome;
    if (!is_query(out->query))
        return refuse(out, ROUTE_BAD_TARGET, "the query has a character that has to be percent-encoded");
    return ROUTE_OK;
}

enum route_outcome route_find(const struct http_request *request, const struct slice *names, size_t count,
                              struct arena *arena, struct route *out)
{
    struct slice path, tenant = {NULL, 0};
    *out = (struct route){.api = -1};
    enum route_outcome outcome = split_target(request->target, arena, &path, out);
    if (outcome != ROUTE_OK)
        return outcome;
    struct slice name = take_segment(&path);
    out->tenant_in_path = slice_equal(name, SLICE("t"));
    if (out->tenant_in_path) {
        tenant = take_segment(&path);
        name = take_segment(&path);
    }
    outcome = route_tenant_find(&request->fields, tenant, arena, out);
    if (outcome != ROUTE_OK)
        return outcome;
    out->path = path;
    enum route_outcome place = find_place(out, name, names, count);
    if (place == ROUTE_UNKNOWN_API)
        return place;
    if (out->tenant.len == 0)
        return refuse(out, ROUTE_TENANT_REQUIRED,
                      "name the tenant: X-Tenant-Id, or /t/{tenant}/ before the API");
    outcome = find_subject(out, path, arena);
    return outcome == ROUTE_OK ? place : outcome;
}
