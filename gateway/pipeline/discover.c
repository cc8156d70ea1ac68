/* A tenant that nobody has mapped is looked up at Rollout first: who does that was handed over in the hooks.
 */
#include "internal.h"

static void on_found(struct pipeline_wait *wait, bool found)
{
    struct visit *visit = wait->user;
    (void)found; /* the mapping itself is looked at again, and refuses as it would have */
    visit->discovering = false;
    visit_walk_on(visit);
}

bool discover_start(struct visit *visit)
{
    const struct pipeline_hooks *hooks = &visit->pipeline->hooks;
    if (!hooks->discover || visit->insider || visit->discovered)
        return false;
    visit->discovered = true;
    visit->discovery =
        (struct pipeline_wait){.loop = visit->pipeline->loop, .user = visit, .on_found = on_found};
    visit->discovering = hooks->discover(hooks->owner, visit->route.tenant, &visit->discovery);
    return visit->discovering;
}

void discover_clear(struct visit *visit)
{
    const struct pipeline_hooks *hooks = &visit->pipeline->hooks;
    if (visit->discovering)
        hooks->discover_cancel(hooks->owner, &visit->discovery);
    visit->discovering = false;
}

/* 404 of a single record is about the record. */
void discover_doubt(const struct flight *flight, int status)
{
    const struct pipeline_hooks *hooks = &flight->owner->hooks;
    bool about_credential = status == 401 || status == 403 || (status == 404 && flight->subject.id.len == 0);
    if (about_credential && hooks->doubt && flight->credential_id.len > 0 && !flight->own_authorization)
        hooks->doubt(hooks->owner, flight->tenant, flight->credential_id, status);
}
