/* /v1/webhooks…: what came, what is subscribed to, what it covers. */
#include "admin_internal.h"

/* --- coverage by credential ------------------------------------------------------------------------------
 */

struct listing {
    struct admin_request *r;
    const struct event_plan *plan; /* NULL: the gateway does not subscribe */
    json_t *credentials;
    bool failed;
};

static json_t *entities_of(const struct event_plan_api *plan, uint64_t mask)
{
    json_t *names = json_array();
    for (size_t i = 0; i < plan->entity_count; i++)
        if (mask >> i & 1)
            json_array_append_new(names, admin_json_text(plan->entities[i]));
    return names;
}

static json_t *api_of(const struct admin *admin, const struct credential *credential,
                      const struct event_plan_api *plan)
{
    uint64_t now = loop_now(admin->options.loop), used = 0;
    uint64_t all = plan->entity_count < 64 ? ((uint64_t)1 << plan->entity_count) - 1 : UINT64_MAX;
    struct cache_lease lease = {0, 0, 0, 0};
    cache_lease_show(admin->options.cache, cache_lease_key(credential->id, plan->api, plan->version), now,
                     &lease, &used);
    bool seen = lease.until_ms > now;
    return json_pack("{s:s, s:o, s:o, s:I}", "state",
                     !seen               ? "unknown"
                     : lease.mask == all ? "covered"
                     : lease.mask == 0   ? "uncovered"
                                         : "partial",
                     "covered", entities_of(plan, lease.mask), "uncovered",
                     entities_of(plan, all & ~lease.mask), "known_for_s",
                     (json_int_t)(seen ? (lease.until_ms - now) / 1000 : 0));
}

static json_t *credential_of(const struct listing *listing, const struct credential *credential)
{
    const struct event_plan *plan = listing->plan;
    json_t *apis = json_object();
    for (size_t i = 0; plan && i < plan->api_count; i++) {
        if (plan->apis[i].event_count == 0 || !credential_serves(credential, plan->apis[i].api))
            continue;
        json_object_setn_new(apis, plan->apis[i].api.ptr, plan->apis[i].api.len,
                             api_of(listing->r->admin, credential, &plan->apis[i]));
    }
    return json_pack("{s:o, s:o, s:o, s:s, s:o}", "tenant", admin_json_text(credential->tenant),
                     "credential_id", admin_json_text(credential->id), "app_key",
                     admin_json_text(credential->app_key), "status",
                     credential_status_text(credential->status), "apis", apis);
}

static void on_tenant(struct slice tenant, size_t count, void *arg)
{
    struct listing *listing = arg;
    struct credential_set set;
    (void)count;
    if (credential_lookup(listing->r->admin->view, tenant, &set)) {
        listing->failed = true;
        return;
    }
    for (size_t i = 0; i < set.count; i++)
        json_array_append_new(listing->credentials, credential_of(listing, &set.items[i]));
}

json_t *admin_json_subscriptions(const struct admin *admin)
{
    struct subscribe_stats s = {0};
    if (admin->options.subscribe)
        subscribe_stats(admin->options.subscribe, &s);
#define N(value) (json_int_t)(value)
    return json_pack("{s:b, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "managed",
                     admin->options.hooks.plan(admin->options.hooks.owner) != NULL, "covered", N(s.covered),
                     "partly", N(s.partly), "uncovered", N(s.uncovered), "walking", s.walking != 0, "walks",
                     N(s.walks), "looks", N(s.looks), "created", N(s.created), "pointed", N(s.pointed),
                     "deleted", N(s.deleted), "refused", N(s.refused), "not_ready", N(s.not_ready), "failed",
                     N(s.failed), "removed_credentials", N(s.removed));
#undef N
}

/* A page of credentials, or NULL: the mapping cannot be read. */
static json_t *page_of(struct admin_request *r, const struct credential_page *page)
{
    const struct admin *admin = r->admin;
    struct listing listing = {r, admin->options.hooks.plan(admin->options.hooks.owner), json_array(), false};
    struct slice next = {NULL, 0};
    int error = store_view_begin(admin->view);
    json_t *cursor = NULL;
    if (!error) {
        error = credential_list_tenants(admin->view, page, on_tenant, &listing, &next);
        cursor = next.len > 0 ? admin_json_text(next) : json_null();
        store_view_end(admin->view);
    }
    if (!error && !listing.failed)
        return json_pack("{s:o, s:o, s:o, s:o}", "received", admin_json_received(admin), "subscriptions",
                         admin_json_subscriptions(admin), "credentials", listing.credentials, "next", cursor);
    json_decref(cursor);
    json_decref(listing.credentials);
    return NULL;
}

void admin_webhooks(struct admin_request *r)
{
    struct credential_page page;
    if (!admin_read_page(r, &page))
        return;
    json_t *relay = admin_json_relay(r->admin);
    json_t *answer = relay ? page_of(r, &page) : NULL;
    if (answer)
        json_object_update(answer, relay);
    json_decref(relay);
    if (answer)
        admin_reply_json(r, 200, answer);
    else
        server_problem(r->x, PROBLEM_STORE_UNAVAILABLE, "", "", "the mapping or the outbox cannot be read");
}

/* --- a look, now ------------------------------------------------------------------------------------------
 */

static void on_sync(struct admin_request *r, json_t *body)
{
    const struct admin *admin = r->admin;
    struct slice tenant = json_text(body, "tenant");
    const json_t *given = json_object_get(body, "tenant");
    if (given && !credential_tenant_valid(tenant)) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "a tenant is 1-128 of A-Z a-z 0-9 . _ : @ -");
        return;
    }
    if (!admin->options.subscribe || !admin->options.hooks.plan(admin->options.hooks.owner)) {
        server_problem(r->x, PROBLEM_CONFLICT, "", "",
                       "webhooks.public_url is not configured: the gateway does not subscribe");
        return;
    }
    subscribe_sync(admin->options.subscribe, tenant);
    admin_reply_json(r, 202, json_pack("{s:b}", "started", 1));
}

void admin_sync_webhooks(struct admin_request *r)
{
    admin_take_body(r, true, on_sync);
}
