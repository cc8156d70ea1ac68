#include "token/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/crypto.h>

/* OpenSSL's allocations fail from the n-th on, for every n: nothing is leaked, nothing half made is kept, and
 * what worked before works afterwards. */

static long left = -1; /* allocations that still succeed; negative: all */

static bool may_allocate(void)
{
    if (left == 0)
        return false;
    left -= left > 0;
    return true;
}

static void *on_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return may_allocate() ? malloc(size) : NULL;
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

static const struct token_options options = {{"client", 6}, {"secret", 6}, 900, 4};
static const struct token_options rotated = {{"client", 6}, {"rotated", 7}, 900, 4};

static void assert_good(struct buf *out, struct slice secret)
{
    struct token_claims claims;
    assert_int_equal(token_verify(buf_slice(out), SLICE("client"), secret, 1700000000, &claims), TOKEN_GOOD);
    buf_reset(out);
}

static int mint(struct buf *out)
{
    return token_mint(options.client_id, options.secret, SLICE("acme"), 1700000000, 900, out);
}

static void a_mint_fails_whole(void **state)
{
    struct buf out;
    int rc = ERR_NOMEM;
    long failures = 0;
    (void)state;
    buf_init(&out, TOKEN_MAX);
    assert_int_equal(mint(&out), 0);
    assert_good(&out, options.secret);
    for (; rc != 0; failures++) {
        left = failures;
        rc = mint(&out);
        left = -1;
        assert_true(rc == 0 || (rc == ERR_NOMEM && out.len == 0));
    }
    assert_true(failures > 3);
    assert_good(&out, options.secret);
    buf_deinit(&out);
}

static void a_verdict_is_never_good_by_failure(void **state)
{
    enum token_verdict verdict = TOKEN_SIGNATURE;
    struct token_claims claims;
    struct buf out;
    (void)state;
    buf_init(&out, TOKEN_MAX);
    assert_int_equal(mint(&out), 0);
    for (long n = 0; verdict != TOKEN_GOOD; n++) {
        left = n;
        verdict = token_verify(buf_slice(&out), SLICE("client"), options.secret, 1700000000, &claims);
        enum token_verdict other =
            token_verify(buf_slice(&out), SLICE("client"), SLICE("x"), 1700000000, &claims);
        left = -1;
        assert_true(verdict == TOKEN_GOOD || verdict == TOKEN_SIGNATURE);
        assert_int_equal(other, TOKEN_SIGNATURE);
    }
    buf_deinit(&out);
}

static void a_ring_stays_as_it_was(void **state)
{
    struct token_ring *ring = token_ring_create(&options);
    struct buf out;
    int rc = ERR_NOMEM;
    long failures = 0;
    (void)state;
    buf_init(&out, TOKEN_MAX);
    for (; rc != 0; failures++) {
        left = failures;
        rc = token_ring_configure(ring, &rotated);
        left = -1;
        assert_true(rc == 0 || rc == ERR_NOMEM);
        assert_int_equal(token_get(ring, SLICE("acme"), true, (uint64_t)failures * 2000, 1700000000000, &out),
                         0);
        assert_good(&out, rc == 0 ? rotated.secret : options.secret);
    }
    assert_true(failures > 100);
    for (long n = 0; n < 8; n++) {
        left = n;
        rc = token_get(ring, SLICE("other"), true, 9000000 + (uint64_t)n * 2000, 1700000000000, &out);
        left = -1;
        assert_true(rc == 0 || (rc == ERR_NOMEM && out.len == 0));
        buf_reset(&out);
        assert_int_equal(
            token_get(ring, SLICE("other"), true, 9001000 + (uint64_t)n * 2000, 1700000000000, &out), 0);
        assert_good(&out, rotated.secret);
    }
    token_ring_destroy(ring);
    buf_deinit(&out);
}

static void a_ring_is_made_whole_or_not(void **state)
{
    struct token_ring *ring = NULL;
    (void)state;
    for (long n = 0; !ring; n++) {
        left = n;
        ring = token_ring_create(&options);
        left = -1;
    }
    token_ring_destroy(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mint_fails_whole),
        cmocka_unit_test(a_verdict_is_never_good_by_failure),
        cmocka_unit_test(a_ring_stays_as_it_was),
        cmocka_unit_test(a_ring_is_made_whole_or_not),
    };
    if (!CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
