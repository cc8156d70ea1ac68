/* Shared between the files of token/ only. */
#ifndef TOKEN_TOKEN_INTERNAL_H
#define TOKEN_TOKEN_INTERNAL_H

#include <openssl/evp.h>

#include "token/token.h"

enum { TOKEN_TENANT_MAX = 128, TOKEN_MAC_LEN = 64 };

/* {"alg":"HS512","typ":"JWT"} in base64url, and the dot. */
#define TOKEN_HEADER "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9."

/* A keyed HMAC-SHA512 that signs again and again: one user at a time. */
struct token_signer {
    EVP_MAC_CTX *mac;
    char *prefix; /* {"iss":"…","sub":" */
    size_t prefix_len;
};

/* 0, ERR_INVALID (client id empty or too long, secret empty), ERR_NOMEM. deinit is harmless for a zeroed
 * signer. */
int token_signer_init(struct token_signer *signer, struct slice client_id, struct slice secret) MUST_CHECK;
/* Another one with the same key. */
int token_signer_copy(struct token_signer *signer, const struct token_signer *from) MUST_CHECK;
void token_signer_deinit(struct token_signer *signer);

/* Appends a token; errors as token_mint. */
int token_signer_mint(struct token_signer *signer, struct slice tenant, int64_t iat_s, int64_t ttl_s,
                      struct buf *out) MUST_CHECK;
/* The signature of what stands before the second dot. False when OpenSSL fails. */
bool token_signer_sign(struct token_signer *signer, struct slice text,
                       unsigned char out[TOKEN_MAC_LEN]) MUST_CHECK;

#endif
