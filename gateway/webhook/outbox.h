/*
 * What goes out: each event once, in the order of its commit, under a number that only grows; and for each
 * subscriber that wants it a row (subscriber, credential, number) until it has it. Both are written in the
 * transaction that takes the event in. The window is bounded by age and count: the oldest go as new ones
 * come. Shared by all workers; what has no thread named may be called from any.
 *
 * Numbers begin with the time at which the store was made, so that one of an earlier store, which a consumer
 * still remembers, is known to be from before.
 */
#ifndef WEBHOOK_OUTBOX_H
#define WEBHOOK_OUTBOX_H

#include <stdatomic.h>

#include "webhook/audience.h"
#include "webhook/letter.h"

struct outbox;

/* The tables: letters, rows, and letters that could not be delivered. */
#define OUTBOX_TABLES "outbox", "relay", "dead"
enum { OUTBOX_TABLE_COUNT = 3, OUTBOX_LETTERS = 0, OUTBOX_ROWS = 1, OUTBOX_DEAD = 2 };

struct outbox_bounds {
    uint64_t keep_ms, count_max; /* of the window */
    uint64_t dead_max;           /* dead letters */
    unsigned streams_max;
};

/* NULL: out of memory. The store is borrowed. */
struct outbox *outbox_create(struct store *store, int first_table);
/* Before the first event: numbers have begun, so that who reads up to nothing knows where he stands. Without
 * it they begin with the first event. */
int outbox_begin(struct outbox *outbox) MUST_CHECK;
/* After the store has called back all changes. */
void outbox_destroy(struct outbox *outbox);
/* Retains the audience; for what is applied from now on. */
void outbox_configure(struct outbox *outbox, struct audience *audience, const struct outbox_bounds *bounds);
struct outbox_bounds outbox_bounds(struct outbox *outbox);
/* Index of one of the room's tables in the store. */
int outbox_table(const struct outbox *outbox, int which);
struct store *outbox_store(const struct outbox *outbox);

/* --- inside a transaction -------------------------------------------------------------------------- */

/* Writes the letter (its number is chosen here) and the rows of those who want it, and forgets what is out of
 * the window. *number may be NULL. Errors as letter_write; ERR_NOTFOUND: `only` names no subscriber. */
int outbox_put(struct outbox *outbox, struct store_txn *txn, const struct letter *letter,
               uint64_t *number) MUST_CHECK;
/* Forgets up to `most` letters that are out of the window. */
int outbox_trim(struct outbox *outbox, struct store_txn *txn, unsigned most) MUST_CHECK;

/* --- reading --------------------------------------------------------------------------------------- */

/* The numbers that are kept are from first to last; last + 1 == first when none is. */
struct outbox_window {
    uint64_t first, last;
};
int outbox_window(struct outbox *outbox, struct store_view *view, struct outbox_window *out) MUST_CHECK;
/* Inside a transaction; one that was never written begins here. */
int outbox_txn_window(struct outbox *outbox, struct store_txn *txn, struct outbox_window *out) MUST_CHECK;
/* Letters of the window, for letter_read and letter_scan. */
struct letter_place outbox_letters(struct outbox *outbox, struct store_view *view);

/* --- rows ------------------------------------------------------------------------------------------ */

enum { OUTBOX_KEY_MAX = AUDIENCE_NAME_MAX + 1 + 128 + 1 + 8 };

/* A row's key: all of a subscriber's stand together, of these all of a credential's, in the order of numbers.
 */
struct outbox_row {
    struct slice name, credential_id;
    uint64_t number;
};
int outbox_row_write(struct buf *out, const struct outbox_row *row) MUST_CHECK;
/* False: no row's key. Slices point into the key. */
bool outbox_row_read(struct slice key, struct outbox_row *out);

/* How delivery stands, a row's value. */
struct outbox_state {
    uint32_t attempts;
    int64_t next_ms; /* wall time of the next try; 0: now */
};
enum { OUTBOX_STATE = 12 };
void outbox_state_write(char out[OUTBOX_STATE], const struct outbox_state *state);
struct outbox_state outbox_state_read(struct slice value);

/* --- news ------------------------------------------------------------------------------------------ */

/* Somebody who is told on a loop that there are new letters: once, however many. Zeroed but for `loop` and
 * on_news; may listen, unlisten and listen again. */
struct outbox_listener {
    struct list node; /* the outbox's from here … */
    struct loop_task task;
    atomic_bool posted; /* … to here */
    struct loop *loop;
    void (*on_news)(struct outbox_listener *listener);
};
void outbox_listen(struct outbox *outbox, struct outbox_listener *listener);
/* After this no news are posted; one may be on its way. */
void outbox_unlisten(struct outbox *outbox, struct outbox_listener *listener);
/* New letters are committed. */
void outbox_announce(struct outbox *outbox);

/* --- streams --------------------------------------------------------------------------------------- */

/* One more stream in the process; false: there are streams_max. */
bool outbox_stream_open(struct outbox *outbox);
void outbox_stream_close(struct outbox *outbox);
unsigned outbox_streams(struct outbox *outbox);

#endif
