/* Numbers in records and keys: big-endian, so that keys sort as the numbers do. */
#ifndef WEBHOOK_BYTES_H
#define WEBHOOK_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline void bytes_put(char *out, size_t size, uint64_t value)
{
    for (size_t i = size; i-- > 0; value >>= 8)
        out[i] = (char)(value & 0xff);
}

static inline uint64_t bytes_get(const char *in, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++)
        value = value << 8 | (unsigned char)in[i];
    return value;
}

#endif
