/* Bytes from the kernel, and identifiers made from them. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* Fills from getrandom(2); aborts the process if the kernel has none to give. For keys and secrets. */
void random_secret(void *out, size_t len);
/* Fast per-thread generator seeded from the kernel: for jitter and request ids, not for secrets. */
uint64_t random_u64(void);

#endif
