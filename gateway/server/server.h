/*
 * HTTP in. A server is one listener on one loop: it accepts, reads heads (wire/ decides what is believed),
 * and hands each request to the one handler it was given as an exchange. Requests of a connection are handled
 * one at a time, in order; what a client pipelines waits in a bounded buffer. Errors before there is a
 * request (400, 431, 501, 505, 408) are answered here, and end the connection.
 *
 *   on_request(x)            the head is there: look at x->request, set x->user and callbacks
 *   server_body_next(x, …)   takes body bytes as they come; x->on_body says when there is more
 *   server_begin / _write / _end   the answer; x->on_drained says when the backlog has gone down again
 *   x->on_done(x, outcome)   exactly once, the last thing that happens: release what you hold
 *
 * Callbacks, and the releases of pieces, never run inside a call of the handler's: they come after on_request
 * returned or in a later task. What the handler queues is sent then too, in one writev. The answer may be
 * begun and ended at any time, inside on_request or hours later. All on the loop's thread. A hit costs one
 * read and one writev, and allocates nothing.
 *
 * The connection: a client that shuts its side behind a complete request is still answered; one that does so
 * inside a body, resets, or pauses too long is gone. A request body that the handler did not read is dropped
 * when it is small (64 KiB), else the answer says "Connection: close" and the rest is discarded for 2 s or 1
 * MiB.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/loop.h"
#include "http/message.h"
#include "http/problem.h"

struct server;
struct server_tls;
struct server_exchange;

enum server_outcome {
    SERVER_SENT, /* the whole answer went to the kernel */
    SERVER_CUT,  /* by server_abort, server_close, or an answer of another length than it told */
    SERVER_GONE, /* the client left, broke its body, or was too slow */
};

enum { SERVER_REQUEST_ID_MAX = 64 };

struct server_exchange {
    /* Set by the server. */
    struct loop *loop;
    struct arena arena; /* dies after on_done; the first 4 KiB, less the head, come without the heap */
    struct http_request request;
    struct slice request_id; /* the client's X-Request-Id when 1-64 of [A-Za-z0-9._:-], else a fresh one */
    const char *peer;        /* "127.0.0.1", "unix" or "internal" */
    const void *from;        /* of server_inner_start; NULL: a client's */
    bool tls;
    /* Whom the client's verified certificate names: "uri:…", "dns:…" (the first alternative name of that
     * kind, in that order) or "cn:…" (only if there is neither). Without one, or when that name is not
     * printable: "uid:1000", the user that a unix client ran as when it connected, as the kernel tells it;
     * else empty. */
    struct slice peer_name;
    uint64_t started_ns;
    int status;          /* of the answer, once begun */
    uint64_t sent_bytes; /* head and body (no 100 Continue) handed to the kernel so far */
    /* Set by the handler; may stay NULL except on_done. */
    void *user;
    void (*on_body)(struct server_exchange *x);
    void (*on_drained)(struct server_exchange *x);
    void (*on_done)(struct server_exchange *x, enum server_outcome outcome);
};

struct server_handler {
    void *owner;
    void (*on_request)(void *owner, struct server_exchange *x);
    /* An error that the server answered itself (for counters and the access line); may be NULL. `why` is
     * static. */
    void (*on_refused)(void *owner, int status, const char *why);
};

struct server_options {
    const char *name;   /* for logs: "data" */
    size_t head_max;    /* sizes.request_head */
    uint64_t body_max;  /* sizes.request_body: over it server_body_next says TOO_LARGE */
    uint64_t header_ms; /* from the first byte of a head (or accept) to its end */
    uint64_t idle_ms;   /* between requests */
    uint64_t body_ms;   /* longest pause inside a body that is wanted, or while the client does not read */
    unsigned connections_max;   /* over it the listener pauses accepting */
    const char *problem_fields; /* field lines of problem answers that come without any of their own, or "" */
    struct server_tls *tls;     /* NULL: plain; retained */
};

/* --- listeners ----------------------------------------------------------------------------------- */

