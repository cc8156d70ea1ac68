#include "process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

void process_harden(void)
{
    struct rlimit none = {0, 0}, files;
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGUSR2);
}

int process_block_signals(void)
{
    sigset_t set;
    signal_set(&set);
    return pthread_sigmask(SIG_BLOCK, &set, NULL) ? ERR_IO : 0;
}

static void on_ready(struct loop_io *io, unsigned events)
{
    struct process_signals *signals = container_of(io, struct process_signals, io);
    struct signalfd_siginfo info;
    (void)events;
    while (read(signals->fd, &info, sizeof info) == (ssize_t)sizeof info)
        signals->on_signal(signals->owner, (int)info.ssi_signo);
}

int process_signals_open(struct process_signals *signals, struct loop *loop, void *owner,
                         void (*on_signal)(void *owner, int number))
{
    sigset_t set;
    signal_set(&set);
    signals->owner = owner;
    signals->on_signal = on_signal;
    signals->fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (signals->fd < 0)
        return ERR_IO;
    if (loop_io_open(loop, &signals->io, signals->fd, on_ready)) {
        close(signals->fd);
        return ERR_IO;
    }
    loop_io_watch(&signals->io, LOOP_READ);
    return 0;
}

static void on_closed(struct loop_io *io)
{
    (void)io;
}

void process_signals_close(struct process_signals *signals)
{
    loop_io_close(&signals->io, on_closed);
    close(signals->fd);
}

void process_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0)
        log_message(LOG_WARN, "notify-failed", "the service manager could not be told");
    close(fd);
}

void process_notify_reloading(void)
{
    char text[64];
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(clock_mono_ns() / 1000));
    process_notify(text);
}

uint64_t process_watchdog_ms(void)
{
    enum { CHANCES = 3 };
    const char *pid = getenv("WATCHDOG_PID"), *usec = getenv("WATCHDOG_USEC");
    uint64_t number, every_us;
    bool ours = !pid || (slice_to_u64(slice_from(pid), &number) && number == (uint64_t)getpid());
    bool wanted = ours && usec && slice_to_u64(slice_from(usec), &every_us) && every_us > 0;
    unsetenv("WATCHDOG_PID");
    return !wanted ? 0 : every_us < CHANCES * 1000 ? 1 : every_us / (CHANCES * 1000);
}
