#include "http/url.h"

#include <arpa/inet.h>

enum { HOST_MAX = 253, LABEL_MAX = 63 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_unreserved(char c)
{
    return is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that "%xx" at the start of s stands for, or -1. */
static int escape_value(struct slice s)
{
    if (s.len < 3 || s.ptr[0] != '%')
        return -1;
    const int high = hex_value(s.ptr[1]);
    const int low = hex_value(s.ptr[2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* --- absolute URLs
 * ------------------------------------------------------------------------------------------- */

/* RFC 3986 3.3, 3.4: pchar, '/' and what `more` allows; escapes complete. */
static bool is_path_text(struct slice s, const char *more)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        if (c == '%') {
            if (escape_value(slice_skip(s, i)) < 0)
                return false;
            i += 2;
        } else if (c == '\0' || (!is_unreserved(c) && !strchr("!$&'()*+,;=:@/", c) && !strchr(more, c))) {
            return false;
        }
    }
    return true;
}

static bool is_address(int family, struct slice text)
{
    char copy[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    if (text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, address) == 1;
}

static bool is_label(struct slice label)
{
    if (label.len == 0 || label.len > LABEL_MAX || label.ptr[0] == '-' || label.ptr[label.len - 1] == '-')
        return false;
    for (size_t i = 0; i < label.len; i++)
        if (!is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_')
            return false;
    return true;
}

/* Would a resolver take a host that ends with this label for an IPv4 address ("127.1", "0x7f.1",
 * "2130706433")? */
static bool is_numeric(struct slice label)
{
    const bool hex = label.len >= 2 && label.ptr[0] == '0' && (label.ptr[1] | 0x20) == 'x';
    for (size_t i = hex ? 2 : 0; i < label.len; i++)
        if (!(hex ? hex_value(label.ptr[i]) >= 0 : is_digit(label.ptr[i])))
            return false;
    return true;
}

/* A name, one dot at its end allowed, or an IPv4 address in its plain form only. */
static bool is_name(struct slice host)
{
    struct slice label = {NULL, 0}, rest = host;
    bool more = true;
    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        rest.len--;
    if (rest.len > HOST_MAX)
        return false;
    while (more) {
        more = slice_cut(rest, '.', &label, &rest);
        if (!is_label(label))
            return false;
    }
    return !is_numeric(label) || is_address(AF_INET, host);
}

static bool is_host(struct slice host)
{
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        return is_address(AF_INET6, slice_of(host.ptr + 1, host.len - 2));
    return is_name(host);
}

static bool parse_port(struct slice text, uint16_t *out)
{
    uint64_t value;
    if (text.len > 5 || !slice_to_u64(text, &value) || value == 0 || value > UINT16_MAX || text.ptr[0] == '0')
        return false;
    *out = (uint16_t)value;
    return true;
}

static bool parse_authority(struct slice authority, struct url *out)
{
    size_t host = 0;
    if (authority.len > 0 && authority.ptr[0] == '[')
        host = slice_find(authority, ']');
    while (host < authority.len && authority.ptr[host] != ':')
        host++;
    out->authority = authority;
    out->host = slice_of(authority.ptr, host);
    out->port = out->https ? 443 : 80;
    if (!is_host(out->host))
        return false;
    return host == authority.len || parse_port(slice_skip(authority, host + 1), &out->port);
}

static bool take_scheme(struct slice *text, struct slice scheme)
{
    if (text->len < scheme.len || !slice_equal_nocase(slice_of(text->ptr, scheme.len), scheme))
        return false;
    *text = slice_skip(*text, scheme.len);
    return true;
}

bool url_parse(struct slice text, struct url *out)
{
    struct url url = {.https = take_scheme(&text, SLICE("https://"))};
    if (!url.https && !take_scheme(&text, SLICE("http://")))
        return false;
    size_t end = 0;
    while (end < text.len && text.ptr[end] != '/' && text.ptr[end] != '?' && text.ptr[end] != '#')
        end++;
    if (!parse_authority(slice_of(text.ptr, end), &url))
        return false;
    slice_cut(slice_skip(text, end), '?', &url.path, &url.query);
    if (url.path.len == 0)
        url.path = SLICE("/");
    if (!is_path_text(url.path, "") || !is_path_text(url.query, "?"))
        return false;
    *out = url;
    return true;
}

/* --- queries
 * ------------------------------------------------------------------------------------------------- */

/* Does the encoded text decode to `plain`? A bad escape stands for itself. */
static bool decodes_to(struct slice encoded, struct slice plain)
{
    size_t at = 0;
    for (size_t i = 0; i < encoded.len; at++) {
        const int escaped = escape_value(slice_skip(encoded, i));
        const int byte = escaped >= 0 ? escaped : (unsigned char)encoded.ptr[i];
        if (at == plain.len || byte != (unsigned char)plain.ptr[at])
            return false;
        i += escaped >= 0 ? 3 : 1;
    }
    return at == plain.len;
}

bool url_query_find(struct slice query, struct slice name, struct slice *value)
{
    struct slice pair, key, found;
    while (query.len > 0) {
        slice_cut(query, '&', &pair, &query);
        slice_cut(pair, '=', &key, &found);
        if (pair.len > 0 && decodes_to(key, name)) {
            *value = found;
            return true;
        }
    }
    return false;
}

int url_decode(struct buf *out, struct slice text)
{
    const size_t before = out->len;
    while (text.len > 0) {
        const size_t plain = slice_find(text, '%');
        int code = buf_append(out, text.ptr, plain);
        text = slice_skip(text, plain);
        if (!code && text.len > 0) {
            const int byte = escape_value(text);
            code = byte < 0 ? ERR_SYNTAX : buf_append_char(out, (char)byte);
            text = byte < 0 ? text : slice_skip(text, 3);
        }
        if (code) {
            out->len = before;
            return code;
        }
    }
    return 0;
}

int url_encode(struct buf *out, struct slice text)
{
    static const char digits[] = "0123456789ABCDEF";
    const size_t before = out->len;
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        const char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
        const int code =
            is_unreserved(text.ptr[i]) ? buf_append_char(out, text.ptr[i]) : buf_append(out, escape, 3);
        if (code) {
            out->len = before;
            return code;
        }
    }
    return 0;
}
