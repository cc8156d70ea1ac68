/* The walk over the JSON tree, driven by the table: JSON -> struct config. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/config_internal.h"

enum { READ_SIZE = 16 * 1024 };

bool parse_is_comment(const struct parser *p, const char *key)
{
    return strcmp(key, "$comment") == 0 || (p->path.len == 0 && strcmp(key, "$schema") == 0);
}

/* Lists come last: what their items leave out is taken from what stands beside them. */
static bool is_late(const struct field *field)
{
    return field->kind == FIELD_LIST;
}

static void parse_members(struct parser *p, const struct field *fields, json_t *value, void *base, bool late)
{
    const char *key;
    size_t len;
    json_t *member;
    json_object_keylen_foreach(value, key, len, member)
    {
        const struct slice name = slice_of(key, len);
        const struct field *field = table_find(fields, name);
        if (!field && !late && !parse_is_comment(p, key))
            parser_unknown(p, fields, name);
        if (!field || is_late(field) != late)
            continue;
        const size_t mark = parser_push(p, name);
        parse_field(p, field, member, base);
        parser_pop(p, mark);
    }
}

void parse_object(struct parser *p, const struct field *fields, json_t *value, void *base)
{
    parse_members(p, fields, value, base, false);
    parse_members(p, fields, value, base, true);
    for (const struct field *field = fields; field->key; field++)
        if (field->required && !json_object_get(value, field->key))
            parser_missing(p, field);
}

static void parse_listener(struct parser *p, const struct field *field, json_t *value, void *base)
{
    struct config_listener *listener = base;
    if (json_is_string(value)) {
        *listener = (struct config_listener){.address = listener->address};
        parse_scalar(p, table_find(field->fields, SLICE("address")), value, base);
    } else {
        parse_object(p, field->fields, value, base);
    }
}

void parse_field(struct parser *p, const struct field *field, json_t *value, void *base)
{
    void *member = (char *)base + field->offset;
    switch (field->kind) {
    case FIELD_OBJECT:
        if (!json_is_object(value)) {
            parser_refuse(p, field, value);
            return;
        }
        parse_object(p, field->fields, value, member);
        if (field->finish)
            field->finish(p, value, member);
        return;
    case FIELD_LISTENER:
        if (json_is_object(value) || json_is_string(value))
            parse_listener(p, field, value, member);
        else
            parser_refuse(p, field, value);
        return;
    case FIELD_SECRET:
        parse_secret(p, field, value, member);
        return;
    case FIELD_LIST:
        parse_list(p, field, value, base);
        return;
    case FIELD_MAP:
        parse_map(p, field, value, base);
        return;
    case FIELD_NAMES:
        parse_names(p, field, value, base);
        return;
    case FIELD_BOOL:
    case FIELD_COUNT:
    case FIELD_WORKERS:
    case FIELD_DURATION:
    case FIELD_SIZE:
    case FIELD_RATE:
    case FIELD_TEXT:
    case FIELD_URL:
    case FIELD_REDIS:
    case FIELD_ADDRESS:
    case FIELD_CHOICE:
        parse_scalar(p, field, value, base);
        return;
    }
}

/* --- defaults --------------------------------------------------------------------------------- */

static void parse_standard(struct parser *p, const struct field *field, void *base)
{
    struct fault fault;
    json_t *value = json_read(slice_from(field->standard), CONFIG_FILE_MAX, &fault);
    if (value)
        parse_field(p, field, value, base);
    else
        p->failure = ERR_NOMEM;
    json_decref(value);
}

void parse_defaults(struct parser *p, const struct field *fields, void *base)
{
    for (const struct field *field = fields; field->key; field++) {
        if (field->kind == FIELD_OBJECT)
            parse_defaults(p, field->fields, (char *)base + field->offset);
        if (field->standard)
            parse_standard(p, field, base);
        else if (field->kind == FIELD_SIZE)
            memcpy((char *)base + field->offset, &(uint64_t){CONFIG_ABSENT}, sizeof(uint64_t));
    }
}

