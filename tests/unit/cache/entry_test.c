/* What an entry keeps and sends, and how a 304 or a HEAD brings it up to date (RFC
 * 9111 3.1, 3.2, 4.3.4, 4.3.5). */
#include "unit/cache/harness.h"

static const struct cache_policy plain = {0};
static const struct cache_policy minute = {.ttl_ms = 60000, .ttl_uncovered_ms = 60000};
static const struct cache_policy profile = {.keep_cookies = true};

struct desk {
    struct cache *cache;
    struct request request;
};

static void desk_open(struct desk *desk, const struct cache_policy *policy)
{
    desk->cache = cache_new(1 << 20);
    request_init(&desk->request, desk->cache, policy, "");
}

static void desk_close(struct desk *desk)
{
    request_deinit(&desk->request);
    cache_destroy(desk->cache);
}

static struct cache_entry *find(struct desk *desk, enum cache_decision want)
{
    struct cache_found found;
    cache_find(desk->cache, &desk->request.query, &found);
    assert_int_equal(found.decision, want);
    return found.entry;
}

static bool sends(const struct cache_entry *entry, const char *line)
{
    return contains(cache_entry_head(entry), line);
}

static void fields_are_chosen(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &minute);
    struct cache_entry *entry = store_text(
        desk.cache, &desk.request, 200,
        "Connection: a, B\na: 1\nb: 2\nc: 3\nKeep-Alive: x\nTransfer-Encoding: chunked\nContent-Length: "
        "4\nTE: x\n"
        "Upgrade: h2c\nProxy-Authenticate: Basic\nProxy-Connection: x\nTrailer: d\nAge: 5\nX-Request-Id: z\n"
        "Cache-Status: q\nContent-Type: text/plain\nETag: \"e\"\nContent-Type-Options: n\nCDN-Cache-Control: "
        "max-age=60\n"
        "Cache-Control: public, max-age=3600, s-maxage=9, foo=\"a, b\"\nDate: @+0\nX-Frame-Options: deny",
        "body");
    assert_non_null(entry);
    assert_slice(cache_entry_head(entry), "ETag: \"e\"\r\n"
                                          "c: 3\r\nContent-Type: text/plain\r\nContent-Type-Options: n\r\n"
                                          "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nX-Frame-Options: deny\r\n"
                                          "Cache-Control: private, max-age=3600, foo=\"a, b\"\r\n");
    cache_release(entry);
    desk_close(&desk);
}

static void cache_control_for_clients(void **state)
{
    (void)state;
    static const struct {
        const struct cache_policy *policy;
        const char *answer, *line;
    } rows[] = {
        {&minute, "Last-Modified: @-10", "\r\nCache-Control: private\r\n"},
        {&minute, "Cache-Control: public\nLast-Modified: @-10", "\r\nCache-Control: private\r\n"},
        {&minute, "Cache-Control: max-age=5\nCache-Control: must-revalidate",
         "\r\nCache-Control: private, max-age=5, must-revalidate\r\n"},
        {&minute, "Cache-Control: S-MaxAge=5, immutable", "\r\nCache-Control: private, immutable\r\n"},
        {&plain, "Last-Modified: @-10", "\r\nCache-Control: private\r\n"},
        {&plain, "Cache-Control: public, max-age=5\nCache-Control: s-maxage=9",
         "\r\nCache-Control: public, max-age=5\r\nCache-Control: s-maxage=9\r\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct desk desk;
        desk_open(&desk, rows[i].policy);
        struct cache_entry *entry = store_text(desk.cache, &desk.request, 200, rows[i].answer, "body");
        assert_non_null(entry);
        if (!sends(entry, rows[i].line))
            fail_msg("row %zu: %.*s", i, SLICE_ARG(cache_entry_head(entry)));
        cache_release(entry);
        desk_close(&desk);
    }
}

static void a_profile_sends_what_came(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &profile);
    struct cache_entry *entry =
        store_text(desk.cache, &desk.request, 200,
                   "Cache-Control: public, max-age=3600\nCache-Control: s-maxage=5\nSet-Cookie: a=b", "");
    assert_non_null(entry);
    assert_true(sends(entry, "Cache-Control: public, max-age=3600\r\nCache-Control: s-maxage=5\r\n"));
    assert_true(sends(entry, "Set-Cookie: a=b\r\n"));
    assert_false(sends(entry, "private"));
    cache_release(entry);
    desk_close(&desk);
}

