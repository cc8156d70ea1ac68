/* `purge`: makes cached answers of the running gateway stale. */
#include "cli/cli_internal.h"

static const struct {
    enum cli_option option;
    const char *member;
} members[] = {{OPTION_TENANT, "tenant"},
               {OPTION_CREDENTIAL, "credential_id"},
               {OPTION_API, "api"},
               {OPTION_ENTITY, "entity"}};

enum { MEMBER_COUNT = sizeof members / sizeof *members };

/* A slip must not empty the whole cache in front of Rollout, so "everything" has to be said. */
static int check(const struct cli_call *call)
{
    const char *const *values = call->values;
    bool any = values[OPTION_IDS] != NULL;
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        const char *value = values[members[i].option];
        any = any || value;
        if (value && !*value)
            return cli_usage(call->command, "an empty %s", members[i].member);
    }
    if (any == (values[OPTION_ALL] != NULL))
        return cli_usage(call->command,
                         any ? "--all stands alone" : "what? --tenant, --credential, --api, ..., or --all");
    if (values[OPTION_IDS] && !values[OPTION_ENTITY])
        return cli_usage(call->command, "--ids needs --entity");
    if (values[OPTION_IDS] && !values[OPTION_TENANT] && !values[OPTION_CREDENTIAL])
        return cli_usage(call->command, "--ids needs --tenant or --credential");
    return CLI_OK;
}

/* NULL: an empty id, or no UTF-8. */
static json_t *ids_of(const char *text)
{
    json_t *ids = json_array();
    struct slice rest = slice_from(text), one;
    for (bool more = true; more;) {
        more = slice_cut(rest, ',', &one, &rest);
        if (one.len == 0 || json_array_append_new(ids, json_stringn(one.ptr, one.len))) {
            json_decref(ids);
            return NULL;
        }
    }
    return ids;
}

static json_t *body_of(const struct cli_call *call)
{
    json_t *body = json_object();
    int failed = 0;
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        const char *value = call->values[members[i].option];
        if (value)
            failed |= json_object_set_new(body, members[i].member, json_string(value));
    }
    if (call->values[OPTION_IDS])
        failed |= json_object_set_new(body, "ids", ids_of(call->values[OPTION_IDS]));
    if (!failed)
        return body;
    json_decref(body);
    return NULL;
}

int cli_purge(struct cli_call *call)
{
    json_t *answer;
    int status = check(call);
    if (status != CLI_OK)
        return status;
    json_t *body = body_of(call);
    if (!body)
        return cli_usage(call->command, "the values have to be valid UTF-8, and --ids a list like 1,2");
    status = cli_ask(call, "POST", "/v1/purge", body, &answer);
    if (status != CLI_OK)
        return status;
    if (call->values[OPTION_JSON])
        return cli_print_json(call, answer);
    json_int_t raised = json_integer_value(json_object_get(answer, "generations"));
    printf("purged: %" JSON_INTEGER_FORMAT " generation%s raised\n", raised, raised == 1 ? "" : "s");
    json_decref(answer);
    return CLI_OK;
}
