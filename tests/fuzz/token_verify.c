/*
 * token_verify on any text, and on any header and claims that are signed rightly (so that the parsing behind
 * the signature is reached). Good is only what keeps every promise; and an unsigned text is never good.
 * Input: mode byte; then a token, or header, 0xFF, claims.
 */
#include <stdint.h>
#include <stdlib.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/digest.h"
#include "token/token.h"

enum { NOW = 1700000000 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

static enum token_verdict verify(struct slice token, struct token_claims *claims)
{
    return token_verify(token, SLICE("c"), SLICE("secret"), NOW, claims);
}

static void check(struct slice token, enum token_verdict verdict, const struct token_claims *claims)
{
    struct token_claims other;
    must(verdict >= TOKEN_GOOD && verdict <= TOKEN_NOT_YET);
    if (verdict == TOKEN_MALFORMED || verdict == TOKEN_SIGNATURE)
        return;
    must(token_verify(token, SLICE("c"), SLICE("other"), NOW, &other) == TOKEN_SIGNATURE);
    must(verify(slice_of(token.ptr, token.len - 1), &other) != TOKEN_GOOD);
    if (verdict != TOKEN_GOOD)
        return;
    size_t len = strlen(claims->sub);
    must(len >= 1 && len <= 128 && claims->exp > NOW && claims->iat >= 0 && claims->iat <= NOW + 60);
    must(token_verify(token, SLICE("d"), SLICE("secret"), NOW, &other) == TOKEN_ISSUER);
    must(token_verify(token, SLICE("c"), SLICE("secret"), claims->exp, &other) == TOKEN_EXPIRED);
    must(token_verify(token, SLICE("c"), SLICE("secret"), claims->exp - 1, &other) == TOKEN_GOOD);
}

static void sign(struct buf *out, struct slice header, struct slice claims)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    digest_base64url(out, header.ptr, header.len);
    buf_append_char(out, '.');
    digest_base64url(out, claims.ptr, claims.len);
    HMAC(EVP_sha512(), "secret", 6, (const unsigned char *)out->ptr, out->len, mac, &len);
    buf_append_char(out, '.');
    digest_base64url(out, mac, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token_claims claims;
    if (size == 0)
        return 0;
    struct slice text = slice_of((const char *)data + 1, size - 1);
    if (data[0] & 1) {
        enum token_verdict verdict = verify(text, &claims);
        check(text, verdict, &claims);
        return 0;
    }
    struct slice header, body;
    struct buf token;
    slice_cut(text, (char)0xFF, &header, &body);
    buf_init(&token, 1 << 20);
    sign(&token, data[0] & 2 ? header : SLICE("{\"alg\":\"HS512\"}"), body);
    if (!token.failed) {
        enum token_verdict verdict = verify(buf_slice(&token), &claims);
        must(verdict != TOKEN_SIGNATURE);
        check(buf_slice(&token), verdict, &claims);
    }
    buf_deinit(&token);
    return 0;
}
