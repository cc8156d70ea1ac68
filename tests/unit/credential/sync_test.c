/* The mapping follows Rollout's list. */
#include "unit/credential/fixture.h"

static const struct slice apis[] = {{"crm", 3}, {"tms", 3}, {"los", 3}};

/* "id app_key api", the api "-" when it is not known. */
static struct credential_listed listed_of(const char *text)
{
    struct slice rest = slice_from(text), api;
    struct credential_listed listed = {0};
    slice_cut(rest, ' ', &listed.id, &rest);
    slice_cut(rest, ' ', &listed.app_key, &api);
    listed.known = !slice_equal(api, SLICE("-"));
    if (listed.known)
        listed.apis[listed.api_count++] = api;
    return listed;
}

enum { ROWS = 80 };

struct follow {
    const char *rows[4];
    bool no_list;
    int64_t started_ms, now_ms;
    struct credential_lesson lesson;
};

static struct credential_sync told;

static int follow(struct desk *desk, const char *tenant, const struct follow *f)
{
    static struct credential_listed listed[ROWS];
    memset(&told, 0, sizeof told);
    told.tenant = slice_from(tenant);
    told.listed = listed;
    while (told.listed_count < 4 && f->rows[told.listed_count]) {
        listed[told.listed_count] = listed_of(f->rows[told.listed_count]);
        told.listed_count++;
    }
    told.whole = !f->no_list;
    told.started_ms = f->started_ms;
    told.now_ms = f->now_ms;
    told.lesson = f->lesson;
    told.apis = apis;
    told.api_count = sizeof apis / sizeof *apis;
    credential_sync_prepare(&told);
    return store_apply(desk->store, &told.change);
}

/* "id status apis; …" of a tenant, in their order. */
static const char *shown(struct desk *desk, const char *tenant)
{
    static char text[1024];
    static struct credential_set set;
    struct buf out;
    buf_init_fixed(&out, text, sizeof text - 1);
    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_lookup(desk->view, slice_from(tenant), &set), 0);
    for (size_t i = 0; i < set.count; i++) {
        const struct credential *c = &set.items[i];
        buf_append_format(&out, "%.*s%s%s", SLICE_ARG(c->id), c->found ? "" : "(made)",
                          c->status == CREDENTIAL_GONE ? " gone" : "");
        for (size_t j = 0; j < c->api_count; j++)
            buf_append_format(&out, " %.*s", SLICE_ARG(c->apis[j]));
        buf_append_text(&out, ";");
    }
    store_view_end(desk->view);
    text[out.len] = '\0';
    return text;
}

static void put(struct desk *desk, const char *tenant, const char *id, int64_t now_ms)
{
    const struct credential_patch patch = {.has_apis = true, .apis = {{"crm", 3}}, .api_count = 1};
    assert_int_equal(
        credential_change_put(&desk->change, slice_from(tenant), slice_from(id), &patch, now_ms, NULL), 0);
    assert_int_equal(store_apply(desk->store, &desk->change.change), 0);
}

static void what_is_new_is_added_and_what_is_missing_goes(void **state)
{
    struct desk *desk = *state;
    struct credential found;
    assert_int_equal(follow(desk, "acme", &(struct follow){{"a lofty crm", "b x -"}, .now_ms = 10}), 0);
    assert_int_equal(told.added, 2);
    assert_string_equal(shown(desk, "acme"), "a crm;b;");
    assert_int_equal(follow(desk, "acme", &(struct follow){{"b x -"}, .started_ms = 20, .now_ms = 30}), 0);
    assert_int_equal(told.added + told.returned, 0);
    assert_int_equal(told.gone, 1);
    assert_true(slice_equal(told.gone_ids[0], SLICE("a")));
    assert_string_equal(shown(desk, "acme"), "a gone crm;b;");
    assert_int_equal(follow(desk, "acme", &(struct follow){{"a lofty tms"}, .started_ms = 40, .now_ms = 50}),
                     0);
    assert_int_equal(told.returned, 1);
    assert_string_equal(shown(desk, "acme"), "a tms;b gone;"); /* the connectors' word has changed */
    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_find(desk->view, SLICE("acme"), SLICE("a"), &found), 0);
    assert_int_equal(found.checked_at, 50);
    struct credential other;
    assert_int_equal(credential_by_token(desk->view, found.webhook_token, &other), 0);
    assert_true(slice_equal(other.id, SLICE("a")));
    store_view_end(desk->view);
}

