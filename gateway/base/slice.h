/*
 * A slice is a borrowed run of bytes: a pointer and a length, never NUL-terminated, never owned.
 * Whoever hands one out says how long the bytes behind it live.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *ptr;
    size_t len;
};

/* A slice of a string literal. */
#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
/* For printf("%.*s", SLICE_ARG(s)). */
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline struct slice slice_of(const char *ptr, size_t len)
{
    return (struct slice){ptr, len};
}

static inline struct slice slice_from(const char *text)
{
    return (struct slice){text, text ? strlen(text) : 0};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

/* The rest of the slice after its first n bytes; n must not exceed its length. */
static inline struct slice slice_skip(struct slice s, size_t n)
{
    return (struct slice){n > 0 ? s.ptr + n : s.ptr, s.len - n};
}

/* Eight bytes at once, ASCII letters in lower case. */
static inline uint64_t slice_lower_eight(uint64_t bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t low = bytes & ones * 0x7f; /* no carry from one byte to the next */
    uint64_t from_a = low + ones * (0x80 - 'A'), behind_z = low + ones * (0x7f - 'Z');
    uint64_t upper = (from_a ^ behind_z) & ~bytes & ones * 0x80;
    return bytes | upper >> 2;
}

/* ASCII case-insensitive comparison. */
bool slice_equal_nocase(struct slice a, struct slice b);

/* Without leading and trailing SP and HTAB (RFC 9110 5.6.3 OWS). */
struct slice slice_trim(struct slice s);

/* Index of the first c, or s.len. */
size_t slice_find(struct slice s, char c);

/* Splits off what stands before the first sep: *head gets it, *rest what follows the separator.
 * Returns false (head = s, rest empty) when there is no separator. */
bool slice_cut(struct slice s, char sep, struct slice *head, struct slice *rest);

/* Strict decimal: digits only, at least one, no overflow. Returns false otherwise. */
bool slice_to_u64(struct slice s, uint64_t *out);

/* Length of the valid UTF-8 sequence that s begins with (RFC 3629 4); 0 when there is none. */
size_t slice_utf8_length(struct slice s);

/* Glob with '*' only (any run of bytes, also none); everything else is literal. Linear in s.len * stars. */
bool slice_glob(struct slice pattern, struct slice s);

/* Is it 1 to max ASCII letters, digits and characters of `extra`? */
bool slice_is_name(struct slice s, size_t max, const char *extra);

/* Equality whose time depends on the lengths alone: for secrets and signatures. */
bool slice_equal_secret(struct slice a, struct slice b);

#endif
