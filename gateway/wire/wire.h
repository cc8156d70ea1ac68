/*
 * HTTP/1.1 bytes <-> messages, both directions, no sockets. llhttp reads the heads; the guards here decide
 * what is believed: they refuse whatever two readers could understand differently (RFC 9112; design threats
 * T2, T3, T5, T8). Bodies are framed by wire_body: llhttp 8 lets damaged chunk lines through, and a guard
 * that has to understand every framing byte to veto it is the decoder already.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "base/arena.h"
#include "base/buf.h"
#include "http/message.h"

enum { WIRE_FIELDS_MAX = 100 };

/* --- heads
 * --------------------------------------------------------------------------------------------------- */

/* Length of the head at the start of data, its empty line included, or 0 while it is not complete. Empty
 * lines (CRLF) before a request line are part of it (RFC 9112 2.2: at most two). `*scanned` remembers
 * progress between calls on a growing buffer; start with 0. */
size_t wire_head_length(struct slice data, size_t *scanned);

enum wire_verdict {
    WIRE_OK,
    WIRE_BAD,             /* 400: malformed, or open to two readings */
    WIRE_TOO_MANY_FIELDS, /* 431 */
    WIRE_VERSION,         /* 505: not HTTP/1.0 or HTTP/1.1 */
    WIRE_NOT_IMPLEMENTED, /* 501: a transfer coding that is not chunked, CONNECT, TRACE */
    WIRE_NOMEM,
};

struct wire_result {
    enum wire_verdict verdict;
    const char *why; /* static sentence, safe to show; never quotes the input */
};

/* Parses a whole head (as wire_head_length delimits it). `head` must stay; field arrays come from the arena.
 * Refuses: bare CR or LF, NUL and control bytes, white space before a colon, obs-fold, empty or non-token
 * names, missing, doubled or malformed Host (1.1), Content-Length that is not plain digits or stands twice,
 * Transfer-Encoding with Content-Length, twice, empty, in HTTP/1.0 or not exactly "chunked", targets that are
 * not origin-form (or "*" with OPTIONS; an absolute-form target of the same Host is reduced to its
 * origin-form), bytes outside the URI set in a target, doubled FIELD_SINGLE fields, an Expect other than
 * 100-continue (verdict BAD), Upgrade is ignored (dropped as hop-by-hop). */
struct wire_result wire_parse_request(struct slice head, struct arena *arena, struct http_request *out);

/* As above for an answer. `to` is the method of the request it answers: it decides whether there is a body
 * (HEAD, 1xx, 204, 304). Refuses besides: differing or malformed Content-Lengths, Content-Length with
 * Transfer-Encoding, a status outside 100..599, 101, unknown transfer codings. */
struct wire_result wire_parse_response(struct slice head, enum method to, struct arena *arena,
                                       struct http_response *out);

/* --- bodies
 * -------------------------------------------------------------------------------------------------- */

struct wire_body {
    enum http_framing framing;
    int state;
    uint64_t left;   /* of the body, or of the present chunk */
    size_t line;     /* length of the present framing line so far: bounded */
    size_t overhead; /* trailer bytes so far: bounded */
};

enum wire_progress {
    WIRE_DATA,   /* *data holds body bytes */
    WIRE_MORE,   /* everything was consumed, more input is needed */
    WIRE_DONE,   /* the body is complete; what was not consumed belongs to the next message */
    WIRE_DAMAGED /* framing is broken: answer 400 and close; of an answer: cut */
};

void wire_body_init(struct wire_body *body, enum http_framing framing, uint64_t length);
/* Takes bytes from the front of *in (advancing it) up to the next piece of body. *data points into *in.
 * Strict: chunk sizes are 1-16 hex digits, lines end with CRLF, extensions at most 256 bytes a line without
 * control bytes, trailers checked for syntax, dropped, at most 8 KiB. FRAMING_CLOSE never says DONE by
 * itself. */
enum wire_progress wire_body_next(struct wire_body *body, struct slice *in, struct slice *data);

enum { WIRE_CHUNK_HEAD_MAX = 20 };
/* "1a2b\r\n" of a chunk of that size (not 0); returns its length. The chunk's data is followed by "\r\n", the
 * body ends with "0\r\n\r\n". */
size_t wire_chunk_head(char out[WIRE_CHUNK_HEAD_MAX], size_t size);

/* --- writing
 * ------------------------------------------------------------------------------------------------- */

/* "NAME: value\r\n". ERR_INVALID (and nothing written) when name or value could break the head: whatever
 * leaves the gateway passes here. */
int wire_put_field(struct buf *out, struct slice name, struct slice value) MUST_CHECK;
/* "METHOD target HTTP/1.1\r\n". Same promise. */
int wire_put_request_line(struct buf *out, struct slice method, struct slice target) MUST_CHECK;
/* "HTTP/1.1 200 OK\r\n". */
int wire_put_status_line(struct buf *out, int status) MUST_CHECK;

#endif
