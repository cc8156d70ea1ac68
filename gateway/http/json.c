#include "http/json.h"

enum { DEPTH_MAX = 64 };

struct position {
    size_t line, column;
};

/* Line and column, from 1, of a byte; columns count characters. */
static struct position locate(struct slice text, size_t at)
{
    struct position p = {1, 1};
    for (size_t i = 0; i < at && i < text.len; i++) {
        if (text.ptr[i] == '\n')
            p = (struct position){p.line + 1, 1};
        else
            p.column += ((unsigned char)text.ptr[i] & 0xc0) != 0x80;
    }
    return p;
}

/* Index behind the closing quote of a string whose inside begins at i. */
static size_t skip_string(struct slice text, size_t i)
{
    for (; i < text.len; i++) {
        if (text.ptr[i] == '\\')
            i++;
        else if (text.ptr[i] == '"')
            return i + 1;
    }
    return text.len;
}

/* Index of the bracket that nests too deep, or text.len. jansson recurses, and 2048 levels are too many for
 * the stacks of workers; so this is decided before it starts. */
static size_t find_too_deep(struct slice text)
{
    size_t depth = 0;
    for (size_t i = 0; i < text.len;) {
        const char c = text.ptr[i++];
        if (c == '"')
            i = skip_string(text, i);
        else if ((c == '[' || c == '{') && ++depth > DEPTH_MAX)
            return i - 1;
        else if ((c == ']' || c == '}') && depth > 0)
            depth--;
    }
    return text.len;
}

/* jansson's own sentences quote the input ("near '…'"), which may be a secret. */
static const char *sentence(enum json_error_code code)
{
    static const char *const texts[] = {
        [json_error_out_of_memory] = "out of memory",
        [json_error_stack_overflow] = "nested too deep",
        [json_error_invalid_utf8] = "not valid UTF-8",
        [json_error_premature_end_of_input] = "ends too early",
        [json_error_end_of_input_expected] = "something follows the value",
        [json_error_null_character] = "\\u0000 is not allowed",
        [json_error_null_byte_in_key] = "\\u0000 is not allowed",
        [json_error_duplicate_key] = "a member stands twice in an object",
        [json_error_numeric_overflow] = "a number is too large",
    };
    const size_t i = (size_t)code;
    return i < sizeof(texts) / sizeof(texts[0]) && texts[i] ? texts[i] : "not valid JSON";
}

json_t *json_read(struct slice text, size_t max, struct fault *fault)
{
    if (text.len > max) {
        fault_set(fault, ERR_LIMIT, "longer than %zu bytes", max);
        return NULL;
    }
    const size_t deep = find_too_deep(text);
    if (deep < text.len) {
        const struct position p = locate(text, deep);
        fault_set(fault, ERR_LIMIT, "line %zu, column %zu: nested deeper than %d levels", p.line, p.column,
                  DEPTH_MAX);
        return NULL;
    }
    json_error_t error;
    json_t *value =
        json_loadb(text.len ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        fault_set(fault, ERR_SYNTAX, "line %d, column %d: %s", error.line, error.column,
                  sentence(json_error_code(&error)));
    return value;
}

struct writer {
    struct buf *out;
    int code;
};

static int on_text(const char *text, size_t len, void *arg)
{
    struct writer *writer = arg;
    writer->code = buf_append(writer->out, text, len);
    return writer->code ? -1 : 0;
}

int json_write(struct buf *out, const json_t *value)
{
    struct writer writer = {.out = out};
    const size_t before = out->len;
    if (json_dump_callback(value, on_text, &writer, JSON_COMPACT | JSON_ENCODE_ANY) == 0)
        return 0;
    out->len = before;
    return writer.code ? writer.code : ERR_INVALID;
}

struct slice json_text(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value))
        return (struct slice){NULL, 0};
    return slice_of(json_string_value(value), json_string_length(value));
}
