/*
 * Changes, on the store's writer thread. Each reads the tenant's record, makes the new one in memory, and
 * only then writes: so a refusal never has anything to undo.
 */
#include "credential/credential_internal.h"

#include <assert.h>

#include "base/clock.h"
#include "base/list.h"

/* --- copies that the change keeps
 * --------------------------------------------------------------------------------- */

/* The storage is large enough for every field at its longest, so that this cannot fail for validated input.
 */
struct shelf {
    char *at, *end;
};

static struct slice keep(struct shelf *shelf, struct slice text)
{
    assert(text.len <= (size_t)(shelf->end - shelf->at));
    if (text.len)
        memcpy(shelf->at, text.ptr, text.len);
    struct slice copy = {shelf->at, text.len};
    shelf->at += text.len;
    return copy;
}

static void keep_result(struct credential_change *c, const struct credential *credential)
{
    struct shelf shelf = {c->output, c->output + sizeof(c->output)};
    c->result = *credential;
    c->result.tenant = keep(&shelf, credential->tenant);
    c->result.id = keep(&shelf, credential->id);
    c->result.app_key = keep(&shelf, credential->app_key);
    c->result.label = keep(&shelf, credential->label);
    c->result.webhook_token = keep(&shelf, credential->webhook_token);
    for (size_t i = 0; i < credential->api_count; i++)
        c->result.apis[i] = keep(&shelf, credential->apis[i]);
}

/* --- put
 * ----------------------------------------------------------------------------------------------------------
 */

static bool overlap(const struct credential *a, const struct credential *b)
{
    if (a->api_count == 0 || b->api_count == 0)
        return true;
    for (size_t i = 0; i < a->api_count; i++)
        if (credential_serves(b, a->apis[i]))
            return true;
    return false;
}

/* One default for a tenant and api: what is put wins. */
static void unmark_others(struct credential_set *set, const struct credential *winner)
{
    for (size_t i = 0; i < set->count; i++) {
        struct credential *other = &set->items[i];
        if (other == winner || !other->is_default || !overlap(other, winner))
            continue;
        other->is_default = false;
        other->updated_at = winner->updated_at;
    }
}

static void merge(struct credential *credential, const struct credential_patch *patch)
{
    if (patch->has_app_key)
        credential->app_key = patch->app_key;
    if (patch->has_label)
        credential->label = patch->label;
    if (patch->has_default)
        credential->is_default = patch->is_default;
    if (patch->has_apis) {
        credential->api_count = patch->api_count;
        memcpy(credential->apis, patch->apis, patch->api_count * sizeof(*patch->apis));
    }
}

static int apply_put(struct store_change *change, struct store_txn *txn)
{
    struct credential_change *c = container_of(change, struct credential_change, change);
    struct credential_set set;
    int rc = record_check_owner(txn, c->tenant, c->id);
    if (rc || (rc = record_load(txn, c->tenant, &set)))
        return rc;
    struct credential *credential = set_find(&set, c->id);
    c->created = credential == NULL;
    if (c->created) {
        if (set.count == CREDENTIAL_MAX)
            return ERR_LIMIT;
        credential = &set.items[set.count++];
        *credential = (struct credential){.tenant = c->tenant,
                                          .id = c->id,
                                          .created_at = c->now_ms,
                                          .webhook_token = slice_of(c->token, sizeof(c->token))};
    }
    credential->updated_at = c->now_ms;
    credential->status = CREDENTIAL_ACTIVE;
    if (c->patch.found)
        credential->checked_at = c->now_ms;
    /* What an operator has said about it is not overruled by what was found. */
    if (c->created || credential->found || !c->patch.found)
        merge(credential, &c->patch);
    bool named = c->patch.has_app_key || c->patch.has_label || c->patch.has_apis;
    credential->found = c->created ? c->patch.found : credential->found && (c->patch.found || !named);
    if (credential->is_default)
        unmark_others(&set, credential);
    keep_result(c, credential);
    rc = record_save(txn, c->tenant, &set);
    return rc || !c->created ? rc : record_save_names(txn, &c->result);
}

/* --- delete and mark
 * ------------------------------------------------------------------------------------------------ */

