/* The mapping's store, opened beside a gateway that may be running, and credentials as people and programs
 * read them. */
#include <time.h>

#include "caller/caller.h"
#include "cli/cli_internal.h"

int cli_mapping_open(struct cli_mapping *mapping, struct cli_call *call, bool read_only)
{
    /* Tables are found by name, so those of other rooms need not be known here. */
    static const char *const tables[] = {CREDENTIAL_TABLES, CALLER_TABLES, NULL};
    char path[4096];
    struct fault fault = {""};
    *mapping = (struct cli_mapping){0};
    int status = cli_call_load(call, false);
    if (status != CLI_OK)
        return status;
    if (snprintf(path, sizeof path, "%s/state", call->context.data_dir) >= (int)sizeof path)
        return cli_fail(call->command, "data_dir: the path is too long");
    struct store_options options = {.path = path, .tables = tables, .read_only = read_only};
    int error = store_open(&mapping->store, &options, &fault);
    if (error == ERR_NOTFOUND && read_only)
        return cli_fail(call->command, "nothing is stored yet in %s (data_dir of the configuration)", path);
    if (error)
        return cli_fail(call->command, "%s", fault.text);
    mapping->view = store_view_create(mapping->store);
    if (mapping->view)
        return CLI_OK;
    store_close(mapping->store);
    return cli_fail(call->command, "out of memory");
}

void cli_mapping_close(struct cli_mapping *mapping)
{
    store_view_destroy(mapping->view);
    store_close(mapping->store);
}

int cli_mapping_apply(struct cli_call *call, struct store_change *change, const char *(*reason)(int outcome))
{
    struct cli_mapping mapping;
    int status = cli_mapping_open(&mapping, call, false);
    if (status != CLI_OK)
        return status;
    int error = store_apply(mapping.store, change);
    cli_mapping_close(&mapping);
    return error ? cli_fail(call->command, "%s", reason(error)) : CLI_OK;
}

const char *cli_mapping_reason(int outcome)
{
    switch (outcome) {
    case ERR_NOTFOUND:
        return "the tenant has no such credential";
    case ERR_EXISTS:
        return "another tenant has this credential";
    case ERR_LIMIT:
        return "the tenant has as many credentials as one can have";
    case ERR_CORRUPT:
        return "the tenant's record is damaged ('credentials delete' of any of its ids removes the record)";
    case ERR_FULL:
        return "the store or the disk is full";
    default:
        return error_text(outcome);
    }
}

/* --- showing ------------------------------------------------------------------------------------------- */

enum { TIME_LEN = 40 };

/* RFC 3339, whole seconds. */
static const char *time_text(int64_t ms, char text[TIME_LEN])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm parts;
    if (!gmtime_r(&seconds, &parts) || strftime(text, TIME_LEN, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return "-";
    return text;
}

static json_t *text_of(struct slice s)
{
    return json_stringn(s.ptr ? s.ptr : "", s.len);
}

json_t *cli_mapping_json(const struct credential *c)
{
    char created[TIME_LEN], updated[TIME_LEN], checked[TIME_LEN], path[128];
    json_t *apis = json_array();
    for (size_t i = 0; i < c->api_count; i++)
        json_array_append_new(apis, text_of(c->apis[i]));
    snprintf(path, sizeof path, "/webhooks/rollout/%.*s", SLICE_ARG(c->webhook_token));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:s, s:s, s:s, s:b, s:s?, s:s}", "tenant",
                     text_of(c->tenant), "credential_id", text_of(c->id), "app_key", text_of(c->app_key),
                     "apis", apis, "label", text_of(c->label), "default", (int)c->is_default, "status",
                     credential_status_text(c->status), "created_at", time_text(c->created_at, created),
                     "updated_at", time_text(c->updated_at, updated), "discovered", (int)c->found,
                     "last_checked", c->checked_at > 0 ? time_text(c->checked_at, checked) : NULL,
                     "webhook_path", path);
}

static void print_field(const char *name, struct slice value)
{
    printf("%-14s ", name);
    cli_print_text(stdout, value.len > 0 ? value : SLICE("-"));
    putchar('\n');
}

void cli_mapping_print(const struct credential *c)
{
    char created[TIME_LEN], updated[TIME_LEN], checked[TIME_LEN];
    print_field("tenant", c->tenant);
    print_field("credential_id", c->id);
    print_field("app_key", c->app_key);
    printf("%-14s %s", "apis", c->api_count == 0 ? "(every API)" : "");
    for (size_t i = 0; i < c->api_count; i++)
        printf("%s%.*s", i > 0 ? "," : "", SLICE_ARG(c->apis[i]));
    putchar('\n');
    print_field("label", c->label);
    print_field("default", c->is_default ? SLICE("yes") : SLICE("no"));
    print_field("status", slice_from(credential_status_text(c->status)));
    print_field("discovered", c->found ? SLICE("yes") : SLICE("no"));
    print_field("created_at", slice_from(time_text(c->created_at, created)));
    print_field("updated_at", slice_from(time_text(c->updated_at, updated)));
    print_field("last_checked", slice_from(c->checked_at > 0 ? time_text(c->checked_at, checked) : "never"));
    printf("%-14s /webhooks/rollout/%.*s\n", "webhook_path", SLICE_ARG(c->webhook_token));
}
