/*
 * Where a head ends, and the second reading: llhttp parses the bytes that the guard has accepted, and has to
 * see the very same message: target, every name, every value, framing. It stops at the end of the head and
 * never sees a body. Only one head is ever given to a parser, so that neither Upgrade nor pipelining can
 * carry state over.
 */
#include <llhttp.h>

#include "wire/wire_internal.h"

#if LLHTTP_VERSION_MAJOR < 9 && LLHTTP_STRICT_MODE != 1
#error                                                                                                       \
    "llhttp 8 is loose unless LLHTTP_STRICT_MODE is 1 for the library and for every file that includes its header"
#endif

/* --- where it ends --- */

static size_t empty_lines_length(struct slice data)
{
    size_t n = 0;

    while (n < 2 * WIRE_EMPTY_LINES_MAX && slice_starts(slice_skip(data, n), SLICE("\r\n")))
        n += 2;
    return n;
}

/* Can these bytes begin a start line? A lone CR may still become an empty line. */
static bool may_begin(struct slice start)
{
    return start.len == 0 || wire_byte_is(start.ptr[0], BYTE_TOKEN) || slice_equal(start, SLICE("\r"));
}

/* A line is done; does that settle the head? Yes at the empty line, and as soon as no guard can accept it any
 * more. */
static bool is_settled(const char *start, const char *lf)
{
    size_t before = (size_t)(lf - start);

    if (lf[-1] != '\r' || lf[-2] == '\n')
        return true;
    return !memrchr(start, '\n', before) && !memmem(start, before, "HTTP/", 5);
}

size_t wire_head_length(struct slice data, size_t *scanned)
{
    size_t start, at;
    const char *lf;

    if (data.len == 0)
        return 0;
    start = empty_lines_length(data);
    if (!may_begin(slice_skip(data, start)))
        return data.len;
    at = *scanned > start ? *scanned : start;
    while (at < data.len && (lf = memchr(data.ptr + at, '\n', data.len - at))) {
        at = (size_t)(lf - data.ptr) + 1;
        if (is_settled(data.ptr + start, lf))
            return at;
    }
    *scanned = data.len;
    return 0;
}

/* --- the second reading --- */

/* `seen` counts names and values in turn: 2 * i is the name of field i, 2 * i + 1 its value. */
struct reading {
    const struct wire_head *head;
    size_t seen;
};

enum { GO_ON = 0, STOP = -1 };

/* The field that comes next, NULL when llhttp sees one too many. */
static const struct http_field *next_field(struct reading *reading)
{
    size_t at = reading->seen++ / 2;

    return at < reading->head->count ? &reading->head->fields[at] : NULL;
}

static int on_url(llhttp_t *parser, const char *at, size_t length)
{
    const struct reading *reading = parser->data;

    return slice_equal(reading->head->target, slice_of(at, length)) ? GO_ON : STOP;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t length)
{
    const struct http_field *field = next_field(parser->data);

    return field && at == field->name.ptr && length == field->name.len ? GO_ON : STOP;
}

/* llhttp leaves white space at the end of a value, and says nothing useful about where an empty one is. */
static int on_header_value(llhttp_t *parser, const char *at, size_t length)
{
    const struct http_field *field = next_field(parser->data);
    struct slice value = slice_trim(slice_of(at, length));

    if (!field || value.len != field->value.len)
        return STOP;
    return value.len == 0 || value.ptr == field->value.ptr ? GO_ON : STOP;
}

/* Nothing else pauses a parser without an error: HPE_PAUSED at the last byte is a head that was read whole.
 */
static int on_headers_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED;
}

static bool agrees(const struct reading *reading, const llhttp_t *parser)
{
    const struct wire_head *head = reading->head;

    return reading->seen == 2 * head->count && parser->http_minor == head->minor &&
           parser->status_code == head->status && head->chunked == ((parser->flags & F_CHUNKED) != 0) &&
           head->has_length == ((parser->flags & F_CONTENT_LENGTH) != 0) &&
           parser->content_length == head->length;
}

/* llhttp knows a list of methods; any token is one (RFC 9110 9.1). What it does not know it reads as POST,
 * which is nothing special in a head. But all that are registered are of capitals, and what is not is rather
 * the end of somebody's body. */
static bool may_be_method(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z') && name.ptr[i] != '-' && name.ptr[i] != '_')
            return false;
    return name.len > 0;
}

static struct slice method_of(const struct wire_head *head)
{
    return slice_of(head->bytes.ptr, slice_find(head->bytes, ' '));
}

static llhttp_errno_t execute(llhttp_t *parser, const struct wire_head *head, bool known)
{
    struct slice bytes = head->bytes;
    if (!known) {
        llhttp_execute(parser, "POST", 4);
        bytes = slice_skip(bytes, method_of(head).len);
    }
    return llhttp_execute(parser, bytes.ptr, bytes.len);
}

static enum wire_verdict read_with(const llhttp_settings_t *settings, const struct wire_head *head,
                                   bool known)
{
    struct reading reading = {.head = head};
    llhttp_t parser;

    llhttp_init(&parser, head->request ? HTTP_REQUEST : HTTP_RESPONSE, settings);
    parser.data = &reading;
    llhttp_errno_t code = execute(&parser, head, known);
    if (code == HPE_INVALID_METHOD && known)
        return may_be_method(method_of(head)) ? read_with(settings, head, false) : WIRE_NOT_IMPLEMENTED;
    if (code != HPE_PAUSED || llhttp_get_error_pos(&parser) != head->bytes.ptr + head->bytes.len)
        return WIRE_BAD;
    return agrees(&reading, &parser) ? WIRE_OK : WIRE_BAD;
}

enum wire_verdict wire_read_again(const struct wire_head *head)
{
    static const llhttp_settings_t settings = {
        .on_url = on_url,
        .on_header_field = on_header_field,
        .on_header_value = on_header_value,
        .on_headers_complete = on_headers_complete,
    };
    return read_with(&settings, head, true);
}

bool wire_settle(struct wire_head *head, struct arena *arena, struct http_fields *out)
{
    size_t size = head->count * sizeof(*head->fields);
    enum wire_verdict verdict = wire_read_again(head);

    if (verdict == WIRE_NOT_IMPLEMENTED)
        return wire_refuse(head, verdict, "no method looks like that");
    if (verdict != WIRE_OK)
        return wire_refuse(head, verdict, "the head can be read in two ways");
    if (head->count == 0)
        return true;
    out->at = arena_alloc(arena, size);
    if (!out->at)
        return wire_refuse(head, WIRE_NOMEM, "out of memory");
    memcpy(out->at, head->fields, size);
    out->count = head->count;
    return true;
}
