#include "inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server.h"

enum { FIRST = 3, COUNT_MAX = 1024 };

const char *inherit_name(enum inherit_listener listener)
{
    static const char *const names[] = {"data", "webhooks", "admin"};
    return names[listener];
}

/* --- taking --------------------------------------------------------------------------------------------- */

static bool is_listening(int fd)
{
    int listens = 0, type = 0;
    socklen_t len = sizeof listens;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM;
}

static int add_listener(struct inheritance *in, struct slice name, int fd, struct fault *fault)
{
    if (!is_listening(fd))
        return fault_set(fault, ERR_INVALID, "the inherited descriptor %d is not a listening stream socket",
                         fd);
    for (int i = 0; i < INHERIT_LISTENERS; i++) {
        unsigned most = i == INHERIT_ADMIN ? 1 : INHERIT_WORKERS_MAX;
        if (!slice_equal(name, slice_from(inherit_name((enum inherit_listener)i))))
            continue;
        if (in->listeners[i].count == most)
            return fault_set(fault, ERR_INVALID, "more than %u inherited sockets are named %s", most,
                             inherit_name((enum inherit_listener)i));
        in->listeners[i].fds[in->listeners[i].count++] = fd;
        return 0;
    }
    if (in->loose_count == INHERIT_LOOSE_MAX)
        return fault_set(fault, ERR_INVALID, "more than %d inherited sockets have no name of ours",
                         INHERIT_LOOSE_MAX);
    in->loose[in->loose_count++] = fd;
    return 0;
}

/* `ours`: from a predecessor, which may be of a later version and hand over more than is known here. */
static int place(struct inheritance *in, struct slice name, int fd, bool ours, struct fault *fault)
{
    if (ours && slice_equal(name, SLICE(INHERIT_CHANNEL)))
        in->channel = fd;
    else if (ours && slice_equal(name, SLICE(INHERIT_GENERATIONS)))
        in->generations = fd;
    else if (ours && !is_listening(fd))
        close(fd);
    else
        return add_listener(in, name, fd, fault);
    return 0;
}

static int take_all(struct inheritance *in, struct slice names, uint64_t count, bool ours,
                    struct fault *fault)
{
    for (uint64_t i = 0; i < count; i++) {
        struct slice name, rest;
        int fd = FIRST + (int)i;
        slice_cut(names, ':', &name, &rest);
        names = rest;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
            return fault_set(fault, ERR_INVALID, "the inherited descriptor %d: %s", fd, strerror(errno));
        int error = place(in, name, fd, ours, fault);
        if (error)
            return error;
    }
    return 0;
}

static uint64_t count_names(struct slice names)
{
    uint64_t count = 1;
    for (size_t i = 0; i < names.len; i++)
        count += names.ptr[i] == ':';
    return count;
}

/* What is meant for another process of this environment is left alone. */
static int take_from_systemd(struct inheritance *in, struct fault *fault)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    uint64_t number;
    if (!pid || !fds || !slice_to_u64(slice_from(pid), &number) || number != (uint64_t)getpid())
        return 0;
    if (!slice_to_u64(slice_from(fds), &number) || number > COUNT_MAX)
        return fault_set(fault, ERR_INVALID, "LISTEN_FDS: expected a number, at most %d", COUNT_MAX);
    return take_all(in, slice_from(names ? names : ""), number, false, fault);
}

int inherit_take(struct inheritance *in, struct fault *fault)
{
    *in = (struct inheritance){.channel = -1, .generations = -1};
    const char *handed = getenv(INHERIT_VARIABLE);
    int error = handed ? take_all(in, slice_from(handed), count_names(slice_from(handed)), true, fault)
                       : take_from_systemd(in, fault);
    unsetenv(INHERIT_VARIABLE);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return error;
}

/* --- opening -------------------------------------------------------------------------------------------- */

unsigned inherit_workers(const struct inheritance *in, unsigned wanted)
{
    for (int i = 0; i < INHERIT_ADMIN; i++)
        wanted = in->listeners[i].count > wanted ? in->listeners[i].count : wanted;
    return wanted;
}

static const char *address_of(const struct config *config, int listener)
{
    const struct config_listener *const each[] = {&config->listen.data, &config->listen.webhooks,
                                                  &config->listen.admin};
    return each[listener]->address;
}

/* The listener of a nameless socket: INHERIT_LISTENERS when it is nobody's. */
static int owner_of(const struct inheritance *in, const struct config *config, int fd, bool by_address)
{
    for (int i = 0; i < INHERIT_LISTENERS; i++)
        if (in->listeners[i].count == 0 && (!by_address || server_listens_at(fd, address_of(config, i))))
            return i;
    return INHERIT_LISTENERS;
}

static int settle_loose(struct inheritance *in, const struct config *config, struct fault *fault)
{
    for (int by_address = 1; by_address >= 0; by_address--)
        for (unsigned i = 0; i < in->loose_count; i++) {
            int fd = in->loose[i], owner = fd < 0 ? INHERIT_LISTENERS : owner_of(in, config, fd, by_address);
            if (owner == INHERIT_LISTENERS)
                continue;
            in->listeners[owner].fds[in->listeners[owner].count++] = fd;
            in->loose[i] = -1;
        }
    for (unsigned i = 0; i < in->loose_count; i++)
        if (in->loose[i] >= 0)
            return fault_set(fault, ERR_INVALID,
                             "the inherited descriptor %d: there are more sockets than listeners",
                             in->loose[i]);
    return 0;
}

/* Several workers may accept from one socket. */
static int spread(struct inheritance *in, int listener, unsigned workers, struct fault *fault)
{
    int *fds = in->listeners[listener].fds;
    const unsigned own = in->listeners[listener].count;
    for (unsigned i = own; i < workers; i++) {
        fds[i] = fcntl(fds[i % own], F_DUPFD_CLOEXEC, FIRST);
        if (fds[i] < 0)
            return fault_set(fault, ERR_IO, "cannot duplicate a socket: %s", strerror(errno));
    }
    in->listeners[listener].count = workers;
    return 0;
}

int inherit_open(struct inheritance *in, const struct config *config, unsigned workers, struct fault *fault)
{
    int error = settle_loose(in, config, fault);
    for (int i = 0; i < INHERIT_LISTENERS && !error; i++) {
        unsigned count = i == INHERIT_ADMIN ? 1 : workers;
        if (in->listeners[i].count > 0) {
            error = spread(in, i, count, fault);
        } else {
            error = server_listen(address_of(config, i), in->listeners[i].fds, count, fault);
            in->listeners[i].count = count;
        }
        if (error)
            fault_prefix(fault, "listen.%s: ", inherit_name((enum inherit_listener)i));
    }
    return error;
}

/* --- telling -------------------------------------------------------------------------------------------- */

void inherit_address(const struct inheritance *in, enum inherit_listener listener,
                     char text[INHERIT_ADDRESS_MAX])
{
    struct buf buf;
    buf_init_fixed(&buf, text, INHERIT_ADDRESS_MAX - 1);
    int error = server_address(in->listeners[listener].fds[0], &buf);
    text[error ? 0 : buf.len] = '\0';
}

void inherit_tell(const struct inheritance *in, struct log_line *line)
{
    char text[INHERIT_ADDRESS_MAX];
    for (int i = 0; i < INHERIT_LISTENERS; i++) {
        inherit_address(in, (enum inherit_listener)i, text);
        log_cstr(line, inherit_name((enum inherit_listener)i), text);
    }
}
