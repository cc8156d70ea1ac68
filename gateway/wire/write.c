/* What leaves the gateway: the same tables that judge what comes in. */
#include <assert.h>

#include "wire/wire_internal.h"

static char *put(char *at, struct slice s)
{
    if (s.len)
        memcpy(at, s.ptr, s.len);
    return at + s.len;
}

/* All four parts, or nothing. */
static int put_line(struct buf *out, const struct slice parts[4])
{
    size_t size = 0;
    char *at;
    int rc;

    for (int i = 0; i < 4; i++)
        size += parts[i].len;
    rc = buf_reserve(out, size);
    if (rc)
        return rc;
    at = out->ptr + out->len;
    for (int i = 0; i < 4; i++)
        at = put(at, parts[i]);
    buf_grow(out, size);
    return 0;
}

int wire_put_field(struct buf *out, struct slice name, struct slice value)
{
    if (!wire_is_token(name) || !wire_bytes_are(value, BYTE_VALUE))
        return ERR_INVALID;
    return put_line(out, (struct slice[]){name, SLICE(": "), value, SLICE("\r\n")});
}

int wire_put_request_line(struct buf *out, struct slice method, struct slice target)
{
    bool origin = slice_starts(target, SLICE("/")) && wire_path_is_valid(target);
    bool asterisk = slice_equal(target, SLICE("*")) && slice_equal(method, SLICE("OPTIONS"));

    if (!wire_is_token(method) || (!origin && !asterisk))
        return ERR_INVALID;
    return put_line(out, (struct slice[]){method, SLICE(" "), target, SLICE(" HTTP/1.1\r\n")});
}

int wire_put_status_line(struct buf *out, int status)
{
    char digits[] = {(char)('0' + status / 100 % 10), (char)('0' + status / 10 % 10),
                     (char)('0' + status % 10), ' '};

    if (status < 100 || status > 599)
        return ERR_INVALID;
    return put_line(out, (struct slice[]){SLICE("HTTP/1.1 "), slice_of(digits, sizeof(digits)),
                                          slice_from(http_reason(status)), SLICE("\r\n")});
}

size_t wire_chunk_head(char out[WIRE_CHUNK_HEAD_MAX], size_t size)
{
    static const char digits[] = "0123456789abcdef";
    int shift = 60;
    size_t n = 0;

    assert(size > 0);
    while (((uint64_t)size >> shift & 15) == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        out[n++] = digits[(uint64_t)size >> shift & 15];
    out[n++] = '\r';
    out[n++] = '\n';
    return n;
}
