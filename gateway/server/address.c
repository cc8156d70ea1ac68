/* Addresses of listeners: text -> bound descriptors, and back. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/server_internal.h"

enum { LISTEN_BACKLOG = 4096, HOST_MAX = 256, SOCKET_MODE = 0660 };

static const char unix_scheme[] = "unix:";

static bool unix_path(const char *address, const char **path)
{
    size_t len = sizeof unix_scheme - 1;
    if (strncmp(address, unix_scheme, len) != 0)
        return false;
    *path = address + len;
    return true;
}

/* "host:port" or "[v6]:port" into its parts. */
static bool split_address(const char *address, char host[HOST_MAX], uint16_t *port)
{
    struct slice text = slice_from(address), name;
    const char *colon = strrchr(address, ':');
    uint64_t number;
    if (!colon)
        return false;
    name = slice_of(address, (size_t)(colon - address));
    if (!slice_to_u64(slice_skip(text, name.len + 1), &number) || number > UINT16_MAX)
        return false;
    if (name.len >= 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
        name = slice_of(name.ptr + 1, name.len - 2);
    else if (slice_find(name, ':') != name.len)
        return false;
    if (name.len == 0 || name.len >= HOST_MAX || memchr(name.ptr, '\0', name.len))
        return false;
    memcpy(host, name.ptr, name.len);
    host[name.len] = '\0';
    *port = (uint16_t)number;
    return true;
}

static void set_port(struct sockaddr_storage *at, uint16_t port)
{
    if (at->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)at)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)(void *)at)->sin_port = htons(port);
}

/* A name with both families is taken as IPv4, as people who write "localhost" expect. */
static int resolve(const char *address, struct sockaddr_storage *at, socklen_t *len, struct fault *fault)
{
    char host[HOST_MAX];
    uint16_t port;
    if (!split_address(address, host, &port))
        return fault_set(fault, ERR_INVALID, "'%s' is not host:port, [v6]:port or unix:/path", address);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found, *best;
    int rc = getaddrinfo(host, NULL, &hints, &found);
    if (rc != 0)
        return fault_set(fault, ERR_NOTFOUND, "cannot resolve '%s': %s", host, gai_strerror(rc));
    best = found;
    for (struct addrinfo *each = found; each; each = each->ai_next) {
        if (each->ai_family == AF_INET) {
            best = each;
            break;
        }
    }
    memcpy(at, best->ai_addr, best->ai_addrlen);
    *len = best->ai_addrlen;
    set_port(at, port);
    freeaddrinfo(found);
    return 0;
}

static int bind_fault(const char *address, struct fault *fault)
{
    if (errno == EADDRINUSE)
        return fault_set(fault, ERR_INUSE, "address %s is in use", address);
    if (errno == EACCES || errno == EPERM)
        return fault_set(fault, ERR_DENIED, "no permission to listen on %s", address);
    return fault_set(fault, ERR_IO, "cannot listen on %s: %s", address, strerror(errno));
}

/* A bound socket, or -1 with errno set. SO_REUSEADDR lets a port in TIME_WAIT be taken, never one that is
 * listened on. */
