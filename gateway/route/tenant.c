#include "route/route_internal.h"

/*
 * Who the request is for (threats T1): decided once, here, and handed on as one value. Two namings that could
 * be read differently by two routines are refused, also when they agree today.
 */

static bool is_tenant_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':' || c == '@';
}

bool route_tenant_is_valid(struct slice tenant)
{
    if (tenant.len == 0 || tenant.len > ROUTE_TENANT_MAX)
        return false;
    for (size_t i = 0; i < tenant.len; i++) {
        if (!is_tenant_byte(tenant.ptr[i]))
            return false;
    }
    return true;
}

static enum route_outcome refuse(struct route *out, const char *why)
{
    out->why = why;
    return ROUTE_BAD_TENANT;
}

/* The one X-Tenant-Id, or NULL; *doubled when there are more. */
static const struct http_field *find_header(const struct http_fields *fields, bool *doubled)
{
    const struct http_field *found = NULL;
    *doubled = false;
    for (size_t i = 0; i < fields->count; i++) {
        if (fields->at[i].id != FIELD_X_TENANT_ID)
            continue;
        *doubled = found != NULL;
        if (*doubled)
            break;
        found = &fields->at[i];
    }
    return found;
}

enum route_outcome route_tenant_find(const struct http_fields *fields, struct slice segment,
                                     struct arena *arena, struct route *out)
{
    bool doubled;
    const struct http_field *header = find_header(fields, &doubled);
    if (doubled)
        return refuse(out, "X-Tenant-Id stands more than once");
    if (header && !route_tenant_is_valid(header->value))
        return refuse(out, "X-Tenant-Id is not a tenant id: 1 to 128 of A-Z a-z 0-9 . _ : @ -");
    if (!segment.ptr) {
        out->tenant = header ? header->value : SLICE("");
        return ROUTE_OK;
    }
    /* Clients may write %40 and %3A for '@' and ':'. Decoded once; a '%' that is left is no tenant byte. */
    struct slice tenant = route_decode(arena, segment);
    if (!tenant.ptr)
        return ROUTE_NOMEM;
    if (!route_tenant_is_valid(tenant))
        return refuse(out, "the path does not name a tenant id: 1 to 128 of A-Z a-z 0-9 . _ : @ -");
    if (header && !slice_equal(header->value, tenant))
        return refuse(out, "X-Tenant-Id and the path name different tenants");
    out->tenant = tenant;
    return ROUTE_OK;
}
