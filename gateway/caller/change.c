/*
 * Changes, on the store's writer thread. Each raises the ledger's version in the same transaction: that is
 * how desks of all workers and processes learn of it.
 */
#include <stdlib.h>

#include "base/digest.h"
#include "base/list.h"
#include "caller/caller_internal.h"

static int table(const struct caller_change *c, enum caller_table which)
{
    return c->first_table + (int)which;
}

static struct slice id_of(const struct caller_change *c)
{
    return slice_of(c->id, sizeof c->id);
}

/* --- the ledger ----------------------------------------------------------------------------------------- */

/* A damaged one is begun anew, at a version that no desk can have seen. */
static int load_ledger(struct caller_change *c, struct store_txn *txn, struct codec_ledger *out)
{
    struct slice record;
    int rc = store_txn_get(txn, table(c, CALLER_TABLE_KEYS), LEDGER_KEY, &record);
    if (rc == 0)
        rc = codec_read_ledger(record, out);
    if (rc == ERR_NOTFOUND || rc == ERR_CORRUPT)
        *out = (struct codec_ledger){.version = rc == ERR_CORRUPT ? (uint64_t)c->now_ms << 16 : 0};
    return rc == ERR_NOTFOUND || rc == ERR_CORRUPT ? 0 : rc;
}

static int save_ledger(struct caller_change *c, struct store_txn *txn, struct codec_ledger *ledger)
{
    char record[LEDGER_LEN];
    ledger->version++;
    codec_write_ledger(record, ledger);
    return store_txn_put(txn, table(c, CALLER_TABLE_KEYS), LEDGER_KEY, slice_of(record, sizeof record));
}

static struct name_key revocation_key(uint64_t number)
{
    char text[8];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(uint8_t)(number >> (8 * i));
    return codec_name_key('r', slice_of(text, sizeof text));
}

/* Forgets the oldest revoked key. */
static int forget_oldest(struct caller_change *c, struct store_txn *txn, struct codec_ledger *ledger)
{
    char id[CALLER_ID_BYTES];
    struct name_key key = revocation_key(ledger->first++);
    struct slice record;
    int rc = store_txn_get(txn, table(c, CALLER_TABLE_NAMES), name_key_slice(&key), &record);
    if (rc || record.len != sizeof id)
        return rc == ERR_NOTFOUND || rc == 0 || rc == ERR_CORRUPT ? 0 : rc;
    memcpy(id, record.ptr, sizeof id); /* the delete below moves what the record stands in */
    rc = store_txn_delete(txn, table(c, CALLER_TABLE_NAMES), name_key_slice(&key));
    if (rc == 0)
        rc = store_txn_delete(txn, table(c, CALLER_TABLE_KEYS), slice_of(id, sizeof id));
    return rc == ERR_NOTFOUND ? 0 : rc;
}

static int note_revocation(struct caller_change *c, struct store_txn *txn, struct codec_ledger *ledger)
{
    struct name_key key = revocation_key(ledger->next++);
    int rc = store_txn_put(txn, table(c, CALLER_TABLE_NAMES), name_key_slice(&key), id_of(c));
    while (rc == 0 && ledger->next - ledger->first > CALLER_REVOKED_KEPT)
        rc = forget_oldest(c, txn, ledger);
    return rc;
}

/* --- names ---------------------------------------------------------------------------------------------- */

/* Is it an active key's? An entry that outlived its key (whose record was damaged) holds nothing. */
static int is_taken(struct caller_change *c, struct store_txn *txn, const struct name_key *key, bool *out)
{
    struct slice id, record;
    struct caller holder;
    *out = false;
    int rc = store_txn_get(txn, table(c, CALLER_TABLE_NAMES), name_key_slice(key), &id);
    if (rc == 0)
        rc = store_txn_get(txn, table(c, CALLER_TABLE_KEYS), id, &record);
    if (rc == 0)
        rc = codec_read(record, id, &holder, NULL);
    if (rc == 0)
        *out = holder.status == CALLER_ACTIVE;
    return rc == ERR_NOTFOUND || rc == ERR_CORRUPT ? 0 : rc;
}

static int claim(struct caller_change *c, struct store_txn *txn, char kind, struct slice text)
{
    struct name_key key = codec_name_key(kind, text);
    bool taken;
    int rc = is_taken(c, txn, &key, &taken);
    if (rc == 0 && taken) {
        c->taken = text;
        return ERR_EXISTS;
    }
    return rc ? rc : store_txn_put(txn, table(c, CALLER_TABLE_NAMES), name_key_slice(&key), id_of(c));
}

/* Gives a name free, when it is this key's. */
static int yield_name(struct caller_change *c, struct store_txn *txn, char kind, struct slice text)
{
    struct name_key key = codec_name_key(kind, text);
    struct slice id;
    int rc = store_txn_get(txn, table(c, CALLER_TABLE_NAMES), name_key_slice(&key), &id);
    if (rc || !slice_equal(id, id_of(c)))
        return rc == ERR_NOTFOUND || rc == ERR_CORRUPT || rc == 0 ? 0 : rc;
    return store_txn_delete(txn, table(c, CALLER_TABLE_NAMES), name_key_slice(&key));
}

