/* `explain`: what the running gateway would do with a request, without doing it. */
#include "cli/cli_internal.h"

int cli_explain(struct cli_call *call)
{
    json_t *answer;
    if (!credential_tenant_valid(slice_from(call->args[0])))
        return cli_usage(call->command, "a tenant is 1 to %d of A-Z a-z 0-9 . _ : @ -",
                         CREDENTIAL_TENANT_MAX);
    if (call->args[2][0] != '/')
        return cli_usage(call->command, "the path begins with a slash: /crm/people?limit=1");
    json_t *body =
        json_pack("{s:s, s:s, s:s}", "tenant", call->args[0], "method", call->args[1], "path", call->args[2]);
    const char *caller = call->values[OPTION_CALLER];
    if (!body || (caller && json_object_set_new(body, "caller", json_string(caller)))) {
        json_decref(body);
        return cli_usage(call->command, "the arguments have to be valid UTF-8");
    }
    int status = cli_ask(call, "POST", "/v1/explain", body, &answer);
    if (status != CLI_OK)
        return status;
    if (call->values[OPTION_JSON])
        return cli_print_json(call, answer);
    cli_print_tree(answer, 0);
    json_decref(answer);
    return CLI_OK;
}
