/*
 * Reading and writing on a connection that libcurl made. Plain ones are our own descriptor: recv and send.
 * TLS ones go through curl_easy_recv and curl_easy_send for their first answer, so that libcurl hears of
 * session tickets; from then on straight through OpenSSL, which saves its wrappers and, by reading ahead, a
 * system call for each record. Bytes may lie inside either, so they are read until ERR_AGAIN before anyone
 * waits.
 */
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "upstream/upstream_internal.h"

static ssize_t result_of(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? ERR_AGAIN : ERR_CLOSED;
}

static ssize_t result_of_curl(CURLcode code, size_t n)
{
    if (code == CURLE_OK)
        return (ssize_t)n;
    return code == CURLE_AGAIN ? ERR_AGAIN : ERR_CLOSED;
}

/* Was the end announced by close_notify, so that nothing is missing (RFC 8446 6.1)? libcurl 7.88 says "0
 * bytes" either way: its BIO does not report the end to OpenSSL, which then can't complain. */
static bool ends_properly(const struct connection *conn)
{
    return conn->ssl && (SSL_get_shutdown(conn->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

static ssize_t result_of_ssl(struct connection *conn, int n)
{
    if (n > 0)
        return n;
    int error = SSL_get_error(conn->ssl, n);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return ERR_AGAIN;
    return error == SSL_ERROR_ZERO_RETURN ? 0 : ERR_CLOSED;
}

/* Nothing is under way on it: from here on OpenSSL has the descriptor itself. */
static void go_direct(struct connection *conn)
{
    if (!conn->ssl || conn->direct || SSL_set_fd(conn->ssl, conn->fd) != 1)
        return;
    SSL_set_read_ahead(conn->ssl, 1);
    SSL_set_mode(conn->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    conn->direct = true;
}

static int bounded(size_t size)
{
    return size > INT_MAX ? INT_MAX : (int)size;
}

/* SSL_get_error reads the thread's queue, which others may have left something in; to look is cheaper than to
 * clear what is empty. */
static void forget_errors(void)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
}

ssize_t connection_recv(struct connection *conn, char *to, size_t size)
{
    size_t n = 0;
    if (!conn->tls)
        return result_of(recv(conn->fd, to, size, 0));
    if (conn->direct) {
        forget_errors();
        return result_of_ssl(conn, SSL_read(conn->ssl, to, bounded(size)));
    }
    CURLcode code = curl_easy_recv(conn->easy, to, size, &n);
    if (code == CURLE_OK && n == 0 && !ends_properly(conn))
        return ERR_CLOSED;
    return result_of_curl(code, n);
}

ssize_t connection_send(struct connection *conn, const char *from, size_t size)
{
    size_t n = 0;
    if (!conn->tls)
        return result_of(send(conn->fd, from, size, MSG_NOSIGNAL));
    if (conn->direct) {
        forget_errors();
        ssize_t sent = size > 0 ? result_of_ssl(conn, SSL_write(conn->ssl, from, bounded(size))) : 0;
        return size > 0 && sent == 0 ? ERR_CLOSED : sent;
    }
    CURLcode code = curl_easy_send(conn->easy, from, size, &n);
    return result_of_curl(code, n);
}

/* With TLS, what is there may be no data (session tickets), so it has to be read to be known; but when
 * neither the kernel nor OpenSSL holds a byte there is nothing to read. */
bool connection_is_quiet(struct connection *conn)
{
    char byte;
    bool nothing = result_of(recv(conn->fd, &byte, 1, MSG_PEEK)) == ERR_AGAIN;

    if (!conn->tls)
        return nothing;
    if (!(nothing && conn->ssl && SSL_has_pending(conn->ssl) == 0) &&
        connection_recv(conn, &byte, 1) != ERR_AGAIN)
        return false;
    go_direct(conn);
    return true;
}

/*
 * Two questions that libcurl can't answer are asked of the SSL object that it hands out
 * (CURLINFO_TLS_SSL_PTR); with another TLS library a body that ends with its connection counts as cut. The
 * read before makes libcurl count the connection as in use: without that it would close it by its own rules,
 * and knows no SSL object.
 */
bool connection_attach_tls(struct connection *conn)
{
    const struct curl_tlssessioninfo *tls = NULL;
    char byte;

    if (connection_recv(conn, &byte, 1) != ERR_AGAIN)
        return false;
    if (curl_easy_getinfo(conn->easy, CURLINFO_TLS_SSL_PTR, &tls) != CURLE_OK || !tls)
        return true;
    if (tls->backend == CURLSSLBACKEND_OPENSSL)
        conn->ssl = tls->internals;
    return true;
}

static void connection_destroy(struct connection *conn)
{
    buf_deinit(&conn->in);
    free(conn);
}

static void on_io_closed(struct loop_io *io)
{
    struct connection *conn = container_of(io, struct connection, io);
    struct upstream *upstream = conn->upstream;
    connection_destroy(conn);
    upstream_settled(upstream);
}

/* The held-back bytes live on with the structure: a callback up the stack may be looking at them. */
void connection_close(struct connection *conn)
{
    struct upstream *upstream = conn->upstream;

    assert(!conn->transfer && !conn->closed);
    conn->closed = true;
    list_remove(&conn->node);
    conn->pool->open--;
    counter_add(&upstream->open, -1);
    if (conn->connecting)
        conn->pool->connecting--;
    loop_timer_clear(upstream->loop, &conn->timer);
    bool watched = conn->fd >= 0;
    if (watched)
        loop_io_close(&conn->io, on_io_closed);
    if (conn->easy) {
        connect_forget(conn);
    } else if (watched) {
        close(conn->fd);
    }
    if (!watched)
        connection_destroy(conn);
}
