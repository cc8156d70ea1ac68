/* Cache keys: parts with their lengths before them, so that no two requests can share one (threats T1). */
#include "base/digest.h"
#include "cache/cache.h"

enum { KEY_MAX = UINT16_MAX };

int cache_key_build(struct buf *out, const struct slice parts[5], struct cache_key *key)
{
    const size_t start = out->len;
    for (size_t i = 0; i < 5; i++) {
        const size_t len = parts[i].len;
        if (len > KEY_MAX)
            return ERR_LIMIT;
        const char prefix[2] = {(char)(len & 0xff), (char)(len >> 8)};
        buf_append(out, prefix, sizeof prefix);
        buf_append_slice(out, parts[i]);
    }
    if (out->failed)
        return ERR_LIMIT;
    if (out->len - start > KEY_MAX)
        return ERR_LIMIT;
    key->bytes = slice_of(out->ptr + start, out->len - start);
    key->hash = digest_hash(key->bytes);
    return 0;
}
