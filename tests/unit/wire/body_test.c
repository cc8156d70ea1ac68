/* Bodies: every framing, over every split of the input, and everything that is damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/wire.h"

enum { OUT_MAX = 1 << 16 };

/* What became of a stream: the body, how it ended, and how much of the input was taken. */
struct outcome {
    char body[OUT_MAX];
    size_t length, taken;
    enum wire_progress end;
};

static void feed(struct wire_body *body, struct slice in, struct outcome *out)
{
    size_t before = in.len;
    struct slice data;

    for (out->end = WIRE_DATA; out->end == WIRE_DATA;) {
        const char *at = in.ptr;
        out->end = wire_body_next(body, &in, &data);
        if (out->end != WIRE_DATA) {
            assert_int_equal(data.len, 0);
            break;
        }
        assert_true(data.len > 0 && data.ptr >= at && data.ptr + data.len == in.ptr);
        memcpy(out->body + out->length, data.ptr, data.len);
        out->length += data.len;
    }
    if (out->end == WIRE_MORE)
        assert_int_equal(in.len, 0);
    out->taken += before - in.len;
}

struct row {
    const char *name;
    enum http_framing framing;
    uint64_t length;
    enum wire_progress end;
    const char *body;
    size_t left; /* bytes that belong to the next message */
    const char *text;
    size_t size;
};
#define FRAMED(framing, length, end, name, text, body, left)                                                 \
    {                                                                                                        \
        name, FRAMING_##framing, length, WIRE_##end, body, left, text, sizeof(text) - 1                      \
    }
#define WHOLE(name, text, body)  FRAMED(CHUNKED, 0, DONE, name, text, body, 0)
#define PART(name, text, body)   FRAMED(CHUNKED, 0, MORE, name, text, body, 0)
#define BROKEN(name, text, body) FRAMED(CHUNKED, 0, DAMAGED, name, text, body, 0)

