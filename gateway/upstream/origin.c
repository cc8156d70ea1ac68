#include <stdlib.h>

#include "upstream/upstream_internal.h"

static char *duplicate(struct slice a, struct slice b)
{
    char *text = malloc(a.len + b.len + 1);
    if (!text)
        return NULL;
    memcpy(text, a.ptr, a.len);
    memcpy(text + a.len, b.ptr, b.len);
    text[a.len + b.len] = '\0';
    return text;
}

int upstream_origin_init(struct upstream_origin *origin, struct slice text, const char *ca)
{
    struct url url;

    *origin = (struct upstream_origin){0};
    if (!url_parse(text, &url))
        return ERR_SYNTAX;
    struct slice scheme = url.https ? SLICE("https://") : SLICE("http://");
    origin->https = url.https;
    origin->url = duplicate(scheme, url.authority);
    origin->ca = ca ? duplicate(slice_from(ca), SLICE("")) : NULL;
    if (!origin->url || (ca && !origin->ca)) {
        upstream_origin_deinit(origin);
        return ERR_NOMEM;
    }
    origin->authority = slice_of(origin->url + scheme.len, url.authority.len);
    return 0;
}

void upstream_origin_deinit(struct upstream_origin *origin)
{
    free(origin->url);
    free(origin->ca);
    *origin = (struct upstream_origin){0};
}

const char *upstream_failure_name(enum upstream_failure failure)
{
    switch (failure) {
    case UPSTREAM_RESOLVE:
        return "dns_error";
    case UPSTREAM_CONNECT:
        return "connection_refused";
    case UPSTREAM_CONNECT_TIMEOUT:
        return "connection_timeout";
    case UPSTREAM_TLS:
        return "tls_protocol_error";
    case UPSTREAM_RESET:
        return "connection_terminated";
    case UPSTREAM_FIRST_BYTE_TIMEOUT:
    case UPSTREAM_TOTAL_TIMEOUT:
        return "http_response_timeout";
    case UPSTREAM_IDLE_TIMEOUT:
        return "connection_read_timeout";
    case UPSTREAM_INVALID:
        return "http_protocol_error";
    case UPSTREAM_CUT:
        return "http_response_incomplete";
    case UPSTREAM_OPEN:
        return "destination_unavailable";
    case UPSTREAM_NOMEM:
        return "proxy_internal_error";
    }
    return "proxy_internal_error";
}
