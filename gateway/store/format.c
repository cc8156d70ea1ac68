/*
 * Whether what lies in the directory is ours, of this version, and whole, as far as can be told without
 * reading it all. LMDB maps the file without looking at its size; a read behind the end of a file that was
 * cut would kill the process. So the end is compared with what LMDB's current meta page says is in use.
 */
#include "store/store_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_TABLE  "meta"
#define META_KEY    SLICE("format")
#define META_FORMAT SLICE("rollout-gateway store 1")

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

/* --- the end of the file -----------------------------------------------------------------------------------
 */

/* Where things stand in LMDB's pages (data format 1, 64 bit). */
enum {
    PAGE_FLAGS = 10,
    PAGE_LOWER = 12,
    PAGE_HEADER = 16,
    META_FREE_ROOT = 80,
    META_MAIN_ROOT = 128,
    META_LAST_PAGE = 136,
    META_TXN = 144,
    META_END = 152,
    FLAG_BRANCH = 0x01,
    FLAG_LEAF = 0x02,
    NODE_HEADER = 8,
    NODE_BIG = 0x01,
    NODE_TABLE = 0x02,
    TABLE_ROOT = 40,
    TABLE_END = 48,
    DEPTH_MAX = 32,
};

struct extent {
    int fd;
    size_t page_size;
    uint64_t pages; /* whole pages of the file */
};

static uint64_t read_u64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static unsigned read_u16(const char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static bool tree_inside(const struct extent *extent, uint64_t root, int depth);

/* A value on pages of its own, or a table whose description is the value. */
static bool leaf_node_inside(const struct extent *extent, const char *page, size_t at, int depth)
{
    unsigned flags = read_u16(page + at + 4);
    size_t data = at + NODE_HEADER + read_u16(page + at + 6);
    if (flags & NODE_BIG) {
        uint64_t size = read_u16(page + at) | (uint64_t)read_u16(page + at + 2) << 16;
        if (data + 8 > extent->page_size)
            return false;
        uint64_t first = read_u64(page + data), count = (PAGE_HEADER - 1 + size) / extent->page_size + 1;
        return first < extent->pages && count <= extent->pages - first;
    }
    if (flags & NODE_TABLE)
        return data + TABLE_END <= extent->page_size &&
               tree_inside(extent, read_u64(page + data + TABLE_ROOT), depth + 1);
    return true;
}

static bool page_inside(const struct extent *extent, const char *page, int depth)
{
    unsigned flags = read_u16(page + PAGE_FLAGS), lower = read_u16(page + PAGE_LOWER);
    if (!(flags & (FLAG_BRANCH | FLAG_LEAF)) || lower < PAGE_HEADER || lower > extent->page_size)
        return false;
    for (size_t slot = PAGE_HEADER; slot + 2 <= lower; slot += 2) {
        size_t at = read_u16(page + slot);
        if (at + NODE_HEADER > extent->page_size)
            return false;
        uint64_t child = read_u16(page + at) | (uint64_t)read_u16(page + at + 2) << 16 |
                         (uint64_t)read_u16(page + at + 4) << 32;
        bool inside = flags & FLAG_BRANCH ? tree_inside(extent, child, depth + 1)
                                          : leaf_node_inside(extent, page, at, depth);
        if (!inside)
            return false;
    }
    return true;
}

static bool tree_inside(const struct extent *extent, uint64_t root, int depth)
{
    if (root == UINT64_MAX) /* an empty tree */
        return true;
    if (root >= extent->pages || depth > DEPTH_MAX)
        return false;
    char *page = malloc(extent->page_size);
    bool inside = page &&
                  pread(extent->fd, page, extent->page_size, (off_t)(root * extent->page_size)) ==
                      (ssize_t)extent->page_size &&
                  page_inside(extent, page, depth);
    free(page);
    return inside;
}

/* The meta page of that transaction; false when a later one has taken its place. */
static bool read_meta(const struct extent *extent, uint64_t txn_id, char meta[META_END])
{
    for (uint64_t page = 0; page < 2; page++)
        if (pread(extent->fd, meta, META_END, (off_t)(page * extent->page_size)) == META_END &&
            read_u64(meta + META_TXN) == txn_id)
            return true;
    return false;
}

/* Pages that were allocated and given back within one transaction are never written: so a file may be shorter
 * than its last page number says. It is whole if what is reachable lies inside. The open read transaction
 * keeps those pages as they are. */
static bool is_whole(struct extent *extent, uint64_t txn_id)
{
    char meta[META_END];
    struct stat file;
    if (!read_meta(extent, txn_id, meta))
        return true; /* a writer is at work at this moment: so it is in use, not cut */
    if (fstat(extent->fd, &file))
        return false;
    extent->pages = (uint64_t)file.st_size / extent->page_size;
    return extent->pages > read_u64(meta + META_LAST_PAGE) ||
           (tree_inside(extent, read_u64(meta + META_FREE_ROOT), 0) &&
            tree_inside(extent, read_u64(meta + META_MAIN_ROOT), 0));
}

int format_check_extent(struct store *store, struct fault *fault)
{
    struct extent extent = {.fd = -1};
    MDB_stat stat_of;
    MDB_txn *txn;
    int rc = mdb_env_get_fd(store->env, &extent.fd);
    if (rc || (rc = mdb_env_stat(store->env, &stat_of)) ||
        (rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn)))
        return fault_set(fault, store_error(rc), "%s: %s", store->path, mdb_strerror(rc));
    store->page_size = extent.page_size = stat_of.ms_psize;
    bool whole = is_whole(&extent, mdb_txn_id(txn));
    mdb_txn_abort(txn);
    if (!whole)
        return fault_set(fault, ERR_CORRUPT,
                         "%s/data.mdb is shorter than its content: it was cut; nothing was changed",
                         store->path);
    return 0;
}

