/*
 * HTTP out. One `struct upstream` per worker: a pool of kept connections to each origin. libcurl makes the
 * connections (CURLOPT_CONNECT_ONLY on the multi interface, driven by the loop: DNS, happy eyeballs, TLS and
 * its verification, session reuse); HTTP/1.1 is then spoken on them with wire/. No proxy from the
 * environment, no redirects, no decompression.
 *
 *   t = upstream_start(u, &request, &hooks)
 *   hooks.on_interim  for each interim answer but 100
 *   hooks.on_head   once: the final answer's head
 *   hooks.on_body   for each piece, in order; upstream_pause stops the reading, upstream_resume goes on
 *   hooks.on_end    once: the body is complete and was complete   -- or --
 *   hooks.on_fail   once: what went wrong, at any time before on_end
 *
 * No callback runs inside a call of upstream_start, upstream_send, upstream_resume or upstream_cancel. After
 * on_end, on_fail or upstream_cancel the transfer is gone. A safe request (RFC 9110 9.2.1) without body on a
 * kept connection that turns out closed before any byte of the answer is sent once more on a new connection;
 * any other request only when no byte of it had left. Everything belongs to the loop's thread, but for
 * upstream_stats and what concerns hosts.
 */
#ifndef UPSTREAM_UPSTREAM_H
#define UPSTREAM_UPSTREAM_H

#include "base/loop.h"
#include "http/message.h"
#include "http/url.h"

/* An upstream host as configured: immutable, shared by all workers. Pools know it by its value: it need only
 * outlive the call of upstream_start that names it. */
struct upstream_origin {
    char *url;              /* "https://crm.universal.rollout.com" : scheme and authority */
    struct slice authority; /* for Host; points into url */
    char *ca;               /* file, or NULL for the system's */
    bool https;
};
/* From a base URL (its path is not part of the origin). ERR_SYNTAX / ERR_NOMEM. */
int upstream_origin_init(struct upstream_origin *origin, struct slice url, const char *ca) MUST_CHECK;
void upstream_origin_deinit(struct upstream_origin *origin);

/* From when to when: of the connection being made; request sent to first byte; between two movements of bytes
 * that are ours to wait for (not while paused, nor while the user has nothing to send); upstream_start to
 * on_end. 0: no limit. */
struct upstream_times {
    uint64_t connect_ms, first_byte_ms, idle_ms, total_ms;
};

struct upstream_options {
    struct upstream_times times;
    unsigned idle_connections;  /* kept for each origin */
    uint64_t idle_keep_ms;      /* a kept connection is closed after so long without use */
    uint64_t connection_age_ms; /* … and not reused when older: so that DNS changes are followed */
    unsigned connections_max;   /* for each origin; more transfers wait in a queue, inside total_ms */
    size_t head_max;            /* of an answer */
};

enum upstream_failure {
    UPSTREAM_RESOLVE, /* the name does not resolve */
    UPSTREAM_CONNECT, /* refused or unreachable */
    UPSTREAM_CONNECT_TIMEOUT,
    UPSTREAM_TLS,   /* handshake or verification failed */
    UPSTREAM_RESET, /* closed or reset before a whole head */
    UPSTREAM_FIRST_BYTE_TIMEOUT,
    UPSTREAM_IDLE_TIMEOUT, /* stalled inside head, body or while taking our bytes */
    UPSTREAM_TOTAL_TIMEOUT,
    UPSTREAM_INVALID, /* the guard refused the head */
    UPSTREAM_CUT,     /* the body ended early or its framing broke */
    UPSTREAM_NOMEM,
    UPSTREAM_OPEN, /* the host's breaker is open: nothing was tried */
};
/* RFC 9209 2.3 error type: "connection_refused", "http_response_timeout" … */
const char *upstream_failure_name(enum upstream_failure failure);

/*
 * A host as all workers see it: its circuit breaker, and the budget that repetitions are paid from. The
 * register is shared: any thread, a lock held for a few dozen instructions. A transfer that names its host is
 * let through or refused by the breaker (UPSTREAM_OPEN), and tells it how it went: failures to connect,
 * resets before the head, timeouts, 502, 503 and 504 are bad; what its user cancels says nothing. Where a
 * host is taken, NULL means: none, never open, no budget.
 */
struct upstream_hosts;
struct upstream_host;
enum upstream_circuit { UPSTREAM_CLOSED, UPSTREAM_CIRCUIT_OPEN, UPSTREAM_HALF_OPEN };
const char *upstream_circuit_name(enum upstream_circuit circuit);

/* NULL when out of memory. */
struct upstream_hosts *upstream_hosts_create(void);
void upstream_hosts_destroy(struct upstream_hosts *hosts);
/* By scheme and authority; made when it is not known, and lives as long as the register. NULL: no memory, or
 * more than 256 of them (reloads that name ever new hosts). */
