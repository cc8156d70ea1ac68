/*
 * route_find on any target. What is accepted must be one thing to every reader: no dot segment, separator or
 * control byte, however often (up to twice) the path is decoded; canonical, so that finding it again changes
 * nothing; the tenant valid. Input: flags byte (bit 0: X-Tenant-Id is sent), target.
 */
#include <stdint.h>
#include <stdlib.h>

#include "http/url.h"
#include "route/route.h"

static const struct slice names[] = {{"core", 4}, {"crm", 3}, {"mortgage-crm", 12}};

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* Decodes what can be decoded; a bad escape stays. */
static struct slice decode(struct buf *out, struct slice text)
{
    buf_reset(out);
    for (size_t i = 0; i < text.len;) {
        size_t end = i + 3 < text.len ? i + 3 : text.len;
        if (text.ptr[i] == '%' && url_decode(out, slice_of(text.ptr + i, end - i)) == 0) {
            i = end;
        } else {
            out->failed = false;
            buf_append_char(out, text.ptr[i++]);
        }
    }
    return buf_slice(out);
}

static void check_segments(struct slice path, bool decoded)
{
    struct slice segment, rest = path, plain, parameters;
    must(path.len == 0 || path.ptr[0] == '/');
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];
        must(c >= 0x20 && c != 0x7F && c != '\\');
        must(decoded || (c > 0x20 && c < 0x7F && c != '#' && c != '?'));
    }
    if (path.len == 0)
        return;
    rest = slice_skip(path, 1);
    for (bool more = true; more;) {
        more = slice_cut(rest, '/', &segment, &rest);
        slice_cut(segment, ';', &plain, &parameters);
        must(!slice_equal(plain, SLICE(".")) && !slice_equal(plain, SLICE("..")));
        must(plain.len > 0 || (!more && segment.len == 0));
    }
}

static size_t count(struct slice s, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += s.ptr[i] == c;
    return n;
}

static void check_path(struct slice path)
{
    static char storage[2][1 << 16];
    struct buf once, twice;
    buf_init_fixed(&once, storage[0], sizeof storage[0]);
    buf_init_fixed(&twice, storage[1], sizeof storage[1]);
    check_segments(path, false);
    struct slice first = decode(&once, path);
    struct slice second = decode(&twice, first);
    must(count(first, '/') == count(path, '/') && count(second, '/') == count(path, '/'));
    check_segments(first, true);
    check_segments(second, true);
}

static enum route_outcome find(struct slice target, bool header, struct arena *arena, struct route *out)
{
    struct http_field field = {SLICE("X-Tenant-Id"), SLICE("acme"), FIELD_X_TENANT_ID};
    struct http_request request = {.target = target, .fields = {&field, header}};
    return route_find(&request, names, 3, arena, out);
}

/* The canonical target routes to the same place, untouched. */
static void check_again(const struct route *route)
{
    static _Alignas(16) char storage[1 << 16], target[1 << 16];
    struct route again;
    struct arena arena;
    struct buf buf;
    arena_init(&arena, storage, sizeof storage, 0);
    buf_init_fixed(&buf, target, sizeof target);
    buf_append_text(&buf, "/t/");
    buf_append_slice(&buf, route->tenant);
    buf_append_char(&buf, '/');
    buf_append_slice(&buf, names[route->api]);
    buf_append_slice(&buf, route->path);
    must(!buf.failed);
    enum route_outcome outcome = find(buf_slice(&buf), false, &arena, &again);
    if (slice_equal(route->tenant, SLICE(".")) || slice_equal(route->tenant, SLICE("..")))
        return;
    must(outcome == ROUTE_OK && again.api == route->api && slice_equal(again.tenant, route->tenant));
    must(slice_equal(again.path, route->path) && slice_equal(again.id, route->id));
    must(slice_equal(again.entity, route->entity));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(16) char storage[1 << 16];
    struct arena arena;
    struct route route;
    if (size == 0 || size > 16384)
        return 0;
    arena_init(&arena, storage, sizeof storage, 0);
    struct slice target = slice_of((const char *)data + 1, size - 1);
    bool header = data[0] & 1;
    enum route_outcome outcome = find(target, header, &arena, &route);
    must(outcome != ROUTE_NOMEM);
    if (outcome != ROUTE_OK && outcome != ROUTE_LINK && outcome != ROUTE_EVENTS) {
        must(route.why != NULL);
        return 0;
    }
    must(route_tenant_is_valid(route.tenant) && (!header || slice_equal(route.tenant, SLICE("acme"))));
    must(route.entity.len <= ROUTE_ENTITY_MAX);
    must(count(route.entity, '-') == 0 && count(route.entity, ';') == 0 && count(route.id, ';') == 0);
    check_path(route.path);
    if (outcome == ROUTE_OK)
        check_again(&route);
    return 0;
}
