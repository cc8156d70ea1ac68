/*
 * The configured subscribers: who is to get which events, where, signed with what. Immutable and counted: the
 * writer thread asks it inside the transaction that takes an event in, the relay when it sends. A reload
 * makes a new one.
 */
#ifndef WEBHOOK_AUDIENCE_H
#define WEBHOOK_AUDIENCE_H

#include "upstream/upstream.h"

struct audience;

enum { AUDIENCE_NAME_MAX = 64, AUDIENCE_MAX = 256 };

/* As configured; borrowed for the call, copied. */
struct audience_entry {
    struct slice name, url;
    const char *ca;              /* NULL: the system's */
    const struct slice *events;  /* globs, compared without case and hyphens; none: every event */
    const struct slice *tenants; /* globs; none: every tenant */
    size_t event_count, tenant_count;
    struct slice secret, previous_secret; /* the second may be empty */
};

struct audience_member {
    struct slice name;
    struct slice *events, *tenants;
    size_t event_count, tenant_count;
    struct slice key, previous; /* for sign_fields */
    struct upstream_origin origin;
    struct slice target; /* path and query */
};

/* ERR_INVALID with a line that names the entry ("[2].secret: …"), ERR_NOMEM. */
int audience_create(const struct audience_entry *entries, size_t count, struct audience **out,
                    struct fault *fault) MUST_CHECK;
/* Any thread. NULL is allowed. */
struct audience *audience_retain(struct audience *audience);
void audience_release(struct audience *audience);

size_t audience_count(const struct audience *audience);
const struct audience_member *audience_at(const struct audience *audience, size_t i);
const struct audience_member *audience_find(const struct audience *audience, struct slice name);
/* Is this event of this tenant for that member? `event` is normalised (event_normalise). */
bool audience_wants(const struct audience_member *member, struct slice event, struct slice tenant);

#endif
