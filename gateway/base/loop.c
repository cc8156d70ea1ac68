#include "base/loop.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"

/*
 * A turn: libuv's prepare, sleep, I/O callbacks, check, closed handles. Due timers and deferred tasks run in
 * check; tasks deferred after that run in the next prepare, before the sleep. The one uv_timer only ends the
 * sleep.
 */

static const uint64_t NEVER = UINT64_MAX;

#ifdef TEST_CLOCK
/* A jump of the clock wakes nobody: look often enough to notice it. */
static const uint64_t LONGEST_SLEEP_MS = 20;
#else
static const uint64_t LONGEST_SLEEP_MS = UINT64_MAX;
#endif

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active while deferred tasks wait: the loop then does not sleep */
    uv_timer_t alarm;
    uint64_t alarm_key; /* what the alarm is armed for */
    uint64_t now;
    bool now_known; /* `now` was read in this turn */
    bool firing;    /* timers are being called */
    size_t closing; /* io's whose on_closed is still to come */
    struct loop_timer **heap;
    size_t heap_len, heap_cap;
    struct loop_task *deferred, **deferred_end;
    _Atomic(struct loop_task *) posted; /* newest first */
    atomic_bool stopping;
};

/* The first question of a turn reads the clock. A loop is never a const object; only callers see it so. */
uint64_t loop_now(const struct loop *loop)
{
    struct loop *self = (struct loop *)loop;
    if (!self->now_known) {
        self->now = clock_mono_ms();
        self->now_known = true;
    }
    return self->now;
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

/* --- timers
 * -------------------------------------------------------------------------------------------------- */

static void heap_put(struct loop *loop, size_t at, struct loop_timer *timer)
{
    loop->heap[at] = timer;
    timer->index = at + 1;
}

static void heap_up(struct loop *loop, struct loop_timer *timer)
{
    size_t at = timer->index - 1;
    while (at > 0 && loop->heap[(at - 1) / 2]->queued > timer->queued) {
        heap_put(loop, at, loop->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(loop, at, timer);
}

static void heap_down(struct loop *loop, struct loop_timer *timer)
{
    size_t at = timer->index - 1;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < loop->heap_len && loop->heap[child + 1]->queued < loop->heap[child]->queued)
            child++;
        if (child >= loop->heap_len || loop->heap[child]->queued >= timer->queued)
            break;
        heap_put(loop, at, loop->heap[child]);
        at = child;
    }
    heap_put(loop, at, timer);
}

static int heap_push(struct loop *loop, struct loop_timer *timer)
{
    if (loop->heap_len == loop->heap_cap) {
        size_t cap = loop->heap_cap == 0 ? 64 : loop->heap_cap * 2;
        struct loop_timer **heap = realloc(loop->heap, cap * sizeof(struct loop_timer *));
        if (!heap)
            return ERR_NOMEM;
        loop->heap = heap;
        loop->heap_cap = cap;
    }
    heap_put(loop, loop->heap_len++, timer);
    heap_up(loop, timer);
    return 0;
}

static void heap_remove(struct loop *loop, struct loop_timer *timer)
{
    assert(loop->heap[timer->index - 1] == timer);
    struct loop_timer *last = loop->heap[--loop->heap_len];
    if (last != timer) {
        heap_put(loop, timer->index - 1, last);
        heap_up(loop, last);
        heap_down(loop, last);
    }
    timer->index = 0;
}

int loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline_ms,
                   void (*on_timer)(struct loop_timer *timer))
{
    /* A timer that sets itself to the past again and again must not keep the loop from its other work. */
    if (loop->firing && deadline_ms <= loop->now)
        deadline_ms = loop->now + 1;
    if (deadline_ms == 0)
        deadline_ms = 1;
    timer->on_timer = on_timer;
    if (timer->index != 0 && deadline_ms >= timer->queued) {
        timer->deadline = deadline_ms;
        return 0;
    }
    timer->queued = deadline_ms;
    if (timer->index != 0) {
        heap_up(loop, timer);
    } else if (heap_push(loop, timer) != 0) {
        timer->deadline = 0;
        return ERR_NOMEM;
    }
    timer->deadline = deadline_ms;
    return 0;
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
    if (timer->index != 0)
        heap_remove(loop, timer);
    timer->deadline = 0;
}

static void fire_timers(struct loop *loop)
{
    if (loop->heap_len == 0)
        return;
    uint64_t now = loop_now(loop);
    loop->firing = true;
    while (loop->heap_len > 0 && loop->heap[0]->queued <= now) {
        struct loop_timer *timer = loop->heap[0];
        if (timer->deadline != timer->queued) { /* moved since: now it takes its true place */
            timer->queued = timer->deadline;
            heap_down(loop, timer);
            continue;
        }
        loop_timer_clear(loop, timer);
        timer->on_timer(timer);
    }
    loop->firing = false;
}

/* --- turns
 * --------------------------------------------------------------------------------------------------- */

static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

static void on_alarm(uv_timer_t *alarm)
{
    struct loop *loop = alarm->data;
    loop->alarm_key = NEVER;
}

/* One batch: what is deferred meanwhile waits for the next, so that I/O gets its turn in between. */
static void run_deferred(struct loop *loop)
{
    struct loop_task *task = loop->deferred;
    loop->deferred = NULL;
    loop->deferred_end = &loop->deferred;
    while (task) {
        struct loop_task *next = task->next;
        task->run(task);
        task = next;
    }
}

