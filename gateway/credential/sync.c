/* The mapping follows Rollout's list. On the store's writer thread: read, compare in memory, write once. */
#include "credential/credential_internal.h"

#include "base/list.h"

/* --- what was learned
 * -------------------------------------------------------------------------------------------- */

static void drop_api(struct credential *credential, const struct credential_sync *sync)
{
    const struct slice *from = credential->api_count > 0 ? credential->apis : sync->apis;
    size_t count = credential->api_count > 0 ? credential->api_count : sync->api_count, kept = 0;
    struct slice left[CREDENTIAL_API_MAX];
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(from[i], sync->lesson.api))
            continue;
        if (kept == CREDENTIAL_API_MAX || from[i].len > CREDENTIAL_API_NAME_MAX)
            return;
        left[kept++] = from[i];
    }
    if (kept == 0) /* it would mean every one */
        return;
    memcpy(credential->apis, left, kept * sizeof *left);
    credential->api_count = kept;
    credential->updated_at = sync->now_ms;
}

static void add_api(struct credential *credential, const struct credential_sync *sync)
{
    struct slice api = sync->lesson.api;
    if (credential_serves(credential, api) || credential->api_count == CREDENTIAL_API_MAX ||
        api.len > CREDENTIAL_API_NAME_MAX)
        return;
    credential->apis[credential->api_count++] = api;
    credential->updated_at = sync->now_ms;
}

static void learn(struct credential *credential, const struct credential_sync *sync)
{
    const struct credential_lesson *lesson = &sync->lesson;
    if (lesson->api.len == 0)
        return;
    if (lesson->id.len == 0)
        add_api(credential, sync);
    else if (slice_equal(lesson->id, credential->id))
        drop_api(credential, sync);
}

/* --- one by one
 * -------------------------------------------------------------------------------------------------- */

static bool same_apis(const struct credential *a, const struct credential_listed *b)
{
    for (size_t i = 0; i < a->api_count && i < b->api_count; i++)
        if (!slice_equal(a->apis[i], b->apis[i]))
            return false;
    return a->api_count == b->api_count;
}

static void follow_text(struct slice *now, struct slice listed, bool *changed)
{
    if (listed.len == 0 || slice_equal(*now, listed))
        return;
    *now = listed;
    *changed = true;
}

/* What was found follows what Rollout and the connectors say now; where Rollout is silent, what is there
 * stays. */
static void follow(struct credential *credential, const struct credential_listed *listed,
                   const struct credential_sync *sync)
{
    bool changed = listed->known && !same_apis(credential, listed);
    if (changed) {
        memcpy(credential->apis, listed->apis, sizeof listed->apis);
        credential->api_count = listed->api_count;
    }
    follow_text(&credential->app_key, listed->app_key, &changed);
    follow_text(&credential->label, listed->label, &changed);
    if (changed)
        credential->updated_at = sync->now_ms;
    if (!listed->known)
        learn(credential, sync);
}

static void confirm(struct credential *credential, const struct credential_listed *listed,
                    struct credential_sync *sync)
{
    if (credential->status == CREDENTIAL_GONE) {
        credential->status = CREDENTIAL_ACTIVE;
        credential->updated_at = sync->now_ms;
        sync->returned++;
    }
    if (credential->found)
        follow(credential, listed, sync);
}

static struct credential *add(struct credential_set *set, const struct credential_listed *listed,
                              struct credential_sync *sync)
{
    char *token = sync->tokens[sync->added++];
    struct credential *credential = &set->items[set->count++];
    record_make_token(token);
    *credential = (struct credential){.tenant = sync->tenant,
                                      .id = listed->id,
                                      .app_key = listed->app_key,
                                      .label = listed->label,
                                      .api_count = listed->api_count,
                                      .found = true,
                                      .created_at = sync->now_ms,
                                      .updated_at = sync->now_ms,
                                      .webhook_token = slice_of(token, CREDENTIAL_TOKEN_LEN)};
    memcpy(credential->apis, listed->apis, sizeof listed->apis);
    return credential;
}

/* NULL, and counted, when it cannot be the tenant's. */
static int take(struct store_txn *txn, struct credential_set *set, const struct credential_listed *listed,
                struct credential_sync *sync, struct credential **out)
{
    *out = set_find(set, listed->id);
    if (*out) {
        confirm(*out, listed, sync);
        return 0;
    }
    int rc = record_check_owner(txn, sync->tenant, listed->id);
    if (rc == ERR_EXISTS)
        sync->foreign++;
    else if (!rc && set->count == CREDENTIAL_MAX)
        sync->surplus++;
    else if (!rc)
        *out = add(set, listed, sync);
    return rc == ERR_EXISTS ? 0 : rc;
}

static void miss(struct credential *credential, struct credential_sync *sync)
{
    bool judged = sync->whole || credential->found;
    if (credential->status == CREDENTIAL_GONE || !judged || credential->updated_at >= sync->started_ms)
        return;
    credential->status = CREDENTIAL_GONE;
    credential->updated_at = sync->now_ms;
    char *text = sync->gone_text[sync->gone];
    memcpy(text, credential->id.ptr, credential->id.len);
    sync->gone_ids[sync->gone++] = slice_of(text, credential->id.len);
}

/* --- the whole
 * --------------------------------------------------------------------------------------------------- */

static int compare(struct store_txn *txn, struct credential_set *set, struct credential_sync *sync)
{
    bool listed[CREDENTIAL_MAX] = {false};
    for (size_t i = 0; i < sync->listed_count; i++) {
        struct credential *credential;
        int rc = take(txn, set, &sync->listed[i], sync, &credential);
        if (rc)
            return rc;
        if (credential)
            listed[credential - set->items] = true;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (!listed[i])
            miss(&set->items[i], sync);
        if (listed[i] || sync->whole)
            set->items[i].checked_at = sync->now_ms;
    }
    return 0;
}

static int apply_sync(struct store_change *change, struct store_txn *txn)
{
    struct credential_sync *sync = container_of(change, struct credential_sync, change);
    struct credential_set set;
    sync->added = sync->returned = sync->gone = sync->foreign = sync->surplus = 0;
    int rc = record_load(txn, sync->tenant, &set);
    if (rc || (rc = compare(txn, &set, sync)) || set.count == 0 ||
        (rc = record_save(txn, sync->tenant, &set)))
        return rc;
    for (size_t i = set.count - sync->added; i < set.count && !rc; i++)
        rc = record_save_names(txn, &set.items[i]);
    return rc;
}

void credential_sync_prepare(struct credential_sync *sync)
{
    sync->change.apply = apply_sync;
}
