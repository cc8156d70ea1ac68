/* The JSON Schema (2020-12), from the table. What a pattern cannot say (bounds with units, two values that
 * must fit) the program says. */
#include "config/config_internal.h"

/* Text with ${NAME} in it: what it becomes is judged when it is loaded. */
#define EXPANDED "#/$defs/expanded"

static void set(json_t *object, const char *key, json_t *value, bool *failed)
{
    if (!object || !value || json_object_set(object, key, value))
        *failed = true;
    json_decref(value);
}

static void set_text(json_t *object, const char *key, const char *text, bool *failed)
{
    set(object, key, json_string(text), failed);
}

static void set_number(json_t *object, const char *key, uint64_t number, bool *failed)
{
    set(object, key, json_integer((json_int_t)number), failed);
}

static json_t *reference(const char *to)
{
    return json_pack("{s:s}", "$ref", to);
}

/* The schema itself, or text that is expanded. */
static json_t *or_expanded(json_t *schema)
{
    return json_pack("{s:[o,o]}", "anyOf", schema, reference(EXPANDED));
}

/* The table's sentences are Markdown; here they are plain text. */
static void set_sentence(json_t *object, const struct field *field, bool *failed)
{
    struct buf text;
    buf_init(&text, CONFIG_TEXT_MAX);
    for (const char *c = field->sentence; *c; c++)
        if (*c != '`')
            buf_append_char(&text, *c);
    if (field->kind == FIELD_DURATION || field->kind == FIELD_SIZE) {
        const struct unit *units = field->kind == FIELD_SIZE ? units_size : units_duration;
        buf_append_text(&text, " From ");
        units_write(units, field->min, &text);
        buf_append_text(&text, " to ");
        units_write(units, field->max, &text);
        buf_append_char(&text, '.');
    }
    set(object, "description", text.failed ? NULL : json_stringn(text.ptr, text.len), failed);
    buf_deinit(&text);
}

static void set_standard(json_t *object, const struct field *field, bool *failed)
{
    struct fault fault;
    if (field->standard)
        set(object, "default", json_read(slice_from(field->standard), CONFIG_FILE_MAX, &fault), failed);
}

static json_t *schema_of(const struct field *field, bool *failed);

static json_t *properties(const struct field *fields, bool *failed)
{
    json_t *object = json_object();
    set(object, "$comment", json_true(), failed);
    for (const struct field *field = fields; field->key; field++) {
        json_t *schema = schema_of(field, failed);
        set_sentence(schema, field, failed);
        set_standard(schema, field, failed);
        set(object, field->key, schema, failed);
    }
    return object;
}

static json_t *object_schema(const struct field *fields, bool *failed)
{
    json_t *required = json_array();
    json_t *object = json_pack("{s:s,s:b,s:o}", "type", "object", "additionalProperties", 0, "properties",
                               properties(fields, failed));
    for (const struct field *field = fields; field->key; field++)
        if (field->required && json_array_append_new(required, json_string(field->key)))
            *failed = true;
    if (json_array_size(required) > 0)
        set(object, "required", json_incref(required), failed);
    json_decref(required);
    return object;
}

static json_t *listener_schema(const struct field *field, bool *failed)
{
    json_t *object = object_schema(field->fields, failed);
    if (table_find(field->fields, SLICE("cert")))
        set(object, "dependentRequired",
            json_pack("{s:[s],s:[s],s:[s]}", "cert", "key", "key", "cert", "client_ca", "cert"), failed);
    return json_pack("{s:[o,o]}", "anyOf", reference("#/$defs/address"), object);
}

static json_t *list_schema(const struct field *field, bool *failed)
{
    json_t *array = json_pack("{s:s,s:o}", "type", "array", "items", object_schema(field->fields, failed));
    set_number(array, "maxItems", field->max, failed);
    return array;
}

static json_t *map_schema(const struct field *field, bool *failed)
{
    json_t *object =
        json_pack("{s:s,s:b,s:{s:b},s:{s:o}}", "type", "object", "additionalProperties", 0, "properties",
                  "$comment", 1, "patternProperties", "^(?!(t|link|events)$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
                  object_schema(field->fields, failed));
    set_number(object, "minProperties", field->min, failed);
    set_number(object, "maxProperties", field->max + 1, failed); /* and a comment */
    return object;
}

/* Texts with an alphabet; a '-' stands last in it, as a character class wants it. */
static json_t *text_schema(const struct field *field, size_t max, bool *failed)
{
    json_t *schema = json_pack("{s:s,s:i}", "type", "string", "minLength", 1);
    if (field->alphabet) {
        char storage[128];
        struct buf pattern;
        buf_init_fixed(&pattern, storage, sizeof storage);
        if (field->literal)
            buf_append_text(&pattern, "^[A-Za-z_][A-Za-z0-9_]*$");
        else
            buf_append_format(&pattern, "^[A-Za-z0-9%s]+$", field->alphabet);
        set(schema, "pattern", json_stringn(pattern.ptr, pattern.len), failed);
    }
    if (!field->alphabet)
        set_text(schema, "pattern", "^[^\\u0000-\\u001f\\u007f]+$", failed);
    set_number(schema, "maxLength", max, failed);
    return field->literal || !field->alphabet ? schema : or_expanded(schema);
}

static json_t *choice_schema(const char *const *choices, bool *failed)
{
    json_t *names = json_array();
    for (size_t i = 0; choices[i]; i++)
        if (json_array_append_new(names, json_string(choices[i])))
            *failed = true;
    return or_expanded(json_pack("{s:o}", "enum", names));
}

