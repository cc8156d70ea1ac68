/* Lines about what is wrong: path, what was found, what is expected. */
#include <stdio.h>
#include <stdlib.h>

#include "config/config_internal.h"

enum { LINES_MAX = 256 * 1024, LINE_MAX_BYTES = 4096, QUOTE_MAX = 60, KEYS_SHOWN = 20 };

void config_errors_init(struct config_errors *errors)
{
    *errors = (struct config_errors){0};
    buf_init(&errors->lines, LINES_MAX);
}

void config_errors_deinit(struct config_errors *errors)
{
    buf_deinit(&errors->lines);
    errors->count = 0;
    errors->listed = 0;
}

void parser_init(struct parser *p, struct config *config, struct config_errors *errors)
{
    p->config = config;
    p->errors = errors;
    p->failure = 0;
    buf_init_fixed(&p->path, p->storage, sizeof p->storage);
}

/* At most QUOTE_MAX bytes, cut between characters. */
static void append_quoted(struct buf *out, struct slice text)
{
    const bool cut = text.len > QUOTE_MAX;
    if (cut) {
        text.len = QUOTE_MAX;
        while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xc0) == 0x80)
            text.len--;
    }
    buf_append_char(out, '"');
    buf_append_json(out, text);
    buf_append_text(out, cut ? "…\"" : "\"");
}

static bool is_plain_key(struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        const char c = key.ptr[i];
        const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && c != '_' && c != '-' && c != '$')
            return false;
    }
    return key.len > 0 && key.len <= QUOTE_MAX;
}

size_t parser_push(struct parser *p, struct slice key)
{
    const size_t mark = p->path.len;
    if (is_plain_key(key)) {
        if (mark > 0)
            buf_append_char(&p->path, '.');
        buf_append_slice(&p->path, key);
    } else {
        buf_append_char(&p->path, '[');
        append_quoted(&p->path, key);
        buf_append_char(&p->path, ']');
    }
    return mark;
}

size_t parser_push_index(struct parser *p, size_t index)
{
    const size_t mark = p->path.len;
    buf_append_format(&p->path, "[%zu]", index);
    return mark;
}

void parser_pop(struct parser *p, size_t mark)
{
    p->path.len = mark;
}

void parser_report(struct parser *p, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    p->errors->count++;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const struct slice path = p->path.len > 0 ? buf_slice(&p->path) : SLICE("the configuration");
    struct buf *lines = &p->errors->lines;
    /* Whole lines only; what does not fit is told as a number at the end. */
    if (path.len + strlen(line) + 3 > lines->max - lines->len - 64)
        return;
    buf_append_format(lines, "%.*s: %s\n", SLICE_ARG(path), line);
    if (lines->failed)
        p->failure = ERR_NOMEM;
    else
        p->errors->listed++;
}

static void append_found(struct buf *out, json_t *found, bool hidden)
{
    switch (json_typeof(found)) {
    case JSON_OBJECT:
        buf_append_text(out, "an object");
        return;
    case JSON_ARRAY:
        buf_append_text(out, "an array");
        return;
    case JSON_STRING:
        if (hidden)
            buf_append_text(out, "a text");
        else
            append_quoted(out, slice_of(json_string_value(found), json_string_length(found)));
        return;
    case JSON_INTEGER:
        if (hidden)
            buf_append_text(out, "a number");
        else
            buf_append_format(out, "the number %lld", (long long)json_integer_value(found));
        return;
    case JSON_REAL:
        buf_append_text(out, "a number with a fraction or exponent");
        return;
    case JSON_TRUE:
        buf_append_text(out, "true");
        return;
    case JSON_FALSE:
        buf_append_text(out, "false");
        return;
    case JSON_NULL:
        buf_append_text(out, "null");
        return;
    }
}

void parser_mismatch(struct parser *p, json_t *found, bool hidden, const char *expected)
{
    char storage[1024];
    struct buf text;
    buf_init_fixed(&text, storage, sizeof storage);
    append_found(&text, found, hidden);
    parser_report(p, "found %.*s, expected %s", SLICE_ARG(buf_slice(&text)), expected);
}

/* Where in the whole table a key of this name stands; out gets the path of its object. */
static bool find_elsewhere(const struct field *fields, struct slice key, struct buf *out)
{
    for (; fields->key; fields++) {
        const size_t mark = out->len;
        if (fields->kind != FIELD_OBJECT)
            continue;
        buf_append_format(out, "%s%s", mark > 0 ? "." : "", fields->key);
        if (table_find(fields->fields, key) || find_elsewhere(fields->fields, key, out))
            return true;
        out->len = mark;
    }
    return false;
}

static void append_known(struct buf *out, const struct field *fields)
{
    buf_append_text(out, "unknown key, expected ");
    for (size_t i = 0; i < KEYS_SHOWN && fields[i].key; i++)
        buf_append_format(out, "%s\"%s\"", i == 0 ? "" : fields[i + 1].key ? ", " : " or ", fields[i].key);
}

