/* /v1/limits: the state of the buckets that limit what goes upstream. */
#include "admin_internal.h"

enum { SHOWN_MAX = 1000 };

static void add(const struct limit_state *state, void *arg)
{
    json_t *list = arg;
    if (json_array_size(list) >= SHOWN_MAX)
        return;
#define N(value) (json_int_t)(value)
    json_t *one = json_pack("{s:s, s:f, s:f, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:b}", "scope",
                            limit_scope_name(state->scope), "rate", state->rate, "configured_rate",
                            state->configured_rate, "burst", N(state->burst), "remaining",
                            N(state->remaining), "concurrency", N(state->concurrency), "in_flight",
                            N(state->in_flight), "waiting", N(state->waiting), "learned", state->learned,
                            "paused_ms", N(state->paused_ms), "shadow", state->shadow);
    if (one && state->key.len > 0)
        json_object_set_new(one, "key", json_stringn(state->key.ptr, state->key.len));
    json_array_append_new(list, one);
}

static json_t *by_scope(const uint64_t numbers[LIMIT_SCOPE_COUNT])
{
    json_t *object = json_object();
    for (int i = 0; i < LIMIT_SCOPE_COUNT; i++)
        json_object_set_new(object, limit_scope_name((enum limit_scope)i), json_integer(N(numbers[i])));
    return object;
}

/* With ?tenant=: that tenant's; else what is slowed or waited for. A rate of 0 is none. */
void admin_limits(struct admin_request *r)
{
    struct limit *limit = r->admin->options.limit;
    struct slice tenant = {NULL, 0};
    struct limit_stats s = {0};
    if (admin_query(r, "tenant", &tenant) && !credential_tenant_valid(tenant)) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "a tenant is 1-128 of A-Z a-z 0-9 . _ : @ -");
        return;
    }
    json_t *list = json_array();
    if (list)
        limit_each(limit, tenant, loop_now(r->admin->options.loop), add, list);
    limit_stats(limit, &s);
    admin_reply_json(r, 200,
                     json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:I, s:I, s:I}", "limits", list, "granted",
                               N(s.granted), "waited", N(s.waited), "waiting", N(s.waiting), "refused",
                               by_scope(s.refused), "shadow_refused", by_scope(s.shadow_refused),
                               "background_yielded", N(s.yielded), "slowed", N(s.cuts), "keys", N(s.keys)));
}