static int create(struct config **out, struct config_errors *errors, struct parser *p)
{
    struct config *config = calloc(1, sizeof *config);
    if (!config)
        return ERR_NOMEM;
    arena_init(&config->arena, NULL, 0, CONFIG_ARENA_MAX);
    parser_init(p, config, errors);
    parse_defaults(p, config_table, config);
    if (p->failure) {
        config_release(config);
        return p->failure;
    }
    *out = config;
    return 0;
}

int config_default(struct config **out)
{
    struct config_errors errors;
    struct parser parser;
    config_errors_init(&errors);
    const int error = create(out, &errors, &parser);
    config_errors_deinit(&errors);
    return error;
}

void config_release(struct config *config)
{
    if (!config)
        return;
    arena_reset(&config->arena);
    free(config);
}

/* --- text and file ---------------------------------------------------------------------------- */

static int finish_errors(struct parser *p)
{
    struct config_errors *errors = p->errors;
    if (p->failure)
        return p->failure;
    if (errors->count > errors->listed)
        buf_append_format(&errors->lines, "… and %u more\n", errors->count - errors->listed);
    return errors->count > 0 ? ERR_INVALID : 0;
}

static int parse_root(json_t *root, struct config **out, struct config_errors *errors)
{
    struct config *config = NULL;
    struct parser p;
    int error = create(&config, errors, &p);
    if (error)
        return error;
    if (json_is_object(root)) {
        parse_object(&p, config_table, root, config);
        check_config(&p);
    } else {
        parser_mismatch(&p, root, true, "an object");
    }
    error = finish_errors(&p);
    if (error)
        config_release(config);
    else
        *out = config;
    return error;
}

static void add_line(struct config_errors *errors, const char *line)
{
    errors->count++;
    if (buf_append_format(&errors->lines, "%s\n", line) == 0)
        errors->listed++;
}

int config_parse(struct slice text, struct config **out, struct config_errors *errors)
{
    struct fault fault;
    json_t *root = json_read(text, CONFIG_FILE_MAX, &fault);
    const bool strict = root != NULL;
    int error = ERR_SYNTAX;
    if (!strict) {
        add_line(errors, fault.text);
        /* Where a key stands twice the rest can be told nevertheless. */
        root = text.len > 0 && text.len <= CONFIG_FILE_MAX ? json_loadb(text.ptr, text.len, 0, NULL) : NULL;
    }
    if (root)
        error = parse_root(root, out, errors);
    if (!strict && error != ERR_NOMEM)
        error = ERR_SYNTAX;
    if (error == ERR_NOMEM)
        add_line(errors, error_text(ERR_NOMEM));
    json_decref(root);
    return error;
}

/* 0, ERR_LIMIT, ERR_NOMEM, or ERR_IO with errno set. */
static int read_all(int fd, struct buf *out)
{
    for (;;) {
        const int error = buf_reserve(out, READ_SIZE);
        if (error)
            return error;
        const ssize_t got = read(fd, out->ptr + out->len, READ_SIZE);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return ERR_IO;
        buf_grow(out, got > 0 ? (size_t)got : 0);
    }
}

static int read_file(const char *path, struct buf *out, struct fault *fault)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fault_set(fault, ERR_IO, "cannot open %s: %s", path, strerror(errno));
    const int error = read_all(fd, out);
    const int reason = errno;
    close(fd);
    if (error == ERR_IO)
        return fault_set(fault, ERR_IO, "cannot read %s: %s", path, strerror(reason));
    if (error == ERR_LIMIT)
        return fault_set(fault, ERR_IO, "%s is longer than %d bytes", path, CONFIG_FILE_MAX);
    return error ? fault_set(fault, error, "cannot read %s: %s", path, error_text(error)) : 0;
}

int config_load(const char *path, struct config **out, struct config_errors *errors)
{
    struct fault fault;
    struct buf text;
    buf_init(&text, CONFIG_FILE_MAX + READ_SIZE);
    int error = read_file(path, &text, &fault);
    if (error)
        add_line(errors, fault.text);
    else
        error = config_parse(buf_slice(&text), out, errors);
    buf_deinit(&text);
    return error;
}