static json_t *names_schema(const struct field *field, bool *failed)
{
    json_t *items = field->choices ? choice_schema(field->choices, failed) : text_schema(field, 128, failed);
    json_t *array = json_pack("{s:s,s:b,s:o}", "type", "array", "uniqueItems", 1, "items", items);
    if (field->min)
        set_number(array, "minItems", field->min, failed);
    if (field->max)
        set_number(array, "maxItems", field->max, failed);
    return array;
}

static json_t *count_schema(const struct field *field)
{
    return or_expanded(json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum", (json_int_t)field->min,
                                 "maximum", (json_int_t)field->max));
}

static json_t *schema_of(const struct field *field, bool *failed)
{
    switch (field->kind) {
    case FIELD_OBJECT:
        return object_schema(field->fields, failed);
    case FIELD_LISTENER:
        return listener_schema(field, failed);
    case FIELD_SECRET:
        return reference("#/$defs/secret");
    case FIELD_LIST:
        return list_schema(field, failed);
    case FIELD_MAP:
        return map_schema(field, failed);
    case FIELD_NAMES:
        return names_schema(field, failed);
    case FIELD_BOOL:
        return or_expanded(json_pack("{s:s}", "type", "boolean"));
    case FIELD_COUNT:
    case FIELD_WORKERS:
        return count_schema(field);
    case FIELD_DURATION:
        return reference("#/$defs/duration");
    case FIELD_SIZE:
        return reference("#/$defs/size");
    case FIELD_RATE:
        return reference("#/$defs/rate");
    case FIELD_TEXT:
        return text_schema(field, field->max ? (size_t)field->max : CONFIG_TEXT_MAX, failed);
    case FIELD_URL:
        return or_expanded(json_pack("{s:s,s:s}", "type", "string", "pattern",
                                     field->query ? "^[Hh][Tt][Tt][Pp][Ss]?://[^@#\\s]+$"
                                                  : "^[Hh][Tt][Tt][Pp][Ss]?://[^@?#\\s]+$"));
    case FIELD_REDIS:
        return or_expanded(json_pack("{s:s,s:s}", "type", "string", "pattern", "^rediss?://[^@?#\\s]+$"));
    case FIELD_ADDRESS:
        return reference("#/$defs/address");
    case FIELD_CHOICE:
        return choice_schema(field->choices, failed);
    }
    return NULL;
}

static json_t *pattern_schema(const char *pattern, const char *description)
{
    json_t *schema = or_expanded(json_pack("{s:s,s:s}", "type", "string", "pattern", pattern));
    bool failed = false;
    set_text(schema, "description", description, &failed);
    return schema;
}

/* Any row with FIELD_SECRET has the same fields. */
static const struct field *find_secret(const struct field *fields)
{
    for (; fields->key; fields++) {
        const struct field *found = fields->kind == FIELD_OBJECT ? find_secret(fields->fields) : NULL;
        if (fields->kind == FIELD_SECRET)
            return fields;
        if (found)
            return found;
    }
    return NULL;
}

static json_t *secret_schema(bool *failed)
{
    json_t *schema = object_schema(find_secret(config_table)->fields, failed);
    set(schema, "oneOf", json_pack("[{s:[s]},{s:[s]}]", "required", "env", "required", "file"), failed);
    return schema;
}

static json_t *definitions(bool *failed)
{
    json_t *defs = json_object();
    set(defs, "expanded",
        json_pack("{s:s,s:s,s:s}", "description", "Text with ${NAME} in it, taken from the environment.",
                  "type", "string", "pattern", "\\$\\{"),
        failed);
    set(defs, "duration", pattern_schema("^[0-9]+(ms|s|m|h|d)$", "250ms, 3s, 15m, 1h, 7d"), failed);
    set(defs, "size", pattern_schema("^[0-9]+(B|KiB|MiB|GiB|TiB)$", "512B, 64KiB, 10MiB, 1GiB"), failed);
    set(defs, "rate", pattern_schema("^(none|0*[1-9][0-9]*/[smh])$", "50/s, 600/m, 1000/h, or none"), failed);
    set(defs, "address",
        pattern_schema("^(unix:/.+|[A-Za-z0-9._-]+:[0-9]+|\\[[0-9A-Fa-f:.]+\\]:[0-9]+)$",
                       "host:port, [v6]:port or unix:/path"),
        failed);
    set(defs, "secret", secret_schema(failed), failed);
    return defs;
}

static int on_text(const char *text, size_t len, void *arg)
{
    return buf_append(arg, text, len) ? -1 : 0;
}

static json_t *whole_schema(bool *failed)
{
    json_t *root = json_object(), *body = object_schema(config_table, failed);
    set_text(root, "$schema", "https://json-schema.org/draft/2020-12/schema", failed);
    set_text(root, "$id", "https://rollout-gateway.dev/schemas/gateway.schema.json", failed);
    set_text(root, "title", "Configuration of rollout-gateway", failed);
    set(json_object_get(body, "properties"), "$schema", json_pack("{s:s}", "type", "string"), failed);
    if (json_object_update(root, body))
        *failed = true;
    json_decref(body);
    set(root, "$defs", definitions(failed), failed);
    return root;
}

int config_schema(struct buf *out)
{
    bool failed = false;
    const size_t before = out->len;
    json_t *root = whole_schema(&failed);
    if (!failed && json_dump_callback(root, on_text, out, JSON_INDENT(2)))
        failed = true;
    json_decref(root);
    if (!failed && buf_append_char(out, '\n') == 0)
        return 0;
    out->len = before;
    return out->failed ? ERR_LIMIT : ERR_NOMEM;
}