static int delete_if_there(struct store_txn *txn, int table, struct slice key)
{
    int rc = store_txn_delete(txn, table, key);
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int apply_delete(struct store_change *change, struct store_txn *txn)
{
    struct credential_change *c = container_of(change, struct credential_change, change);
    struct credential_set set;
    int rc = record_load(txn, c->tenant, &set);
    if (rc == ERR_CORRUPT) {
        /* The way out for an operator: what can't be read any more is removed, then the tenant can be set up
         * anew. */
        c->result = (struct credential){.tenant = c->tenant, .id = c->id};
        return store_txn_delete(txn, CREDENTIAL_TABLE_TENANTS, c->tenant);
    }
    struct credential *credential = rc ? NULL : set_find(&set, c->id);
    if (credential == NULL)
        return rc ? rc : ERR_NOTFOUND;
    keep_result(c, credential);
    size_t behind = (size_t)(set.items + set.count - (credential + 1));
    memmove(credential, credential + 1, behind * sizeof(*credential));
    set.count--;
    if ((rc = record_save(txn, c->tenant, &set)) ||
        (rc = delete_if_there(txn, CREDENTIAL_TABLE_OWNERS, c->id)) ||
        (rc = removed_put(txn, &c->result, c->now_ms)))
        return rc;
    return delete_if_there(txn, CREDENTIAL_TABLE_TOKENS, c->result.webhook_token);
}

static int apply_mark(struct store_change *change, struct store_txn *txn)
{
    struct credential_change *c = container_of(change, struct credential_change, change);
    struct credential_set set;
    int rc = record_load(txn, c->tenant, &set);
    struct credential *credential = rc ? NULL : set_find(&set, c->id);
    if (credential == NULL)
        return rc ? rc : ERR_NOTFOUND;
    bool same = credential->status == c->status;
    if (!same) {
        credential->status = c->status;
        credential->updated_at = c->now_ms;
    }
    keep_result(c, credential);
    return same ? 0 : record_save(txn, c->tenant, &set);
}

/* --- making them
 * ---------------------------------------------------------------------------------------------------- */

static int init(struct credential_change *c, struct slice tenant, struct slice id, struct shelf *shelf)
{
    memset(c, 0, offsetof(struct credential_change, input));
    if (!credential_tenant_valid(tenant) || !credential_id_valid(id))
        return ERR_INVALID;
    *shelf = (struct shelf){c->input, c->input + sizeof(c->input)};
    c->tenant = keep(shelf, tenant);
    c->id = keep(shelf, id);
    return 0;
}

int credential_change_put(struct credential_change *c, struct slice tenant, struct slice id,
                          const struct credential_patch *patch, int64_t now_ms, struct fault *fault)
{
    struct shelf shelf;
    int rc = credential_validate(tenant, id, patch, fault);
    if (rc || (rc = init(c, tenant, id, &shelf)))
        return rc;
    c->action = CREDENTIAL_PUT;
    c->change.apply = apply_put;
    c->now_ms = now_ms;
    c->patch = *patch;
    c->patch.app_key = keep(&shelf, patch->has_app_key ? patch->app_key : (struct slice){0});
    c->patch.label = keep(&shelf, patch->has_label ? patch->label : (struct slice){0});
    c->patch.api_count = patch->has_apis ? patch->api_count : 0;
    for (size_t i = 0; i < c->patch.api_count; i++)
        c->patch.apis[i] = keep(&shelf, patch->apis[i]);
    record_make_token(c->token);
    return 0;
}

int credential_change_delete(struct credential_change *c, struct slice tenant, struct slice id)
{
    struct shelf shelf;
    int rc = init(c, tenant, id, &shelf);
    c->action = CREDENTIAL_DELETE;
    c->now_ms = clock_wall_ms();
    c->change.apply = apply_delete;
    return rc;
}

int credential_change_mark(struct credential_change *c, struct slice tenant, struct slice id,
                           enum credential_status status, int64_t now_ms)
{
    struct shelf shelf;
    int rc = init(c, tenant, id, &shelf);
    c->action = CREDENTIAL_MARK;
    c->change.apply = apply_mark;
    c->status = status;
    c->now_ms = now_ms;
    return rc;
}