static void validators(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *answer, *etag, *modified;
        bool ours;
    } rows[] = {
        {200, "ETag: \"abc\"\nLast-Modified: @-10\nCache-Control: max-age=9", "\"abc\"",
         "Tue, 14 Nov 2023 22:13:10 GMT", false},
        {200, "last-modified: @-10\netag: W/\"abc\"\nCache-Control: max-age=9", "W/\"abc\"",
         "Tue, 14 Nov 2023 22:13:10 GMT", false},
        {200, "ETag: abc\nCache-Control: max-age=9", "abc", "", false},
        {200, "Last-Modified: @-10\nCache-Control: max-age=9", "", "Tue, 14 Nov 2023 22:13:10 GMT", false},
        {404, "Cache-Control: max-age=9", "", "", false},
        {200, "Cache-Control: max-age=9", NULL, "", true},
        {200, "ETag:\nCache-Control: max-age=9", NULL, "", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct desk desk;
        desk_open(&desk, &plain);
        struct cache_entry *entry =
            store_text(desk.cache, &desk.request, rows[i].status, rows[i].answer, "body");
        assert_non_null(entry);
        if (rows[i].etag)
            assert_slice(cache_entry_etag(entry), rows[i].etag);
        assert_slice(cache_entry_last_modified(entry), rows[i].modified);
        assert_int_equal(cache_entry_etag_is_ours(entry), rows[i].ours);
        assert_slice(cache_entry_body(entry), "body");
        assert_int_equal(cache_entry_status(entry), rows[i].status);
        cache_release(entry);
        desk_close(&desk);
    }
}

static void our_etag_is_the_bodys(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &plain);
    static const char head[] = "Cache-Control: max-age=9";
    struct cache_entry *a = store_text(desk.cache, &desk.request, 200, head, "one");
    struct cache_entry *b = store_text(desk.cache, &desk.request, 200, head, "one");
    struct cache_entry *c = store_text(desk.cache, &desk.request, 200, head, "two");
    assert_int_equal(cache_entry_etag(a).len, 37);
    assert_true(slice_starts(cache_entry_etag(a), SLICE("\"rg-")));
    assert_true(slice_equal(cache_entry_etag(a), cache_entry_etag(b)));
    assert_false(slice_equal(cache_entry_etag(a), cache_entry_etag(c)));
    cache_release(a);
    cache_release(b);
    cache_release(c);
    desk_close(&desk);
}

static void an_undated_answer_is_dated(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &plain);
    struct cache_entry *entry = store_text(desk.cache, &desk.request, 200, "Cache-Control: max-age=9", "");
    assert_true(sends(entry, "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
    cache_release(entry);
    desk_close(&desk);
}

static void too_large_is_not_kept(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &plain);
    struct reply reply;
    reply_init(&reply, &desk.request, 200, "Cache-Control: max-age=9");
    char *body = calloc(1, (1 << 20) + 1);
    assert_non_null(body);
    assert_null(cache_store(desk.cache, &desk.request.query, &reply.answer, slice_of(body, (1 << 20) + 1)));
    assert_null(cache_store(desk.cache, &desk.request.query, &reply.answer, slice_of(body, 1 << 20)));
    struct cache_entry *entry =
        cache_store(desk.cache, &desk.request.query, &reply.answer, slice_of(body, 500000));
    assert_non_null(entry);
    cache_release(entry);
    free(body);
    desk_close(&desk);
}

static void a_splice_is_remembered(void **state)
{
    (void)state;
    struct desk desk;
    struct reply reply;
    desk_open(&desk, &plain);
    reply_init(&reply, &desk.request, 200, "Cache-Control: max-age=9");
    reply.answer.splice_at = 2;
    reply.answer.splice_len = 3;
    struct cache_entry *entry = cache_store(desk.cache, &desk.request.query, &reply.answer, SLICE("ab123cd"));
    assert_slice(cache_entry_splice(entry), "123");
    cache_release(entry);
    desk_close(&desk);
}

/* --- 304 ------------------------------------------------------------------------------------- */

static struct cache_entry *freshen(struct desk *desk, struct cache_entry *entry, const char *head)
{
    struct reply reply;
    reply_init(&reply, &desk->request, 304, head);
    return cache_freshen(desk->cache, &desk->request.query, entry, &reply.answer);
}

