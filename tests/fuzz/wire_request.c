/* Any bytes as a request head. What is accepted is exactly what stands there, holds nothing that could break
 * a head, and says the same when it is written out and read again. */
#include <assert.h>

#include "wire/wire.h"

static _Alignas(16) char first_block[16384], second_block[16384];

static void check_slice(struct slice s, const uint8_t *data, size_t size)
{
    const char *begin = (const char *)data;

    assert(s.len == 0 || (s.ptr >= begin && s.ptr + s.len <= begin + size));
    for (size_t i = 0; i < s.len; i++)
        assert((unsigned char)s.ptr[i] >= ' ' ? s.ptr[i] != 0x7f : s.ptr[i] == '\t');
}

static void check_target(struct slice target)
{
    assert(target.len > 0 && (target.ptr[0] == '/' || slice_equal(target, SLICE("*"))));
    for (size_t i = 0; i < target.len; i++)
        assert(target.ptr[i] > ' ' && target.ptr[i] < 0x7f && target.ptr[i] != '#' && target.ptr[i] != '\\');
}

static void check_message(const struct http_request *r, const uint8_t *data, size_t size)
{
    size_t lines = 0, empty = 0;

    check_target(r->target);
    for (size_t i = 0; i < r->fields.count; i++) {
        assert(field_is_token(r->fields.at[i].name) && field_is_value(r->fields.at[i].value));
        check_slice(r->fields.at[i].name, data, size);
        check_slice(r->fields.at[i].value, data, size);
    }
    while (data[2 * empty] == '\r')
        empty++;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    assert(lines == r->fields.count + 2 + empty);
    assert(http_count(&r->fields, FIELD_HOST) <= 1 && http_count(&r->fields, FIELD_CONTENT_LENGTH) <= 1);
    assert(r->minor == 0 || http_count(&r->fields, FIELD_HOST) == 1);
    assert((r->framing == FRAMING_CHUNKED) == (http_count(&r->fields, FIELD_TRANSFER_ENCODING) == 1));
    assert((r->framing == FRAMING_LENGTH) == (http_count(&r->fields, FIELD_CONTENT_LENGTH) == 1));
}

static void write_out(struct buf *out, const struct http_request *r)
{
    int rc = wire_put_request_line(out, r->method_name, r->target);

    assert(rc == 0);
    if (r->minor == 0)
        out->ptr[out->len - 3] = '0';
    for (size_t i = 0; i < r->fields.count; i++) {
        rc = wire_put_field(out, r->fields.at[i].name, r->fields.at[i].value);
        assert(rc == 0);
    }
    rc = buf_append_text(out, "\r\n");
    assert(rc == 0);
}

static void check_same(const struct http_request *a, const struct http_request *b)
{
    assert(a->method == b->method && slice_equal(a->method_name, b->method_name));
    assert(slice_equal(a->target, b->target) && a->fields.count == b->fields.count);
    /* An absolute-form target of HTTP/1.0 without Host names the host, and is not written out again. */
    assert(slice_equal_nocase(a->host, b->host) || http_count(&a->fields, FIELD_HOST) == 0);
    assert(a->framing == b->framing && a->length == b->length && a->minor == b->minor);
    assert(a->keep_alive == b->keep_alive && a->expect_continue == b->expect_continue);
    for (size_t i = 0; i < a->fields.count; i++) {
        assert(slice_equal(a->fields.at[i].name, b->fields.at[i].name));
        assert(slice_equal(a->fields.at[i].value, b->fields.at[i].value));
        assert(a->fields.at[i].id == b->fields.at[i].id);
    }
}

static void check_head(const uint8_t *data, size_t size)
{
    struct http_request request, again;
    struct arena arena, other;
    struct wire_result result;
    struct buf out;

    arena_init(&arena, first_block, sizeof(first_block), sizeof(first_block));
    result = wire_parse_request(slice_of((const char *)data, size), &arena, &request);
    assert((result.verdict == WIRE_OK) == (result.why[0] == '\0') && result.verdict != WIRE_NOMEM);
    if (result.verdict != WIRE_OK)
        return;
    check_message(&request, data, size);
    buf_init(&out, 2 * size + 1024);
    write_out(&out, &request);
    arena_init(&other, second_block, sizeof(second_block), sizeof(second_block));
    result = wire_parse_request(buf_slice(&out), &other, &again);
    assert(result.verdict == WIRE_OK);
    check_same(&request, &again);
    buf_deinit(&out);
}

/* Where the head ends does not depend on how it arrived; an end that comes early is refused. */
static size_t check_end(const uint8_t *data, size_t size)
{
    size_t scanned = 0, whole = wire_head_length(slice_of((const char *)data, size), &scanned), n = 0;

    assert(whole <= size);
    scanned = 0;
    for (size_t have = 1; have <= size && n == 0; have++)
        n = wire_head_length(slice_of((const char *)data, have), &scanned);
    assert((n == 0) == (whole == 0) && n <= whole);
    if (n != whole) {
        struct http_request request;
        struct arena arena;
        arena_init(&arena, first_block, sizeof(first_block), sizeof(first_block));
        assert(wire_parse_request(slice_of((const char *)data, n), &arena, &request).verdict != WIRE_OK);
        assert(wire_parse_request(slice_of((const char *)data, whole), &arena, &request).verdict != WIRE_OK);
    }
    return whole;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t end = check_end(data, size);

    check_head(data, size);
    if (end)
        check_head(data, end);
    return 0;
}
