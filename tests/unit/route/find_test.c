#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct slice names[] = {{"core", 4}, {"crm", 3}, {"mortgage-crm", 12}};
enum { CORE, CRM, MORTGAGE };

static _Alignas(16) char storage[65536];

/* Targets with NUL bytes give their length. */
static enum route_outcome find_in(struct slice target, struct slice tenant, struct arena *arena,
                                  struct route *out)
{
    struct http_field field = {SLICE("X-Tenant-Id"), tenant, FIELD_X_TENANT_ID};
    struct http_request request = {.method = METHOD_GET, .target = target};
    request.fields = (struct http_fields){&field, tenant.ptr ? 1 : 0};
    return route_find(&request, names, 3, arena, out);
}

static enum route_outcome find(const char *target, const char *tenant, struct route *out)
{
    struct arena arena;
    arena_init(&arena, storage, sizeof storage, 0);
    return find_in(slice_from(target), slice_from(tenant), &arena, out);
}

static void assert_text(const char *label, const char *what, struct slice got, const char *want)
{
    if (got.len != strlen(want) || (got.len > 0 && memcmp(got.ptr, want, got.len) != 0))
        fail_msg("%s: %s is \"%.*s\", not \"%s\"", label, what, SLICE_ARG(got), want);
}

static void goes_where_it_should(void **state)
{
    static const struct {
        const char *target, *header;
        int api;
        const char *tenant, *path, *query, *entity, *id;
    } rows[] = {
        {"/crm/people", "acme", CRM, "acme", "/people", NULL, "people", ""},
        {"/crm/people?limit=50", "acme", CRM, "acme", "/people", "limit=50", "people", ""},
        {"/crm/people?", "acme", CRM, "acme", "/people", "", "people", ""},
        {"/crm/people/0190-p1", "acme", CRM, "acme", "/people/0190-p1", NULL, "people", "0190-p1"},
        {"/crm/people/1/tags/apply", "a", CRM, "a", "/people/1/tags/apply", NULL, "people", "1"},
        {"/core/credentials", "acme", CORE, "acme", "/credentials", NULL, "credentials", ""},
        {"/mortgage-crm/x", "acme", MORTGAGE, "acme", "/x", NULL, "x", ""},
        {"/crm", "acme", CRM, "acme", "", NULL, "", ""},
        {"/crm/", "acme", CRM, "acme", "/", NULL, "", ""},
        {"/crm/people/", "acme", CRM, "acme", "/people/", NULL, "people", ""},
        {"/crm/people/1/", "acme", CRM, "acme", "/people/1/", NULL, "people", "1"},
        {"/t/acme/crm/people/1?next=a%2Fb", NULL, CRM, "acme", "/people/1", "next=a%2Fb", "people", "1"},
        {"/t/acme/crm/people", "acme", CRM, "acme", "/people", NULL, "people", ""},
        {"/t/acme/crm", NULL, CRM, "acme", "", NULL, "", ""},
        {"/t/t/crm/t/t", NULL, CRM, "t", "/t/t", NULL, "t", "t"},
        {"/t/crm/crm/crm", NULL, CRM, "crm", "/crm", NULL, "crm", ""},
        {"/t/a@b.example:1/crm/x", NULL, CRM, "a@b.example:1", "/x", NULL, "x", ""},
        {"/t/a%40b%3a1/crm/x", NULL, CRM, "a@b:1", "/x", NULL, "x", ""},
        {"/t/a%40b/crm/x", "a@b", CRM, "a@b", "/x", NULL, "x", ""},
        {"/t/%61cme/crm/x", "acme", CRM, "acme", "/x", NULL, "x", ""},
        {"/t/a..b/crm/x", NULL, CRM, "a..b", "/x", NULL, "x", ""},
        {"/t/.a/crm/x", NULL, CRM, ".a", "/x", NULL, "x", ""},
        {"/t/.../crm/x", NULL, CRM, "...", "/x", NULL, "x", ""},
        /* Entities as events spell them. */
        {"/crm/textMessages/9", "a", CRM, "a", "/textMessages/9", NULL, "textmessages", "9"},
        {"/crm/smart-lists", "a", CRM, "a", "/smart-lists", NULL, "smartlists", ""},
        {"/crm/Smart-Lists-", "a", CRM, "a", "/Smart-Lists-", NULL, "smartlists", ""},
        {"/crm/-", "a", CRM, "a", "/-", NULL, "", ""},
        {"/crm/%50eople/%31", "a", CRM, "a", "/People/1", NULL, "people", "1"},
        {"/crm/peop%C3%84", "a", CRM, "a", "/peop%C3%84", NULL, "peop\xC3\x84", ""},
        {"/crm/people;v=1/7", "a", CRM, "a", "/people;v=1/7", NULL, "people", "7"},
        {"/crm/Pe-ople%3Bv=1/7", "a", CRM, "a", "/Pe-ople%3Bv=1/7", NULL, "people", "7"},
        /* Ids as events spell them; with a parameter it could be either record. */
        {"/crm/people/a%3Ab%20c", "a", CRM, "a", "/people/a%3Ab%20c", NULL, "people", "a:b c"},
        {"/crm/people/100%25", "a", CRM, "a", "/people/100%25", NULL, "people", "100%"},
        {"/crm/people/1;v=2", "a", CRM, "a", "/people/1;v=2", NULL, "people", ""},
        {"/crm/people/1%3bv=2", "a", CRM, "a", "/people/1%3Bv=2", NULL, "people", ""},
        {"/crm/AZaz-AZ/1", "a", CRM, "a", "/AZaz-AZ/1", NULL, "azazaz", "1"},
        {"/crm/%c2%a0%c2%80", "a", CRM, "a", "/%C2%A0%C2%80", NULL, "\xC2\xA0\xC2\x80", ""},
        /* One canonical target. */
        {"/%63rm/people", "a", CRM, "a", "/people", NULL, "people", ""},
        {"/%74/acme/c%72m/people", NULL, CRM, "acme", "/people", NULL, "people", ""},
        {"/crm/%7Euser/%2Da%5Fb%2E", "a", CRM, "a", "/~user/-a_b.", NULL, "~user", "-a_b."},
        {"/crm/a%c3%a4%e2%82%ac%f0%9f%98%80", "a", CRM, "a", "/a%C3%A4%E2%82%AC%F0%9F%98%80", NULL,
         "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", ""},
        {"/crm/%ed%9f%bf%ee%80%80%f4%8f%bf%bf%e0%a0%80%f0%90%80%80%df%bf", "a", CRM, "a",
         "/%ED%9F%BF%EE%80%80%F4%8F%BF%BF%E0%A0%80%F0%90%80%80%DF%BF", NULL,
         "\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF\xE0\xA0\x80\xF0\x90\x80\x80\xDF\xBF", ""},
        {"/crm/-._~!$&'()*+,;=:@aZ09", "a", CRM, "a", "/-._~!$&'()*+,;=:@aZ09", NULL, "._~!$&'()*+,", ""},
        {"/crm/%21%24%26%27%28%29%2a%2b%2c%3d%3A%40%22%3c%20", "a", CRM, "a",
         "/%21%24%26%27%28%29%2A%2B%2C%3D%3A%40%22%3C%20", NULL, "!$&'()*+,=:@\"< ", ""},
        /* A trailing slash stays, on a rewritten path too. */
        {"/crm/a%20b/", "a", CRM, "a", "/a%20b/", NULL, "a b", ""},
        {"/crm/x;y/", "a", CRM, "a", "/x;y/", NULL, "x", ""},
        /* Not dot segments. */
        {"/crm/.well-known/.a..", "a", CRM, "a", "/.well-known/.a..", NULL, ".wellknown", ".a.."},
        {"/crm/.../a./a..;x", "a", CRM, "a", "/.../a./a..;x", NULL, "...", "a."},
        {"/crm/...;a", "a", CRM, "a", "/...;a", NULL, "...", ""},
        {"/crm/a;../b;.", "a", CRM, "a", "/a;../b;.", NULL, "a", ""},
        /* Escapes behind an escaped '%' that hide nothing, or are none. */
        {"/crm/x/%25", "a", CRM, "a", "/x/%25", NULL, "x", "%"},
        {"/crm/x/%252", "a", CRM, "a", "/x/%252", NULL, "x", "%2"},
        {"/crm/x/%25zz%25a", "a", CRM, "a", "/x/%25zz%25a", NULL, "x", "%zz%a"},
        {"/crm/x/%2541%25z1%251z", "a", CRM, "a", "/x/%2541%25z1%251z", NULL, "x", "%41%z1%1z"},
        /* The query is not touched, whatever it looks like. */
        {"/crm/x?..%2f%00%zz//?a=/../[]|{}%", "a", CRM, "a", "/x", "..%2f%00%zz//?a=/../[]|{}%", "x", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct route route;
        const char *label = rows[i].target;
        enum route_outcome outcome = find(label, rows[i].header, &route);
        if (outcome != ROUTE_OK || route.api != rows[i].api)
            fail_msg("%s: outcome %d, api %d (%s)", label, outcome, route.api, route.why ? route.why : "");
        assert_text(label, "tenant", route.tenant, rows[i].tenant);
        assert_text(label, "path", route.path, rows[i].path);
        assert_text(label, "query", route.query, rows[i].query ? rows[i].query : "");
        assert_int_equal(route.has_query, rows[i].query != NULL);
        assert_text(label, "entity", route.entity, rows[i].entity);
        assert_text(label, "id", route.id, rows[i].id);
        assert_int_equal(route.tenant_in_path,
                         strncmp(label, "/t/", 3) == 0 || strncmp(label, "/%74/", 5) == 0);
        assert_null(route.why);
    }
}

/* Put where the API's base path would be left, in the first, second and last segment. */
static void refuses_what_has_two_readings(void **state)
{
    static const char *const hostile[] = {
        /* Dot segments in every spelling. */
        ".",
        "..",
        "%2e",
        "%2E",
        "%2e%2e",
        "%2E%2e",
        ".%2e",
        "%2e.",
        ".;",
        "..;",
        "..;x",
        ".;x=1",
        "..;/..",
        "%2e;x",
        "%2e%2e;x",
        "..%3b",
        "..%3Bx",
        ".%3b",
        "%2e.%3bx",
        "..;..",
        ";",
        ";x",
        "%3b",
        "%3Bx",
        "a/..",
        "a/../b",
        "./b",
        /* Slashes that are none, or not yet. */
        "%2f",
        "%2F",
        "a%2fb",
        "..%2f",
        "..%2f..",
        "%2e%2e%2f",
        "%5c",
        "%5C",
        "a%5cb",
        "..%5c",
        "\\",
        "a\\b",
        "..\\..",
        "%5c..",
        "%2f%2f",
        "/",
        "a//b",
        "//",
        /* Control characters. */
        "%00",
        "a%00",
        "%00a",
        "..%00",
        "..%00/",
        "%01",
        "%08",
        "%09",
        "%0a",
        "%0d",
        "%0d%0aX:%20y",
        "%1f",
        "%7f",
        "%7F",
        "a\tb",
        "a\nb",
        "a\rb",
        "\x01",
        "\x1f",
        "\x7f",
        "a b",
        /* Broken escapes. */
        "%",
        "%2",
        "%zz",
        "%2z",
        "%z2",
        "%%",
        "%%32e",
        "%u002e",
        "%u2215",
        "a%",
        "a%2",
        "%-1",
        "% 2",
        "%+2",
        "%2\x80",
        "%:0",
        "%@0",
        "%`0",
        "%g0",
        "%G0",
        "%0/",
        "%0:",
        /* Overlong and other UTF-8 that is none. */
        "%c0%ae",
        "%c0%ae%c0%ae",
        "%C0%AE",
        "%c0%af",
        "%c1%9c",
        "%c0%2f",
        "%e0%80%ae",
        "%e0%80%af",
        "%e0%9f%bf",
        "%f0%80%80%ae",
        "%f0%8f%bf%bf",
        "%f8%80%80%80%ae",
        "%fc%80%80%80%80%ae",
        "%80",
        "%bf",
        "%c2",
        "%c2a",
        "%c2%41",
        "%e2%82",
        "%e2%82a",
        "%e2a%82",
        "%e2%c2%82",
        "%f0%9f%98",
        "%ed%a0%80",
        "%ed%bf%bf",
        "%f4%90%80%80",
        "%f5%80%80%80",
        "%fe",
        "%ff",
        "%c3%c3",
        "%c3%a4%a4",
        "%c0",
        "%c1%81",
        "%c2%c0",
        "%e1%80%c0",
        "%c2/%80",
        /* Escaped twice. */
        "%252e",
        "%252E",
        "%252e%252e",
        "%252e%252e%252f",
        "%252f",
        "%252F",
        "%255c",
        "%255C",
        "%2500",
        "%250a",
        "%251f",
        "%257f",
        "%253b",
        "%2525",
        "%25252e",
        "%25c0%25ae",
        "%2580",
        "%25ff",
        "..%252f",
        "%25%32%65",
        "%25%32e",
        "%252%65",
        "%%32%65",
        "a%252eb",
        "%25%32%66",
        /* Bytes that a path can't have. */
        "#",
        "a#b",
        "#..",
        "a\"b",
        "<a>",
        "a|b",
        "{a}",
        "[a]",
        "^",
        "`",
        "\x80",
        "\xff",
        "\xc3\xa4",
        "\xc0\xae",
        "\xef\xbc\x8f",
    };
    static const char *const shapes[] = {
        "/crm/%s",     "/crm/people/%s", "/crm/people/%s/x", "/t/acme/crm/%s", "/t/acme/crm/%s/",
        "/%s",         "/%s/crm/people", "/t/%s/crm/people", "/t/acme/%s",     "/link/%s/",
        "/crm/%s?a=b", "/crm/x/%s/?/",
    };
    (void)state;
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        for (size_t j = 0; j < sizeof shapes / sizeof shapes[0]; j++) {
            struct route route;
            char target[256];
            snprintf(target, sizeof target, shapes[j], hostile[i]);
            enum route_outcome outcome = find(target, "acme", &route);
            if (outcome != ROUTE_BAD_TARGET || !route.why || !route.why[0])
                fail_msg("%s: outcome %d", target, outcome);
        }
    }
}

