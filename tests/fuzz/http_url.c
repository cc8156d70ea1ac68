/* Any text: an accepted URL is put together from its parts again, holds no byte that could break a request
 * head, and its escapes decode; encoding and decoding are inverse; a query parameter that was written is
 * found. */
#include <assert.h>

#include "http/url.h"

static bool is_within(struct slice part, struct slice whole)
{
    return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_bytes(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        assert(s.ptr[i] > ' ' && s.ptr[i] < 0x7f && s.ptr[i] != '#' && s.ptr[i] != '\\' && s.ptr[i] != '"');
}

static void check_same(const struct url *a, const struct url *b)
{
    assert(a->https == b->https && a->port == b->port && slice_equal(a->host, b->host));
    assert(slice_equal(a->path, b->path) && slice_equal(a->query, b->query));
}

static void check_url(struct slice text)
{
    struct url url, again;
    struct buf whole, decoded;
    if (!url_parse(text, &url))
        return;
    check_bytes(text);
    assert(url.port > 0 && url.host.len > 0 && url.path.len > 0 && url.path.ptr[0] == '/');
    assert(slice_find(url.authority, '@') == url.authority.len && slice_find(url.path, '?') == url.path.len);
    assert(is_within(url.host, text) && is_within(url.authority, text) && is_within(url.query, text));
    assert(slice_starts(url.authority, url.host));

    buf_init(&whole, text.len + 32);
    buf_append_format(&whole, "http%s://%.*s:%u%.*s", url.https ? "s" : "", SLICE_ARG(url.host),
                      (unsigned)url.port, SLICE_ARG(url.path));
    if (url.query.len > 0)
        buf_append_format(&whole, "?%.*s", SLICE_ARG(url.query));
    assert(!whole.failed && url_parse(buf_slice(&whole), &again));
    check_same(&url, &again);
    buf_deinit(&whole);

    buf_init(&decoded, text.len);
    assert(url_decode(&decoded, url.path) == 0 && url_decode(&decoded, url.query) == 0);
    buf_deinit(&decoded);
}

static void check_coding(struct slice text)
{
    struct buf encoded, decoded;
    struct slice value;
    buf_init(&encoded, text.len * 6 + 16);
    buf_init(&decoded, text.len * 3);
    const int code = url_decode(&decoded, text);
    assert(code == 0 || code == ERR_SYNTAX);
    assert(decoded.len <= text.len && (code == 0 || decoded.len == 0));
    buf_reset(&decoded);

    assert(url_encode(&encoded, text) == 0);
    check_bytes(buf_slice(&encoded));
    assert(url_decode(&decoded, buf_slice(&encoded)) == 0 && slice_equal(buf_slice(&decoded), text));

    const size_t key = encoded.len;
    buf_append_char(&encoded, '=');
    url_encode(&encoded, text);
    assert(url_query_find(buf_slice(&encoded), text, &value));
    assert(slice_equal(value, slice_of(encoded.ptr, key)));
    buf_deinit(&encoded);
    buf_deinit(&decoded);
}

static void check_query(struct slice query, struct slice name)
{
    struct slice value;
    if (url_query_find(query, name, &value))
        assert(is_within(value, query) && slice_find(value, '&') == value.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct slice text = slice_of((const char *)data, size);
    struct slice name, query;
    check_url(text);
    check_coding(text);
    slice_cut(text, '\n', &name, &query);
    check_query(query, name);
    return 0;
}
