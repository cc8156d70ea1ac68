/*
 * The writer thread: takes what is queued, runs it in one transaction, commits (one fsync for all), calls
 * back.
 *
 * A change that fails before it wrote anything leaves the transaction as it was, and that is the usual kind
 * of failure. One that fails after writing spoils the transaction: it is thrown away and each change of the
 * batch runs again in one of its own. So no nested transactions are needed, whose cost grows with the batch.
 */
#include "store/store_internal.h"

#include <assert.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"

enum {
    BATCH_MAX = 8192, /* changes; bounds how long another process waits for the write lock */
    READER_CHECK_MS = 30000,
    RESERVE_PAGES = 256 /* kept for deletes, which need pages before they give any back */
};

/* --- inside a transaction ----------------------------------------------------------------------------------
 */

/* In a read transaction of its own, since LMDB shows its free list in no other. */
static uint64_t free_pages(MDB_env *env)
{
    enum { FREE_LIST_TABLE = 0 };
    MDB_txn *txn;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t total = 0;
    if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn))
        return 0;
    if (mdb_cursor_open(txn, FREE_LIST_TABLE, &cursor) == 0) {
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            uint64_t count; /* a list of page numbers begins with its length */
            memcpy(&count, value.mv_data, sizeof(count));
            total += count;
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return total;
}

/* Pages behind the end of the file that it may still take. */
static uint64_t growth(const struct store *store, uint64_t *map_pages)
{
    MDB_envinfo info;
    mdb_env_info(store->env, &info);
    uint64_t pages = info.me_mapsize / store->page_size, used = info.me_last_pgno + 1;
    *map_pages = pages;
    return pages > used && disposable_may_grow(store) ? pages - used : 0;
}

/* Whether more than the reserve is left. The free pages are counted only when the file has nearly reached the
 * map's size. */
static bool has_room(struct store *store)
{
    uint64_t pages, left = growth(store, &pages);
    uint64_t reserve = pages / 8 < RESERVE_PAGES ? pages / 8 : RESERVE_PAGES;
    return left > 4 * reserve || left + free_pages(store->env) > reserve;
}

uint64_t store_txn_room(const struct store_txn *txn)
{
    uint64_t pages, left = growth(txn->store, &pages);
    if (left < pages / 2) /* else it does not matter */
        left += free_pages(txn->store->env);
    return left * txn->store->page_size;
}

static int txn_begin(struct store *store, struct store_txn *txn)
{
    *txn = (struct store_txn){.store = store};
    int rc = store_user_begin(store, &store->writer, 0, &txn->txn);
    if (rc)
        return rc;
    record_find_map(store, txn->txn);
    txn->roomy = has_room(store);
    return 0;
}

static void txn_abort(struct store_txn *txn)
{
    mdb_txn_abort(txn->txn);
    store_user_end(&txn->store->writer);
}

static int txn_commit(struct store_txn *txn)
{
    int rc = mdb_txn_commit(txn->txn);
    store_user_end(&txn->store->writer);
    if (rc && !txn->store->disposable) /* of that one its owner tells, not each time */
        log_message(LOG_ERROR, "store_commit_failed", "%s: %s", txn->store->path, mdb_strerror(rc));
    if (rc == 0)
        atomic_fetch_add(&txn->store->commits, 1);
    return store_error(rc);
}

static int write_failed(struct store_txn *txn, int code)
{
    if (txn->failed == 0)
        txn->failed = code;
    return code;
}

int store_txn_get(struct store_txn *txn, int table, struct slice key, struct slice *value)
{
    return record_get(txn->store, txn->txn, table, key, value);
}

int store_txn_put(struct store_txn *txn, int table, struct slice key, struct slice value)
{
    assert(table >= 0 && (size_t)table < txn->store->table_count);
    if (txn->failed)
        return txn->failed;
    if (key.len == 0 || key.len > STORE_KEY_MAX || value.len > STORE_VALUE_MAX)
        return write_failed(txn, ERR_INVALID);
    if (!txn->roomy)
        return write_failed(txn, ERR_FULL);
    txn->wrote = true;
    MDB_val name = {key.len, (void *)(uintptr_t)key.ptr}, raw = {RECORD_HEADER + value.len, NULL};
    int rc = mdb_put(txn->txn, txn->store->tables[table], &name, &raw, MDB_RESERVE);
    if (rc)
        return write_failed(txn, store_error(rc));
    record_seal(raw.mv_data, key, value);
    if (value.len)
        memcpy((char *)raw.mv_data + RECORD_HEADER, value.ptr, value.len);
    return 0;
}

