/* Scalars: JSON value -> member of the struct, by kind. */
#include <stdio.h>

#include "config/config_internal.h"
#include "http/url.h"

enum { NAME_MAX_BYTES = 128 }; /* of the texts of FIELD_NAMES */

static void *member_of(const struct field *field, void *base)
{
    return (char *)base + field->offset;
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool report_expansion(struct parser *p, int error, struct slice name, size_t max)
{
    switch (error) {
    case ERR_NOTFOUND:
        parser_report(p, "the environment variable %.*s is not set", SLICE_ARG(name));
        break;
    case ERR_SYNTAX:
        parser_report(p,
                      "found a malformed ${…}, expected ${NAME} (or $${ for the two characters themselves)");
        break;
    case ERR_LIMIT:
        parser_report(p, "too long after ${…} was expanded, expected at most %zu bytes", max);
        break;
    default:
        p->failure = ERR_NOMEM;
        break;
    }
    return false;
}

/* JSON's own texts are; variables may hold anything. */
static bool is_utf8(struct parser *p, struct slice text)
{
    json_t *probe = json_stringn(text.ptr, text.len);
    if (!probe)
        parser_report(p, "not valid UTF-8 after ${…} was expanded");
    json_decref(probe);
    return probe != NULL;
}

/* The value's text with ${NAME} expanded, in the arena. */
static bool expand(struct parser *p, const struct field *field, json_t *value, struct slice *out)
{
    const struct slice raw = slice_of(json_string_value(value), json_string_length(value));
    struct slice name = {NULL, 0};
    struct buf text;
    if (field->literal || !environment_used(raw)) {
        *out = arena_copy(&p->config->arena, raw);
    } else {
        buf_init(&text, CONFIG_TEXT_MAX);
        const int error = environment_expand(raw, &text, &name);
        if (!error)
            *out = arena_copy(&p->config->arena, buf_slice(&text));
        buf_deinit(&text);
        if (error)
            return report_expansion(p, error, name, CONFIG_TEXT_MAX);
    }
    if (!out->ptr)
        p->failure = ERR_NOMEM;
    return out->ptr && is_utf8(p, *out);
}

static bool is_allowed(const struct field *field, struct slice text)
{
    if (text.len == 0 || text.len > (field->max ? field->max : CONFIG_TEXT_MAX))
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];
        const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if ((unsigned char)c < ' ' || c == 0x7f)
            return false;
        if (field->alphabet && !alnum && !strchr(field->alphabet, c))
            return false;
    }
    return true;
}

static bool refuse_choice(struct parser *p, const struct field *field, json_t *value, struct slice text)
{
    struct suggestion near = {NULL, 0};
    for (size_t i = 0; field->choices[i]; i++)
        suggest_offer(&near, text, field->choices[i]);
    struct field one = *field;
    one.kind = FIELD_CHOICE;
    parser_refuse_near(p, &one, value, near.best);
    return false;
}

static bool is_choice(const struct field *field, struct slice text)
{
    for (size_t i = 0; field->choices[i]; i++)
        if (slice_equal(text, slice_from(field->choices[i])))
            return true;
    return false;
}

bool parse_text(struct parser *p, const struct field *field, json_t *value, struct slice *out)
{
    struct field one = *field;
    if (one.kind == FIELD_NAMES) {
        one.kind = one.choices ? FIELD_CHOICE : FIELD_TEXT;
        one.max = NAME_MAX_BYTES;
    }
    if (!json_is_string(value)) {
        parser_refuse(p, &one, value);
        return false;
    }
    if (!expand(p, &one, value, out))
        return false;
    if (one.choices)
        return is_choice(&one, *out) || refuse_choice(p, &one, value, *out);
    if (is_allowed(&one, *out))
        return true;
    parser_refuse(p, &one, value);
    return false;
}

/* Dot segments and doubled slashes: the base path would have two readings. */
static bool is_plain_path(struct slice path)
{
    struct slice segment, rest = slice_skip(path, 1);
    bool more = true;
    while (more) {
        more = slice_cut(rest, '/', &segment, &rest);
        if (slice_equal(segment, SLICE(".")) || slice_equal(segment, SLICE("..")) ||
            (more && segment.len == 0))
            return false;
    }
    return true;
}

static bool is_url(const struct field *field, struct slice text)
{
    struct url url;
    if (!url_parse(text, &url))
        return false;
    return field->query || (slice_find(text, '?') == text.len && is_plain_path(url.path));
}

/* Host, port and path as in http; url_parse refuses user names, and so passwords. */
static bool is_redis(struct slice text)
{
    char copy[CONFIG_TEXT_MAX + 8];
    struct url url;
    const size_t scheme = slice_starts(text, SLICE("redis://"))    ? 8
                          : slice_starts(text, SLICE("rediss://")) ? 9
                                                                   : 0;
    if (scheme == 0 || text.len > CONFIG_TEXT_MAX)
        return false;
    const struct slice rest = slice_skip(text, scheme);
    memcpy(copy, "http://", 7);
    memcpy(copy + 7, rest.ptr, rest.len);
    return url_parse(slice_of(copy, rest.len + 7), &url) && url.query.len == 0;
}