/* --- create and revoke ---------------------------------------------------------------------------------- */

static int apply_create(struct store_change *change, struct store_txn *txn)
{
    struct caller_change *c = container_of(change, struct caller_change, change);
    const struct caller_spec *spec = &c->result.spec;
    struct codec_ledger ledger;
    struct slice record;
    c->taken = (struct slice){NULL, 0};
    int rc = store_txn_get(txn, table(c, CALLER_TABLE_KEYS), id_of(c), &record);
    if (rc != ERR_NOTFOUND)
        return rc ? rc : ERR_INUSE; /* once in 2^64 keys */
    rc = claim(c, txn, 'n', spec->name);
    for (size_t i = 0; i < spec->peers.count && rc == 0; i++)
        rc = claim(c, txn, 'p', spec->peers.at[i]);
    if (rc || (rc = load_ledger(c, txn, &ledger)))
        return rc;
    rc = store_txn_put(txn, table(c, CALLER_TABLE_KEYS), id_of(c), slice_of(c->record, c->record_len));
    return rc ? rc : save_ledger(c, txn, &ledger);
}

/* The way out for an operator: what can't be read any more is removed. */
static int remove_damaged(struct caller_change *c, struct store_txn *txn, struct codec_ledger *ledger)
{
    c->result = (struct caller){.status = CALLER_REVOKED, .revoked_at = c->now_ms};
    codec_id_text(id_of(c), c->result.id);
    int rc = store_txn_delete(txn, table(c, CALLER_TABLE_KEYS), id_of(c));
    return rc ? rc : save_ledger(c, txn, ledger);
}

/* The key's record, copied and marked; ERR_CORRUPT when it can't be read. */
static int load_revoked(struct caller_change *c, struct store_txn *txn)
{
    struct slice record;
    int rc = store_txn_get(txn, table(c, CALLER_TABLE_KEYS), id_of(c), &record);
    if (rc)
        return rc;
    if (record.len > sizeof c->record)
        return ERR_CORRUPT;
    memcpy(c->record, record.ptr, record.len);
    c->record_len = record.len;
    rc = codec_read(slice_of(c->record, c->record_len), id_of(c), &c->result, NULL);
    if (rc)
        return rc;
    if (c->result.status == CALLER_REVOKED)
        return ERR_NOTFOUND;
    codec_set_revoked(c->record, c->now_ms);
    c->result.status = CALLER_REVOKED;
    c->result.revoked_at = c->now_ms;
    return 0;
}

static int apply_revoke(struct store_change *change, struct store_txn *txn)
{
    struct caller_change *c = container_of(change, struct caller_change, change);
    struct codec_ledger ledger;
    int damage = load_revoked(c, txn);
    if (damage && damage != ERR_CORRUPT)
        return damage;
    int rc = load_ledger(c, txn, &ledger);
    if (rc || damage)
        return rc ? rc : remove_damaged(c, txn, &ledger);
    rc = yield_name(c, txn, 'n', c->result.spec.name);
    for (size_t i = 0; i < c->result.spec.peers.count && rc == 0; i++)
        rc = yield_name(c, txn, 'p', c->result.spec.peers.at[i]);
    if (rc == 0)
        rc = store_txn_put(txn, table(c, CALLER_TABLE_KEYS), id_of(c), slice_of(c->record, c->record_len));
    if (rc == 0)
        rc = note_revocation(c, txn, &ledger);
    return rc ? rc : save_ledger(c, txn, &ledger);
}

/* --- making them ---------------------------------------------------------------------------------------- */

static void init(struct caller_change *c, int first_table, int64_t now_ms,
                 int (*apply)(struct store_change *, struct store_txn *))
{
    memset(c, 0, offsetof(struct caller_change, record));
    c->change.apply = apply;
    c->first_table = first_table;
    c->now_ms = now_ms;
}

int caller_change_create(struct caller_change *c, int first_table, const struct caller_spec *spec,
                         int64_t now_ms, struct fault *fault)
{
    struct codec_head head = {.created_at = now_ms};
    struct buf record;
    init(c, first_table, now_ms, apply_create);
    int rc = caller_validate(spec, fault);
    if (rc)
        return rc;
    key_make(c->key);
    if (key_hash(slice_of(c->key, sizeof c->key), head.hash)) {
        caller_change_wipe(c);
        return fault_set(fault, ERR_NOMEM, "out of memory");
    }
    memcpy(c->id, head.hash, sizeof c->id);
    buf_init_fixed(&record, c->record, sizeof c->record);
    rc = codec_write(&record, &head, spec);
    c->record_len = record.len;
    if (rc == 0)
        rc = codec_read(buf_slice(&record), id_of(c), &c->result, NULL);
    return rc ? fault_set(fault, ERR_INVALID, "the names are too long altogether") : 0;
}

int caller_change_revoke(struct caller_change *c, int first_table, struct slice id, int64_t now_ms)
{
    init(c, first_table, now_ms, apply_revoke);
    return codec_id_read(id, c->id) ? 0 : ERR_INVALID;
}

void caller_change_wipe(struct caller_change *c)
{
    digest_wipe(c->key, sizeof c->key);
}
