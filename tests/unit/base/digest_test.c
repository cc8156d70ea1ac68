#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Vectors of the SipHash paper and its reference: key 00..0f, input 00 01 02... */
static void siphash_matches_public_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t len;
        uint64_t hash;
    } rows[] = {
        {0, 0x726fdb47dd0e0e31}, {1, 0x74f839c593dc67fd}, {2, 0x0d6c8009d9a94f5a},  {3, 0x85676696d7fb7e2d},
        {7, 0xab0200f58b01d137}, {8, 0x93f5f5799a932462}, {15, 0xa129ca6149be45e5},
    };
    static const struct digest_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    unsigned char input[64 + 8];
    for (size_t shift = 0; shift < 8; shift++) { /* also unaligned */
        for (size_t i = 0; i < 64; i++)
            input[shift + i] = (unsigned char)i;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
            assert_true(digest64(&key, input + shift, rows[i].len) == rows[i].hash);
    }
    assert_true(digest64(&key, NULL, 0) == 0x726fdb47dd0e0e31);
}

static void process_key_is_made_once(void **state)
{
    (void)state;
    const struct digest_key *key = digest_process_key();
    struct digest_key copy = *key;
    assert_ptr_equal(digest_process_key(), key);
    assert_memory_equal(digest_process_key(), &copy, sizeof copy);
    assert_true(copy.k0 != 0 || copy.k1 != 0);
    /* The tables' hash: the same for the same bytes, another for others, the bytes' number included. */
    assert_true(digest_hash(SLICE("abc")) == digest_hash(SLICE("abc")));
    assert_true(digest_hash(SLICE("abc")) != digest_hash(SLICE("abd")));
    assert_true(digest_hash(SLICE("abcdefgh")) != digest_hash(SLICE("abcdefgh\0")));
    assert_true(digest_hash(SLICE("")) != digest_hash(SLICE("\0")));
    assert_true(digest_hash(SLICE("abc")) != digest64(key, "abc", 3)); /* fewer rounds */
}

/* Stored records depend on these values: they may never change. */
static void checksum_is_stable(void **state)
{
    (void)state;
    assert_true(digest_checksum("", 0) == 0xa0a8021081a6783d);
    assert_true(digest_checksum("rollout", 7) == 0x3f2615c3cf67c518);
}

typedef int coder(struct buf *out, struct slice text);

static int hex(struct buf *out, struct slice in)
{
    return digest_hex(out, in.ptr, in.len);
}
static int base64(struct buf *out, struct slice in)
{
    return digest_base64(out, in.ptr, in.len);
}
static int base64url(struct buf *out, struct slice in)
{
    return digest_base64url(out, in.ptr, in.len);
}

struct vector {
    coder *encode, *decode;
    struct slice bytes, text;
};

#define S(literal)                                                                                           \
    {                                                                                                        \
        (literal), sizeof(literal) - 1                                                                       \
    }

static void codes_both_ways(void **state)
{
    (void)state;
    static const struct vector rows[] = {
        {hex, digest_unhex, S(""), S("")},
        {hex, digest_unhex, S("\x00\x0f\xa0\xff"), S("000fa0ff")},
        {base64, digest_unbase64, S(""), S("")},
        {base64, digest_unbase64, S("f"), S("Zg==")},
        {base64, digest_unbase64, S("fo"), S("Zm8=")},
        {base64, digest_unbase64, S("foo"), S("Zm9v")},
        {base64, digest_unbase64, S("foob"), S("Zm9vYg==")},
        {base64, digest_unbase64, S("fooba"), S("Zm9vYmE=")},
        {base64, digest_unbase64, S("foobar"), S("Zm9vYmFy")},
        {base64, digest_unbase64, S("\xfb\xff\xbf"), S("+/+/")},
        {base64url, digest_unbase64url, S(""), S("")},
        {base64url, digest_unbase64url, S("f"), S("Zg")},
        {base64url, digest_unbase64url, S("fo"), S("Zm8")},
        {base64url, digest_unbase64url, S("foo"), S("Zm9v")},
        {base64url, digest_unbase64url, S("\xfb\xff\xbf"), S("-_-_")},
        {base64url, digest_unbase64url, S("{\"alg\":\"HS512\"}"), S("eyJhbGciOiJIUzUxMiJ9")},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char storage[64];
        struct buf out;
        /* Storage of exactly the size of the result: coders ask for no more. */
        buf_init_fixed(&out, storage, rows[i].text.len);
        assert_int_equal(rows[i].encode(&out, rows[i].bytes), 0);
        assert_true(slice_equal(buf_slice(&out), rows[i].text));
        buf_init_fixed(&out, storage, rows[i].bytes.len);
        assert_int_equal(rows[i].decode(&out, rows[i].text), 0);
        assert_true(slice_equal(buf_slice(&out), rows[i].bytes));
        if (rows[i].bytes.len == 0)
            continue;
        buf_init_fixed(&out, storage, rows[i].text.len - 1);
        assert_int_equal(rows[i].encode(&out, rows[i].bytes), ERR_LIMIT);
        buf_init_fixed(&out, storage, rows[i].bytes.len - 1);
        assert_int_equal(rows[i].decode(&out, rows[i].text), ERR_LIMIT);
        assert_int_equal(out.len, 0);
    }
}

