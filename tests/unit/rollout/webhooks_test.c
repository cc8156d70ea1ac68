#include "rollout/rollout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* "id event url active filtered;" for each. */
static bool on_webhook(const struct rollout_webhook *webhook, void *arg)
{
    return buf_append_format(arg, "%.*s %.*s %.*s%s%s;", SLICE_ARG(webhook->id), SLICE_ARG(webhook->event),
                             SLICE_ARG(webhook->url), webhook->active ? " active" : "",
                             webhook->filtered ? " filtered" : "") == 0;
}

static void on_one(const struct rollout_webhook *webhook, void *arg)
{
    on_webhook(webhook, arg);
}

static void lists(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int error;
        const char *want, *next;
    } rows[] = {
        {"{\"_metadata\":{\"collection\":\"webhooks\",\"next\":null,\"nextLink\":null},\"webhooks\":[]}", 0,
         "", ""},
        {"{\"_metadata\":{\"collection\":\"webhooks\",\"next\":\"a b\"},\"webhooks\":["
         "{\"id\":\"1\",\"event\":\"peopleUpdated\",\"url\":\"https://x/"
         "y\",\"status\":\"Active\",\"filters\":{}},"
         "{\"id\":2,\"event\":\"notesCreated\",\"url\":\"u\",\"status\":\"Disabled\",\"filters\":{\"a\":1}}]"
         "}",
         0, "1 peopleUpdated https://x/y active;2 notesCreated u filtered;", "limit=100&next=a%20b"},
        {"{\"_metadata\":{\"collection\":\"hooks\",\"nextLink\":\"https://r/api/webhooks?offset=1\"},"
         "\"hooks\":[{\"id\":\"1\",\"event\":\"e\",\"url\":\"u\",\"status\":\"active\",\"filters\":null}]}",
         0, "1 e u active;", "offset=1"},
        /* Nothing of it gets out of the request line. */
        {"{\"_metadata\":{\"nextLink\":\"https://r/w?a=1 HTTP/1.0\\r\\nX-A: b\"},\"webhooks\":[]}",
         ERR_SYNTAX, "", ""},
        {"{\"_metadata\":{\"nextLink\":\"https://r/w?a=1\\nb\"},\"webhooks\":[]}", ERR_SYNTAX, "", ""},
        {"{\"_metadata\":{\"nextLink\":\"https://r/w?a=\u00e9\"},\"webhooks\":[]}", ERR_SYNTAX, "", ""},
        {"{\"_metadata\":{\"offset\":1,\"total\":3},\"webhooks\":[{\"id\":\"1\",\"event\":\"e\"}]}", 0,
         "1 e ;", "limit=100&offset=2"},
        {"{\"_metadata\":{\"offset\":2,\"total\":3},\"webhooks\":[{\"id\":\"1\",\"event\":\"e\"}]}", 0,
         "1 e ;", ""},
        {"{\"_metadata\":{\"offset\":3,\"total\":9},\"webhooks\":[]}", 0, "", ""},
        {"{\"data\":[{\"id\":\"1\",\"event\":\"e\"}]}", 0, "1 e ;", ""},
        {"[{\"id\":\"1\",\"event\":\"e\"}]", 0, "1 e ;", ""},
        {"{\"webhooks\":[{\"event\":\"e\"}]}", ERR_LIMIT, "", ""},
        {"{\"webhooks\":[17]}", ERR_LIMIT, "", ""},
        {"{\"webhooks\":{}}", ERR_SYNTAX, "", ""},
        {"{}", ERR_SYNTAX, "", ""},
        {"<html>", ERR_SYNTAX, "", ""},
        {"", ERR_SYNTAX, "", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out, next;
        buf_init(&out, 4096);
        buf_init(&next, 4096);
        int error = rollout_webhooks_read(slice_from(rows[i].body), on_webhook, &out, &next);
        if (error != rows[i].error || (!error && (!slice_equal(buf_slice(&out), slice_from(rows[i].want)) ||
                                                  !slice_equal(buf_slice(&next), slice_from(rows[i].next)))))
            fail_msg("row %zu: %d \"%.*s\" \"%.*s\"", i, error, SLICE_ARG(buf_slice(&out)),
                     SLICE_ARG(buf_slice(&next)));
        buf_deinit(&out);
        buf_deinit(&next);
    }
}

static void a_next_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    char storage[16];
    struct buf out, next;
    buf_init(&out, 4096);
    buf_init_fixed(&next, storage, sizeof storage);
    assert_int_not_equal(
        rollout_webhooks_read(SLICE("{\"_metadata\":{\"next\":\"0123456789\"},\"webhooks\":[]}"), on_webhook,
                              &out, &next),
        0);
    buf_deinit(&out);
}

static void single_ones(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int error;
        const char *want;
    } rows[] = {
        {"{\"id\":\"1\",\"event\":\"e\",\"url\":\"u\",\"status\":\"Active\"}", 0, "1 e u active;"},
        {"[{\"id\":\"1\",\"event\":\"e\",\"url\":\"u\",\"status\":\"Active\"}]", 0, "1 e u active;"},
        {"{\"event\":\"e\"}", ERR_SYNTAX, ""},
        {"[]", ERR_SYNTAX, ""},
        {"", ERR_SYNTAX, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out;
        buf_init(&out, 4096);
        assert_int_equal(rollout_webhook_read(slice_from(rows[i].body), on_one, &out), rows[i].error);
        assert_true(slice_equal(buf_slice(&out), slice_from(rows[i].want)));
        buf_deinit(&out);
    }
}

static void requests(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 4096);
    assert_int_equal(rollout_webhooks_path(&out, SLICE("")), 0);
    buf_append_char(&out, ' ');
    assert_int_equal(rollout_webhooks_path(&out, SLICE("limit=100&next=x")), 0);
    buf_append_char(&out, ' ');
    assert_int_equal(rollout_webhook_path(&out, SLICE("a/b")), 0);
    buf_append_char(&out, ' ');
    assert_int_equal(rollout_webhook_body(&out, SLICE("https://x/\"y"), SLICE("e")), 0);
    assert_int_equal(rollout_webhook_body(&out, SLICE("u"), SLICE("")), 0);
    assert_true(
        slice_equal(buf_slice(&out), SLICE("/webhooks?limit=100 /webhooks?limit=100&next=x /webhooks/a%2Fb "
                                           "{\"url\":\"https://x/\\\"y\",\"event\":\"e\"}{\"url\":\"u\"}")));
    buf_deinit(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(a_next_that_does_not_fit_is_an_error),
        cmocka_unit_test(single_ones),
        cmocka_unit_test(requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
