#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGNMENT = 16, BLOCK = 8192 };

struct arena_block {
    struct arena_block *next;
    size_t size; /* with this head */
    alignas(ALIGNMENT) char data[];
};

void arena_init(struct arena *arena, void *first, size_t first_size, size_t max)
{
    assert((uintptr_t)first % ALIGNMENT == 0);
    *arena = (struct arena){.first = first, .first_size = first_size, .max = max};
    arena_reset(arena);
}

void arena_reset(struct arena *arena)
{
    while (arena->blocks) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
    arena->used = 0;
    arena->ptr = arena->first;
    arena->end = arena->first_size > 0 ? arena->first + arena->first_size : arena->first;
}

static struct arena_block *add_block(struct arena *arena, size_t size)
{
    if (size > arena->max - arena->used)
        return NULL;
    struct arena_block *block = malloc(size);
    if (!block)
        return NULL;
    block->next = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->used += size;
    return block;
}

/* What is large gets a block of its own, so that the rest of the present block is not lost to small things.
 */
static void *alloc_slow(struct arena *arena, size_t size)
{
    if (size > arena->max)
        return NULL;
    size_t need = sizeof(struct arena_block) + size;
    bool alone = need > BLOCK / 2 || arena->max - arena->used < BLOCK;
    struct arena_block *block = add_block(arena, alone ? need : BLOCK);
    if (!block)
        return NULL;
    if (!alone) {
        arena->ptr = block->data + size;
        arena->end = (char *)block + block->size;
    }
    return block->data;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = size == 0 ? ALIGNMENT : (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (size > (size_t)(arena->end - arena->ptr))
        return alloc_slow(arena, size);
    void *out = arena->ptr;
    arena->ptr += size;
    return out;
}

void *arena_zalloc(struct arena *arena, size_t size)
{
    void *out = arena_alloc(arena, size);
    if (out)
        memset(out, 0, size);
    return out;
}

struct slice arena_copy(struct arena *arena, struct slice s)
{
    char *out = s.len < SIZE_MAX ? arena_alloc(arena, s.len + 1) : NULL;
    if (!out)
        return slice_of(NULL, 0);
    if (s.len > 0)
        memcpy(out, s.ptr, s.len);
    out[s.len] = '\0';
    return slice_of(out, s.len);
}

struct slice arena_format(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *out = len >= 0 ? arena_alloc(arena, (size_t)len + 1) : NULL;
    if (!out)
        return slice_of(NULL, 0);
    va_start(args, format);
    vsnprintf(out, (size_t)len + 1, format, args);
    va_end(args);
    return slice_of(out, (size_t)len);
}
