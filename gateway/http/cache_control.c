#include "http/cache_control.h"

#include <stddef.h>

static const int64_t seconds_max = (int64_t)1 << 31; /* RFC 9111 1.2.2 */

/* A directive taken apart. `malformed`: neither `name` nor `name=value` (white space around '=', a ';' …). */
struct directive {
    struct slice name;
    struct slice value;
    bool has_value;
    bool malformed;
};

/* Directives that are on or off. One that has a value it should not have, or is malformed, counts if it
 * restricts and not if it permits; `no-cache="field"` and `private="field"` restrict, too. must-understand
 * lifts no-store: it permits. */
static const struct {
    struct slice name;
    unsigned flag;
    bool permits;
} switches[] = {
#define SWITCH(text, flag, permits)                                                                          \
    {                                                                                                        \
        {(text), sizeof(text) - 1}, (flag), (permits)                                                        \
    }
    SWITCH("no-store", CC_NO_STORE, false),
    SWITCH("no-cache", CC_NO_CACHE, false),
    SWITCH("private", CC_PRIVATE, false),
    SWITCH("public", CC_PUBLIC, true),
    SWITCH("must-revalidate", CC_MUST_REVALIDATE, false),
    SWITCH("proxy-revalidate", CC_PROXY_REVALIDATE, false),
    SWITCH("must-understand", CC_MUST_UNDERSTAND, true),
    SWITCH("no-transform", CC_NO_TRANSFORM, false),
    SWITCH("only-if-cached", CC_ONLY_IF_CACHED, false),
    SWITCH("immutable", CC_IMMUTABLE, true),
#undef SWITCH
};

/* Directives with seconds. `most`: the largest value is the most restrictive one, not the smallest. */
static const struct {
    struct slice name;
    size_t offset;
    bool most;
} durations[] = {
#define DURATION(text, member, most)                                                                         \
    {                                                                                                        \
        {(text), sizeof(text) - 1}, offsetof(struct cache_control, member), (most)                           \
    }
    DURATION("max-age", max_age, false),
    DURATION("s-maxage", s_maxage, false),
    DURATION("max-stale", max_stale, false),
    DURATION("min-fresh", min_fresh, true),
    DURATION("stale-while-revalidate", stale_while_revalidate, false),
    DURATION("stale-if-error", stale_if_error, false),
#undef DURATION
};

static struct directive take_apart(struct slice member)
{
    size_t len = 0;
    while (len < member.len && field_is_token(slice_of(member.ptr + len, 1)))
        len++;
    struct directive d = {.name = slice_of(member.ptr, len)};
    const struct slice rest = slice_skip(member, len);
    d.has_value = rest.len > 0 && rest.ptr[0] == '=';
    d.malformed = rest.len > 0 && !d.has_value;
    if (d.has_value)
        d.value = slice_skip(rest, 1);
    return d;
}

/* A quote that is never closed swallows every directive behind it. */
static bool has_open_quote(struct slice member)
{
    bool quoted = false;
    for (size_t i = 0; i < member.len; i++) {
        if (quoted && member.ptr[i] == '\\')
            i++;
        else if (member.ptr[i] == '"')
            quoted = !quoted;
    }
    return quoted;
}

/* Digits, plain or quoted. False for anything else; too large is seconds_max. */
static bool parse_seconds(struct slice text, int64_t *out)
{
    int64_t value = 0;
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        text = slice_of(text.ptr + 1, text.len - 2);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (text.ptr[i] - '0');
        if (value > seconds_max)
            value = seconds_max;
    }
    *out = value;
    return text.len > 0;
}

static bool apply_switch(struct cache_control *cc, const struct directive *d)
{
    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
        if (!slice_equal_nocase(d->name, switches[i].name))
            continue;
        if (!switches[i].permits || (!d->has_value && !d->malformed))
            cc->flags |= switches[i].flag;
        return true;
    }
    return false;
}

static void restrict_duration(struct cache_control *cc, size_t i, int64_t value)
{
    int64_t *member = (int64_t *)(void *)((char *)cc + durations[i].offset);
    if (*member == CC_ABSENT || (durations[i].most ? value > *member : value < *member))
        *member = value;
}

static void apply_duration(struct cache_control *cc, const struct directive *d)
{
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        int64_t value;
        if (!slice_equal_nocase(d->name, durations[i].name))
            continue;
        if (durations[i].offset == offsetof(struct cache_control, max_stale) && !d->has_value &&
            !d->malformed)
            cc->flags |= CC_MAX_STALE_ANY;
        else if (d->has_value && parse_seconds(d->value, &value))
            restrict_duration(cc, i, value);
        else
            restrict_duration(cc, i, durations[i].most ? seconds_max : 0);
        return;
    }
}

static struct cache_control nothing(void)
{
    return (struct cache_control){0, CC_ABSENT, CC_ABSENT, CC_ABSENT, CC_ABSENT, CC_ABSENT, CC_ABSENT, false};
}

static struct cache_control parse_plain(const struct http_fields *fields)
{
    struct cache_control cc = nothing();
    struct http_members it = {0};
    struct slice member;
    while (http_member_next(fields, FIELD_CACHE_CONTROL, &it, &member)) {
        const struct directive d = take_apart(member);
        cc.present = true;
        if (has_open_quote(member))
            cc.flags |= CC_NO_STORE;
        if (!apply_switch(&cc, &d))
            apply_duration(&cc, &d);
    }
    if (cc.max_stale != CC_ABSENT) /* given with a value, too: that one restricts */
        cc.flags &= ~(unsigned)CC_MAX_STALE_ANY;
    return cc;
}

/* --- CDN-Cache-Control: the same directives as an RFC 8941 dictionary
 * -------------------------------------------- */

