/*
 * The byte transport of a TLS connection. SSL reads and writes the socket itself, through a transport of ours
 * that gives it only so much at a time. The handshake happens inside of the first reads, under the deadline
 * of the first head; nothing of a request is seen before it is over.
 *
 * What differs from a plain socket, and how the connection hears of it:
 *   c->unread   bytes, or the end, are left inside of SSL: the kernel will not tell, so read again
 *   c->stalled  a read waits until the socket takes bytes: a handshake's own answer did not fit
 */
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "server/tls_internal.h"

enum {
    RECORD_MAX = 16 * 1024,
    READ_BUDGET = 20 * 1024, /* more than the largest record: each SSL_read can make progress */
    IDLE_STEPS_MAX = 64,
};

/* --- the socket, as OpenSSL sees it -------------------------------------------------------------- */

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static int on_transport_read(BIO *bio, char *into, int len)
{
    struct server_connection *c = BIO_get_data(bio);
    size_t max = (size_t)len < c->tls->budget ? (size_t)len : c->tls->budget;
    BIO_clear_retry_flags(bio);
    if (max == 0 && len > 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t n = recv(c->fd, into, max, 0);
    if (n < 0 && would_block())
        BIO_set_retry_read(bio);
    if (n > 0)
        c->tls->budget -= (size_t)n;
    c->tls->eof = n == 0;
    return (int)n;
}

static int on_transport_write(BIO *bio, const char *bytes, int len)
{
    const struct server_connection *c = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t n = send(c->fd, bytes, (size_t)len, MSG_NOSIGNAL);
    if (n < 0 && would_block())
        BIO_set_retry_write(bio);
    return (int)n;
}

static long on_transport_control(BIO *bio, int command, long number, void *pointer)
{
    const struct server_connection *c = BIO_get_data(bio);
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_FLUSH)
        return 1;
    return command == BIO_CTRL_EOF && c->tls->eof;
}

BIO_METHOD *tls_transport_create(void)
{
    BIO_METHOD *transport = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "connection");
    if (!transport)
        return NULL;
    BIO_meth_set_read(transport, on_transport_read);
    BIO_meth_set_write(transport, on_transport_write);
    BIO_meth_set_ctrl(transport, on_transport_control);
    return transport;
}

/* --- the handshake ------------------------------------------------------------------------------- */

void tls_on_state(const SSL *ssl, int where, int value)
{
    struct tls *tls = SSL_get_app_data(ssl);
    (void)value;
    if (where == SSL_CB_HANDSHAKE_DONE)
        tls->met = true;
    else if (where == SSL_CB_ACCEPT_LOOP && tls->met)
        tls->idle_steps++;
}

/* A session that is taken up again was verified when it began: its certificate may have run out since. */
static bool admit(struct tls *tls)
{
    tls->admitted = true;
    if (!tls->of->asks_client)
        return true;
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (!certificate || SSL_get_verify_result(tls->ssl) != X509_V_OK || tls_has_expired(certificate))
        return false;
    return tls_peer_name(certificate, &tls->name) == 0;
}

static ssize_t fail(struct tls *tls)
{
    tls->failed = true;
    ERR_clear_error();
    return ERR_CLOSED;
}

/* The alert has been sent. Who speaks plain HTTP is told so in plain HTTP; for all others the socket stays
 * for a moment, because closing it with bytes unread could cost them the alert. */
static ssize_t refuse_handshake(struct server_connection *c)
{
    unsigned long why = ERR_peek_error();
    const char *text = ERR_reason_error_string(why);
    log_message(LOG_DEBUG, "tls_refused", "%s: %s: %s", c->server->options.name, c->peer,
                text ? text : "closed");
    fail(c->tls);
    c->stream = &server_plain_stream;
    if (ERR_GET_LIB(why) == ERR_LIB_SSL && ERR_GET_REASON(why) == SSL_R_HTTP_REQUEST)
        server_connection_refuse(c, 400, "a plain HTTP request came to a port that speaks TLS");
    else
        server_connection_linger(c);
    return ERR_AGAIN;
}

/* --- reading ------------------------------------------------------------------------------------- */

/* SSL_read gave nothing: what the caller is to hear. `got` bytes came before; then it hears the rest at the
 * next read. */
static ssize_t on_no_data(struct server_connection *c, int result, size_t got)
{
    struct tls *tls = c->tls;
    int why = SSL_get_error(tls->ssl, result);
    if (tls->idle_steps > IDLE_STEPS_MAX)
        return fail(tls);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        c->stalled = why == SSL_ERROR_WANT_WRITE;
        return got > 0 ? (ssize_t)got : ERR_AGAIN;
    }
    if (why != SSL_ERROR_ZERO_RETURN && !tls->met && !tls->eof && why == SSL_ERROR_SSL)
        return refuse_handshake(c);
    if (why != SSL_ERROR_ZERO_RETURN)
        fail(tls);
    c->unread = got > 0;
    return got > 0 ? (ssize_t)got : why == SSL_ERROR_ZERO_RETURN ? 0 : ERR_CLOSED;
}

