/* The stand-in as its users meet it: statuses and bodies as Rollout documents them, over real sockets. */
#include "unit/sandbox/fixture.h"

static char line[512], id[64];

static const char *person(struct fixture *f, size_t n)
{
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    snprintf(id, sizeof id, "%s", nth_id(f, "people", n));
    return id;
}

static const char *with(const char *method, const char *path, const char *tail)
{
    snprintf(line, sizeof line, "%s %s%s", method, path, tail);
    return line;
}

static void tokens_and_credentials_are_checked(void **state)
{
    static const struct {
        const char *tenant, *credential, *token, *path;
        int status;
    } rows[] = {
        {"acme", ACME, NULL, "/crm/api/people", 200},
        {"acme", ACME, "x.y.z", "/crm/api/people", 401},
        {"acme", ACME, "", "/crm/api/people", 401},
        {"acme", NULL, NULL, "/crm/api/people", 403},
        {"acme", "unknown", NULL, "/crm/api/people", 403},
        {"acme", GLOBEX, NULL, "/crm/api/people", 403},
        {"globex", ACME, NULL, "/crm/api/people", 403},
        {"globex", GLOBEX_LOFTY, NULL, "/crm/api/people", 200},
        {"acme", ACME_MAIL, NULL, "/crm/api/people", 403}, /* not for that API */
        {"acme", ACME_MAIL, NULL, "/calendar/api/calendars", 200},
        {"acme", ACME_MAIL, NULL, "/email/api/email-threads", 200},
        {"initech", INITECH_TMS, NULL, "/tms/api/transactions", 200},
        {"initech", INITECH_LOS, NULL, "/los/api/loans", 200},
        {"acme", NULL, NULL, "/core/api/credentials", 200},
        {"acme", ACME, NULL, "/crm/api/nothing", 404},
        {"acme", ACME, NULL, "/crm/people", 404},
        {"acme", ACME, NULL, "/else/api/people", 404},
        {"acme", ACME, NULL, "/", 404},
    };
    struct fixture *f = fixture_open();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        f->tenant = rows[i].tenant;
        f->credential = rows[i].credential;
        f->token = rows[i].token;
        if (ask(f, with("GET", rows[i].path, ""), "") != rows[i].status)
            fail_msg("row %zu: %d", i, f->status);
        if (rows[i].status != 200)
            assert_true(*text_of(f, "errorMessage") != '\0');
    }
    fixture_close(f);
}

static void lists_come_in_pages(void **state)
{
    struct fixture *f = fixture_open();
    unsigned pages = 0, seen = 0;
    char path[256] = "/crm/api/people?limit=7&unknown=1";
    (void)state;
    while (*path) {
        assert_int_equal(ask(f, with("GET", path, ""), ""), 200);
        const json_t *meta = json_object_get(f->json, "_metadata");
        assert_int_equal(json_object_size(f->json), 2);
        assert_int_equal(json_object_size(meta), 6);
        assert_string_equal(json_string_value(json_object_get(meta, "collection")), "people");
        assert_int_equal(number_of(f, "_metadata", "offset"), seen);
        assert_int_equal(number_of(f, "_metadata", "limit"), 7);
        assert_int_equal(number_of(f, "_metadata", "total"), 30);
        seen += (unsigned)json_array_size(json_object_get(f->json, "people"));
        pages++;
        const char *link = json_string_value(json_object_get(meta, "nextLink"));
        const char *next = json_string_value(json_object_get(meta, "next"));
        assert_int_equal(link == NULL, next == NULL);
        snprintf(path, sizeof path, "%s", link ? link + strlen("http://rollout.test:99") : "");
        if (link) {
            char expected[256];
            snprintf(expected, sizeof expected,
                     "http://rollout.test:99/crm/api/people?limit=7&unknown=1&next=%s", next);
            assert_string_equal(link, expected);
        }
    }
    assert_int_equal(pages, 5);
    assert_int_equal(seen, 30);
    fixture_close(f);
}

