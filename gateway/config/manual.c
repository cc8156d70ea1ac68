/* The reference for people, in Markdown, from the table. */
#include "config/config_internal.h"

static const char intro[] =
    "# Configuration\n"
    "\n"
    "One JSON file. It names what differs from the defaults below; every key has one. `rollout-gateway check "
    "-c FILE` lists all "
    "that is wrong with a file, `kill -HUP` loads a changed one (a bad file keeps the old one in force). "
    "This page and "
    "`gateway.schema.json` are made from the same table as the parser:\n"
    "\n"
    "```\n"
    "rollout-gateway check --schema > conf/gateway.schema.json\n"
    "rollout-gateway check --manual > conf/README.md\n"
    "```\n"
    "\n"
    "- [`sidecar.json`](sidecar.json): beside one service, on loopback. [`central.json`](central.json): one "
    "gateway for many services.\n"
    "- Durations are a whole number and `ms`, `s`, `m`, `h` or `d`; sizes a whole number and `B`, `KiB`, "
    "`MiB`, `GiB` or `TiB`; rates a whole "
    "number and `/s`, `/m` or `/h`, or `none`.\n"
    "- `${NAME}` inside a text is taken from the environment; a variable that is not set is an error; `$${` "
    "stands for the two "
    "characters `${`. A number, `true` or `false` may come from the environment, too: `\"workers\": "
    "\"${WORKERS}\"`.\n"
    "- A secret is `{ \"env\": NAME }` or `{ \"file\": PATH }`, never text. Names of variables in `env` are "
    "not expanded.\n"
    "- JSON has no comments: the key `$comment` is allowed in every object and ignored, and so is `$schema` "
    "at the root.\n"
    "- Unknown keys, keys that stand twice, wrong types and impossible values are errors, all told at once "
    "with their path:\n"
    "\n"
    "```\n"
    "cache.default.tll: unknown key; did you mean \"ttl\"?\n"
    "cache.rules[0].api: found \"crn\", expected a name under \"upstreams\"; did you mean \"crm\"?\n"
    "```\n";

/* A cell may not end the row. */
static void append_cell(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            buf_append_char(out, '\\');
        buf_append_char(out, *text);
    }
}

static const char *type_name(enum field_kind kind)
{
    switch (kind) {
    case FIELD_OBJECT:
    case FIELD_MAP:
        return "object";
    case FIELD_LISTENER:
        return "address";
    case FIELD_SECRET:
        return "secret";
    case FIELD_LIST:
        return "array";
    case FIELD_NAMES:
        return "array of texts";
    case FIELD_BOOL:
        return "boolean";
    case FIELD_COUNT:
    case FIELD_WORKERS:
        return "number";
    case FIELD_DURATION:
        return "duration";
    case FIELD_SIZE:
        return "size";
    case FIELD_RATE:
        return "rate";
    case FIELD_TEXT:
        return "text";
    case FIELD_URL:
    case FIELD_REDIS:
        return "URL";
    case FIELD_ADDRESS:
        return "address";
    case FIELD_CHOICE:
        return "choice";
    }
    return "";
}

static void append_bounds(const struct field *field, struct buf *out)
{
    const bool number = field->kind == FIELD_COUNT || field->kind == FIELD_WORKERS;
    const struct unit *units = field->kind == FIELD_SIZE ? units_size : units_duration;
    if (number)
        buf_append_format(out, ", %zu to %zu", (size_t)field->min, (size_t)field->max);
    if (field->kind == FIELD_DURATION || field->kind == FIELD_SIZE) {
        buf_append_text(out, ", ");
        units_write(units, field->min, out);
        buf_append_text(out, " to ");
        units_write(units, field->max, out);
    }
}

static void append_choices(const struct field *field, struct buf *out)
{
    buf_append_text(out, " One of ");
    for (size_t i = 0; field->choices[i]; i++)
        buf_append_format(out, "%s`%s`", i ? ", " : "", field->choices[i]);
    buf_append_char(out, '.');
}

static json_t *standard_of(const struct field *field, json_t *given)
{
    struct fault fault;
    json_t *own = given ? json_object_get(given, field->key) : NULL;
    if (own)
        return json_incref(own);
    return field->standard ? json_read(slice_from(field->standard), CONFIG_FILE_MAX, &fault) : NULL;
}

