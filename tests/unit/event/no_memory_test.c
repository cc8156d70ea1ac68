#include "event/event.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/crypto.h>

/* The allocations of OpenSSL and jansson fail from the n-th on, for every n. */

static long left = -1; /* allocations that still succeed; negative: all */

static bool may_allocate(void)
{
    if (left == 0)
        return false;
    left -= left > 0;
    return true;
}

static void *on_json_malloc(size_t size)
{
    return may_allocate() ? malloc(size) : NULL;
}

static void *on_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return on_json_malloc(size);
}

static void *on_realloc(void *ptr, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return may_allocate() ? realloc(ptr, size) : NULL;
}

static void on_free(void *ptr, const char *file, int line)
{
    (void)file, (void)line;
    free(ptr);
}

static void nothing_verifies_by_failure(void **state)
{
    char storage[64];
    struct buf signature, again;
    bool good = false;
    long failures = 0;
    (void)state;
    buf_init_fixed(&signature, storage, sizeof storage);
    event_sign(EVENT_SIGNATURE_AUTO, SLICE("secret"), SLICE("body"), &signature);
    assert_int_equal(signature.len, 64);
    for (; !good; failures++) {
        left = failures;
        good = event_verify(EVENT_SIGNATURE_AUTO, SLICE("secret"), SLICE("body"), buf_slice(&signature));
        left = failures;
        bool other = event_verify(EVENT_SIGNATURE_AUTO, SLICE("other"), SLICE("body"), buf_slice(&signature));
        left = -1;
        assert_false(other);
    }
    assert_true(failures > 6);
    bool failed = true;
    for (long n = 0; failed; n++) {
        char text[64];
        buf_init_fixed(&again, text, sizeof text);
        left = n;
        event_sign(EVENT_SIGNATURE_AUTO, SLICE("secret"), SLICE("body"), &again);
        left = -1;
        failed = again.failed;
        assert_int_equal(again.len, failed ? 0 : 64);
    }
}

/* The signature that a failed computation would leave behind. */
static void zeros_never_verify(void **state)
{
    (void)state;
    for (long n = 0; n < 60; n++) {
        left = n;
        bool hex = event_verify(EVENT_SIGNATURE_AUTO, SLICE("secret"), SLICE("body"),
                                SLICE("0000000000000000000000000000000000000000000000000000000000000000"));
        left = n;
        bool base64 = event_verify(EVENT_SIGNATURE_AUTO, SLICE("secret"), SLICE("body"),
                                   SLICE("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        left = -1;
        assert_false(hex);
        assert_false(base64);
    }
}

static void parsing_fails_whole(void **state)
{
    struct event event;
    struct fault fault;
    int rc = ERR_SYNTAX;
    (void)state;
    for (long n = 0; rc != 0; n++) {
        left = n;
        rc = event_parse(&event,
                         SLICE("{\"eventId\":\"1\",\"event\":\"peopleUpdated\",\"resourceIds\":[\"a\",2]}"),
                         &fault);
        left = -1;
        assert_true(rc == 0 ? event.id_count == 2 : event.owned == NULL && event.ids == NULL);
    }
    event_deinit(&event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_verifies_by_failure),
        cmocka_unit_test(zeros_never_verify),
        cmocka_unit_test(parsing_fails_whole),
    };
    if (!CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free))
        return 1;
    json_set_alloc_funcs(on_json_malloc, free);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
