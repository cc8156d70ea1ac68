/* Who calls: a strict look at the token, then at the credential (rollout-facts 2 and 4.4). */
#include "base/clock.h"
#include "sandbox/sandbox_internal.h"

static const char *verdict_text(enum token_verdict verdict)
{
    switch (verdict) {
    case TOKEN_GOOD:
        break;
    case TOKEN_MALFORMED:
        return "Invalid token: malformed.";
    case TOKEN_SIGNATURE:
        return "Invalid token: signature.";
    case TOKEN_ISSUER:
        return "Invalid token: issuer.";
    case TOKEN_EXPIRED:
        return "Invalid token: expired.";
    case TOKEN_NOT_YET:
        return "Invalid token: issued in the future.";
    }
    return "Invalid token.";
}

static bool refuse(struct sandbox_call *call, int status, const char *message)
{
    sandbox_answer_error(call, status, message);
    return false;
}

static bool check_token(struct sandbox_call *call)
{
    const struct http_fields *fields = &call->x->request.fields;
    struct slice value = http_value(fields, FIELD_AUTHORIZATION), scheme, token;
    if (http_count(fields, FIELD_AUTHORIZATION) != 1 || !slice_cut(value, ' ', &scheme, &token) ||
        !slice_equal_nocase(scheme, SLICE("bearer")))
        return refuse(call, 401, "Missing token.");
    enum token_verdict verdict =
        token_verify(slice_trim(token), buf_slice(&call->sandbox->client_id),
                     buf_slice(&call->sandbox->client_secret), clock_wall_ms() / 1000, &call->claims);
    return verdict == TOKEN_GOOD || refuse(call, 401, verdict_text(verdict));
}

static bool check_credential(struct sandbox_call *call)
{
    const struct http_fields *fields = &call->x->request.fields;
    struct slice id = http_value(fields, FIELD_X_ROLLOUT_CREDENTIAL_ID);
    struct sandbox_credential *credential = sandbox_credential_find(call->sandbox, id);
    if (http_count(fields, FIELD_X_ROLLOUT_CREDENTIAL_ID) != 1 || id.len == 0)
        return refuse(call, 403, "Missing X-Rollout-Credential-Id.");
    if (!credential || strcmp(credential->tenant, call->claims.sub) != 0)
        return refuse(call, 403, "Invalid credential.");
    if (!(credential->apis & 1U << call->api))
        return refuse(call, 403, "The credential is not one for this API.");
    call->credential = credential;
    return true;
}

bool sandbox_auth(struct sandbox_call *call)
{
    return check_token(call) && (call->api == SANDBOX_CORE || check_credential(call));
}
