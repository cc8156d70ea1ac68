/* Changes and what reads see of them, over a real store. */
#include "unit/credential/fixture.h"

/* Looks the tenant up and calls nothing else: the view stays open until done(). */
static size_t look_up(struct desk *desk, const char *tenant, struct credential_set *set)
{
    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_lookup(desk->view, slice_from(tenant), set), 0);
    return set->count;
}

static void done(struct desk *desk)
{
    store_view_end(desk->view);
}

static void expect_text(struct slice actual, const char *expected)
{
    if (!slice_equal(actual, slice_from(expected)))
        fail_msg("\"%.*s\", not \"%s\"", SLICE_ARG(actual), expected);
}

static int put_patch(struct desk *desk, const struct credential_patch *patch, int64_t now_ms)
{
    struct fault fault;
    assert_int_equal(credential_change_put(&desk->change, SLICE("acme"), SLICE("c-1"), patch, now_ms, &fault),
                     0);
    return store_apply(desk->store, &desk->change.change);
}

static void expect_full(const struct credential *credential)
{
    expect_text(credential->tenant, "acme");
    expect_text(credential->id, "c-1");
    expect_text(credential->app_key, "followupboss");
    expect_text(credential->label, "Acme's");
    assert_int_equal(credential->api_count, 2);
    expect_text(credential->apis[0], "crm");
    expect_text(credential->apis[1], "email");
    assert_true(credential->is_default);
    assert_int_equal(credential->status, CREDENTIAL_ACTIVE);
    assert_int_equal(credential->webhook_token.len, CREDENTIAL_TOKEN_LEN);
    for (size_t i = 0; i < credential->webhook_token.len; i++)
        assert_non_null(strchr("0123456789abcdef", credential->webhook_token.ptr[i]));
}

static void a_put_keeps_what_it_does_not_give(void **state)
{
    struct desk *desk = *state;
    static struct credential_set set;
    char token[CREDENTIAL_TOKEN_LEN];
    struct credential_patch patch = {.has_app_key = true,
                                     .app_key = SLICE("followupboss"),
                                     .has_label = true,
                                     .label = SLICE("Acme's"),
                                     .has_default = true,
                                     .is_default = true};
    patch_apis(&patch, "crm,email");
    assert_int_equal(put_patch(desk, &patch, -5), 0);
    assert_true(desk->change.created);
    expect_full(&desk->change.result);
    memcpy(token, desk->change.result.webhook_token.ptr, sizeof(token));

    assert_int_equal(put_patch(desk, &(struct credential_patch){0}, 7000000000000), 0);
    assert_false(desk->change.created);
    expect_full(&desk->change.result);

    desk_close(desk);
    desk_open(desk);
    assert_int_equal(look_up(desk, "acme", &set), 1);
    expect_full(&set.items[0]);
    assert_memory_equal(set.items[0].webhook_token.ptr, token, sizeof(token));
    assert_true(set.items[0].created_at == -5 && set.items[0].updated_at == 7000000000000);
    done(desk);

    patch = (struct credential_patch){.has_apis = true, .has_default = true, .has_label = true};
    assert_int_equal(put_patch(desk, &patch, 3), 0);
    assert_int_equal(desk->change.result.api_count, 0);
    assert_false(desk->change.result.is_default);
    expect_text(desk->change.result.label, "");
    expect_text(desk->change.result.app_key, "followupboss");
}

static void unknown_tenants_have_nothing(void **state)
{
    struct desk *desk = *state;
    static struct credential_set set;
    struct credential credential;
    assert_int_equal(look_up(desk, "nobody", &set), 0);
    assert_int_equal(credential_lookup(desk->view, SLICE(""), &set), 0);
    assert_int_equal(credential_find(desk->view, SLICE("nobody"), SLICE("c"), &credential), ERR_NOTFOUND);
    assert_int_equal(credential_by_token(desk->view, SLICE("short"), &credential), ERR_NOTFOUND);
    done(desk);
    assert_int_equal(desk_delete(desk, "nobody", "c"), ERR_NOTFOUND);
    assert_int_equal(desk_mark(desk, "nobody", "c", CREDENTIAL_GONE), ERR_NOTFOUND);
    assert_int_equal(desk_put(desk, "acme", "c-1", "crm", -1), 0);
    assert_int_equal(desk_delete(desk, "acme", "c-2"), ERR_NOTFOUND);
    assert_int_equal(desk_delete(desk, "ac/me", "c-1"), ERR_INVALID);
    assert_int_equal(desk_mark(desk, "acme", "c 1", CREDENTIAL_GONE), ERR_INVALID);
    assert_int_equal(desk_put(desk, "acme", "", "crm", -1), ERR_INVALID);
}

