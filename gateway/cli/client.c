/* A small blocking client for the admin listener: one request, one answer, one connection. */
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli_internal.h"

enum { WAIT_MS = 10000, READ_SIZE = 16384, HOST_MAX = 256 };

struct client {
    int fd;
    uint64_t deadline_ms;
    const char *address;
    struct fault *fault;
};

static int failed(const struct client *client, int error)
{
    bool nobody = error == ECONNREFUSED || error == ENOENT;
    int code = nobody ? ERR_NOTFOUND : error == ETIMEDOUT ? ERR_TIMEOUT : ERR_IO;
    return fault_set(client->fault, code, "%s: %s", client->address, strerror(error));
}

/* 0, or an errno. */
static int wait_for(const struct client *client, short events)
{
    for (;;) {
        uint64_t now = clock_mono_ms();
        struct pollfd poll_of = {.fd = client->fd, .events = events};
        if (now >= client->deadline_ms)
            return ETIMEDOUT;
        int ready = poll(&poll_of, 1, (int)(client->deadline_ms - now));
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return errno;
    }
}

/* --- connecting ---------------------------------------------------------------------------------------- */

/* 0 and an open descriptor, or an errno. */
static int connect_to(struct client *client, const struct sockaddr *at, socklen_t len)
{
    int error = 0;
    socklen_t size = sizeof error;
    client->fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return errno;
    if (connect(client->fd, at, len) != 0)
        error = errno;
    if (error == EINPROGRESS && (error = wait_for(client, POLLOUT)) == 0 &&
        getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        error = errno;
    if (error) {
        close(client->fd);
        client->fd = -1;
    }
    return error;
}

static int connect_unix(struct client *client, const char *path)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof at.sun_path)
        return fault_set(client->fault, ERR_INVALID, "%s: not a path for a socket", client->address);
    memcpy(at.sun_path, path, len);
    int error = connect_to(client, (const struct sockaddr *)&at, sizeof at);
    return error ? failed(client, error) : 0;
}

/* "host:port" or "[v6]:port" into its parts; *port points into the address. */
static bool split(const char *address, char host[HOST_MAX], const char **port)
{
    const char *colon = strrchr(address, ':');
    uint64_t number;
    if (!colon || !slice_to_u64(slice_from(colon + 1), &number) || number < 1 || number > UINT16_MAX)
        return false;
    struct slice name = slice_of(address, (size_t)(colon - address));
    if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = slice_of(name.ptr + 1, name.len - 2);
    else if (slice_find(name, ':') != name.len)
        return false;
    if (name.len == 0 || name.len >= HOST_MAX)
        return false;
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    *port = colon + 1;
    return true;
}

static int connect_inet(struct client *client)
{
    char host[HOST_MAX];
    const char *port;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    if (!split(client->address, host, &port))
        return fault_set(client->fault, ERR_INVALID, "'%s' is not host:port, [v6]:port or unix:/path",
                         client->address);
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0)
        return fault_set(client->fault, ERR_IO, "%s: %s", client->address, gai_strerror(rc));
    int error = ECONNREFUSED;
    for (struct addrinfo *each = found; each; each = each->ai_next)
        if ((error = connect_to(client, each->ai_addr, each->ai_addrlen)) == 0)
            break;
    freeaddrinfo(found);
    return error ? failed(client, error) : 0;
}

/* --- talking ------------------------------------------------------------------------------------------- */

static int send_all(const struct client *client, struct slice rest)
{
    while (rest.len > 0) {
        ssize_t sent = send(client->fd, rest.ptr, rest.len, MSG_NOSIGNAL);
        int error = sent < 0 ? errno : 0;
        if (sent > 0)
            rest = slice_skip(rest, (size_t)sent);
        else if (error == EAGAIN)
            error = wait_for(client, POLLOUT);
        if (error && error != EINTR)
            return failed(client, error);
    }
    return 0;
}

static int receive_all(const struct client *client, struct buf *raw)
{
    char chunk[READ_SIZE];
    for (;;) {
        ssize_t got = recv(client->fd, chunk, sizeof chunk, 0);
        int error = got < 0 ? errno : 0;
        if (got == 0)
            return 0;
        if (got > 0 && buf_append(raw, chunk, (size_t)got))
            return fault_set(client->fault, ERR_LIMIT, "%s: the answer is too large", client->address);
        if (error == EAGAIN)
            error = wait_for(client, POLLIN);
        if (error && error != EINTR)
            return failed(client, error);
    }
}

int cli_client_exchange(const char *address, struct slice request, struct buf *raw, struct fault *fault)
{
    static const char unix_scheme[] = "unix:";
    struct client client = {-1, clock_mono_ms() + WAIT_MS, address, fault};
    size_t scheme = sizeof unix_scheme - 1;
    int error = strncmp(address, unix_scheme, scheme) == 0 ? connect_unix(&client, address + scheme)
                                                           : connect_inet(&client);
    if (error)
        return error;
    error = send_all(&client, request);
    if (!error)
        error = receive_all(&client, raw);
    close(client.fd);
    return error;
}
