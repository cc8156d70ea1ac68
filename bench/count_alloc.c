/*
 * A malloc that counts, for LD_PRELOAD. The counters are written into the file that COUNT_ALLOC_FILE names,
 * through a shared mapping, so that another process reads them at any time:
 *
 *   uint64_t mallocs, callocs, reallocs, aligned, frees, live_bytes, live_blocks
 *
 * live_bytes counts what the allocator really set aside for blocks not yet freed. glibc only: the work is
 * done by its __libc_* functions.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct counters {
    _Atomic uint64_t mallocs, callocs, reallocs, aligned, frees, live_bytes, live_blocks;
};

enum { BLOCK_HEAD = 8 }; /* of each of glibc's blocks */

static struct counters before; /* used until the file is mapped, and without a file */
static struct counters *_Atomic counters = &before;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static void add(void *block, _Atomic uint64_t *calls)
{
    struct counters *to = atomic_load_explicit(&counters, memory_order_relaxed);
    if (calls)
        atomic_fetch_add_explicit(calls, 1, memory_order_relaxed);
    if (!block)
        return;
    atomic_fetch_add_explicit(&to->live_bytes, malloc_usable_size(block) + BLOCK_HEAD, memory_order_relaxed);
    atomic_fetch_add_explicit(&to->live_blocks, 1, memory_order_relaxed);
}

static void subtract(size_t usable)
{
    struct counters *from = atomic_load_explicit(&counters, memory_order_relaxed);
    atomic_fetch_sub_explicit(&from->live_bytes, usable + BLOCK_HEAD, memory_order_relaxed);
    atomic_fetch_sub_explicit(&from->live_blocks, 1, memory_order_relaxed);
}

void *malloc(size_t size)
{
    void *block = __libc_malloc(size);
    add(block, &counters->mallocs);
    return block;
}

void *calloc(size_t count, size_t size)
{
    void *block = __libc_calloc(count, size);
    add(block, &counters->callocs);
    return block;
}

void *realloc(void *old, size_t size)
{
    size_t usable = old ? malloc_usable_size(old) : 0;
    void *block = __libc_realloc(old, size);
    if (old && (block || size == 0))
        subtract(usable);
    atomic_fetch_add_explicit(&counters->reallocs, 1, memory_order_relaxed);
    add(block, NULL);
    return block;
}

void *reallocarray(void *old, size_t count, size_t size)
{
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, whole);
}

void *memalign(size_t alignment, size_t size)
{
    void *block = __libc_memalign(alignment, size);
    add(block, &counters->aligned);
    return block;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *block = memalign(alignment, size);
    if (!block)
        return ENOMEM;
    *out = block;
    return 0;
}

void free(void *block)
{
    if (!block)
        return;
    atomic_fetch_add_explicit(&counters->frees, 1, memory_order_relaxed);
    subtract(malloc_usable_size(block));
    __libc_free(block);
}

static void carry_over(struct counters *to)
{
    atomic_store(&to->mallocs, before.mallocs);
    atomic_store(&to->callocs, before.callocs);
    atomic_store(&to->reallocs, before.reallocs);
    atomic_store(&to->aligned, before.aligned);
    atomic_store(&to->frees, before.frees);
    atomic_store(&to->live_bytes, before.live_bytes);
    atomic_store(&to->live_blocks, before.live_blocks);
}

/* Runs before main, while there is one thread. */
__attribute__((constructor)) static void share_counters(void)
{
    const char *path = getenv("COUNT_ALLOC_FILE");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    void *shared = MAP_FAILED;
    if (ftruncate(fd, sizeof(struct counters)) == 0)
        shared = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared == MAP_FAILED)
        return;
    carry_over(shared);
    atomic_store(&counters, shared);
}
