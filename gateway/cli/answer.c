/* An HTTP/1.1 answer, read whole and strictly: the gateway's own listener is the only one that answers here.
 * Pure. */
#include <string.h>

#include "cli/cli_internal.h"

struct framing {
    bool chunked, has_length;
    uint64_t length;
};

static int wrong(struct fault *fault, const char *what)
{
    return fault_set(fault, ERR_SYNTAX, "not a sound HTTP answer: %s", what);
}

/* Splits off a line that ends in CRLF. */
static bool take_line(struct slice *rest, struct slice *line)
{
    size_t end = slice_find(*rest, '\n');
    if (end == rest->len || end == 0 || rest->ptr[end - 1] != '\r')
        return false;
    *line = slice_of(rest->ptr, end - 1);
    *rest = slice_skip(*rest, end + 1);
    return slice_find(*line, '\r') == line->len;
}

static bool read_status(struct slice line, int *status)
{
    uint64_t number;
    if (!slice_starts(line, SLICE("HTTP/1.1 ")) || line.len < 12 || (line.len > 12 && line.ptr[12] != ' '))
        return false;
    if (!slice_to_u64(slice_of(line.ptr + 9, 3), &number) || number < 200 || number > 599)
        return false;
    *status = (int)number;
    return true;
}

static bool read_field(struct slice line, struct framing *framing)
{
    struct slice name, value;
    if (!slice_cut(line, ':', &name, &value) || name.len == 0 || slice_find(name, ' ') < name.len ||
        slice_find(name, '\t') < name.len)
        return false;
    value = slice_trim(value);
    if (slice_equal_nocase(name, SLICE("Content-Length"))) {
        if (framing->has_length || !slice_to_u64(value, &framing->length))
            return false;
        framing->has_length = true;
    } else if (slice_equal_nocase(name, SLICE("Transfer-Encoding"))) {
        if (framing->chunked || !slice_equal_nocase(value, SLICE("chunked")))
            return false;
        framing->chunked = true;
    }
    return true;
}

static bool read_size(struct slice text, size_t *out)
{
    size_t size = 0;
    if (text.len == 0 || text.len > 8)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        static const char digits[] = "0123456789abcdef";
        char lower = (char)(text.ptr[i] | 0x20);
        const char *at = text.ptr[i] ? memchr(digits, lower, 16) : NULL;
        if (!at || (lower != text.ptr[i] && (text.ptr[i] < 'A' || text.ptr[i] > 'F')))
            return false;
        size = size * 16 + (size_t)(at - digits);
    }
    *out = size;
    return true;
}

/* Joins the chunks where they stand. No extensions, no trailers: the gateway sends none. */
static bool join_chunks(char *at, struct slice rest, struct slice *body)
{
    struct slice line;
    size_t size, len = 0;
    while (take_line(&rest, &line) && read_size(line, &size)) {
        if (size == 0) {
            *body = slice_of(at, len);
            return slice_equal(rest, SLICE("\r\n"));
        }
        if (rest.len < size + 2 || memcmp(rest.ptr + size, "\r\n", 2) != 0)
            return false;
        memmove(at + len, rest.ptr, size);
        len += size;
        rest = slice_skip(rest, size + 2);
    }
    return false;
}

int cli_answer_parse(struct buf *raw, struct cli_answer *out, struct fault *fault)
{
    struct slice rest = buf_slice(raw), line;
    struct framing framing = {0};
    if (raw->len == 0)
        return wrong(fault, "the connection was closed without one");
    if (!take_line(&rest, &line) || !read_status(line, &out->status))
        return wrong(fault, "its first line");
    for (;;) {
        if (!take_line(&rest, &line))
            return wrong(fault, "its head is cut");
        if (line.len == 0)
            break;
        if (!read_field(line, &framing))
            return wrong(fault, "a header field");
    }
    if (framing.chunked && framing.has_length)
        return wrong(fault, "two lengths");
    if (framing.has_length && framing.length != rest.len)
        return wrong(fault, "its body is cut, or longer than it says");
    out->body = rest;
    if (framing.chunked && !join_chunks(raw->ptr + (raw->len - rest.len), rest, &out->body))
        return wrong(fault, "its chunks");
    return 0;
}
