/*
 * One arena per exchange: what the request allocates dies in one call. The first block is the caller's (so
 * that a small request allocates nothing from the heap); more blocks come from the heap up to the maximum.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena_block;

struct arena {
    char *ptr; /* next free byte */
    char *end;
    char *first;
    size_t first_size;
    struct arena_block *blocks; /* heap blocks, newest first */
    size_t used;                /* bytes of heap blocks */
    size_t max;
};

/* `first` is aligned for any type and outlives the arena. */
void arena_init(struct arena *arena, void *first, size_t first_size, size_t max);
/* Frees the heap blocks and starts again in the first block. Everything allocated is gone. */
void arena_reset(struct arena *arena);

/* Aligned for any type, not zeroed. NULL when the maximum is reached or the heap is empty. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zalloc(struct arena *arena, size_t size);
/* Copies; ptr is NULL on failure. The copy is followed by a NUL byte that is not counted. */
struct slice arena_copy(struct arena *arena, struct slice s);
/* printf into the arena; ptr is NULL on failure. NUL-terminated. */
struct slice arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