static void refuses_targets_that_are_no_paths(void **state)
{
    static const char *const targets[] = {"",
                                          "*",
                                          "crm/people",
                                          "http://crm/people",
                                          "?",
                                          "?a=b",
                                          "%2fcrm",
                                          "\\crm",
                                          ".",
                                          "..",
                                          "//",
                                          "//crm/people",
                                          "/crm//",
                                          "/crm/people//",
                                          "/crm//people",
                                          "///",
                                          "/t//crm",
                                          "//t/acme/crm"};
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct route route;
        enum route_outcome outcome = find(targets[i], "acme", &route);
        if (outcome != ROUTE_BAD_TARGET || !route.why)
            fail_msg("%s: outcome %d", targets[i], outcome);
    }
}

static void refuses_bytes_that_no_query_has(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char target[] = "/crm/x?a=_";
        struct arena arena;
        struct route route;
        arena_init(&arena, storage, sizeof storage, 0);
        target[9] = (char)byte;
        enum route_outcome outcome = find_in(slice_of(target, 10), SLICE("a"), &arena, &route);
        bool bad = byte <= 0x20 || byte >= 0x7F || byte == '#';
        if (outcome != (bad ? ROUTE_BAD_TARGET : ROUTE_OK))
            fail_msg("byte %d: outcome %d", byte, outcome);
    }
}

