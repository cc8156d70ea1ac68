#include "base/digest.h"

#include <endian.h>
#include <pthread.h>

#include "base/random.h"

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t rotate(uint64_t x, int n)
{
    return (x << n) | (x >> (64 - n));
}

static inline void sip_round(struct sip *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = rotate(s->b, 13) ^ s->a;
    s->d = rotate(s->d, 16) ^ s->c;
    s->a = rotate(s->a, 32);
    s->c += s->b;
    s->a += s->d;
    s->b = rotate(s->b, 17) ^ s->c;
    s->d = rotate(s->d, 21) ^ s->a;
    s->c = rotate(s->c, 32);
}

/* c rounds for a word, d at the end: SipHash-c-d. Both are constants where this is inlined. */
static inline uint64_t sip_hash(const struct digest_key *key, const void *data, size_t len, int c, int d)
{
    const unsigned char *at = data;
    struct sip s = {key->k0 ^ 0x736f6d6570736575, key->k1 ^ 0x646f72616e646f6d, key->k0 ^ 0x6c7967656e657261,
                    key->k1 ^ 0x7465646279746573};
    uint64_t word;
    size_t left = len;
    for (; left >= sizeof word; left -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        word = le64toh(word);
        s.d ^= word;
        for (int i = 0; i < c; i++)
            sip_round(&s);
        s.a ^= word;
    }
    word = (uint64_t)len << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)at[i] << (8 * i);
    s.d ^= word;
    for (int i = 0; i < c; i++)
        sip_round(&s);
    s.a ^= word;
    s.c ^= 0xff;
    for (int i = 0; i < d; i++)
        sip_round(&s);
    return s.a ^ s.b ^ s.c ^ s.d;
}

uint64_t digest64(const struct digest_key *key, const void *data, size_t len)
{
    return sip_hash(key, data, len, 2, 4);
}

uint64_t digest_hash_with(const struct digest_key *key, struct slice s)
{
    return sip_hash(key, s.ptr, s.len, 1, 3);
}

uint64_t digest_hash(struct slice s)
{
    return digest_hash_with(digest_process_key(), s);
}

static struct digest_key process_key;

static void make_process_key(void)
{
    random_secret(&process_key, sizeof process_key);
}

const struct digest_key *digest_process_key(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_process_key);
    return &process_key;
}

uint64_t digest_checksum(const void *data, size_t len)
{
    static const struct digest_key key = {0x726f6c6c6f757467, 0x6174657761793031};
    return digest64(&key, data, len);
}

int digest_hex(struct buf *out, const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *in = data;
    int rc = len <= SIZE_MAX / 2 ? buf_reserve(out, len * 2) : ERR_LIMIT;
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < len; i++) {
        out->ptr[out->len++] = digits[in[i] >> 4];
        out->ptr[out->len++] = digits[in[i] & 15];
    }
    return 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int digest_unhex(struct buf *out, struct slice text)
{
    if (text.len % 2 != 0)
        return ERR_SYNTAX;
    int rc = buf_reserve(out, text.len / 2);
    for (size_t i = 0; rc == 0 && i < text.len; i += 2) {
        int high = hex_value(text.ptr[i]), low = hex_value(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return ERR_SYNTAX;
        out->ptr[out->len + i / 2] = (char)(high << 4 | low);
    }
    if (rc == 0)
        buf_grow(out, text.len / 2);
    return rc;
}

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int encode(struct buf *out, struct slice in, const char *alphabet, bool padded)
{
    if (in.len > SIZE_MAX / 2)
        return ERR_LIMIT;
    size_t tail = in.len % 3;
    int rc = buf_reserve(out, in.len / 3 * 4 + (tail == 0 ? 0 : padded ? 4 : tail + 1));
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < in.len; i += 3) {
        size_t have = in.len - i < 3 ? in.len - i : 3;
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++)
            bits = bits << 8 | (j < have ? (unsigned char)in.ptr[i + j] : 0);
        for (size_t j = 0; j <= have; j++)
            out->ptr[out->len++] = alphabet[bits >> (18 - 6 * j) & 63];
        for (size_t j = have + 1; padded && j < 4; j++)
            out->ptr[out->len++] = '=';
    }
    return 0;
}

static int base64_value(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    if (c == (url ? '_' : '/'))
        return 63;
    return -1;
}

/* `text` without padding. Bits left over must be zero: one text for one value (RFC 4648 3.5). */
static int decode(struct buf *out, struct slice text, bool url)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t len = 0;
    if (text.len % 4 == 1)
        return ERR_SYNTAX;
    int rc = buf_reserve(out, text.len / 4 * 3 + text.len % 4 * 3 / 4);
    for (size_t i = 0; rc == 0 && i < text.len; i++) {
        int value = base64_value(text.ptr[i], url);
        if (value < 0)
            return ERR_SYNTAX;
        bits = (bits << 6 | (uint32_t)value) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out->ptr[out->len + len++] = (char)(bits >> have & 0xff);
        }
    }
    if (rc == 0 && (bits & ((1u << have) - 1)) != 0)
        return ERR_SYNTAX;
    if (rc == 0)
        buf_grow(out, len);
    return rc;
}

int digest_base64(struct buf *out, const void *data, size_t len)
{
    return encode(out, slice_of(data, len), base64_alphabet, true);
}

int digest_unbase64(struct buf *out, struct slice text)
{
    if (text.len % 4 != 0)
        return ERR_SYNTAX;
    for (int i = 0; i < 2 && text.len > 0 && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    return decode(out, text, false);
}

int digest_base64url(struct buf *out, const void *data, size_t len)
{
    return encode(out, slice_of(data, len), base64url_alphabet, false);
}

int digest_unbase64url(struct buf *out, struct slice text)
{
    return decode(out, text, true);
}

void digest_wipe(void *data, size_t len)
{
    if (len > 0)
        explicit_bzero(data, len);
}