static void an_id_belongs_to_one_tenant(void **state)
{
    struct desk *desk = *state;
    static struct credential_set set;
    assert_int_equal(desk_put(desk, "acme", "c-1", "crm", -1), 0);
    assert_int_equal(desk_put(desk, "rival", "c-1", "crm", -1), ERR_EXISTS);
    assert_int_equal(look_up(desk, "rival", &set), 0);
    done(desk);
    assert_int_equal(desk_delete(desk, "rival", "c-1"), ERR_NOTFOUND);
    assert_int_equal(desk_delete(desk, "acme", "c-1"), 0);
    assert_int_equal(desk_put(desk, "rival", "c-1", "crm", -1), 0);
    assert_int_equal(look_up(desk, "rival", &set), 1);
    done(desk);
}

static void a_token_leads_to_its_credential_until_it_is_deleted(void **state)
{
    struct desk *desk = *state;
    struct credential credential;
    char token[CREDENTIAL_TOKEN_LEN], other[CREDENTIAL_TOKEN_LEN];
    assert_int_equal(desk_put(desk, "acme", "c-0", "crm", -1), 0);
    memcpy(other, desk->change.result.webhook_token.ptr, sizeof(other));
    assert_int_equal(desk_put(desk, "acme", "c-1", "crm", -1), 0);
    memcpy(token, desk->change.result.webhook_token.ptr, sizeof(token));
    assert_memory_not_equal(token, other, sizeof(token));
    assert_int_equal(desk_mark(desk, "acme", "c-1", CREDENTIAL_GONE), 0);

    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_by_token(desk->view, slice_of(token, sizeof(token)), &credential), 0);
    expect_text(credential.tenant, "acme");
    expect_text(credential.id, "c-1");
    assert_int_equal(credential.status, CREDENTIAL_GONE);
    done(desk);

    assert_int_equal(desk_delete(desk, "acme", "c-1"), 0);
    expect_text(desk->change.result.id, "c-1");
    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_by_token(desk->view, slice_of(token, sizeof(token)), &credential),
                     ERR_NOTFOUND);
    assert_int_equal(credential_by_token(desk->view, slice_of(other, sizeof(other)), &credential), 0);
    expect_text(credential.id, "c-0");
    done(desk);

    /* Created again, it gets another token: the old address stays dead. */
    assert_int_equal(desk_put(desk, "acme", "c-1", "crm", -1), 0);
    assert_memory_not_equal(desk->change.result.webhook_token.ptr, token, sizeof(token));
}

static void a_mark_says_gone_and_a_put_brings_back(void **state)
{
    struct desk *desk = *state;
    assert_int_equal(desk_put(desk, "acme", "c-1", "crm", 1), 0);
    assert_int_equal(desk_mark(desk, "acme", "c-1", CREDENTIAL_GONE), 0);
    assert_int_equal(desk->change.result.status, CREDENTIAL_GONE);
    assert_true(desk->change.result.updated_at == 2000);
    assert_true(desk->change.result.is_default);
    assert_int_equal(desk_put(desk, "acme", "c-1", NULL, -1), 0);
    assert_int_equal(desk->change.result.status, CREDENTIAL_ACTIVE);
    assert_int_equal(desk_mark(desk, "acme", "c-1", CREDENTIAL_ACTIVE), 0);
    assert_true(desk->change.result.updated_at == 1000); /* it was so already */
}