static const struct row rows[] = {
    FRAMED(NONE, 0, DONE, "no body", "next", "", 4),
    FRAMED(NONE, 0, DONE, "no body, nothing behind", "", "", 0),
    FRAMED(LENGTH, 0, DONE, "length zero", "next", "", 4),
    FRAMED(LENGTH, 5, DONE, "length", "abcdenext", "abcde", 4),
    FRAMED(LENGTH, 5, MORE, "length, cut", "abc", "abc", 0),
    FRAMED(CLOSE, 0, MORE, "until the end", "abc", "abc", 0),
    FRAMED(CLOSE, 0, MORE, "until the end, empty", "", "", 0),

    WHOLE("no chunk", "0\r\n\r\n", ""),
    WHOLE("one chunk", "3\r\nabc\r\n0\r\n\r\n", "abc"),
    WHOLE("three chunks", "1\r\na\r\n2\r\nbc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n", "abc0123456789abcdef"),
    WHOLE("large and small digits", "A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n",
          "01234567890123456789a"),
    WHOLE("CRLF in a chunk", "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"),
    WHOLE("leading zeros", "0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n", "abc"),
    WHOLE("extension", "3;a\r\nabc\r\n0;b=c\r\n\r\n", "abc"),
    WHOLE("extension with a quoted value", "3;a=\"b;c \\\" d\"\r\nabc\r\n0\r\n\r\n", "abc"),
    WHOLE("extension of the last printable byte", "3;~a ~\r\nabc\r\n0\r\n\r\n", "abc"),
    WHOLE("extension behind a space", "3; a=b;c\r\nabc\r\n0\r\n\r\n", "abc"),
    WHOLE("trailers", "3\r\nabc\r\n0\r\nA: b\r\nC_d:\r\nE:\tf \xff\r\n\r\n", "abc"),
    FRAMED(CHUNKED, 0, DONE, "next message behind", "1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "a", 16),
    FRAMED(CHUNKED, 0, DONE, "next message behind trailers", "0\r\nA: b\r\n\r\nnext", "", 4),
    FRAMED(CHUNKED, 0, DONE, "empty line behind", "0\r\n\r\n\r\n", "", 2),

    PART("nothing", "", ""),
    PART("cut in the size", "3", ""),
    PART("cut behind CR", "3\r", ""),
    PART("cut in the data", "3\r\nab", "ab"),
    PART("cut behind the data", "3\r\nabc\r", "abc"),
    PART("cut before the last chunk", "3\r\nabc\r\n", "abc"),
    PART("cut in the last chunk", "3\r\nabc\r\n0\r\n", "abc"),
    PART("cut in the trailers", "0\r\nA: b\r\n", ""),
    PART("cut before the last LF", "0\r\n\r", ""),
    PART("largest size", "ffffffffffffffff\r\nabc", "abc"),

    BROKEN("no size", "\r\n", ""),
    BROKEN("no size, extension", ";a\r\n", ""),
    BROKEN("no digit", "g\r\n", ""),
    BROKEN("seventeen digits", "00000000000000003\r\nabc", ""),
    BROKEN("size over 2^64", "10000000000000003\r\nabc\r\n0\r\n\r\n", ""),
    BROKEN("plus", "+3\r\nabc\r\n", ""),
    BROKEN("minus", "-3\r\nabc\r\n", ""),
    BROKEN("0x", "0x3\r\nabc\r\n", ""),
    BROKEN("underscore", "1_0\r\nabc\r\n", ""),
    BROKEN("quoted", "\"3\"\r\nabc\r\n", ""),
    BROKEN("digit of another script", "\xd9\xa3\r\nabc", ""),
    BROKEN("space before the size", " 3\r\nabc\r\n", ""),
    BROKEN("space behind the size", "3 \r\nabc\r\n", ""),
    BROKEN("tab behind the size", "3\t\r\nabc\r\n", ""),
    BROKEN("space before an extension", "3 ;a\r\nabc\r\n", ""),
    BROKEN("NUL behind the size", "3\0\r\nabc\r\n", ""),
    BROKEN("comma behind the size", "3,\r\nabc\r\n", ""),
    BROKEN("LF for CRLF behind the size", "3\nabc\r\n", ""),
    BROKEN("bare CR behind the size", "3\rabc\r\n", ""),
    BROKEN("CR CR LF behind the size", "3\r\r\nabc\r\n", ""),
    BROKEN("LF CR behind the size", "3\n\rabc\r\n", ""),
    BROKEN("empty line before the size", "\r\n3\r\nabc\r\n", ""),
    BROKEN("empty extension", "3;\r\nabc\r\n", ""),
    BROKEN("blank extension", "3; \r\nabc\r\n", ""),
    BROKEN("extension without a name", "3;=a\r\nabc\r\n", ""),
    BROKEN("two semicolons", "3;;a\r\nabc\r\n", ""),
    BROKEN("extension ended by LF, CVE-2021-22960", "3;a\nabc\r\n", ""),
    BROKEN("extension begun by LF", "3;\nabc\r\n", ""),
    BROKEN("extension with a bare CR", "3;a\rb\r\nabc\r\n", ""),
    BROKEN("extension with NUL", "3;a\0\r\nabc\r\n", ""),
    BROKEN("extension with a tab", "3;a\tb\r\nabc\r\n", ""),
    BROKEN("extension with DEL", "3;a\x7f\r\nabc\r\n", ""),
    BROKEN("extension with a raw byte", "3;a\x80\r\nabc\r\n", ""),
    BROKEN("data without CRLF", "3\r\nabc0\r\n\r\n", "abc"),
    BROKEN("data too long", "3\r\nabcd\r\n0\r\n\r\n", "abc"),
    BROKEN("data too short", "5\r\nabc\r\n0\r\n\r\n", "abc\r\n"),
    BROKEN("LF behind the data", "3\r\nabc\n0\r\n\r\n", "abc"),
    BROKEN("bare CR behind the data", "3\r\nabc\r0\r\n\r\n", "abc"),
    BROKEN("CR CR LF behind the data", "3\r\nabc\r\r\n0\r\n\r\n", "abc"),
    BROKEN("space behind the data", "3\r\nabc \r\n0\r\n\r\n", "abc"),
    BROKEN("empty line behind the data", "3\r\nabc\r\n\r\n0\r\n\r\n", "abc"),
    BROKEN("LF at the very end", "0\r\n\n", ""),
    BROKEN("LF LF at the end", "0\n\n", ""),
    BROKEN("bare CR at the end", "0\r\n\rX", ""),
    BROKEN("CR CR LF at the end", "0\r\n\r\r\n", ""),
    BROKEN("request in place of the end", "0\r\nGET / HTTP/1.1\r\n\r\n", ""),
    BROKEN("trailer without a name", "0\r\n: b\r\n\r\n", ""),
    BROKEN("trailer without a colon", "0\r\nab\r\n\r\n", ""),
    BROKEN("trailer with a space before the colon", "0\r\nA : b\r\n\r\n", ""),
    BROKEN("trailer folded", "0\r\nA: b\r\n c\r\n\r\n", ""),
    BROKEN("trailer folded first", "0\r\n A: b\r\n\r\n", ""),
    BROKEN("trailer ended by LF", "0\r\nA: b\n\r\n", ""),
    BROKEN("trailer with a bare CR", "0\r\nA: b\rC: d\r\n\r\n", ""),
    BROKEN("trailer with NUL", "0\r\nA: \0\r\n\r\n", ""),
    BROKEN("trailer name with NUL", "0\r\nA\0: b\r\n\r\n", ""),
};

static void check(const struct row *row, const struct outcome *out, const char *how)
{
    size_t length = strlen(row->body);

    if (out->end != row->end || out->length != length || memcmp(out->body, row->body, length) != 0)
        fail_msg("%s (%s): end %d, %zu bytes", row->name, how, out->end, out->length);
    if (row->end == WIRE_DONE && out->taken != row->size - row->left)
        fail_msg("%s (%s): took %zu bytes", row->name, how, out->taken);
}

static void run_split(const struct row *row, size_t first, size_t second, const char *how)
{
    static struct outcome out;
    struct wire_body body;
    const size_t cuts[] = {0, first, second, row->size};

    out.length = out.taken = 0;
    wire_body_init(&body, row->framing, row->length);
    for (int i = 0; i < 3; i++) {
        feed(&body, slice_of(row->text + cuts[i], cuts[i + 1] - cuts[i]), &out);
        if (out.end != WIRE_MORE)
            break;
    }
    check(row, &out, how);
}

static void test_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run_split(&rows[i], rows[i].size, rows[i].size, "whole");
        for (size_t a = 0; a <= rows[i].size; a++)
            for (size_t b = a; b <= rows[i].size; b++)
                run_split(&rows[i], a, b, "in three");
    }
}

