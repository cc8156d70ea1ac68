/* The key as clients write it, and hashes of what is compared. */
#include <openssl/evp.h>

#include "idempotency_internal.h"

static bool is_visible(char c)
{
    return c > 0x20 && c < 0x7f;
}

/* RFC 9651 4.2.5, of visible characters only. Parameters behind it are none of ours: malformed. */
static int read_string(struct slice value, struct buf *key)
{
    size_t i = 1;
    for (; i < value.len && value.ptr[i] != '"'; i++) {
        bool escaped = value.ptr[i] == '\\';
        i += escaped;
        if (i == value.len || !is_visible(value.ptr[i]) ||
            (escaped && value.ptr[i] != '"' && value.ptr[i] != '\\'))
            return ERR_SYNTAX;
        buf_append_char(key, value.ptr[i]);
    }
    return i + 1 == value.len ? 0 : ERR_SYNTAX;
}

static int read_bare(struct slice value, struct buf *key)
{
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (!is_visible(c) || c == '"' || c == ',' || c == ';' || c == '\\')
            return ERR_SYNTAX;
    }
    buf_append_slice(key, value);
    return 0;
}

int idempotency_read(const struct http_fields *fields, struct buf *key)
{
    struct slice value = http_value(fields, FIELD_IDEMPOTENCY_KEY);
    if (http_count(fields, FIELD_IDEMPOTENCY_KEY) != 1 || value.len == 0)
        return ERR_SYNTAX;
    int error = value.ptr[0] == '"' ? read_string(value, key) : read_bare(value, key);
    return error || key->failed || key->len == 0 || key->len > IDEMPOTENCY_KEY_MAX ? ERR_SYNTAX : 0;
}

static bool add(EVP_MD_CTX *context, struct slice part)
{
    unsigned char length[8];
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (unsigned char)((uint64_t)part.len >> (8 * i));
    return EVP_DigestUpdate(context, length, sizeof length) &&
           (part.len == 0 || EVP_DigestUpdate(context, part.ptr, part.len));
}

int idempotency_hash(char out[IDEMPOTENCY_HASH], const struct slice *parts, size_t count)
{
    unsigned len = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL);
    for (size_t i = 0; i < count && good; i++)
        good = add(context, parts[i]);
    good = good && EVP_DigestFinal_ex(context, (unsigned char *)out, &len) && len == IDEMPOTENCY_HASH;
    EVP_MD_CTX_free(context);
    return good ? 0 : ERR_NOMEM;
}
