/* The configuration that is in force, as JSON that could be loaded again. Of secrets only where they come
 * from. */
#include "config/config_internal.h"

static json_t *make(json_t *value, bool *failed)
{
    *failed |= value == NULL;
    return value;
}

static json_t *text_of(struct slice text, bool *failed)
{
    struct buf escaped;
    json_t *value = NULL;
    buf_init(&escaped, 2 * CONFIG_TEXT_MAX);
    if (environment_escape(text, &escaped) == 0)
        value = json_stringn(escaped.len ? escaped.ptr : "", escaped.len);
    buf_deinit(&escaped);
    return make(value, failed);
}

static struct slice read_text(const struct field *field, const void *member)
{
    struct slice text;
    const char *pointer;
    if (!field->cstr) {
        memcpy(&text, member, sizeof text);
        return text;
    }
    memcpy(&pointer, member, sizeof pointer);
    return slice_from(pointer);
}

static json_t *describe_text(const struct field *field, const void *member, bool *failed)
{
    struct slice text = read_text(field, member);
    if (text.len == 0)
        return NULL;
    /* The query of a subscriber's URL may hold a key. */
    if (field->kind == FIELD_URL && slice_find(text, '?') < text.len) {
        char storage[CONFIG_TEXT_MAX + 8];
        struct buf struck;
        buf_init_fixed(&struck, storage, sizeof storage);
        buf_append_slice(&struck, slice_of(text.ptr, slice_find(text, '?')));
        buf_append_text(&struck, "?***");
        return text_of(buf_slice(&struck), failed);
    }
    return text_of(text, failed);
}

static json_t *describe_number(const struct field *field, const void *member, bool *failed)
{
    char storage[64];
    struct buf text;
    uint64_t number = 0;
    buf_init_fixed(&text, storage, sizeof storage);
    if (field->kind == FIELD_WORKERS)
        number = *(const unsigned *)member;
    else if (field->kind != FIELD_RATE)
        memcpy(&number, member, sizeof number);
    if (field->kind == FIELD_WORKERS || field->kind == FIELD_COUNT)
        return make(json_integer((json_int_t)number), failed);
    if (field->kind == FIELD_SIZE && number == CONFIG_ABSENT)
        return NULL;
    if (field->kind == FIELD_RATE)
        units_write_rate(*(const double *)member, &text);
    else
        units_write(field->kind == FIELD_SIZE ? units_size : units_duration, number, &text);
    return make(json_stringn(text.ptr, text.len), failed);
}

static json_t *describe_choice(const struct field *field, const void *member, bool *failed)
{
    int at;
    if (field->as_text)
        return describe_text(field, member, failed);
    memcpy(&at, member, sizeof at);
    return make(json_string(field->choices[at]), failed);
}

static void add(json_t *object, const char *key, json_t *value, bool *failed)
{
    if (value && json_object_set_new(object, key, value))
        *failed = true;
}

static json_t *describe_object(const struct field *fields, const void *base, bool *failed)
{
    json_t *object = make(json_object(), failed);
    for (const struct field *field = fields; field->key && !*failed; field++)
        add(object, field->key, describe_field(field, base, failed), failed);
    return object;
}

static const char *read_items(const struct field *field, const void *base, size_t *count)
{
    const char *items;
    memcpy(&items, field_at(field, base), sizeof items);
    memcpy(count, (const char *)base + field->count_offset, sizeof *count);
    return items;
}

static json_t *describe_list(const struct field *field, const void *base, bool *failed)
{
    size_t count;
    const char *items = read_items(field, base, &count);
    json_t *array = make(json_array(), failed);
    for (size_t i = 0; i < count && !*failed; i++)
        *failed |= json_array_append_new(
                       array, describe_object(field->fields, items + i * field->size, failed)) != 0;
    return array;
}

static json_t *describe_map(const struct field *field, const void *base, bool *failed)
{
    size_t count;
    const char *items = read_items(field, base, &count);
    json_t *object = make(json_object(), failed);
    for (size_t i = 0; i < count && !*failed; i++) {
        struct slice name; /* NUL-terminated: it is a copy in the arena */
        memcpy(&name, items + i * field->size, sizeof name);
        add(object, name.ptr, describe_object(field->fields, items + i * field->size, failed), failed);
    }
    return object;
}

static json_t *describe_names(const struct field *field, const void *base, bool *failed)
{
    size_t count;
    const struct slice *names = (const void *)read_items(field, base, &count);
    if (count == 0)
        return NULL;
    json_t *array = make(json_array(), failed);
    for (size_t i = 0; i < count && !*failed; i++)
        *failed |= json_array_append_new(array, text_of(names[i], failed)) != 0;
    return array;
}

static json_t *describe_listener(const struct field *field, const void *member, bool *failed)
{
    json_t *object = describe_object(field->fields, member, failed), *address;
    if (*failed || json_object_size(object) != 1)
        return object;
    address = json_incref(json_object_get(object, "address"));
    json_decref(object);
    return address;
}

static json_t *describe_secret(const struct field *field, const void *member, bool *failed)
{
    const struct config_secret *secret = member;
    return secret->env || secret->file ? describe_object(field->fields, member, failed) : NULL;
}

json_t *describe_field(const struct field *field, const void *base, bool *failed)
{
    const void *member = field_at(field, base);
    switch (field->kind) {
    case FIELD_OBJECT:
        return describe_object(field->fields, member, failed);
    case FIELD_LISTENER:
        return describe_listener(field, member, failed);
    case FIELD_SECRET:
        return describe_secret(field, member, failed);
    case FIELD_LIST:
        return describe_list(field, base, failed);
    case FIELD_MAP:
        return describe_map(field, base, failed);
    case FIELD_NAMES:
        return describe_names(field, base, failed);
    case FIELD_BOOL:
        return make(json_boolean(*(const bool *)member), failed);
    case FIELD_COUNT:
    case FIELD_WORKERS:
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_RATE:
        return describe_number(field, member, failed);
    case FIELD_TEXT:
    case FIELD_URL:
    case FIELD_REDIS:
    case FIELD_ADDRESS:
        return describe_text(field, member, failed);
    case FIELD_CHOICE:
        return describe_choice(field, member, failed);
    }
    return NULL;
}

int config_describe(const struct config *config, struct buf *out)
{
    bool failed = false;
    json_t *object = describe_object(config_table, config, &failed);
    const int error = failed ? ERR_NOMEM : json_write(out, object);
    json_decref(object);
    return error;
}