static void test_byte_by_byte(void **state)
{
    static struct outcome out;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire_body body;
        wire_body_init(&body, rows[i].framing, rows[i].length);
        out.length = out.taken = 0;
        feed(&body, slice_of(rows[i].text, 0), &out);
        for (size_t n = 0; n < rows[i].size && out.end == WIRE_MORE; n++)
            feed(&body, slice_of(rows[i].text + n, 1), &out);
        check(&rows[i], &out, "byte by byte");
    }
}

/* DONE and DAMAGED stay what they are, and take nothing more. */
static void test_ends_are_final(void **state)
{
    static struct outcome out;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice more = SLICE("1\r\na\r\n0\r\n\r\n"), data;
        struct wire_body body;
        wire_body_init(&body, rows[i].framing, rows[i].length);
        out.length = out.taken = 0;
        feed(&body, slice_of(rows[i].text, rows[i].size), &out);
        if (out.end == WIRE_MORE)
            continue;
        assert_int_equal(wire_body_next(&body, &more, &data), rows[i].end);
        assert_int_equal(more.len, 11);
        assert_int_equal(data.len, 0);
    }
}

/* before, then `count` times `unit`, then after */
static enum wire_progress run_repeated(const char *before, const char *unit, size_t count, const char *after)
{
    static struct outcome out;
    struct wire_body body;

