/* Any bytes as the head of an answer; the first byte chooses the method that it answers. */
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

static void check_message(const struct http_response *r, enum method to, const uint8_t *data, size_t size)
{
    bool bodiless = to == METHOD_HEAD || r->status < 200 || r->status == 204 || r->status == 304;
    size_t lines = 0;

    assert(r->status >= 100 && r->status <= 599 && r->status != 101);
    check_slice(r->reason, data, size);
    for (size_t i = 0; i < r->fields.count; i++) {
        assert(field_is_token(r->fields.at[i].name) && field_is_value(r->fields.at[i].value));
        check_slice(r->fields.at[i].name, data, size);
        check_slice(r->fields.at[i].value, data, size);
    }
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    assert(lines == r->fields.count + 2);
    assert((r->framing == FRAMING_NONE) == bodiless);
    assert(r->framing != FRAMING_CLOSE || !r->keep_alive);
    assert(http_count(&r->fields, FIELD_CONTENT_LENGTH) + http_count(&r->fields, FIELD_TRANSFER_ENCODING) <=
           1);
}

static void write_out(struct buf *out, const struct http_response *r)
{
    int rc = wire_put_status_line(out, r->status);

    assert(rc == 0);
    out->ptr[7] = (char)('0' + r->minor);
    for (size_t i = 0; i < r->fields.count; i++) {
        rc = wire_put_field(out, r->fields.at[i].name, r->fields.at[i].value);
        assert(rc == 0);
    }
    rc = buf_append_text(out, "\r\n");
    assert(rc == 0);
}

static void check_same(const struct http_response *a, const struct http_response *b)
{
    assert(a->status == b->status && a->fields.count == b->fields.count && a->minor == b->minor);
    assert(a->framing == b->framing && a->length == b->length && a->keep_alive == b->keep_alive);
    for (size_t i = 0; i < a->fields.count; i++) {
        assert(slice_equal(a->fields.at[i].name, b->fields.at[i].name));
        assert(slice_equal(a->fields.at[i].value, b->fields.at[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_response response, again;
    struct arena arena, other;
    struct wire_result result;
    struct buf out;
    enum method to;

    if (size == 0)
        return 0;
    to = data[0] & 1 ? METHOD_GET : METHOD_HEAD;
    data++;
    size--;
    arena_init(&arena, first_block, sizeof(first_block), sizeof(first_block));
    result = wire_parse_response(slice_of((const char *)data, size), to, &arena, &response);
    assert((result.verdict == WIRE_OK) == (result.why[0] == '\0') && result.verdict != WIRE_NOMEM);
    if (result.verdict != WIRE_OK)
        return 0;
    check_message(&response, to, data, size);
    buf_init(&out, 2 * size + 1024);
    write_out(&out, &response);
    arena_init(&other, second_block, sizeof(second_block), sizeof(second_block));
    result = wire_parse_response(buf_slice(&out), to, &other, &again);
    assert(result.verdict == WIRE_OK);
    check_same(&response, &again);
    buf_deinit(&out);
    return 0;
}
