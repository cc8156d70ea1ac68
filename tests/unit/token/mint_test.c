#include "token/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/digest.h"

/* Computed with another implementation (Python's hmac and json). */
static const struct {
    const char *client_id, *secret, *tenant;
    int64_t iat, ttl;
    const char *token;
} vectors[] = {
    {"my-client", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "acme", 1700000000, 900,
     "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9."
     "eyJpc3MiOiJteS1jbGllbnQiLCJzdWIiOiJhY21lIiwiaWF0IjoxNzAwMDAwMDAwLCJleHAiOjE3MDAwMDA5MDB9."
     "O1mB1p-jMpG1miq1ynfbJYDi6NOJg8-KLE6PIHYn71Faue6ocKQewyKkxRLl1-do3RtHEZ5ZsnzX4n7RC_CbrA"},
    /* A key longer than the block of SHA-512 is hashed first (RFC 2104 2). */
    {"my-client",
     "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
     "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
     "a.b_c:d@e-F9", 1700000000, 3600,
     "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9."
     "eyJpc3MiOiJteS1jbGllbnQiLCJzdWIiOiJhLmJfYzpkQGUtRjkiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMzYwMH0."
     "MBkqMbg0du_cWgWT0QB0iI1u0NX8KsQnQZLvJW2OWEzA39yq9LQIO3oFfdYKBe5OJi-d5AT8eg3-l0HogdCVNw"},
    {"q\"\\c", "s", "x", 0, 1,
     "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9."
     "eyJpc3MiOiJxXCJcXGMiLCJzdWIiOiJ4IiwiaWF0IjowLCJleHAiOjF9."
     "lOIjueoKd883C_s4m3NzVxoQxbaW7hi4F6vjI9X6EuwOXuj6wj5ZR3yn_gJ-n2ceUB_YMMaEn7p0Qlfdi25cyQ"},
};

static void mints_what_others_mint(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct buf out;
        buf_init(&out, TOKEN_MAX);
        assert_int_equal(token_mint(slice_from(vectors[i].client_id), slice_from(vectors[i].secret),
                                    slice_from(vectors[i].tenant), vectors[i].iat, vectors[i].ttl, &out),
                         0);
        assert_int_equal(out.len, strlen(vectors[i].token));
        assert_memory_equal(out.ptr, vectors[i].token, out.len);
        buf_deinit(&out);
    }
}

/* A signer that was used before signs the same: the key is kept over the restart. */
static void the_ring_mints_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct token_options options = {slice_from(vectors[i].client_id), slice_from(vectors[i].secret),
                                        vectors[i].ttl, 1};
        struct token_ring *ring = token_ring_create(&options);
        assert_non_null(ring);
        for (int turn = 0; turn < 3; turn++) {
            struct buf out;
            buf_init(&out, TOKEN_MAX);
            assert_int_equal(token_get(ring, SLICE("other"), false, 5000, vectors[i].iat * 1000, &out), 0);
            buf_reset(&out);
            assert_int_equal(token_get(ring, slice_from(vectors[i].tenant), false, 5000,
                                       vectors[i].iat * 1000 + 999, &out),
                             0);
            assert_int_equal(out.len, strlen(vectors[i].token));
            assert_memory_equal(out.ptr, vectors[i].token, out.len);
            buf_deinit(&out);
        }
        token_ring_destroy(ring);
    }
}

