/* The text of a key, and its hash. */
#include <openssl/evp.h>

#include "base/digest.h"
#include "base/random.h"
#include "caller/caller_internal.h"

static bool is_base64url(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

bool key_is_formed(struct slice text)
{
    if (text.len != CALLER_KEY_LEN || !slice_starts(text, SLICE("rgk_")))
        return false;
    for (size_t i = 4; i < text.len; i++)
        if (!is_base64url(text.ptr[i]))
            return false;
    return true;
}

/* Of the text, not of the 32 bytes: so that a last character whose unused bits differ is another key, and not
 * this one. */
int key_hash(struct slice text, char out[CALLER_HASH_LEN])
{
    unsigned len = 0;
    if (!EVP_Digest(text.ptr, text.len, (unsigned char *)out, &len, EVP_sha256(), NULL) ||
        len != CALLER_HASH_LEN)
        return ERR_NOMEM;
    return 0;
}

void key_make(char out[CALLER_KEY_LEN])
{
    unsigned char secret[32];
    struct buf text;
    random_secret(secret, sizeof secret);
    buf_init_fixed(&text, out, CALLER_KEY_LEN);
    buf_append_text(&text, "rgk_");
    digest_base64url(&text, secret, sizeof secret);
    digest_wipe(secret, sizeof secret);
}
