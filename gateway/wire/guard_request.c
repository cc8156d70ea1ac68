/* The guard of requests: request line, Host, target, Expect. Rules: RFC 9112 3 and 6.3, RFC 9110 7.2
 * and 10.1.1. */
#include <arpa/inet.h>

#include "wire/wire_internal.h"

/* RFC 9112 2.2: a server should ignore at least one empty line before the request line. */
static struct slice skip_empty_lines(struct slice bytes)
{
    for (int i = 0; i < WIRE_EMPTY_LINES_MAX && slice_starts(bytes, SLICE("\r\n")); i++)
        bytes = slice_skip(bytes, 2);
    return bytes;
}

/* method SP request-target SP HTTP-version, with nothing to spare. */
static bool read_request_line(struct wire_head *head, struct http_request *out)
{
    struct slice rest, version;

    if (!slice_cut(head->line, ' ', &out->method_name, &rest) || !wire_is_token(out->method_name))
        return wire_refuse(head, WIRE_BAD, "the request line does not begin with a method");
    if (!slice_cut(rest, ' ', &head->target, &version))
        return wire_refuse(head, WIRE_BAD, "the request line names no HTTP version");
    if (!wire_read_version(head, version))
        return false;
    if (slice_equal(out->method_name, SLICE("CONNECT")) || slice_equal(out->method_name, SLICE("TRACE")))
        return wire_refuse(head, WIRE_NOT_IMPLEMENTED, "CONNECT and TRACE are not offered");
    out->method = method_lookup(out->method_name);
    out->minor = head->minor;
    return true;
}

/* Length of "[v6 address]" at the start of s, 0 when it is none. */
static size_t literal_length(struct slice s)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t end = slice_find(s, ']');

    if (end == s.len || end > sizeof(text))
        return 0;
    memcpy(text, s.ptr + 1, end - 1);
    text[end - 1] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 ? end + 1 : 0;
}

static size_t name_length(struct slice s)
{
    size_t n = 0;

    while (n < s.len && wire_byte_is(s.ptr[n], BYTE_HOST))
        n++;
    return n;
}

/* uri-host [ ":" port ], narrower than RFC 3986: no user, no escapes, no sub-delims (a comma could be two
 * hosts), and a port that is one. */
static bool is_authority(struct slice s)
{
    uint64_t port;
    size_t n = slice_starts(s, SLICE("[")) ? literal_length(s) : name_length(s);

    if (n == 0 || n == s.len)
        return n != 0;
    s = slice_skip(s, n);
    return s.ptr[0] == ':' && s.len <= 6 && slice_to_u64(slice_skip(s, 1), &port) && port >= 1 &&
           port <= UINT16_MAX;
}

static bool read_host(struct wire_head *head, struct http_request *out)
{
    const struct http_field *host = wire_head_find(head, FIELD_HOST);

    if (!host && head->minor == 0)
        return true;
    if (!host)
        return wire_refuse(head, WIRE_BAD, "Host is missing");
    if (!is_authority(host->value))
        return wire_refuse(head, WIRE_BAD, "Host is malformed");
    out->host = host->value;
    return true;
}

/* Behind "http://" or "https://" of an absolute-form target; empty for other forms. */
static struct slice after_scheme(struct slice target)
{
    size_t colon = slice_find(target, ':');
    struct slice scheme = slice_of(target.ptr, colon), rest = slice_skip(target, colon);

    if (!slice_starts(rest, SLICE("://")))
        return slice_of(NULL, 0);
    if (!slice_equal_nocase(scheme, SLICE("http")) && !slice_equal_nocase(scheme, SLICE("https")))
        return slice_of(NULL, 0);
    return slice_skip(rest, 3);
}

/* RFC 9112 3.2.2, but Host has to say the same: what others would have to choose between is refused. */
static bool reduce_absolute(struct wire_head *head, struct http_request *out)
{
    struct slice rest = after_scheme(head->target), authority;
    size_t slash = slice_find(rest, '/');

    authority = slice_of(rest.ptr, slash);
    if (!is_authority(authority))
        return wire_refuse(head, WIRE_BAD, "the request target has a form that is not served here");
    if (out->host.len && !slice_equal_nocase(authority, out->host))
        return wire_refuse(head, WIRE_BAD, "the request target and Host name different hosts");
    if (out->host.len == 0)
        out->host = authority;
    out->target = slice_skip(rest, slash);
    if (out->target.len == 0) /* RFC 9112 3.2.4 */
        out->target = out->method == METHOD_OPTIONS ? SLICE("*") : SLICE("/");
    return true;
}

static bool read_target(struct wire_head *head, struct http_request *out)
{
    out->target = head->target;
    if (slice_equal(head->target, SLICE("*")) && out->method == METHOD_OPTIONS)
        return true;
    if (!slice_starts(head->target, SLICE("/")) && !reduce_absolute(head, out))
        return false;
    if (out->target.ptr[0] == '/' && !wire_path_is_valid(out->target))
        return wire_refuse(head, WIRE_BAD, "the request target holds a byte that no URI may hold");
    return true;
}

static bool read_expect(struct wire_head *head, struct http_request *out)
{
    const struct http_field *expect = wire_head_find(head, FIELD_EXPECT);

    if (expect && !slice_equal_nocase(expect->value, SLICE("100-continue")))
        return wire_refuse(head, WIRE_BAD, "Expect asks for something that is not offered");
    out->expect_continue = expect && head->minor == 1 && (head->chunked || head->length > 0);
    return true;
}

static void frame_request(const struct wire_head *head, struct http_request *out)
{
    out->framing = head->chunked ? FRAMING_CHUNKED : head->has_length ? FRAMING_LENGTH : FRAMING_NONE;
    out->length = head->length;
    out->keep_alive = wire_persists(head);
}

struct wire_result wire_parse_request(struct slice head, struct arena *arena, struct http_request *out)
{
    struct http_field scratch[WIRE_FIELDS_MAX];
    struct wire_head guard = {.request = true, .fields = scratch, .result = {WIRE_OK, ""}};

    *out = (struct http_request){0};
    if (wire_read_frame(&guard, skip_empty_lines(head)) && read_request_line(&guard, out) &&
        wire_read_fields(&guard) && read_host(&guard, out) && read_target(&guard, out) &&
        wire_read_framing(&guard) && read_expect(&guard, out) && wire_settle(&guard, arena, &out->fields))
        frame_request(&guard, out);
    return guard.result;
}
