/*
 * Header fields as data: one table says what each known name is and what a gateway does with it. A name is
 * looked up once, when the message is parsed; everything later works with the id.
 */
#ifndef HTTP_FIELD_H
#define HTTP_FIELD_H

#include "base/slice.h"

/* What a proxy does with a field (RFC 9110 7.6.1; contract 3). */
enum {
    FIELD_HOP = 1 << 0,      /* hop-by-hop: never forwarded in either direction, never stored */
    FIELD_IDENTITY = 1 << 1, /* says who calls or for whom: never forwarded upstream; ours are added last */
    FIELD_FRAMING =
        1 << 2, /* Content-Length, Transfer-Encoding, Trailer, Expect, Host: made anew on each side */
    FIELD_PRECONDITION = 1 << 3, /* If-*, Range: held back when the gateway fetches for its cache */
    FIELD_OVERRIDE = 1 << 4, /* X-Forwarded-*, Forwarded, X-Original-URL, X-HTTP-Method-Override …: dropped
                                upstream, they would steer an upstream without being part of the cache key */
    FIELD_RESPONSE_OWN = 1 << 5, /* the gateway writes it itself to clients, or keeps it: Age, Cache-Status,
                                    CDN-Cache-Control, X-Request-Id, … */
    FIELD_SINGLE =
        1 << 6, /* may stand once only: two of them make a message malformed (Host, Content-Length …) */
};

