/*
 * A pthread_mutex_lock that watches, for LD_PRELOAD. What it saw is in the file that COUNT_LOCK_FILE names,
 * through a shared mapping, so that another process reads it at any time:
 *
 *   uint64_t mode, locks, waits, wait_ns, longest_wait_ns, held[8]
 *
 * mode is the other process's to write: 0 counts every lock; 1 remembers, besides, which locks are taken; 2
 * counts these alone.
 *
 * A wait is a lock that somebody else held. held[i] counts by how long a lock was held: up to 100, 250, 500
 * ns, 1, 2.5, 10, 100 us, and longer (which a thread that loses its core makes, too).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BUCKETS = 8, DEPTH = 16, WATCHED = 256 };
enum mode { ALL, LEARN, KNOWN };

struct counters {
    _Atomic uint64_t mode, locks, waits, wait_ns, longest_wait_ns, held[BUCKETS];
};

static struct counters before; /* used until the file is mapped, and without a file */
static struct counters *_Atomic counters = &before;
static int (*real_trylock)(pthread_mutex_t *mutex);
static int (*real_lock)(pthread_mutex_t *mutex);
static int (*real_unlock)(pthread_mutex_t *mutex);

static _Atomic(pthread_mutex_t *) watched[WATCHED]; /* by address, open addressing */

static bool is_watched(pthread_mutex_t *mutex, bool learn)
{
    for (size_t i = ((uintptr_t)mutex >> 6) % WATCHED, left = WATCHED; left > 0;
         i = (i + 1) % WATCHED, left--) {
        pthread_mutex_t *there = atomic_load_explicit(&watched[i], memory_order_relaxed);
        if (!there && learn && atomic_compare_exchange_strong(&watched[i], &there, mutex))
            return true;
        if (there == mutex || !there)
            return there == mutex;
    }
    return false;
}

static _Thread_local struct {
    unsigned count;
    struct {
        pthread_mutex_t *mutex;
        uint64_t since;
    } at[DEPTH];
} held;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void *find(const char *name)
{
    void *found = dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void begin(void)
{
    *(void **)&real_trylock = find("pthread_mutex_trylock");
    *(void **)&real_lock = find("pthread_mutex_lock");
    *(void **)&real_unlock = find("pthread_mutex_unlock");
    const char *path = getenv("COUNT_LOCK_FILE");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    void *map = MAP_FAILED;
    if (ftruncate(fd, sizeof(struct counters)) == 0)
        map = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED)
        atomic_store(&counters, map);
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static int wait_for(struct counters *to, pthread_mutex_t *mutex)
{
    uint64_t since = now_ns();
    int error = real_lock(mutex);
    uint64_t waited = now_ns() - since;
    uint64_t longest = atomic_load_explicit(&to->longest_wait_ns, memory_order_relaxed);
    add(&to->waits, 1);
    add(&to->wait_ns, waited);
    while (waited > longest && !atomic_compare_exchange_weak(&to->longest_wait_ns, &longest, waited))
        continue;
    return error;
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (!real_trylock) /* before the constructor ran: one thread */
        begin();
    struct counters *to = atomic_load_explicit(&counters, memory_order_relaxed);
    uint64_t mode = atomic_load_explicit(&to->mode, memory_order_relaxed);
    if (mode != ALL && !is_watched(mutex, mode == LEARN) && mode == KNOWN)
        return real_lock(mutex);
    int error = real_trylock(mutex);
    if (error == EBUSY)
        error = wait_for(to, mutex);
    add(&to->locks, 1);
    if (error == 0 && held.count < DEPTH) {
        held.at[held.count].mutex = mutex;
        held.at[held.count++].since = now_ns();
    }
    return error;
}

static unsigned bucket_of(uint64_t ns)
{
    static const uint64_t bounds[BUCKETS - 1] = {100, 250, 500, 1000, 2500, 10000, 100000};
    unsigned i = 0;
    while (i < BUCKETS - 1 && ns > bounds[i])
        i++;
    return i;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    struct counters *to = atomic_load_explicit(&counters, memory_order_relaxed);
    for (unsigned i = held.count; i-- > 0;) {
        if (held.at[i].mutex != mutex)
            continue;
        add(&to->held[bucket_of(now_ns() - held.at[i].since)], 1);
        held.at[i] = held.at[--held.count];
        break;
    }
    if (!real_unlock)
        begin();
    return real_unlock(mutex);
}