static void one_default_for_a_tenant_and_api(void **state)
{
    struct desk *desk = *state;
    static struct credential_set set;
    const struct {
        const char *id, *apis;
        int flag;
        const char *defaults; /* afterwards */
    } rows[] = {
        {"a", "crm", 1, "a"},  {"b", "tms", 1, "ab"}, {"c", "crm,los", -1, "ab"}, {"c", NULL, 1, "bc"},
        {"d", "", 0, "bc"},    {"d", NULL, 1, "d"},   {"a", "crm", 1, "a"},       {"b", NULL, 1, "ab"},
        {"b", "crm", -1, "b"}, {"b", NULL, 0, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char defaults[8] = "";
        assert_int_equal(desk_put(desk, "acme", rows[i].id, rows[i].apis, rows[i].flag), 0);
        look_up(desk, "acme", &set);
        for (size_t j = 0; j < set.count; j++)
            if (set.items[j].is_default)
                strncat(defaults, set.items[j].id.ptr, set.items[j].id.len);
        done(desk);
        if (strcmp(defaults, rows[i].defaults) != 0)
            fail_msg("row %zu: \"%s\", not \"%s\"", i, defaults, rows[i].defaults);
    }
}

static void a_tenant_has_at_most_64_of_the_longest(void **state)
{
    struct desk *desk = *state;
    static struct credential_set set;
    char tenant[CREDENTIAL_TENANT_MAX + 1], id[CREDENTIAL_ID_MAX + 1], text[CREDENTIAL_LABEL_MAX + 1];
    char apis[CREDENTIAL_API_MAX][CREDENTIAL_API_NAME_MAX + 1];
    memset(tenant, 't', sizeof(tenant));
    memset(text, 'x', sizeof(text));
    struct credential_patch patch = {.has_app_key = true,
                                     .app_key = slice_of(text, CREDENTIAL_APP_KEY_MAX),
                                     .has_label = true,
                                     .label = slice_of(text, CREDENTIAL_LABEL_MAX),
                                     .has_apis = true,
                                     .api_count = CREDENTIAL_API_MAX};
    for (int i = 0; i < CREDENTIAL_API_MAX; i++) {
        snprintf(apis[i], sizeof(apis[i]), "%032d", i);
        patch.apis[i] = slice_of(apis[i], CREDENTIAL_API_NAME_MAX);
    }
    for (int i = 0; i <= CREDENTIAL_MAX; i++) {
        snprintf(id, sizeof(id), "%0128d", i);
        assert_int_equal(credential_change_put(&desk->change, slice_of(tenant, CREDENTIAL_TENANT_MAX),
                                               slice_from(id), &patch, 1, NULL),
                         0);
        assert_int_equal(store_apply(desk->store, &desk->change.change), i < CREDENTIAL_MAX ? 0 : ERR_LIMIT);
    }
    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_lookup(desk->view, slice_of(tenant, CREDENTIAL_TENANT_MAX), &set), 0);
    assert_int_equal(set.count, CREDENTIAL_MAX);
    snprintf(id, sizeof(id), "%0128d", CREDENTIAL_MAX - 1);
    expect_text(set.items[CREDENTIAL_MAX - 1].id, id);
    expect_text(set.items[CREDENTIAL_MAX - 1].apis[CREDENTIAL_API_MAX - 1],
                "00000000000000000000000000000015");
    done(desk);
}

/* --- lists --- */

static void on_tenant(struct slice tenant, size_t count, void *arg)
{
    char *text = arg;
    size_t len = strlen(text);
    snprintf(text + len, 128 - len, "%.*s%zu ", SLICE_ARG(tenant), count);
}

static void tenants_are_listed_by_page(void **state)
{
    struct desk *desk = *state;
    const char *const tenants[] = {"a", "b-1", "b-2", "b-3", "c"};
    const struct {
        const char *prefix, *cursor;
        size_t limit;
        const char *seen, *next;
    } rows[] = {
        {"", "", 10, "a1 b-12 b-21 b-31 c1 ", ""},
        {"", "", 2, "a1 b-12 ", "b-1"},
        {"", "b-1", 2, "b-21 b-31 ", "b-3"},
        {"", "b-3", 2, "c1 ", ""},
        {"b", "", 3, "b-12 b-21 b-31 ", ""},
        {"b", "", 2, "b-12 b-21 ", "b-2"},
        {"b", "b-2", 2, "b-31 ", ""},
        {"b", "a", 2, "b-12 b-21 ", "b-2"},
        {"b", "c", 2, "", ""},
        {"x", "", 2, "", ""},
        {"", "b-22", 1, "b-31 ", "b-3"},
    };
    char id[16];
    for (size_t i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "id-%zu", i);
        assert_int_equal(desk_put(desk, tenants[i], id, "crm", -1), 0);
    }
    assert_int_equal(desk_put(desk, "b-1", "id-9", "crm", -1), 0);
    assert_int_equal(desk_put(desk, "b-0", "id-8", "crm", -1), 0);
    assert_int_equal(desk_delete(desk, "b-0", "id-8"), 0); /* the last one takes the tenant with it */
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char seen[128] = "";
        struct slice next;
        struct credential_page page = {slice_from(rows[i].prefix), slice_from(rows[i].cursor), rows[i].limit};
        assert_int_equal(store_view_begin(desk->view), 0);
        assert_int_equal(credential_list_tenants(desk->view, &page, on_tenant, seen, &next), 0);
        assert_string_equal(seen, rows[i].seen);
        expect_text(next, rows[i].next);
        done(desk);
    }
}

