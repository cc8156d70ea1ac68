/*
 * What the files of this room share. A connection moves through these states, always in
 * server_connection_run:
 *
 *   HEAD ──head complete──> BUSY ──answer sent──> HEAD        keep-alive
 *    │                       │ ├──body not read──> SKIP ──> HEAD
 *    │ refused: BUSY with an │ └──must close─────> LINGER ──> CLOSED
 *    │ exchange of our own   └────cut, gone──────> CLOSED
 *    └──idle too long, eof──> CLOSED
 *
 * Nothing but server_connection_run calls the handler. Functions that the handler calls only change state
 * and, when no run is under way, schedule one for the end of the loop's turn: so no callback ever runs inside
 * a call of the handler's.
 */
#ifndef SERVER_SERVER_INTERNAL_H
#define SERVER_SERVER_INTERNAL_H

#include <netinet/in.h>
#include <stdalign.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/list.h"
#include "server/server.h"
#include "wire/wire.h"

enum {
    SERVER_SCRATCH = 64 * 1024,
    SERVER_FIRST_BLOCK = 4096,
    SERVER_ARENA_MAX = 1024 * 1024, /* beside the head */
    SERVER_SKIP_MAX = 64 * 1024,    /* of a request body that nobody read, to keep the connection */
    SERVER_LINGER_MAX = 1024 * 1024,
    SERVER_LINGER_MS = 2000,
    SERVER_BACKLOG_HIGH = 64 * 1024,
    SERVER_PIECES = 8,
    SERVER_FREE_MAX = 32, /* exchanges kept for reuse */
    SERVER_PAUSE_MS = 100,
    SERVER_FRESH_MS = 1000, /* what a new connection has left to send its request when the server drains */
    SERVER_REQUEST_ID_OWN = 32,
    SERVER_UID_MAX = sizeof "uid:4294967295",
};

/* The byte transport of a connection: bytes moved, 0 at the end of the stream (read), ERR_AGAIN or
 * ERR_CLOSED. What is no plain socket says `unread` and `stalled` of the connection (tls.c). */
struct server_connection;
struct tls;

struct server_stream {
    ssize_t (*read)(struct server_connection *c, void *into, size_t max);
    ssize_t (*writev)(struct server_connection *c, struct iovec *parts, size_t count);
    void (*shutdown)(struct server_connection *c);
};
extern const struct server_stream server_plain_stream, server_memory_stream;

enum server_state { SERVER_HEAD, SERVER_BUSY, SERVER_SKIP, SERVER_LINGER, SERVER_CLOSED };

/* An idle one is all that a keep-alive client costs: keep it small. */
struct server_connection {
    struct loop_io io;
    struct loop_timer timer; /* never later than the deadlines; early is harmless */
    struct loop_task task;   /* a run at the end of the turn */
    struct list node;        /* in server->connections */
    struct server *server;
    const struct server_stream *stream;
    struct tls *tls;            /* owned; NULL: plain */
    struct server_inner *inner; /* its client, when it is one of our own; fd is -1 then */
    const void *from;           /* whoever stands behind it, borrowed: x->from; NULL: a client */
    struct exchange *busy;      /* owned; set exactly in SERVER_BUSY */
    struct slice
        in; /* read and not consumed: in the scratch buffer (only during a run) or the end of `pending` */
    struct buf pending;
    size_t scanned;          /* wire_head_length's */
    struct wire_body body;   /* of the present request */
    uint64_t read_deadline;  /* 0: none */
    uint64_t write_deadline; /* 0: none */
    size_t dropped;          /* bytes thrown away in LINGER */
    int fd;
    enum server_state state;
    bool running;
    bool scheduled;
    bool in_scratch;
    bool released;  /* the loop has let go of io */
    bool fresh;     /* no request yet */
    bool timed;     /* read_deadline is that of a head */
    bool eof;       /* the client has shut its side */
    bool hangup;    /* it was told while reading was paused */
    bool broken;    /* nothing can be read or written any more */
    bool blocked;   /* the kernel took no more: LOOP_WRITE is watched */
    bool stalled;   /* … and reading has to wait for that */
    bool unread;    /* the stream can be read although the descriptor may not tell */
    bool body_done; /* the present request's body was consumed to its end */
    bool closing;   /* after this answer */
    bool linger;    /* … and the client may still be sending */
    bool whole;     /* the last answer was sent to its end */
    bool reset;     /* close with RST: nothing else would show that the answer was cut */
    uint8_t uid_len;
    char uid[SERVER_UID_MAX]; /* "uid:1000" of a unix peer */
    char peer[INET6_ADDRSTRLEN];
};

enum piece_kind { PIECE_INTERIM, PIECE_HEAD, PIECE_BODY };

struct piece {
    struct slice data;
    void (*release)(void *object);
    void *object;
    char prefix[WIRE_CHUNK_HEAD_MAX + 2]; /* chunk framing before the data */
    uint8_t prefix_len;
    uint8_t kind;
};

