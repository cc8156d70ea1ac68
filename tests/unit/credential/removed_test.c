/* What a removed credential leaves behind, until it is forgotten. */
#include "base/clock.h"
#include "unit/credential/fixture.h"

struct seen {
    size_t count;
    char text[512], key[CREDENTIAL_REMOVED_KEY];
};

static bool on_removed(const struct credential_removed *removed, void *arg)
{
    struct seen *seen = arg;
    seen->count++;
    snprintf(seen->text, sizeof seen->text, "%.*s %.*s %.*s %zu", SLICE_ARG(removed->tenant),
             SLICE_ARG(removed->id), SLICE_ARG(removed->apis), removed->token.len);
    memcpy(seen->key, removed->key.ptr, sizeof seen->key);
    return true;
}

static struct seen look(struct desk *desk)
{
    struct seen seen = {.count = 0};
    assert_int_equal(store_view_begin(desk->view), 0);
    assert_int_equal(credential_each_removed(desk->view, on_removed, &seen), 0);
    store_view_end(desk->view);
    return seen;
}

static void put(struct desk *desk, const char *id)
{
    struct fault fault;
    const struct credential_patch patch = {
        .has_apis = true, .apis = {SLICE("crm"), SLICE("email")}, .api_count = 2};
    assert_int_equal(credential_change_put(&desk->change, SLICE("acme"), slice_from(id), &patch, 5, &fault),
                     0);
    assert_int_equal(store_apply(desk->store, &desk->change.change), 0);
}

static int remove_one(struct desk *desk, const char *id)
{
    assert_int_equal(credential_change_delete(&desk->change, SLICE("acme"), slice_from(id)), 0);
    return store_apply(desk->store, &desk->change.change);
}

static void it_is_kept_until_it_is_forgotten(void **state)
{
    struct desk *desk = *state;
    struct credential_forget forget;
    put(desk, "c-1");
    assert_int_equal(look(desk).count, 0);
    assert_int_equal(remove_one(desk, "c-2"), ERR_NOTFOUND);
    assert_int_equal(look(desk).count, 0);
    assert_int_equal(remove_one(desk, "c-1"), 0);
    struct seen seen = look(desk);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.text, "acme c-1 crm,email 64");
    desk_close(desk);
    desk_open(desk);
    assert_int_equal(look(desk).count, 1);
    for (int i = 0; i < 2; i++) { /* the second time it is not there */
        credential_change_forget(&forget, slice_of(seen.key, sizeof seen.key));
        assert_int_equal(store_apply(desk->store, &forget.change), 0);
        assert_int_equal(look(desk).count, 0);
    }
}

/* One that was put and removed again and again leaves a record each time, for each had a token of its own. */
static void each_removal_counts(void **state)
{
    struct desk *desk = *state;
    for (int i = 0; i < 5; i++) {
        put(desk, "c-1");
        assert_int_equal(remove_one(desk, "c-1"), 0);
    }
    assert_int_equal(look(desk).count, 5);
}

static int put_old(struct store_change *change, struct store_txn *txn)
{
    char key[CREDENTIAL_REMOVED_KEY] = {0}; /* 1970 */
    (void)change;
    for (int i = 0; i < 3; i++) {
        key[15] = (char)i;
        int rc = store_txn_put(txn, CREDENTIAL_TABLE_REMOVED, slice_of(key, sizeof key), SLICE("a\nb\nc\n"));
        if (rc)
            return rc;
    }
    return 0;
}

static int count_records(struct desk *desk)
{
    struct slice value;
    char key[CREDENTIAL_REMOVED_KEY] = {0};
    int count = 0;
    assert_int_equal(store_view_begin(desk->view), 0);
    for (int i = 0; i < 3; i++) {
        key[15] = (char)i;
        count += store_get(desk->view, CREDENTIAL_TABLE_REMOVED, slice_of(key, sizeof key), &value) == 0;
    }
    store_view_end(desk->view);
    return count;
}

static void a_removal_forgets_what_is_old(void **state)
{
    struct desk *desk = *state;
    struct store_change old = {.apply = put_old};
    assert_int_equal(store_apply(desk->store, &old), 0);
    assert_int_equal(count_records(desk), 3);
    assert_int_equal(look(desk).count, 0); /* and what it is not is passed over */
    put(desk, "c-1");
    assert_int_equal(remove_one(desk, "c-1"), 0);
    assert_int_equal(count_records(desk), 0);
    assert_int_equal(look(desk).count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_set_up, desk_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(it_is_kept_until_it_is_forgotten),
        TEST(each_removal_counts),
        TEST(a_removal_forgets_what_is_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
