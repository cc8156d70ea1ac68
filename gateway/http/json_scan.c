/* JSON as text: is it valid, and where does a member stand? A descent of bounded depth, without a tree. */
#include "http/json.h"

enum { DEPTH_MAX = 64 };

struct scan {
    const char *at, *end;
};

static bool scan_value(struct scan *s, unsigned depth);

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool take_word(struct scan *s, struct slice word)
{
    if (!slice_starts(slice_of(s->at, (size_t)(s->end - s->at)), word))
        return false;
    s->at += word.len;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* --- scalars
 * ---------------------------------------------------------------------------------------------------- */

/* Behind a backslash. */
static bool scan_escape(struct scan *s)
{
    if (s->at == s->end)
        return false;
    char c = *s->at++;
    if (c != 'u')
        return c != '\0' && strchr("\"\\/bfnrt", c);
    for (int i = 0; i < 4; i++)
        if (s->at == s->end || !is_hex(*s->at++))
            return false;
    return true;
}

/* Behind the opening quote. */
static bool scan_string(struct scan *s)
{
    while (s->at < s->end) {
        unsigned char c = (unsigned char)*s->at;
        if (c < 0x20)
            return false;
        if (c >= 0x80) {
            size_t width = slice_utf8_length(slice_of(s->at, (size_t)(s->end - s->at)));
            if (width == 0)
                return false;
            s->at += width;
            continue;
        }
        s->at++;
        if (c == '"')
            return true;
        if (c == '\\' && !scan_escape(s))
            return false;
    }
    return false;
}

static bool scan_digits(struct scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && is_digit(*s->at))
        s->at++;
    return s->at > from;
}

static bool scan_number(struct scan *s)
{
    take(s, '-');
    if (!take(s, '0') && !scan_digits(s))
        return false;
    if (take(s, '.') && !scan_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        return scan_digits(s);
    }
    return true;
}

/* --- values
 * ----------------------------------------------------------------------------------------------------- */

/* A name and its colon. */
static bool scan_name(struct scan *s, struct slice *name)
{
    skip_space(s);
    const char *from = s->at + 1;
    if (!take(s, '"') || !scan_string(s))
        return false;
    *name = slice_of(from, (size_t)(s->at - from) - 1);
    skip_space(s);
    return take(s, ':');
}

/* Behind the opening bracket. */
static bool scan_members(struct scan *s, bool object, unsigned depth)
{
    char close = object ? '}' : ']';
    struct slice name;
    skip_space(s);
    if (take(s, close))
        return true;
    for (;;) {
        if ((object && !scan_name(s, &name)) || !scan_value(s, depth))
            return false;
        skip_space(s);
        if (take(s, close))
            return true;
        if (!take(s, ','))
            return false;
    }
}

static bool scan_value(struct scan *s, unsigned depth)
{
    skip_space(s);
    if (take(s, '"'))
        return scan_string(s);
    if (take(s, '{'))
        return depth < DEPTH_MAX && scan_members(s, true, depth + 1);
    if (take(s, '['))
        return depth < DEPTH_MAX && scan_members(s, false, depth + 1);
    return take_word(s, SLICE("true")) || take_word(s, SLICE("false")) || take_word(s, SLICE("null")) ||
           scan_number(s);
}

bool json_is_valid(struct slice text)
{
    struct scan s = {text.ptr, text.ptr + text.len};
    if (text.len == 0 || !scan_value(&s, 0))
        return false;
    skip_space(&s);
    return s.at == s.end;
}

struct slice json_member(struct slice object, struct slice name)
{
    struct scan s = {object.ptr, object.ptr + object.len};
    struct slice found = {NULL, 0}, key;
    if (object.len == 0)
        return found;
    skip_space(&s);
    if (!take(&s, '{'))
        return found;
    while (scan_name(&s, &key)) {
        skip_space(&s);
        const char *from = s.at;
        if (!scan_value(&s, 0))
            return found;
        if (slice_equal(key, name))
            return slice_of(from, (size_t)(s.at - from));
        skip_space(&s);
        if (!take(&s, ','))
            break;
    }
    return found;
}
