/*
 * Making connections: libcurl's multi interface with CURLOPT_CONNECT_ONLY, its sockets and its one timer
 * driven by the loop. A plain connection is taken away from libcurl at once (dup), since it would close idle
 * ones by its own rules; a TLS connection keeps its easy handle inside the multi for as long as it lives,
 * because libcurl holds the TLS state.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "upstream/upstream_internal.h"

/* One descriptor that libcurl wants watched while it connects. */
struct watch {
    struct loop_io io;
    struct upstream *upstream;
    curl_socket_t fd;
};

static void on_connected(struct connection *conn, CURLcode code);

/* --- libcurl's events ---------------------------------------------------------------- */

/* Callbacks of ours run from here, never from inside libcurl. */
static void drain(struct upstream *upstream)
{
    CURLMsg *message;
    int more;

    while ((message = curl_multi_info_read(upstream->multi, &more))) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        char *conn = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &conn);
        on_connected((struct connection *)(void *)conn, code);
    }
}

static void act(struct upstream *upstream, curl_socket_t fd, int events)
{
    int running;
    curl_multi_socket_action(upstream->multi, fd, events, &running);
    drain(upstream);
}

static void on_curl_timer(struct loop_timer *timer)
{
    act(container_of(timer, struct upstream, curl_timer), CURL_SOCKET_TIMEOUT, 0);
}

static void on_watch_ready(struct loop_io *io, unsigned events)
{
    struct watch *watch = container_of(io, struct watch, io);
    int mask = (events & LOOP_READ ? CURL_CSELECT_IN : 0) | (events & LOOP_WRITE ? CURL_CSELECT_OUT : 0);
    act(watch->upstream, watch->fd, mask);
}

static void on_watch_closed(struct loop_io *io)
{
    struct watch *watch = container_of(io, struct watch, io);
    struct upstream *upstream = watch->upstream;
    free(watch);
    upstream_settled(upstream);
}

static struct watch *open_watch(struct upstream *upstream, curl_socket_t fd)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return NULL;
    watch->upstream = upstream;
    watch->fd = fd;
    if (loop_io_open(upstream->loop, &watch->io, fd, on_watch_ready) != 0) {
        free(watch);
        return NULL;
    }
    upstream->pending++;
    curl_multi_assign(upstream->multi, fd, watch);
    return watch;
}

/* CURLMOPT_SOCKETFUNCTION. A socket that can't be watched runs into the connection's timeout; to say so to
 * libcurl would end its handle for all. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *known)
{
    struct upstream *upstream = user;
    struct watch *watch = known;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch) {
            curl_multi_assign(upstream->multi, fd, NULL);
            loop_io_close(&watch->io, on_watch_closed);
        }
        return 0;
    }
    if (!watch)
        watch = open_watch(upstream, fd);
    if (!watch)
        return 0;
    unsigned events = (what & CURL_POLL_IN ? LOOP_READ : 0u) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0u);
    loop_io_watch(&watch->io, events);
    return 0;
}

/* CURLMOPT_TIMERFUNCTION */
static int on_timeout_changed(CURLM *multi, long ms, void *user)
{
    struct upstream *upstream = user;
    struct loop *loop = upstream->loop;

    (void)multi;
    if (ms < 0)
        loop_timer_clear(loop, &upstream->curl_timer);
    else
        loop_timer_set(loop, &upstream->curl_timer, loop_now(loop) + (uint64_t)ms, on_curl_timer);
    return 0;
}

/* CURLOPT_OPENSOCKETFUNCTION: libcurl's own would be inherited by programs that are started. */
static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)user;
    (void)purpose;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