static void an_empty_list_for_an_unknown_tenant_is_nothing(void **state)
{
    struct desk *desk = *state;
    assert_int_equal(follow(desk, "acme", &(struct follow){.now_ms = 10}), 0);
    assert_int_equal(follow(desk, "acme", &(struct follow){.no_list = true, .now_ms = 10}), 0);
    assert_string_equal(shown(desk, "acme"), "");
}

static void a_404_judges_only_what_was_found(void **state)
{
    struct desk *desk = *state;
    put(desk, "acme", "m", 5);
    assert_int_equal(follow(desk, "acme", &(struct follow){{"f lofty crm", "m lofty tms"}, .now_ms = 10}), 0);
    assert_string_equal(shown(desk, "acme"), "m(made) crm;f crm;"); /* an operator's word stands */
    assert_int_equal(follow(desk, "acme", &(struct follow){.no_list = true, .started_ms = 20, .now_ms = 30}),
                     0);
    assert_string_equal(shown(desk, "acme"), "m(made) crm;f gone crm;");
    assert_int_equal(follow(desk, "acme", &(struct follow){.started_ms = 40, .now_ms = 50}), 0);
    assert_string_equal(shown(desk, "acme"), "m(made) gone crm;f gone crm;");
}

static void what_changed_meanwhile_is_not_judged(void **state)
{
    struct desk *desk = *state;
    put(desk, "acme", "m", 25);
    assert_int_equal(follow(desk, "acme", &(struct follow){.started_ms = 20, .now_ms = 30}), 0);
    assert_string_equal(shown(desk, "acme"), "m(made) crm;");
}

static void another_tenants_stays_there(void **state)
{
    struct desk *desk = *state;
    put(desk, "globex", "g", 5);
    assert_int_equal(follow(desk, "acme", &(struct follow){{"g lofty crm", "a lofty crm"}, .now_ms = 10}), 0);
    assert_int_equal(told.foreign, 1);
    assert_string_equal(shown(desk, "acme"), "a crm;");
    assert_string_equal(shown(desk, "globex"), "g(made) crm;");
}

static void a_tenant_has_a_bounded_number(void **state)
{
    static char names[ROWS][16];
    static struct credential_listed listed[ROWS];
    struct desk *desk = *state;
    memset(&told, 0, sizeof told);
    for (int i = 0; i < ROWS; i++) {
        snprintf(names[i], sizeof names[i], "c%d", i);
        listed[i] = (struct credential_listed){.id = slice_from(names[i])};
    }
    told.tenant = SLICE("acme");
    told.listed = listed;
    told.listed_count = ROWS;
    told.whole = true;
    credential_sync_prepare(&told);
    assert_int_equal(store_apply(desk->store, &told.change), 0);
    assert_int_equal(told.added, CREDENTIAL_MAX);
    assert_int_equal(told.surplus, ROWS - CREDENTIAL_MAX);
}

static void lessons_are_about_unknown_systems_alone(void **state)
{
    struct desk *desk = *state;
    const struct credential_lesson not_crm = {SLICE("u"), SLICE("crm")}, not_tms = {SLICE("u"), SLICE("tms")},
                                   not_los = {SLICE("u"), SLICE("los")}, known = {SLICE("k"), SLICE("crm")},
                                   again = {SLICE(""), SLICE("crm")};
    struct follow f = {{"u x -", "k lofty crm"}, .now_ms = 10};
    const struct {
        struct credential_lesson lesson;
        const char *expected;
    } steps[] = {
        {{{NULL, 0}, {NULL, 0}}, "u;k crm;"}, {not_crm, "u tms los;k crm;"}, {not_crm, "u tms los;k crm;"},
        {known, "u tms los;k crm;"},          {not_tms, "u los;k crm;"},     {not_los, "u los;k crm;"},
        {again, "u los crm;k crm;"},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        f.lesson = steps[i].lesson;
        f.now_ms++;
        assert_int_equal(follow(desk, "acme", &f), 0);
        assert_string_equal(shown(desk, "acme"), steps[i].expected);
    }
}

