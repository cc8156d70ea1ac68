/*
 * A parsed message head. All slices point into the memory that was parsed (usually the exchange's arena) and
 * live as long as that. Fields keep their order and their spelling.
 */
#ifndef HTTP_MESSAGE_H
#define HTTP_MESSAGE_H

#include "base/arena.h"
#include "http/field.h"

enum method {
    METHOD_OTHER, /* a token that nobody here knows: forwarded, never cached */
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_PATCH,
    METHOD_OPTIONS,
    METHOD_PURGE,
};

enum method method_lookup(struct slice name);
/* RFC 9110 9.2.1. METHOD_OTHER and PURGE are not safe. */
bool method_is_safe(enum method method);
/* RFC 9110 9.2.2. */
bool method_is_idempotent(enum method method);

struct http_field {
    struct slice name;
    struct slice value; /* without surrounding white space */
    enum field_id id;
};

struct http_fields {
    struct http_field *at;
    size_t count;
};

/* How the length of a body is told (RFC 9112 6.3). */
enum http_framing {
    FRAMING_NONE,   /* no body */
    FRAMING_LENGTH, /* `length` bytes */
    FRAMING_CHUNKED,
    FRAMING_CLOSE, /* answers only: until the connection ends */
};

struct http_request {
    enum method method;
    struct slice method_name;
    struct slice target; /* as sent: origin-form, or '*' for OPTIONS */
    struct slice host;   /* value of Host; empty for HTTP/1.0 without one */
    struct http_fields fields;
    enum http_framing framing;
    uint64_t length;
    int minor;            /* HTTP/1.minor: 0 or 1 */
    bool keep_alive;      /* the client allows another request on this connection */
    bool expect_continue; /* RFC 9110 10.1.1 */
};

struct http_response {
    int status;
    struct slice reason;
    struct http_fields fields;
    enum http_framing framing;
    uint64_t length;
    int minor;
    bool keep_alive;
};

/* A copy of the fields and their bytes in the arena, in two pieces of it; NULL: it is full. */
struct http_fields *http_fields_copy(struct arena *arena, const struct http_fields *from);
/* Bytes of all names and values. */
size_t http_fields_size(const struct http_fields *fields);

/* First field with that id, or NULL. For FIELD_UNKNOWN use http_find_name. */
const struct http_field *http_find(const struct http_fields *fields, enum field_id id);
const struct http_field *http_find_name(const struct http_fields *fields, struct slice name);
size_t http_count(const struct http_fields *fields, enum field_id id);
/* Value of the first field with that id, or the empty slice. */
struct slice http_value(const struct http_fields *fields, enum field_id id);

/* Walks the comma-separated members of all fields with that id, quotes respected, white space trimmed, empty
 * members left out (RFC 9110 5.6.1). Start with a zeroed iterator. */
struct http_members {
    size_t field;
    struct slice rest;
    bool inside;
};
bool http_member_next(const struct http_fields *fields, enum field_id id, struct http_members *it,
                      struct slice *member);

/* Is `name` one of the options of Connection? Such a field ends at this hop (RFC 9110 7.6.1). */
bool http_connection_names(const struct http_fields *fields, struct slice name);

/* Standard reason phrase; "Unknown" for codes without one. */
const char *http_reason(int status);

#endif
