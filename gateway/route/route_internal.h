/* Shared between the files of route/ only. */
#ifndef ROUTE_ROUTE_INTERNAL_H
#define ROUTE_ROUTE_INTERNAL_H

#include "route/route.h"

/* Makes the canonical path of the path part of a target (no '?'): the same slice when it is canonical
 * already, else a copy in the arena. ROUTE_OK, ROUTE_BAD_TARGET with *why, ROUTE_NOMEM. */
enum route_outcome route_path_canonical(struct slice raw, struct arena *arena, struct slice *out,
                                        const char **why);

/* Decides on out->tenant from X-Tenant-Id and the canonical segment of the path (ptr NULL when the path names
 * none). ROUTE_OK, with an empty tenant when none is named at all; ROUTE_BAD_TENANT with out->why;
 * ROUTE_NOMEM. */
enum route_outcome route_tenant_find(const struct http_fields *fields, struct slice segment,
                                     struct arena *arena, struct route *out);

/* The byte of the "%XX" at the start of s, or -1. */
int route_escape_value(struct slice s);
/* Decodes a canonical segment, whose escapes are known to be good; the segment itself when it has none. ptr
 * is NULL when the arena is full. */
struct slice route_decode(struct arena *arena, struct slice segment);

#endif