static int bind_socket(const struct sockaddr_storage *at, socklen_t len, bool shared)
{
    int on = 1;
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        goto fail;
    if (bind(fd, (const struct sockaddr *)at, len) == 0)
        return fd;
fail:;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static void close_all(int *fds, unsigned count)
{
    while (count > 0)
        close(fds[--count]);
}

/* With SO_REUSEPORT alone a second process of the same user would share the port in silence: a plain bind
 * goes first. */
static int listen_inet(const char *address, int *fds, unsigned count, struct fault *fault)
{
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    int rc = resolve(address, &at, &len, fault);
    if (rc != 0)
        return rc;
    int probe = bind_socket(&at, len, false);
    if (probe < 0)
        return bind_fault(address, fault);
    getsockname(probe, (struct sockaddr *)&at, &len);
    close(probe);
    for (unsigned i = 0; i < count; i++) {
        fds[i] = bind_socket(&at, len, true);
        if (fds[i] >= 0 && listen(fds[i], LISTEN_BACKLOG) == 0)
            continue;
        rc = bind_fault(address, fault);
        close_all(fds, fds[i] >= 0 ? i + 1 : i);
        return rc;
    }
    return 0;
}

/* Makes way for a socket file: one that nobody listens on is left over from a process that was killed. */
static int clear_stale(const struct sockaddr_un *at, struct fault *fault)
{
    struct stat st;
    if (lstat(at->sun_path, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return fault_set(fault, ERR_EXISTS, "%s exists and is not a socket", at->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fault_set(fault, ERR_IO, "cannot make a socket: %s", strerror(errno));
    bool stale = connect(fd, (const struct sockaddr *)at, sizeof *at) != 0 && errno == ECONNREFUSED;
    close(fd);
    if (!stale)
        return fault_set(fault, ERR_INUSE, "address unix:%s is in use", at->sun_path);
    if (unlink(at->sun_path) != 0 && errno != ENOENT)
        return fault_set(fault, ERR_DENIED, "cannot replace the stale socket %s: %s", at->sun_path,
                         strerror(errno));
    return 0;
}

/* The mode is set before the bind, so that there is no moment in which others could connect. */
static int listen_unix(const char *path, int *fds, unsigned count, struct fault *fault)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof at.sun_path)
        return fault_set(fault, ERR_INVALID, "unix:%s: a socket path has 1 to %zu bytes", path,
                         sizeof at.sun_path - 1);
    memcpy(at.sun_path, path, len);
    int rc = clear_stale(&at, fault);
    if (rc != 0)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || fchmod(fd, SOCKET_MODE) != 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        char address[sizeof at.sun_path + sizeof unix_scheme];
        snprintf(address, sizeof address, "unix:%s", path);
        rc = bind_fault(address, fault);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    fds[0] = fd;
    for (unsigned i = 1; i < count; i++) {
        fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (fds[i] < 0) {
            close_all(fds, i);
            return fault_set(fault, ERR_IO, "cannot duplicate a socket: %s", strerror(errno));
        }
    }
    return 0;
}

int server_listen(const char *address, int *fds, unsigned count, struct fault *fault)
{
    const char *path;
    return unix_path(address, &path) ? listen_unix(path, fds, count, fault)
                                     : listen_inet(address, fds, count, fault);
}

bool server_is_local(const char *address)
{
    const char *path;
    char host[HOST_MAX];
    uint16_t port;
    struct in_addr v4;
    struct in6_addr v6;
    if (unix_path(address, &path))
        return true;
    if (!split_address(address, host, &port))
        return false;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
    return slice_equal_nocase(slice_from(host), SLICE("localhost"));
}

/* A part of sockaddr_storage that was not written is zero in both. */
static bool is_same_inet(int fd, const char *address)
{
    struct sockaddr_storage wanted = {0}, bound = {0};
    struct fault fault;
    socklen_t len, bound_len = sizeof bound;
    return resolve(address, &wanted, &len, &fault) == 0 &&
           getsockname(fd, (struct sockaddr *)&bound, &bound_len) == 0 && bound_len == len &&
           memcmp(&wanted, &bound, len) == 0;
}

bool server_listens_at(int fd, const char *address)
{
    char text[sizeof unix_scheme + sizeof(struct sockaddr_un)];
    const char *path;
    struct buf buf;
    buf_init_fixed(&buf, text, sizeof text);
    if (!unix_path(address, &path))
        return is_same_inet(fd, address);
    return server_address(fd, &buf) == 0 && slice_equal(buf_slice(&buf), slice_from(address));
}

int server_address(int fd, struct buf *out)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
        struct sockaddr_storage room;
    } at = {0};
    socklen_t len = sizeof at;
    char host[INET6_ADDRSTRLEN];
    if (getsockname(fd, &at.any, &len) != 0)
        return ERR_IO;
    switch (at.any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &at.v4.sin_addr, host, sizeof host);
        return buf_append_format(out, "%s:%u", host, ntohs(at.v4.sin_port));
    case AF_INET6:
        inet_ntop(AF_INET6, &at.v6.sin6_addr, host, sizeof host);
        return buf_append_format(out, "[%s]:%u", host, ntohs(at.v6.sin6_port));
    case AF_UNIX:
        if (at.local.sun_path[0] == '\0' && len > offsetof(struct sockaddr_un, sun_path)) /* abstract */
            return buf_append_format(out, "unix:@%.*s",
                                     (int)(len - offsetof(struct sockaddr_un, sun_path) - 1),
                                     at.local.sun_path + 1);
        return buf_append_format(out, "unix:%.*s", (int)sizeof at.local.sun_path, at.local.sun_path);
    default:
        return ERR_INVALID;
    }
}