int store_txn_delete(struct store_txn *txn, int table, struct slice key)
{
    assert(table >= 0 && (size_t)table < txn->store->table_count);
    if (txn->failed)
        return txn->failed;
    if (key.len == 0 || key.len > STORE_KEY_MAX)
        return ERR_NOTFOUND;
    MDB_val name = {key.len, (void *)(uintptr_t)key.ptr};
    int rc = mdb_del(txn->txn, txn->store->tables[table], &name, NULL);
    if (rc == MDB_NOTFOUND)
        return ERR_NOTFOUND;
    txn->wrote = true;
    return rc ? write_failed(txn, store_error(rc)) : 0;
}

int store_txn_scan(struct store_txn *txn, int table, struct slice from,
                   bool (*visit)(struct slice key, struct slice value, void *arg), void *arg)
{
    struct record_walk walk = {.from = from, .visit = visit, .arg = arg};
    return record_scan(txn->store, txn->txn, table, &walk);
}

/* --- batches -----------------------------------------------------------------------------------------------
 */

static int apply(struct store_change *change, struct store_txn *txn)
{
    txn->wrote = false;
    txn->failed = 0;
    int rc = change->apply(change, txn);
    change->outcome = txn->failed ? txn->failed : rc;
    return change->outcome;
}

/* False: a change failed after it had written, and all was undone. */
static bool run_together(struct store *store, struct store_change *batch)
{
    struct store_txn txn;
    int code = store_error(txn_begin(store, &txn));
    bool begun = code == 0;
    for (struct store_change *change = batch; begun && change; change = change->next) {
        if (apply(change, &txn) == 0 || !txn.wrote)
            continue;
        txn_abort(&txn);
        return false;
    }
    if (begun)
        code = txn_commit(&txn);
    for (struct store_change *change = batch; code && change; change = change->next)
        if (change->outcome == 0 || !begun)
            change->outcome = code;
    return true;
}

static void run_alone(struct store *store, struct store_change *change)
{
    struct store_txn txn;
    change->outcome = store_error(txn_begin(store, &txn));
    if (change->outcome)
        return;
    if (apply(change, &txn))
        txn_abort(&txn);
    else
        change->outcome = txn_commit(&txn);
}

struct waiter {
    uv_mutex_t lock;
    uv_cond_t wake;
    size_t pending;
};

static void on_loop(struct loop_task *task)
{
    struct store_change *change = container_of(task, struct store_change, task);
    change->on_done(change);
}

static void finish(struct store_change *change)
{
    struct waiter *waiter = change->waiter;
    if (waiter) {
        uv_mutex_lock(&waiter->lock);
        if (--waiter->pending == 0)
            uv_cond_signal(&waiter->wake);
        uv_mutex_unlock(&waiter->lock);
    } else if (change->loop) {
        change->task.run = on_loop;
        loop_post(change->loop, &change->task);
    } else {
        change->on_done(change);
    }
}

static void run_batch(struct store *store, struct store_change *batch)
{
    if (!run_together(store, batch))
        for (struct store_change *change = batch; change; change = change->next)
            run_alone(store, change);
    while (batch) {
        struct store_change *change = batch;
        batch = change->next; /* the change is its owner's from finish on */
        atomic_fetch_add(&store->changes, 1);
        if (change->outcome)
            atomic_fetch_add(&store->failures, 1);
        finish(change);
    }
}

/* --- the thread --------------------------------------------------------------------------------------------
 */

/* Takes at most BATCH_MAX off the queue; waits for the first, but no longer than until readers are to be
 * checked. */
