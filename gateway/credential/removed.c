/* What removed credentials leave behind at Rollout: a record each, until it is cleaned up. */
#include "base/list.h"
#include "base/random.h"
#include "credential/credential_internal.h"

enum { SWEEP = 4, VALUE_MAX = 1024 };

/* In byte order the oldest comes first. */
static void put_be64(char out[8], uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(value >> (8 * (7 - i)));
}

/* --- forgetting the oldest ---------------------------------------------------------------------------- */

struct sweep {
    char limit[8];
    size_t count;
    char keys[SWEEP][CREDENTIAL_REMOVED_KEY];
};

static bool on_old(struct slice key, struct slice value, void *arg)
{
    struct sweep *sweep = arg;
    (void)value;
    if (sweep->count == SWEEP || key.len != CREDENTIAL_REMOVED_KEY || memcmp(key.ptr, sweep->limit, 8) >= 0)
        return false;
    memcpy(sweep->keys[sweep->count++], key.ptr, key.len);
    return true;
}

static int sweep_old(struct store_txn *txn, int64_t now_ms)
{
    struct sweep sweep = {.count = 0};
    if (now_ms < CREDENTIAL_REMOVED_KEEP_MS)
        return 0;
    put_be64(sweep.limit, (uint64_t)(now_ms - CREDENTIAL_REMOVED_KEEP_MS));
    int rc = store_txn_scan(txn, CREDENTIAL_TABLE_REMOVED, (struct slice){0}, on_old, &sweep);
    for (size_t i = 0; i < sweep.count && rc == 0; i++)
        rc = store_txn_delete(txn, CREDENTIAL_TABLE_REMOVED, slice_of(sweep.keys[i], CREDENTIAL_REMOVED_KEY));
    return rc;
}

/* --- writing ------------------------------------------------------------------------------------------ */

int removed_put(struct store_txn *txn, const struct credential *credential, int64_t now_ms)
{
    char key[CREDENTIAL_REMOVED_KEY], storage[VALUE_MAX];
    struct buf value;
    put_be64(key, (uint64_t)now_ms);
    put_be64(key + 8, random_u64());
    buf_init_fixed(&value, storage, sizeof(storage));
    /* None of the parts can have a line's end or a comma in it. */
    buf_append_format(&value, "%.*s\n%.*s\n%.*s\n", SLICE_ARG(credential->tenant), SLICE_ARG(credential->id),
                      SLICE_ARG(credential->webhook_token));
    for (size_t i = 0; i < credential->api_count; i++) {
        if (i)
            buf_append_char(&value, ',');
        buf_append_slice(&value, credential->apis[i]);
    }
    int rc = value.failed ? ERR_LIMIT : sweep_old(txn, now_ms);
    return rc ? rc
              : store_txn_put(txn, CREDENTIAL_TABLE_REMOVED, slice_of(key, sizeof(key)), buf_slice(&value));
}

static int apply_forget(struct store_change *change, struct store_txn *txn)
{
    struct credential_forget *f = container_of(change, struct credential_forget, change);
    int rc = store_txn_delete(txn, CREDENTIAL_TABLE_REMOVED, slice_of(f->key, sizeof(f->key)));
    return rc == ERR_NOTFOUND ? 0 : rc;
}

void credential_change_forget(struct credential_forget *f, struct slice key)
{
    memset(f, 0, sizeof(*f));
    memcpy(f->key, key.ptr, key.len < sizeof(f->key) ? key.len : sizeof(f->key));
    f->change.apply = apply_forget;
}

/* --- reading ------------------------------------------------------------------------------------------ */

struct walk {
    bool (*visit)(const struct credential_removed *removed, void *arg);
    void *arg;
};

static bool on_record(struct slice key, struct slice value, void *arg)
{
    struct walk *walk = arg;
    struct credential_removed removed = {.key = key};
    struct slice rest = value;
    if (key.len != CREDENTIAL_REMOVED_KEY || !slice_cut(rest, '\n', &removed.tenant, &rest) ||
        !slice_cut(rest, '\n', &removed.id, &rest) || !slice_cut(rest, '\n', &removed.token, &removed.apis) ||
        removed.token.len != CREDENTIAL_TOKEN_LEN)
        return true;
    return walk->visit(&removed, walk->arg);
}

int credential_each_removed(struct store_view *view,
                            bool (*visit)(const struct credential_removed *removed, void *arg), void *arg)
{
    struct walk walk = {visit, arg};
    return store_scan(view, CREDENTIAL_TABLE_REMOVED, (struct slice){0}, on_record, &walk, NULL);
}