static void pages_have_bounds(void **state)
{
    static const struct {
        const char *query;
        int status;
        size_t shown;
        long long limit, offset;
    } rows[] = {
        {"", 200, 30, 50, 0},
        {"?limit=1000", 200, 30, 100, 0},
        {"?limit=0", 422, 0, 0, 0},
        {"?limit=x", 422, 0, 0, 0},
        {"?limit=-1", 422, 0, 0, 0},
        {"?offset=28", 200, 2, 50, 28},
        {"?offset=30", 200, 0, 50, 30},
        {"?offset=99999999", 200, 0, 50, 1000000},
        {"?next=nonsense", 400, 0, 0, 0},
        {"?next=", 200, 30, 50, 0},
        {"?email=ada.1@acme.example&limit=5", 200, 1, 5, 0},
        {"?tags=VIP&limit=5&offset=5", 200, 2, 5, 5},
    };
    struct fixture *f = fixture_open();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (ask(f, with("GET", "/crm/api/people", rows[i].query), "") != rows[i].status)
            fail_msg("%s: %d", rows[i].query, f->status);
        if (rows[i].status != 200)
            continue;
        if (json_array_size(json_object_get(f->json, "people")) != rows[i].shown)
            fail_msg("%s", rows[i].query);
        assert_int_equal(number_of(f, "_metadata", "limit"), rows[i].limit);
        assert_int_equal(number_of(f, "_metadata", "offset"), rows[i].offset);
    }
    fixture_close(f);
}

static void a_record_lives_and_dies(void **state)
{
    struct fixture *f = fixture_open();
    char path[128];
    (void)state;
    assert_int_equal(ask(f, "POST /crm/api/people", "{\"firstName\":\"Zoe\"}"), 422);
    const json_t *error = json_array_get(json_object_get(f->json, "errors"), 0);
    assert_string_equal(json_string_value(json_object_get(error, "path")), "/lastName");
    assert_non_null(json_object_get(error, "message"));
    assert_int_equal(ask(f, "POST /crm/api/people", "{\"firstName\""), 400);
    assert_true(*text_of(f, "errorMessage") != '\0');
    assert_int_equal(ask(f, "POST /crm/api/people", "[]"), 422);
    assert_int_equal(ask(f, "POST /crm/api/people",
                         "{\"firstName\":\"Zoe\",\"lastName\":\"Z\",\"id\":\"mine\",\"tags\":[\"A\"]}"),
                     201);
    assert_string_equal(text_of(f, "name"), "Zoe Z");
    assert_string_not_equal(text_of(f, "id"), "mine");
    assert_string_equal(text_of(f, "created"), text_of(f, "rolloutUpdated"));
    snprintf(path, sizeof path, "/crm/api/people/%s", text_of(f, "id"));
    assert_int_equal(ask(f, with("GET", path, ""), ""), 200);
    assert_string_equal(text_of(f, "firstName"), "Zoe");
    assert_int_equal(ask(f, with("PUT", path, ""), "{\"lastName\":\"Y\",\"tags\":[\"B\"]}"), 200);
    assert_string_equal(text_of(f, "name"), "Zoe Y");
    assert_int_equal(json_array_size(json_object_get(f->json, "tags")), 1);
    assert_int_equal(ask(f, with("PUT", path, "?mergeTags=true"), "{\"tags\":[\"C\",\"B\"]}"), 200);
    assert_int_equal(json_array_size(json_object_get(f->json, "tags")), 2);
    assert_int_equal(ask(f, with("PUT", path, ""), "{\"tags\":1}"), 422);
    assert_int_equal(ask(f, with("PATCH", path, ""), "{}"), 404);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_int_equal(number_of(f, "_metadata", "total"), 31);
    assert_int_equal(ask(f, with("DELETE", path, ""), ""), 200);
    assert_true(json_is_array(f->json) && json_array_size(f->json) == 0);
    assert_int_equal(ask(f, with("GET", path, ""), ""), 404);
    assert_string_equal(text_of(f, "errorMessage"), "Requested resource was not found.");
    assert_int_equal(ask(f, with("DELETE", path, ""), ""), 404);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_int_equal(number_of(f, "_metadata", "total"), 30);
    fixture_close(f);
}