static struct store_change *take_batch(struct store_queue *queue, bool *stopping)
{
    uv_mutex_lock(&queue->lock);
    if (queue->head == NULL && !queue->stopping)
        uv_cond_timedwait(&queue->wake, &queue->lock, (uint64_t)READER_CHECK_MS * 1000000);
    struct store_change *batch = queue->head, *last = batch;
    for (int i = 1; last && last->next && i < BATCH_MAX; i++)
        last = last->next;
    if (last) {
        queue->head = last->next;
        last->next = NULL;
    }
    if (queue->head == NULL)
        queue->tail = NULL;
    *stopping = queue->stopping && queue->head == NULL;
    uv_mutex_unlock(&queue->lock);
    return batch;
}

/* A reader that died holds on to old pages, and the file grows for as long. */
static void check_readers(struct store *store)
{
    int dead;
    uint64_t now = clock_mono_ms();
    if (now - store->checked_ms < READER_CHECK_MS)
        return;
    store->checked_ms = now;
    mdb_reader_check(store->env, &dead);
}

/* Signals are the loops' business; a fault of this very thread is not put off. */
static void block_signals(void)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
        sigdelset(&set, own[i]);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void run(void *arg)
{
    struct store *store = arg;
    block_signals();
    for (bool stopping = false; !stopping;) {
        struct store_change *batch = take_batch(&store->queue, &stopping);
        if (batch)
            run_batch(store, batch);
        check_readers(store);
        log_flush();
    }
}

int writer_start(struct store *store)
{
    store->checked_ms = clock_mono_ms();
    if (uv_mutex_init(&store->queue.lock))
        return ERR_NOMEM;
    if (uv_cond_init(&store->queue.wake))
        goto no_cond;
    if (uv_thread_create(&store->thread, run, store))
        goto no_thread;
    store->thread_runs = true;
    return 0;
no_thread:
    uv_cond_destroy(&store->queue.wake);
no_cond:
    uv_mutex_destroy(&store->queue.lock);
    return ERR_NOMEM;
}

void writer_stop(struct store *store)
{
    if (!store->thread_runs)
        return;
    uv_mutex_lock(&store->queue.lock);
    store->queue.stopping = true;
    uv_cond_signal(&store->queue.wake);
    uv_mutex_unlock(&store->queue.lock);
    uv_thread_join(&store->thread);
    store->thread_runs = false;
    uv_cond_destroy(&store->queue.wake);
    uv_mutex_destroy(&store->queue.lock);
}

/* --- submitting --------------------------------------------------------------------------------------------
 */

static void enqueue(struct store *store, struct store_change *const *changes, size_t count,
                    struct waiter *waiter)
{
    struct store_queue *queue = &store->queue;
    assert(store->thread_runs);
    uv_mutex_lock(&queue->lock);
    for (size_t i = 0; i < count; i++) {
        changes[i]->next = NULL;
        changes[i]->waiter = waiter;
        if (queue->tail)
            queue->tail->next = changes[i];
        else
            queue->head = changes[i];
        queue->tail = changes[i];
    }
    uv_cond_signal(&queue->wake);
    uv_mutex_unlock(&queue->lock);
}

void store_submit(struct store *store, struct store_change *change)
{
    enqueue(store, &change, 1, NULL);
}

size_t store_apply_all(struct store *store, struct store_change *const *changes, size_t count)
{
    struct waiter waiter = {.pending = count};
    size_t failed = 0;
    if (uv_mutex_init(&waiter.lock))
        goto no_memory;
    if (uv_cond_init(&waiter.wake))
        goto no_cond;
    enqueue(store, changes, count, &waiter);
    uv_mutex_lock(&waiter.lock);
    while (waiter.pending)
        uv_cond_wait(&waiter.wake, &waiter.lock);
    uv_mutex_unlock(&waiter.lock);
    uv_cond_destroy(&waiter.wake);
    uv_mutex_destroy(&waiter.lock);
    for (size_t i = 0; i < count; i++)
        failed += changes[i]->outcome != 0;
    return failed;
no_cond:
    uv_mutex_destroy(&waiter.lock);
no_memory:
    for (size_t i = 0; i < count; i++)
        changes[i]->outcome = ERR_NOMEM;
    return count;
}

int store_apply(struct store *store, struct store_change *change)
{
    store_apply_all(store, &change, 1);
    return change->outcome;
}
