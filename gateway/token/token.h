/*
 * HS512 tokens for Rollout (RFC 7519, 7515, 7518 3.2). A keyring holds the client id, the secret in the form
 * that OpenSSL signs with (zeroed when freed; no plain copy is kept), and a bounded memory of minted tokens
 * by tenant. Safe from every worker: a shard's lock is held for a look-up, or for one mint (about 2 us), so
 * that many callers who miss the same tenant mint once. A token is reused until 80 % of its life is over;
 * then the next caller mints the next one, so none is ever used near its end. A wall clock that steps by more
 * than the slack (5 s, a tenth of the life if that is less) drops what was minted under the other time.
 */
#ifndef TOKEN_TOKEN_H
#define TOKEN_TOKEN_H

#include "base/buf.h"
#include "base/slice.h"

struct token_ring;

struct token_options {
    struct slice client_id; /* 1 byte or more, short enough that a token fits TOKEN_MAX */
    struct slice secret;    /* 1 byte or more; borrowed for the call */
    int64_t ttl_s;          /* exp - iat; 1 second to 10 years */
    unsigned remember;      /* tokens kept; 0: 65,536 */
};

/* NULL when out of memory, or when an option is outside what is said above. */
struct token_ring *token_ring_create(const struct token_options *options);
void token_ring_destroy(struct token_ring *ring);
/* Secret rotated or times changed by reload: all remembered tokens are dropped at once. Any thread, beside
 * token_get. 0, ERR_NOMEM, ERR_INVALID: then nothing changed. */
int token_ring_configure(struct token_ring *ring, const struct token_options *options) MUST_CHECK;
/* Fewer than 64 bytes (RFC 7518 3.2): worth one warning. */
bool token_secret_is_short(struct slice secret);

enum { TOKEN_MAX = 1024 };
/* Appends a valid token for the tenant (1-128 bytes) to out. `fresh`: do not reuse (a 401 came back); many at
 * once are one: a token that was minted for such a call less than a second ago is given again. It is never
 * the text that was refused (unless the ttl is a second). 0, ERR_LIMIT
 * (out is full, or the token would be longer than TOKEN_MAX), ERR_INVALID (tenant, time), ERR_NOMEM. Nothing
 * is appended on failure. */
int token_get(struct token_ring *ring, struct slice tenant, bool fresh, uint64_t mono_ms, int64_t wall_ms,
              struct buf *out) MUST_CHECK;

/* Mints without any memory: the command line's `token`, tests. Limits and errors as above. */
int token_mint(struct slice client_id, struct slice secret, struct slice tenant, int64_t iat_s, int64_t ttl_s,
               struct buf *out) MUST_CHECK;

enum token_verdict {
    TOKEN_GOOD,
    TOKEN_MALFORMED,
    TOKEN_SIGNATURE,
    TOKEN_ISSUER,
    TOKEN_EXPIRED,
    TOKEN_NOT_YET
};
struct token_claims {
    char sub[129]; /* NUL-terminated; has no NUL inside */
    int64_t iat, exp;
};
/* Strict check, for the sandbox, in the order of the verdicts: three parts of canonical base64url; header and
 * claims flat JSON objects without doubled members; alg HS512 only, typ JWT or absent, no crit; then
 * signature, iss, exp after now, iat at most 60 s ahead. Claims whose types are wrong or that are missing
 * (iss, sub, iat, exp; times are whole numbers) are TOKEN_MALFORMED. *out is written for TOKEN_GOOD only. */
enum token_verdict token_verify(struct slice token, struct slice client_id, struct slice secret,
                                int64_t now_s, struct token_claims *out);

struct token_stats {
    uint64_t minted, reused, remembered;
};
/* A snapshot; the numbers need not belong to one moment. */
void token_stats(const struct token_ring *ring, struct token_stats *out);

#endif
