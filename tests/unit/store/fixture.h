/* A store in a fresh directory, and changes made of a few words. */
#ifndef UNIT_STORE_FIXTURE_H
#define UNIT_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "store/store.h"

enum { TABLE_A, TABLE_B };

struct place {
    char root[64], path[96], data[128];
};

static inline void place_make(struct place *place)
{
    snprintf(place->root, sizeof(place->root), "/tmp/store-test-XXXXXX");
    assert_non_null(mkdtemp(place->root));
    snprintf(place->path, sizeof(place->path), "%s/deep/state", place->root);
    snprintf(place->data, sizeof(place->data), "%s/data.mdb", place->path);
}

static inline void place_remove(const struct place *place)
{
    char name[160];
    unlink(place->data);
    snprintf(name, sizeof(name), "%s/lock.mdb", place->path);
    unlink(name);
    rmdir(place->path);
    snprintf(name, sizeof(name), "%s/deep", place->root);
    rmdir(name);
    assert_int_equal(rmdir(place->root), 0);
}

static inline int try_open(struct store **out, const struct place *place, size_t map_size,
                           struct fault *fault)
{
    static const char *const tables[] = {"a", "b", NULL};
    struct store_options options = {.path = place->path, .tables = tables, .map_size = map_size};
    return store_open(out, &options, fault);
}

static inline struct store *open_sized(const struct place *place, size_t map_size)
{
    struct store *store;
    struct fault fault = {""};
    if (try_open(&store, place, map_size, &fault))
        fail_msg("%s", fault.text);
    return store;
}

static inline struct store *open_store(const struct place *place)
{
    return open_sized(place, (size_t)64 << 20);
}

/* One write: a put, or a delete when value.ptr is NULL. */
struct write {
    struct store_change change;
    int table;
    struct slice key, value;
};

static inline int apply_write(struct store_change *change, struct store_txn *txn)
{
    struct write *write = container_of(change, struct write, change);
    return write->value.ptr ? store_txn_put(txn, write->table, write->key, write->value)
                            : store_txn_delete(txn, write->table, write->key);
}

static inline int put(struct store *store, int table, struct slice key, struct slice value)
{
    struct write write = {.change.apply = apply_write, .table = table, .key = key, .value = value};
    return store_apply(store, &write.change);
}

static inline int erase(struct store *store, int table, struct slice key)
{
    return put(store, table, key, (struct slice){0});
}

/* What a get answers; with a text, it must also be the value. */
static inline int get(struct store *store, int table, struct slice key, const char *text)
{
    struct store_view *view = store_view_create(store);
    struct slice value;
    assert_int_equal(store_view_begin(view), 0);
    int rc = store_get(view, table, key, &value);
    if (rc == 0 && text)
        assert_true(slice_equal(value, slice_from(text)));
    store_view_end(view);
    store_view_destroy(view);
    return rc;
}

/* Keys "key-0000" .. with values that begin with the key; in one batch. */
struct bulk {
    struct store_change change;
    int count;
    size_t value_len;
};

static inline struct slice bulk_key(char buf[16], int i)
{
    return slice_of(buf, (size_t)snprintf(buf, 16, "key-%04d", i));
}

static inline int apply_bulk(struct store_change *change, struct store_txn *txn)
{
    struct bulk *bulk = container_of(change, struct bulk, change);
    char key[16], value[20000];
    int rc = 0;
    memset(value, '.', sizeof(value));
    for (int i = 0; rc == 0 && i < bulk->count; i++) {
        struct slice name = bulk_key(key, i);
        memcpy(value, name.ptr, name.len);
        rc = store_txn_put(txn, TABLE_A, name, slice_of(value, bulk->value_len));
    }
    return rc;
}

static inline int fill(struct store *store, int count, size_t value_len)
{
    struct bulk bulk = {.change.apply = apply_bulk, .count = count, .value_len = value_len};
    return store_apply(store, &bulk.change);
}

static inline bool on_count(struct slice key, struct slice value, void *arg)
{
    (void)key, (void)value;
    ++*(size_t *)arg;
    return true;
}

static inline size_t count_records(struct store *store, int table, size_t *damaged)
{
    struct store_view *view = store_view_create(store);
    size_t count = 0;
    assert_int_equal(store_view_begin(view), 0);
    assert_int_equal(store_scan(view, table, (struct slice){0}, on_count, &count, damaged), 0);
    store_view_end(view);
    store_view_destroy(view);
    return count;
}

#endif