static void append_standard(const struct field *field, json_t *given, struct buf *out)
{
    json_t *standard = field->kind == FIELD_OBJECT ? NULL : standard_of(field, given);
    if (field->required)
        buf_append_text(out, "required");
    else if (field->kind == FIELD_MAP)
        buf_append_text(out, field->standard ? "see below" : "`{}`");
    else if (field->kind == FIELD_OBJECT)
        return;
    else if (field->kind == FIELD_LIST)
        buf_append_text(out, "`[]`");
    else if (json_is_string(standard))
        buf_append_format(out, "`%s`", json_string_value(standard));
    else if (standard && buf_append_char(out, '`') == 0 && json_write(out, standard) == 0)
        buf_append_char(out, '`');
    else
        append_cell(out, field->inherits ? field->inherits : "none");
    json_decref(standard);
}

/* `given`: the default of the object around it, or NULL. */
static void append_row(const struct field *field, const char *prefix, json_t *given, struct buf *out)
{
    buf_append_format(out, "| `%s%s` | %s", prefix, field->key, type_name(field->kind));
    append_bounds(field, out);
    buf_append_text(out, " | ");
    append_standard(field, given, out);
    buf_append_text(out, " | ");
    append_cell(out, field->sentence);
    if (field->choices)
        append_choices(field, out);
    if (field->restart)
        buf_append_text(out, " *Restart.*");
    buf_append_text(out, " |\n");
}

static void append_rows(const struct field *fields, const char *prefix, json_t *given, struct buf *out);

static void append_inside(const struct field *field, const char *prefix, struct buf *out)
{
    struct fault fault;
    char storage[256];
    struct buf inner;
    json_t *own = field->kind == FIELD_OBJECT && field->standard
                      ? json_read(slice_from(field->standard), CONFIG_FILE_MAX, &fault)
                      : NULL;
    const char *mark = field->kind == FIELD_LIST ? "[]" : field->kind == FIELD_MAP ? ".NAME" : "";
    buf_init_fixed(&inner, storage, sizeof storage - 1);
    buf_append_format(&inner, "%s%s%s.", prefix, field->key, mark);
    storage[inner.len] = '\0';
    append_rows(field->fields, storage, own, out);
    json_decref(own);
}

/* Listeners and secrets are explained once; the rest with all that is inside. */
static bool is_opened(const struct field *field)
{
    return field->kind == FIELD_OBJECT || field->kind == FIELD_LIST || field->kind == FIELD_MAP;
}

static void append_rows(const struct field *fields, const char *prefix, json_t *given, struct buf *out)
{
    for (const struct field *field = fields; field->key; field++) {
        append_row(field, prefix, given, out);
        if (is_opened(field))
            append_inside(field, prefix, out);
    }
}

static void append_head(struct buf *out)
{
    buf_append_text(out, "\n| Key | Type | Default | What it does |\n|---|---|---|---|\n");
}

static const struct field *find_kind(const struct field *fields, enum field_kind kind)
{
    for (; fields->key; fields++) {
        const struct field *found = fields->kind == FIELD_OBJECT ? find_kind(fields->fields, kind) : fields;
        if (found && found->kind == kind)
            return found;
    }
    return NULL;
}

static void append_upstreams(struct buf *out)
{
    struct fault fault;
    const char *name;
    json_t *upstream,
        *all = json_read(slice_from(find_kind(config_table, FIELD_MAP)->standard), CONFIG_FILE_MAX, &fault);
    buf_append_text(out, "\nThe default of `upstreams`:\n\n| Name | URL |\n|---|---|\n");
    json_object_foreach(all, name, upstream) buf_append_format(
        out, "| `%s` | `%s` |\n", name, json_string_value(json_object_get(upstream, "url")));
    json_decref(all);
}

int config_manual(struct buf *out)
{
    buf_append_text(out, intro);
    buf_append_text(out, "\n## Keys\n\n*Restart.* marks what a reload cannot change. `[]` stands for each "
                         "entry of an array, `NAME` for a name of your own.\n");
    append_head(out);
    append_rows(config_table, "", NULL, out);
    append_upstreams(out);
    buf_append_text(out, "\n## Listeners\n\nA listener is an address as text, or an object (the admin "
                         "listener has `address` alone):\n");
    append_head(out);
    append_rows(find_kind(config_table, FIELD_LISTENER)->fields, "", NULL, out);
    buf_append_text(out, "\n## Secrets\n\nExactly one of the two:\n");
    append_head(out);
    append_rows(find_kind(config_table, FIELD_SECRET)->fields, "", NULL, out);
    return out->failed ? ERR_LIMIT : 0;
}
