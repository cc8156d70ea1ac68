#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* found: the raw value, NULL when there must be none. */
static const struct {
    const char *json, *found;
} rows[] = {
    {"{\"_metadata\":{\"nextLink\":\"u\"}}", "u"},
    {" \t\r\n{ \"_metadata\" :\n{ \"nextLink\" : \"http://a/b?c\" , \"x\" : 1 } , \"people\" : [ ] } ",
     "http://a/b?c"},
    {"{\"people\":[{\"id\":1}],\"_metadata\":{\"total\":2,\"nextLink\":\"u\"}}", "u"},
    {"{\"_metadata\":{\"collection\":\"people\",\"offset\":0,\"x\":null,\"y\":true,\"z\":-1.5e3,\"nextLink\":"
     "\"u\"}}",
     "u"},
    {"{\"_metadata\":{\"a\":{\"nextLink\":\"no\"},\"b\":[{\"nextLink\":\"no\"}],\"nextLink\":\"u\"}}", "u"},
    {"{\"a\":\"}\",\"b\":\"]{[\",\"_metadata\":{\"nextLink\":\"u\"}}", "u"},
    {"{\"a\":\"\\\"\",\"b\":\"\\\\\",\"c\":\"\\\\\\\"{\",\"_metadata\":{\"nextLink\":\"u\"}}", "u"},
    {"{\"a\":[\"\\\"]\",{\"b\":\"}]\"}],\"_metadata\":{\"nextLink\":\"u\"}}", "u"},
    {"{\"_metadata\":{\"nextLink\":\"a\\/b\\\"c\\\\\"}}", "a\\/b\\\"c\\\\"},
    {"{\"_metadata\":{\"nextLink\":\"a\\u0022b\"}}", "a\\u0022b"},
    {"{\"a\":{},\"b\":[],\"c\":[[],{}],\"_metadata\":{\"d\":{},\"e\":[],\"nextLink\":\"u\"}}", "u"},
    {"{\"_metadatas\":{\"nextLink\":\"no\"},\"_meta\":1,\"_metadata\":{\"nextLin\":\"no\",\"nextLinks\":"
     "\"no\",\"nextLink\":\"u\"}}",
     "u"},
    {"{\"a key that is far longer than any\":1,\"_metadata\":{\"another key that is far "
     "longer\":1,\"nextLink\":\"u\"}}",
     "u"},
    {"{\"x\":\"_metadata\",\"_metadata\":{\"x\":\"nextLink\",\"nextLink\":\"u\"}}", "u"},
    /* Not there, or not there. */
    {"{}", NULL},
    {"{\"_metadata\":{}}", NULL},
    {"{\"_metadata\":{\"next\":\"abc\"}}", NULL},
    {"{\"_metadata\":{\"total\":12}}", NULL},
    {"{\"total\":12}", NULL},
    {"{\"_metadata\":{\"nextLink\":\"a b\"}}", "a b"},
    {"{\"_metadata\"x{\"nextLink\":\"no\"}}", NULL},
    {"{\"_metadata\":{\"nextLink\"x\"no\"}}", NULL},
    {"{:\"_metadata\":{\"nextLink\":\"no\"}}", NULL},
    {":{\"_metadata\":{\"nextLink\":\"no\"}}", NULL},
    {"{\"nextLink\":\"no\"}", NULL},
    {"{\"_metadata\":{\"nextLink\":null}}", NULL},
    {"{\"_metadata\":{\"nextLink\":7}}", NULL},
    {"{\"_metadata\":{\"nextLink\":true,\"x\":\"no\"}}", NULL},
    {"{\"_metadata\":{\"nextLink\":[\"no\"]}}", NULL},
    {"{\"_metadata\":{\"nextLink\":{\"nextLink\":\"no\"}}}", NULL},
    {"{\"_metadata\":{\"nextLink\":\"\"}}", NULL},
    {"{\"_metadata\":null,\"nextLink\":\"no\"}", NULL},
    {"{\"_metadata\":\"x\",\"nextLink\":\"no\"}", NULL},
    {"{\"_metadata\":[{\"nextLink\":\"no\"}]}", NULL},
    {"{\"people\":[{\"_metadata\":{\"nextLink\":\"no\"}}]}", NULL},
    {"{\"people\":{\"_metadata\":{\"nextLink\":\"no\"}}}", NULL},
    {"{\"_metadata\":{\"_metadata\":{\"nextLink\":\"no\"}}}", NULL},
    {"{\"a\":\"\\\",\\\"_metadata\\\":{\\\"nextLink\\\":\\\"no\\\"}\"}", NULL},
    {"[{\"_metadata\":{\"nextLink\":\"no\"}}]", NULL},
    {"\"_metadata\"", NULL},
    {"7", NULL},
    {"", NULL},
    {"<html>{\"_metadata\":{\"nextLink\":\"no\"}}", NULL},
    {"\xEF\xBB\xBF{\"_metadata\":{\"nextLink\":\"no\"}}", NULL},
    {"{}{\"_metadata\":{\"nextLink\":\"no\"}}", NULL},
    /* Keys with escapes are no match, and do no harm. */
    {"{\"\\u005fmetadata\":{\"nextLink\":\"no\"}}", NULL},
    {"{\"_metadata\":{\"\\u006eextLink\":\"no\"}}", NULL},
    {"{\"_metadata\":{\"next\\\"Link\":\"no\"}}", NULL},
    {"{\"_meta\\\\data\":1,\"_metadata\":{\"nextLink\\\\\":\"no\",\"nextLink\":\"u\"}}", "u"},
    {"{\"_metadata\\u0000\":1,\"_metadata\":{\"\\u006eextLink\":\"no\",\"nextLink\":\"u\"}}", "u"},
    /* Not JSON: anything but a crash; with these, nothing. */
    {"{\"_metadata\" {\"nextLink\":\"no\"}}", NULL},
    {"{_metadata:{\"nextLink\":\"no\"}}", NULL},
    {"{\"a\":1,,\"_metadata\":{\"nextLink\":\"no\"}}", NULL},
    {"{\"a\":\"b\"\"_metadata\":{\"nextLink\":\"no\"}}", NULL},
    {"{\"_metadata\":{\"nextLink\":\"n\no\"}}", NULL},
    {"{\"_metadata\":{\"nextLink\":\"unfinished", NULL},
    {"{\"_metadata\":{\"nextLink\":\"unfinished\\", NULL},
};