static void write_log_when_due(struct loop *loop)
{
    uint64_t due = log_due();
    if (due != NEVER && due <= loop_now(loop))
        log_flush();
}

static void set_alarm(struct loop *loop)
{
    uint64_t key = loop->heap_len > 0 ? loop->heap[0]->queued : NEVER;
    uint64_t due = log_due();
    if (due < key)
        key = due;
    if (key == loop->alarm_key)
        return;
    loop->alarm_key = key;
    if (key == NEVER) {
        uv_timer_stop(&loop->alarm);
        return;
    }
    uint64_t now = clock_mono_ms();
    uint64_t delay = key > now ? key - now : 0;
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->alarm, on_alarm, delay < LONGEST_SLEEP_MS ? delay : LONGEST_SLEEP_MS, 0);
}

static void on_check(uv_check_t *check)
{
    struct loop *loop = check->data;
    fire_timers(loop);
    run_deferred(loop);
    write_log_when_due(loop);
    loop->now_known = false;
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    run_deferred(loop);
    if (loop->deferred)
        uv_idle_start(&loop->idle, on_idle);
    else
        uv_idle_stop(&loop->idle);
    write_log_when_due(loop);
    set_alarm(loop);
    loop->now_known = false;
}

/* --- tasks
 * --------------------------------------------------------------------------------------------------- */

void loop_defer(struct loop *loop, struct loop_task *task)
{
    task->next = NULL;
    *loop->deferred_end = task;
    loop->deferred_end = &task->next;
}

/* Only the first of a batch needs to wake the loop: whoever takes the stack takes all of it. */
void loop_post(struct loop *loop, struct loop_task *task)
{
    struct loop_task *head = atomic_load_explicit(&loop->posted, memory_order_relaxed);
    do
        task->next = head;
    while (!atomic_compare_exchange_weak_explicit(&loop->posted, &head, task, memory_order_release,
                                                  memory_order_relaxed));
    if (!head)
        uv_async_send(&loop->wake);
}

static void run_posted(struct loop *loop)
{
    struct loop_task *newest = atomic_exchange_explicit(&loop->posted, NULL, memory_order_acquire);
    struct loop_task *oldest = NULL;
    while (newest) {
        struct loop_task *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct loop_task *next = oldest->next;
        oldest->run(oldest);
        oldest = next;
    }
}

static void on_wake(uv_async_t *wake)
{
    struct loop *loop = wake->data;
    run_posted(loop);
    if (atomic_load(&loop->stopping))
        uv_stop(&loop->uv);
}

void loop_stop(struct loop *loop)
{
    atomic_store(&loop->stopping, true);
    uv_async_send(&loop->wake);
}

/* --- descriptors
 * --------------------------------------------------------------------------------------------- */

int loop_io_open(struct loop *loop, struct loop_io *io, int fd,
                 void (*on_ready)(struct loop_io *io, unsigned events))
{
    *io = (struct loop_io){.on_ready = on_ready};
    if (uv_poll_init(&loop->uv, &io->poll, fd) != 0)
        return ERR_IO;
    io->poll.data = loop;
    return 0;
}

/* After an error libuv has stopped the watching by itself. */
static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct loop_io *io = container_of(poll, struct loop_io, poll);
    if (status < 0)
        io->events = 0;
    io->on_ready(io, status < 0 ? LOOP_READ | LOOP_WRITE : (unsigned)events);
}

void loop_io_watch(struct loop_io *io, unsigned events)
{
    if (events == io->events)
        return;
    io->events = events;
    int rc = events == 0 ? uv_poll_stop(&io->poll) : uv_poll_start(&io->poll, (int)events, on_poll);
    assert(rc == 0);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct loop_io *io = container_of(handle, struct loop_io, poll);
    struct loop *loop = handle->data;
    loop->closing--;
    if (io->on_closed)
        io->on_closed(io);
}

void loop_io_close(struct loop_io *io, void (*on_closed)(struct loop_io *io))
{
    struct loop *loop = io->poll.data;
    assert(!uv_is_closing((uv_handle_t *)&io->poll));
    loop->closing++;
    io->events = 0;
    io->on_closed = on_closed;
    uv_close((uv_handle_t *)&io->poll, on_poll_closed);
}

/* --- life
 * ---------------------------------------------------------------------------------------------------- */

struct loop *loop_create(void)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return NULL;
    if (uv_loop_init(&loop->uv) != 0) {
        free(loop);
        return NULL;
    }
    if (uv_async_init(&loop->uv, &loop->wake, on_wake) != 0) {
        uv_loop_close(&loop->uv);
        free(loop);
        return NULL;
    }
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->alarm);
    loop->wake.data = loop->prepare.data = loop->check.data = loop->alarm.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    loop->alarm_key = NEVER;
    loop->deferred_end = &loop->deferred;
    return loop;
}

void loop_run(struct loop *loop)
{
    log_gather(true);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    do
        uv_run(&loop->uv, UV_RUN_NOWAIT);
    while (loop->closing > 0);
    atomic_store(&loop->stopping, false);
    loop->now_known = false;
    log_gather(false);
}

void loop_destroy(struct loop *loop)
{
    if (!loop)
        return;
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->check, NULL);
    uv_close((uv_handle_t *)&loop->idle, NULL);
    uv_close((uv_handle_t *)&loop->alarm, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0);
    free(loop->heap);
    free(loop);
}
