/* `credentials discover`: the running gateway asks Rollout. */
#include "cli/cli_internal.h"
#include "http/url.h"

static int count_of(const json_t *answer, const char *key)
{
    return (int)json_integer_value(json_object_get(answer, key));
}

static void print_credential(const json_t *credential)
{
    const char *const columns[] = {"credential_id", "app_key", "status"};
    const json_t *apis = json_object_get(credential, "apis"), *api;
    size_t i;
    for (i = 0; i < sizeof columns / sizeof *columns; i++) {
        cli_print_text(stdout, json_text(credential, columns[i]));
        fputs("  ", stdout);
    }
    if (json_array_size(apis) == 0)
        fputs("(every API)", stdout);
    json_array_foreach(apis, i, api)
    {
        fputs(i > 0 ? "," : "", stdout);
        cli_print_text(stdout, slice_of(json_string_value(api), json_string_length(api)));
    }
    putchar('\n');
}

static void print_answer(const json_t *answer)
{
    size_t i;
    const json_t *credential;
    json_array_foreach(json_object_get(answer, "credentials"), i, credential) print_credential(credential);
    printf("%d added, %d returned, %d gone\n", count_of(answer, "added"), count_of(answer, "returned"),
           count_of(answer, "gone"));
    if (count_of(answer, "mapped_for_another_tenant") > 0)
        printf("%d passed over: mapped for another tenant\n", count_of(answer, "mapped_for_another_tenant"));
    if (count_of(answer, "over_the_maximum") > 0)
        printf("%d passed over: a tenant has at most %d\n", count_of(answer, "over_the_maximum"),
               CREDENTIAL_MAX);
}

int cli_credentials_discover(struct cli_call *call)
{
    char storage[3 * CREDENTIAL_TENANT_MAX + 64];
    struct buf path;
    json_t *answer;
    if (!credential_tenant_valid(slice_from(call->args[0])))
        return cli_usage(call->command, "a tenant is 1 to %d of A-Z a-z 0-9 . _ : @ -",
                         CREDENTIAL_TENANT_MAX);
    buf_init_fixed(&path, storage, sizeof storage);
    buf_append_text(&path, "/v1/tenants/");
    url_encode(&path, slice_from(call->args[0]));
    buf_append(&path, "/discover", sizeof "/discover");
    int status = cli_ask(call, "POST", storage, NULL, &answer);
    if (status != CLI_OK)
        return status;
    if (call->values[OPTION_JSON])
        return cli_print_json(call, answer);
    print_answer(answer);
    json_decref(answer);
    return CLI_OK;
}