static void a_304_updates_fields(void **state)
{
    (void)state;
    static const char *const updated[] = {
        "Test-Header",  "X-Test-Header", "Content-Foo",     "Content-Location", "Content-Security-Policy",
        "Content-Type", "Expires",       "Public-Key-Pins", "X-Frame-Options",  "Clear-Site-Data"};
    static const char *const kept[] = {"Content-Encoding", "Content-MD5", "Content-Range"};
    char first[256], second[256], line[128];
    for (size_t i = 0; i < 13; i++) {
        const char *name = i < 10 ? updated[i] : kept[i - 10];
        struct desk desk;
        desk_open(&desk, &plain);
        snprintf(first, sizeof first, "Date: @+0\n%s: A\nCache-Control: max-age=2\nETag: \"e\"", name);
        snprintf(second, sizeof second,
                 "Date: @+3\n%s: B\nCache-Control: max-age=2\nETag: \"e\"\nContent-Length: 99", name);
        struct cache_entry *old = store_text(desk.cache, &desk.request, 200, first, "body");
        desk.request.query.now_ms += 3000;
        cache_release(find(&desk, CACHE_REVALIDATE));
        struct cache_entry *entry = freshen(&desk, old, second);
        assert_non_null(entry);
        snprintf(line, sizeof line, "\r\n%s: %s\r\n", name, i < 10 ? "B" : "A");
        if (!sends(entry, line))
            fail_msg("%s", name);
        assert_false(sends(entry, "Content-Length"));
        assert_slice(cache_entry_body(entry), "body");
        struct cache_entry *again = find(&desk, CACHE_HIT);
        assert_ptr_equal(again, entry);
        cache_release(again);
        cache_release(entry);
        cache_release(old);
        desk_close(&desk);
    }
}

static void a_304_keeps_what_it_does_not_name(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &plain);
    struct cache_entry *old =
        store_text(desk.cache, &desk.request, 200,
                   "Cache-Control: max-age=2\nLast-Modified: @-50\nDate: @+0\nA: 1\nA: 2\nB: 3", "body");
    desk.request.query.now_ms += 3000;
    struct cache_entry *entry = freshen(&desk, old, "Last-Modified: @-50\nConnection: B\nB: 4");
    assert_non_null(entry);
    assert_true(sends(entry, "\r\nA: 1\r\nA: 2\r\nB: 3\r\n"));
    assert_true(sends(
        entry,
        "Date: Tue, 14 Nov 2023 22:13:23 GMT\r\n")); /* undated: dated anew, or it would be old at once */
    assert_true(sends(entry, "Cache-Control: max-age=2\r\n"));
    assert_slice(cache_entry_last_modified(entry), "Tue, 14 Nov 2023 22:12:30 GMT");
    cache_release(find(&desk, CACHE_HIT));
    cache_release(entry);
    cache_release(old);
    desk_close(&desk);
}

static void a_304_must_belong(void **state)
{
    (void)state;
    static const struct {
        const char *stored, *update;
        bool fits;
    } rows[] = {
        {"ETag: \"a\"", "ETag: \"a\"", true},
        {"ETag: \"a\"", "ETag: \"b\"", false},
        {"ETag: W/\"a\"", "ETag: W/\"a\"", true},
        {"ETag: W/\"a\"", "ETag: \"a\"", true},
        {"ETag: \"a\"", "", true},
        {"ETag: \"a\"\nLast-Modified: @-50", "Last-Modified: @-50", true},
        {"ETag: \"a\"\nLast-Modified: @-50", "Last-Modified: @-40", false},
        {"ETag: \"a\"", "Last-Modified: @-40", false},
        {"Last-Modified: @-50", "Last-Modified: Tuesday, 14-Nov-23 22:12:30 GMT", true},
        {"Last-Modified: @-50", "ETag: \"n\"\nLast-Modified: @-50", true},
        {"Last-Modified: @-50", "ETag: \"n\"", false},
        {"Foo: bar", "", false}, /* nothing was asked that a 304 could answer */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct desk desk;
        char head[256];
        desk_open(&desk, &plain);
        snprintf(head, sizeof head, "Cache-Control: max-age=2\n%s", rows[i].stored);
        struct cache_entry *old = store_text(desk.cache, &desk.request, 200, head, "body");
        struct cache_entry *entry = freshen(&desk, old, rows[i].update);
        if ((entry != NULL) != rows[i].fits)
            fail_msg("row %zu", i);
        cache_release(entry);
        cache_release(old);
        desk_close(&desk);
    }
}

static void a_304_can_end_storing(void **state)
{
    (void)state;
    static const char *const ends[] = {"Cache-Control: no-store", "Cache-Control: private", "Vary: *"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        struct desk desk;
        desk_open(&desk, &plain);
        struct cache_entry *old =
            store_text(desk.cache, &desk.request, 200, "Cache-Control: max-age=99\nETag: \"a\"", "body");
        struct cache_entry *entry = freshen(&desk, old, ends[i]);
        find(&desk, CACHE_MISS);
        cache_release(entry);
        cache_release(old);
        desk_close(&desk);
    }
}

