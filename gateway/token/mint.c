#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>

#include "base/digest.h"
#include "token/token_internal.h"

/* 253402300799 is the last second of the year 9999: times have at most 12 digits. */
static const int64_t time_max = 253402300799;

bool token_secret_is_short(struct slice secret)
{
    return secret.len < TOKEN_MAC_LEN;
}

static EVP_MAC_CTX *create_mac(struct slice secret)
{
    char name[] = "SHA512";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *mac = hmac ? EVP_MAC_CTX_new(hmac) : NULL;
    EVP_MAC_free(hmac);
    if (mac && !EVP_MAC_init(mac, (const unsigned char *)secret.ptr, secret.len, params)) {
        EVP_MAC_CTX_free(mac);
        return NULL;
    }
    return mac;
}

static int append_prefix(struct buf *out, struct slice client_id)
{
    buf_append_text(out, "{\"iss\":\"");
    buf_append_json(out, client_id);
    return buf_append_text(out, "\",\"sub\":\"");
}

int token_signer_init(struct token_signer *signer, struct slice client_id, struct slice secret)
{
    struct buf prefix;
    *signer = (struct token_signer){0};
    if (client_id.len == 0 || secret.len == 0)
        return ERR_INVALID;
    buf_init(&prefix, TOKEN_MAX);
    int rc = append_prefix(&prefix, client_id);
    if (prefix.failed) {
        buf_deinit(&prefix);
        return rc == ERR_NOMEM ? rc : ERR_INVALID;
    }
    signer->prefix = prefix.ptr;
    signer->prefix_len = prefix.len;
    signer->mac = create_mac(secret);
    if (!signer->mac) {
        token_signer_deinit(signer);
        return ERR_NOMEM;
    }
    return 0;
}

int token_signer_copy(struct token_signer *signer, const struct token_signer *from)
{
    *signer = (struct token_signer){.mac = EVP_MAC_CTX_dup(from->mac), .prefix = malloc(from->prefix_len)};
    if (!signer->mac || !signer->prefix) {
        token_signer_deinit(signer);
        return ERR_NOMEM;
    }
    memcpy(signer->prefix, from->prefix, from->prefix_len);
    signer->prefix_len = from->prefix_len;
    return 0;
}

void token_signer_deinit(struct token_signer *signer)
{
    EVP_MAC_CTX_free(signer->mac);
    free(signer->prefix);
    *signer = (struct token_signer){0};
}

bool token_signer_sign(struct token_signer *signer, struct slice text, unsigned char out[TOKEN_MAC_LEN])
{
    size_t len = 0;
    /* Without a key: starts again with the one it has. */
    return EVP_MAC_init(signer->mac, NULL, 0, NULL) &&
           EVP_MAC_update(signer->mac, (const unsigned char *)text.ptr, text.len) &&
           EVP_MAC_final(signer->mac, out, &len, TOKEN_MAC_LEN) && len == TOKEN_MAC_LEN;
}

static int append_claims(struct buf *out, const struct token_signer *signer, struct slice tenant,
                         int64_t iat_s, int64_t exp_s)
{
    buf_append(out, signer->prefix, signer->prefix_len);
    buf_append_json(out, tenant);
    buf_append_text(out, "\",\"iat\":");
    buf_append_u64(out, (uint64_t)iat_s);
    buf_append_text(out, ",\"exp\":");
    buf_append_u64(out, (uint64_t)exp_s);
    return buf_append_char(out, '}');
}

int token_signer_mint(struct token_signer *signer, struct slice tenant, int64_t iat_s, int64_t ttl_s,
                      struct buf *out)
{
    char claims_storage[TOKEN_MAX], storage[TOKEN_MAX];
    unsigned char signature[TOKEN_MAC_LEN];
    struct buf claims, text;
    if (tenant.len == 0 || tenant.len > TOKEN_TENANT_MAX || iat_s < 0 || iat_s > time_max || ttl_s < 1 ||
        ttl_s > time_max - iat_s)
        return ERR_INVALID;
    buf_init_fixed(&claims, claims_storage, sizeof claims_storage);
    buf_init_fixed(&text, storage, sizeof storage);
    append_claims(&claims, signer, tenant, iat_s, iat_s + ttl_s);
    buf_append_text(&text, TOKEN_HEADER);
    digest_base64url(&text, claims.ptr, claims.len);
    if (claims.failed || text.failed)
        return ERR_LIMIT;
    if (!token_signer_sign(signer, buf_slice(&text), signature))
        return ERR_NOMEM;
    buf_append_char(&text, '.');
    digest_base64url(&text, signature, sizeof signature);
    int rc = text.failed ? ERR_LIMIT : buf_append_slice(out, buf_slice(&text));
    digest_wipe(storage, sizeof storage);
    digest_wipe(signature, sizeof signature);
    return rc;
}

int token_mint(struct slice client_id, struct slice secret, struct slice tenant, int64_t iat_s, int64_t ttl_s,
               struct buf *out)
{
    struct token_signer signer;
    int rc = token_signer_init(&signer, client_id, secret);
    if (rc != 0)
        return rc;
    rc = token_signer_mint(&signer, tenant, iat_s, ttl_s, out);
    token_signer_deinit(&signer);
    return rc;
}