static void methods_are_those_of_the_table(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(ask(f, "GET /crm/api/emailMessages", ""), 200);
    snprintf(id, sizeof id, "%s", nth_id(f, "emailmessages", 0));
    assert_int_equal(ask(f, with("GET", "/crm/api/emailMessages/", id), ""), 200);
    assert_int_equal(ask(f, with("PUT", "/crm/api/emailMessages/", id), "{}"), 404);
    assert_int_equal(ask(f, with("DELETE", "/crm/api/emailMessages/", id), ""), 404);
    assert_int_equal(ask(f, "POST /crm/api/users",
                         "{\"email\":\"a\",\"firstName\":\"a\",\"lastName\":\"b\",\"phone\":\"1\",\"role\":"
                         "\"r\",\"status\":\"s\","
                         "\"username\":\"u\",\"type\":\"t\",\"address\":{}}"),
                     201);
    assert_true(json_is_array(f->json) && json_array_size(f->json) == 1);
    assert_int_equal(ask(f, "POST /crm/api/teams", "{\"name\":\"secret\"}"), 201);
    assert_null(json_object_get(f->json, "name"));
    fixture_close(f);
}

static void odd_paths_do_as_documented(void **state)
{
    struct fixture *f = fixture_open();
    char path[160], list[64];
    (void)state;
    person(f, 0);
    snprintf(path, sizeof path, "/crm/api/people/%s", id);
    assert_int_equal(ask(f, with("POST", path, "/tags/apply"), "{\"tags\":[\"New\",\"Acme\"]}"), 200);
    assert_int_equal(json_array_size(f->json), 3);
    assert_int_equal(ask(f, with("POST", path, "/tags/delete"), "{\"tags\":[\"Acme\"]}"), 200);
    assert_int_equal(json_array_size(f->json), 2);
    assert_int_equal(ask(f, with("POST", path, "/tags/apply"), "{}"), 422);
    assert_int_equal(ask(f, with("POST", path, "/tags/apply"), "{\"tags\":[1]}"), 422);
    assert_int_equal(ask(f, "POST /crm/api/people/none/tags/apply", "{\"tags\":[]}"), 404);
    assert_int_equal(ask(f, with("GET", path, ""), ""), 200);
    assert_int_equal(json_array_size(json_object_get(f->json, "tags")), 2);
    assert_int_equal(ask(f, "GET /crm/api/lists", ""), 200);
    snprintf(list, sizeof list, "%s", nth_id(f, "lists", 1));
    snprintf(path, sizeof path, "/crm/api/lists/%s/people", list);
    assert_int_equal(ask(f, with("POST", path, ""), "{\"personIds\":[\"x\",\"y\"]}"), 200);
    assert_int_equal(json_array_size(f->json), 3);
    assert_int_equal(ask(f, with("DELETE", path, ""), "{\"personIds\":[\"x\"]}"), 200);
    assert_int_equal(json_array_size(f->json), 2);
    assert_int_equal(ask(f, "GET /crm/api/metadata/transactions/create?transactionType=listing", ""), 200);
    assert_true(json_is_array(f->json));
    assert_int_equal(ask(f, "GET /crm/api/metadata/transactions/create?transactionType=x", ""), 422);
    fixture_close(f);
}

static void creating_changes_others(void **state)
{
    struct fixture *f = fixture_open();
    char body[256], path[128];
    (void)state;
    person(f, 2);
    snprintf(body, sizeof body, "{\"personId\":\"%s\",\"phone\":\"1\",\"isIncoming\":true}", id);
    assert_int_equal(ask(f, "POST /crm/api/calls", body), 201);
    assert_int_equal(ask(f, with("GET", "/crm/api/people/", id), ""), 200);
    assert_string_equal(text_of(f, "lastActivityType"), "calls");
    f->tenant = "initech";
    f->credential = INITECH_LOS;
    assert_int_equal(ask(f, "POST /los/api/loans",
                         "{\"amount\":1,\"borrowers\":[{\"firstName\":\"Bo\"},{\"firstName\":\"Di\"}]}"),
                     201);
    const json_t *ids = json_object_get(f->json, "borrowerParticipantIds");
    assert_int_equal(json_array_size(ids), 2);
    assert_null(json_object_get(f->json, "borrowers"));
    snprintf(path, sizeof path, "/los/api/borrowers/%s", json_string_value(json_array_get(ids, 1)));
    assert_int_equal(ask(f, with("GET", path, ""), ""), 200);
    assert_string_equal(text_of(f, "firstName"), "Di");
    fixture_close(f);
}

