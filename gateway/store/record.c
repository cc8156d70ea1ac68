/* A record is: version byte, 64-bit checksum (little endian) of key and value, value. LMDB's pages carry no
 * checksum of their own. */
#include "store/store_internal.h"

#include <assert.h>

#include "base/digest.h"

/* The key is part of it, so that a value which a damaged page shows under another key is noticed. */
static uint64_t checksum(struct slice key, struct slice value)
{
    uint64_t of_key = digest_checksum(key.ptr, key.len);
    return digest_checksum(value.ptr, value.len) ^ (of_key << 1 | of_key >> 63);
}

void record_seal(char *header, struct slice key, struct slice value)
{
    uint64_t sum = checksum(key, value);
    header[0] = RECORD_VERSION;
    for (size_t i = 0; i < 8; i++)
        header[1 + i] = (char)(unsigned char)(sum >> (8 * i));
}

/*
 * A damaged length must not lead past the end of the file, where a read of the map kills the process. A value
 * stands inside one leaf page, or starts right behind the header of a run of overflow pages, which tells how
 * many they are.
 */
static bool bounded_in_map(const struct store *store, MDB_val raw)
{
    enum { PAGE_HEADER = 16, FLAGS_AT = 10, PAGES_AT = 12, OVERFLOW_FLAG = 0x04 };
    size_t offset = (size_t)((uintptr_t)raw.mv_data & (store->page_size - 1));
    if (offset != PAGE_HEADER)
        return offset + raw.mv_size <= store->page_size;
    const char *page = (const char *)raw.mv_data - PAGE_HEADER;
    uint16_t flags;
    uint32_t pages;
    memcpy(&flags, page + FLAGS_AT, sizeof(flags));
    memcpy(&pages, page + PAGES_AT, sizeof(pages));
    return (flags & OVERFLOW_FLAG) && pages >= (PAGE_HEADER + raw.mv_size - 1) / store->page_size + 1;
}

/* A page that the present transaction has changed is a copy in the heap, aligned to nothing. */
static bool in_heap(const struct store *store, MDB_val raw)
{
    MDB_envinfo info;
    const char *map = atomic_load_explicit(&store->map, memory_order_relaxed), *at = raw.mv_data;
    if (map == NULL)
        return false;
    mdb_env_info(store->env, &info);
    return at < map || at >= map + info.me_mapsize;
}

/* LMDB does not tell where its map stands, but a page that nobody has changed yet tells its own number. */
void record_find_map(struct store *store, MDB_txn *txn)
{
    MDB_envinfo info;
    MDB_val key = {sizeof("format") - 1, "format"}, raw;
    const char *map = NULL;
    uint64_t number;
    if (mdb_get(txn, store->meta, &key, &raw) == 0) {
        uintptr_t page = (uintptr_t)raw.mv_data & ~(uintptr_t)(store->page_size - 1);
        memcpy(&number, (const void *)page, sizeof(number));
        mdb_env_info(store->env, &info);
        if (number <= info.me_last_pgno)
            map = (const char *)page - number * store->page_size;
    }
    atomic_store_explicit(&store->map, map, memory_order_relaxed);
}

static bool bounded(const struct store *store, MDB_val raw)
{
    return raw.mv_size <= STORE_VALUE_MAX + RECORD_HEADER &&
           (bounded_in_map(store, raw) || in_heap(store, raw));
}

int record_open(const struct store *store, struct slice key, MDB_val raw, struct slice *value)
{
    if (raw.mv_size < RECORD_HEADER || !bounded(store, raw))
        return ERR_CORRUPT;
    const unsigned char *header = raw.mv_data;
    struct slice body = slice_skip(slice_of(raw.mv_data, raw.mv_size), RECORD_HEADER);
    uint64_t sum = 0;
    for (size_t i = 0; i < 8; i++)
        sum |= (uint64_t)header[1 + i] << (8 * i);
    if (header[0] != RECORD_VERSION || sum != checksum(key, body))
        return ERR_CORRUPT;
    *value = body;
    return 0;
}

int record_get(const struct store *store, MDB_txn *txn, int table, struct slice key, struct slice *value)
{
    assert(table >= 0 && (size_t)table < store->table_count);
    if (!store->present[table] || key.len == 0 || key.len > STORE_KEY_MAX)
        return ERR_NOTFOUND;
    MDB_val name = {key.len, (void *)(uintptr_t)key.ptr}, raw;
    int rc = mdb_get(txn, store->tables[table], &name, &raw);
    return rc ? store_error(rc) : record_open(store, key, raw, value);
}

int record_scan(const struct store *store, MDB_txn *txn, int table, struct record_walk *walk)
{
    assert(table >= 0 && (size_t)table < store->table_count);
    MDB_cursor *cursor;
    if (!store->present[table])
        return 0;
    int rc = mdb_cursor_open(txn, store->tables[table], &cursor);
    if (rc)
        return store_error(rc);
    MDB_val name = {walk->from.len, (void *)(uintptr_t)walk->from.ptr}, raw;
    rc = mdb_cursor_get(cursor, &name, &raw, walk->from.len ? MDB_SET_RANGE : MDB_FIRST);
    for (; rc == 0; rc = mdb_cursor_get(cursor, &name, &raw, MDB_NEXT)) {
        struct slice key = slice_of(name.mv_data, name.mv_size), value;
        if (record_open(store, key, raw, &value))
            walk->damaged++;
        else if (!walk->visit(key, value, walk->arg))
            break;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : store_error(rc);
}