static bool is_of_kind(const struct field *field, struct slice text)
{
    if (field->kind == FIELD_URL)
        return is_url(field, text);
    if (field->kind == FIELD_REDIS)
        return is_redis(text);
    if (field->kind == FIELD_ADDRESS)
        return listener_is_address(text);
    return !field->literal || environment_name(text) == text.len;
}

static void store_text(const struct field *field, void *member, struct slice text)
{
    if (field->cstr)
        memcpy(member, &text.ptr, sizeof text.ptr);
    else
        memcpy(member, &text, sizeof text);
}

static void read_text(struct parser *p, const struct field *field, json_t *value, void *member)
{
    struct slice text;
    struct field shown = *field;
    /* A password may stand before an '@'. */
    if (json_is_string(value) && (field->kind == FIELD_URL || field->kind == FIELD_REDIS))
        shown.hidden = strpbrk(json_string_value(value), "@?") != NULL;
    if (!parse_text(p, &shown, value, &text))
        return;
    if (is_of_kind(field, text))
        store_text(field, member, text);
    else
        parser_refuse(p, &shown, value);
}

static void read_choice(struct parser *p, const struct field *field, json_t *value, void *member)
{
    struct slice text;
    if (!parse_text(p, field, value, &text))
        return;
    if (field->as_text) {
        memcpy(member, &text, sizeof text);
        return;
    }
    for (int i = 0; field->choices[i]; i++)
        if (slice_equal(text, slice_from(field->choices[i])))
            memcpy(member, &i, sizeof i);
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* Numbers and booleans may come from the environment: then, and only then, as text. */
static bool is_from_environment(json_t *value)
{
    return json_is_string(value) &&
           environment_used(slice_of(json_string_value(value), json_string_length(value)));
}

static bool read_number(struct parser *p, const struct field *field, json_t *value, uint64_t *out)
{
    struct slice text;
    bool ok = false;
    if (json_is_integer(value)) {
        ok = json_integer_value(value) >= 0;
        *out = (uint64_t)json_integer_value(value);
    } else if (is_from_environment(value)) {
        if (!expand(p, field, value, &text))
            return false;
        ok = slice_to_u64(text, out);
    }
    if (ok && *out >= field->min && *out <= field->max)
        return true;
    parser_refuse(p, field, value);
    return false;
}

static void read_bool(struct parser *p, const struct field *field, json_t *value, bool *member)
{
    struct slice text;
    if (json_is_boolean(value)) {
        *member = json_is_true(value);
        return;
    }
    if (is_from_environment(value)) {
        if (!expand(p, field, value, &text))
            return;
        const bool yes = slice_equal(text, SLICE("true"));
        if (yes || slice_equal(text, SLICE("false"))) {
            *member = yes;
            return;
        }
    }
    parser_refuse(p, field, value);
}

static void read_quantity(struct parser *p, const struct field *field, json_t *value, uint64_t *member)
{
    const struct unit *units = field->kind == FIELD_SIZE ? units_size : units_duration, *unit;
    struct slice text;
    uint64_t number;
    if (json_is_string(value)) {
        if (!expand(p, field, value, &text))
            return;
        if (units_read(units, text, &number, &unit) == UNIT_OK && number >= field->min &&
            number <= field->max) {
            *member = number;
            return;
        }
    }
    parser_refuse(p, field, value);
}

static void read_rate(struct parser *p, const struct field *field, json_t *value, double *member)
{
    struct slice text;
    double rate;
    if (json_is_string(value)) {
        if (!expand(p, field, value, &text))
            return;
        if (units_read_rate(text, &rate) == UNIT_OK) {
            *member = rate;
            return;
        }
    }
    parser_refuse(p, field, value);
}

void parse_scalar(struct parser *p, const struct field *field, json_t *value, void *base)
{
    void *member = member_of(field, base);
    uint64_t number;
    if (field->kind == FIELD_BOOL) {
        read_bool(p, field, value, member);
    } else if (field->kind == FIELD_COUNT) {
        if (read_number(p, field, value, &number))
            memcpy(member, &number, sizeof number);
    } else if (field->kind == FIELD_WORKERS) {
        if (read_number(p, field, value, &number))
            *(unsigned *)member = (unsigned)number;
    } else if (field->kind == FIELD_DURATION || field->kind == FIELD_SIZE) {
        read_quantity(p, field, value, member);
    } else if (field->kind == FIELD_RATE) {
        read_rate(p, field, value, member);
    } else if (field->kind == FIELD_CHOICE) {
        read_choice(p, field, value, member);
    } else {
        read_text(p, field, value, member);
    }
}
