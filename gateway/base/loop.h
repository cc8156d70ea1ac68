/*
 * An event loop on one thread, over libuv. Three things happen on it: descriptors become ready, timers fire,
 * and tasks run: posted from any thread, or deferred to the end of the present turn. Nothing here blocks. All
 * functions belong to the loop's own thread except loop_post and loop_stop.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <uv.h>

#include "base/error.h"
#include "base/list.h"

struct loop;

/* NULL when the system refuses. */
struct loop *loop_create(void);
/* After loop_run returned: frees. Every io must have been closed. */
void loop_destroy(struct loop *loop);
/* Runs until loop_stop, then one more turn, and on until closed io's have had their callback. */
void loop_run(struct loop *loop);
/* Any thread, any number of times. */
void loop_stop(struct loop *loop);
/* Monotonic milliseconds (clock_mono_ms), read once a turn, when first asked for. */
uint64_t loop_now(const struct loop *loop);
/* The libuv loop, for rooms that must hand it to a library. */
uv_loop_t *loop_uv(struct loop *loop);

/* --- descriptors
 * --------------------------------------------------------------------------------------------- */

enum { LOOP_READ = UV_READABLE, LOOP_WRITE = UV_WRITABLE, LOOP_HANGUP = UV_DISCONNECT };

struct loop_io {
    uv_poll_t poll;
    unsigned events; /* what is watched now */
    void (*on_ready)(struct loop_io *io, unsigned events);
    void (*on_closed)(struct loop_io *io);
};

/* Watches fd (non-blocking, stays the caller's) with no events yet. 0 or ERR_IO. */
int loop_io_open(struct loop *loop, struct loop_io *io, int fd,
                 void (*on_ready)(struct loop_io *io, unsigned events)) MUST_CHECK;
/* Sets what is watched; nothing happens when it is the same set. A change costs two system calls: change
 * rarely. An error on the descriptor is reported as LOOP_READ | LOOP_WRITE: the next read or write tells it.
 * Watching has stopped then (events is 0). */
void loop_io_watch(struct loop_io *io, unsigned events);
/* Stops watching at once (no on_ready any more); on_closed follows in a later turn and the memory is the
 * caller's again then. The caller may close(fd) straight after this call. Calling it twice is a fault of
 * ours. */
void loop_io_close(struct loop_io *io, void (*on_closed)(struct loop_io *io));

/* --- timers
 * -------------------------------------------------------------------------------------------------- */

/* Zeroed memory is a valid unarmed timer. Needs no closing: clear it before freeing. */
struct loop_timer {
    uint64_t deadline; /* when it is to fire; 0 while unarmed */
    uint64_t queued;   /* the key it stands under in the heap: at most deadline */
    size_t index;      /* place in the heap + 1; 0 when not in it */
    void (*on_timer)(struct loop_timer *timer);
};

/* Arms or moves it. Moving to a later time is O(1) (done lazily), else O(log n). Fires once, never early,
 * unarmed before the callback. A time that is past fires in this or the next turn. 0 or ERR_NOMEM (only for a
 * timer that was not armed; it stays so). */
int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ms,
                   void (*on_timer)(struct loop_timer *timer));
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

/* --- tasks
 * --------------------------------------------------------------------------------------------------- */

struct loop_task {
    struct loop_task *next;
    void (*run)(struct loop_task *task);
};

/* Any thread: run(task) is called on the loop, in the order of posting from one thread. The task's memory
 * belongs to the loop until then. A task may not be posted again before it ran. */
void loop_post(struct loop *loop, struct loop_task *task);
/* Own thread: run at the end of this turn, before the loop sleeps, in the order of deferring. What a deferred
 * task defers runs after the next look at the descriptors, without sleep. Tasks left when loop_run ends do
 * not run. */
void loop_defer(struct loop *loop, struct loop_task *task);

#endif