enum item {
    ITEM_BAD,
    ITEM_INTEGER,
    ITEM_TRUE,
    ITEM_FALSE,
    ITEM_TEXT,  /* string, token or inner list: field names */
    ITEM_OTHER, /* decimal, byte sequence: no directive has one */
};

static char first_of(struct slice s)
{
    return s.len > 0 ? s.ptr[0] : '\0';
}

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

#define DIGITS "0123456789"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Takes the longest run of bytes of the set; its length. */
static size_t take_run(struct slice *rest, const char *set)
{
    size_t n = 0;
    while (n < rest->len && is_one_of(rest->ptr[n], set))
        n++;
    *rest = slice_skip(*rest, n);
    return n;
}

static bool take_char(struct slice *rest, char c)
{
    if (first_of(*rest) != c || rest->len == 0)
        return false;
    *rest = slice_skip(*rest, 1);
    return true;
}

static enum item take_number(struct slice *rest)
{
    take_char(rest, '-');
    const size_t whole = take_run(rest, DIGITS);
    if (!take_char(rest, '.'))
        return whole >= 1 && whole <= 15 ? ITEM_INTEGER : ITEM_BAD;
    const size_t fraction = take_run(rest, DIGITS);
    return whole >= 1 && whole <= 12 && fraction >= 1 && fraction <= 3 ? ITEM_OTHER : ITEM_BAD;
}

static enum item take_string(struct slice *rest)
{
    for (size_t i = 1; i < rest->len; i++) {
        const char c = rest->ptr[i];
        if (c < 0x20 || c > 0x7e)
            return ITEM_BAD;
        if (c == '"') {
            *rest = slice_skip(*rest, i + 1);
            return ITEM_TEXT;
        }
        if (c == '\\' && (++i == rest->len || !is_one_of(rest->ptr[i], "\"\\")))
            return ITEM_BAD;
    }
    return ITEM_BAD;
}

static enum item take_item(struct slice *rest)
{
    const char c = first_of(*rest);
    if (c == '-' || is_one_of(c, DIGITS))
        return take_number(rest);
    if (c == '"')
        return take_string(rest);
    if (is_one_of(c, LOWER UPPER "*")) {
        take_run(rest, LOWER UPPER DIGITS "!#$%&'*+-.^_`|~:/");
        return ITEM_TEXT;
    }
    if (take_char(rest, '?'))
        return take_char(rest, '1') ? ITEM_TRUE : take_char(rest, '0') ? ITEM_FALSE : ITEM_BAD;
    if (take_char(rest, ':')) {
        take_run(rest, LOWER UPPER DIGITS "+/=");
        return take_char(rest, ':') ? ITEM_OTHER : ITEM_BAD;
    }
    return ITEM_BAD;
}

static bool take_key(struct slice *rest, struct slice *key)
{
    if (!is_one_of(first_of(*rest), LOWER "*"))
        return false;
    key->ptr = rest->ptr;
    key->len = take_run(rest, LOWER DIGITS "_-.*");
    return true;
}

/* RFC 9213 2.1: parameters are ignored; but they have to be well-formed. */
static bool skip_parameters(struct slice *rest)
{
    struct slice key;
    while (take_char(rest, ';')) {
        take_run(rest, " ");
        if (!take_key(rest, &key) || (take_char(rest, '=') && take_item(rest) == ITEM_BAD))
            return false;
    }
    return true;
}

static enum item take_list(struct slice *rest)
{
    while (take_run(rest, " "), !take_char(rest, ')')) {
        if (take_item(rest) == ITEM_BAD || !skip_parameters(rest) || !is_one_of(first_of(*rest), " )"))
            return ITEM_BAD;
    }
    return ITEM_TEXT;
}

/* False when the directive's value has not the type that belongs to it. Unknown directives may have any. */
static bool apply_item(struct cache_control *cc, struct slice key, enum item item, struct slice text)
{
    for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
        if (!slice_equal(key, switches[i].name))
            continue;
        const bool names = item == ITEM_TEXT && (switches[i].flag & (CC_NO_CACHE | CC_PRIVATE));
        if (item == ITEM_TRUE || names)
            cc->flags |= switches[i].flag;
        return item == ITEM_TRUE || item == ITEM_FALSE || names;
    }
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        int64_t value = 0;
        if (!slice_equal(key, durations[i].name))
            continue;
        if (item != ITEM_INTEGER)
            return false;
        if (!parse_seconds(text, &value)) /* negative */
            value = 0;
        restrict_duration(cc, i, value);
        return true;
    }
    return true;
}

static bool apply_member(struct cache_control *cc, struct slice member)
{
    struct slice key, text = {NULL, 0};
    enum item item = ITEM_TRUE;
    if (!take_key(&member, &key))
        return false;
    if (take_char(&member, '=')) {
        text = member;
        item = take_char(&member, '(') ? take_list(&member) : take_item(&member);
        text.len -= member.len;
    }
    return item != ITEM_BAD && skip_parameters(&member) && member.len == 0 && apply_item(cc, key, item, text);
}

/* RFC 9213 2.1: a field that cannot be parsed is ignored as a whole. */
static struct cache_control parse_targeted(const struct http_fields *fields, enum field_id id)
{
    struct cache_control cc = nothing();
    struct http_members it = {0};
    struct slice member;
    while (http_member_next(fields, id, &it, &member)) {
        cc.present = true;
        if (!apply_member(&cc, member))
            return nothing();
    }
    return cc;
}

struct cache_control cache_control_parse(const struct http_fields *fields, enum field_id id)
{
    return id == FIELD_CACHE_CONTROL ? parse_plain(fields) : parse_targeted(fields, id);
}