/* Every byte, plain and escaped, against a second opinion written as a list. */
static void knows_every_byte_of_a_path(void **state)
{
    static const char unreserved[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        struct arena arena;
        struct route route;
        char plain[] = "/crm/x/a_b", escaped[32];
        arena_init(&arena, storage, sizeof storage, 0);
        plain[8] = (char)byte;
        enum route_outcome outcome = find_in(slice_of(plain, 10), SLICE("a"), &arena, &route);
        bool good = byte != 0 && (strchr(unreserved, byte) || strchr("!$&'()*+,;=:@/?", byte));
        assert_int_equal(outcome, good ? ROUTE_OK : ROUTE_BAD_TARGET);
        snprintf(escaped, sizeof escaped, "/crm/x/a%%%02xb", (unsigned)byte);
        outcome = find(escaped, "a", &route);
        good = byte >= 0x20 && byte < 0x7F && byte != '/' && byte != '\\';
        assert_int_equal(outcome, good ? ROUTE_OK : ROUTE_BAD_TARGET);
        if (good && strchr(unreserved, byte))
            assert_int_equal(route.path.len, strlen("/x/a_b"));
    }
}

static void finds_our_own_endpoints(void **state)
{
    static const struct {
        const char *target, *header;
        enum route_outcome outcome;
        const char *path, *entity, *id;
    } rows[] = {
        {"/link/token", "acme", ROUTE_LINK, "/token", "token", ""},
        {"/link/credentials/c%2D1?x", "acme", ROUTE_LINK, "/credentials/c-1", "credentials", "c-1"},
        {"/t/acme/link/credentials", NULL, ROUTE_LINK, "/credentials", "credentials", ""},
        {"/l%69nk", "acme", ROUTE_LINK, "", "", ""},
        {"/t/acme/events", NULL, ROUTE_EVENTS, "", "", ""},
        {"/events?x=1", "acme", ROUTE_EVENTS, "", "", ""},
        {"/t/acme/events/1", NULL, ROUTE_UNKNOWN_API, "", "", ""},
        {"/events/", "acme", ROUTE_UNKNOWN_API, "", "", ""},
        {"/linked", "acme", ROUTE_UNKNOWN_API, "", "", ""},
        {"/Link/token", "acme", ROUTE_UNKNOWN_API, "", "", ""},
        {"/link/token", NULL, ROUTE_TENANT_REQUIRED, "", "", ""},
        {"/events", NULL, ROUTE_TENANT_REQUIRED, "", "", ""},
        {"/link/token", "a b", ROUTE_BAD_TENANT, "", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct route route;
        enum route_outcome outcome = find(rows[i].target, rows[i].header, &route);
        if (outcome != rows[i].outcome || route.api != -1)
            fail_msg("%s: outcome %d, api %d", rows[i].target, outcome, route.api);
        if (outcome != ROUTE_LINK && outcome != ROUTE_EVENTS)
            continue;
        assert_text(rows[i].target, "path", route.path, rows[i].path);
        assert_text(rows[i].target, "entity", route.entity, rows[i].entity);
        assert_text(rows[i].target, "id", route.id, rows[i].id);
        assert_text(rows[i].target, "tenant", route.tenant, "acme");
    }
}

static void an_api_of_that_name_hides_our_endpoints(void **state)
{
    static const struct slice own[] = {{"link", 4}, {"events", 6}, {"t", 1}};
    static const char *const targets[] = {"/link/token", "/events", "/t/acme/link", "/t/acme/events/1"};
    struct http_field field = {SLICE("X-Tenant-Id"), SLICE("acme"), FIELD_X_TENANT_ID};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct http_request request = {.target = slice_from(targets[i]), .fields = {&field, 1}};
        struct arena arena;
        struct route route;
        arena_init(&arena, storage, sizeof storage, 0);
        assert_int_equal(route_find(&request, own, 3, &arena, &route), ROUTE_OK);
        assert_int_equal(route.api, i % 2);
        assert_int_equal(route.tenant_in_path, i >= 2);
    }
}

