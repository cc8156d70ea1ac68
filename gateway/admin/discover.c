/* POST /v1/tenants/{tenant}/discover: what Rollout lists for the tenant, now, and what that has changed here.
 */
#include <stdlib.h>

#include "admin_internal.h"

/* In the heap: it may outlive the request. */
struct admin_search {
    struct link_search search;
    struct admin_request *r; /* NULL once the client has left */
};

void admin_search_orphan(struct admin_search *search)
{
    search->r = NULL;
}

static void answer(struct admin_request *r, const struct link_search *found)
{
    struct slice tenant = r->segments[2];
    if (found->problem != PROBLEM_COUNT) {
        server_problem(r->x, found->problem, "", "", "%s; nothing was changed", found->why);
        return;
    }
    json_t *credentials = admin_credentials_json(r, tenant);
    if (credentials)
        admin_reply_json(r, 200,
                         json_pack("{s:o, s:i, s:i, s:i, s:i, s:i, s:o}", "tenant", admin_json_text(tenant),
                                   "added", (int)found->added, "returned", (int)found->returned, "gone",
                                   (int)found->gone, "mapped_for_another_tenant", (int)found->foreign,
                                   "over_the_maximum", (int)found->surplus, "credentials", credentials));
}

static void on_done(struct link_search *found)
{
    struct admin_search *search = container_of(found, struct admin_search, search);
    if (search->r) {
        search->r->search = NULL;
        answer(search->r, found);
    }
    free(search);
}

void admin_discover(struct admin_request *r)
{
    struct slice tenant = r->segments[2];
    if (!credential_tenant_valid(tenant)) {
        server_problem(r->x, PROBLEM_BAD_REQUEST, "", "", "a tenant is 1-128 of A-Z a-z 0-9 . _ : @ -");
        return;
    }
    struct admin_search *search = calloc(1, sizeof *search);
    if (search) {
        search->search.on_done = on_done;
        search->r = r;
        r->search = search;
        if (link_search(r->admin->options.link, tenant, &search->search) == 0)
            return;
    }
    free(search);
    r->search = NULL;
    server_problem(r->x, PROBLEM_OVERLOADED, "Retry-After: 1\r\n", "", "out of memory, or going down");
}