/* What stands behind a server_exchange. */
struct exchange {
    struct server_exchange x;
    struct server_connection *connection;
    struct exchange *next_free;
    /* Body. */
    enum server_body verdict; /* DATA until there is a last word */
    uint64_t taken;
    bool asked;      /* server_body_next was called */
    bool continued;  /* 100 was sent, or is not owed */
    bool wants_body; /* MORE was told: on_body is owed */
    bool collecting;
    size_t collect_max;
    struct buf collected;
    void (*on_collected)(struct server_exchange *x, enum problem problem, struct slice body);
    /* Answer. */
    bool begun, sealed, ended, cut;
    bool bodyless; /* HEAD, 204, 304 */
    bool chunked;
    bool chunk_open; /* a chunk was written: its CRLF comes with what follows */
    bool above;      /* the backlog was over its mark: on_drained is owed */
    uint64_t length, written;
    size_t backlog;
    struct piece *pieces; /* `few`, or from the heap */
    size_t first, count, capacity;
    size_t offset; /* bytes of the first piece that are sent */
    char line[64];
    char tail[96];
    char id[SERVER_REQUEST_ID_OWN];
    struct piece few[SERVER_PIECES];
    alignas(16) char block[SERVER_FIRST_BLOCK];
};

struct server {
    struct loop *loop;
    struct loop_io listener;
    struct loop_timer pause;
    struct loop_task task;
    struct server_options options;
    struct server_handler handler;
    struct list connections;
    struct exchange *free;
    unsigned free_count;
    unsigned open; /* connections with a descriptor */
    size_t
        references; /* connections in memory, the listener's io, and the server itself until its close ran */
    int fd;         /* -1 once closed */
    int spare;      /* given up for a moment to turn a client away when descriptors have run out */
    bool paused, draining, closing;
    uint64_t drain_idle_ms;
    bool exhausted; /* descriptors ran out, and it was said */
    void (*on_closed)(void *arg);
    void *arg;
    char *scratch;
};

static inline struct exchange *server_exchange_of(struct server_exchange *x)
{
    return container_of(x, struct exchange, x);
}

/* listen.c */
/* A connection left: accept again if that was what was missing. */
void server_resume(struct server *server);
void server_unref(struct server *server);

/* exchange.c */
/* NULL when out of memory. */
struct exchange *server_exchange_create(struct server_connection *c);
/* Releases every piece, tells on_done, and gives the exchange back. */
void server_exchange_finish(struct exchange *e, enum server_outcome outcome);
/* The client's X-Request-Id when well-formed, else a fresh one. */
void server_exchange_name(struct exchange *e);

/* connection.c */
/* Takes the descriptor over. */
void server_connection_open(struct server *server, int fd, const struct sockaddr_storage *peer);
/* One without a descriptor, whose request is there already. NULL when out of memory. */
struct server_connection *server_connection_inner(struct server *server, struct server_inner *inner,
                                                  const struct server_inner_request *request);
/* Something changed: unless the connection is running already, it runs at the end of the turn. */
void server_connection_schedule(struct server_connection *c);
void server_connection_close(struct server_connection *c);
/* Wakes it at that time at the latest. */
void server_connection_arm(struct server_connection *c, uint64_t deadline);
/* The maximum of `pending` when that many bytes come in. */
size_t server_connection_room(const struct server_connection *c, size_t more);
/* Reads once, if anything is there. */
void server_connection_read(struct server_connection *c);

/* inner.c */
/* The connection is closed: what came is the answer. */
void server_inner_closed(struct server_connection *c);

/* run.c */
/* Brings the connection as far as it goes now. */
void server_connection_run(struct server_connection *c);
/* Our own answer to something that is no request: the last one of this connection. Not inside of a run. */
void server_connection_refuse(struct server_connection *c, int status, const char *why);
/* Nothing more is sent; what comes is dropped until the client closes, for a while. */
void server_connection_linger(struct server_connection *c);
/* A deadline has passed: what the connection was waiting for decides. */
void server_connection_expire(struct server_connection *c, uint64_t now);

/* tls.c */
/* A new connection speaks TLS. ERR_NOMEM. */
int server_tls_attach(struct server_connection *c, struct server_tls *of) MUST_CHECK;
/* Says goodbye where that is right, and frees what belongs to the connection. */
void server_tls_detach(struct server_connection *c);
/* Whom the client's verified certificate names, or nobody: empty. */
struct slice server_tls_peer_name(const struct server_connection *c);

/* body.c */
/* How the body's rest looks in what was read already: DONE, MORE or DAMAGED. Consumes nothing. */
enum wire_progress server_body_ahead(const struct server_connection *c);
/* Brings server_collect forward. True when its callback was called. */
bool server_body_collect(struct exchange *e);

/* answer.c */
/* Hands the kernel what it takes of the queue, if the head is complete. */
void server_answer_send(struct exchange *e);
/* Queues "100 Continue". */
void server_answer_continue(struct exchange *e);
/* Drops what is queued, releasing it. */
void server_answer_drop(struct exchange *e);

/* reply.c */
/* An error before there is a request; 501, 505 and 408 have no problem code of their own. */
void server_refuse(struct exchange *e, int status, const char *why);

#endif
