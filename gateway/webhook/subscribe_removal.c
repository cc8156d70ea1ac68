/* Credentials that were removed from the mapping: their subscriptions go, too. */
#include <stdlib.h>

#include "webhook/subscribe_internal.h"

static uint64_t apis_of(const struct subscribe *s, const struct credential_removed *removed)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < s->plan->api_count && i < SUBSCRIBE_APIS; i++) {
        struct slice rest = removed->apis, one;
        bool more = rest.len > 0, named = !more && s->plan->apis[i].event_count > 0;
        while (more && !named) {
            more = slice_cut(rest, ',', &one, &rest);
            named = slice_equal(one, s->plan->apis[i].api);
        }
        if (named)
            bits |= (uint64_t)1 << i;
    }
    return bits;
}

static bool on_removed(const struct credential_removed *removed, void *arg)
{
    struct subscribe *s = arg;
    if (s->removal_count >= SUBSCRIBE_REMOVALS)
        return false;
    struct subscribe_job *job = subscribe_job(s, removed->tenant, removed->id, removed->key);
    if (!job)
        return false;
    if (job->place != PLACE_NONE) /* it is at it */
        return true;
    memcpy(job->token, removed->token.ptr, sizeof job->token);
    job->todo = apis_of(s, removed);
    subscribe_move_to(job, PLACE_READY);
    return true;
}

void subscribe_glance(struct subscribe *s)
{
    if (store_view_begin(s->view))
        return;
    /* What cannot be read now is read with the next glance. */
    if (credential_each_removed(s->view, on_removed, s))
        subscribe_count(&s->stats.failed);
    store_view_end(s->view);
}

/* --- forgetting ----------------------------------------------------------------------------------------- */

static void on_forgotten(struct store_change *change)
{
    free(container_of(change, struct credential_forget, change));
}

void subscribe_removed(struct subscribe_job *job)
{
    struct subscribe *s = job->owner;
    struct credential_forget *forget = malloc(sizeof *forget);
    if (!forget)
        return; /* done once more with the next glance */
    subscribe_count(&s->stats.removed);
    credential_change_forget(forget, slice_of(job->key, sizeof job->key));
    forget->change.on_done = on_forgotten;
    store_submit(s->store, &forget->change);
}
