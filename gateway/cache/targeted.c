/*
 * CDN-Cache-Control (RFC 9213): the dictionary of structured fields (RFC 8941 3.2), strict, since a field
 * that does not parse must be ignored as a whole. A directive that we act on with a value of the wrong type
 * is a parse error, too (RFC 9213 2.1: such values should not be consumed): Cache-Control decides then, which
 * is what its author could test.
 */
#include "cache/cache_internal.h"

static const int64_t seconds_max = (int64_t)1 << 31; /* RFC 9111 1.2.2 */

enum type { TYPE_TRUE, TYPE_FALSE, TYPE_INTEGER, TYPE_STRING, TYPE_OTHER };

struct reader {
    const char *at, *end;
    bool bad;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}
static bool is_alpha(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static char peek(const struct reader *r)
{
    return r->at < r->end ? *r->at : '\0';
}

static bool take(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static void skip(struct reader *r, bool tabs)
{
    while (peek(r) == ' ' || (tabs && peek(r) == '\t'))
        r->at++;
}

static struct slice read_key(struct reader *r)
{
    const char *start = r->at;
    if (!is_lower(peek(r)) && peek(r) != '*')
        r->bad = true;
    while (is_lower(peek(r)) || is_digit(peek(r)) || (peek(r) && strchr("_-.*", peek(r))))
        r->at++;
    return slice_of(start, (size_t)(r->at - start));
}

/* RFC 8941 4.2.4: at most 15 digits, or 12 and 3 behind a point. */
static enum type read_number(struct reader *r, int64_t *value)
{
    const bool negative = take(r, '-');
    int digits = 0, decimals = 0;
    int64_t sum = 0;
    for (; is_digit(peek(r)) && digits < 16; digits++)
        sum = sum * 10 + (*r->at++ - '0');
    if (digits == 0 || digits > 15)
        r->bad = true;
    *value = negative ? -sum : sum;
    if (!take(r, '.'))
        return TYPE_INTEGER;
    for (; is_digit(peek(r)) && decimals < 4; decimals++)
        r->at++;
    if (digits > 12 || decimals == 0 || decimals > 3)
        r->bad = true;
    return TYPE_OTHER;
}

static enum type read_string(struct reader *r)
{
    r->at++;
    while (r->at < r->end && *r->at != '"') {
        const unsigned char c = (unsigned char)*r->at++;
        if (c < 0x20 || c > 0x7e)
            r->bad = true;
        if (c == '\\' && !take(r, '"') && !take(r, '\\'))
            r->bad = true;
    }
    if (!take(r, '"'))
        r->bad = true;
    return TYPE_STRING;
}

static enum type read_token(struct reader *r)
{
    while (r->at < r->end && (*r->at == ':' || *r->at == '/' || field_is_token(slice_of(r->at, 1))))
        r->at++;
    return TYPE_OTHER;
}

static enum type read_binary(struct reader *r)
{
    r->at++;
    while (is_alpha(peek(r)) || is_digit(peek(r)) || (peek(r) && strchr("+/=", peek(r))))
        r->at++;
    if (!take(r, ':'))
        r->bad = true;
    return TYPE_OTHER;
}

static enum type read_bare(struct reader *r, int64_t *value)
{
    const char c = peek(r);
    if (c == '-' || is_digit(c))
        return read_number(r, value);
    if (c == '"')
        return read_string(r);
    if (is_alpha(c) || c == '*')
        return read_token(r);
    if (c == ':')
        return read_binary(r);
    if (take(r, '?')) {
        if (take(r, '1'))
            return TYPE_TRUE;
        if (take(r, '0'))
            return TYPE_FALSE;
    }
    r->bad = true;
    return TYPE_OTHER;
}

/* "Parameters received on directives are to be ignored." */
static void read_parameters(struct reader *r)
{
    int64_t value;
    while (!r->bad && take(r, ';')) {
        skip(r, false);
        read_key(r);
        if (!r->bad && take(r, '='))
            read_bare(r, &value);
    }
}

static enum type read_inner_list(struct reader *r)
{
    int64_t value;
    r->at++;
    for (skip(r, false); !r->bad && !take(r, ')'); skip(r, false)) {
        read_bare(r, &value);
        read_parameters(r);
        if (peek(r) != ' ' && peek(r) != ')')
            r->bad = true;
    }
    return TYPE_OTHER;
}

/* --- directives ------------------------------------------------------------------------------ */

static void apply_flag(struct cache_control *cc, unsigned flag, enum type type, struct reader *r)
{
    /* no-cache and private may name fields: taken as unqualified, which restricts more. */
    const bool names = type == TYPE_STRING && (flag == CC_NO_CACHE || flag == CC_PRIVATE);
    if (type != TYPE_TRUE && type != TYPE_FALSE && !names)
        r->bad = true;
    if (type == TYPE_FALSE)
        cc->flags &= ~flag;
    else
        cc->flags |= flag;
}

static void apply_seconds(int64_t *to, enum type type, int64_t value, struct reader *r)
{
    if (type != TYPE_INTEGER || value < 0)
        r->bad = true;
    *to = value < seconds_max ? value : seconds_max;
}

static void apply(struct cache_control *cc, struct slice key, enum type type, int64_t value, struct reader *r)
{
    static const struct {
        const char *name;
        unsigned flag;
    } flags[] = {
        {"no-store", CC_NO_STORE},
        {"no-cache", CC_NO_CACHE},
        {"private", CC_PRIVATE},
        {"public", CC_PUBLIC},
        {"must-revalidate", CC_MUST_REVALIDATE},
        {"proxy-revalidate", CC_PROXY_REVALIDATE},
        {"must-understand", CC_MUST_UNDERSTAND},
        {"no-transform", CC_NO_TRANSFORM},
        {"immutable", CC_IMMUTABLE},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (slice_equal(key, slice_from(flags[i].name)))
            apply_flag(cc, flags[i].flag, type, r);
    if (slice_equal(key, SLICE("max-age")))
        apply_seconds(&cc->max_age, type, value, r);
    else if (slice_equal(key, SLICE("s-maxage")))
        apply_seconds(&cc->s_maxage, type, value, r);
    else if (slice_equal(key, SLICE("stale-while-revalidate")))
        apply_seconds(&cc->stale_while_revalidate, type, value, r);
    else if (slice_equal(key, SLICE("stale-if-error")))
        apply_seconds(&cc->stale_if_error, type, value, r);
}

static void read_member(struct reader *r, struct cache_control *cc)
{
    const struct slice key = read_key(r);
    enum type type = TYPE_TRUE;
    int64_t value = 0;
    if (!r->bad && take(r, '='))
        type = peek(r) == '(' ? read_inner_list(r) : read_bare(r, &value);
    read_parameters(r);
    if (!r->bad)
        apply(cc, key, type, value, r); /* a key that comes twice: the last one counts */
    cc->present = true;
}

static bool read_line(struct slice line, struct cache_control *cc)
{
    struct reader r = {line.ptr, line.ptr + line.len, false};
    do {
        skip(&r, true);
        read_member(&r, cc);
        skip(&r, true);
    } while (!r.bad && take(&r, ','));
    return !r.bad && r.at == r.end;
}

bool targeted_parse(const struct http_fields *fields, struct cache_control *out)
{
    *out = (struct cache_control){0, CC_ABSENT, CC_ABSENT, CC_ABSENT, CC_ABSENT, CC_ABSENT, CC_ABSENT, false};
    for (size_t i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->at[i];
        if (field->id == FIELD_CDN_CACHE_CONTROL && field->value.len > 0 && !read_line(field->value, out))
            return false;
    }
    return out->present;
}
