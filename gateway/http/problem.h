/*
 * The gateway's own errors: RFC 9457 problem details, and the RFC 9209 Proxy-Status error type that goes with
 * each code (contract 3). One table.
 */
#ifndef HTTP_PROBLEM_H
#define HTTP_PROBLEM_H

#include "base/buf.h"

/* X(id, "code", status, "title", "proxy-status error type", or "" when the client is at fault or the gateway
 * decided) */
#define PROBLEM_LIST(X)                                                                                      \
    X(BAD_REQUEST, "bad-request", 400, "Malformed request", "http_request_error")                            \
    X(TENANT_REQUIRED, "tenant-required", 400, "No tenant named", "http_request_error")                      \
    X(UNAUTHENTICATED, "unauthenticated", 401, "Caller not known", "http_request_denied")                    \
    X(FORBIDDEN, "forbidden", 403, "Not allowed for this caller", "http_request_denied")                     \
    X(CREDENTIAL_FORBIDDEN, "credential-forbidden", 403, "Not a credential of this tenant",                  \
      "http_request_denied")                                                                                 \
    X(API_UNKNOWN, "api-unknown", 404, "No such API", "destination_not_found")                               \
    X(CREDENTIAL_NOT_FOUND, "credential-not-found", 404, "No credential for this API",                       \
      "destination_not_found")                                                                               \
    X(NOT_FOUND, "not-found", 404, "No such resource", "http_request_error")                                 \
    X(METHOD_NOT_ALLOWED, "method-not-allowed", 405, "Method not allowed here", "http_request_error")        \
    X(CREDENTIAL_AMBIGUOUS, "credential-ambiguous", 409, "Several credentials fit and none is the default",  \
      "http_request_error")                                                                                  \
    X(CONFLICT, "conflict", 409, "Conflicts with the present state", "http_request_error")                   \
    X(IDEMPOTENCY_CONFLICT, "idempotency-conflict", 409, "The same key is in flight", "http_request_error")  \
    X(PAYLOAD_TOO_LARGE, "payload-too-large", 413, "Body too large", "http_request_error")                   \
    X(IDEMPOTENCY_MISMATCH, "idempotency-mismatch", 422, "The same key was used for another request",        \
      "http_request_error")                                                                                  \
    X(RATE_LIMITED, "rate-limited", 429, "Over the rate limit", "http_request_denied")                       \
    X(HEADERS_TOO_LARGE, "headers-too-large", 431, "Request head too large", "http_request_error")           \
    X(INTERNAL, "internal", 500, "The gateway failed", "proxy_internal_error")                               \
    X(OUTCOME_UNKNOWN, "outcome-unknown", 502, "Whether the write happened is not known",                    \
      "http_response_incomplete")                                                                            \
    X(UPSTREAM_UNREACHABLE, "upstream-unreachable", 502, "Rollout cannot be reached",                        \
      "destination_unavailable")                                                                             \
    X(UPSTREAM_INVALID, "upstream-invalid", 502, "Rollout answered with a malformed message",                \
      "http_protocol_error")                                                                                 \
    X(OVERLOADED, "overloaded", 503, "Too much work in flight", "proxy_internal_response")                   \
    X(CIRCUIT_OPEN, "circuit-open", 503, "Rollout is failing; not tried", "destination_unavailable")         \
    X(STORE_UNAVAILABLE, "store-unavailable", 503, "The gateway cannot write to its disk",                   \
      "proxy_internal_error")                                                                                \
    X(UPSTREAM_TIMEOUT, "upstream-timeout", 504, "Rollout did not answer in time", "http_response_timeout")  \
    X(CACHE_ONLY_MISS, "cache-only-miss", 504, "Not in the cache, and only the cache was allowed",           \
      "proxy_internal_response")

enum problem {
#define PROBLEM_ENUM(id, code, status, title, error) PROBLEM_##id,
    PROBLEM_LIST(PROBLEM_ENUM)
#undef PROBLEM_ENUM
        PROBLEM_COUNT
};

int problem_status(enum problem problem);
const char *problem_code(enum problem problem);
const char *problem_proxy_error(enum problem problem);

/* Appends {"type","title","status","detail","request_id","code"}; request_id is left out when empty. `extra`
 * is "" or further members as JSON text with a leading comma (",\"choices\":[…]"). */
int problem_body(struct buf *out, enum problem problem, struct slice detail, struct slice request_id,
                 const char *extra);

#endif
