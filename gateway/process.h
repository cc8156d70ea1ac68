/* What concerns the process as a whole: hardening, signals, the service manager. */
#ifndef PROCESS_H
#define PROCESS_H

#include "base/loop.h"

/* No core dumps and no ptrace by strangers (secrets live here), SIGPIPE ignored, private files, as many
 * descriptors as allowed. Before any thread. */
void process_harden(void);
/* Blocks the signals that we handle, in this thread and those it starts. Before any thread. */
int process_block_signals(void) MUST_CHECK;

/* Hears SIGHUP, SIGTERM, SIGINT and SIGUSR2 on a loop. One per process. */
struct process_signals {
    struct loop_io io;
    int fd;
    void *owner;
    void (*on_signal)(void *owner, int number);
};
int process_signals_open(struct process_signals *signals, struct loop *loop, void *owner,
                         void (*on_signal)(void *owner, int number)) MUST_CHECK;
void process_signals_close(struct process_signals *signals);

/* Tells systemd ("READY=1"); nothing without NOTIFY_SOCKET. Any thread. */
void process_notify(const char *state);
/* The same for what has to say when it was (RELOADING=1, Type=notify-reload). */
void process_notify_reloading(void);
/* How often systemd wants to hear WATCHDOG=1 of this process, with two more chances before it is late; 0:
 * never. Once, before any thread: a process that we start is watched in our place. */
uint64_t process_watchdog_ms(void);

#endif
