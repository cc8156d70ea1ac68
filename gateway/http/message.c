#include "http/message.h"

static const struct {
    struct slice name;
    enum method method;
} methods[] = {
#define METHOD_ROW(id)                                                                                       \
    {                                                                                                        \
        {#id, sizeof(#id) - 1}, METHOD_##id                                                                  \
    }
    METHOD_ROW(GET),    METHOD_ROW(HEAD),  METHOD_ROW(POST),    METHOD_ROW(PUT),
    METHOD_ROW(DELETE), METHOD_ROW(PATCH), METHOD_ROW(OPTIONS), METHOD_ROW(PURGE),
#undef METHOD_ROW
};

enum method method_lookup(struct slice name)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (slice_equal(name, methods[i].name))
            return methods[i].method;
    return METHOD_OTHER;
}

bool method_is_safe(enum method method)
{
    return method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS;
}

bool method_is_idempotent(enum method method)
{
    return method_is_safe(method) || method == METHOD_PUT || method == METHOD_DELETE;
}

/* --- fields
 * -------------------------------------------------------------------------------------------------- */

const struct http_field *http_find(const struct http_fields *fields, enum field_id id)
{
    for (size_t i = 0; i < fields->count; i++)
        if (fields->at[i].id == id)
            return &fields->at[i];
    return NULL;
}

const struct http_field *http_find_name(const struct http_fields *fields, struct slice name)
{
    for (size_t i = 0; i < fields->count; i++)
        if (slice_equal_nocase(fields->at[i].name, name))
            return &fields->at[i];
    return NULL;
}

size_t http_count(const struct http_fields *fields, enum field_id id)
{
    size_t count = 0;
    for (size_t i = 0; i < fields->count; i++)
        count += fields->at[i].id == id;
    return count;
}

struct slice http_value(const struct http_fields *fields, enum field_id id)
{
    const struct http_field *field = http_find(fields, id);
    return field ? field->value : (struct slice){NULL, 0};
}

/* --- members
 * ------------------------------------------------------------------------------------------------- */

/* Where the first member of a list ends: at a comma outside quotes, or at the end. An open quote runs to the
 * end. */
static size_t member_length(struct slice list)
{
    bool quoted = false;
    for (size_t i = 0; i < list.len; i++) {
        const char c = list.ptr[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == ',' && !quoted)
            return i;
    }
    return list.len;
}

/* Takes the first member, possibly empty, and its comma from the list. */
static struct slice take_member(struct slice *list)
{
    const size_t len = member_length(*list);
    const struct slice member = slice_of(list->ptr, len);
    *list = slice_skip(*list, len < list->len ? len + 1 : len);
    return slice_trim(member);
}

bool http_member_next(const struct http_fields *fields, enum field_id id, struct http_members *it,
                      struct slice *member)
{
    for (; it->field < fields->count; it->field++, it->inside = false) {
        const struct http_field *field = &fields->at[it->field];
        if (field->id != id)
            continue;
        if (!it->inside)
            it->rest = field->value;
        it->inside = true;
        while (it->rest.len > 0) {
            *member = take_member(&it->rest);
            if (member->len > 0)
                return true;
        }
    }
    return false;
}

size_t http_fields_size(const struct http_fields *fields)
{
    size_t size = 0;
    for (size_t i = 0; i < fields->count; i++)
        size += fields->at[i].name.len + fields->at[i].value.len;
    return size;
}

static struct slice put_copy(char **to, struct slice s)
{
    struct slice copy = slice_of(*to, s.len);
    if (s.len > 0)
        memcpy(*to, s.ptr, s.len);
    *to += s.len;
    return copy;
}

struct http_fields *http_fields_copy(struct arena *arena, const struct http_fields *from)
{
    struct http_fields *fields = arena_alloc(arena, sizeof *fields + from->count * sizeof *fields->at);
    char *bytes = arena_alloc(arena, http_fields_size(from) + 1);
    if (!fields || !bytes)
        return NULL;
    fields->at = (struct http_field *)(fields + 1);
    fields->count = from->count;
    for (size_t i = 0; i < from->count; i++) {
        fields->at[i].id = from->at[i].id;
        fields->at[i].name = put_copy(&bytes, from->at[i].name);
        fields->at[i].value = put_copy(&bytes, from->at[i].value);
    }
    return fields;
}

/* Options are tokens (RFC 9110 7.6.1): every comma separates. */
static bool options_name(struct slice options, struct slice name)
{
    while (options.len > 0) {
        size_t len = slice_find(options, ',');
        if (slice_equal_nocase(slice_trim(slice_of(options.ptr, len)), name))
            return true;
        options = slice_skip(options, len < options.len ? len + 1 : len);
    }
    return false;
}

/* Asked for each field of a message: mostly there is one Connection with one option, or none. */
bool http_connection_names(const struct http_fields *fields, struct slice name)
{
    for (size_t i = 0; i < fields->count; i++)
        if (fields->at[i].id == FIELD_CONNECTION && options_name(fields->at[i].value, name))
            return true;
    return false;
}

/* --- status
 * -------------------------------------------------------------------------------------------------- */

/* The registered phrases of RFC 9110 15 and the RFCs that its registry names. */
static const struct {
    int status;
    const char *text;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {102, "Processing"},
    {103, "Early Hints"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
};

const char *http_reason(int status)
{
    size_t low = 0;
    size_t high = sizeof(reasons) / sizeof(reasons[0]);
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (reasons[middle].status == status)
            return reasons[middle].text;
        if (reasons[middle].status < status)
            low = middle + 1;
        else
            high = middle;
    }
    return "Unknown";
}
