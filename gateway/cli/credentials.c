/* `credentials get`, `put` and `delete`: one credential. */
#include "base/clock.h"
#include "cli/cli_internal.h"

static int show(const struct cli_call *call, const struct credential *credential)
{
    if (call->values[OPTION_JSON])
        return cli_print_json(call, cli_mapping_json(credential));
    cli_mapping_print(credential);
    return CLI_OK;
}

int cli_credentials_get(struct cli_call *call)
{
    struct cli_mapping mapping;
    struct credential found;
    int status = cli_mapping_open(&mapping, call, true);
    if (status != CLI_OK)
        return status;
    int error = store_view_begin(mapping.view);
    if (!error) {
        error = credential_find(mapping.view, slice_from(call->args[0]), slice_from(call->args[1]), &found);
        status = error ? CLI_FAILED : show(call, &found);
        store_view_end(mapping.view);
    }
    cli_mapping_close(&mapping);
    return error ? cli_fail(call->command, "%s", cli_mapping_reason(error)) : status;
}

static void take_apis(struct credential_patch *patch, const char *text)
{
    struct slice rest = slice_from(text), one;
    patch->has_apis = true;
    for (bool more = rest.len > 0; more; patch->api_count++) {
        more = slice_cut(rest, ',', &one, &rest);
        if (patch->api_count < CREDENTIAL_API_MAX)
            patch->apis[patch->api_count] = slice_trim(one);
    }
}

static struct credential_patch patch_of(const struct cli_call *call)
{
    const char *const *values = call->values;
    struct credential_patch patch = {
        .has_app_key = values[OPTION_APP_KEY] != NULL,
        .app_key = slice_from(values[OPTION_APP_KEY]),
        .has_label = values[OPTION_LABEL] != NULL,
        .label = slice_from(values[OPTION_LABEL]),
        .has_default = values[OPTION_DEFAULT] || values[OPTION_NO_DEFAULT],
        .is_default = values[OPTION_DEFAULT] != NULL,
    };
    if (values[OPTION_APIS])
        take_apis(&patch, values[OPTION_APIS]);
    return patch;
}

int cli_credentials_put(struct cli_call *call)
{
    struct credential_change change = {0};
    struct fault fault = {""};
    struct credential_patch patch = patch_of(call);
    if (call->values[OPTION_DEFAULT] && call->values[OPTION_NO_DEFAULT])
        return cli_usage(call->command, "--default or --no-default, not both");
    if (credential_change_put(&change, slice_from(call->args[0]), slice_from(call->args[1]), &patch,
                              clock_wall_ms(), &fault))
        return cli_usage(call->command, "%s", fault.text);
    int status = cli_mapping_apply(call, &change.change, cli_mapping_reason);
    return status == CLI_OK ? show(call, &change.result) : status;
}

int cli_credentials_delete(struct cli_call *call)
{
    struct credential_change change = {0};
    if (credential_change_delete(&change, slice_from(call->args[0]), slice_from(call->args[1])))
        return cli_usage(call->command, "no tenant or credential can be called that");
    int status = cli_mapping_apply(call, &change.change, cli_mapping_reason);
    if (status != CLI_OK)
        return status;
    /* Should it come back, nothing from before may be served. */
    cli_ask_softly(call, "POST", "/v1/purge", json_pack("{s:s}", "credential_id", call->args[1]));
    if (call->values[OPTION_JSON])
        return cli_print_json(call, json_pack("{s:s, s:s, s:b}", "tenant", call->args[0], "credential_id",
                                              call->args[1], "deleted", 1));
    printf("deleted\n");
    return CLI_OK;
}