static void refuses_unknown_apis(void **state)
{
    static const char *const targets[] = {
        "/",           "/t",        "/t/acme",   "/t/acme/",       "/nope/people",
        "/CRM/people", "/cr/x",     "/crmx/x",   "/crm;x/people",  "/crm%3bx/people",
        "/t/acme/Crm", "/t/acme/t", "/crm%20/x", "/mortgagecrm/x", "/t/acme/t/acme/crm"};
    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct route route;
        enum route_outcome outcome = find(targets[i], "acme", &route);
        enum route_outcome want = strcmp(targets[i], "/t") == 0 ? ROUTE_BAD_TENANT : ROUTE_UNKNOWN_API;
        if (outcome != want || route.api != -1 || !route.why)
            fail_msg("%s: outcome %d", targets[i], outcome);
    }
    struct route route;
    assert_int_equal(find("/nope", NULL, &route), ROUTE_UNKNOWN_API);
    assert_int_equal(find("/crm/people", NULL, &route), ROUTE_TENANT_REQUIRED);
    assert_non_null(route.why);
}

static void long_entities_are_cut(void **state)
{
    char target[300] = "/crm/";
    struct route route;
    (void)state;
    memset(target + 5, 'a', 200);
    assert_int_equal(find(target, "a", &route), ROUTE_OK);
    assert_int_equal(route.entity.len, ROUTE_ENTITY_MAX);
    assert_int_equal(route.path.len, 201);
    target[5] = 'B';
    assert_int_equal(find(target, "a", &route), ROUTE_OK);
    assert_int_equal(route.entity.len, ROUTE_ENTITY_MAX);
    assert_int_equal(route.entity.ptr[0], 'b');
}

