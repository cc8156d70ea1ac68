/* Processes: which one an intent belongs to, and whether it still lives. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "idempotency_internal.h"

/* When the process began, in ticks since boot: the 22nd word of its stat, counted from behind its name, which
 * may hold anything. 0: it does not live, or nobody may know. */
static uint64_t started_of(uint64_t pid)
{
    enum { STARTED = 22, BEHIND_NAME = 2 };
    char path[48], text[1024];
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    size_t at = len > 0 ? (size_t)len : 0;
    while (at > 0 && text[at - 1] != ')')
        at--;
    struct slice rest = slice_of(text + at, len > 0 ? (size_t)len - at : 0), word = {NULL, 0};
    rest = slice_trim(rest);
    for (int i = BEHIND_NAME; i < STARTED; i++)
        slice_cut(rest, ' ', &word, &rest);
    uint64_t started;
    return at > 0 && slice_to_u64(word, &started) ? started : 0;
}

struct idempotency_owner idempotency_self(void)
{
    uint64_t pid = (uint64_t)getpid();
    return (struct idempotency_owner){pid, started_of(pid), store_boot()};
}

bool owner_equal(const struct idempotency_owner *a, const struct idempotency_owner *b)
{
    return a->pid == b->pid && a->started == b->started && a->boot == b->boot;
}

bool owner_lives(const struct idempotency_owner *owner)
{
    return owner->started != 0 && owner->boot == store_boot() && started_of(owner->pid) == owner->started;
}
