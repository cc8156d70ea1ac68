/* A tenant that nobody has mapped is looked up at Rollout first: who does that was handed over in the hooks.
 */
#include "internal.h"

/* The mapping is looked at again, and refuses as it would have. */
static void on_found(struct rollout_wait *wait)
{
    struct visit *visit = wait->user;
    visit->discovering = false;
    visit_walk_on(visit);
}

bool discover_start(struct visit *visit)
{
    const struct rollout_finder *finder = &visit->pipeline->hooks.finder;
    if (!finder->discover || visit->insider || visit->discovered)
        return false;
    visit->discovered = true;
    visit->discovery = (struct rollout_wait){.user = visit, .on_found = on_found};
    visit->discovering =
        finder->discover(finder->owner, visit->route.tenant, visit->api->name, &visit->discovery);
    return visit->discovering;
}

const char *discover_outcome(const struct visit *visit)
{
    return visit->discovery.why ? visit->discovery.why : "the tenant has no credential that serves this API";
}

void discover_clear(struct visit *visit)
{
    const struct rollout_finder *finder = &visit->pipeline->hooks.finder;
    if (visit->discovering)
        finder->cancel(finder->owner, &visit->discovery);
    visit->discovering = false;
}

/* 404 of a single record is about the record. */
void discover_doubt(const struct flight *flight, int status)
{
    const struct rollout_finder *finder = &flight->owner->hooks.finder;
    bool about_credential = status == 401 || status == 403 || (status == 404 && flight->subject.id.len == 0);
    struct rollout_doubt doubt = {flight->tenant, flight->credential_id, flight->subject.api, status};
    if (about_credential && finder->doubt && flight->credential_id.len > 0 && !flight->own_authorization)
        finder->doubt(finder->owner, &doubt);
}