    wire_body_init(&body, FRAMING_CHUNKED, 0);
    out.length = out.taken = 0;
    feed(&body, slice_from(before), &out);
    for (size_t i = 0; i < count && out.end == WIRE_MORE; i++)
        feed(&body, slice_from(unit), &out);
    if (out.end == WIRE_MORE)
        feed(&body, slice_from(after), &out);
    return out.end;
}

static void test_bounds(void **state)
{
    (void)state;
    /* an extension: 256 bytes a line */
    assert_int_equal(run_repeated("0;", "a", 256, "\r\n\r\n"), WIRE_DONE);
    assert_int_equal(run_repeated("0;", "a", 257, "\r\n\r\n"), WIRE_DAMAGED);
    assert_int_equal(run_repeated("0;", " ", 257, "a\r\n\r\n"), WIRE_DAMAGED);
    /* extensions and trailers: 8 KiB a body, CVE-2024-22019 */
    assert_int_equal(run_repeated("", "1;abcd\r\nx\r\n", 2048, "0\r\n\r\n"), WIRE_DONE);
    assert_int_equal(run_repeated("", "1;abcd\r\nx\r\n", 2049, "0\r\n\r\n"), WIRE_DAMAGED);
    assert_int_equal(run_repeated("0\r\n", "a:bc\r\n", 2048, "\r\n"), WIRE_DONE);
    assert_int_equal(run_repeated("0\r\n", "a:bc\r\n", 2049, "\r\n"), WIRE_DAMAGED);
    assert_int_equal(run_repeated("1;abcd\r\nx\r\n0\r\n", "a:bc\r\n", 2048, "\r\n"), WIRE_DAMAGED);
    assert_int_equal(run_repeated("0\r\na:", "b", 8190, "\r\n\r\n"), WIRE_DONE);
    assert_int_equal(run_repeated("0\r\na:", "b", 8191, "\r\n\r\n"), WIRE_DAMAGED);
    /* chunks without either: no bound here */
    assert_int_equal(run_repeated("", "1\r\nx\r\n", 60000, "0\r\n\r\n"), WIRE_DONE);
}

/* A large chunk passes in the pieces in which it arrives, without being gathered. */
static void test_large_length(void **state)
{
    struct wire_body body;
    struct slice in = SLICE("abc"), data;

    (void)state;
    wire_body_init(&body, FRAMING_LENGTH, UINT64_MAX);
    assert_int_equal(wire_body_next(&body, &in, &data), WIRE_DATA);
    assert_int_equal(data.len, 3);
    assert_true(body.left == UINT64_MAX - 3);
    assert_int_equal(wire_body_next(&body, &in, &data), WIRE_MORE);
}

static void test_chunk_head_is_read_back(void **state)
{
    static const size_t sizes[] = {1, 9, 10, 15, 16, 255, 256, 65535, 1 << 20, 0xabcdef0123, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char text[WIRE_CHUNK_HEAD_MAX + 1];
        size_t n = wire_chunk_head(text, sizes[i]);
        struct slice in = slice_of(text, n), data;
        struct wire_body body;

        assert_true(n <= WIRE_CHUNK_HEAD_MAX && memcmp(text + n - 2, "\r\n", 2) == 0);
        assert_true(strtoull(text, NULL, 16) == sizes[i] && text[0] != '0');
        wire_body_init(&body, FRAMING_CHUNKED, 0);
        assert_int_equal(wire_body_next(&body, &in, &data), WIRE_MORE);
        assert_true(body.left == sizes[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_split),    cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_ends_are_final), cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_large_length),   cmocka_unit_test(test_chunk_head_is_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