/* --- tables ------------------------------------------------------------------------------------------------
 */

static int put_format(MDB_txn *txn, MDB_dbi meta)
{
    char record[RECORD_HEADER + 64];
    MDB_val key = {META_KEY.len, (void *)(uintptr_t)META_KEY.ptr};
    MDB_val value = {RECORD_HEADER + META_FORMAT.len, record};
    record_seal(record, META_KEY, META_FORMAT);
    memcpy(record + RECORD_HEADER, META_FORMAT.ptr, META_FORMAT.len);
    return mdb_put(txn, meta, &key, &value, 0);
}

static int foreign(const struct store *store, struct fault *fault)
{
    return fault_set(fault, ERR_CORRUPT, "%s/data.mdb belongs to another program; nothing was changed",
                     store->path);
}

static int compare_format(struct store *store, MDB_txn *txn, MDB_dbi meta, struct fault *fault)
{
    struct slice found;
    MDB_val key = {META_KEY.len, (void *)(uintptr_t)META_KEY.ptr}, raw;
    int rc = mdb_get(txn, meta, &key, &raw);
    if (rc == MDB_NOTFOUND)
        return foreign(store, fault);
    if (rc || record_open(store, META_KEY, raw, &found))
        return fault_set(fault, ERR_CORRUPT,
                         "%s/data.mdb is damaged: its format record can't be read; nothing was changed",
                         store->path);
    if (!slice_equal(found, META_FORMAT))
        return fault_set(
            fault, ERR_CORRUPT,
            "%s/data.mdb has format \"%.*s\", this program knows \"%s\" only; nothing was changed",
            store->path, (int)(found.len < 64 ? found.len : 64), found.ptr, META_FORMAT.ptr);
    return 0;
}

/* A file without any table is new; one with tables must say that it is ours. */
static int check_format(struct store *store, MDB_txn *txn, struct fault *fault)
{
    MDB_dbi meta;
    MDB_stat stat_of;
    int rc = mdb_dbi_open(txn, META_TABLE, 0, &meta);
    if (rc == 0)
        return compare_format(store, txn, meta, fault);
    MDB_dbi root;
    if (rc == MDB_NOTFOUND && (rc = mdb_dbi_open(txn, NULL, 0, &root)) == 0 &&
        (rc = mdb_stat(txn, root, &stat_of)) == 0) {
        if (stat_of.ms_entries > 0)
            return foreign(store, fault);
        if (store->read_only)
            return 0;
        if ((rc = mdb_dbi_open(txn, META_TABLE, MDB_CREATE, &meta)) == 0)
            rc = put_format(txn, meta);
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
