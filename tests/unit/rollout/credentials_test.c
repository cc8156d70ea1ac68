/* Rollout's list of accounts, as it comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rollout/rollout.h"

#define assert_slice(s, text) assert_true(slice_equal((s), slice_from(text)))

static int read_text(struct arena *arena, const char *text, struct rollout_accounts *out)
{
    return rollout_read_accounts(slice_from(text), arena, out);
}

static void a_list_is_read_without_its_secrets(void **state)
{
    struct rollout_accounts accounts;
    struct arena arena;
    (void)state;
    arena_init(&arena, NULL, 0, 65536);
    assert_int_equal(read_text(&arena,
                               "[{\"id\":\"a\",\"appKey\":\"lofty\",\"label\":\"Ada\",\"createdAt\":\"x\","
                               "\"data\":{\"accessToken\":\"secret\"}},{\"id\":\"b\",\"label\":null}]",
                               &accounts),
                     0);
    assert_int_equal(accounts.count, 2);
    assert_slice(accounts.at[0].id, "a");
    assert_slice(accounts.at[0].app_key, "lofty");
    assert_slice(accounts.at[0].label, "Ada");
    assert_slice(accounts.at[1].id, "b");
    assert_slice(accounts.at[1].app_key, "");
    assert_slice(accounts.at[1].label, "");
    assert_int_equal(read_text(&arena, "[]", &accounts), 0);
    assert_int_equal(accounts.count, 0);
    arena_reset(&arena);
}

static void half_a_list_is_none(void **state)
{
    static const char *const rows[] = {
        "",
        "{}",
        "null",
        "[{}]",
        "[{\"id\":\"\"}]",
        "[1]",
        "[\"a\"]",
        "[{\"id\":1}]",
        "[{\"id\":\"a\"}",
        "[{\"id\":\"a\"},{\"appKey\":\"lofty\"}]",
        "[[]]",
        "[] []",
        "[{\"id\":\"a\",\"id\":\"b\"}]",
    };
    struct rollout_accounts accounts;
    struct arena arena;
    (void)state;
    arena_init(&arena, NULL, 0, 65536);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (read_text(&arena, rows[i], &accounts) != ERR_SYNTAX || accounts.count != 0)
            fail_msg("%s", rows[i]);
    arena_reset(&arena);
}

static void a_list_is_bounded(void **state)
{
    struct rollout_accounts accounts;
    struct arena arena;
    struct buf text;
    (void)state;
    arena_init(&arena, NULL, 0, 1 << 20);
    buf_init(&text, 1 << 20);
    buf_append_text(&text, "[{\"id\":\"a\"}");
    for (int i = 1; i < ROLLOUT_ACCOUNTS_MAX; i++)
        buf_append_text(&text, ",{\"id\":\"a\"}");
    buf_append_text(&text, "]");
    assert_int_equal(rollout_read_accounts(buf_slice(&text), &arena, &accounts), 0);
    assert_int_equal(accounts.count, ROLLOUT_ACCOUNTS_MAX);
    text.len--;
    buf_append_text(&text, ",{\"id\":\"a\"}]");
    assert_int_equal(rollout_read_accounts(buf_slice(&text), &arena, &accounts), ERR_LIMIT);
    arena_reset(&arena);
    arena_init(&arena, NULL, 0, 64);
    assert_int_equal(read_text(&arena, "[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}]", &accounts),
                     ERR_NOMEM);
    arena_reset(&arena);
    buf_deinit(&text);
}

static void an_id_is_escaped_in_the_path(void **state)
{
    char storage[128];
    struct buf path;
    (void)state;
    buf_init_fixed(&path, storage, sizeof storage);
    assert_int_equal(rollout_disconnect_path(&path, SLICE("a&b=c:d~e/../")), 0);
    assert_slice(buf_slice(&path), "/credentials?credentialId=a%26b%3Dc%3Ad~e%2F..%2F");
    buf_init_fixed(&path, storage, 30);
    assert_int_equal(rollout_disconnect_path(&path, SLICE("far-too-long")), ERR_LIMIT);
}

static void the_shipped_table_is_whole(void **state)
{
    size_t count;
    const struct rollout_connector *all = rollout_connectors(&count);
    (void)state;
    assert_true(count >= 26);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(all[i].apis[0]);
        assert_null(all[i].apis[sizeof all->apis / sizeof *all->apis - 1]);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(all[i].app_key, all[j].app_key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_read_without_its_secrets),
        cmocka_unit_test(half_a_list_is_none),
        cmocka_unit_test(a_list_is_bounded),
        cmocka_unit_test(an_id_is_escaped_in_the_path),
        cmocka_unit_test(the_shipped_table_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
