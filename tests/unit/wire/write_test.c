/* What leaves the gateway: exact bytes, or a refusal that writes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/wire.h"

static void assert_text(struct buf *buf, const char *expected)
{
    if (!slice_equal(buf_slice(buf), slice_from(expected)))
        fail_msg("'%.*s' is not '%s'", SLICE_ARG(buf_slice(buf)), expected);
    buf_reset(buf);
}

static void test_lines(void **state)
{
    char storage[256];
    struct buf buf;

    (void)state;
    buf_init_fixed(&buf, storage, sizeof(storage));
    assert_int_equal(wire_put_field(&buf, SLICE("X-A_b"), SLICE("c d\t\xff")), 0);
    assert_text(&buf, "X-A_b: c d\t\xff\r\n");
    assert_int_equal(wire_put_field(&buf, SLICE("A"), slice_of(NULL, 0)), 0);
    assert_text(&buf, "A: \r\n");
    assert_int_equal(wire_put_request_line(&buf, SLICE("GET"), SLICE("/a%20b?c[]=d")), 0);
    assert_text(&buf, "GET /a%20b?c[]=d HTTP/1.1\r\n");
    assert_int_equal(wire_put_request_line(&buf, SLICE("OPTIONS"), SLICE("*")), 0);
    assert_text(&buf, "OPTIONS * HTTP/1.1\r\n");
    assert_int_equal(wire_put_status_line(&buf, 200), 0);
    assert_text(&buf, "HTTP/1.1 200 OK\r\n");
    assert_int_equal(wire_put_status_line(&buf, 404), 0);
    assert_int_equal(wire_put_field(&buf, SLICE("A"), SLICE("b")), 0);
    assert_text(&buf, "HTTP/1.1 404 Not Found\r\nA: b\r\n");
    assert_int_equal(wire_put_status_line(&buf, 100), 0);
    assert_text(&buf, "HTTP/1.1 100 Continue\r\n");
    assert_int_equal(wire_put_status_line(&buf, 599), 0);
    assert_text(&buf, "HTTP/1.1 599 Unknown\r\n");
}

static void test_fields_that_would_break_the_head(void **state)
{
    static const struct {
        struct slice name, value;
    } cases[] = {
        {{"", 0}, {"b", 1}},        {{"A ", 2}, {"b", 1}},        {{" A", 2}, {"b", 1}},
        {{"A:", 2}, {"b", 1}},      {{"A\r\nB", 4}, {"b", 1}},    {{"A\0", 2}, {"b", 1}},
        {{"\xc3", 1}, {"b", 1}},    {{"A", 1}, {"b\r\nC: d", 7}}, {{"A", 1}, {"b\r", 2}},
        {{"A", 1}, {"b\n", 2}},     {{"A", 1}, {"\0", 1}},        {{"A", 1}, {"b\x7f", 2}},
        {{"A", 1}, {"\x1b[0m", 4}}, {{"A", 1}, {"b\r\n c", 5}},
    };
    struct buf buf;

    (void)state;
    buf_init(&buf, 1024);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (wire_put_field(&buf, cases[i].name, cases[i].value) != ERR_INVALID || buf.len || buf.failed)
            fail_msg("case %zu was written", i);
    buf_deinit(&buf);
}

static void test_lines_that_would_break_the_head(void **state)
{
    static const struct {
        struct slice method, target;
    } cases[] = {
        {{"", 0}, {"/", 1}},         {{"GET ", 4}, {"/", 1}},   {{"G\r\n", 3}, {"/", 1}},
        {{"GET", 3}, {"", 0}},       {{"GET", 3}, {"a", 1}},    {{"GET", 3}, {"*", 1}},
        {{"OPTIONS", 7}, {"**", 2}}, {{"GET", 3}, {"/ ", 2}},   {{"GET", 3}, {"/a b", 4}},
        {{"GET", 3}, {"/\r\n", 3}},  {{"GET", 3}, {"/#", 2}},   {{"GET", 3}, {"/%", 2}},
        {{"GET", 3}, {"/%0g", 4}},   {{"GET", 3}, {"/%41", 3}}, {{"GET", 3}, {"/\0", 2}},
        {{"GET", 3}, {"/\xff", 2}},  {{"GET", 3}, {"/\\", 2}},  {{"GET", 3}, {"http://a/", 9}},
        {{"GET", 3}, {"/?a\n", 4}},
    };
    static const int statuses[] = {-1, 0, 99, 600, 1000, 1200};
    struct buf buf;

    (void)state;
    buf_init(&buf, 1024);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (wire_put_request_line(&buf, cases[i].method, cases[i].target) != ERR_INVALID || buf.len ||
            buf.failed)
            fail_msg("case %zu was written", i);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (wire_put_status_line(&buf, statuses[i]) != ERR_INVALID || buf.len || buf.failed)
            fail_msg("status %d was written", statuses[i]);
    buf_deinit(&buf);
}

static void test_full_buffer_keeps_what_it_has(void **state)
{
    char storage[8];
    struct buf buf;

    (void)state;
    buf_init_fixed(&buf, storage, sizeof(storage));
    assert_int_equal(wire_put_field(&buf, SLICE("A"), SLICE("b")), 0);
    assert_int_equal(wire_put_field(&buf, SLICE("C"), SLICE("d")), ERR_LIMIT);
    assert_true(buf.failed);
    assert_int_equal(buf.len, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_fields_that_would_break_the_head),
        cmocka_unit_test(test_lines_that_would_break_the_head),
        cmocka_unit_test(test_full_buffer_keeps_what_it_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
