/* Read transactions: made once, then renewed and reset, which takes no lock and makes no system call. */
#include "store/store_internal.h"

#include <assert.h>
#include <stdlib.h>

struct store_view {
    struct store_user user;
    struct store *store;
    MDB_txn *txn; /* NULL before the first begin */
};

struct store_view *store_view_create(struct store *store)
{
    struct store_view *view = aligned_alloc(_Alignof(struct store_view), sizeof(*view));
    if (view == NULL)
        return NULL;
    memset(view, 0, sizeof(*view));
    view->store = store;
    store_user_add(store, &view->user);
    return view;
}

void store_view_destroy(struct store_view *view)
{
    if (view == NULL)
        return;
    assert(!atomic_load(&view->user.active));
    store_user_remove(view->store, &view->user);
    if (view->txn)
        mdb_txn_abort(view->txn);
    free(view);
}

int store_view_begin(struct store_view *view)
{
    assert(!atomic_load(&view->user.active));
    return store_error(store_user_begin(view->store, &view->user, MDB_RDONLY, &view->txn));
}

void store_view_end(struct store_view *view)
{
    assert(atomic_load(&view->user.active));
    mdb_txn_reset(view->txn);
    store_user_end(&view->user);
}

int store_get(struct store_view *view, int table, struct slice key, struct slice *value)
{
    assert(atomic_load_explicit(&view->user.active, memory_order_relaxed));
    return record_get(view->store, view->txn, table, key, value);
}

int store_scan(struct store_view *view, int table, struct slice from,
               bool (*visit)(struct slice key, struct slice value, void *arg), void *arg, size_t *damaged)
{
    assert(atomic_load_explicit(&view->user.active, memory_order_relaxed));
    struct record_walk walk = {.from = from, .visit = visit, .arg = arg};
    int rc = record_scan(view->store, view->txn, table, &walk);
    if (damaged)
        *damaged = walk.damaged;
    return rc;
}
