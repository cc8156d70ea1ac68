#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"

enum { SMALLEST = 128 };

void buf_init(struct buf *buf, size_t max)
{
    *buf = (struct buf){.max = max};
}

void buf_init_fixed(struct buf *buf, char *storage, size_t size)
{
    *buf = (struct buf){.ptr = storage, .cap = size, .max = size, .fixed = true};
}

void buf_deinit(struct buf *buf)
{
    if (!buf->fixed) {
        free(buf->ptr);
        buf->ptr = NULL;
        buf->cap = 0;
    }
    buf_reset(buf);
}

void buf_wipe(struct buf *buf)
{
    digest_wipe(buf->ptr, buf->cap);
    buf_deinit(buf);
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
}

static int fail(struct buf *buf, int code)
{
    buf->failed = true;
    return code;
}

int buf_reserve(struct buf *buf, size_t n)
{
    if (buf->failed || n > buf->max - buf->len)
        return fail(buf, ERR_LIMIT);
    size_t need = buf->len + n;
    if (need <= buf->cap)
        return 0;
    size_t cap = buf->cap < SMALLEST ? SMALLEST : buf->cap;
    while (cap < need)
        cap = cap > buf->max / 2 ? buf->max : cap * 2;
    if (cap > buf->max)
        cap = buf->max;
    char *ptr = realloc(buf->ptr, cap);
    if (!ptr)
        return fail(buf, ERR_NOMEM);
    buf->ptr = ptr;
    buf->cap = cap;
    return 0;
}

int buf_append_slow(struct buf *buf, const void *data, size_t len)
{
    int rc = buf_reserve(buf, len);
    if (rc == 0 && len > 0) {
        memcpy(buf->ptr + buf->len, data, len);
        buf->len += len;
    }
    return rc;
}

int buf_append_u64(struct buf *buf, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return buf_append(buf, digits + at, sizeof digits - at);
}

/* The text that did not fit the stack. vsnprintf wants a byte for its NUL, which must not count against the
 * maximum. */
static int append_long(struct buf *buf, size_t len, const char *format, va_list args)
{
    int rc = buf_reserve(buf, len);
    if (rc != 0)
        return rc;
    char *text = malloc(len + 1);
    if (!text)
        return fail(buf, ERR_NOMEM);
    vsnprintf(text, len + 1, format, args);
    rc = buf_append(buf, text, len);
    free(text);
    return rc;
}

int buf_append_format(struct buf *buf, const char *format, ...)
{
    char text[512];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(text, sizeof text, format, args);
    int rc;
    if (len < 0)
        rc = fail(buf, ERR_LIMIT);
    else if ((size_t)len < sizeof text)
        rc = buf_append(buf, text, (size_t)len);
    else
        rc = append_long(buf, (size_t)len, format, again);
    va_end(again);
    va_end(args);
    return rc;
}

static int append_escape(struct buf *buf, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (const char *pair = named; *pair; pair += 2) {
        if ((unsigned char)*pair == c)
            return buf_append(buf, (char[]){'\\', pair[1]}, 2);
    }
    return buf_append(buf, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

/* Control characters of both sets are escaped (also DEL and C1, which JSON allows): lines end up on
 * terminals. */
static int append_json_special(struct buf *buf, const unsigned char *at, size_t len, size_t *taken)
{
    *taken = 1;
    if (at[0] < 0x80)
        return append_escape(buf, at[0]);
    size_t width = slice_utf8_length(slice_of((const char *)at, len));
    if (width == 0)
        return buf_append(buf, "\xEF\xBF\xBD", 3);
    *taken = width;
    if (at[0] == 0xC2 && at[1] < 0xA0)
        return append_escape(buf, at[1]);
    return buf_append(buf, at, width);
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

int buf_append_json(struct buf *buf, struct slice s)
{
    const unsigned char *at = (const unsigned char *)s.ptr;
    size_t before = buf->len, left = s.len;
    int rc = buf_reserve(buf, s.len > 0 ? 1 : 0);
    while (rc == 0 && left > 0) {
        size_t n = 0;
        while (n < left && is_plain(at[n]))
            n++;
        if (n > 0)
            rc = buf_append(buf, at, n);
        else
            rc = append_json_special(buf, at, left, &n);
        at += n;
        left -= n;
    }
    if (rc != 0)
        buf->len = before;
    return rc;
}

void buf_consume(struct buf *buf, size_t n)
{
    if (n == 0)
        return;
    buf->len -= n;
    memmove(buf->ptr, buf->ptr + n, buf->len);
}
