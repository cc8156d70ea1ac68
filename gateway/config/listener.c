/* Addresses of listeners: their grammar, and whether another machine can reach them. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "config/config_internal.h"

enum { HOST_MAX = 255 };

static bool is_host_name(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        const char c = host.ptr[i];
        const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && c != '.' && c != '-' && c != '_')
            return false;
    }
    return host.len > 0 && host.len < HOST_MAX;
}

static bool read_address(int family, struct slice host, void *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (host.len >= sizeof copy)
        return false;
    memcpy(copy, host.ptr, host.len);
    copy[host.len] = '\0';
    return inet_pton(family, copy, out) == 1;
}

/* host[:port] at the last colon; brackets taken off. */
static bool split(struct slice text, struct slice *host, bool *v6, uint64_t *port)
{
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon == 0 || !slice_to_u64(slice_skip(text, colon), port))
        return false;
    *host = slice_of(text.ptr, colon - 1);
    *v6 = host->len >= 2 && host->ptr[0] == '[' && host->ptr[host->len - 1] == ']';
    if (*v6)
        *host = slice_of(host->ptr + 1, host->len - 2);
    return true;
}

bool listener_is_address(struct slice text)
{
    struct slice host;
    struct in6_addr address;
    uint64_t port;
    bool v6;
    if (slice_starts(text, SLICE("unix:"))) {
        const struct slice path = slice_skip(text, sizeof "unix:" - 1);
        return path.len > 1 && path.ptr[0] == '/' && path.len < sizeof((struct sockaddr_un *)0)->sun_path;
    }
    if (!split(text, &host, &v6, &port) || port > UINT16_MAX)
        return false;
    return v6 ? read_address(AF_INET6, host, &address) : is_host_name(host);
}

/* 127.0.0.0/8, ::1, localhost, unix. What is not surely local is not local. */
bool listener_is_local(struct slice address)
{
    struct slice host;
    struct in_addr v4;
    struct in6_addr v6;
    uint64_t port;
    bool brackets;
    if (slice_starts(address, SLICE("unix:")))
        return true;
    if (!split(address, &host, &brackets, &port))
        return false;
    if (brackets)
        return read_address(AF_INET6, host, &v6) &&
               (IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET));
    if (read_address(AF_INET, host, &v4))
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    return slice_equal_nocase(host, SLICE("localhost"));
}