static void an_operators_word_makes_it_the_operators(void **state)
{
    struct desk *desk = *state;
    assert_int_equal(follow(desk, "acme", &(struct follow){{"a x -"}, .now_ms = 10}), 0);
    put(desk, "acme", "a", 20);
    assert_string_equal(shown(desk, "acme"), "a(made) crm;");
    const struct credential_patch found = {
        .has_apis = true, .apis = {{"tms", 3}}, .api_count = 1, .found = true};
    assert_int_equal(credential_change_put(&desk->change, SLICE("acme"), SLICE("a"), &found, 30, NULL), 0);
    assert_int_equal(store_apply(desk->store, &desk->change.change), 0);
    assert_string_equal(shown(desk, "acme"), "a(made) crm;");
    assert_int_equal(desk->change.result.checked_at, 30);
}

static void where_rollout_is_silent_what_is_there_stays(void **state)
{
    struct desk *desk = *state;
    struct credential found;
    const struct credential_patch patch = {.has_app_key = true,
                                           .app_key = {"lofty", 5},
                                           .has_apis = true,
                                           .apis = {{"crm", 3}},
                                           .api_count = 1,
                                           .found = true};
    assert_int_equal(credential_change_put(&desk->change, SLICE("acme"), SLICE("a"), &patch, 5, NULL), 0);
    assert_int_equal(store_apply(desk->store, &desk->change.change), 0);
    assert_int_equal(follow(desk, "acme", &(struct follow){{"a  -"}, .started_ms = 10, .now_ms = 20}), 0);
    assert_string_equal(shown(desk, "acme"), "a crm;");
    const struct credential_patch mark = {.has_default = true, .is_default = true};
    assert_int_equal(credential_change_put(&desk->change, SLICE("acme"), SLICE("a"), &mark, 30, NULL), 0);
    assert_int_equal(store_apply(desk->store, &desk->change.change), 0);
    assert_string_equal(shown(desk, "acme"), "a crm;"); /* still what was found */
    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_find(desk->view, SLICE("acme"), SLICE("a"), &found), 0);
    assert_true(slice_equal(found.app_key, SLICE("lofty")));
    assert_true(found.is_default);
    store_view_end(desk->view);
}

/* As the version before wrote it: without the time of the last look. */
static int apply_age(struct store_change *change, struct store_txn *txn)
{
    enum { CHECKED_AT = 2 + 1 + 8 + 8 };
    struct slice record;
    char copy[512];
    (void)change;
    int rc = store_txn_get(txn, CREDENTIAL_TABLE_TENANTS, SLICE("acme"), &record);
    if (rc)
        return rc;
    memcpy(copy, record.ptr, CHECKED_AT);
    memcpy(copy + CHECKED_AT, record.ptr + CHECKED_AT + 8, record.len - CHECKED_AT - 8);
    copy[0] = 1;
    return store_txn_put(txn, CREDENTIAL_TABLE_TENANTS, SLICE("acme"), slice_of(copy, record.len - 8));
}

static void a_record_of_the_version_before_is_read(void **state)
{
    struct desk *desk = *state;
    struct store_change change = {.apply = apply_age};
    put(desk, "acme", "m", 5);
    assert_int_equal(store_apply(desk->store, &change), 0);
    assert_string_equal(shown(desk, "acme"), "m(made) crm;");
    assert_int_equal(follow(desk, "acme", &(struct follow){{"m lofty crm"}, .started_ms = 10, .now_ms = 20}),
                     0);
    assert_string_equal(shown(desk, "acme"), "m(made) crm;");
}

int main(void)
{
#define WITH_DESK(test) cmocka_unit_test_setup_teardown(test, desk_set_up, desk_tear_down)
    const struct CMUnitTest tests[] = {
        WITH_DESK(what_is_new_is_added_and_what_is_missing_goes),
        WITH_DESK(an_empty_list_for_an_unknown_tenant_is_nothing),
        WITH_DESK(a_404_judges_only_what_was_found),
        WITH_DESK(what_changed_meanwhile_is_not_judged),
        WITH_DESK(another_tenants_stays_there),
        WITH_DESK(a_tenant_has_a_bounded_number),
        WITH_DESK(lessons_are_about_unknown_systems_alone),
        WITH_DESK(an_operators_word_makes_it_the_operators),
        WITH_DESK(where_rollout_is_silent_what_is_there_stays),
        WITH_DESK(a_record_of_the_version_before_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
