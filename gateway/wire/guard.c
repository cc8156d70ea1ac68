/*
 * The guard's common part: what makes a head of either direction a head. It reads every byte itself and
 * believes nothing that llhttp lets through (design threats, section 1): the head's lines, names and values
 * are split here, and llhttp has to agree afterwards (head.c).
 */
#include "wire/wire_internal.h"

enum { LENGTH_DIGITS_MAX = 19 };

#define NAME_BYTE (BYTE_TOKEN | BYTE_VALUE | BYTE_PATH | BYTE_QUERY)

const unsigned char wire_bytes[256] = {
    ['\t'] = BYTE_VALUE,
    [' '] = BYTE_VALUE,
    ['!'] = NAME_BYTE,
    ['"'] = BYTE_VALUE,
    ['#'] = BYTE_TOKEN | BYTE_VALUE,
    ['$'] = NAME_BYTE,
    ['%'] = BYTE_TOKEN | BYTE_VALUE,
    ['&'] = NAME_BYTE,
    ['\''] = NAME_BYTE,
    ['(' ... ')'] = BYTE_VALUE | BYTE_PATH | BYTE_QUERY,
    ['*' ... '+'] = NAME_BYTE,
    [','] = BYTE_VALUE | BYTE_PATH | BYTE_QUERY,
    ['-' ... '.'] = NAME_BYTE | BYTE_HOST,
    ['/'] = BYTE_VALUE | BYTE_PATH | BYTE_QUERY,
    ['0' ... '9'] = NAME_BYTE | BYTE_HOST | BYTE_HEX,
    [':' ... ';'] = BYTE_VALUE | BYTE_PATH | BYTE_QUERY,
    ['<'] = BYTE_VALUE,
    ['='] = BYTE_VALUE | BYTE_PATH | BYTE_QUERY,
    ['>'] = BYTE_VALUE,
    ['?'] = BYTE_VALUE | BYTE_QUERY,
    ['@'] = BYTE_VALUE | BYTE_PATH | BYTE_QUERY,
    ['A' ... 'F'] = NAME_BYTE | BYTE_HOST | BYTE_HEX,
    ['G' ... 'Z'] = NAME_BYTE | BYTE_HOST,
    ['['] = BYTE_VALUE | BYTE_QUERY,
    ['\\'] = BYTE_VALUE,
    [']'] = BYTE_VALUE | BYTE_QUERY,
    ['^'] = BYTE_TOKEN | BYTE_VALUE,
    ['_'] = NAME_BYTE | BYTE_HOST,
    ['`'] = BYTE_TOKEN | BYTE_VALUE,
    ['a' ... 'f'] = NAME_BYTE | BYTE_HOST | BYTE_HEX,
    ['g' ... 'z'] = NAME_BYTE | BYTE_HOST,
    ['{'] = BYTE_VALUE,
    ['|'] = BYTE_TOKEN | BYTE_VALUE,
    ['}'] = BYTE_VALUE,
    ['~'] = NAME_BYTE,
    [0x80 ... 0xff] = BYTE_VALUE,
};

bool wire_bytes_are(struct slice s, int class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!wire_byte_is(s.ptr[i], class))
            return false;
    return true;
}

bool wire_refuse(struct wire_head *head, enum wire_verdict verdict, const char *why)
{
    head->result = (struct wire_result){verdict, why};
    return false;
}

const struct http_field *wire_head_find(const struct wire_head *head, enum field_id id)
{
    size_t at = head->where[id];
    return at ? &head->fields[at - 1] : NULL;
}

bool wire_path_is_valid(struct slice s)
{
    int class = BYTE_PATH;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (wire_byte_is(c, class))
            continue;
        if (c == '?')
            class = BYTE_QUERY;
        else if (c == '%' && s.len - i > 2 && wire_byte_is(s.ptr[i + 1], BYTE_HEX) &&
                 wire_byte_is(s.ptr[i + 2], BYTE_HEX))
            i += 2;
        else
            return false;
    }
    return true;
}

