#include "route/route_internal.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Is the encoded text the name, decoded and in any case, alone or as "name[…]"? A bad escape stands for
 * itself. */
static bool is_named(struct slice parameter, struct slice name)
{
    struct slice key, value;
    size_t at = 0, i = 0;
    slice_cut(parameter, '=', &key, &value);
    while (i < key.len && at < name.len) {
        int byte = route_escape_value(slice_skip(key, i));
        if (lower(byte < 0 ? key.ptr[i] : (char)byte) != lower(name.ptr[at++]))
            return false;
        i += byte < 0 ? 1 : 3;
    }
    if (at < name.len)
        return false;
    return i == key.len || key.ptr[i] == '[' || route_escape_value(slice_skip(key, i)) == '[';
}

/* The parameter at the start of the query; *len is its length. */
static struct slice first_parameter(struct slice query)
{
    size_t end = 0;
    while (end < query.len && query.ptr[end] != '&' && query.ptr[end] != ';')
        end++;
    return slice_of(query.ptr, end);
}

struct slice route_query_without(struct arena *arena, struct slice query, struct slice name)
{
    char *out = NULL;
    size_t len = 0;
    if (!query.ptr)
        return SLICE("");
    for (size_t at = 0; at <= query.len;) {
        struct slice parameter = first_parameter(slice_skip(query, at));
        bool drop = is_named(parameter, name);
        if (drop && !out) {
            out = arena_alloc(arena, query.len);
            if (!out)
                return slice_of(NULL, 0);
            len = at > 0 ? at - 1 : 0;
            memcpy(out, query.ptr, len);
        } else if (!drop && out) {
            /* With the separator before it, unless it is the first that is left. */
            size_t from = len > 0 ? at - 1 : at;
            memcpy(out + len, query.ptr + from, at + parameter.len - from);
            len += at + parameter.len - from;
        }
        at += parameter.len + 1;
    }
    return out ? slice_of(out, len) : query;
}
