/*
 * A look at LMDB's pages before LMDB follows them. It maps a file without asking how long it is, and believes
 * what it finds there: a read behind the end of a file that was cut, or a wild offset on a damaged page,
 * would kill the process. So the tree is walked here by reading the file: all of it when the file is shorter
 * than its content (which needs not be a fault, see is_short), else up to WALK_MAX pages, which bounds the
 * time of an open. What lies behind is guarded by record.c alone.
 */
#include "store/store_internal.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WALK_MAX = 16384, DEPTH_MAX = 32 };

/* Where things stand (LMDB's data format 1, 64 bit). */
enum {
    META_FREE = 40,
    META_MAIN = 88,
    META_LAST_PAGE = 136,
    META_TXN = 144,
    META_END = 152,

    TABLE_FLAGS = 4,
    TABLE_ROOT = 40,
    TABLE_END = 48,

    PAGE_FLAGS = 10,
    PAGE_LOWER = 12,
    PAGE_UPPER = 14,
    PAGE_HEADER = 16,
    FLAG_BRANCH = 0x01,
    FLAG_LEAF = 0x02,
    FLAG_FIXED = 0x20, /* a page without nodes, in tables of a kind that is not ours */

    NODE_FLAGS = 4,
    NODE_KEY_LEN = 6,
    NODE_HEADER = 8,
    NODE_BIG = 0x01,
    NODE_TABLE = 0x02
};

struct walk {
    int fd;
    size_t page_size;
    uint64_t pages; /* whole pages of the file */
    uint64_t left;  /* pages that may still be read */
    bool complete;  /* to run out of them is a fault: then pages are met twice */
};