/* The empty line at the end is what keeps the scans of this file inside the head: no class holds CR. */
bool wire_read_frame(struct wire_head *head, struct slice bytes)
{
    const char *lf;

    if (bytes.len < 4 || memcmp(bytes.ptr + bytes.len - 4, "\r\n\r\n", 4) != 0)
        return wire_refuse(head, WIRE_BAD, "the head does not end with an empty line");
    head->bytes = bytes;
    lf = memchr(bytes.ptr, '\n', bytes.len);
    head->line = slice_of(bytes.ptr, (size_t)(lf - bytes.ptr));
    if (head->line.len < 2 || lf[-1] != '\r')
        return wire_refuse(head, WIRE_BAD, "the start line is empty or does not end with CRLF");
    head->line.len--;
    return true;
}

bool wire_read_version(struct wire_head *head, struct slice version)
{
    if (version.len != 8 || memcmp(version.ptr, "HTTP/", 5) != 0 || version.ptr[6] != '.' ||
        version.ptr[5] < '0' || version.ptr[5] > '9' || version.ptr[7] < '0' || version.ptr[7] > '9')
        return wire_refuse(head, WIRE_BAD, "the start line has no HTTP version where one belongs");
    if (version.ptr[5] != '1' || version.ptr[7] > '1')
        return wire_refuse(head, WIRE_VERSION, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    head->minor = version.ptr[7] - '0';
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool refuse_name(struct wire_head *head, const char *name, const char *stop)
{
    if (stop == name && is_blank(*stop))
        return wire_refuse(head, WIRE_BAD, "a field line is folded");
    if (stop == name && *stop == ':')
        return wire_refuse(head, WIRE_BAD, "a field has no name");
    if (is_blank(*stop))
        return wire_refuse(head, WIRE_BAD, "white space stands before a colon");
    return wire_refuse(head, WIRE_BAD, "a field name holds a byte that it must not hold");
}

/* Which of two equal names counts is what readers disagree about. A tab around a framing value is allowed by
 * the grammar, but known to hide it from some readers, and sent by no honest client. */
static bool note_field(struct wire_head *head, const struct http_field *field, struct slice raw)
{
    bool framing = field->id == FIELD_CONTENT_LENGTH || field->id == FIELD_TRANSFER_ENCODING;

    if (framing && memchr(raw.ptr, '\t', raw.len))
        return wire_refuse(head, WIRE_BAD, "a tab stands in a field that frames the message");
    if (!head->where[field->id])
        head->where[field->id] = (unsigned char)(head->count + 1);
    else if (field->id == FIELD_TRANSFER_ENCODING || (field_flags(field->id) & FIELD_SINGLE))
        return wire_refuse(head, WIRE_BAD, "a field that may stand once only stands twice");
    return true;
}

/* One line, from *at to behind its CRLF. */
static bool read_field(struct wire_head *head, const char **at)
{
    struct http_field *field = &head->fields[head->count];
    const char *name = *at, *colon = name, *value, *stop, *end;

    while (wire_byte_is(*colon, BYTE_TOKEN))
        colon++;
    if (*colon != ':' || colon == name)
        return refuse_name(head, name, colon);
    value = colon + 1;
    while (is_blank(*value))
        value++;
    stop = value;
    while (wire_byte_is(*stop, BYTE_VALUE))
        stop++;
    if (stop[0] != '\r' || stop[1] != '\n')
        return wire_refuse(head, WIRE_BAD,
                           "a field value holds a control byte, or its line does not end with CRLF");
    end = stop;
    while (end > value && is_blank(end[-1]))
        end--;

    field->name = slice_of(name, (size_t)(colon - name));
    field->value = slice_of(value, (size_t)(end - value));
    field->id = field_lookup(field->name);
    *at = stop + 2;
    return field->id == FIELD_UNKNOWN || note_field(head, field, slice_of(colon, (size_t)(stop - colon)));
}

bool wire_read_fields(struct wire_head *head)
{
    const char *at = head->line.ptr + head->line.len + 2;
    const char *last = head->bytes.ptr + head->bytes.len - 2;

    while (*at != '\r') {
        if (head->count == WIRE_FIELDS_MAX)
            return wire_refuse(head, WIRE_TOO_MANY_FIELDS, "the head has too many fields");
        if (!read_field(head, &at))
            return false;
        head->count++;
    }
    if (at != last)
        return wire_refuse(head, WIRE_BAD, "an empty line or a bare CR stands inside the head");
    return true;
}

/* A list of codings that ends with the only "chunked": understood, only not spoken. Anything else cannot be
 * framed. */
static bool ends_with_chunked(struct slice value)
{
    struct slice member, rest = value;
    bool more = true, chunked = false;

    while (more) {
        more = slice_cut(rest, ',', &member, &rest);
        member = slice_trim(member);
        if (chunked || !wire_is_token(member))
            return false;
        chunked = slice_equal_nocase(member, SLICE("chunked"));
    }
    return chunked;
}

/* One plain name, and none that a reader could take for chunked or would have to decode. */
static bool is_unknown_coding(struct slice value)
{
    static const char *const known[] = {"gzip", "x-gzip", "deflate",  "compress", "x-compress",
                                        "br",   "zstd",   "identity", "trailers"};
    const struct slice chunked = SLICE("chunked");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (slice_equal_nocase(value, slice_from(known[i])))
            return false;
    for (size_t i = 0; i + chunked.len <= value.len; i++)
        if (slice_equal_nocase(slice_of(value.ptr + i, chunked.len), chunked))
            return false;
    return wire_is_token(value);
}

static bool read_coding(struct wire_head *head, struct slice value)
{
    if (head->where[FIELD_CONTENT_LENGTH])
        return wire_refuse(head, WIRE_BAD, "Transfer-Encoding and Content-Length stand together");
    if (head->minor == 0)
        return wire_refuse(head, WIRE_BAD, "Transfer-Encoding stands in an HTTP/1.0 message");
    if (slice_equal_nocase(value, SLICE("chunked"))) {
        head->chunked = true;
        return true;
    }
    if (!head->request && is_unknown_coding(value)) {
        head->ends_with_connection = true;
        return true;
    }
    if (ends_with_chunked(value))
        return wire_refuse(head, WIRE_NOT_IMPLEMENTED, "no transfer coding but chunked is understood");
    return wire_refuse(head, WIRE_BAD, "Transfer-Encoding is not exactly chunked");
}

static bool read_length(struct wire_head *head, struct slice value)
{
    if (value.len > LENGTH_DIGITS_MAX || !slice_to_u64(value, &head->length) || head->length > INT64_MAX)
        return wire_refuse(head, WIRE_BAD, "Content-Length is not a plain number");
    head->has_length = true;
    return true;
}

/* RFC 9110 7.6.1: tokens only. A quoted comma would make two readers drop different fields. */
static bool read_connection(struct wire_head *head, struct slice value)
{
    struct slice member, rest = value;
    bool more = true;

    while (more) {
        more = slice_cut(rest, ',', &member, &rest);
        member = slice_trim(member);
        if (member.len && !wire_is_token(member))
            return wire_refuse(head, WIRE_BAD, "Connection is not a list of tokens");
        head->says_close |= slice_equal_nocase(member, SLICE("close"));
        head->says_keep_alive |= slice_equal_nocase(member, SLICE("keep-alive"));
    }
    return true;
}

bool wire_read_framing(struct wire_head *head)
{
    const struct http_field *coding = wire_head_find(head, FIELD_TRANSFER_ENCODING);
    const struct http_field *length = wire_head_find(head, FIELD_CONTENT_LENGTH);
    const struct http_field *connection = wire_head_find(head, FIELD_CONNECTION);

    if (coding && !read_coding(head, coding->value))
        return false;
    if (length && !read_length(head, length->value))
        return false;
    for (; connection && connection < head->fields + head->count; connection++)
        if (connection->id == FIELD_CONNECTION && !read_connection(head, connection->value))
            return false;
    return true;
}

bool wire_persists(const struct wire_head *head)
{
    return !head->says_close && (head->minor == 1 || head->says_keep_alive);
}
