#include "route/route_internal.h"

/*
 * The canonical path (threats T5). Two steps: most paths are canonical already, one pass over a table of
 * bytes shows it. All others are rewritten byte by byte, with each doubt a refusal: the upstream, a proxy
 * before it and the cache key have to understand the same thing.
 */

enum { BYTE_BAD, BYTE_SEGMENT, BYTE_UNRESERVED, BYTE_SLASH, BYTE_SPECIAL };

/* RFC 3986 3.3 pchar and '/'; the rest of 256 is BYTE_BAD. */
static const unsigned char kinds[256] = {
    ['a' ... 'z'] = BYTE_UNRESERVED,
    ['A' ... 'Z'] = BYTE_UNRESERVED,
    ['0' ... '9'] = BYTE_UNRESERVED,
    ['-'] = BYTE_UNRESERVED,
    ['.'] = BYTE_UNRESERVED,
    ['_'] = BYTE_UNRESERVED,
    ['~'] = BYTE_UNRESERVED,
    ['!'] = BYTE_SEGMENT,
    ['$'] = BYTE_SEGMENT,
    ['&'] = BYTE_SEGMENT,
    ['\''] = BYTE_SEGMENT,
    ['('] = BYTE_SEGMENT,
    [')'] = BYTE_SEGMENT,
    ['*'] = BYTE_SEGMENT,
    ['+'] = BYTE_SEGMENT,
    [','] = BYTE_SEGMENT,
    ['='] = BYTE_SEGMENT,
    [':'] = BYTE_SEGMENT,
    ['@'] = BYTE_SEGMENT,
    ['/'] = BYTE_SLASH,
    ['%'] = BYTE_SPECIAL,
    [';'] = BYTE_SPECIAL,
};

