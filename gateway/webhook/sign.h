/* Standard Webhooks 1.0: how what goes out is signed. Pure. */
#ifndef WEBHOOK_SIGN_H
#define WEBHOOK_SIGN_H

#include "base/buf.h"

enum { SIGN_KEY_MAX = 4096, SIGN_FIELDS_MAX = 512 };

/* The key of a secret as it is configured: base64 behind "whsec_", else its very bytes. Appends. ERR_SYNTAX:
 * no base64 there, or nothing. */
int sign_key(struct slice secret, struct buf *out) MUST_CHECK;

struct sign_message {
    struct slice id;
    int64_t at_s; /* now, in seconds since 1970 */
    struct slice body;
};
/* Appends the three field lines: webhook-id, webhook-timestamp, webhook-signature ("v1,…" for each key that
 * is not empty: the present one, then the one before it). 0, ERR_NOMEM, or the buffer's error. */
int sign_fields(const struct sign_message *message, struct slice key, struct slice previous,
                struct buf *out) MUST_CHECK;

#endif
