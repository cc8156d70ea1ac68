/* Any bytes as a body: the result does not depend on how they arrived. First byte: framing; second: the
 * splits. */
#include <assert.h>
#include <stdlib.h>

#include "wire/wire.h"

struct outcome {
    char *body;
    size_t length, taken;
    enum wire_progress end;
};

static void feed(struct wire_body *body, struct slice in, struct outcome *out)
{
    size_t before = in.len;
    struct slice data;

    while ((out->end = wire_body_next(body, &in, &data)) == WIRE_DATA) {
        assert(data.len > 0 && data.ptr + data.len == in.ptr);
        memcpy(out->body + out->length, data.ptr, data.len);
        out->length += data.len;
    }
    assert(out->end != WIRE_MORE || in.len == 0);
    out->taken += before - in.len;
}

/* In pieces whose sizes come from the seed; 0 is everything at once. */
static void run(struct slice in, const struct wire_body *start, unsigned seed, struct outcome *out)
{
    struct wire_body body = *start;

    out->length = out->taken = 0;
    feed(&body, slice_of(in.ptr, 0), out);
    while (in.len && out->end == WIRE_MORE) {
        size_t piece = seed ? 1 + seed % 7 : in.len;
        if (piece > in.len)
            piece = in.len;
        feed(&body, slice_of(in.ptr, piece), out);
        in = slice_skip(in, piece);
        seed = seed * 1103515245 + 12345;
    }
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    assert(a->end == b->end && a->length == b->length && a->taken == b->taken);
    assert(memcmp(a->body, b->body, a->length) == 0);
}

/* A whole chunked body, written out in one chunk, is the same body. */
static void check_written_again(const struct outcome *a, struct outcome *b)
{
    struct wire_body body;
    char head[WIRE_CHUNK_HEAD_MAX];

    b->length = b->taken = 0;
    b->end = WIRE_MORE;
    wire_body_init(&body, FRAMING_CHUNKED, 0);
    if (a->length) {
        feed(&body, slice_of(head, wire_chunk_head(head, a->length)), b);
        feed(&body, slice_of(a->body, a->length), b);
        feed(&body, SLICE("\r\n"), b);
    }
    feed(&body, SLICE("0\r\n\r\n"), b);
    assert(b->end == WIRE_DONE && b->length == a->length && memcmp(a->body, b->body, a->length) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum http_framing framings[] = {FRAMING_CHUNKED, FRAMING_CHUNKED, FRAMING_CHUNKED,
                                                 FRAMING_CHUNKED, FRAMING_CHUNKED, FRAMING_LENGTH,
                                                 FRAMING_CLOSE,   FRAMING_NONE};
    struct outcome whole = {.body = malloc(size + 1)}, parts = {.body = malloc(size + 1)};
    struct wire_body start;
    struct slice in;

    if (size >= 2 && whole.body && parts.body) {
        in = slice_of((const char *)data + 2, size - 2);
        wire_body_init(&start, framings[data[0] & 7], data[0] >> 3);
        run(in, &start, 0, &whole);
        run(in, &start, data[1] + 1U, &parts);
        check_same(&whole, &parts);
        if (start.framing == FRAMING_CHUNKED && whole.end == WIRE_DONE)
            check_written_again(&whole, &parts);
    }
    free(whole.body);
    free(parts.body);
    return 0;
}