/* The kernel is asked again only for the rest of a record that is here in part: else it will tell by itself.
 */
static ssize_t tls_read(struct server_connection *c, void *into, size_t max)
{
    struct tls *tls = c->tls;
    size_t got = 0;
    c->unread = c->stalled = false;
    if (tls->failed)
        return ERR_CLOSED;
    ERR_clear_error();
    while (got < max) {
        size_t n = 0;
        tls->budget = READ_BUDGET;
        int result = SSL_read_ex(tls->ssl, (char *)into + got, max - got, &n);
        if (result != 1)
            return on_no_data(c, result, got);
        if (!tls->admitted && !admit(tls))
            return fail(tls);
        tls->idle_steps = 0;
        got += n;
        if (!SSL_has_pending(tls->ssl))
            return (ssize_t)got;
    }
    c->unread = true;
    return (ssize_t)got;
}

/* --- writing ------------------------------------------------------------------------------------- */

/* The bytes of the next record: gathered, unless the first part fills one. Trying again gathers the same
 * bytes and perhaps more, as OpenSSL wants it, because the queue only grows at its end. */
static struct slice next_record(const struct iovec *parts, size_t count, size_t sent, char room[RECORD_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < count && len < RECORD_MAX; i++) {
        if (sent >= parts[i].iov_len) {
            sent -= parts[i].iov_len;
            continue;
        }
        const char *from = (const char *)parts[i].iov_base + sent;
        size_t n = parts[i].iov_len - sent;
        sent = 0;
        if (len == 0 && (n >= RECORD_MAX || i + 1 == count))
            return slice_of(from, n < RECORD_MAX ? n : RECORD_MAX);
        if (n > RECORD_MAX - len)
            n = RECORD_MAX - len;
        memcpy(room + len, from, n);
        len += n;
    }
    return slice_of(room, len);
}

/* WANT_READ comes only when the peer sent a part of a handshake message and no more of it: nobody honest
 * does. */
static ssize_t tls_writev(struct server_connection *c, struct iovec *parts, size_t count)
{
    struct tls *tls = c->tls;
    size_t sent = 0;
    char room[RECORD_MAX];
    if (tls->failed)
        return ERR_CLOSED;
    ERR_clear_error();
    for (;;) {
        struct slice record = next_record(parts, count, sent, room);
        size_t n = 0;
        if (record.len == 0)
            return (ssize_t)sent;
        int result = SSL_write_ex(tls->ssl, record.ptr, record.len, &n);
        sent += n;
        if (result == 1)
            continue;
        if (SSL_get_error(tls->ssl, result) != SSL_ERROR_WANT_WRITE)
            return fail(tls);
        return sent > 0 ? (ssize_t)sent : ERR_AGAIN;
    }
}

/* --- the end ------------------------------------------------------------------------------------- */

/* close_notify, once, if there is a way to say it. */
static void say_goodbye(struct server_connection *c)
{
    struct tls *tls = c->tls;
    if (tls->failed || !tls->met || c->blocked || (SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN))
        return;
    SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

static void tls_shutdown(struct server_connection *c)
{
    say_goodbye(c);
    shutdown(c->fd, SHUT_WR);
}

static const struct server_stream tls_stream = {tls_read, tls_writev, tls_shutdown};

int server_tls_attach(struct server_connection *c, struct server_tls *of)
{
    struct tls *tls = calloc(1, sizeof *tls);
    SSL *ssl = tls ? SSL_new(of->context) : NULL;
    BIO *bio = ssl ? BIO_new(of->transport) : NULL;
    if (!bio) {
        SSL_free(ssl);
        free(tls);
        ERR_clear_error();
        return ERR_NOMEM;
    }
    BIO_set_data(bio, c);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, tls);
    SSL_set_accept_state(ssl);
    tls->ssl = ssl;
    tls->of = server_tls_retain(of);
    c->tls = tls;
    c->stream = &tls_stream;
    return 0;
}

/* A client whose answer was cut, and could not know by anything else, must not be told a proper end. */
void server_tls_detach(struct server_connection *c)
{
    struct tls *tls = c->tls;
    if (!tls)
        return;
    if (!c->broken && !c->reset)
        say_goodbye(c);
    SSL_free(tls->ssl);
    c->tls = NULL;
    server_tls_release(tls->of);
    free((char *)(uintptr_t)tls->name.ptr);
    free(tls);
}

struct slice server_tls_peer_name(const struct server_connection *c)
{
    return c->tls ? c->tls->name : slice_of(NULL, 0);
}
