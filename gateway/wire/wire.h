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

/* --- heads --- */

/* Length of the head at the start of data, its empty line included, or 0 while it is not complete. Empty
 * lines (CRLF) before a request line are part of it (RFC 9112 2.2: at most two). `*scanned` remembers
 * progress between calls on a growing buffer; start with 0. The caller bounds the buffer. Bytes that can no
 * longer become a head (a bare LF, a start line without a version, TLS) count as complete at once, so that
 * parsing refuses them now and nobody waits for the rest. */
size_t wire_head_length(struct slice data, size_t *scanned);

enum wire_verdict {
    WIRE_OK,
    WIRE_BAD,             /* 400: malformed, or open to two readings */
    WIRE_TOO_MANY_FIELDS, /* 431 */
    WIRE_VERSION,         /* 505: not HTTP/1.0 or HTTP/1.1 */
    WIRE_NOT_IMPLEMENTED, /* 501: codings besides chunked; CONNECT, TRACE, methods not in capitals */
    WIRE_NOMEM,
};

struct wire_result {
    enum wire_verdict verdict;
    const char *why; /* static sentence, safe to show; never quotes the input; "" when OK */
};

/* Parses a whole head (as wire_head_length delimits it). `head` must stay; the field array comes from the
 * arena, one entry for each field. When the verdict is not WIRE_OK, *out means nothing. Refuses:
 * - lines: bare CR or LF, NUL and control bytes, obs-fold, white space before a colon, names not of tchar;
 * - Host: missing (1.1), doubled, empty, or anything but a name or address with an optional port;
 * - Content-Length: doubled, a list, not 1-19 plain digits, over 2^63 - 1;
 * - Transfer-Encoding: with Content-Length, doubled, in HTTP/1.0, not exactly "chunked" (501 when only
 *   another coding before "chunked" is the trouble); a tab around the value of either of these two;
 * - targets: not origin-form (or "*" with OPTIONS; an absolute-form target of the same Host is reduced to
 *   its origin-form), bytes outside the URI set, '%' without two hex digits, fragments. Brackets may stand
 *   bare in the query. Dot segments, doubled slashes and escapes are left for route/ to judge;
 * - doubled FIELD_SINGLE fields, a Connection that is no list of tokens, an Expect that is not 100-continue;
 * - whatever llhttp reads differently.
 * Upgrade is ignored (dropped as hop-by-hop). expect_continue is set only where a body is to come (1.1). */
struct wire_result wire_parse_request(struct slice head, struct arena *arena, struct http_request *out);

/* As above for an answer. `to` is the method of the request it answers: it decides whether there is a body
 * (HEAD, 1xx, 204, 304). A Transfer-Encoding that is one name nobody knows leaves the body as it is, up to
 * the end of the connection (RFC 9112 6.3). Refuses besides: a status outside 100..599, 101, interim answers
 * that announce a body, empty lines in front. A 204 that announces a body is taken as having none and not
 * kept alive. */
struct wire_result wire_parse_response(struct slice head, enum method to, struct arena *arena,
                                       struct http_response *out);

/* --- bodies --- */

struct wire_body {
    enum http_framing framing;
    int state;
    uint64_t left;   /* of the body, or of the present chunk */
    size_t line;     /* length of the present framing line so far: bounded */
    size_t overhead; /* bytes of extensions and trailers so far: bounded */
};

enum wire_progress {
    WIRE_DATA,   /* *data holds body bytes */
    WIRE_MORE,   /* everything was consumed, more input is needed */
    WIRE_DONE,   /* the body is complete; what was not consumed belongs to the next message */
    WIRE_DAMAGED /* framing is broken: answer 400 and close; of an answer: cut */
};

void wire_body_init(struct wire_body *body, enum http_framing framing, uint64_t length);
/* Takes bytes from the front of *in (advancing it) up to the next piece of body. *data points into *in, and
 * is empty unless WIRE_DATA is returned. Strict: chunk sizes are 1-16 hex digits with nothing around them,
 * lines end with CRLF, extensions are printable ASCII of at most 256 bytes a line, trailers are checked for
 * syntax and dropped, both together at most 8 KiB. DONE and DAMAGED are final. FRAMING_CLOSE never says DONE
 * by itself. */
enum wire_progress wire_body_next(struct wire_body *body, struct slice *in, struct slice *data);

enum { WIRE_CHUNK_HEAD_MAX = 20 };
/* "1a2b\r\n" of a chunk of that size (not 0); returns its length. The chunk's data is followed by "\r\n", the
 * body ends with "0\r\n\r\n". */
size_t wire_chunk_head(char out[WIRE_CHUNK_HEAD_MAX], size_t size);

/* --- writing --- */

/* "NAME: value\r\n". ERR_INVALID (and nothing written) when name or value could break the head: whatever
 * leaves the gateway passes here. */
int wire_put_field(struct buf *out, struct slice name, struct slice value) MUST_CHECK;
/* "METHOD target HTTP/1.1\r\n". Same promise. */
int wire_put_request_line(struct buf *out, struct slice method, struct slice target) MUST_CHECK;
/* "HTTP/1.1 200 OK\r\n". */
int wire_put_status_line(struct buf *out, int status) MUST_CHECK;

#endif