/* An arena with room for n allocations only: each of them is missed once. */
static void says_when_the_arena_is_full(void **state)
{
    static const char target[] = "/t/a%40b/crm/Smart%20Lists/a%3Ab";
    (void)state;
    enum route_outcome outcome = ROUTE_NOMEM;
    size_t failures = 0;
    for (size_t size = 0; size <= 1024 && outcome != ROUTE_OK; size += 16, failures++) {
        _Alignas(16) static char small[1024];
        struct arena arena;
        struct route route;
        arena_init(&arena, small, size, 0);
        outcome = find_in(slice_from(target), slice_of(NULL, 0), &arena, &route);
        assert_true(outcome == ROUTE_OK || outcome == ROUTE_NOMEM);
    }
    assert_int_equal(outcome, ROUTE_OK);
    assert_true(failures > 5);
}

/* What most requests look like takes nothing from the heap, and from the arena the lowered entity at most. */
static void plain_targets_need_no_memory(void **state)
{
    struct arena arena;
    struct route route;
    (void)state;
    arena_init(&arena, NULL, 0, 0);
    struct slice target = SLICE("/crm/people/0190-p1?x=%2F");
    assert_int_equal(find_in(target, SLICE("acme"), &arena, &route), ROUTE_OK);
    assert_ptr_equal(route.path.ptr, target.ptr + 4);
    target = SLICE("/t/acme/crm/people");
    assert_int_equal(find_in(target, slice_of(NULL, 0), &arena, &route), ROUTE_OK);
    assert_ptr_equal(route.tenant.ptr, target.ptr + 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_where_it_should),
        cmocka_unit_test(refuses_what_has_two_readings),
        cmocka_unit_test(refuses_targets_that_are_no_paths),
        cmocka_unit_test(refuses_bytes_that_no_query_has),
        cmocka_unit_test(knows_every_byte_of_a_path),
        cmocka_unit_test(finds_our_own_endpoints),
        cmocka_unit_test(an_api_of_that_name_hides_our_endpoints),
        cmocka_unit_test(refuses_unknown_apis),
        cmocka_unit_test(long_entities_are_cut),
        cmocka_unit_test(says_when_the_arena_is_full),
        cmocka_unit_test(plain_targets_need_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
