/* Where a head ends, over every split of the input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/wire.h"

#define LEAST "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

struct row {
    const char *name;
    const char *text;
    size_t length, expected;
};
#define ROW(name, text, expected)                                                                            \
    {                                                                                                        \
        name, text, sizeof(text) - 1, expected                                                               \
    }

static const struct row rows[] = {
    ROW("nothing", "", 0),
    ROW("a request", LEAST, 27),
    ROW("an answer", "HTTP/1.1 200 OK\r\n\r\n", 19),
    ROW("a body behind", LEAST "body\r\n\r\n", 27),
    ROW("a request behind", LEAST LEAST, 27),
    ROW("an empty line before", "\r\n" LEAST, 29),
    ROW("two empty lines before", "\r\n\r\n" LEAST, 31),
    ROW("empty lines only", "\r\n\r\n", 0),
    ROW("no empty line yet", "GET / HTTP/1.1\r\nHost: a\r\n", 0),
    ROW("CR of the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\r", 0),
    ROW("CR alone", "\r", 0),
    ROW("part of the first line", "GET / HT", 0),
    /* What no guard accepts any more ends at once, so that nobody waits for the rest of it. */
    ROW("third empty line", "\r\n\r\n\r\n", 6),
    ROW("bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", 15),
    ROW("bare LF in a field", "GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", 24),
    ROW("bare LF for an empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", 26),
    ROW("HTTP/0.9", "GET /\r\n", 7),
    ROW("a line of one byte", "G\n", 2),
};

static void test_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t scanned = 0, n = wire_head_length(slice_of(rows[i].text, rows[i].length), &scanned);
        if (n != rows[i].expected)
            fail_msg("%s: %zu, expected %zu", rows[i].name, n, rows[i].expected);
    }
}

static void test_bytes_that_begin_no_head(void **state)
{
    static const char *const texts[] = {"\x16\x03\x01", "<html>",   " GET", "\n",  "\rG",
                                        "\r\n\r\n\rG",  "\r\n\x80", "\"",   "\x7f"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t scanned = 0;
        if (wire_head_length(slice_from(texts[i]), &scanned) != strlen(texts[i]))
            fail_msg("case %zu waits for more", i);
    }
}

/* A growing buffer gives the same answer whatever the segments were. */
static void test_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        for (size_t split = 0; split <= rows[i].length; split++) {
            size_t scanned = 0, n = wire_head_length(slice_of(rows[i].text, split), &scanned);
            if (n == 0)
                n = wire_head_length(slice_of(rows[i].text, rows[i].length), &scanned);
            /* bytes that begin no head end with whatever has arrived */
            if (n != rows[i].expected && n != split)
                fail_msg("%s at %zu: %zu", rows[i].name, split, n);
        }
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t scanned = 0, n = 0;
        for (size_t have = 1; have <= rows[i].length && n == 0; have++)
            n = wire_head_length(slice_of(rows[i].text, have), &scanned);
        if (n != rows[i].expected && strcmp(rows[i].name, "third empty line") != 0)
            fail_msg("%s: %zu, expected %zu", rows[i].name, n, rows[i].expected);
    }
}

/* Whatever ends early is refused. */
static void test_early_ends_are_refused(void **state)
{
    _Alignas(16) char storage[1024];
    struct http_request request;
    struct arena arena;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t scanned = 0, n = wire_head_length(slice_of(rows[i].text, rows[i].length), &scanned);
        bool whole = n >= 4 && memcmp(rows[i].text + n - 4, "\r\n\r\n", 4) == 0 && n != 6 && n != 19;
        arena_init(&arena, storage, sizeof(storage), sizeof(storage));
        if (n &&
            (wire_parse_request(slice_of(rows[i].text, n), &arena, &request).verdict == WIRE_OK) != whole)
            fail_msg("%s", rows[i].name);
        arena_reset(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_bytes_that_begin_no_head),
        cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_early_ends_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