static void a_304_renews_the_configured_ttl(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &minute);
    struct cache_entry *old = store_text(desk.cache, &desk.request, 200, "ETag: \"a\"", "body");
    desk.request.query.now_ms += 61000;
    cache_release(find(&desk, CACHE_REVALIDATE));
    struct cache_entry *entry = freshen(&desk, old, "ETag: \"a\"");
    cache_release(find(&desk, CACHE_HIT));
    assert_int_equal(cache_entry_age_ms(entry, desk.request.query.now_ms), 0);
    cache_release(entry);
    cache_release(old);
    desk_close(&desk);
}

/* --- HEAD ------------------------------------------------------------------------------------ */

static void a_head_tells(void **state)
{
    (void)state;
    static const struct {
        const char *id, *stored, *head;
        int status;
        enum cache_decision want;
    } rows[] = {
        {"head-200-freshness-update", "Template-A: 1", "Cache-Control: max-age=1000", 200, CACHE_HIT},
        {"same validator", "ETag: \"a\"", "ETag: \"a\"\nCache-Control: max-age=1000", 200, CACHE_HIT},
        {"other validator", "ETag: \"a\"", "ETag: \"b\"\nCache-Control: max-age=1000", 200, CACHE_MISS},
        {"other date", "Last-Modified: @-50", "Last-Modified: @-40", 200, CACHE_MISS},
        {"other length", "Template-A: 1", "Content-Length: 5", 200, CACHE_MISS},
        {"same length says nothing", "Template-A: 1", "Content-Length: 4", 200, CACHE_REVALIDATE},
        {"gone", "Template-A: 1", "", 404, CACHE_MISS},
        {"trouble upstream says nothing", "Template-A: 1", "", 503, CACHE_REVALIDATE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct desk desk;
        struct reply reply;
        char head[128];
        desk_open(&desk, &plain);
        snprintf(head, sizeof head, "Cache-Control: max-age=2\n%s", rows[i].stored);
        cache_release(store_text(desk.cache, &desk.request, 200, head, "body"));
        desk.request.query.now_ms += 3000;
        reply_init(&reply, &desk.request, rows[i].status, rows[i].head);
        desk.request.query.method = METHOD_HEAD;
        cache_head_seen(desk.cache, &desk.request.query, &reply.answer);
        desk.request.query.method = METHOD_GET;
        struct cache_found found;
        cache_find(desk.cache, &desk.request.query, &found);
        if (found.decision != rows[i].want)
            fail_msg("%s: %d", rows[i].id, (int)found.decision);
        cache_release(found.entry);
        desk_close(&desk);
    }
}

/* A HEAD that names no validator must not make an answer from before an event current. */
static void a_silent_head_forgives_no_event(void **state)
{
    (void)state;
    struct desk desk;
    struct reply reply;
    desk_open(&desk, &plain);
    cache_release(store_text(desk.cache, &desk.request, 200, "Cache-Control: max-age=99", "body"));
    cache_invalidate(desk.cache, &people);
    desk.request.query.deps = cache_deps_of(desk.cache, &people);
    reply_init(&reply, &desk.request, 200, "Cache-Control: max-age=99");
    desk.request.query.method = METHOD_HEAD;
    cache_head_seen(desk.cache, &desk.request.query, &reply.answer);
    desk.request.query.method = METHOD_GET;
    cache_release(find(&desk, CACHE_REVALIDATE));
    desk_close(&desk);
}

static void removal(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &plain);
    cache_release(store_text(desk.cache, &desk.request, 200, "Cache-Control: max-age=99", "body"));
    cache_release(find(&desk, CACHE_HIT));
    cache_remove(desk.cache, desk.request.query.key);
    find(&desk, CACHE_MISS);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_chosen),
        cmocka_unit_test(cache_control_for_clients),
        cmocka_unit_test(a_profile_sends_what_came),
        cmocka_unit_test(validators),
        cmocka_unit_test(our_etag_is_the_bodys),
        cmocka_unit_test(an_undated_answer_is_dated),
        cmocka_unit_test(too_large_is_not_kept),
        cmocka_unit_test(a_splice_is_remembered),
        cmocka_unit_test(a_304_updates_fields),
        cmocka_unit_test(a_304_keeps_what_it_does_not_name),
        cmocka_unit_test(a_304_must_belong),
        cmocka_unit_test(a_304_can_end_storing),
        cmocka_unit_test(a_304_renews_the_configured_ttl),
        cmocka_unit_test(a_head_tells),
        cmocka_unit_test(a_silent_head_forgives_no_event),
        cmocka_unit_test(removal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