void parser_unknown(struct parser *p, const struct field *fields, struct slice key)
{
    char storage[1024], place[256];
    struct buf text, where;
    struct suggestion near = {NULL, 0};
    buf_init_fixed(&text, storage, sizeof storage);
    buf_init_fixed(&where, place, sizeof place);
    for (const struct field *field = fields; field->key; field++)
        suggest_offer(&near, key, field->key);
    if (near.best)
        buf_append_format(&text, "unknown key; did you mean \"%s\"?", near.best);
    else if (table_find(config_table, key))
        buf_append_format(&text, "unknown key here; did you mean the one at the root of the file?");
    else if (find_elsewhere(config_table, key, &where))
        buf_append_format(&text, "unknown key here; did you mean the one inside \"%.*s\"?",
                          SLICE_ARG(buf_slice(&where)));
    else
        append_known(&text, fields);
    const size_t mark = parser_push(p, key);
    parser_report(p, "%.*s", SLICE_ARG(buf_slice(&text)));
    parser_pop(p, mark);
}

/* --- what a field takes ----------------------------------------------------------------------- */

static void expect_range(const struct field *f, const char *noun, const struct unit *units, struct buf *out)
{
    buf_append_format(out, "%s from \"", noun);
    units_write(units, f->min, out);
    buf_append_text(out, "\" to \"");
    units_write(units, f->max, out);
    buf_append_char(out, '"');
}

static void expect_text(const struct field *f, struct buf *out)
{
    if (f->literal) {
        buf_append_text(out, "the name of an environment variable");
        return;
    }
    buf_append_format(out, "a text of 1 to %zu bytes", (size_t)(f->max ? f->max : CONFIG_TEXT_MAX));
    if (f->alphabet)
        buf_append_format(out, ": letters, digits and \"%s\"", f->alphabet);
    else
        buf_append_text(out, " without control characters");
}

static void expect_choices(const char *const *choices, struct buf *out)
{
    buf_append_text(out, "one of ");
    for (size_t i = 0; choices[i]; i++)
        buf_append_format(out, "%s\"%s\"", i ? ", " : "", choices[i]);
}

static void expect(const struct field *f, struct buf *out)
{
    switch (f->kind) {
    case FIELD_OBJECT:
    case FIELD_MAP:
        buf_append_text(out, "an object");
        return;
    case FIELD_LIST:
        buf_append_text(out, "an array of objects");
        return;
    case FIELD_NAMES:
        buf_append_text(out, "an array of texts");
        return;
    case FIELD_LISTENER:
        buf_append_text(out, "an address as text, or an object with \"address\"");
        return;
    case FIELD_SECRET:
        buf_append_text(
            out,
            "{ \"env\": NAME } or { \"file\": PATH }: a secret never stands in the configuration itself");
        return;
    case FIELD_BOOL:
        buf_append_text(out, "true or false");
        return;
    case FIELD_COUNT:
    case FIELD_WORKERS:
        buf_append_format(out, "a whole number from %llu to %llu", (unsigned long long)f->min,
                          (unsigned long long)f->max);
        return;
    case FIELD_DURATION:
        expect_range(f, "a duration", units_duration, out);
        buf_append_text(out, ": a whole number and ms, s, m, h or d");
        return;
    case FIELD_SIZE:
        expect_range(f, "a size", units_size, out);
        buf_append_text(out, ": a whole number and B, KiB, MiB, GiB or TiB");
        return;
    case FIELD_RATE:
        buf_append_text(out, "a rate such as \"50/s\" or \"600/m\" (a whole number from 1 to 1000000000 and "
                             "/s, /m or /h), or \"none\"");
        return;
    case FIELD_TEXT:
        expect_text(f, out);
        return;
    case FIELD_URL:
        buf_append_format(out, "an absolute http:// or https:// URL without user name%s or fragment",
                          f->query ? "" : ", query");
        return;
    case FIELD_REDIS:
        buf_append_text(out, "a redis:// or rediss:// URL without user name or password");
        return;
    case FIELD_ADDRESS:
        buf_append_text(out, "\"host:port\", \"[v6]:port\" or \"unix:/path\"");
        return;
    case FIELD_CHOICE:
        expect_choices(f->choices, out);
        return;
    }
}

void parser_refuse(struct parser *p, const struct field *field, json_t *found)
{
    parser_refuse_near(p, field, found, NULL);
}

void parser_refuse_near(struct parser *p, const struct field *field, json_t *found, const char *meant)
{
    char storage[1024];
    struct buf text;
    buf_init_fixed(&text, storage, sizeof storage - 1);
    expect(field, &text);
    if (meant)
        buf_append_format(&text, "; did you mean \"%s\"?", meant);
    storage[text.len] = '\0';
    parser_mismatch(p, found, field->hidden, storage);
}

void parser_missing(struct parser *p, const struct field *field)
{
    char storage[1024];
    struct buf text;
    buf_init_fixed(&text, storage, sizeof storage);
    expect(field, &text);
    const size_t mark = parser_push(p, slice_from(field->key));
    parser_report(p, "missing, expected %.*s", SLICE_ARG(buf_slice(&text)));
    parser_pop(p, mark);
}
