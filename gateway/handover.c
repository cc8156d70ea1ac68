#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST = 3, GIFTS_MAX = 2 * INHERIT_WORKERS_MAX + 8, NAMES_MAX = GIFTS_MAX * 12 };

extern char **environ;

/* What the new process gets: descriptors from FIRST on, and what they are called. */
struct gifts {
    int fds[GIFTS_MAX];
    unsigned count;
    struct buf names;
};

static void on_ready(struct loop_io *io, unsigned events);

/* --- the program ---------------------------------------------------------------------------------------- */

void handover_remember(struct handover_program *program, char **argv)
{
    ssize_t len = readlink("/proc/self/exe", program->path, sizeof program->path - 1);
    program->path[len > 0 ? len : 0] = '\0';
    program->argv = argv;
}

/* By the name it was called by, where that is a path: a link may point to another version by now. */
static const char *program_file(const struct handover_program *program)
{
    const char *called = program->argv[0];
    return strchr(called, '/') && access(called, X_OK) == 0 ? called : program->path;
}

/* --- gifts ---------------------------------------------------------------------------------------------- */

static void give(struct gifts *gifts, const char *name, int fd)
{
    buf_append_format(&gifts->names, "%s%s", gifts->count > 0 ? ":" : INHERIT_VARIABLE "=", name);
    gifts->fds[gifts->count++] = fd;
}

