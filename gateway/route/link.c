#include "http/url.h"
#include "route/route.h"

/* "\/" becomes "/", every other escape stays: the result is still the inside of a JSON string. Returns the
 * length; out holds as many bytes as the text. */
static size_t plain_slashes(struct slice text, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool escape = text.ptr[i] == '\\' && i + 1 < text.len;
        if (!escape || text.ptr[i + 1] != '/')
            out[len++] = text.ptr[i];
        if (escape)
            out[len++] = text.ptr[++i];
    }
    return len;
}

static bool has_default_port(const struct url *url)
{
    return url->port == (url->https ? 443 : 80);
}

static bool is_same_origin(const struct url *a, const struct url *b)
{
    if (!slice_equal_nocase(a->host, b->host))
        return false;
    return a->https == b->https ? a->port == b->port : has_default_port(a) && has_default_port(b);
}

/* Cuts "scheme://authority" off; what is left is empty or begins with '/', '?' or '#'. */
static bool take_origin(struct slice *link, struct url *origin)
{
    size_t end = slice_find(*link, ':') + 3;
    if (end > link->len)
        return false;
    while (end < link->len && !memchr("/?#", link->ptr[end], 3))
        end++;
    if (!url_parse(slice_of(link->ptr, end), origin))
        return false;
    *link = slice_skip(*link, end);
    return true;
}

/* What of the link follows the base URL: empty, or beginning with '/' or '?'. */
static bool find_rest(struct slice link, struct slice base_url, struct slice *rest)
{
    struct url base, origin;
    if (!url_parse(base_url, &base) || !take_origin(&link, &origin) || !is_same_origin(&base, &origin))
        return false;
    while (base.path.len > 0 && base.path.ptr[base.path.len - 1] == '/')
        base.path.len--;
    if (!slice_starts(link, base.path))
        return false;
    *rest = slice_skip(link, base.path.len);
    return rest->len == 0 || rest->ptr[0] == '/' || rest->ptr[0] == '?';
}

/* The value of a client's Host stands in a URL and in a JSON string: nothing that could end either. */
static bool is_authority(struct slice host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && (c == '\0' || !strchr(".-_:[]", c)))
            return false;
    }
    return host.len > 0;
}

int route_rewrite_link(struct buf *out, struct slice link, struct slice base_url, const struct route *route,
                       struct slice api, struct slice host, bool tls)
{
    char plain[ROUTE_LINK_MAX];
    struct slice rest;
    if (link.len > sizeof plain)
        return ERR_NOTFOUND;
    link = slice_of(plain, plain_slashes(link, plain));
    if (!find_rest(link, base_url, &rest))
        return ERR_NOTFOUND;
    if (!is_authority(host))
        return ERR_INVALID;
    const struct slice parts[] = {
        tls ? SLICE("https://") : SLICE("http://"),
        host,
        route->tenant_in_path ? SLICE("/t/") : SLICE(""),
        route->tenant_in_path ? route->tenant : SLICE(""),
        SLICE("/"),
        api,
        rest,
    };
    size_t before = out->len;
    int rc = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && rc == 0; i++)
        rc = buf_append_slice(out, parts[i]);
    if (rc != 0)
        out->len = before;
    return rc;
}
