#include "base/slice.h"

/* The next eight bytes, or what there is of them and zeros. */
static uint64_t eight(struct slice s, size_t at)
{
    uint64_t bytes = 0;
    memcpy(&bytes, s.ptr + at, s.len - at < sizeof bytes ? s.len - at : sizeof bytes);
    return bytes;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i += sizeof(uint64_t)) {
        if (slice_lower_eight(eight(a, i)) != slice_lower_eight(eight(b, i)))
            return false;
    }
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.len > 0 && is_space(s.ptr[0]))
        s = slice_skip(s, 1);
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

size_t slice_find(struct slice s, char c)
{
    const char *at = s.len > 0 ? memchr(s.ptr, c, s.len) : NULL;
    return at ? (size_t)(at - s.ptr) : s.len;
}

bool slice_cut(struct slice s, char sep, struct slice *head, struct slice *rest)
{
    size_t at = slice_find(s, sep);
    if (at == s.len) {
        *head = s;
        *rest = slice_skip(s, s.len);
        return false;
    }
    *head = slice_of(s.ptr, at);
    *rest = slice_skip(s, at + 1);
    return true;
}

bool slice_to_u64(struct slice s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.ptr[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

/* The leftmost place for each middle piece is always good enough: no piece is tried at two places after it
 * fitted. */
bool slice_glob(struct slice pattern, struct slice s)
{
    struct slice piece, rest;
    if (!slice_cut(pattern, '*', &piece, &rest))
        return slice_equal(pattern, s);
    if (!slice_starts(s, piece))
        return false;
    s = slice_skip(s, piece.len);
    while (slice_cut(rest, '*', &piece, &rest)) {
        if (piece.len == 0)
            continue;
        const char *at = s.len > 0 ? memmem(s.ptr, s.len, piece.ptr, piece.len) : NULL;
        if (!at)
            return false;
        s = slice_skip(s, (size_t)(at - s.ptr) + piece.len);
    }
    return s.len >= piece.len && slice_equal(slice_skip(s, s.len - piece.len), piece);
}

bool slice_equal_secret(struct slice a, struct slice b)
{
    volatile unsigned char differs = 0;
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        differs = (unsigned char)(differs | ((unsigned char)a.ptr[i] ^ (unsigned char)b.ptr[i]));
    return differs == 0;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool slice_is_name(struct slice s, size_t max, const char *extra)
{
    if (s.len == 0 || s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_alnum(s.ptr[i]) && (s.ptr[i] == '\0' || strchr(extra, s.ptr[i]) == NULL))
            return false;
    return true;
}

size_t slice_utf8_length(struct slice text)
{
    const unsigned char *s = (const unsigned char *)text.ptr;
    size_t len = text.len;
    if (len == 0)
        return 0;
    unsigned char lead = s[0], low = 0x80, high = 0xBF;
    size_t more = lead < 0x80 ? 0 : lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || more >= len)
        return 0;
    if (lead == 0xE0)
        low = 0xA0;
    else if (lead == 0xED)
        high = 0x9F;
    else if (lead == 0xF0)
        low = 0x90;
    else if (lead == 0xF4)
        high = 0x8F;
    for (size_t i = 1; i <= more; i++) {
        if (s[i] < low || s[i] > high)
            return 0;
        low = 0x80;
        high = 0xBF;
    }
    return more + 1;
}
