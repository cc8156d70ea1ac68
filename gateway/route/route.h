/*
 * From a request target to where it goes: which API, which tenant, which path upstream, which entity and
 * record it is about (contract 3 and 12). Pure. One canonical target is decided on; what has two readings is
 * refused (threats T1, T5). Canonical (RFC 3986 6.2.2): escapes of unreserved characters are decoded, the
 * others have upper-case digits; nothing else is changed, a trailing slash stays.
 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/arena.h"
#include "base/buf.h"
#include "http/message.h"

enum { ROUTE_TENANT_MAX = 128, ROUTE_ENTITY_MAX = 64 };

enum route_outcome {
    ROUTE_OK,
    ROUTE_LINK,            /* /link/… : the Rollout Link endpoints; what follows "/link" is in `path` */
    ROUTE_EVENTS,          /* exactly /t/{tenant}/events or /events; `path` is empty */
    ROUTE_BAD_TARGET,      /* 400 bad-request */
    ROUTE_BAD_TENANT,      /* 400 bad-request: malformed, named twice, or two different ones */
    ROUTE_TENANT_REQUIRED, /* 400 */
    ROUTE_UNKNOWN_API,     /* 404 */
    ROUTE_NOMEM,           /* the arena is full: 503 overloaded */
};

struct route {
    int api; /* index into the names given; -1 for ROUTE_LINK, ROUTE_EVENTS and refusals */
    struct slice tenant;
    struct slice path;  /* after the api's name: "", "/" or "/people/1", canonical, still percent-encoded */
    struct slice query; /* without '?', as sent */
    bool has_query;
    struct slice entity; /* first segment, decoded, lower case, without hyphens and ";parameters", cut at
                            ROUTE_ENTITY_MAX */
    struct slice id; /* second segment, decoded as events name it; empty for lists, and when it has a ';' (two
                        readings: then the answer depends on the whole entity) */
    bool tenant_in_path; /* /t/{tenant}/… form */
    const char *why;     /* for refusals: static sentence, safe to show */
};

/* names: the configured APIs, compared exactly. "t" can't be one of them; "link" and "events" stand for an
 * API when one has that name. Precedence of refusals: target, tenant, api, tenant missing. Slices point into
 * the request, static memory or the arena; a target without escapes allocates the entity at most. */
enum route_outcome route_find(const struct http_request *request, const struct slice *names, size_t count,
                              struct arena *arena, struct route *out);

/* 1-128 of A-Z a-z 0-9 . _ : @ - */
bool route_tenant_is_valid(struct slice tenant);

/* The query without every parameter of that name: compared decoded and without case, "name[…]" included, '&'
 * and ';' both separate. The query itself when there is none; ptr is NULL when the arena is full (then send
 * nothing). */
struct slice route_query_without(struct arena *arena, struct slice query, struct slice name);

/* --- the way back ------------------------------------------------------------------------------------- */

/* Finds the value of `_metadata.nextLink` at the root object of a JSON text that comes in pieces, without a
 * tree and with bounded memory: only the string value itself is ever held back (at most ROUTE_LINK_MAX; a
 * longer one passes unchanged). Keys written with escapes, values that are not strings, and empty strings are
 * not found. It does not validate: of a text that is not JSON, and of doubled members (the first counts), it
 * may find anything or nothing. */
enum { ROUTE_LINK_MAX = 8192 };
struct route_scan {
    int state;
    unsigned depth; /* containers open */
    unsigned char flags;
    unsigned char key_len;
    char key[16];
    uint64_t offset;  /* bytes seen; not counted on once `over` */
    uint64_t at, len; /* of the value, without quotes, once found */
    bool found;
    bool over; /* nothing more can come: found, passed, or not JSON as we know it */
};
void route_scan_init(struct route_scan *scan);
/* Feeds the next piece. Returns how many of all bytes seen so far are settled (may be sent on): all of them,
 * except while inside the value: then all before it. When the value ends with this piece `found` is set, and
 * everything is settled. */
uint64_t route_scan_feed(struct route_scan *scan, struct slice piece);

/* Writes the URL as the client must call it, in the form in which it called:
 * "http://{host}/t/{tenant}/{api}/…" or "http://{host}/{api}/…". `link` is the raw inside of a JSON string
 * ("\/" is understood), and so is what is written. ERR_NOTFOUND when the link is not an absolute URL inside
 * base_url (its host in any case; http and https are taken for one when both ports are the default);
 * ERR_INVALID when host is not one. In both cases nothing is written and the link stays as it is. ERR_LIMIT,
 * ERR_NOMEM of out. */
int route_rewrite_link(struct buf *out, struct slice link, struct slice base_url, const struct route *route,
                       struct slice api, struct slice host, bool tls);

#endif
