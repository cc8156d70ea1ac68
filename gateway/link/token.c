/* POST /link/token: what Rollout Link in the tenant's front end calls Rollout with. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/digest.h"
#include "http/json.h"
#include "internal.h"

/* RFC 3339 of the token's `exp`; false when it has none. */
static bool write_expiry(struct slice token, struct buf *out)
{
    char storage[TOKEN_MAX], text[40];
    struct buf claims;
    struct fault unwanted;
    struct slice header, payload, rest;
    buf_init_fixed(&claims, storage, sizeof storage);
    slice_cut(token, '.', &header, &rest);
    slice_cut(rest, '.', &payload, &rest);
    json_t *value = digest_unbase64url(&claims, payload) == 0
                        ? json_read(buf_slice(&claims), sizeof storage, &unwanted)
                        : NULL;
    time_t exp = (time_t)json_integer_value(json_object_get(value, "exp"));
    struct tm parts;
    bool good =
        exp > 0 && gmtime_r(&exp, &parts) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    json_decref(value);
    if (good)
        buf_append_text(out, text);
    return good;
}

static int write_answer(const struct errand *errand, struct buf *out)
{
    char storage[TOKEN_MAX];
    struct buf token;
    const struct link *link = errand->link;
    buf_init_fixed(&token, storage, sizeof storage);
    /* A new one: it has its whole life before it. */
    int error =
        token_get(link->shared->tokens, errand->tenant, true, loop_now(link->loop), clock_wall_ms(), &token);
    if (!error) {
        buf_append_text(out, "{\"token\":\"");
        buf_append_slice(out, buf_slice(&token));
        buf_append_text(out, "\",\"expires_at\":\"");
        error = write_expiry(buf_slice(&token), out) ? 0 : ERR_INVALID;
        buf_append_text(out, "\"}\n");
    }
    digest_wipe(storage, sizeof storage);
    return error ? error : out->failed ? ERR_NOMEM : 0;
}

void serve_token(struct errand *errand)
{
    char storage[TOKEN_MAX + 128];
    struct buf out;
    buf_init_fixed(&out, storage, sizeof storage);
    int error = write_answer(errand, &out);
    if (error)
        errand_problem(errand, error == ERR_NOMEM ? PROBLEM_OVERLOADED : PROBLEM_INTERNAL, 0,
                       "a token could not be made");
    else
        errand_reply(errand, 200, buf_slice(&out));
    digest_wipe(storage, sizeof storage);
}
