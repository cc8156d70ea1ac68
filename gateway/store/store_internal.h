/* What the files of this room share. */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "store/store.h"

/*
 * Whoever runs transactions: each view, and the writer. LMDB may move the map only while no transaction of
 * the process is active; that happens once another process has made it larger. A user raises its own flag and
 * then looks at `moving`; the mover raises `moving` and then waits for all flags to fall (store_map_follow).
 * Nobody shares a line of memory with anybody in the usual case.
 */
struct store_user {
    struct list node;
    _Alignas(64) atomic_bool active;
};

struct store_queue {
    uv_mutex_t lock;
    uv_cond_t wake;
    struct store_change *head, *tail;
    bool stopping;
};

struct store {
    MDB_env *env;
    MDB_dbi tables[STORE_TABLE_MAX];
    bool present[STORE_TABLE_MAX]; /* false only for a read-only store without that table */
    size_t table_count;
    size_t page_size;
    MDB_dbi meta;
    _Atomic(const char *) map; /* as of the present write transaction; NULL: not known */
    bool read_only, disposable;
    const char *contents;
    int directory; /* of a disposable store: locked while it is open; else -1 */
    char *path;

    pthread_mutex_t users_lock;
    struct list users;
    atomic_bool moving;

    struct store_user writer;
    uv_thread_t thread;
    bool thread_runs;
    struct store_queue queue;
    uint64_t checked_ms; /* when the reader table was last looked through */
    atomic_uint_fast64_t commits, changes, failures;
};

struct store_txn {
    struct store *store;
    MDB_txn *txn;
    bool roomy; /* false: only the reserve is left, puts are refused */
    bool wrote; /* the present change has touched the transaction */
    int failed; /* first error of a write of the present change */
};

/* --- store.c --- */
int store_error(int rc);
int store_open_once(struct store **out, const struct store_options *options, struct fault *fault) MUST_CHECK;
void store_user_add(struct store *store, struct store_user *user);
void store_user_remove(struct store *store, struct store_user *user);
/* Begins (or renews, *txn != NULL) a transaction for the user, which is active afterwards when 0 is returned.
 * An LMDB code. */
int store_user_begin(struct store *store, struct store_user *user, unsigned flags, MDB_txn **txn);
void store_user_end(struct store_user *user);

/* --- record.c: what stands before each value --- */
enum { RECORD_VERSION = 1, RECORD_HEADER = 9 };
void record_seal(char *header, struct slice key, struct slice value);
int record_open(const struct store *store, struct slice key, MDB_val raw, struct slice *value) MUST_CHECK;
/* Notes where the map stands: when a write transaction begins, which has changed nothing. */
void record_find_map(struct store *store, MDB_txn *txn);
/* The reading side of views and transactions alike. */
int record_get(const struct store *store, MDB_txn *txn, int table, struct slice key,
               struct slice *value) MUST_CHECK;
struct record_walk {
    struct slice from;
    bool (*visit)(struct slice key, struct slice value, void *arg);
    void *arg;
    size_t damaged;
};
int record_scan(const struct store *store, MDB_txn *txn, int table, struct record_walk *walk) MUST_CHECK;

/* --- format.c: whether a file is ours --- */
int format_check_file(const struct store_options *options, struct fault *fault) MUST_CHECK;
int format_open_tables(struct store *store, const struct store_options *options,
                       struct fault *fault) MUST_CHECK;

/* --- disposable.c: stores that begin anew rather than be repaired --- */
int disposable_open(struct store **out, const struct store_options *options, struct fault *fault) MUST_CHECK;
/* Was the file left in a state that can be believed? Called before LMDB looks at it; from here on the mark
 * says that it is open. `directory` is its locked directory. */
int disposable_enter(const struct store_options *options, int directory, struct fault *fault) MUST_CHECK;
/* Syncs, and says so in the mark. */
void disposable_leave(struct store *store);
/* LMDB is about to end the process over the file's content: the next process shall not meet it. */
void disposable_condemn(const struct store *store);
/* May the file grow, or is the disk nearly full? */
bool disposable_may_grow(const struct store *store);

/* --- pages.c: whether its pages make sense; sets page_size --- */
int pages_check(struct store *store, struct fault *fault) MUST_CHECK;

/* --- writer.c --- */
int writer_start(struct store *store) MUST_CHECK;
void writer_stop(struct store *store);

#endif