static void core_lists_what_belongs_to_the_subject(void **state)
{
    struct fixture *f = fixture_open();
    char path[160];
    (void)state;
    f->credential = NULL;
    assert_int_equal(ask(f, "GET /core/api/credentials", ""), 200);
    assert_int_equal(json_array_size(f->json), 2);
    assert_null(json_object_get(json_array_get(f->json, 0), "data"));
    assert_null(json_object_get(json_array_get(f->json, 0), "profile"));
    assert_int_equal(
        ask(f, "GET /core/api/credentials?appKey=follow-up-boss&includeData=true&includeProfile=true", ""),
        200);
    assert_int_equal(json_array_size(f->json), 1);
    assert_non_null(strstr(f->raw, "sandbox-secret-access-Acme"));
    assert_non_null(json_object_get(json_array_get(f->json, 0), "profile"));
    f->tenant = "umbrella";
    assert_int_equal(ask(f, "GET /core/api/credentials", ""), 200);
    assert_int_equal(json_array_size(f->json), 0);
    assert_int_equal(ask(f, "DELETE /core/api/credentials?credentialId=" ACME, ""), 404);
    assert_non_null(json_object_get(json_array_get(json_object_get(f->json, "errors"), 0), "message"));
    assert_int_equal(ask(f, "POST /core/api/credentials", "{\"appKey\":\"none\"}"), 400);
    assert_int_equal(knob(f, "{\"first_sync_ms\":60000}"), 200);
    assert_int_equal(ask(f, "POST /core/api/credentials", "{\"appKey\":\"hubspot\"}"), 200);
    snprintf(id, sizeof id, "%s", text_of(f, "id"));
    f->credential = id;
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 409);
    assert_string_equal(text_of(f, "errorMessage"),
                        "Data for this credential is not ready yet. Please try again.");
    snprintf(path, sizeof path, "/core/api/credentials/%s", id);
    assert_int_equal(ask(f, with("PUT", path, ""), "{\"entitiesToSync\":{\"calls\":true}}"), 200);
    assert_int_equal(ask(f, with("PUT", path, ""), "{}"), 400);
    snprintf(path, sizeof path, "/core/api/credentials?credentialId=%s", id);
    assert_int_equal(ask(f, with("DELETE", path, ""), ""), 200);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 403);
    assert_int_equal(ask(f, "GET /core/api/connectors", ""), 200);
    assert_non_null(json_object_get(f->json, "lofty"));
    assert_int_equal(ask(f, "POST /core/api/oauth/authorize-url", "{\"appKey\":\"hubspot\"}"), 200);
    assert_true(*text_of(f, "requestId") != '\0');
    fixture_close(f);
}