static void refuses_what_it_cannot_say(void **state)
{
    char text[1024];
    memset(text, 'x', sizeof text);
    const struct {
        struct slice client_id, secret, tenant;
        int64_t iat, ttl;
        int rc;
    } rows[] = {
        {SLICE("c"), SLICE("s"), SLICE("t"), 0, 1, 0},
        {SLICE("c"), SLICE("s"), slice_of(text, 128), 1, 1, 0},
        {SLICE("c"), SLICE("s"), slice_of(text, 129), 1, 1, ERR_INVALID},
        {SLICE("c"), SLICE("s"), SLICE(""), 1, 1, ERR_INVALID},
        {SLICE(""), SLICE("s"), SLICE("t"), 1, 1, ERR_INVALID},
        {SLICE("c"), SLICE(""), SLICE("t"), 1, 1, ERR_INVALID},
        {SLICE("c"), SLICE("s"), SLICE("t"), -1, 1, ERR_INVALID},
        {SLICE("c"), SLICE("s"), SLICE("t"), 1, 0, ERR_INVALID},
        {SLICE("c"), SLICE("s"), SLICE("t"), 1, -1, ERR_INVALID},
        {SLICE("c"), SLICE("s"), SLICE("t"), 253402300799, 1, ERR_INVALID},
        {SLICE("c"), SLICE("s"), SLICE("t"), 253402300800, 1, ERR_INVALID},
        {SLICE("c"), SLICE("s"), SLICE("t"), 253402300798, 1, 0},
        {SLICE("c"), SLICE("s"), SLICE("t"), INT64_MAX, INT64_MAX, ERR_INVALID},
        {slice_of(text, 500), SLICE("s"), SLICE("t"), 1, 1, 0},
        {slice_of(text, 620), SLICE("s"), slice_of(text, 128), 1, 1, ERR_LIMIT},
        {slice_of(text, 1000), SLICE("s"), SLICE("t"), 1, 1, ERR_LIMIT},
        {slice_of(text, 1024), SLICE("s"), SLICE("t"), 1, 1, ERR_INVALID},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 2 * TOKEN_MAX);
        int rc =
            token_mint(rows[i].client_id, rows[i].secret, rows[i].tenant, rows[i].iat, rows[i].ttl, &out);
        if (rc != rows[i].rc)
            fail_msg("row %zu: %d", i, rc);
        assert_int_equal(out.len > 0, rc == 0);
        assert_true(out.len <= TOKEN_MAX);
        buf_deinit(&out);
    }
}

static void a_full_buffer_gets_nothing(void **state)
{
    char storage[220];
    struct buf out;
    (void)state;
    size_t need = strlen(vectors[0].token);
    for (size_t size = 0; size < sizeof storage; size++) {
        buf_init_fixed(&out, storage, size);
        int rc = token_mint(slice_from(vectors[0].client_id), slice_from(vectors[0].secret),
                            slice_from(vectors[0].tenant), vectors[0].iat, vectors[0].ttl, &out);
        assert_int_equal(rc, size < need ? ERR_LIMIT : 0);
        assert_int_equal(out.len, size < need ? 0 : need);
    }
}

/* Tenants have no such bytes; the writer does not rely on it. */
static void claims_are_escaped(void **state)
{
    struct buf out, json;
    struct token_claims claims;
    (void)state;
    buf_init(&out, TOKEN_MAX);
    buf_init(&json, TOKEN_MAX);
    assert_int_equal(token_mint(SLICE("c"), SLICE("s"), SLICE("a\",\"iss\":\"x\n"), 1, 9, &out), 0);
    struct slice head, rest, middle, tail;
    assert_true(slice_cut(buf_slice(&out), '.', &head, &rest));
    assert_true(slice_cut(rest, '.', &middle, &tail));
    assert_int_equal(digest_unbase64url(&json, middle), 0);
    assert_true(
        slice_equal(buf_slice(&json),
                    SLICE("{\"iss\":\"c\",\"sub\":\"a\\\",\\\"iss\\\":\\\"x\\n\",\"iat\":1,\"exp\":10}")));
    assert_int_equal(token_verify(buf_slice(&out), SLICE("c"), SLICE("s"), 2, &claims), TOKEN_GOOD);
    assert_string_equal(claims.sub, "a\",\"iss\":\"x\n");
    buf_deinit(&out);
    buf_deinit(&json);
}

static void short_secrets_are_told(void **state)
{
    char text[65] = {0};
    (void)state;
    assert_true(token_secret_is_short(SLICE("")));
    assert_true(token_secret_is_short(slice_of(text, 63)));
    assert_false(token_secret_is_short(slice_of(text, 64)));
    assert_false(token_secret_is_short(slice_of(text, 65)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mints_what_others_mint),     cmocka_unit_test(the_ring_mints_the_same),
        cmocka_unit_test(refuses_what_it_cannot_say), cmocka_unit_test(a_full_buffer_gets_nothing),
        cmocka_unit_test(claims_are_escaped),         cmocka_unit_test(short_secrets_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
