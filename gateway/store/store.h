/*
 * Named tables of bytes that survive a restart, over one LMDB environment (directory `state`). Reads happen
 * on the caller's thread from the memory map. Writes are gathered into batches on one writer thread; what was
 * acknowledged is on disk (default sync flags). Each record carries a version byte and a checksum, added and
 * checked here: a damaged one is reported as ERR_CORRUPT, never returned. Several processes may use the same
 * directory (the command line beside a running server); one process opens it once (LMDB's locks are the
 * process's).
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "base/loop.h"
#include "base/slice.h"

struct store;

struct store_options {
    const char *path;          /* directory, created (0700) when missing */
    const char *const *tables; /* NULL-terminated names, at most 16 */
    size_t map_size;           /* bytes of address space; 0: 16 GiB */
    bool read_only;
    const char *contents; /* NULL, or what the tables hold and in which version ("cache 1"): a file that was
                             made for anything else is foreign. Borrowed for the store's life, short */
    bool disposable;      /* what it holds can be lost: see below */
};

enum { STORE_KEY_MAX = 500, STORE_VALUE_MAX = 1 << 20, STORE_TABLE_MAX = 16 };

/*
 * A disposable store (directory `cache`) is never synced while it is open. A commit is there for the next
 * process of this boot, also when this one is killed; only store_close syncs, so after a crash of the machine
 * the file is not believed. One that is damaged, foreign, of another version or not to be believed is renamed
 * to PATH.damaged-TIME (the one before it is deleted), one that has outgrown map_size is deleted; either is
 * said in one warning, and a new one begun. It belongs to one process: ERR_INUSE for a second one. Where the
 * disk is nearly full it does not grow. store_open's other errors mean: go on without.
 */

/* ERR_CORRUPT (damaged or foreign file: nothing was overwritten), ERR_DENIED, ERR_IO, ERR_NOMEM, ERR_INVALID
 * (network file system), ERR_NOTFOUND (read_only, and nothing is there), with one clear line in the fault.
 * Clears reader slots of dead processes. A read-only store takes no changes, and a table that nobody made yet
 * is empty. */
int store_open(struct store **out, const struct store_options *options, struct fault *fault) MUST_CHECK;
/* Commits what is queued, calls its callbacks (or posts them), ends the writer thread. Every view must be
 * destroyed. NULL is allowed. */
void store_close(struct store *store);
/* Deletes a disposable store that nobody has open: its own files, and the directory when nothing else is in
 * it. 0 also where nothing is; ERR_INUSE, ERR_DENIED, ERR_IO. */
int store_discard(const char *path, struct fault *fault) MUST_CHECK;

/* --- reading (any thread)
 * ------------------------------------------------------------------------------------ */

/* A consistent view, cheap to renew: each worker keeps one (not shared between threads). Slices that reads
 * return live until store_view_end: keep it short. */
struct store_view;
/* NULL when out of memory. */
struct store_view *store_view_create(struct store *store);
/* NULL is allowed. */
void store_view_destroy(struct store_view *view);
/* 0, ERR_LIMIT (500 views in all processes), ERR_NOMEM, ERR_IO. */
int store_view_begin(struct store_view *view) MUST_CHECK;
void store_view_end(struct store_view *view);
/* Between begin and end. `table` is the index in options.tables. 0, ERR_NOTFOUND, ERR_CORRUPT, ERR_IO. */
int store_get(struct store_view *view, int table, struct slice key, struct slice *value) MUST_CHECK;
/* Walks keys >= from in order until visit returns false. Damaged records are passed over and counted in
 * *damaged (may be NULL). 0, ERR_CORRUPT (the walk could not go on), ERR_IO. */
int store_scan(struct store_view *view, int table, struct slice from,
               bool (*visit)(struct slice key, struct slice value, void *arg), void *arg, size_t *damaged);

/* --- writing
 * ------------------------------------------------------------------------------------------------- */

/* A change is a function that runs on the writer thread inside the write transaction, so that
 * read-modify-write is atomic against other threads and processes. It returns 0, or an error: then this
 * change alone is undone. Afterwards, when the batch is committed (or failed), on_done runs on `loop` with
 * the outcome: 0, what apply returned, ERR_FULL, ERR_IO. loop == NULL: on_done runs on the writer thread.
 *
 * apply may be called twice: a change that fails after it has written takes the batch's transaction with it,
 * and then each change of the batch is run again in a transaction of its own. So apply sets all its results
 * anew on each call. An error of store_txn_put or store_txn_delete is the change's outcome, whatever apply
 * returns. */
struct store_txn;
struct store_change {
    struct store_change *next; /* the store's */
    int (*apply)(struct store_change *change, struct store_txn *txn);
    void (*on_done)(struct store_change *change);
    struct loop *loop;
    struct loop_task task; /* the store's */
    void *waiter;          /* the store's */
    int outcome;
};
/* Any thread. The change's memory is the store's until on_done. Changes of one thread are applied in the
 * order of submission. */
void store_submit(struct store *store, struct store_change *change);
/* For the command line and start-up: submits and waits; on_done and loop are not used. Returns the outcome.
 * Not from a loop, an apply or an on_done. */
int store_apply(struct store *store, struct store_change *change);
/* The same for many, which share a few commits: each tells its own outcome. Returns the number that failed.
 */
size_t store_apply_all(struct store *store, struct store_change *const *changes, size_t count);

/* Inside apply. The value that txn_get returns lives until the next put or delete: it can't be the value of a
 * put. */
int store_txn_get(struct store_txn *txn, int table, struct slice key, struct slice *value) MUST_CHECK;
/* 0, ERR_INVALID (key or value too long, or no key), ERR_FULL (a last reserve is kept for deletes),
 * ERR_CORRUPT, ERR_IO. */
int store_txn_put(struct store_txn *txn, int table, struct slice key, struct slice value) MUST_CHECK;
/* 0, ERR_NOTFOUND, and as put. */
int store_txn_delete(struct store_txn *txn, int table, struct slice key) MUST_CHECK;
/* Bytes that this transaction can still allocate, roughly: free pages of the file, and its growth. */
uint64_t store_txn_room(const struct store_txn *txn);
/* As store_scan. visit may not write. */
int store_txn_scan(struct store_txn *txn, int table, struct slice from,
                   bool (*visit)(struct slice key, struct slice value, void *arg), void *arg);

struct store_stats {
    uint64_t commits, changes, failures; /* since open */
    uint64_t used_bytes, map_bytes;      /* used: the file's pages, free ones among them included */
};
void store_stats(struct store *store, struct store_stats *out);

/* A number of this boot of the machine, 0 when unknown: monotonic times of two processes can be compared
 * where it is the same. */
uint64_t store_boot(void);

#endif
