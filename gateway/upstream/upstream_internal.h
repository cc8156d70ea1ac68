/*
 * What the files of this room share. Three kinds of objects, each moved between its states by one file:
 *
 *   struct pool        (pool.c)       one for each origin: who waits, what is idle, how many connections are
 * open struct connection  (connect.c opens it, connection.c reads, writes and closes it)
 *
 *       connecting --> busy <--> idle        any of them --> closed (memory returns once the loop let go of
 * it)
 *
 *   struct upstream_transfer  (transfer.c: life and request; answer.c: the answer)
 *
 *       waiting --> active --> gone           a failure is told in a later turn: any --> failed --> gone
 *          ^----------'  (once: the kept connection was stale)
 *
 * Callbacks of users run from two places only: answer.c while it reads, and a transfer's deferred task.
 */
#ifndef UPSTREAM_UPSTREAM_INTERNAL_H
#define UPSTREAM_UPSTREAM_INTERNAL_H

#include <curl/curl.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "upstream/breaker.h"
#include "upstream/cap.h"
#include "upstream/upstream.h"
#include "wire/wire.h"

enum {
    SCRATCH_SIZE = 64 * 1024, /* one read */
    OUT_MAX = 64 * 1024,      /* body bytes of a request that are held back */
    HEADS_SIZE = 8 * 1024,    /* field tables of one head: WIRE_FIELDS_MAX of them and to spare */
    INTERIM_MAX = 8,          /* 1xx answers passed over */
    FREE_TRANSFERS_MAX = 64,  /* kept for reuse */
    FREE_HEAD_MAX = 8 * 1024, /* …with a buffer of at most this size */
};

/* One writer, many readers: a plain store is enough. */
typedef _Atomic uint64_t upstream_counter;

static inline void counter_add(upstream_counter *counter, int64_t n)
{
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + (uint64_t)n, memory_order_relaxed);
}

struct upstream {
    struct loop *loop;
    struct upstream_options options;
    CURLM *multi;
    struct loop_timer curl_timer; /* when libcurl wants to be called */
    CURLSH *share;                /* TLS sessions: libcurl 7.88 keeps them in each handle otherwise */
    struct list pools;
    struct list free_transfers;
    unsigned free_count;
    size_t pending; /* io's and tasks that the loop still knows */
    bool closing;
    struct loop_task close_task;
    void (*on_closed)(void *arg);
    void *closed_arg;
    struct arena heads;
    upstream_counter connects, connect_failures, reuses, transfers, failures, open, idle, waiting;
    _Alignas(16) char heads_first[HEADS_SIZE];
    char scratch[SCRATCH_SIZE]; /* what was read last; a callback's slices point here */
};

struct pool {
    struct list node; /* upstream->pools */
    struct upstream *upstream;
    struct slice url; /* own copies, NUL-terminated: an origin is compared by value */
    const char *ca;   /* or NULL */
    bool https;
    struct list idle;    /* connections, last used first */
    struct list busy;    /* connections that connect or carry a transfer */
    struct list waiting; /* transfers, oldest first */
    unsigned open, connecting, idle_count, waiting_count;
    struct cap cap; /* of those that connect or carry a transfer */
    struct loop_timer sweep;
    struct loop_task pump;
    bool pump_queued;
    char text[]; /* url, ca */
};

struct connection {
    struct list node; /* pool->idle or pool->busy */
    struct pool *pool;
    struct upstream *upstream;
    CURL *easy;  /* while connecting; with TLS for ever */
    void *ssl;   /* OpenSSL's object of a TLS connection; NULL when libcurl uses another library */
    bool direct; /* bytes go through OpenSSL itself, no longer through libcurl */
    int fd;      /* -1 before */
    bool connecting, tls, closed;
    unsigned requests;
    uint64_t born, idle_since;
    struct loop_io io;
    struct loop_timer timer; /* of connecting */
    struct upstream_transfer *transfer;
    struct buf in; /* read, but not taken yet: part of a head, or held back by a pause */
};

enum transfer_state { TRANSFER_WAITING, TRANSFER_ACTIVE, TRANSFER_FAILED, TRANSFER_GONE };

struct upstream_transfer {
    struct list node; /* pool->waiting or upstream->free_transfers */
    struct upstream *upstream;
    struct pool *pool;
    struct connection *conn; /* while active */
    const struct upstream_hooks *hooks;
    void *user;
    enum method method;
    enum transfer_state state;

    struct loop_task task; /* tells failures, flushes a new request with a body, goes on after resume */
    bool task_queued, flush_wanted, read_wanted;
    bool in_callback; /* on the stack: the memory stays */

    struct upstream_host *host; /* or NULL */
    struct breaker_ticket ticket;
    uint64_t begun_ms; /* on its present connection */
    int status;        /* of the answer; 0 before its head */

