/*
 * Vary (RFC 9111 4.1). A request field counts as upstream saw it: fields that the gateway never passes on
 * cannot have selected anything, whatever Vary says, so a client's own Authorization, Cookie or
 * Accept-Encoding splits no entry and is kept in none.
 */
#include "cache/cache_internal.h"

enum { MEMBERS_MAX = 32, LANGUAGE_MARK = '\x01' /* no field value has it */ };

static bool is_passed_on(enum field_id id)
{
    return !(field_flags(id) &
             (FIELD_HOP | FIELD_IDENTITY | FIELD_FRAMING | FIELD_PRECONDITION | FIELD_OVERRIDE));
}

static void put_lower(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        buf_append_char(out, c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c);
    }
}

/* --- values: lines combined, white space around commas dropped ------------------------------- */

/* The next member of a list, possibly empty; commas in quotes are none. */
static struct slice take_member(struct slice *rest)
{
    size_t i = 0;
    bool quoted = false;
    for (; i < rest->len && (quoted || rest->ptr[i] != ','); i++) {
        if (quoted && rest->ptr[i] == '\\' && i + 1 < rest->len)
            i++;
        else if (rest->ptr[i] == '"')
            quoted = !quoted;
    }
    const struct slice member = slice_trim(slice_of(rest->ptr, i));
    *rest = slice_skip(*rest, i < rest->len ? i + 1 : i);
    return member;
}

static bool goes_before(struct slice a, struct slice b)
{
    const size_t len = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < len; i++) {
        const unsigned char x = (unsigned char)a.ptr[i] | 0x20, y = (unsigned char)b.ptr[i] | 0x20;
        if (x != y)
            return x < y;
    }
    return a.len < b.len;
}

/* The members of all lines with that name, at most max; what is beyond comes with *more. */
static size_t collect(const struct http_fields *fields, struct slice name, struct slice *members, bool *more)
{
    size_t count = 0;
    *more = false;
    for (size_t i = 0; i < fields->count; i++) {
        struct slice rest = fields->at[i].value;
        if (!slice_equal_nocase(fields->at[i].name, name))
            continue;
        while (rest.len > 0) {
            const struct slice member = take_member(&rest);
            if (member.len == 0)
                continue;
            *more = count == MEMBERS_MAX;
            if (*more)
                return count;
            members[count++] = member;
        }
    }
    return count;
}

/* Accept-Language says nothing by order or case (RFC 9110 12.5.4, RFC 4647 2.3): weights do that. */
static void sort(struct slice *members, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && goes_before(members[j], members[j - 1]); j--) {
            const struct slice swap = members[j];
            members[j] = members[j - 1];
            members[j - 1] = swap;
        }
}

static void put_raw(struct buf *out, const struct http_fields *fields, struct slice name)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (!slice_equal_nocase(fields->at[i].name, name))
            continue;
        buf_append_char(out, '|');
        buf_append_slice(out, fields->at[i].value);
    }
}

static void put_value(struct buf *out, struct slice name, const struct http_fields *request)
{
    struct slice members[MEMBERS_MAX];
    bool more;
    const size_t count = collect(request, name, members, &more);
    if (more) { /* long lists are compared as they are */
        put_raw(out, request, name);
        return;
    }
    const bool language = slice_equal_nocase(name, SLICE("accept-language"));
    if (language)
        sort(members, count);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        if (language)
            put_lower(out, members[i]);
        else
            buf_append_slice(out, members[i]);
    }
}

/* A line of the text without its end: absent and empty are two things. */
static void put_line(struct buf *out, struct slice name, const struct http_fields *request)
{
    put_lower(out, name);
    if (http_find_name(request, name)) {
        buf_append_char(out, ':');
        put_value(out, name, request);
    }
}

/* --- languages ------------------------------------------------------------------------------- */

/* RFC 9110 12.4.2, in thousandths: "de;q=0.5" -> "de", 500. What is malformed weighs nothing. */
static unsigned take_weight(struct slice *member)
{
    struct slice range, parameter;
    if (!slice_cut(*member, ';', &range, &parameter))
        return 1000;
    *member = slice_trim(range);
    parameter = slice_trim(parameter);
    if (parameter.len < 3 || !slice_equal_nocase(slice_of(parameter.ptr, 2), SLICE("q=")))
        return 0;
    const struct slice digits = slice_skip(parameter, 2);
    unsigned weight = 0, unit = 1000;
    for (size_t i = 0; i < digits.len && unit > 0; i++) {
        if (i == 1 && digits.ptr[i] == '.')
            continue;
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return 0;
        weight += (unsigned)(digits.ptr[i] - '0') * unit;
        unit /= 10;
    }
    return weight;
}

/* Does the request want that language above all others? Then the variant in it is the one, whatever else was
 * asked for when it came (4.1). */
static bool prefers(const struct http_fields *request, struct slice language)
{
    struct slice members[MEMBERS_MAX], best = {NULL, 0};
    bool more;
    unsigned most = 0;
    const size_t count = collect(request, SLICE("accept-language"), members, &more);
    for (size_t i = 0; i < count; i++) {
        const unsigned weight = take_weight(&members[i]);
        if (weight == most)
            best = slice_of(NULL, 0); /* two are as good */
        if (weight > most) {
            most = weight;
            best = members[i];
        }
    }
    return !more && best.len > 0 && slice_equal_nocase(best, language);
}

/* The one language of an answer; empty when it has none or several. */
static struct slice language_of(const struct http_fields *answer)
{
    struct slice members[MEMBERS_MAX];
    bool more;
    const size_t count = collect(answer, SLICE("content-language"), members, &more);
    return count == 1 && field_is_token(members[0]) ? members[0] : slice_of(NULL, 0);
}

/* --- texts ----------------------------------------------------------------------------------- */

int vary_build(struct buf *out, const struct http_fields *answer, const struct http_fields *request)
{
    struct http_members it = {0};
    struct slice name;
    const struct slice language = language_of(answer);
    while (http_member_next(answer, FIELD_VARY, &it, &name)) {
        if (!field_is_token(name) || slice_equal(name, SLICE("*")))
            return ERR_INVALID; /* '*', or in doubt */
        if (!is_passed_on(field_lookup(name)))
            continue;
        put_line(out, name, request);
        if (language.len > 0 && slice_equal_nocase(name, SLICE("accept-language"))) {
            buf_append_char(out, LANGUAGE_MARK);
            buf_append_slice(out, language);
        }
        buf_append_char(out, '\n');
    }
    return out->failed ? ERR_LIMIT : 0;
}

static bool line_matches(struct slice stored, const struct http_fields *request)
{
    char storage[VARY_MAX];
    struct buf line;
    struct slice language;
    slice_cut(stored, LANGUAGE_MARK, &stored, &language);
    buf_init_fixed(&line, storage, sizeof storage);
    put_line(&line, slice_of(stored.ptr, slice_find(stored, ':')), request);
    if (!line.failed && slice_equal(stored, buf_slice(&line)))
        return true;
    return language.len > 0 && prefers(request, language);
}

bool vary_matches(struct slice vary, const struct http_fields *request)
{
    struct slice line;
    while (vary.len > 0) {
        slice_cut(vary, '\n', &line, &vary);
        if (!line_matches(line, request))
            return false;
    }
    return true;
}

bool cache_same_variant(const struct http_fields *answer, const struct http_fields *one,
                        const struct http_fields *other)
{
    char storage[VARY_MAX];
    struct buf text;
    buf_init_fixed(&text, storage, sizeof storage);
    return vary_build(&text, answer, one) == 0 && vary_matches(buf_slice(&text), other);
}
