/* `token`: mints a token for Rollout, for people who try a call by hand. */
#include "token/token.h"
#include "base/clock.h"
#include "base/digest.h"
#include "cli/cli_internal.h"

static int print_token(const struct cli_call *call, struct slice token, int64_t now_s)
{
    const struct cli_context *context = &call->context;
    if (!call->values[OPTION_JSON]) {
        printf("%.*s\n", SLICE_ARG(token));
        return CLI_OK;
    }
    struct slice iss = buf_slice(&context->client_id);
    return cli_print_json(call,
                          json_pack("{s:s%, s:{s:s%, s:s, s:I, s:I}}", "token", token.ptr, token.len,
                                    "claims", "iss", iss.ptr, iss.len, "sub", call->args[0], "iat",
                                    (json_int_t)now_s, "exp", (json_int_t)(now_s + context->token_ttl_s)));
}

int cli_token(struct cli_call *call)
{
    char storage[TOKEN_MAX];
    struct buf token;
    struct slice tenant = slice_from(call->args[0]);
    if (!credential_tenant_valid(tenant))
        return cli_usage(call->command, "a tenant is 1 to %d of A-Z a-z 0-9 . _ : @ -",
                         CREDENTIAL_TENANT_MAX);
    int status = cli_call_load(call, true);
    if (status != CLI_OK)
        return status;
    buf_init_fixed(&token, storage, sizeof storage);
    int64_t now_s = clock_wall_ms() / 1000;
    int error = token_mint(buf_slice(&call->context.client_id), buf_slice(&call->context.client_secret),
                           tenant, now_s, call->context.token_ttl_s, &token);
    status = error ? cli_fail(call->command, "no token: %s", error_text(error))
                   : print_token(call, buf_slice(&token), now_s);
    digest_wipe(storage, sizeof storage);
    return status;
}
