/*
 * A new process takes the listeners over from this one (SIGUSR2): for another program file, or for what of
 * the configuration only a restart changes, without a refused connection.
 *
 *   old: starts the program with the listening sockets, the generations and one end of a channel (inherit.h)
 *   new: builds everything, then says through the channel that it accepts
 *   old: drains: answers what it has with "Connection: close", and ends
 *   new: sees the channel's end, and takes what can belong to one process alone
 *
 * If the new one ends, or is not ready in time, the old one goes on as if nothing had been asked.
 */
#ifndef HANDOVER_H
#define HANDOVER_H

#include <sys/types.h>

#include "base/loop.h"
#include "inherit.h"

enum { HANDOVER_READY_MS = 30 * 1000 };

/* --- the old process ------------------------------------------------------------------------------------ */

/* The file of this program, and how it was called: before anything changes either. */
struct handover_program {
    char path[4096];
    char **argv;
};
void handover_remember(struct handover_program *program, char **argv);

struct handover {
    struct loop *loop;
    struct loop_io io;
    struct loop_timer timer;
    pid_t child; /* 0: nothing is under way */
    int channel; /* once it is done: open until this process ends, which the new one sees by it */
    void *owner;
    /* Once, on the loop. `why` is NULL when the new process, of that id, has the listeners. */
    void (*on_end)(void *owner, pid_t child, const char *why);
};

/* On the loop, with its owner and on_end set. ERR_INUSE: one is under way; ERR_IO and others: nothing was
 * started. */
int handover_start(struct handover *handover, struct loop *loop, const struct handover_program *program,
                   const struct inheritance *mine, struct fault *fault) MUST_CHECK;
/* Ends the new process if one is being waited for; on_end is not called. */
void handover_cancel(struct handover *handover);

/* --- the new process ------------------------------------------------------------------------------------ */

struct predecessor {
    struct loop_io io;
    int channel;
    bool open;
    void *owner;
    void (*on_gone)(void *owner);
};
/* Everything stands: tells the old process, and tells us, on the loop, when it has gone. */
int predecessor_relieve(struct predecessor *predecessor, struct loop *loop, int channel) MUST_CHECK;
/* Before the loop ends. A zeroed one is allowed. */
void predecessor_close(struct predecessor *predecessor);

#endif