/* Opens `count` listening descriptors for one address: "host:port", "[v6]:port" or "unix:/path" (one socket
 * for each worker with SO_REUSEPORT; duplicates of one for unix paths, mode 0660 less the umask). Refuses an
 * address in use (ERR_INUSE), a malformed one (ERR_INVALID), a name that does not resolve (ERR_NOTFOUND), a
 * path that is no socket (ERR_EXISTS), ERR_DENIED, ERR_IO. A stale unix socket file is replaced; nobody
 * removes it at the end. Port 0 is chosen by the kernel once for all; server_address tells it. May block on a
 * name: call it before the loops. */
int server_listen(const char *address, int *fds, unsigned count, struct fault *fault) MUST_CHECK;
/* Is the listening descriptor bound to that address? May block on a name. */
bool server_listens_at(int fd, const char *address);
/* Is the address loopback or a unix path? (What is not needs authentication.) */
bool server_is_local(const char *address);
/* Appends "127.0.0.1:8080", "[::1]:8080" or "unix:/path" of a listening descriptor. */
int server_address(int fd, struct buf *out);

/* Takes the descriptor over (also on failure); -1: nobody comes from outside. NULL when out of memory.
 * Strings of the options are borrowed until the next server_configure or the close. */
struct server *server_open(struct loop *loop, int fd, const struct server_options *options,
                           const struct server_handler *handler);
/* Applies new sizes and times to later requests, new certificates to later connections. Strings are borrowed
 * until the next call or the close. */
void server_configure(struct server *server, const struct server_options *options);
/* Stops accepting (what the kernel has accepted already is served) and says Connection: close on every answer
 * from now on. Connections that are idle, or become so, are closed after `idle_ms`: a client that sends at
 * that very moment loses its request, so where none may be lost they get some time to send one more. A
 * connection that has sent nothing yet gets one second at least. */
void server_drain(struct server *server, uint64_t idle_ms);
/* Connections that are open now. */
unsigned server_connections(const struct server *server);
/* Cuts what is left; on_closed once, in a later turn, when nothing of it remains. Calling it again does
 * nothing. */
void server_close(struct server *server, void (*on_closed)(void *arg), void *arg);

/* --- requests of our own ------------------------------------------------------------------------- */

struct server_inner;
struct server_inner_answer {
    int status;    /* 0: it was cut, was too large, or there was no memory */
    bool outgrown; /* … one of the last two */
    const struct http_fields *fields;
    struct slice body;
};
struct server_inner_request {
    struct slice bytes; /* a whole HTTP/1.0 request, with its body; copied */
    size_t answer_max;
    const void *from; /* what x->from will be: not NULL; whoever stands behind it, for the handler */
    void *user;
    /* Once, in a later turn, unless it was cancelled. All of the answer dies with the return. */
    void (*on_answer)(void *user, const struct server_inner_answer *answer);
};
/* Hands the handler a request that no client sent, as if it had come over a connection: it is an exchange
 * like any other. Neither counted as a connection nor waited for by a drain; server_close cuts it. On the
 * server's loop. NULL when out of memory. */
struct server_inner *server_inner_start(struct server *server, const struct server_inner_request *request);
/* The answer is not wanted any more: the handler hears that its client left. Not inside of on_answer. */
void server_inner_cancel(struct server_inner *inner);

/* --- TLS ----------------------------------------------------------------------------------------- */

/* PEM files: the certificate with its chain, its key, and the CAs of client certificates, which are then
 * required (NULL: nobody is asked). */
struct server_tls_files {
    const char *cert, *key, *client_ca;
};

/* TLS 1.2 and 1.3, http/1.1 only, sessions resumed by tickets whose keys live as long as this object.
 * Counted, any thread, meant to be shared by all workers. The fault names the field and the file ("key:
 * /x.pem: does not belong to the certificate"). Reads the files now: to follow them, make a new one and
 * server_configure. */
int server_tls_create(const struct server_tls_files *files, struct server_tls **out,
                      struct fault *fault) MUST_CHECK;
struct server_tls *server_tls_retain(struct server_tls *tls);
void server_tls_release(struct server_tls *tls);

