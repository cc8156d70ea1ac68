/* Clients' preconditions and ranges (RFC 9110 13, 14), row by row. */
#include "unit/cache/harness.h"

#define SEND CONDITION_SEND
#define SAME CONDITION_NOT_MODIFIED
#define FAIL CONDITION_FAILED
#define PART CONDITION_PARTIAL
#define OUT  CONDITION_UNSATISFIABLE

struct row {
    const char *stored, *request;
    enum cache_condition want;
    uint64_t first, last;
};

static void run(const struct row *rows, size_t count, int status, enum method method)
{
    static const struct cache_policy plain = {0};
    for (size_t i = 0; i < count; i++) {
        struct cache *cache = cache_new(1 << 20);
        struct request request;
        char head[512];
        request_init(&request, cache, &plain, rows[i].request);
        snprintf(head, sizeof head, "Cache-Control: max-age=9\nDate: @+0\n%s", rows[i].stored);
        struct cache_entry *entry = store_text(cache, &request, status, head, "0123456789");
        assert_non_null(entry);
        request.query.method = method;
        uint64_t first = 77, last = 77;
        const enum cache_condition got = cache_condition(entry, &request.query, 10, &first, &last);
        if (got != rows[i].want || (got == PART && (first != rows[i].first || last != rows[i].last)))
            fail_msg("%s | %s: %d %llu-%llu", rows[i].stored, rows[i].request, (int)got,
                     (unsigned long long)first, (unsigned long long)last);
        cache_release(entry);
        request_deinit(&request);
        cache_destroy(cache);
    }
}
#define RUN(rows, status, method) run(rows, sizeof(rows) / sizeof(rows)[0], status, method)

/* One row, one line. */
/* clang-format off */
static const char strong[] = "ETag: \"abcdef\"", weak[] = "ETag: W/\"abcdef\"",
                  dated[] = "Last-Modified: @-3000";
static const char both[] = "ETag: \"abcdef\"\nLast-Modified: @-5000";

static const struct row preconditions[] = {
    {strong, "", SEND, 0, 0},
    {strong, "If-None-Match: \"abcdef\"", SAME, 0, 0},
    {strong, "If-None-Match: W/\"abcdef\"", SAME, 0, 0},
    {weak, "If-None-Match: W/\"abcdef\"", SAME, 0, 0},
    {weak, "If-None-Match: \"abcdef\"", SAME, 0, 0},
    {strong, "If-None-Match: \"abcdef\", \"1234\", \"5678\"", SAME, 0, 0},
    {strong, "If-None-Match: \"1234\", \"abcdef\", \"5678\"", SAME, 0, 0},
    {strong, "If-None-Match: \"1234\"\nIf-None-Match: \"abcdef\"", SAME, 0, 0},
    {strong, "If-None-Match: \"1234\"", SEND, 0, 0},
    {strong, "If-None-Match: \"ABCDEF\"", SEND, 0, 0},
    {strong, "If-None-Match: abcdef", SEND, 0, 0},
    {strong, "If-None-Match: \"12,34\"", SEND, 0, 0},
    {"ETag: \"12,34\"", "If-None-Match: \"12,34\"", SAME, 0, 0},
    {strong, "If-None-Match: *", SAME, 0, 0},
    {dated, "If-None-Match: \"abcdef\"", SEND, 0, 0},
    {both, "If-None-Match: \"abcdef\"\nIf-Modified-Since: @-6000", SAME, 0, 0},
    {both, "If-None-Match: \"other\"\nIf-Modified-Since: @-1", SEND, 0, 0},
    {dated, "If-Modified-Since: @-3000", SAME, 0, 0},
    {dated, "If-Modified-Since: @-2000", SAME, 0, 0},
    {dated, "If-Modified-Since: @-3001", SEND, 0, 0},
    {dated, "If-Modified-Since: Tuesday, 14-Nov-23 21:23:20 GMT", SAME, 0, 0},
    {dated, "If-Modified-Since: yesterday", SEND, 0, 0},
    {dated, "If-Modified-Since: @-1\nIf-Modified-Since: @-1", SEND, 0, 0},
    {strong, "If-Modified-Since: @-3000", SEND, 0, 0},
    {strong, "If-Modified-Since: @+0", SAME, 0, 0}, /* no Last-Modified: the answer's Date (RFC 9111 4.3.2) */ {strong, "If-Match: \"abcdef\"", SEND, 0, 0},
    {strong, "If-Match: \"x\", \"abcdef\"", SEND, 0, 0},
    {strong, "If-Match: *", SEND, 0, 0},
    {strong, "If-Match: \"other\"", FAIL, 0, 0},
    {weak, "If-Match: W/\"abcdef\"", FAIL, 0, 0},
    {strong, "If-Match: \"abcdef\"\nIf-None-Match: \"abcdef\"", SAME, 0, 0},
    {both, "If-Match: \"abcdef\"\nIf-Unmodified-Since: @-9000", SEND, 0, 0},
    {dated, "If-Unmodified-Since: @-3000", SEND, 0, 0},
    {dated, "If-Unmodified-Since: @-3001", FAIL, 0, 0},
    {dated, "If-Unmodified-Since: never", SEND, 0, 0},
    {strong, "If-Unmodified-Since: @-9000", SEND, 0, 0},
};

