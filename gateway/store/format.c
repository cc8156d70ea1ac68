/* Whether what lies in the directory is a store, ours, and of this version. */
#include "store/store_internal.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

#define META_TABLE  "meta"
#define META_KEY    SLICE("format")
#define META_FORMAT "rollout-gateway store 1"

enum { FORMAT_MAX = 64 };

int format_check_file(const struct store_options *options, struct fault *fault)
{
    char path[4096];
    struct stat file;
    int len = snprintf(path, sizeof(path), "%s/data.mdb", options->path);
    if (len < 0 || (size_t)len >= sizeof(path))
        return fault_set(fault, ERR_INVALID, "%.100s...: the path is too long", options->path);
    if (stat(path, &file)) {
        if (errno != ENOENT)
            return fault_set(fault, store_error(errno), "%s can't be read", path);
        return options->read_only ? fault_set(fault, ERR_NOTFOUND, "%s: there is no store", options->path)
                                  : 0;
    }
    if (!S_ISREG(file.st_mode))
        return fault_set(fault, ERR_CORRUPT, "%s is not a file", path);
    /* LMDB would take it for a new one and begin from nothing, silently. */
    if (file.st_size == 0)
        return fault_set(fault, ERR_CORRUPT, "%s is empty, as if it had been cut; move it away to start anew",
                         path);
    return 0;
}

/* --- tables ------------------------------------------------------------------------------------------------
 */

/* What the format record of this store has to say. */
static struct slice format_of(const struct store *store, char text[FORMAT_MAX])
{
    int len = snprintf(text, FORMAT_MAX, META_FORMAT "%s%s", store->contents ? ", " : "",
                       store->contents ? store->contents : "");
    assert(len > 0 && len < FORMAT_MAX);
    return slice_of(text, (size_t)len);
}

static int put_format(const struct store *store, MDB_txn *txn, MDB_dbi meta)
{
    char record[RECORD_HEADER + FORMAT_MAX], text[FORMAT_MAX];
    struct slice format = format_of(store, text);
    MDB_val key = {META_KEY.len, (void *)(uintptr_t)META_KEY.ptr};
    MDB_val value = {RECORD_HEADER + format.len, record};
    record_seal(record, META_KEY, format);
    memcpy(record + RECORD_HEADER, format.ptr, format.len);
    return mdb_put(txn, meta, &key, &value, 0);
}

static int foreign(const struct store *store, struct fault *fault)
{
    return fault_set(fault, ERR_CORRUPT, "%s/data.mdb belongs to another program; nothing was changed",
                     store->path);
}

static int compare_format(struct store *store, MDB_txn *txn, MDB_dbi meta, struct fault *fault)
{
    char text[FORMAT_MAX];
    struct slice found, format = format_of(store, text);
    MDB_val key = {META_KEY.len, (void *)(uintptr_t)META_KEY.ptr}, raw;
    int rc = mdb_get(txn, meta, &key, &raw);
    if (rc == MDB_NOTFOUND)
        return foreign(store, fault);
    if (rc || record_open(store, META_KEY, raw, &found))
        return fault_set(fault, ERR_CORRUPT,
                         "%s/data.mdb is damaged: its format record can't be read; nothing was changed",
                         store->path);
    if (!slice_equal(found, format))
        return fault_set(
            fault, ERR_CORRUPT,
            "%s/data.mdb has format \"%.*s\", this program knows \"%s\" only; nothing was changed",
            store->path, (int)(found.len < 64 ? found.len : 64), found.ptr, text);
    return 0;
}

/* A file without any table is new; one with tables must say that it is ours. */
static int check_format(struct store *store, MDB_txn *txn, struct fault *fault)
{
    MDB_dbi meta;
    MDB_stat stat_of;
    int rc = mdb_dbi_open(txn, META_TABLE, 0, &meta);
    if (rc == 0) {
        store->meta = meta;
        return compare_format(store, txn, meta, fault);
    }
    MDB_dbi root;
    if (rc == MDB_NOTFOUND && (rc = mdb_dbi_open(txn, NULL, 0, &root)) == 0 &&
        (rc = mdb_stat(txn, root, &stat_of)) == 0) {
        if (stat_of.ms_entries > 0)
            return foreign(store, fault);
        if (store->read_only)
            return 0;
        if ((rc = mdb_dbi_open(txn, META_TABLE, MDB_CREATE, &meta)) == 0)
            rc = put_format(store, txn, meta);
        store->meta = meta;
    }
    return rc ? fault_set(fault, store_error(rc), "%s: %s", store->path, mdb_strerror(rc)) : 0;
}

static int open_tables(struct store *store, MDB_txn *txn, const struct store_options *options)
{
    unsigned flags = store->read_only ? 0 : MDB_CREATE;
    for (size_t i = 0; i < store->table_count; i++) {
        int rc = mdb_dbi_open(txn, options->tables[i], flags, &store->tables[i]);
        if (rc && !(rc == MDB_NOTFOUND && store->read_only))
            return rc;
        store->present[i] = rc == 0;
    }
    return 0;
}

int format_open_tables(struct store *store, const struct store_options *options, struct fault *fault)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(store->env, NULL, store->read_only ? MDB_RDONLY : 0, &txn);
    if (rc)
        return fault_set(fault, store_error(rc), "%s: %s", store->path, mdb_strerror(rc));
    int code = check_format(store, txn, fault);
    if (code == 0 && (rc = open_tables(store, txn, options)))
        code = fault_set(fault, store_error(rc), "%s: %s", store->path, mdb_strerror(rc));
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    rc = mdb_txn_commit(txn);
    return rc ? fault_set(fault, store_error(rc), "%s: %s", store->path, mdb_strerror(rc)) : 0;
}
