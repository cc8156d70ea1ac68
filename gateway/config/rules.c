/* Arrays of objects, objects of objects, arrays of names: copied into the arena, whole or not at all. */
#include "config/config_internal.h"

static void store_items(const struct field *field, void *base, const void *items, size_t count)
{
    memcpy((char *)base + field->offset, &items, sizeof items);
    memcpy((char *)base + field->count_offset, &count, sizeof count);
}

static bool is_count_right(struct parser *p, const struct field *field, size_t count)
{
    if (count >= field->min && (field->max == 0 || count <= field->max))
        return true;
    if (field->max)
        parser_report(p, "found %zu entries, expected %zu to %zu", count, (size_t)field->min,
                      (size_t)field->max);
    else
        parser_report(p, "found %zu entries, expected at least %zu", count, (size_t)field->min);
    return false;
}

static void parse_item(struct parser *p, const struct field *field, json_t *value, void *item)
{
    if (!json_is_object(value)) {
        parser_mismatch(p, value, true, "an object");
        return;
    }
    parse_defaults(p, field->fields, item);
    if (field->prepare)
        field->prepare(p->config, item);
    parse_object(p, field->fields, value, item);
    if (field->finish)
        field->finish(p, value, item);
}

void parse_list(struct parser *p, const struct field *field, json_t *value, void *base)
{
    if (!json_is_array(value)) {
        parser_refuse(p, field, value);
        return;
    }
    const size_t count = json_array_size(value);
    if (!is_count_right(p, field, count) || count == 0)
        return;
    char *items = arena_zalloc(&p->config->arena, count * field->size);
    if (!items) {
        p->failure = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t mark = parser_push_index(p, i);
        parse_item(p, field, json_array_get(value, i), items + i * field->size);
        parser_pop(p, mark);
    }
    store_items(field, base, items, count);
}

/* --- maps: upstreams, connectors --------------------------------------------------------------------------
 */

/* A name is a segment of the paths that clients call: nothing that could be read in two ways. */
static bool is_map_name(const struct field *field, struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && (i == 0 || c == '\0' || !strchr(field->alphabet, c)))
            return false;
    }
    return name.len > 0 && name.len <= 64;
}

static void check_map_name(struct parser *p, const struct field *field, struct slice name)
{
    static const char *const reserved[] = {"t", "link", "events"};
    if (!is_map_name(field, name))
        parser_report(
            p,
            "not a usable name, expected 1 to 64 letters, digits or one of %s, the first a letter or digit",
            field->alphabet);
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (field->segments && slice_equal(name, slice_from(reserved[i])))
            parser_report(p, "not a usable name, the gateway's own paths begin with /%s", reserved[i]);
}

static size_t count_entries(const struct parser *p, json_t *value)
{
    const char *key;
    json_t *member;
    size_t count = 0;
    json_object_foreach(value, key, member) count += !parse_is_comment(p, key);
    return count;
}

static void parse_entries(struct parser *p, const struct field *field, json_t *value, char *items)
{
    const char *key;
    size_t len;
    json_t *member;
    json_object_keylen_foreach(value, key, len, member)
    {
        if (parse_is_comment(p, key))
            continue;
        const struct slice name = arena_copy(&p->config->arena, slice_of(key, len));
        const size_t mark = parser_push(p, slice_of(key, len));
        if (!name.ptr)
            p->failure = ERR_NOMEM;
        check_map_name(p, field, slice_of(key, len));
        memcpy(items, &name, sizeof name);
        parse_item(p, field, member, items);
        parser_pop(p, mark);
        items += field->size;
    }
}

void parse_map(struct parser *p, const struct field *field, json_t *value, void *base)
{
    if (!json_is_object(value)) {
        parser_refuse(p, field, value);
        return;
    }
    const size_t count = count_entries(p, value);
    if (!is_count_right(p, field, count))
        return;
    char *items = arena_zalloc(&p->config->arena, count * field->size);
    if (!items) {
        p->failure = ERR_NOMEM;
        return;
    }
    parse_entries(p, field, value, items);
    store_items(field, base, items, count);
}

/* --- names ------------------------------------------------------------------------------------ */

static bool is_no_store(const struct field *field, json_t *value)
{
    return field->choices && json_is_string(value) &&
           slice_equal_nocase(slice_from(json_string_value(value)), SLICE("no-store"));
}

static bool stands_before(const struct slice *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal(names[i], names[count]))
            return true;
    return false;
}

static void parse_name(struct parser *p, const struct field *field, json_t *value, struct slice *names,
                       size_t at)
{
    const size_t mark = parser_push_index(p, at);
    if (is_no_store(field, value))
        parser_report(p, "\"no-store\" cannot be overridden: what upstream forbids to keep is never kept");
    else if (parse_text(p, field, value, &names[at]) && stands_before(names, at))
        parser_mismatch(p, value, field->hidden, "each entry once");
    parser_pop(p, mark);
}

void parse_names(struct parser *p, const struct field *field, json_t *value, void *base)
{
    if (!json_is_array(value)) {
        parser_refuse(p, field, value);
        return;
    }
    const size_t count = json_array_size(value);
    if (!is_count_right(p, field, count))
        return;
    struct slice *names = arena_zalloc(&p->config->arena, (count + 1) * sizeof *names);
    if (!names) {
        p->failure = ERR_NOMEM;
        return;
    }
    for (size_t i = 0; i < count; i++)
        parse_name(p, field, json_array_get(value, i), names, i);
    store_items(field, base, names, count);
}