struct page {
    const char *bytes;
    unsigned flags, lower, upper;
    bool ordered; /* keys in byte order */
    int depth;
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

static bool tree_is_sound(struct walk *walk, uint64_t root, bool ordered, int depth);

static bool table_is_sound(struct walk *walk, const char *table, int depth)
{
    return tree_is_sound(walk, read_u64(table + TABLE_ROOT), read_u16(table + TABLE_FLAGS) == 0, depth);
}

/* Lengths first: what a leaf's node says must lie on the page, or on pages of the file. */
static bool leaf_node_is_sound(struct walk *walk, const struct page *page, size_t at)
{
    const char *node = page->bytes + at;
    unsigned flags = read_u16(node + NODE_FLAGS);
    size_t data = at + NODE_HEADER + read_u16(node + NODE_KEY_LEN);
    uint64_t size = read_u16(node) | (uint64_t)read_u16(node + 2) << 16;
    if (flags & NODE_BIG) {
        if (data + sizeof(uint64_t) > walk->page_size)
            return false;
        uint64_t first = read_u64(page->bytes + data), count = (PAGE_HEADER - 1 + size) / walk->page_size + 1;
        return first < walk->pages && count <= walk->pages - first;
    }
    if (data + size > walk->page_size)
        return false;
    return !(flags & NODE_TABLE) ||
           (size == TABLE_END && table_is_sound(walk, page->bytes + data, page->depth + 1));
}

static bool branch_node_is_sound(struct walk *walk, const struct page *page, size_t at)
{
    const char *node = page->bytes + at;
    uint64_t child =
        read_u16(node) | (uint64_t)read_u16(node + 2) << 16 | (uint64_t)read_u16(node + NODE_FLAGS) << 32;
    return child != UINT64_MAX && at + NODE_HEADER + read_u16(node + NODE_KEY_LEN) <= walk->page_size &&
           tree_is_sound(walk, child, page->ordered, page->depth + 1);
}

static struct slice key_at(const struct page *page, size_t slot)
{
    const char *node = page->bytes + read_u16(page->bytes + slot);
    return slice_of(node + NODE_HEADER, read_u16(node + NODE_KEY_LEN));
}

static bool is_before(struct slice a, struct slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    return order ? order < 0 : a.len < b.len;
}

static bool nodes_are_sound(struct walk *walk, const struct page *page)
{
    bool branch = page->flags & FLAG_BRANCH;
    /* The first key of a branch page means "all before the second" and is not looked at. */
    size_t first_compared = PAGE_HEADER + (branch ? 4u : 2u);
    for (size_t slot = PAGE_HEADER; slot < page->lower; slot += 2) {
        size_t at = read_u16(page->bytes + slot);
        if (at < page->upper || at + NODE_HEADER > walk->page_size)
            return false;
        if (!(branch ? branch_node_is_sound(walk, page, at) : leaf_node_is_sound(walk, page, at)))
            return false;
        if (page->ordered && slot >= first_compared && !is_before(key_at(page, slot - 2), key_at(page, slot)))
            return false;
    }
    return true;
}

static bool page_is_sound(struct walk *walk, struct page *page, uint64_t number)
{
    page->flags = read_u16(page->bytes + PAGE_FLAGS);
    page->lower = read_u16(page->bytes + PAGE_LOWER);
    page->upper = read_u16(page->bytes + PAGE_UPPER);
    if (read_u64(page->bytes) != number || !(page->flags & FLAG_BRANCH) == !(page->flags & FLAG_LEAF))
        return false;
    if (page->flags & FLAG_FIXED)
        return true;
    return page->lower > PAGE_HEADER && page->lower % 2 == 0 && page->lower <= page->upper &&
           page->upper <= walk->page_size && nodes_are_sound(walk, page);
}

static bool tree_is_sound(struct walk *walk, uint64_t root, bool ordered, int depth)
{
    if (root == UINT64_MAX) /* an empty tree */
        return true;
    if (root >= walk->pages || depth > DEPTH_MAX)
        return false;
    if (walk->left == 0)
        return !walk->complete;
    walk->left--;
    char *bytes = malloc(walk->page_size);
    struct page page = {.bytes = bytes, .ordered = ordered, .depth = depth};
    bool sound = bytes &&
                 pread(walk->fd, bytes, walk->page_size, (off_t)(root * walk->page_size)) ==
                     (ssize_t)walk->page_size &&
                 page_is_sound(walk, &page, root);
    free(bytes);
    return sound;
}

/* --- the whole file
 * ------------------------------------------------------------------------------------------ */

/* The meta page of that transaction; false when a later one has taken its place. */
static bool read_meta(const struct walk *walk, uint64_t txn_id, char meta[META_END])
{
    for (uint64_t page = 0; page < 2; page++)
        if (pread(walk->fd, meta, META_END, (off_t)(page * walk->page_size)) == META_END &&
            read_u64(meta + META_TXN) == txn_id)
            return true;
    return false;
}

/*
 * Pages that were allocated and given back within one transaction are never written: so a sound file may be
 * shorter than the number of its last page says, and only a complete walk tells whether anything that is in
 * use is missing.
 */
static bool is_short(const struct walk *walk, const char *meta)
{
    return walk->pages <= read_u64(meta + META_LAST_PAGE);
}

/* The caller's read transaction keeps the pages as they are meanwhile. */
static bool is_sound(struct walk *walk, uint64_t txn_id)
{
    char meta[META_END];
    struct stat file;
    if (!read_meta(walk, txn_id, meta))
        return true; /* others are writing at this very moment: the file is in use, and not cut */
    if (fstat(walk->fd, &file))
        return false;
    walk->pages = (uint64_t)file.st_size / walk->page_size;
    walk->complete = is_short(walk, meta);
    walk->left = walk->complete ? walk->pages : WALK_MAX;
    return tree_is_sound(walk, read_u64(meta + META_FREE + TABLE_ROOT), false, 0) &&
           tree_is_sound(walk, read_u64(meta + META_MAIN + TABLE_ROOT), true, 0);
}

int pages_check(struct store *store, struct fault *fault)
{
    struct walk walk = {.fd = -1};
    MDB_stat stat_of;
    MDB_txn *txn;
    int rc = mdb_env_get_fd(store->env, &walk.fd);
    if (rc || (rc = mdb_env_stat(store->env, &stat_of)) ||
        (rc = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn)))
        return fault_set(fault, store_error(rc), "%s: %s", store->path, mdb_strerror(rc));
    store->page_size = walk.page_size = stat_of.ms_psize;
    bool sound = is_sound(&walk, mdb_txn_id(txn));
    mdb_txn_abort(txn);
    if (!sound)
        return fault_set(fault, ERR_CORRUPT, "%s/data.mdb is %s; nothing was changed", store->path,
                         walk.complete ? "shorter than its content: it was cut" : "damaged inside");
    return 0;
}
