/* URLs and request targets (RFC 3986), strict. Pure. */
#ifndef HTTP_URL_H
#define HTTP_URL_H

#include "base/buf.h"

/* An absolute http(s) URL: no userinfo, no fragment, complete escapes, RFC 3986 characters only. The host is
 * a name (letters, digits, '-', '_', and a dot at its end), a plain IPv4 address or an IPv6 address in
 * brackets; forms that resolvers would also read as an IPv4 address ("127.1", "0x7f000001") are refused.
 * Slices point into the text (a path of "/" may be static). */
struct url {
    bool https;
    struct slice host;      /* brackets of an IPv6 literal included */
    uint16_t port;          /* default filled in */
    struct slice authority; /* host[:port] as written */
    struct slice path;      /* begins with '/'; "/" when the text has none */
    struct slice query;     /* without '?' ; empty when none */
};
/* False: not such a URL, and *out is unchanged. */
bool url_parse(struct slice text, struct url *out);

/* The value of one query parameter, still encoded; false when absent. First one wins. `name` is plain text
 * and meets encoded spellings of itself, too ("include%44ata"). */
bool url_query_find(struct slice query, struct slice name, struct slice *value);

/* Percent-decodes into out. ERR_SYNTAX for a bad escape, or the buffer's error; then nothing is added. '+'
 * stays '+', and the result may hold any byte, NUL too. */
int url_decode(struct buf *out, struct slice text);
/* Encodes everything but unreserved characters. 0 or the buffer's error. */
int url_encode(struct buf *out, struct slice text);

#endif
