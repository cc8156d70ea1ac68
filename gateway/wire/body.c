/*
 * Bodies by RFC 9112 6 and 7, for both directions: bytes in, pieces of body out, over any split of the input.
 * The chunked reader is a small machine with one step a byte for lines and one step a piece for data. It has
 * no tolerance: a line that two readers could end in different places is damage (CVE-2022-32213, -32215,
 * CVE-2023-30589 and kin).
 */
#include "wire/wire_internal.h"

enum { SIZE_DIGITS_MAX = 16, EXTENSION_MAX = 256, OVERHEAD_MAX = 8192 };

enum state {
    STATE_SIZE,     /* hex digits of a chunk's size; the first state */
    STATE_EXT_NAME, /* behind ';': something has to come */
    STATE_EXT,      /* in an extension */
    STATE_SIZE_LF,  /* CR of the size line was seen */
    STATE_DATA,     /* `left` bytes; also the state of the other framings */
    STATE_DATA_CR,  /* behind a chunk's data */
    STATE_DATA_LF,
    STATE_LINE, /* at the beginning of a trailer line, or of the last line */
    STATE_NAME,
    STATE_VALUE,
    STATE_VALUE_LF,
    STATE_LAST_LF,
    STATE_DONE,
    STATE_DAMAGED,
};

void wire_body_init(struct wire_body *body, enum http_framing framing, uint64_t length)
{
    *body = (struct wire_body){.framing = framing, .left = length, .state = STATE_DATA};
    if (framing == FRAMING_CHUNKED) {
        body->state = STATE_SIZE;
        body->left = 0;
    }
}

static int hex_digit(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* RFC 9112 7.1: 1*HEXDIG, then ";" or CRLF at once. White space there is what readers disagree about. */
static enum state step_size(struct wire_body *body, char c)
{
    if (wire_byte_is(c, BYTE_HEX)) {
        body->left = body->left << 4 | (uint64_t)hex_digit(c);
        return ++body->line > SIZE_DIGITS_MAX ? STATE_DAMAGED : STATE_SIZE;
    }
    if (body->line == 0)
        return STATE_DAMAGED;
    if (c == '\r')
        return STATE_SIZE_LF;
    if (c != ';')
        return STATE_DAMAGED;
    body->line = 0;
    return STATE_EXT_NAME;
}

/* RFC 9112 7.1.1: ignored, but read; printable ASCII only. Bounded by line, and together with the trailers by
 * body (CVE-2024-22019). */
static enum state step_extension(struct wire_body *body, char c)
{
    if (c == '\r' && body->state == STATE_EXT)
        return STATE_SIZE_LF;
    if (c < ' ' || c > '~' || ++body->line > EXTENSION_MAX || ++body->overhead > OVERHEAD_MAX)
        return STATE_DAMAGED;
    if (body->state == STATE_EXT)
        return STATE_EXT;
    if (c == ' ')
        return STATE_EXT_NAME;
    return wire_byte_is(c, BYTE_TOKEN) ? STATE_EXT : STATE_DAMAGED;
}

/* RFC 9112 7.1.2: field lines, read for their syntax and dropped. */
static enum state step_trailer(struct wire_body *body, char c)
{
    bool token = wire_byte_is(c, BYTE_TOKEN);

    if (body->state == STATE_LINE && c == '\r')
        return STATE_LAST_LF;
    if (body->state == STATE_VALUE && c == '\r')
        return STATE_VALUE_LF;
    if (++body->overhead > OVERHEAD_MAX)
        return STATE_DAMAGED;
    if (body->state == STATE_VALUE)
        return wire_byte_is(c, BYTE_VALUE) ? STATE_VALUE : STATE_DAMAGED;
    if (body->state == STATE_NAME && c == ':')
        return STATE_VALUE;
    return token ? STATE_NAME : STATE_DAMAGED;
}

/* The LF that ends a line of framing, and nothing but LF. */
static enum state step_lf(struct wire_body *body, char c)
{
    if (c != '\n')
        return STATE_DAMAGED;
    if (body->state == STATE_DATA_LF)
        return STATE_SIZE;
    if (body->state == STATE_VALUE_LF)
        return STATE_LINE;
    if (body->state == STATE_LAST_LF)
        return STATE_DONE;
    body->line = 0;
    return body->left ? STATE_DATA : STATE_LINE;
}

/* One byte of framing. */
static enum state step(struct wire_body *body, char c)
{
    if (body->state == STATE_SIZE)
        return step_size(body, c);
    if (body->state == STATE_DATA_CR)
        return c == '\r' ? STATE_DATA_LF : STATE_DAMAGED;
    if (body->state == STATE_EXT_NAME || body->state == STATE_EXT)
        return step_extension(body, c);
    if (body->state == STATE_LINE || body->state == STATE_NAME || body->state == STATE_VALUE)
        return step_trailer(body, c);
    return step_lf(body, c);
}

static struct slice take(struct slice *in, uint64_t most)
{
    struct slice piece = slice_of(in->ptr, in->len < most ? in->len : (size_t)most);

    *in = slice_skip(*in, piece.len);
    return piece;
}

static enum wire_progress next_chunked(struct wire_body *body, struct slice *in, struct slice *data)
{
    while (body->state != STATE_DONE && body->state != STATE_DAMAGED) {
        if (in->len == 0)
            return WIRE_MORE;
        if (body->state == STATE_DATA) {
            *data = take(in, body->left);
            body->left -= data->len;
            if (body->left == 0)
                body->state = STATE_DATA_CR;
            return WIRE_DATA;
        }
        body->state = (int)step(body, in->ptr[0]);
        *in = slice_skip(*in, 1);
    }
    return body->state == STATE_DONE ? WIRE_DONE : WIRE_DAMAGED;
}

enum wire_progress wire_body_next(struct wire_body *body, struct slice *in, struct slice *data)
{
    *data = slice_of(in->ptr, 0);
    if (body->framing == FRAMING_CHUNKED)
        return next_chunked(body, in, data);
    if (body->framing == FRAMING_NONE || (body->framing == FRAMING_LENGTH && body->left == 0))
        return WIRE_DONE;
    if (in->len == 0)
        return WIRE_MORE;
    if (body->framing == FRAMING_CLOSE) {
        *data = take(in, SIZE_MAX);
        return WIRE_DATA;
    }
    *data = take(in, body->left);
    body->left -= data->len;
    return WIRE_DATA;
}