static const struct row ranges[] = {
    {strong, "Range: bytes=0-1", PART, 0, 1},
    {strong, "Range: bytes=0-0", PART, 0, 0},
    {strong, "Range: bytes=1-", PART, 1, 9},
    {strong, "Range: bytes=-1", PART, 9, 9},
    {strong, "Range: bytes=-10", PART, 0, 9},
    {strong, "Range: bytes=-99", PART, 0, 9},
    {strong, "Range: bytes=9-99", PART, 9, 9},
    {strong, "Range: BYTES=2-3", PART, 2, 3},
    {strong, "Range: bytes=2-99999999999999999999999", PART, 2, 9},
    {strong, "Range: bytes=10-", OUT, 0, 0},
    {strong, "Range: bytes=10-12", OUT, 0, 0},
    {strong, "Range: bytes=99999999999999999999999-", OUT, 0, 0},
    {strong, "Range: bytes=-0", OUT, 0, 0},
    {strong, "Range: bytes=5-2", SEND, 0, 0},
    {strong, "Range: bytes=0-1,3-4", SEND, 0, 0},
    {strong, "Range: bytes=0-1\nRange: bytes=3-4", SEND, 0, 0},
    {strong, "Range: lines=0-1", SEND, 0, 0},
    {strong, "Range: bytes=", SEND, 0, 0},
    {strong, "Range: bytes=-", SEND, 0, 0},
    {strong, "Range: bytes=a-b", SEND, 0, 0},
    {strong, "Range: bytes=1-2x", SEND, 0, 0},
    {strong, "Range: bytes=+1-2", SEND, 0, 0},
    {strong, "Range: bytes 1-2", SEND, 0, 0},
    {strong, "Range: bytes=1 -2", SEND, 0, 0},
    {strong, "Range: bytes=0-1\nIf-Range: \"abcdef\"", PART, 0, 1},
    {strong, "Range: bytes=0-1\nIf-Range: \"other\"", SEND, 0, 0},
    {weak, "Range: bytes=0-1\nIf-Range: W/\"abcdef\"", SEND, 0, 0},
    {dated, "Range: bytes=0-1\nIf-Range: @-3000", PART, 0, 1},
    {dated, "Range: bytes=0-1\nIf-Range: @-2000", SEND, 0, 0},
    {"Last-Modified: @+0", "Range: bytes=0-1\nIf-Range: @+0", SEND, 0, 0}, /* not a strong date */ {strong, "Range: bytes=0-1\nIf-Range: junk", SEND, 0, 0},
    {strong, "Range: bytes=0-1\nIf-None-Match: \"abcdef\"", SAME, 0, 0},
    {strong, "Range: bytes=0-1\nIf-Match: \"other\"", FAIL, 0, 0},
};

/* clang-format on */

static void preconditions_in_order(void **state)
{
    (void)state;
    RUN(preconditions, 200, METHOD_GET);
}

static void ranges_of_a_whole_answer(void **state)
{
    (void)state;
    RUN(ranges, 200, METHOD_GET);
}

static void only_a_200_has_ranges(void **state)
{
    (void)state;
    static const struct row rows[] = {{strong, "Range: bytes=0-1", SEND, 0, 0},
                                      {strong, "If-None-Match: \"abcdef\"", SAME, 0, 0}};
    RUN(rows, 203, METHOD_GET);
}

static void head_has_conditions_but_no_ranges(void **state)
{
    (void)state;
    static const struct row rows[] = {{strong, "Range: bytes=0-1", SEND, 0, 0},
                                      {strong, "If-None-Match: \"abcdef\"", SAME, 0, 0}};
    RUN(rows, 200, METHOD_HEAD);
}

static void errors_have_none(void **state)
{
    (void)state;
    static const struct row rows[] = {{strong, "If-None-Match: \"abcdef\"", SEND, 0, 0},
                                      {strong, "If-Match: \"x\"", SEND, 0, 0}};
    RUN(rows, 404, METHOD_GET);
}

static void nothing_has_no_ranges(void **state)
{
    (void)state;
    static const struct cache_policy plain = {0};
    static const struct {
        const char *range;
        enum cache_condition want;
    } rows[] = {{"Range: bytes=0-", OUT}, {"Range: bytes=-5", SEND}};
    for (size_t i = 0; i < 2; i++) {
        struct cache *cache = cache_new(1 << 20);
        struct request request;
        uint64_t first, last;
        request_init(&request, cache, &plain, rows[i].range);
        struct cache_entry *entry = store_text(cache, &request, 200, "Cache-Control: max-age=9", "");
        assert_int_equal(cache_condition(entry, &request.query, 0, &first, &last), rows[i].want);
        cache_release(entry);
        request_deinit(&request);
        cache_destroy(cache);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(preconditions_in_order), cmocka_unit_test(ranges_of_a_whole_answer),
        cmocka_unit_test(only_a_200_has_ranges),  cmocka_unit_test(head_has_conditions_but_no_ranges),
        cmocka_unit_test(errors_have_none),       cmocka_unit_test(nothing_has_no_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