static bool is_same_socket(int a, int b)
{
    struct stat one, other;
    return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* Each socket once, though several workers may have a descriptor of it. */
static void give_listeners(struct gifts *gifts, const struct inheritance *mine)
{
    for (int i = 0; i < INHERIT_LISTENERS; i++) {
        const int *fds = mine->listeners[i].fds;
        for (unsigned k = 0; k < mine->listeners[i].count; k++) {
            bool known = false;
            for (unsigned earlier = 0; earlier < k && !known; earlier++)
                known = is_same_socket(fds[earlier], fds[k]);
            if (!known)
                give(gifts, inherit_name((enum inherit_listener)i), fds[k]);
        }
    }
}

/* To numbers that none of them has as its place in the new process: there, putting one into its place closes
 * no other. */
static int lift(struct gifts *gifts)
{
    for (unsigned i = 0; i < gifts->count; i++) {
        gifts->fds[i] = fcntl(gifts->fds[i], F_DUPFD_CLOEXEC, FIRST + (int)gifts->count);
        if (gifts->fds[i] < 0) {
            gifts->count = i;
            return ERR_IO;
        }
    }
    return 0;
}

static void drop(struct gifts *gifts)
{
    for (unsigned i = 0; i < gifts->count; i++)
        close(gifts->fds[i]);
}

/* --- starting ------------------------------------------------------------------------------------------- */

/* No signal is blocked in the new process; what it ignores it says itself. */
static int spawn(const struct gifts *gifts, const struct handover_program *program, char **environment,
                 pid_t *child)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&actions))
        return ENOMEM;
    if (posix_spawnattr_init(&attributes)) {
        posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    int error = posix_spawnattr_setsigmask(&attributes, &none);
    if (!error)
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    for (unsigned i = 0; i < gifts->count && !error; i++)
        error = posix_spawn_file_actions_adddup2(&actions, gifts->fds[i], FIRST + (int)i);
    if (!error)
        error = posix_spawn(child, program_file(program), &actions, &attributes, program->argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* The environment as it is, and the names. */
static char **environment_with(char *names)
{
    size_t count = 0;
    while (environ[count])
        count++;
    char **made = calloc(count + 2, sizeof *made);
    if (!made)
        return NULL;
    memcpy(made, environ, count * sizeof *made);
    made[count] = names;
    return made;
}

static int start_program(struct gifts *gifts, const struct handover_program *program, pid_t *child,
                         struct fault *fault)
{
    buf_append_char(&gifts->names, '\0');
    char **environment = gifts->names.failed ? NULL : environment_with(gifts->names.ptr);
    int error = ENOMEM;
    if (environment)
        error = lift(gifts) ? errno : spawn(gifts, program, environment, child);
    else
        gifts->count = 0;
    drop(gifts);
    free(environment);
    return error ? fault_set(fault, ERR_IO, "%s could not be started: %s", program_file(program),
                             strerror(error))
                 : 0;
}

static void on_late(struct loop_timer *timer);

static int watch(struct handover *handover, struct fault *fault)
{
    if (loop_io_open(handover->loop, &handover->io, handover->channel, on_ready))
        return fault_set(fault, ERR_IO, "no memory or descriptors");
    loop_io_watch(&handover->io, LOOP_READ);
    return 0;
}

static void on_io_closed(struct loop_io *io)
{
    (void)io;
}

static void unwatch(struct handover *handover)
{
    loop_timer_clear(handover->loop, &handover->timer);
    loop_io_close(&handover->io, on_io_closed);
}

int handover_start(struct handover *handover, struct loop *loop, const struct handover_program *program,
                   const struct inheritance *mine, struct fault *fault)
{
    int ends[2];
    struct gifts gifts = {.count = 0};
    if (handover->child)
        return fault_set(fault, ERR_INUSE, "the process %ld is already being waited for",
                         (long)handover->child);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
        return fault_set(fault, ERR_IO, "no channel: %s", strerror(errno));
    handover->loop = loop;
    handover->channel = ends[0];
    int error = loop_timer_set(loop, &handover->timer, loop_now(loop) + HANDOVER_READY_MS, on_late);
    if (!error)
        error = watch(handover, fault);
    if (error) {
        loop_timer_clear(loop, &handover->timer);
        close(ends[0]);
        close(ends[1]);
        return error;
    }
    buf_init(&gifts.names, NAMES_MAX);
    give_listeners(&gifts, mine);
    give(&gifts, INHERIT_CHANNEL, ends[1]);
    give(&gifts, INHERIT_GENERATIONS, mine->generations);
    error = start_program(&gifts, program, &handover->child, fault);
    buf_deinit(&gifts.names);
    close(ends[1]);
    if (error) {
        unwatch(handover);
        close(ends[0]);
    }
    return error;
}

/* --- waiting -------------------------------------------------------------------------------------------- */

/* It has ended, or does now. */
static int reap(pid_t child)
{
    int status = 0;
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

static void fail(struct handover *handover, const char *late)
{
    char why[96];
    pid_t child = handover->child;
    unwatch(handover);
    close(handover->channel);
    handover->child = 0;
    int status = reap(child);
    if (late)
        snprintf(why, sizeof why, "%s", late);
    else if (WIFEXITED(status))
        snprintf(why, sizeof why, "the new process ended with status %d before it was ready",
                 WEXITSTATUS(status));
    else
        snprintf(why, sizeof why, "the new process ended by signal %d before it was ready", WTERMSIG(status));
    handover->on_end(handover->owner, child, why);
}

static void on_late(struct loop_timer *timer)
{
    struct handover *handover = container_of(timer, struct handover, timer);
    fail(handover, "the new process was not ready in 30 s");
}

static void on_ready(struct loop_io *io, unsigned events)
{
    struct handover *handover = container_of(io, struct handover, io);
    char byte;
    (void)events;
    ssize_t got = read(handover->channel, &byte, 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got != 1) {
        fail(handover, NULL);
        return;
    }
    pid_t child = handover->child;
    unwatch(handover);
    handover->child = 0;
    handover->on_end(handover->owner, child, NULL);
}

void handover_cancel(struct handover *handover)
{
    if (!handover->child)
        return;
    unwatch(handover);
    close(handover->channel);
    reap(handover->child);
    handover->child = 0;
}

/* --- the new process ------------------------------------------------------------------------------------ */

static void on_channel(struct loop_io *io, unsigned events)
{
    struct predecessor *predecessor = container_of(io, struct predecessor, io);
    char byte;
    (void)events;
    ssize_t got = read(predecessor->channel, &byte, 1);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    predecessor_close(predecessor);
    predecessor->on_gone(predecessor->owner);
}

int predecessor_relieve(struct predecessor *predecessor, struct loop *loop, int channel)
{
    predecessor->channel = channel;
    if (loop_io_open(loop, &predecessor->io, channel, on_channel))
        return ERR_IO;
    predecessor->open = true;
    loop_io_watch(&predecessor->io, LOOP_READ);
    return send(channel, "R", 1, MSG_NOSIGNAL) == 1 ? 0 : ERR_CLOSED;
}

void predecessor_close(struct predecessor *predecessor)
{
    if (!predecessor->open)
        return;
    predecessor->open = false;
    loop_io_close(&predecessor->io, on_io_closed);
    close(predecessor->channel);
}