/* --- damage --- */

static int apply_spoil(struct store_change *change, struct store_txn *txn)
{
    (void)change;
    return store_txn_put(txn, CREDENTIAL_TABLE_TENANTS, SLICE("acme"), SLICE("\001\001cut short"));
}

static bool on_credential(const struct credential *credential, void *arg)
{
    strncat(arg, credential->id.ptr, credential->id.len);
    return true;
}

static void a_damaged_record_is_reported_and_can_be_removed(void **state)
{
    struct desk *desk = *state;
    static struct credential_set set;
    struct credential credential;
    char token[CREDENTIAL_TOKEN_LEN], seen[64] = "";
    size_t damaged = 0;
    assert_int_equal(desk_put(desk, "acme", "c-1", "crm", -1), 0);
    memcpy(token, desk->change.result.webhook_token.ptr, sizeof(token));
    assert_int_equal(desk_put(desk, "rival", "c-2", "crm", -1), 0);
    struct store_change spoil = {.apply = apply_spoil};
    assert_int_equal(store_apply(desk->store, &spoil), 0);

    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_lookup(desk->view, SLICE("acme"), &set), ERR_CORRUPT);
    assert_int_equal(set.count, 0);
    assert_int_equal(credential_by_token(desk->view, slice_of(token, sizeof(token)), &credential),
                     ERR_CORRUPT);
    assert_int_equal(credential_lookup(desk->view, SLICE("rival"), &set), 0);
    assert_int_equal(credential_each(desk->view, on_credential, seen, &damaged), 0);
    assert_string_equal(seen, "c-2");
    assert_int_equal(damaged, 1);
    done(desk);

    assert_int_equal(desk_put(desk, "acme", "c-1", "crm", -1), ERR_CORRUPT);
    assert_int_equal(desk_mark(desk, "acme", "c-1", CREDENTIAL_GONE), ERR_CORRUPT);
    assert_int_equal(desk_delete(desk, "acme", "c-1"), 0);
    assert_int_equal(desk_put(desk, "acme", "c-1", "crm", -1), 0);
    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_by_token(desk->view, slice_of(token, sizeof(token)), &credential),
                     ERR_NOTFOUND);
    assert_int_equal(credential_find(desk->view, SLICE("acme"), SLICE("c-1"), &credential), 0);
    done(desk);
}

static int apply_each_length(struct store_change *change, struct store_txn *txn)
{
    struct slice record;
    char copy[512];
    (void)change;
    int rc = store_txn_get(txn, CREDENTIAL_TABLE_TENANTS, SLICE("acme"), &record);
    if (rc)
        return rc;
    size_t whole = record.len;
    memcpy(copy, record.ptr, whole);
    copy[whole] = 0;
    for (size_t len = 0; rc == 0 && len <= whole + 1; len++) {
        char key[16];
        struct slice name = slice_of(key, (size_t)snprintf(key, sizeof(key), "cut-%03zu", len));
        rc = len == whole ? 0 : store_txn_put(txn, CREDENTIAL_TABLE_TENANTS, name, slice_of(copy, len));
    }
    return rc;
}

static void a_record_of_any_wrong_length_is_damaged(void **state)
{
    struct desk *desk = *state;
    char seen[64] = "";
    size_t damaged = 0;
    assert_int_equal(desk_put(desk, "acme", "c-1", "crm,tms", 1), 0);
    struct store_change change = {.apply = apply_each_length};
    assert_int_equal(store_apply(desk->store, &change), 0);
    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_each(desk->view, on_credential, seen, &damaged), 0);
    done(desk);
    assert_string_equal(seen, "c-1");
    assert_in_range(damaged, 90, 200);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, desk_set_up, desk_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_put_keeps_what_it_does_not_give),
        CASE(unknown_tenants_have_nothing),
        CASE(an_id_belongs_to_one_tenant),
        CASE(a_token_leads_to_its_credential_until_it_is_deleted),
        CASE(a_mark_says_gone_and_a_put_brings_back),
        CASE(one_default_for_a_tenant_and_api),
        CASE(a_tenant_has_at_most_64_of_the_longest),
        CASE(tenants_are_listed_by_page),
        CASE(a_damaged_record_is_reported_and_can_be_removed),
        CASE(a_record_of_any_wrong_length_is_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