#ifdef TEST_CLOCK
static void writes_are_seen_later(void **state)
{
    struct fixture *f = fixture_open();
    char path[128], made[128];
    (void)state;
    person(f, 3);
    snprintf(path, sizeof path, "/crm/api/people/%s", id);
    assert_int_equal(knob(f, "{\"lag_ms\":5000}"), 200);
    assert_int_equal(ask(f, with("PUT", path, ""), "{\"stage\":\"One\"}"), 200);
    assert_string_equal(text_of(f, "stage"), "One");
    assert_int_equal(knob(f, "{\"lag_ms\":0}"), 200);
    /* Behind the first in the order in which they are seen. */
    assert_int_equal(ask(f, with("PUT", path, ""), "{\"jobTitle\":\"Two\"}"), 200);
    assert_int_equal(knob(f, "{\"lag_ms\":5000}"), 200);
    assert_int_equal(ask(f, "POST /crm/api/people", "{\"firstName\":\"N\",\"lastName\":\"N\"}"), 201);
    snprintf(made, sizeof made, "/crm/api/people/%s", text_of(f, "id"));
    assert_int_equal(ask(f, with("GET", made, ""), ""), 404);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_int_equal(number_of(f, "_metadata", "total"), 30);
    assert_int_equal(ask(f, with("GET", path, ""), ""), 200);
    assert_string_not_equal(text_of(f, "stage"), "One");
    clock_jump(5001);
    settle(f);
    assert_int_equal(ask(f, with("GET", made, ""), ""), 200);
    assert_int_equal(ask(f, with("GET", path, ""), ""), 200);
    assert_string_equal(text_of(f, "stage"), "One");
    assert_string_equal(text_of(f, "jobTitle"), "Two");
    assert_int_equal(ask(f, with("DELETE", path, ""), ""), 200);
    assert_int_equal(ask(f, with("GET", path, ""), ""), 200);
    assert_int_equal(ask(f, with("PUT", path, ""), "{}"), 404); /* the system behind knows better */
    clock_jump(5001);
    settle(f);
    assert_int_equal(ask(f, with("GET", path, ""), ""), 404);
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_int_equal(number_of(f, "_metadata", "total"), 30);
    /* What is on its way when all ends must not be lost track of. */
    assert_int_equal(ask(f, "POST /crm/api/people", "{\"firstName\":\"N\",\"lastName\":\"N\"}"), 201);
    fixture_close(f);
}
#endif

#ifdef TEST_CLOCK
static void a_credential_leaves_others_alone(void **state)
{
    struct fixture *f = fixture_open();
    char path[128];
    (void)state;
    person(f, 0);
    snprintf(path, sizeof path, "/crm/api/people/%s", id);
    assert_int_equal(knob(f, "{\"lag_ms\":5000,\"first_sync_ms\":0}"), 200);
    assert_int_equal(ask(f, with("PUT", path, ""), "{\"stage\":\"Kept\"}"), 200);
    f->tenant = "umbrella";
    f->credential = NULL;
    assert_int_equal(ask(f, "POST /core/api/credentials", "{\"appKey\":\"lofty\"}"), 200);
    snprintf(id, sizeof id, "%s", text_of(f, "id"));
    f->credential = id;
    assert_int_equal(ask(f, "POST /crm/api/people", "{\"firstName\":\"N\",\"lastName\":\"N\"}"), 201);
    snprintf(line, sizeof line, "DELETE /core/api/credentials?credentialId=%s", id);
    assert_int_equal(ask(f, line, ""), 200);
    clock_jump(5001);
    settle(f);
    f->tenant = "acme";
    f->credential = ACME;
    assert_int_equal(ask(f, with("GET", path, ""), ""), 200);
    assert_string_equal(text_of(f, "stage"), "Kept");
    fixture_close(f);
}
#endif

static void tenants_see_their_own(void **state)
{
    struct fixture *f = fixture_open();
    (void)state;
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_null(strstr(f->raw, "Globex"));
    snprintf(id, sizeof id, "%s", nth_id(f, "people", 0));
    f->tenant = "globex";
    f->credential = GLOBEX;
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_null(strstr(f->raw, "Acme"));
    assert_null(strstr(f->raw, "Lofty"));
    assert_int_equal(ask(f, with("GET", "/crm/api/people/", id), ""), 404);
    f->credential = GLOBEX_LOFTY;
    assert_int_equal(ask(f, "GET /crm/api/people", ""), 200);
    assert_non_null(strstr(f->raw, "Globex-Lofty-1"));
    fixture_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_and_credentials_are_checked),
        cmocka_unit_test(lists_come_in_pages),
        cmocka_unit_test(pages_have_bounds),
        cmocka_unit_test(a_record_lives_and_dies),
        cmocka_unit_test(methods_are_those_of_the_table),
        cmocka_unit_test(odd_paths_do_as_documented),
        cmocka_unit_test(creating_changes_others),
        cmocka_unit_test(core_lists_what_belongs_to_the_subject),
#ifdef TEST_CLOCK
        cmocka_unit_test(writes_are_seen_later),
        cmocka_unit_test(a_credential_leaves_others_alone),
#endif
        cmocka_unit_test(tenants_see_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