struct result {
    bool found, over;
    uint64_t at, len;
};

/* Feeds [0, a), [a, b), [b, end) and checks what is said to be settled after each. */
static struct result scan_split(struct slice text, size_t a, size_t b)
{
    struct route_scan scan;
    size_t cuts[] = {0, a, b, text.len};
    uint64_t settled = 0;
    route_scan_init(&scan);
    for (int i = 0; i < 3; i++) {
        uint64_t now = route_scan_feed(&scan, slice_of(text.ptr + cuts[i], cuts[i + 1] - cuts[i]));
        assert_true(now >= settled && now <= cuts[i + 1]);
        assert_int_equal(scan.offset, cuts[i + 1]);
        if (now < cuts[i + 1]) {
            assert_false(scan.over);
            assert_int_equal(now, scan.at);
            assert_true(cuts[i + 1] - now <= ROUTE_LINK_MAX);
        }
        /* The value was held back until it was whole: nothing of it left before. */
        if (scan.found)
            assert_true(settled <= scan.at || (i > 0 && scan.at + scan.len < cuts[i]));
        settled = now;
    }
    return (struct result){scan.found, scan.over, scan.at, scan.len};
}

static void finds_the_link_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice text = slice_from(rows[i].json);
        for (size_t a = 0; a <= text.len; a++) {
            for (size_t b = a; b <= text.len; b++) {
                struct result got = scan_split(text, a, b);
                if (got.found != (rows[i].found != NULL))
                    fail_msg("%s (%zu, %zu): found %d", rows[i].json, a, b, got.found);
                if (!got.found)
                    continue;
                assert_true(got.over);
                if (!slice_equal(slice_of(text.ptr + got.at, got.len), slice_from(rows[i].found)))
                    fail_msg("%s (%zu, %zu): %.*s", rows[i].json, a, b, (int)got.len, text.ptr + got.at);
            }
        }
    }
}

static void byte_by_byte_is_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice text = slice_from(rows[i].json);
        struct route_scan scan;
        route_scan_init(&scan);
        for (size_t at = 0; at < text.len; at++)
            route_scan_feed(&scan, slice_of(text.ptr + at, 1));
        struct result whole = scan_split(text, 0, 0);
        assert_int_equal(scan.found, whole.found);
        assert_int_equal(scan.over, whole.over);
        assert_int_equal(scan.at, whole.at);
        assert_int_equal(scan.len, whole.len);
    }
}

static void holds_back_a_bounded_value_only(void **state)
{
    static const char head[] = "{\"_metadata\":{\"nextLink\":\"";
    static char text[ROUTE_LINK_MAX + 64];
    (void)state;
    for (size_t len = ROUTE_LINK_MAX - 1; len <= ROUTE_LINK_MAX + 1; len++) {
        struct route_scan scan;
        struct buf json;
        buf_init_fixed(&json, text, sizeof text);
        buf_append_text(&json, head);
        memset(json.ptr + json.len, 'x', len);
        buf_grow(&json, len);
        buf_append_text(&json, "\"}}");
        assert_false(json.failed);
        struct slice whole = buf_slice(&json);
        size_t value = sizeof head - 1;
        route_scan_init(&scan);
        assert_int_equal(route_scan_feed(&scan, slice_of(whole.ptr, value + len)),
                         len > ROUTE_LINK_MAX ? value + len : value);
        assert_int_equal(route_scan_feed(&scan, slice_skip(whole, value + len)), whole.len);
        assert_int_equal(scan.found, len <= ROUTE_LINK_MAX);
        assert_true(scan.over);
    }
}

static void deep_nesting_ends_the_search(void **state)
{
    struct route_scan scan;
    char open[4096];
    (void)state;
    memset(open, '[', sizeof open);
    route_scan_init(&scan);
    route_scan_feed(&scan, SLICE("{\"a\":"));
    uint64_t fed = 5;
    for (int i = 0; i < 512; i++) {
        fed += sizeof open;
        assert_int_equal(route_scan_feed(&scan, slice_of(open, sizeof open)), fed);
    }
    assert_true(scan.over);
    assert_false(scan.found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_link_however_it_is_cut),
        cmocka_unit_test(byte_by_byte_is_the_same),
        cmocka_unit_test(holds_back_a_bounded_value_only),
        cmocka_unit_test(deep_nesting_ends_the_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
