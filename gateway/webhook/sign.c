#include "sign.h"

#include "base/digest.h"
#include "event/event.h"

enum { PREFIX_MAX = 128 }; /* id, timestamp and two dots */

int sign_key(struct slice secret, struct buf *out)
{
    struct slice prefix = SLICE("whsec_");
    if (!slice_starts(secret, prefix))
        return secret.len > 0 ? buf_append_slice(out, secret) : ERR_SYNTAX;
    struct slice text = slice_skip(secret, prefix.len);
    return text.len > 0 ? digest_unbase64(out, text) : ERR_SYNTAX;
}

static void append_signature(struct slice key, struct slice content, const char *before, struct buf *out)
{
    if (key.len == 0)
        return;
    buf_append_text(out, before);
    event_sign(EVENT_SIGNATURE_BODY_BASE64, key, content, out);
}

int sign_fields(const struct sign_message *message, struct slice key, struct slice previous, struct buf *out)
{
    struct buf content;
    buf_init(&content, PREFIX_MAX + message->body.len);
    int error = buf_reserve(&content, PREFIX_MAX + message->body.len);
    buf_append_format(&content, "%.*s.%lld.", SLICE_ARG(message->id), (long long)message->at_s);
    buf_append_slice(&content, message->body);
    if (!error && !content.failed) {
        buf_append_format(out, "webhook-id: %.*s\r\nwebhook-timestamp: %lld\r\nwebhook-signature: ",
                          SLICE_ARG(message->id), (long long)message->at_s);
        append_signature(key, buf_slice(&content), "v1,", out);
        append_signature(previous, buf_slice(&content), " v1,", out);
        buf_append_text(out, "\r\n");
    }
    error = error ? error : content.failed || out->failed ? ERR_NOMEM : 0;
    buf_deinit(&content);
    return error;
}
