/* Keyed hashing for tables and checksums (SipHash-2-4; not for passwords), and byte-to-text encodings. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/buf.h"
#include "base/slice.h"

struct digest_key {
    uint64_t k0, k1;
};

/* SipHash-2-4, 64 bit. */
uint64_t digest64(const struct digest_key *key, const void *data, size_t len);
/* The process's own random key, made at first use: for hash tables whose keys strangers choose. */
const struct digest_key *digest_process_key(void);
/* SipHash-1-3 under that key: strangers can't aim at a bucket, and a table asks for no more. */
uint64_t digest_hash(struct slice s);
/* The same under a key of one's own: for tables that several processes share. */
uint64_t digest_hash_with(const struct digest_key *key, struct slice s);
/* Unkeyed, stable over restarts and machines: checksums of stored records. */
uint64_t digest_checksum(const void *data, size_t len);

/* Encoders append; decoders accept exactly the alphabet (hex in either case) and one text per value, and
 * append the bytes, or nothing on failure. 0, ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM. */
int digest_hex(struct buf *out, const void *data, size_t len);
int digest_unhex(struct buf *out, struct slice text);
/* RFC 4648 4 with padding. */
int digest_base64(struct buf *out, const void *data, size_t len);
int digest_unbase64(struct buf *out, struct slice text);
/* RFC 4648 5 without padding (JWT). */
int digest_base64url(struct buf *out, const void *data, size_t len);
int digest_unbase64url(struct buf *out, struct slice text);

/* Overwrites memory in a way that the compiler may not leave out. */
void digest_wipe(void *data, size_t len);

#endif