static void every_length_comes_back(void **state)
{
    (void)state;
    static coder *const coders[][2] = {
        {hex, digest_unhex}, {base64, digest_unbase64}, {base64url, digest_unbase64url}};
    char bytes[70];
    struct buf text, back;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 37 + 11);
    buf_init(&text, 1000);
    buf_init(&back, 1000);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        for (size_t i = 0; i < 3; i++) {
            buf_reset(&text);
            buf_reset(&back);
            assert_int_equal(coders[i][0](&text, slice_of(bytes, len)), 0);
            assert_int_equal(coders[i][1](&back, buf_slice(&text)), 0);
            assert_true(slice_equal(buf_slice(&back), slice_of(bytes, len)));
        }
    }
    buf_deinit(&text);
    buf_deinit(&back);
}

static void refuses_what_is_not_the_alphabet(void **state)
{
    (void)state;
    static const struct {
        coder *decode;
        struct slice text;
    } rows[] = {
        {digest_unhex, S("a")},
        {digest_unhex, S("0g")},
        {digest_unhex, S("0x")},
        {digest_unhex, S(" 00")},
        {digest_unhex, S("0\0")},
        {digest_unbase64, S("Zg")},
        {digest_unbase64, S("Zg=")},
        {digest_unbase64, S("Zg===")},
        {digest_unbase64, S("=")},
        {digest_unbase64, S("====")},
        {digest_unbase64, S("Z===")},
        {digest_unbase64, S("Zm9v====")},
        {digest_unbase64, S("Zg==Zg==")},
        {digest_unbase64, S("Zm 9")},
        {digest_unbase64, S("Zm9\n")},
        {digest_unbase64, S("-_-_")},
        {digest_unbase64, S("Zh==")}, /* bits left over */
        {digest_unbase64, S("Zm9=")},
        {digest_unbase64, S("Zm\0v")},
        {digest_unbase64, S("Zm\xc3\xa4")},
        {digest_unbase64url, S("Zg==")},
        {digest_unbase64url, S("Zm8=")},
        {digest_unbase64url, S("+/+/")},
        {digest_unbase64url, S("Z")},
        {digest_unbase64url, S("Zm9vZ")},
        {digest_unbase64url, S("Zh")},
        {digest_unbase64url, S("Zm9")},
        {digest_unbase64url, S("Zm.v")},
    };
    char storage[64];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init_fixed(&out, storage, sizeof storage);
        buf_append_text(&out, "kept");
        assert_int_equal(rows[i].decode(&out, rows[i].text), ERR_SYNTAX);
        assert_true(slice_equal(buf_slice(&out), SLICE("kept")));
    }
}

static void hex_is_read_in_either_case(void **state)
{
    (void)state;
    char storage[8];
    struct buf out;
    buf_init_fixed(&out, storage, sizeof storage);
    assert_int_equal(digest_unhex(&out, SLICE("aBCdEf09")), 0);
    assert_true(slice_equal(buf_slice(&out), SLICE("\xab\xcd\xef\x09")));
}

static void wipes(void **state)
{
    (void)state;
    char secret[] = "#secret#";
    digest_wipe(secret + 1, 6);
    assert_memory_equal(secret, "#\0\0\0\0\0\0#", 8);
    digest_wipe(NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(siphash_matches_public_vectors),
        cmocka_unit_test(process_key_is_made_once),
        cmocka_unit_test(checksum_is_stable),
        cmocka_unit_test(codes_both_ways),
        cmocka_unit_test(every_length_comes_back),
        cmocka_unit_test(refuses_what_is_not_the_alphabet),
        cmocka_unit_test(hex_is_read_in_either_case),
        cmocka_unit_test(wipes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