    struct loop_timer timer;
    uint64_t total_deadline;
    enum upstream_failure expiry; /* what it means when the timer fires before total_deadline */
    enum upstream_failure failure;
    const char *why;

    /* The request. `out` never moves while bytes of it are on their way: TLS asks for the same ones again. */
    struct buf out;
    size_t out_done;
    enum http_framing framing;
    uint64_t left;      /* of a body with a length, not taken yet */
    bool request_taken; /* all of it is in `out` or gone */
    bool starved;       /* upstream_send took less than it was given */
    bool sent, deaf;    /* deaf: the peer takes nothing more, its answer may still come */
    bool retried;

    /* The answer. */
    bool paused, answered /* any byte of it */, head_done, keep;
    unsigned interims;
    size_t scanned;
    struct wire_body body;
};

/* --- connect.c ----------------------------------------------------------------------- */
int connect_init(struct upstream *upstream) MUST_CHECK;
void connect_deinit(struct upstream *upstream);
/* A new connection for the pool; tells pool_connected or pool_connect_failed in a later turn. 0 or ERR_NOMEM.
 */
int connect_start(struct pool *pool) MUST_CHECK;

/* Takes the connection away from libcurl, which closes the descriptor that it knows. */
void connect_forget(struct connection *conn);

/* --- connection.c -------------------------------------------------------------------- */
/* Bytes, 0 for a clean end (recv only), ERR_AGAIN or ERR_CLOSED. */
ssize_t connection_recv(struct connection *conn, char *to, size_t size);
ssize_t connection_send(struct connection *conn, const char *from, size_t size);
/* Is nothing there to be read, not even the end? What comes before a request was sent can't be its answer. */
bool connection_is_quiet(struct connection *conn);
/* A TLS connection that was just made. False when something stands there to be read already. */
bool connection_attach_tls(struct connection *conn);
/* Takes it out of its pool's lists and counts; its transfer must have left it. */
void connection_close(struct connection *conn);

/* --- pool.c -------------------------------------------------------------------------- */
/* NULL when out of memory. */
struct pool *pool_find(struct upstream *upstream, const struct upstream_origin *origin);
/* An idle connection that is fit for use, or NULL, also when as many are busy as may be. */
struct connection *pool_take_idle(struct pool *pool);
void pool_wait(struct pool *pool, struct upstream_transfer *t, bool first);
/* The first byte of an answer came, or was awaited in vain, so long after its request began. */
void pool_sample(struct pool *pool, uint64_t latency_ms);
void pool_unwait(struct upstream_transfer *t);
/* Opens what those who wait need. */
void pool_pump(struct pool *pool);
void pool_pump_later(struct pool *pool);
void pool_connected(struct connection *conn);
void pool_connect_failed(struct connection *conn, enum upstream_failure failure, const char *why);
/* A connection has done its work. `keep`: it may serve again. */
void pool_release(struct connection *conn, bool keep);
/* An idle connection turned readable: it is of no use any more. */
void pool_drop_idle(struct connection *conn);
/* Frees those without connections and transfers. */
void pool_drop_unused(struct upstream *upstream);
void pool_destroy(struct pool *pool);

/* --- transfer.c ---------------------------------------------------------------------- */
/* Sends the request on that connection, now. */
void transfer_begin(struct upstream_transfer *t, struct connection *conn);
/* Tells the host's breaker how it went; only the first time counts. */
void transfer_settle(struct upstream_transfer *t, enum breaker_outcome outcome);
/* An answer begins, or is awaited no more: tells the pool how long that took. */
void transfer_sample(struct upstream_transfer *t);
/* Leaves connection and queue; on_fail comes in a later turn. */
void transfer_fail(struct upstream_transfer *t, enum upstream_failure failure, const char *why);
/* The connection ended before any answer: once more on another one if that can do no harm, else `failure`. */
void transfer_lost(struct upstream_transfer *t, const char *why);
void transfer_flush(struct upstream_transfer *t);
void transfer_read_later(struct upstream_transfer *t);
/* Parts transfer and connection; returns the connection. */
struct connection *transfer_detach(struct upstream_transfer *t);
/* Back to the free list; a running callback or a queued task postpones that. */
void transfer_release(struct upstream_transfer *t);
/* Sets its timer by what is to happen next. */
void transfer_expect_progress(struct upstream_transfer *t);

/* --- answer.c ------------------------------------------------------------------------ */
/* The connection is readable. */
void answer_read(struct upstream_transfer *t);
/* Goes on with what a pause held back, then reads. */
void answer_continue(struct upstream_transfer *t);
/* Has the whole answer come, and nothing behind it? */
bool answer_is_complete(const struct upstream_transfer *t);

/* --- upstream.c ---------------------------------------------------------------------- */
void upstream_defer(struct upstream *upstream, struct loop_task *task);
/* An io or task that was counted in `pending` is over; may free the upstream: the last thing that its caller
 * does. */
void upstream_settled(struct upstream *upstream);

#endif