struct upstream_host *upstream_host_find(struct upstream_hosts *hosts, const struct upstream_origin *origin);
/* Would a transfer that starts now be refused? Counts as a refusal: for who then does not start it. */
bool upstream_host_refuses(struct upstream_host *host, uint64_t now_ms);
enum upstream_circuit upstream_host_circuit(struct upstream_host *host);
/* Not of a host in trouble, nor of one that let a request time out and has answered none since. */
bool upstream_host_allows_retries(struct upstream_host *host);
/* Seconds until the next probe may go, at least 1. */
unsigned upstream_host_retry_after(struct upstream_host *host, uint64_t now_ms);
/* A first try pays a fifth of a repetition in; a repetition has to be paid. False: not enough. */
void upstream_host_deposit(struct upstream_host *host);
bool upstream_host_withdraw(struct upstream_host *host, uint64_t now_ms) MUST_CHECK;

struct upstream_host_stats {
    struct slice host; /* "crm.universal.rollout.com"; lives as long as the register */
    bool https;
    enum upstream_circuit circuit;
    uint64_t wait_ms; /* until a probe may go */
    uint64_t opened, refused, failures, retries, retries_unpaid;
};
/* At most `max` of them; returns how many. */
size_t upstream_hosts_stats(struct upstream_hosts *hosts, struct upstream_host_stats *out, size_t max);

struct upstream_transfer;

struct upstream_hooks {
    void (*on_head)(void *user, const struct http_response *head); /* slices die after the call */
    void (*on_body)(void *user, struct slice data);                /* likewise */
    void (*on_end)(void *user);
    /* `sent`: did any byte of the request leave? `why`: static sentence. */
    void (*on_fail)(void *user, enum upstream_failure failure, bool sent, const char *why);
    /* The request body may go on (upstream_send said AGAIN). NULL without a body. */
    void (*on_writable)(void *user);
    /* An interim answer other than 100; slices die after the call. NULL: they are passed over. */
    void (*on_interim)(void *user, const struct http_response *head);
};

struct upstream_request {
    const struct upstream_origin *origin;
    struct upstream_host *host; /* or NULL; outlives the transfer */
    bool again;                 /* a further try of a request that failed before */
    uint64_t caller;            /* hash of whose request it is: one caller's bad answers are not the host's */
    uint64_t deadline_ms; /* of the whole, from upstream_deadline for an earlier try; 0: total_ms from now */
    enum method method;
    struct slice head; /* the whole serialised head, empty line included; copied */
    enum http_framing
        framing; /* of the request body: NONE, LENGTH or CHUNKED (upstream_send adds the chunk framing) */
    uint64_t length;
    void *user;
    const struct upstream_hooks *hooks; /* outlive the transfer */
};

/* NULL when out of memory. */
struct upstream *upstream_create(struct loop *loop, const struct upstream_options *options);
/* For what starts from now on. */
void upstream_configure(struct upstream *upstream, const struct upstream_options *options);
/* Fails what is in flight (no callbacks), closes all; on_closed once nothing remains. */
void upstream_close(struct upstream *upstream, void (*on_closed)(void *arg), void *arg);
/* Once per process, before the threads; and at the end. */
int upstream_global_init(void) MUST_CHECK;
void upstream_global_deinit(void);

/* When a request that starts now has to be over: later tries of it get the same. UINT64_MAX without total_ms.
 */
uint64_t upstream_deadline(const struct upstream *upstream);
/* NULL when out of memory. */
struct upstream_transfer *upstream_start(struct upstream *upstream, const struct upstream_request *request);
/* Body bytes of the request: takes as many as it can (what the kernel does not take at once is copied, up to
 * 64 KiB) and returns how many; fewer than given: wait for on_writable. `last` with all bytes taken ends the
 * body. When the answer needs the body no more, or the transfer has failed and on_fail is on its way, it
 * takes all and drops it. To give more than `length` bytes, or `last` before all of them, is a fault of the
 * caller's. */
size_t upstream_send(struct upstream_transfer *transfer, struct slice data, bool last);
/* While paused there is no on_head, on_body or on_end; on_fail may come. */
void upstream_pause(struct upstream_transfer *transfer);
void upstream_resume(struct upstream_transfer *transfer);
/* The answer is not wanted any more; the connection is closed unless the answer was complete. No further
 * callback. */
void upstream_cancel(struct upstream_transfer *transfer);

/* Counters of this worker; any thread may read (relaxed atomics inside). */
struct upstream_stats {
    uint64_t connects, connect_failures, reuses, transfers, failures;
    uint64_t open, idle, waiting;
};
void upstream_stats(const struct upstream *upstream, struct upstream_stats *out);

#endif
