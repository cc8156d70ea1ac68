/*
 * `credentials import`: JSON lines as `export` writes them, any number. Read as a stream and stored a
 * thousand at a time. Each line stands for itself: a bad one is told with its number and changes nothing, the
 * others are stored.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/cli_internal.h"

enum { BATCH = 1000, LINE_LEN_MAX = 16384 };

/* A line on its way into the store, or what is wrong with it: told in the order of the lines. */
struct entry {
    uint64_t line;
    struct fault fault; /* empty: the change is good */
    struct credential_change change;
};

struct import {
    struct cli_call *call;
    FILE *file;
    struct cli_mapping mapping; /* not open when only checking */
    bool dry_run;
    struct entry *entries; /* BATCH of them */
    size_t count;
    uint64_t line; /* the latest that was read */
    uint64_t stored, created, bad;
    bool hopeless; /* the store takes no more */
    bool too_long; /* the line */
    char text[LINE_LEN_MAX];
    size_t len;
};

/* --- one line ------------------------------------------------------------------------------------------ */

struct row {
    struct slice tenant, id;
    struct credential_patch patch;
};

static int expect(struct fault *fault, const char *key, const char *what)
{
    return fault_set(fault, ERR_INVALID, "%s: expected %s", key, what);
}

static int take_apis(json_t *value, struct credential_patch *patch, struct fault *fault)
{
    size_t i;
    json_t *item;
    if (!json_is_array(value))
        return expect(fault, "apis", "an array of API names");
    json_array_foreach(value, i, item)
    {
        if (!json_is_string(item))
            return expect(fault, "apis", "an array of API names");
        if (i < CREDENTIAL_API_MAX)
            patch->apis[i] = slice_of(json_string_value(item), json_string_length(item));
        patch->api_count++;
    }
    patch->has_apis = true;
    return 0;
}

static int take_member(struct row *row, const char *key, json_t *value, struct fault *fault)
{
    struct credential_patch *patch = &row->patch;
    const struct {
        const char *key;
        struct slice *to;
        bool *has;
    } texts[] = {{"tenant", &row->tenant, NULL},
                 {"credential_id", &row->id, NULL},
                 {"app_key", &patch->app_key, &patch->has_app_key},
                 {"label", &patch->label, &patch->has_label}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(key, texts[i].key) != 0)
            continue;
        if (!json_is_string(value))
            return expect(fault, key, "a string");
        *texts[i].to = slice_of(json_string_value(value), json_string_length(value));
        if (texts[i].has)
            *texts[i].has = true;
        return 0;
    }
    if (strcmp(key, "apis") == 0)
        return take_apis(value, patch, fault);
    if (strcmp(key, "default") != 0)
        return fault_set(fault, ERR_INVALID,
                         "'%.40s' is none of tenant, credential_id, app_key, apis, label, default", key);
    if (!json_is_boolean(value))
        return expect(fault, key, "true or false");
    patch->has_default = true;
    patch->is_default = json_is_true(value);
    return 0;
}

static int make_change(struct credential_change *change, json_t *value, struct fault *fault)
{
    struct row row = {0};
    const char *key;
    json_t *member;
    if (!json_is_object(value))
        return fault_set(fault, ERR_INVALID, "expected a JSON object");
    json_object_foreach(value, key, member)
    {
        int error = take_member(&row, key, member, fault);
        if (error)
            return error;
    }
    if (!json_object_get(value, "tenant") || !json_object_get(value, "credential_id"))
        return fault_set(fault, ERR_INVALID, "tenant and credential_id are needed");
    return credential_change_put(change, row.tenant, row.id, &row.patch, clock_wall_ms(), fault);
}

/* The text is one line, so the parser's own count of lines says nothing. */
static void drop_line_number(struct fault *fault)
{
    static const char first[] = "line 1, ";
    const size_t len = sizeof first - 1;
    if (strncmp(fault->text, first, len) == 0)
        memmove(fault->text, fault->text + len, strlen(fault->text + len) + 1);
}

static void take_line(struct import *import)
{
    struct entry *entry = &import->entries[import->count++];
    memset(entry, 0, sizeof *entry);
    entry->line = import->line;
    if (import->too_long) {
        fault_set(&entry->fault, ERR_LIMIT, "longer than %d bytes", LINE_LEN_MAX);
        return;
    }
    json_t *value = json_read(slice_of(import->text, import->len), LINE_LEN_MAX, &entry->fault);
    if (value)
        make_change(&entry->change, value, &entry->fault);
    else
        drop_line_number(&entry->fault);
    json_decref(value);
}

