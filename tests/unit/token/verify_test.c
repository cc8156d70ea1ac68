#include "token/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/digest.h"

enum { NOW = 1700000000 };

static const char header[] = "{\"alg\":\"HS512\",\"typ\":\"JWT\"}";
static const char claims[] = "{\"iss\":\"c\",\"sub\":\"acme\",\"iat\":1700000000,\"exp\":1700000900}";

/* A token signed rightly over any header and claims. */
static void sign(struct buf *out, const char *head, const char *body)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    digest_base64url(out, head, strlen(head));
    buf_append_char(out, '.');
    digest_base64url(out, body, strlen(body));
    HMAC(EVP_sha512(), "secret", 6, (const unsigned char *)out->ptr, out->len, mac, &len);
    buf_append_char(out, '.');
    digest_base64url(out, mac, len);
    assert_false(out->failed);
}

static enum token_verdict verify(struct slice token, struct token_claims *out)
{
    return token_verify(token, SLICE("c"), SLICE("secret"), NOW, out);
}

static void judges_header_and_claims(void **state)
{
    static const struct {
        const char *head, *body;
        enum token_verdict verdict;
    } rows[] = {
        {header, claims, TOKEN_GOOD},
        {"{\"typ\":\"JWT\",\"alg\":\"HS512\"}", claims, TOKEN_GOOD},
        {" { \"alg\" : \"HS512\" } ", claims, TOKEN_GOOD},
        {"{\"alg\":\"HS512\",\"typ\":\"jwt\",\"kid\":\"1\"}", claims, TOKEN_GOOD},
        {"{\"\\u0061lg\":\"HS512\"}", claims, TOKEN_GOOD},
        /* Algorithms, and what tries to be one. */
        {"{\"alg\":\"none\",\"typ\":\"JWT\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS256\",\"typ\":\"JWT\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"hs512\",\"typ\":\"JWT\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512 \"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"RS512\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":512}", claims, TOKEN_MALFORMED},
        {"{\"alg\":null}", claims, TOKEN_MALFORMED},
        {"{\"typ\":\"JWT\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",\"alg\":\"none\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",\"\\u0061lg\":\"none\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",\"typ\":\"JWE\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",\"typ\":1}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",\"crit\":\"b64\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",\"crit\":[\"b64\"]}", claims, TOKEN_MALFORMED},
        {"{}", claims, TOKEN_MALFORMED},
        {"", claims, TOKEN_MALFORMED},
        {"[]", claims, TOKEN_MALFORMED},
        {"\"alg\"", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\"", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\"}}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",}", claims, TOKEN_MALFORMED},
        {"{,\"alg\":\"HS512\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\" \"HS512\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\" \"typ\":\"JWT\"}", claims, TOKEN_MALFORMED},
        {"{alg:\"HS512\"}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",\"x\":nul}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",\"x\":}", claims, TOKEN_MALFORMED},
        {"{\"alg\":\"HS512\",\"x\":true,\"y\":false,\"z\":null}", claims, TOKEN_GOOD},
        /* Claims: missing, of another type, doubled. */
        {header, "{}", TOKEN_MALFORMED},
        {header, "{\"sub\":\"acme\",\"iat\":1700000000,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"iat\":1700000000,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"acme\",\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"acme\",\"iat\":1700000000}", TOKEN_MALFORMED},
        {header, "{\"iss\":1,\"sub\":\"acme\",\"iat\":1700000000,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":7,\"iat\":1700000000,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"\",\"iat\":1700000000,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":\"1700000000\",\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1700000000.5,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1700000000,\"exp\":1.7e9}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":-1,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":01,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1700000000,\"exp\":99999999999999999999}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1700000000,\"exp\":9223372036854775807}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"sub\":\"b\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1700000000,\"exp\":1700000900,\"x\":{}}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\u0000b\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\nb\",\"iat\":1700000000,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\x\",\"iat\":1700000000,\"exp\":1700000900}", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\ud800\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\udc00\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\ud800\\n1234\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\ud800\\u0041\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\u00g0\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\u00", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a", TOKEN_MALFORMED},
        {header, "{\"a\\ud800\":\"c\"", TOKEN_MALFORMED},
        {header,
         "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1700000000,\"exp\":1700000900,\"n\":-1.5e+3,\"name\":"
         "\"J\\u00f6\"}",
         TOKEN_GOOD},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\u00/0\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\u00:0\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\u00@0\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\u00`0\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\u00G0\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\ud800\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\ud800\\\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\ud800\\x1234\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\ud83d\\u\",\"iat\":1700000000,\"exp\":1700000900}",
         TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\ud800", TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\\u", TOKEN_MALFORMED},
        {"{:\"x\",\"alg\":\"HS512\"}", claims, TOKEN_MALFORMED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":0,\"exp\":9000000000}", TOKEN_GOOD},
        /* Who and when. */
        {header, "{\"iss\":\"d\",\"sub\":\"a\",\"iat\":1700000000,\"exp\":1700000900}", TOKEN_ISSUER},
        {header, "{\"iss\":\"C\",\"sub\":\"a\",\"iat\":1700000000,\"exp\":1700000900}", TOKEN_ISSUER},
        {header, "{\"iss\":\"\",\"sub\":\"a\",\"iat\":1700000000,\"exp\":1700000900}", TOKEN_ISSUER},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1699999000,\"exp\":1700000000}", TOKEN_EXPIRED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1699999000,\"exp\":1700000001}", TOKEN_GOOD},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":0,\"exp\":0}", TOKEN_EXPIRED},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1700000060,\"exp\":1700000900}", TOKEN_GOOD},
        {header, "{\"iss\":\"c\",\"sub\":\"a\",\"iat\":1700000061,\"exp\":1700000900}", TOKEN_NOT_YET},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct token_claims got = {.sub = "untouched"};
        struct buf token;
        buf_init(&token, 4096);
        sign(&token, rows[i].head, rows[i].body);
        enum token_verdict verdict = verify(buf_slice(&token), &got);
        if (verdict != rows[i].verdict)
            fail_msg("%s %s: %d", rows[i].head, rows[i].body, verdict);
        if (verdict != TOKEN_GOOD)
            assert_string_equal(got.sub, "untouched");
        buf_deinit(&token);
    }
}

static void reads_every_escape(void **state)
{
    static const char body[] = "{\"iss\":\"\\u0063\",\"sub\":\"\\\"\\\\\\/"
                               "\\b\\f\\n\\r\\t\\u0041\\u0080\\u07ff\\u0800\\uffff\\u20AC\\ud83d\\ude00\","
                               "\"iat\":1700000000,\"exp\":1700000900}";
    struct token_claims got;
    struct buf token;
    (void)state;
    buf_init(&token, 4096);
    sign(&token, header, body);
    assert_int_equal(verify(buf_slice(&token), &got), TOKEN_GOOD);
    assert_string_equal(
        got.sub, "\"\\/\b\f\n\r\tA\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF\xE2\x82\xAC\xF0\x9F\x98\x80");
    buf_deinit(&token);
}

static void limits_are_kept(void **state)
{
    struct token_claims got;
    (void)state;
    for (size_t len = 127; len <= 129; len++) {
        char body[512];
        struct buf text, token;
        buf_init_fixed(&text, body, sizeof body);
        buf_append_text(&text, "{\"iss\":\"c\",\"iat\":1,\"exp\":1700000900,\"sub\":\"");
        for (size_t i = 0; i < len; i++)
            buf_append_char(&text, 'x');
        buf_append(&text, "\"}", 3);
        buf_init(&token, 4096);
        sign(&token, header, body);
        assert_int_equal(verify(buf_slice(&token), &got), len <= 128 ? TOKEN_GOOD : TOKEN_MALFORMED);
        if (len <= 128)
            assert_int_equal(strlen(got.sub), len);
        buf_deinit(&token);
    }
    for (int members = 27; members <= 30; members++) {
        char body[1024];
        struct buf text, token;
        buf_init_fixed(&text, body, sizeof body);
        buf_append_text(&text, "{\"iss\":\"c\",\"iat\":1,\"exp\":1700000900,\"sub\":\"a\"");
        for (int i = 0; i < members; i++)
            buf_append_format(&text, ",\"%d\":1", i);
        buf_append(&text, "}", 2);
        buf_init(&token, 4096);
        sign(&token, header, body);
        assert_int_equal(verify(buf_slice(&token), &got), members <= 28 ? TOKEN_GOOD : TOKEN_MALFORMED);
        buf_deinit(&token);
    }
    static char huge[TOKEN_MAX + 2];
    memset(huge, 'A', sizeof huge);
    huge[2] = huge[4] = '.';
    assert_int_equal(verify(slice_of(huge, TOKEN_MAX), &got), TOKEN_MALFORMED);
    assert_int_equal(verify(slice_of(huge, TOKEN_MAX + 1), &got), TOKEN_MALFORMED);
}

/* No byte of a token can be another one: not the text, not the unused bits of base64url, not padding. */
static void every_change_is_seen(void **state)
{
    struct token_claims got;
    struct buf token;
    (void)state;
    buf_init(&token, 4096);
    sign(&token, header, claims);
    assert_int_equal(verify(buf_slice(&token), &got), TOKEN_GOOD);
    assert_string_equal(got.sub, "acme");
    assert_int_equal(got.iat, 1700000000);
    assert_int_equal(got.exp, 1700000900);
    for (size_t i = 0; i < token.len; i++) {
        char was = token.ptr[i];
        for (int byte = 0; byte < 256; byte++) {
            token.ptr[i] = (char)byte;
            if (token.ptr[i] != was)
                assert_int_not_equal(verify(buf_slice(&token), &got), TOKEN_GOOD);
        }
        token.ptr[i] = was;
        assert_int_not_equal(verify(slice_of(token.ptr, i), &got), TOKEN_GOOD);
        assert_int_not_equal(verify(slice_skip(buf_slice(&token), i + 1), &got), TOKEN_GOOD);
    }
    static const char *const tails[] = {"=", "==", ".", ".x", " ", "\n", "A", "%00"};
    size_t len = token.len;
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        token.len = len;
        buf_append_text(&token, tails[i]);
        assert_int_not_equal(verify(buf_slice(&token), &got), TOKEN_GOOD);
    }
    buf_deinit(&token);
}

static void texts_that_are_no_tokens(void **state)
{
    static const char *const texts[] = {"",
                                        ".",
                                        "..",
                                        "...",
                                        "a",
                                        "a.b",
                                        "a.b.c",
                                        "Bearer x.y.z",
                                        "eyJhbGciOiJIUzUxMiJ9..",
                                        "eyJhbGciOiJIUzUxMiJ9.e30",
                                        "eyJhbGciOiJIUzUxMiJ9.e30."};
    struct token_claims got;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_not_equal(verify(slice_from(texts[i]), &got), TOKEN_GOOD);
    assert_int_equal(verify(slice_of(NULL, 0), &got), TOKEN_MALFORMED);
}

static void the_secret_decides(void **state)
{
    struct token_claims got;
    struct buf token;
    (void)state;
    buf_init(&token, 4096);
    sign(&token, header, claims);
    assert_int_equal(token_verify(buf_slice(&token), SLICE("c"), SLICE("secre"), NOW, &got), TOKEN_SIGNATURE);
    assert_int_equal(token_verify(buf_slice(&token), SLICE("c"), SLICE("secret2"), NOW, &got),
                     TOKEN_SIGNATURE);
    assert_int_equal(token_verify(buf_slice(&token), SLICE("c"), SLICE(""), NOW, &got), TOKEN_SIGNATURE);
    assert_int_equal(token_verify(buf_slice(&token), SLICE(""), SLICE("secret"), NOW, &got), TOKEN_ISSUER);
    buf_deinit(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_header_and_claims), cmocka_unit_test(reads_every_escape),
        cmocka_unit_test(limits_are_kept),          cmocka_unit_test(every_change_is_seen),
        cmocka_unit_test(texts_that_are_no_tokens), cmocka_unit_test(the_secret_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