/* --- request body -------------------------------------------------------------------------------- */

enum server_body {
    SERVER_BODY_DATA, /* *data: valid until the next call or the return to the loop */
    SERVER_BODY_MORE, /* nothing now; on_body will say */
    SERVER_BODY_END,
    SERVER_BODY_TOO_LARGE, /* over body_max: answer 413 */
    SERVER_BODY_BROKEN,    /* malformed framing: answer 400; the connection closes afterwards */
};
/* The first call sends "100 Continue" when the client expects it, has sent nothing of the body, and the
 * answer has not begun. A handler that stops calling stops the reading (back-pressure). The last three words
 * stay. */
enum server_body server_body_next(struct server_exchange *x, struct slice *data);

/* Gathers the whole body (at most max bytes, and never over body_max) instead of server_body_next, and calls
 * back once: in a later turn, or after on_request returned. problem is PROBLEM_COUNT when all is well, else
 * what to answer (the caller answers). The body lives until on_done. Not called when the client leaves:
 * on_done is. */
void server_collect(struct server_exchange *x, size_t max,
                    void (*on_collected)(struct server_exchange *x, enum problem problem, struct slice body));

/* --- answer -------------------------------------------------------------------------------------- */

/* Bytes of an answer; when they are sent or dropped, release(object) is called once (if release is not NULL),
 * before on_done and never inside server_write (unless that runs out of memory: then at once, and the answer
 * is cut). */
struct server_piece {
    struct slice data;
    void (*release)(void *object);
    void *object;
};

#define SERVER_LENGTH_UNKNOWN UINT64_MAX

/* Sends an interim answer (102..199) with these field lines, which are copied. Dropped once the final one has
 * begun, and for HTTP/1.0 (RFC 9110 15.2). */
void server_interim(struct server_exchange *x, int status, struct slice fields);
/* Begins the final answer (200..599): status line, then the given field lines (each "Name: value\r\n", must
 * live until on_done), then the framing (Content-Length, or chunked for 1.1 and close for 1.0 when the length
 * is unknown; none for 204, 304) and Connection where needed. Nothing is sent yet. For HEAD, 204 and 304 body
 * pieces are dropped. The caller adds Date and X-Request-Id. */
void server_begin(struct server_exchange *x, int status, struct slice fields, uint64_t length);
/* Further field lines of the same answer, before any server_write or server_flush. */
void server_fields(struct server_exchange *x, struct slice fields);
/* Queues body bytes; they are sent when the caller returns to the loop. More than the length that was told is
 * dropped, and the connection is cut behind it. */
void server_write(struct server_exchange *x, struct server_piece piece);
/* Sends the head without waiting for a body byte (an event stream, say), and ends the chunk: there are
 * clients that read by whole chunks. */
void server_flush(struct server_exchange *x);
/* The answer is complete. x must not be used after the caller returned to the loop, except in on_done. If
 * fewer bytes were written than told, it is cut. */
void server_end(struct server_exchange *x);
/* The answer cannot be completed: the connection is closed so that the client sees that it was cut (a reset
 * where the framing would not show it). Before server_begin: closes without an answer. */
void server_abort(struct server_exchange *x);
/* Body bytes queued and not yet taken by the kernel; on_drained is called when it falls below 64 KiB after it
 * was above. */
size_t server_backlog(const struct server_exchange *x);

/* Whole small answers: bytes are copied. Date and X-Request-Id are added. `fields` are further lines or "";
 * content_type may be NULL. */
void server_reply(struct server_exchange *x, int status, const char *content_type, const char *fields,
                  struct slice body);
/* application/problem+json with Proxy-Status and X-Request-Id (contract 3), and the options' problem_fields
 * when `fields` is "". `detail` is for a person, without anything secret; `extra` as problem_body's. */
void server_problem(struct server_exchange *x, enum problem problem, const char *fields, const char *extra,
                    const char *detail, ...) __attribute__((format(printf, 5, 6)));
/* IMF-fixdate of now, 29 bytes, cached by the second for each thread. */
struct slice server_date(void);

#endif