/* X(id, "lower-case name", flags). The list lives here so that enum and table cannot part. */
#define FIELD_LIST(X)                                                                                        \
    X(ACCEPT, "accept", 0)                                                                                   \
    X(ACCEPT_ENCODING, "accept-encoding", FIELD_FRAMING)                                                     \
    X(ACCEPT_RANGES, "accept-ranges", 0)                                                                     \
    X(AGE, "age", FIELD_RESPONSE_OWN)                                                                        \
    X(ALT_SVC, "alt-svc", FIELD_HOP)                                                                         \
    X(AUTHORIZATION, "authorization", FIELD_IDENTITY)                                                        \
    X(CACHE_CONTROL, "cache-control", FIELD_RESPONSE_OWN)                                                    \
    X(CACHE_STATUS, "cache-status", FIELD_RESPONSE_OWN)                                                      \
    X(CDN_CACHE_CONTROL, "cdn-cache-control", 0)                                                             \
    X(CONNECTION, "connection", FIELD_HOP)                                                                   \
    X(CONTENT_ENCODING, "content-encoding", 0)                                                               \
    X(CONTENT_LENGTH, "content-length", FIELD_FRAMING | FIELD_SINGLE)                                        \
    X(CONTENT_LOCATION, "content-location", 0)                                                               \
    X(CONTENT_RANGE, "content-range", 0)                                                                     \
    X(CONTENT_TYPE, "content-type", FIELD_SINGLE)                                                            \
    X(COOKIE, "cookie", FIELD_IDENTITY)                                                                      \
    X(DATE, "date", 0)                                                                                       \
    X(ETAG, "etag", 0)                                                                                       \
    X(EXPECT, "expect", FIELD_FRAMING | FIELD_SINGLE)                                                        \
    X(EXPIRES, "expires", 0)                                                                                 \
    X(FORWARDED, "forwarded", FIELD_OVERRIDE)                                                                \
    X(HOST, "host", FIELD_FRAMING | FIELD_SINGLE)                                                            \
    X(HTTP2_SETTINGS, "http2-settings", FIELD_HOP)                                                           \
    X(IDEMPOTENCY_KEY, "idempotency-key", FIELD_SINGLE)                                                      \
    X(IF_MATCH, "if-match", FIELD_PRECONDITION)                                                              \
    X(IF_MODIFIED_SINCE, "if-modified-since", FIELD_PRECONDITION)                                            \
    X(IF_NONE_MATCH, "if-none-match", FIELD_PRECONDITION)                                                    \
    X(IF_RANGE, "if-range", FIELD_PRECONDITION)                                                              \
    X(IF_UNMODIFIED_SINCE, "if-unmodified-since", FIELD_PRECONDITION)                                        \
    X(KEEP_ALIVE, "keep-alive", FIELD_HOP)                                                                   \
    X(LAST_MODIFIED, "last-modified", 0)                                                                     \
    X(LOCATION, "location", 0)                                                                               \
    X(ORIGIN, "origin", 0)                                                                                   \
    X(PRAGMA, "pragma", 0)                                                                                   \
    X(PREFER, "prefer", 0)                                                                                   \
    X(PROXY_AUTHENTICATE, "proxy-authenticate", FIELD_HOP)                                                   \
    X(PROXY_AUTHENTICATION_INFO, "proxy-authentication-info", FIELD_HOP)                                     \
    X(PROXY_AUTHORIZATION, "proxy-authorization", FIELD_HOP)                                                 \
    X(PROXY_CONNECTION, "proxy-connection", FIELD_HOP)                                                       \
    X(PROXY_STATUS, "proxy-status", FIELD_RESPONSE_OWN)                                                      \
    X(RANGE, "range", FIELD_PRECONDITION)                                                                    \
    X(RATELIMIT, "ratelimit", FIELD_RESPONSE_OWN)                                                            \
    X(RATELIMIT_POLICY, "ratelimit-policy", FIELD_RESPONSE_OWN)                                              \
    X(RETRY_AFTER, "retry-after", 0)                                                                         \
    X(SERVER, "server", 0)                                                                                   \
    X(SET_COOKIE, "set-cookie", 0)                                                                           \
    X(TE, "te", FIELD_HOP)                                                                                   \
    X(TRACEPARENT, "traceparent", 0)                                                                         \
    X(TRACESTATE, "tracestate", 0)                                                                           \
    X(TRAILER, "trailer", FIELD_HOP | FIELD_FRAMING)                                                         \
    X(TRANSFER_ENCODING, "transfer-encoding", FIELD_HOP | FIELD_FRAMING)                                     \
    X(UPGRADE, "upgrade", FIELD_HOP)                                                                         \
    X(USER_AGENT, "user-agent", 0)                                                                           \
    X(VARY, "vary", 0)                                                                                       \
    X(VIA, "via", 0)                                                                                         \
    X(WARNING, "warning", 0)                                                                                 \
    X(X_APP_KEY, "x-app-key", FIELD_IDENTITY | FIELD_SINGLE)                                                 \
    X(X_FANOUT, "x-fanout", FIELD_IDENTITY | FIELD_SINGLE)                                                   \
    X(X_FORWARDED, "x-forwarded", FIELD_OVERRIDE)                                                            \
    X(X_FORWARDED_FOR, "x-forwarded-for", FIELD_OVERRIDE)                                                    \
    X(X_FORWARDED_HOST, "x-forwarded-host", FIELD_OVERRIDE)                                                  \
    X(X_FORWARDED_PORT, "x-forwarded-port", FIELD_OVERRIDE)                                                  \
    X(X_FORWARDED_PREFIX, "x-forwarded-prefix", FIELD_OVERRIDE)                                              \
    X(X_FORWARDED_PROTO, "x-forwarded-proto", FIELD_OVERRIDE)                                                \
    X(X_FORWARDED_SCHEME, "x-forwarded-scheme", FIELD_OVERRIDE)                                              \
    X(X_FORWARDED_SERVER, "x-forwarded-server", FIELD_OVERRIDE)                                              \
    X(X_FORWARDED_SSL, "x-forwarded-ssl", FIELD_OVERRIDE)                                                    \
    X(X_GATEWAY_KEY, "x-gateway-key", FIELD_IDENTITY | FIELD_SINGLE)                                         \
    X(X_HOST, "x-host", FIELD_OVERRIDE)                                                                      \
    X(X_HTTP_METHOD, "x-http-method", FIELD_OVERRIDE)                                                        \
    X(X_HTTP_METHOD_OVERRIDE, "x-http-method-override", FIELD_OVERRIDE)                                      \
    X(X_METHOD_OVERRIDE, "x-method-override", FIELD_OVERRIDE)                                                \
    X(X_ORIGINAL_HOST, "x-original-host", FIELD_OVERRIDE)                                                    \
    X(X_ORIGINAL_URL, "x-original-url", FIELD_OVERRIDE)                                                      \
    X(X_REAL_IP, "x-real-ip", FIELD_OVERRIDE)                                                                \
    X(X_REQUEST_ID, "x-request-id", FIELD_RESPONSE_OWN)                                                      \
    X(X_REWRITE_URL, "x-rewrite-url", FIELD_OVERRIDE)                                                        \
    X(X_ROLLOUT_CREDENTIAL_ID, "x-rollout-credential-id", FIELD_IDENTITY | FIELD_SINGLE)                     \
    X(X_ROLLOUT_SIGNATURE, "x-rollout-signature", FIELD_IDENTITY | FIELD_SINGLE)                             \
    X(X_TENANT_ID, "x-tenant-id", FIELD_IDENTITY | FIELD_SINGLE)

enum field_id {
    FIELD_UNKNOWN,
#define FIELD_ENUM(id, name, flags) FIELD_##id,
    FIELD_LIST(FIELD_ENUM)
#undef FIELD_ENUM
        FIELD_COUNT
};

/* The id of a name in any case; FIELD_UNKNOWN otherwise. No allocation, a few comparisons. */
enum field_id field_lookup(struct slice name);
/* Lower-case name and flags of an id; the empty slice and 0 for FIELD_UNKNOWN. */
struct slice field_name(enum field_id id);
unsigned field_flags(enum field_id id);

/* RFC 9110 5.6.2: is every byte a tchar, and is there at least one? */
bool field_is_token(struct slice s);
/* RFC 9110 5.5: field-value bytes only (HTAB, SP, VCHAR, obs-text), no other control byte. */
bool field_is_value(struct slice s);

#endif
