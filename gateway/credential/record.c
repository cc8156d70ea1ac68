/* A tenant's record, and what points at it, inside of a write transaction. */
#include "credential/credential_internal.h"

#include <assert.h>

#include "base/digest.h"
#include "base/random.h"

int record_load(struct store_txn *txn, struct slice tenant, struct credential_set *set)
{
    struct slice record;
    set->count = 0;
    int rc = store_txn_get(txn, CREDENTIAL_TABLE_TENANTS, tenant, &record);
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    return codec_read_set(record, tenant, set);
}

/* The slices of the set point into the old record, which the put replaces: hence packed first, aside. */
int record_save(struct store_txn *txn, struct slice tenant, const struct credential_set *set)
{
    char storage[CODEC_RECORD_MAX];
    struct buf record;
    if (set->count == 0)
        return store_txn_delete(txn, CREDENTIAL_TABLE_TENANTS, tenant);
    buf_init_fixed(&record, storage, sizeof(storage));
    int rc = codec_write_set(&record, set);
    return rc ? rc : store_txn_put(txn, CREDENTIAL_TABLE_TENANTS, tenant, buf_slice(&record));
}

int record_save_names(struct store_txn *txn, const struct credential *credential)
{
    char storage[1 + CREDENTIAL_TENANT_MAX + CREDENTIAL_ID_MAX];
    struct buf holder;
    buf_init_fixed(&holder, storage, sizeof(storage));
    int rc = codec_write_holder(&holder, credential->tenant, credential->id);
    if (rc == 0)
        rc = store_txn_put(txn, CREDENTIAL_TABLE_OWNERS, credential->id, credential->tenant);
    return rc ? rc
              : store_txn_put(txn, CREDENTIAL_TABLE_TOKENS, credential->webhook_token, buf_slice(&holder));
}

int record_check_owner(struct store_txn *txn, struct slice tenant, struct slice id)
{
    struct slice owner;
    int rc = store_txn_get(txn, CREDENTIAL_TABLE_OWNERS, id, &owner);
    if (rc)
        return rc == ERR_NOTFOUND ? 0 : rc;
    return slice_equal(owner, tenant) ? 0 : ERR_EXISTS;
}

void record_make_token(char out[CREDENTIAL_TOKEN_LEN])
{
    unsigned char secret[CREDENTIAL_TOKEN_LEN / 2];
    struct buf text;
    random_secret(secret, sizeof(secret));
    buf_init_fixed(&text, out, CREDENTIAL_TOKEN_LEN);
    int rc = digest_hex(&text, secret, sizeof(secret));
    assert(rc == 0 && text.len == CREDENTIAL_TOKEN_LEN);
    digest_wipe(secret, sizeof(secret));
}