static const char why_byte[] = "the path has a character that has to be percent-encoded";
static const char why_escape[] = "the path has a malformed percent escape";
static const char why_control[] = "the path has an encoded control character";
static const char why_slash[] = "the path has an encoded slash or backslash";
static const char why_utf8[] = "the path has escapes that are not UTF-8";
static const char why_dots[] = "the path has a dot segment";
static const char why_empty[] = "the path has an empty segment";
static const char why_twice[] = "the path has an escape that was encoded twice";

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Of two digits, or -1. */
static int hex_pair(const char *digits)
{
    int high = hex_value(digits[0]), low = hex_value(digits[1]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

int route_escape_value(struct slice s)
{
    return s.len < 3 || s.ptr[0] != '%' ? -1 : hex_pair(s.ptr + 1);
}

struct slice route_decode(struct arena *arena, struct slice segment)
{
    size_t at = slice_find(segment, '%'), len = at;
    if (at == segment.len)
        return segment;
    char *out = arena_alloc(arena, segment.len);
    if (!out)
        return slice_of(NULL, 0);
    memcpy(out, segment.ptr, at);
    while (at < segment.len) {
        int byte = route_escape_value(slice_skip(segment, at));
        out[len++] = byte < 0 ? segment.ptr[at] : (char)byte;
        at += byte < 0 ? 1 : 3;
    }
    return slice_of(out, len);
}

/* --- UTF-8 in escapes (RFC 3629 4) -------------------------------------------------------------------- */

struct utf8 {
    unsigned more;           /* continuation bytes still to come */
    unsigned char low, high; /* bounds of the next one */
};

static bool utf8_start(struct utf8 *utf8, unsigned char lead)
{
    if (lead < 0xC2 || lead > 0xF4)
        return false;
    utf8->more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    utf8->low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    utf8->high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return true;
}

static bool utf8_next(struct utf8 *utf8, unsigned char byte)
{
    if (utf8->more == 0)
        return byte < 0x80 || utf8_start(utf8, byte);
    if (byte < utf8->low || byte > utf8->high)
        return false;
    utf8->more--;
    utf8->low = 0x80;
    utf8->high = 0xBF;
    return true;
}

/* --- rewriting ---------------------------------------------------------------------------------------- */

/* In an escape that an escaped '%' hides (-1: it hides none): what a reader that decodes twice must not find.
 */
static bool is_dangerous(int byte)
{
    if (byte < 0)
        return false;
    return byte < 0x20 || byte >= 0x7F || byte == '.' || byte == '/' || byte == '\\' || byte == '%' ||
           byte == ';';
}

/* Looks at one canonical segment. Escapes of dots are dots by now. */
static const char *check_segment(struct slice segment)
{
    size_t end = segment.len;
    for (size_t i = segment.len; i-- > 0;) {
        struct slice rest = slice_skip(segment, i);
        int byte = rest.ptr[0] == '%' ? route_escape_value(rest) : (unsigned char)rest.ptr[0];
        if (byte == ';')
            end = i;
        else if (byte == '%' && rest.len >= 5 && is_dangerous(hex_pair(rest.ptr + 3)))
            return why_twice;
    }
    if (end == 0)
        return why_empty;
    bool dots = segment.ptr[0] == '.' && (end == 1 || (end == 2 && segment.ptr[1] == '.'));
    return dots ? why_dots : NULL;
}

struct rewrite {
    char *out;
    size_t len;
    size_t segment; /* where the present one begins in out */
    struct utf8 utf8;
};

static const char *put_escape(struct rewrite *rewrite, int byte)
{
    static const char digits[] = "0123456789ABCDEF";
    if (byte < 0)
        return why_escape;
    if (byte < 0x20 || byte == 0x7F)
        return why_control;
    if (byte == '/' || byte == '\\')
        return why_slash;
    if (!utf8_next(&rewrite->utf8, (unsigned char)byte))
        return why_utf8;
    if (kinds[byte] == BYTE_UNRESERVED) {
        rewrite->out[rewrite->len++] = (char)byte;
        return NULL;
    }
    rewrite->out[rewrite->len++] = '%';
    rewrite->out[rewrite->len++] = digits[byte >> 4];
    rewrite->out[rewrite->len++] = digits[byte & 15];
    return NULL;
}

static const char *put_plain(struct rewrite *rewrite, char c)
{
    if (c == '\\')
        return why_slash;
    if (kinds[(unsigned char)c] == BYTE_BAD)
        return why_byte;
    if (rewrite->utf8.more > 0)
        return why_utf8;
    if (c == '/') {
        const char *why =
            check_segment(slice_of(rewrite->out + rewrite->segment, rewrite->len - rewrite->segment));
        if (why)
            return why;
        rewrite->segment = rewrite->len + 1;
    }
    rewrite->out[rewrite->len++] = c;
    return NULL;
}

/* raw begins with '/'. The last segment may be empty: a trailing slash. */
static const char *rewrite_path(struct rewrite *rewrite, struct slice raw)
{
    const char *why = NULL;
    rewrite->out[rewrite->len++] = '/';
    rewrite->segment = 1;
    for (size_t i = 1; i < raw.len && !why;) {
        bool escape = raw.ptr[i] == '%';
        why = escape ? put_escape(rewrite, route_escape_value(slice_skip(raw, i)))
                     : put_plain(rewrite, raw.ptr[i]);
        i += escape ? 3 : 1;
    }
    if (why)
        return why;
    if (rewrite->utf8.more > 0)
        return why_utf8;
    struct slice last = slice_of(rewrite->out + rewrite->segment, rewrite->len - rewrite->segment);
    return last.len > 0 ? check_segment(last) : NULL;
}

/* No escapes, no parameters, and no segment that is empty or begins with a dot. */
static bool is_canonical(struct slice raw)
{
    unsigned char before = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned char kind = kinds[(unsigned char)raw.ptr[i]];
        if (kind == BYTE_BAD || kind == BYTE_SPECIAL)
            return false;
        if (before == BYTE_SLASH && (kind == BYTE_SLASH || raw.ptr[i] == '.'))
            return false;
        before = kind;
    }
    return true;
}

enum route_outcome route_path_canonical(struct slice raw, struct arena *arena, struct slice *out,
                                        const char **why)
{
    if (raw.len == 0 || raw.ptr[0] != '/') {
        *why = "the target is not a path";
        return ROUTE_BAD_TARGET;
    }
    *out = raw;
    if (is_canonical(raw))
        return ROUTE_OK;
    struct rewrite rewrite = {.out = arena_alloc(arena, raw.len)};
    if (!rewrite.out)
        return ROUTE_NOMEM;
    *why = rewrite_path(&rewrite, raw);
    *out = slice_of(rewrite.out, rewrite.len);
    return *why ? ROUTE_BAD_TARGET : ROUTE_OK;
}
