/*
 * A byte buffer that grows up to a maximum given at birth, or writes into fixed storage of the caller.
 * Appending past the maximum (or out of memory) sets `failed`, changes nothing, and every later append fails
 * too: callers may append freely and look once at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/error.h"
#include "base/slice.h"

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
    bool fixed; /* storage belongs to the caller, never grown or freed */
};

/* An empty buffer on the heap; nothing is allocated before the first append. */
void buf_init(struct buf *buf, size_t max);
/* A buffer in the caller's storage, which must outlive it. */
void buf_init_fixed(struct buf *buf, char *storage, size_t size);
/* Frees the heap storage; the buffer is empty and usable again with the same maximum. */
void buf_deinit(struct buf *buf);
/* As buf_deinit, but overwrites the storage first: for secrets. Growing leaves copies behind in freed memory,
 * so a buffer for a secret is fixed, or buf_reserve gets its whole size first. */
void buf_wipe(struct buf *buf);
/* Forgets content and failure, keeps storage. */
void buf_reset(struct buf *buf);

/* All appends return 0, ERR_LIMIT or ERR_NOMEM. */
int buf_append_slow(struct buf *buf, const void *data, size_t len) __attribute__((noinline, cold));

/* Heads are written in small pieces: the common case is a copy and an addition. */
static inline int buf_append(struct buf *buf, const void *data, size_t len)
{
    if (buf->failed || len == 0 || len > buf->cap - buf->len)
        return buf_append_slow(buf, data, len);
    memcpy(buf->ptr + buf->len, data, len);
    buf->len += len;
    return 0;
}

static inline int buf_append_slice(struct buf *buf, struct slice s)
{
    return buf_append(buf, s.ptr, s.len);
}

static inline int buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

static inline int buf_append_char(struct buf *buf, char c)
{
    return buf_append(buf, &c, 1);
}

int buf_append_u64(struct buf *buf, uint64_t value);
int buf_append_format(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends s as the inside of a JSON string (RFC 8259 7), without the quotes; invalid UTF-8 becomes U+FFFD. */
int buf_append_json(struct buf *buf, struct slice s);

/* Room for at least n more bytes, to be written at ptr + len and then taken with buf_grow. */
int buf_reserve(struct buf *buf, size_t n);
static inline void buf_grow(struct buf *buf, size_t n)
{
    buf->len += n;
}
/* Drops the first n bytes. */
void buf_consume(struct buf *buf, size_t n);

static inline struct slice buf_slice(const struct buf *buf)
{
    return (struct slice){buf->ptr, buf->len};
}

#endif
