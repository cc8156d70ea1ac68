/* The guard of answers: status line, and whether and how long a body follows. Rules: RFC 9112 4 and 6.3. */
#include "wire/wire_internal.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "200", "200 " and "200 OK" */
static bool read_status(struct wire_head *head, struct slice text, struct http_response *out)
{
    if (text.len < 3 || !is_digit(text.ptr[0]) || !is_digit(text.ptr[1]) || !is_digit(text.ptr[2]))
        return wire_refuse(head, WIRE_BAD, "the status line has no status of three digits");
    head->status = (text.ptr[0] - '0') * 100 + (text.ptr[1] - '0') * 10 + (text.ptr[2] - '0');
    text = slice_skip(text, 3);
    if (text.len && text.ptr[0] != ' ')
        return wire_refuse(head, WIRE_BAD, "the status does not end after three digits");
    if (!wire_bytes_are(text, BYTE_VALUE))
        return wire_refuse(head, WIRE_BAD, "the reason phrase holds a control byte");
    out->reason = slice_trim(text);
    out->status = head->status;
    return true;
}

static bool read_status_line(struct wire_head *head, struct http_response *out)
{
    struct slice version, rest;

    if (!slice_cut(head->line, ' ', &version, &rest))
        return wire_refuse(head, WIRE_BAD, "the status line is malformed");
    if (!wire_read_version(head, version) || !read_status(head, rest, out))
        return false;
    if (out->status < 100 || out->status > 599)
        return wire_refuse(head, WIRE_BAD, "the status is outside 100 to 599");
    if (out->status == 101)
        return wire_refuse(head, WIRE_BAD, "the protocol was switched, which nobody asked for");
    out->minor = head->minor;
    return true;
}

/* RFC 9112 6.3. Answers that must not carry framing for a body, but do, are where readers part: behind an
 * interim one the next head would be looked for in different places, so it is refused; a 204 ends its
 * connection. */
static bool frame_response(struct wire_head *head, enum method to, struct http_response *out)
{
    bool interim = out->status < 200;
    bool framed = head->chunked || head->ends_with_connection || head->length > 0;
    bool bodiless = interim || out->status == 204 || out->status == 304 || to == METHOD_HEAD;

    if (interim && framed)
        return wire_refuse(head, WIRE_BAD, "an interim answer announces a body");
    out->keep_alive = wire_persists(head);
    if (bodiless) {
        out->framing = FRAMING_NONE;
        if (out->status == 204 && framed)
            out->keep_alive = false;
    } else if (head->chunked) {
        out->framing = FRAMING_CHUNKED;
    } else if (head->has_length) {
        out->framing = FRAMING_LENGTH;
        out->length = head->length;
    } else {
        out->framing = FRAMING_CLOSE;
        out->keep_alive = false;
    }
    return true;
}

struct wire_result wire_parse_response(struct slice head, enum method to, struct arena *arena,
                                       struct http_response *out)
{
    struct http_field scratch[WIRE_FIELDS_MAX];
    struct wire_head guard = {.fields = scratch, .result = {WIRE_OK, ""}};

    *out = (struct http_response){0};
    if (wire_read_frame(&guard, head) && read_status_line(&guard, out) && wire_read_fields(&guard) &&
        wire_read_framing(&guard) && frame_response(&guard, to, out))
        wire_settle(&guard, arena, &out->fields);
    return guard.result;
}
