/* What the files of this room share: classes of bytes, and a head while the guard reads it. */
#ifndef WIRE_INTERNAL_H
#define WIRE_INTERNAL_H

#include "wire/wire.h"

enum { WIRE_EMPTY_LINES_MAX = 2 };

/* What a byte may be part of. */
enum {
    BYTE_TOKEN = 1 << 0, /* tchar, RFC 9110 5.6.2 */
    BYTE_VALUE = 1 << 1, /* HTAB, SP, VCHAR and obs-text, RFC 9110 5.5 */
    BYTE_PATH = 1 << 2,  /* pchar and '/', RFC 3986 3.3; without '%', which needs its two digits */
    BYTE_QUERY =
        1 << 3, /* the same with '?', RFC 3986 3.4, and with brackets, which clients leave bare there */
    BYTE_HOST = 1 << 4, /* letters, digits, "-._": the part of reg-name that nobody reads differently */
    BYTE_HEX = 1 << 5,
};
extern const unsigned char wire_bytes[256];

static inline bool wire_byte_is(char c, int class)
{
    return (wire_bytes[(unsigned char)c] & class) != 0;
}

/* Are all bytes of that class? */
bool wire_bytes_are(struct slice s, int class);

static inline bool wire_is_token(struct slice s)
{
    return s.len > 0 && wire_bytes_are(s, BYTE_TOKEN);
}

/* A head under the guard's eyes. `fields` is scratch of WIRE_FIELDS_MAX entries. */
struct wire_head {
    struct slice bytes; /* from the first byte of the start line to the empty line */
    struct slice line;  /* the start line, without its CRLF */
    bool request;
    int minor;
    struct slice target; /* of a request, as it was sent */
    int status;          /* of an answer */
    struct http_field *fields;
    size_t count;
    unsigned char where[FIELD_COUNT]; /* by id: index + 1 of the first field of that name, 0 for none */
    bool chunked;
    bool ends_with_connection; /* an answer in a coding that nobody knows: RFC 9112 6.3, 4 */
    bool has_length;
    uint64_t length;
    bool says_close, says_keep_alive;
    struct wire_result result; /* why it was refused */
};

/* Notes the refusal; always false, so that a check can end with it. */
bool wire_refuse(struct wire_head *head, enum wire_verdict verdict, const char *why);
/* First field of that id, or NULL. */
const struct http_field *wire_head_find(const struct wire_head *head, enum field_id id);

/* The steps of the guard, in this order; false when the head is refused. */
/* Checks how it ends and splits off the start line. */
bool wire_read_frame(struct wire_head *head, struct slice bytes);
/* "HTTP/1.0" or "HTTP/1.1", nothing else. */
bool wire_read_version(struct wire_head *head, struct slice version);
/* All field lines: syntax, count, names that may stand once only. */
bool wire_read_fields(struct wire_head *head);
/* Content-Length, Transfer-Encoding and Connection. */
bool wire_read_framing(struct wire_head *head);
/* llhttp must read the same message; then the fields move into the arena. */
bool wire_settle(struct wire_head *head, struct arena *arena, struct http_fields *out);
/* RFC 9112 9.3, as far as the head tells. */
bool wire_persists(const struct wire_head *head);

/* Does llhttp read in head->bytes exactly what the guard noted in *head? WIRE_NOT_IMPLEMENTED: no method
 * is written like that. */
enum wire_verdict wire_read_again(const struct wire_head *head);

/* Bytes of a path with an optional query, every '%' with its two digits. */
bool wire_path_is_valid(struct slice s);

#endif
