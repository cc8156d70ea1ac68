#include "base/clock.h"

#include <time.h>

#ifdef TEST_CLOCK
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_once_t test_clock_once = PTHREAD_ONCE_INIT;
static const _Atomic int64_t *test_clock_offset;

/* A test that asked for a clock and can't have it must not run on the real one. */
static void map_test_clock(void)
{
    const char *path = getenv("ROLLOUT_GATEWAY_TEST_CLOCK");
    if (!path)
        return;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    void *at = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(int64_t))
        at = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        fprintf(stderr, "ROLLOUT_GATEWAY_TEST_CLOCK: cannot map %s\n", path);
        abort();
    }
    close(fd);
    test_clock_offset = at;
}

static int64_t offset_ms(void)
{
    pthread_once(&test_clock_once, map_test_clock);
    return test_clock_offset ? atomic_load_explicit(test_clock_offset, memory_order_relaxed) : 0;
}
#else
static int64_t offset_ms(void)
{
    return 0;
}
#endif

static int64_t read_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return (uint64_t)(read_ns(CLOCK_MONOTONIC) + offset_ms() * 1000000);
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

int64_t clock_wall_ms(void)
{
    return read_ns(CLOCK_REALTIME) / 1000000 + offset_ms();
}