int connect_init(struct upstream *upstream)
{
    upstream->multi = curl_multi_init();
    upstream->share = curl_share_init();
    if (!upstream->multi || !upstream->share)
        return ERR_NOMEM;
    curl_share_setopt(upstream->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(upstream->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(upstream->multi, CURLMOPT_SOCKETDATA, upstream);
    curl_multi_setopt(upstream->multi, CURLMOPT_TIMERFUNCTION, on_timeout_changed);
    curl_multi_setopt(upstream->multi, CURLMOPT_TIMERDATA, upstream);
    curl_multi_setopt(upstream->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    return 0;
}

void connect_deinit(struct upstream *upstream)
{
    curl_multi_cleanup(upstream->multi);
    curl_share_cleanup(upstream->share);
    upstream->multi = NULL;
    upstream->share = NULL;
    loop_timer_clear(upstream->loop, &upstream->curl_timer);
}

void connect_forget(struct connection *conn)
{
    curl_multi_remove_handle(conn->upstream->multi, conn->easy);
    curl_easy_cleanup(conn->easy);
    conn->easy = NULL;
}

/* --- a connection's beginning -------------------------------------------------------- */

static void set_long(CURL *easy, CURLoption option, uint64_t value, bool *ok)
{
    long number = value > INT32_MAX ? INT32_MAX : (long)value;
    *ok = *ok && curl_easy_setopt(easy, option, number) == CURLE_OK;
}

static void set_text(CURL *easy, CURLoption option, const char *value, bool *ok)
{
    *ok = *ok && curl_easy_setopt(easy, option, value) == CURLE_OK;
}

/* Where it may go: nowhere but to the origin. Without QUICK_EXIT, giving up would wait for a resolver that
 * hangs. No FORBID_REUSE: with CONNECT_ONLY that closes the connection the moment it is there; such a one is
 * never reused. */
static void set_reach(CURL *easy, const struct pool *pool, bool *ok)
{
    set_text(easy, CURLOPT_URL, pool->url.ptr, ok);
    set_text(easy, CURLOPT_PROXY, "", ok);
    set_text(easy, CURLOPT_NOPROXY, "*", ok);
    set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https", ok);
    set_long(easy, CURLOPT_FOLLOWLOCATION, 0, ok);
    set_long(easy, CURLOPT_PATH_AS_IS, 1, ok);
    set_long(easy, CURLOPT_NETRC, CURL_NETRC_IGNORED, ok);
    set_long(easy, CURLOPT_CONNECT_ONLY, 1, ok);
    set_long(easy, CURLOPT_FRESH_CONNECT, 1, ok);
    set_long(easy, CURLOPT_NOSIGNAL, 1, ok);
    set_long(easy, CURLOPT_QUICK_EXIT, 1, ok);
    set_long(easy, CURLOPT_VERBOSE, 0, ok);
    set_long(easy, CURLOPT_TCP_NODELAY, 1, ok);
    set_long(easy, CURLOPT_TCP_KEEPALIVE, 1, ok);
    set_long(easy, CURLOPT_TCP_KEEPIDLE, 60, ok);
    set_long(easy, CURLOPT_TCP_KEEPINTVL, 30, ok);
}

static void set_tls(CURL *easy, const struct pool *pool, bool *ok)
{
    set_long(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1, ok);
    set_long(easy, CURLOPT_SSL_ENABLE_ALPN, 1, ok);
    set_long(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2, ok);
    set_long(easy, CURLOPT_SSL_VERIFYPEER, 1, ok);
    set_long(easy, CURLOPT_SSL_VERIFYHOST, 2, ok);
    set_long(easy, CURLOPT_SSL_SESSIONID_CACHE, 1, ok);
    *ok = *ok && curl_easy_setopt(easy, CURLOPT_SHARE, pool->upstream->share) == CURLE_OK;
    if (pool->ca)
        set_text(easy, CURLOPT_CAINFO, pool->ca, ok);
}

/* Our own timer decides on the connect timeout, libcurl's is a second behind it. */
static CURL *make_easy(struct connection *conn)
{
    const struct upstream_options *options = &conn->upstream->options;
    uint64_t names_s = options->connection_age_ms / 1000;
    CURL *easy = curl_easy_init();
    bool ok = true;

    if (!easy)
        return NULL;
    set_reach(easy, conn->pool, &ok);
    set_tls(easy, conn->pool, &ok);
    set_long(easy, CURLOPT_DNS_CACHE_TIMEOUT, names_s < 60 ? names_s : 60, &ok);
    if (options->times.connect_ms > 0)
        set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, options->times.connect_ms + 1000, &ok);
    ok = ok && curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_PRIVATE, (char *)conn) == CURLE_OK;
    if (ok)
        return easy;
    curl_easy_cleanup(easy);
    return NULL;
}

static void on_connect_timeout(struct loop_timer *timer)
{
    struct connection *conn = container_of(timer, struct connection, timer);
    pool_connect_failed(conn, UPSTREAM_CONNECT_TIMEOUT, "the connection was not made in time");
}

int connect_start(struct pool *pool)
{
    struct upstream *upstream = pool->upstream;
    uint64_t limit = upstream->options.times.connect_ms;
    struct connection *conn = calloc(1, sizeof *conn);

    if (!conn)
        return ERR_NOMEM;
    conn->pool = pool;
    conn->upstream = upstream;
    conn->tls = pool->https;
    conn->fd = -1;
    buf_init(&conn->in, upstream->options.head_max + 2 * (size_t)SCRATCH_SIZE);
    conn->easy = make_easy(conn);
    if (!conn->easy || curl_multi_add_handle(upstream->multi, conn->easy) != CURLM_OK) {
        curl_easy_cleanup(conn->easy);
        free(conn);
        return ERR_NOMEM;
    }
    conn->connecting = true;
    list_push_back(&pool->busy, &conn->node);
    pool->connecting++;
    pool->open++;
    counter_add(&upstream->open, 1);
    if (limit > 0)
        loop_timer_set(upstream->loop, &conn->timer, loop_now(upstream->loop) + limit, on_connect_timeout);
    return 0;
}

/* --- …and how it went ---------------------------------------------------------------- */

static void on_ready(struct loop_io *io, unsigned events)
{
    struct connection *conn = container_of(io, struct connection, io);

    if (!conn->transfer) {
        if (!connection_is_quiet(conn))
            pool_drop_idle(conn);
        return;
    }
    if (events & LOOP_READ)
        answer_read(conn->transfer);
    if ((events & LOOP_WRITE) && conn->transfer)
        transfer_flush(conn->transfer);
}

/* The descriptor of a plain connection becomes ours alone; returns it, or -1. */
static int take_descriptor(struct connection *conn)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (curl_easy_getinfo(conn->easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD)
        return -1;
    if (conn->tls)
        return fd;
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    connect_forget(conn);
    return fd;
}

static bool adopt(struct connection *conn)
{
    int fd = take_descriptor(conn);

    if (fd < 0)
        return false;
    if (loop_io_open(conn->upstream->loop, &conn->io, fd, on_ready) != 0) {
        if (!conn->tls)
            close(fd);
        return false;
    }
    conn->fd = fd;
    conn->upstream->pending++;
    loop_io_watch(&conn->io, LOOP_READ);
    return true;
}

static enum upstream_failure failure_of(CURLcode code, const char **why)
{
    *why = curl_easy_strerror(code);
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return UPSTREAM_RESOLVE;
    case CURLE_OPERATION_TIMEDOUT:
        return UPSTREAM_CONNECT_TIMEOUT;
    case CURLE_OUT_OF_MEMORY:
        return UPSTREAM_NOMEM;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
        return UPSTREAM_TLS;
    default:
        return UPSTREAM_CONNECT;
    }
}

static void on_connected(struct connection *conn, CURLcode code)
{
    const char *why = "the connection could not be watched";
    enum upstream_failure failure = UPSTREAM_CONNECT;

    if (code != CURLE_OK) {
        failure = failure_of(code, &why);
        pool_connect_failed(conn, failure, why);
        return;
    }
    loop_timer_clear(conn->upstream->loop, &conn->timer);
    if (!adopt(conn)) {
        pool_connect_failed(conn, failure, why);
        return;
    }
    conn->connecting = false;
    conn->pool->connecting--;
    conn->born = loop_now(conn->upstream->loop);
    pool_connected(conn);
}