/* --- batches ------------------------------------------------------------------------------------------- */

static void store_good(struct import *import)
{
    struct store_change *changes[BATCH];
    size_t count = 0;
    for (size_t i = 0; i < import->count; i++)
        if (!import->entries[i].fault.text[0])
            changes[count++] = &import->entries[i].change.change;
    if (count > 0)
        store_apply_all(import->mapping.store, changes, count);
}

static void settle(struct import *import, struct entry *entry)
{
    int outcome = entry->change.change.outcome;
    if (outcome)
        fault_set(&entry->fault, outcome, "%s", cli_mapping_reason(outcome));
    if (outcome && outcome != ERR_EXISTS && outcome != ERR_LIMIT && outcome != ERR_CORRUPT)
        import->hopeless = true;
    if (entry->fault.text[0]) {
        import->bad++;
        cli_fail(import->call->command, "line %llu: %s", (unsigned long long)entry->line, entry->fault.text);
        return;
    }
    import->stored++;
    import->created += entry->change.created;
}

static void finish_batch(struct import *import)
{
    if (!import->dry_run)
        store_good(import);
    for (size_t i = 0; i < import->count; i++)
        settle(import, &import->entries[i]);
    import->count = 0;
}

/* False at the end. */
static bool read_line(struct import *import)
{
    int c;
    bool any = false;
    import->len = 0;
    import->too_long = false;
    while ((c = getc_unlocked(import->file)) != EOF) {
        any = true;
        if (c == '\n')
            break;
        if (import->len < LINE_LEN_MAX)
            import->text[import->len++] = (char)c;
        else
            import->too_long = true;
    }
    import->line += any;
    return any;
}

static bool is_blank(const struct import *import)
{
    for (size_t i = 0; i < import->len; i++)
        if (import->too_long || !memchr(" \t\r", import->text[i], 3))
            return false;
    return true;
}

static void read_all(struct import *import)
{
    while (!import->hopeless && read_line(import)) {
        if (!is_blank(import))
            take_line(import);
        if (import->count == BATCH)
            finish_batch(import);
    }
    if (import->count > 0)
        finish_batch(import);
}

/* --- the whole ----------------------------------------------------------------------------------------- */

static int report(const struct import *import)
{
    const struct cli_call *call = import->call;
    int status = import->bad > 0 ? CLI_FAILED : CLI_OK;
    if (ferror(import->file))
        status = cli_fail(call->command, "the input could not be read to its end (line %llu)",
                          (unsigned long long)import->line);
    if (import->hopeless)
        cli_fail(call->command, "stopped after line %llu", (unsigned long long)import->line);
    if (!call->values[OPTION_JSON]) {
        printf("%s %llu", import->dry_run ? "checked" : "stored", (unsigned long long)import->stored);
        if (!import->dry_run)
            printf(" (%llu new)", (unsigned long long)import->created);
        printf(", %llu bad\n", (unsigned long long)import->bad);
        return status;
    }
    int told = cli_print_json(call, json_pack("{s:I, s:I, s:I, s:b}", "stored",
                                              (json_int_t)(import->dry_run ? 0 : import->stored), "created",
                                              (json_int_t)import->created, "bad", (json_int_t)import->bad,
                                              "dry_run", (int)import->dry_run));
    return status == CLI_OK ? told : status;
}

static int run(struct import *import)
{
    import->dry_run = import->call->values[OPTION_DRY_RUN] != NULL;
    import->entries = calloc(BATCH, sizeof *import->entries);
    if (!import->entries)
        return cli_fail(import->call->command, "out of memory");
    if (!import->dry_run) {
        int status = cli_mapping_open(&import->mapping, import->call, false);
        if (status != CLI_OK)
            return status;
    }
    read_all(import);
    if (!import->dry_run)
        cli_mapping_close(&import->mapping);
    return report(import);
}

int cli_credentials_import(struct cli_call *call)
{
    bool from_stdin = call->arg_count == 0 || strcmp(call->args[0], "-") == 0;
    struct import *import = calloc(1, sizeof *import);
    if (!import)
        return cli_fail(call->command, "out of memory");
    import->call = call;
    import->file = from_stdin ? stdin : fopen(call->args[0], "re");
    int status =
        import->file ? run(import) : cli_fail(call->command, "%.200s: %s", call->args[0], strerror(errno));
    if (import->file && !from_stdin)
        fclose(import->file);
    free(import->entries);
    free(import);
    return status;
}
