/* Cache-Control and CDN-Cache-Control (RFC 9111 5.2, RFC 5861, RFC 8246, RFC 9213) as values. Pure. */
#ifndef HTTP_CACHE_CONTROL_H
#define HTTP_CACHE_CONTROL_H

#include "http/message.h"

enum {
    CC_NO_STORE = 1 << 0,
    CC_NO_CACHE = 1 << 1, /* unqualified, or with a field list that we treat as unqualified where we must */
    CC_PRIVATE = 1 << 2,
    CC_PUBLIC = 1 << 3,
    CC_MUST_REVALIDATE = 1 << 4,
    CC_PROXY_REVALIDATE = 1 << 5,
    CC_MUST_UNDERSTAND = 1 << 6,
    CC_NO_TRANSFORM = 1 << 7,
    CC_ONLY_IF_CACHED = 1 << 8,
    CC_IMMUTABLE = 1 << 9,
    CC_MAX_STALE_ANY = 1 << 10, /* max-stale without a value */
};

enum { CC_ABSENT = -1 };

/* Seconds, CC_ABSENT when not given. An unparsable value counts as 0 (RFC 9111 4.2.1: stale); overflows clamp
 * to 2^31. Doubled directives: the most restrictive value, which is the smallest, but of min-fresh the
 * largest (and an unparsable min-fresh is 2^31). max-stale without a value counts only when none with a value
 * stands beside it. */
struct cache_control {
    unsigned flags;
    int64_t max_age, s_maxage, max_stale, min_fresh, stale_while_revalidate, stale_if_error;
    bool present; /* at least one directive, also an unknown one */
};

/* All fields with that id (FIELD_CACHE_CONTROL or FIELD_CDN_CACHE_CONTROL) together.
 *
 * Cache-Control is read with suspicion: a malformed directive ("private; x", "no-store=1", "max-age =60")
 * counts where it restricts and not where it permits (public, immutable, must-understand), and a quote that
 * is never closed means no-store. CDN-Cache-Control is a dictionary of RFC 8941, in lower case: one fault, or
 * one known directive with a value of another type, and the whole field is as if absent (RFC 9213 2.1), so
 * that Cache-Control decides. */
struct cache_control cache_control_parse(const struct http_fields *fields, enum field_id id);

#endif
