/* What only a restart can change: the rows of the table with `restart`. */
#include "config/config_internal.h"

static bool is_changed(const struct field *field, const void *then, const void *now)
{
    bool failed = false;
    json_t *a = describe_field(field, then, &failed), *b = describe_field(field, now, &failed);
    const bool same = a && b ? json_equal(a, b) : a == b;
    json_decref(a);
    json_decref(b);
    return failed || !same;
}

static void collect(const struct field *fields, const void *then, const void *now, struct buf *path,
                    struct buf *names)
{
    for (const struct field *field = fields; field->key; field++) {
        const size_t mark = path->len;
        buf_append_format(path, "%s%s", mark > 0 ? "." : "", field->key);
        if (field->kind == FIELD_OBJECT)
            collect(field->fields, field_at(field, then), field_at(field, now), path, names);
        else if (field->restart && is_changed(field, then, now))
            buf_append_format(names, "%s%.*s", names->len > 0 ? ", " : "", SLICE_ARG(buf_slice(path)));
        path->len = mark;
    }
}

bool config_reloadable(const struct config *then, const struct config *now, struct fault *fault)
{
    char path_storage[256], names_storage[400];
    struct buf path, names;
    buf_init_fixed(&path, path_storage, sizeof path_storage);
    buf_init_fixed(&names, names_storage, sizeof names_storage);
    collect(config_table, then, now, &path, &names);
    if (names.len == 0)
        return true;
    fault_set(fault, ERR_INVALID, "%.*s: changed, and only a restart can change that",
              SLICE_ARG(buf_slice(&names)));
    return false;
}
