#include "base/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/* One loop and a place to note in what order things happened. */
struct stage {
    struct loop *loop;
    char seen[64];
    size_t len;
};

static struct stage stage;

static int open_stage(void **state)
{
    (void)state;
    memset(&stage, 0, sizeof stage);
    stage.loop = loop_create();
    return stage.loop ? 0 : -1;
}

static int close_stage(void **state)
{
    (void)state;
    loop_destroy(stage.loop);
    return 0;
}

static void note(char c)
{
    assert_true(stage.len < sizeof stage.seen - 1);
    stage.seen[stage.len++] = c;
}

/* --- timers --- */

struct mark {
    struct loop_timer timer;
    char name;
    uint64_t deadline; /* the time asked for */
    struct mark *victim;
    uint64_t again; /* set once more, so much later */
};

static void on_mark(struct loop_timer *timer)
{
    struct mark *mark = container_of(timer, struct mark, timer);
    assert_true(clock_mono_ms() >= mark->deadline);
    assert_true(loop_now(stage.loop) >= mark->deadline);
    assert_int_equal(timer->deadline, 0);
    assert_int_equal(timer->index, 0);
    note(mark->name);
    if (mark->victim)
        loop_timer_clear(stage.loop, &mark->victim->timer);
    if (mark->again > 0) {
        mark->deadline = loop_now(stage.loop) + mark->again;
        mark->again = 0;
        assert_int_equal(loop_timer_set(stage.loop, timer, mark->deadline, on_mark), 0);
    }
}

static void on_end(struct loop_timer *timer)
{
    (void)timer;
    loop_stop(stage.loop);
}

static void set_mark(struct mark *mark, char name, uint64_t deadline)
{
    mark->name = name;
    mark->deadline = deadline;
    assert_int_equal(loop_timer_set(stage.loop, &mark->timer, deadline, on_mark), 0);
}

/* Runs until `ms` from now, or until something else stops the loop. */
static void run_for(uint64_t ms)
{
    struct loop_timer end = {0};
    assert_int_equal(loop_timer_set(stage.loop, &end, clock_mono_ms() + ms, on_end), 0);
    loop_run(stage.loop);
    loop_timer_clear(stage.loop, &end);
}

static void timers_fire_in_order_and_never_early(void **state)
{
    (void)state;
    static const struct {
        char name;
        uint64_t after;
    } rows[] = {{'d', 8}, {'b', 4}, {'e', 10}, {'a', 2}, {'c', 6}, {'f', 12}};
    struct mark marks[6] = {0};
    uint64_t now = clock_mono_ms();
    for (size_t i = 0; i < 6; i++)
        set_mark(&marks[i], rows[i].name, now + rows[i].after);
    run_for(20);
    assert_string_equal(stage.seen, "abcdef");
}

static void moved_timers_fire_at_their_new_time(void **state)
{
    (void)state;
    struct mark later = {0}, earlier = {0}, fixed = {0};
    uint64_t now = clock_mono_ms();
    set_mark(&later, 'l', now + 2);
    set_mark(&earlier, 'e', now + 10000);
    set_mark(&fixed, 'f', now + 6);
    uint64_t queued = later.timer.queued;
    set_mark(&later, 'l', now + 10);
    assert_true(later.timer.queued == queued); /* lazily: it keeps its place */
    assert_true(later.timer.deadline == now + 10);
    set_mark(&earlier, 'e', now + 4);
    assert_true(earlier.timer.queued == now + 4);
    run_for(200);
    assert_string_equal(stage.seen, "efl");
}

static void moved_later_then_earlier_again(void **state)
{
    (void)state;
    struct mark mark = {0}, other = {0};
    uint64_t now = clock_mono_ms();
    set_mark(&mark, 'm', now + 3);
    set_mark(&other, 'o', now + 8);
    set_mark(&mark, 'm', now + 10000);
    set_mark(&mark, 'm', now + 5);
    run_for(200);
    assert_string_equal(stage.seen, "mo");
}

static void callbacks_clear_and_set_timers(void **state)
{
    (void)state;
    struct mark killer = {0}, victim = {0}, twin = {0}, again = {.again = 3};
    uint64_t now = clock_mono_ms();
    killer.victim = &victim;
    set_mark(&killer, 'k', now + 2);
    set_mark(&victim, 'v', now + 3);
    set_mark(&again, 'a', now + 4);
    set_mark(&twin, 't', now + 1);
    loop_timer_clear(stage.loop, &twin.timer);
    loop_timer_clear(stage.loop, &twin.timer);
    assert_int_equal(twin.timer.deadline, 0);
    run_for(200);
    assert_string_equal(stage.seen, "kaa");
    assert_int_equal(victim.timer.index, 0);
}

static int storms;
static struct loop_task storm_task;

static void note_task(struct loop_task *task)
{
    (void)task;
    note('T');
}

static void on_storm(struct loop_timer *timer)
{
    if (++storms == 1)
        loop_defer(stage.loop, &storm_task);
    if (stage.len == 0)
        loop_timer_set(stage.loop, timer, 1, on_storm);
    else
        loop_stop(stage.loop);
}

/* It would never end if one turn fired whatever became due meanwhile. */
static void timer_set_to_the_past_lets_others_work(void **state)
{
    (void)state;
    struct loop_timer timer = {0};
    storms = 0;
    storm_task.run = note_task;
    assert_int_equal(loop_timer_set(stage.loop, &timer, 0, on_storm), 0);
    assert_int_equal(timer.deadline, 1);
    loop_run(stage.loop);
    assert_string_equal(stage.seen, "T");
    assert_in_range(storms, 2, 100);
}

enum { CROWD = 2000 };

static struct crowd {
    struct loop_timer timer;
    uint64_t want;
} crowd[CROWD];
static uint64_t crowd_last;
static size_t crowd_fired;

static void on_crowd(struct loop_timer *timer)
{
    struct crowd *one = container_of(timer, struct crowd, timer);
    assert_true(one->want >= crowd_last); /* within one turn and over turns */
    assert_true(one->want <= clock_mono_ms());
    crowd_last = one->want;
    crowd_fired++;
}

static void crowd_of_timers_keeps_its_order(void **state)
{
    (void)state;
    uint64_t now = clock_mono_ms();
    size_t cleared = 0;
    unsigned random = 12345;
    memset(crowd, 0, sizeof crowd);
    crowd_last = crowd_fired = 0;
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < CROWD; i++) {
            random = random * 1103515245 + 12345;
            crowd[i].want = now + (random >> 16) % 30;
            assert_int_equal(loop_timer_set(stage.loop, &crowd[i].timer, crowd[i].want, on_crowd), 0);
        }
    }
    for (size_t i = 0; i < CROWD; i += 3, cleared++)
        loop_timer_clear(stage.loop, &crowd[i].timer);
    run_for(40);
    assert_int_equal(crowd_fired, CROWD - cleared);
}

#ifdef TEST_CLOCK
static const char *clock_path;

static void write_clock(int64_t offset)
{
    FILE *file = fopen(clock_path, "r+");
    assert_non_null(file);
    assert_int_equal(fwrite(&offset, sizeof offset, 1, file), 1);
    fclose(file);
}

/* Runs before the loop's own prepare. In the second turn the alarm is armed already and will not be set
 * again. */
static void on_second_turn(uv_prepare_t *prepare)
{
    note('p');
    if (stage.len == 2) {
        write_clock(3600000);
        uv_prepare_stop(prepare);
    }
}

static void nothing(struct loop_task *task)
{
    (void)task;
}

/* The clock jumps by an hour while the loop is about to sleep for half of one. */
static void loop_notices_a_jump_of_the_clock(void **state)
{
    (void)state;
    static uv_prepare_t prepare; /* closed by loop_destroy's last turn */
    struct loop_timer end = {0};
    struct loop_task task = {.run = nothing};
    uv_prepare_init(loop_uv(stage.loop), &prepare);
    uv_prepare_start(&prepare, on_second_turn);
    loop_post(stage.loop, &task);
    assert_int_equal(loop_timer_set(stage.loop, &end, clock_mono_ms() + 1800000, on_end), 0);
    loop_run(stage.loop);
    assert_int_equal(end.index, 0);
    assert_string_equal(stage.seen, "pp");
    write_clock(0);
    uv_close((uv_handle_t *)&prepare, NULL);
}
#endif

/* --- tasks --- */

struct step {
    struct loop_task task;
    char name;
    struct step *defers, *posts;
};

static void on_step(struct loop_task *task)
{
    struct step *step = container_of(task, struct step, task);
    note(step->name);
    if (step->posts)
        loop_post(stage.loop, &step->posts->task);
    if (step->defers)
        loop_defer(stage.loop, &step->defers->task);
    if (step->name == '.')
        loop_stop(stage.loop);
}

#define STEP(...)                                                                                            \
    {                                                                                                        \
        .task = {.run = on_step}, __VA_ARGS__                                                                \
    }

static void deferred_tasks_run_in_order(void **state)
{
    (void)state;
    struct step end = STEP(.name = '.'), late = STEP(.name = 'd', .posts = &end);
    struct step a = STEP(.name = 'a'), b = STEP(.name = 'b', .defers = &late), c = STEP(.name = 'c');
    loop_defer(stage.loop, &a.task);
    loop_defer(stage.loop, &b.task);
    loop_defer(stage.loop, &c.task);
    assert_int_equal(stage.len, 0); /* not at once */
    loop_run(stage.loop);
    assert_string_equal(stage.seen, "abcd.");
}

/* All in one turn: what a posted task defers runs after its fellow, before the loop sleeps. */
static void deferred_tasks_end_the_turn(void **state)
{
    (void)state;
    struct step deferred = STEP(.name = 'D');
    struct step first = STEP(.name = '1', .defers = &deferred), second = STEP(.name = '2');
    loop_post(stage.loop, &first.task);
    loop_post(stage.loop, &second.task);
    run_for(2);
    assert_string_equal(stage.seen, "12D");
}

static unsigned long count_turns;

static void on_count(uv_prepare_t *prepare)
{
    (void)prepare;
    count_turns++;
}

/* Idle, the loop sleeps: a spinning one would make many thousand turns in this time. */
static void loop_does_not_spin(void **state)
{
    (void)state;
    struct step a = STEP(.name = 'a'), b = STEP(.name = 'b', .defers = &a);
    static uv_prepare_t counter; /* closed by loop_destroy's last turn */
    count_turns = 0;
    uv_prepare_init(loop_uv(stage.loop), &counter);
    uv_prepare_start(&counter, on_count);
    loop_defer(stage.loop, &b.task);
    run_for(60);
    assert_string_equal(stage.seen, "ba");
    assert_in_range(count_turns, 1, 30);
    uv_close((uv_handle_t *)&counter, NULL);
}

enum { POSTERS = 4, POSTS = 10000 };

static struct parcel {
    struct loop_task task;
    int poster, number;
} parcels[POSTERS][POSTS];
static int parcels_next[POSTERS], parcels_left;

static void on_parcel(struct loop_task *task)
{
    struct parcel *parcel = container_of(task, struct parcel, task);
    assert_int_equal(parcel->number, parcels_next[parcel->poster]++);
    if (--parcels_left == 0)
        loop_stop(stage.loop);
}

static void *post_parcels(void *arg)
{
    struct parcel *row = arg;
    for (int i = 0; i < POSTS; i++)
        loop_post(stage.loop, &row[i].task);
    return NULL;
}

static void posts_of_many_threads_all_arrive_in_order(void **state)
{
    (void)state;
    pthread_t threads[POSTERS];
    parcels_left = POSTERS * POSTS;
    memset(parcels_next, 0, sizeof parcels_next);
    for (int i = 0; i < POSTERS; i++) {
        for (int j = 0; j < POSTS; j++)
            parcels[i][j] = (struct parcel){.task = {.run = on_parcel}, .poster = i, .number = j};
        assert_int_equal(pthread_create(&threads[i], NULL, post_parcels, parcels[i]), 0);
    }
    loop_run(stage.loop);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(parcels_next[i], POSTS);
    }
}

static void *stop_loop(void *arg)
{
    (void)arg;
    loop_stop(stage.loop);
    loop_stop(stage.loop);
    return NULL;
}

static void stop_comes_from_any_thread_even_before_run(void **state)
{
    (void)state;
    pthread_t thread;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(pthread_create(&thread, NULL, stop_loop, NULL), 0);
        if (i % 2 == 0)
            pthread_join(thread, NULL);
        loop_run(stage.loop);
        if (i % 2 != 0)
            pthread_join(thread, NULL);
    }
}

/* --- descriptors --- */

struct wire {
    struct loop_io io;
    int fd;
    unsigned last;
    int calls;
};

static void on_closed(struct loop_io *io)
{
    (void)io;
    note('c');
}

static void on_readable(struct loop_io *io, unsigned events)
{
    struct wire *wire = container_of(io, struct wire, io);
    char byte;
    wire->calls++;
    wire->last = events;
    if (read(wire->fd, &byte, 1) == 1) {
        note(byte);
        return;
    }
    loop_io_close(io, on_closed);
    close(wire->fd);
    note('x');
}

static void open_pair(struct wire *wire, int *peer, void (*on_ready)(struct loop_io *, unsigned))
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    *wire = (struct wire){.fd = fds[0]};
    *peer = fds[1];
    assert_int_equal(loop_io_open(stage.loop, &wire->io, fds[0], on_ready), 0);
    assert_int_equal(wire->io.events, 0);
}

static void reads_until_the_end_then_closes(void **state)
{
    (void)state;
    struct wire wire;
    int peer;
    open_pair(&wire, &peer, on_readable);
    assert_int_equal(write(peer, "a", 1), 1);
    run_for(2);
    assert_int_equal(wire.calls, 0); /* nothing is watched yet */
    loop_io_watch(&wire.io, LOOP_READ);
    loop_io_watch(&wire.io, LOOP_READ);
    run_for(2);
    assert_string_equal(stage.seen, "a");
    assert_true(wire.last & LOOP_READ);
    loop_io_watch(&wire.io, 0);
    assert_int_equal(write(peer, "b", 1), 1);
    run_for(2);
    assert_string_equal(stage.seen, "a");
    loop_io_watch(&wire.io, LOOP_READ);
    close(peer);
    run_for(5);
    assert_string_equal(stage.seen, "abxc");
}

static void on_writable(struct loop_io *io, unsigned events)
{
    struct wire *wire = container_of(io, struct wire, io);
    wire->calls++;
    wire->last = events;
    loop_io_watch(io, LOOP_HANGUP);
    if (events & LOOP_HANGUP)
        loop_io_close(io, NULL);
}

static void tells_writable_and_hangup(void **state)
{
    (void)state;
    struct wire wire;
    int peer;
    open_pair(&wire, &peer, on_writable);
    loop_io_watch(&wire.io, LOOP_WRITE);
    run_for(3);
    assert_int_equal(wire.calls, 1);
    assert_int_equal(wire.last, LOOP_WRITE);
    close(peer);
    run_for(3);
    assert_int_equal(wire.calls, 2);
    assert_int_equal(wire.last, LOOP_HANGUP);
    close(wire.fd);
}

static void never_ready(struct loop_io *io, unsigned events)
{
    (void)io;
    (void)events;
    fail();
}

static void close_now(struct loop_task *task)
{
    (void)task;
    note('t');
}

static struct wire closing_wire;

static void on_closing_turn(struct loop_timer *timer)
{
    (void)timer;
    loop_io_close(&closing_wire.io, on_closed);
    close(closing_wire.fd);
    note('q');
    loop_stop(stage.loop);
}

/* on_closed comes in a later turn, never inside loop_io_close, and loop_run waits for it; no on_ready in
 * between. */
static void close_is_at_once_and_told_later(void **state)
{
    (void)state;
    int peer;
    struct loop_timer timer = {0};
    struct loop_task task = {.run = close_now};
    open_pair(&closing_wire, &peer, never_ready);
    loop_defer(stage.loop, &task);
    assert_int_equal(loop_timer_set(stage.loop, &timer, clock_mono_ms() + 1, on_closing_turn), 0);
    loop_run(stage.loop);
    assert_string_equal(stage.seen, "tqc");
    close(peer);
}

/* Two ready descriptors; whichever is called first closes the other, which must stay silent. */
static struct wire rivals[2];

static void on_rival(struct loop_io *io, unsigned events)
{
    (void)events;
    struct wire *other = io == &rivals[0].io ? &rivals[1] : &rivals[0];
    note('r');
    loop_io_close(&other->io, on_closed);
    close(other->fd);
    loop_io_watch(io, 0);
}

static void closed_descriptor_is_silent_in_the_same_turn(void **state)
{
    (void)state;
    int peers[2];
    for (int i = 0; i < 2; i++) {
        open_pair(&rivals[i], &peers[i], on_rival);
        loop_io_watch(&rivals[i].io, LOOP_READ);
        assert_int_equal(write(peers[i], "x", 1), 1);
    }
    run_for(3);
    assert_string_equal(stage.seen, "rc");
    for (int i = 0; i < 2; i++) {
        if (!uv_is_closing((uv_handle_t *)&rivals[i].io.poll)) {
            loop_io_close(&rivals[i].io, NULL);
            close(rivals[i].fd);
        }
        close(peers[i]);
    }
    run_for(1);
}

static void refuses_what_cannot_be_watched(void **state)
{
    (void)state;
    struct loop_io io;
    FILE *file = tmpfile();
    assert_int_equal(loop_io_open(stage.loop, &io, fileno(file), never_ready), ERR_IO);
    assert_int_equal(loop_io_open(stage.loop, &io, -1, never_ready), ERR_IO);
    fclose(file);
}

/* --- the log --- */

struct log_probe {
    struct loop_task task;
    struct loop_io io;
    enum log_level level;
    int fd;
    uint64_t logged, arrived;
};

static void log_one(struct loop_task *task)
{
    struct log_probe *probe = container_of(task, struct log_probe, task);
    probe->logged = clock_mono_ms();
    log_message(probe->level, "probe", "x");
}

static void on_logged(struct loop_io *io, unsigned events)
{
    struct log_probe *probe = container_of(io, struct log_probe, io);
    (void)events;
    probe->arrived = clock_mono_ms();
    loop_io_close(io, NULL);
    loop_stop(stage.loop);
}

/* How long a line takes to arrive at the other end of stderr, with nothing but the log itself to wake the
 * loop. */
static uint64_t log_delay(enum log_level level)
{
    struct log_probe probe = {.task = {.run = log_one}, .level = level};
    int ends[2], real = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_setup(LOG_INFO, LOG_FORMAT_JSON);
    int rc = loop_io_open(stage.loop, &probe.io, ends[0], on_logged);
    loop_io_watch(&probe.io, LOOP_READ);
    loop_defer(stage.loop, &probe.task);
    loop_run(stage.loop); /* no timer: in test builds each would wake the loop now and then */
    dup2(real, STDERR_FILENO);
    close(real);
    close(ends[0]);
    assert_int_equal(rc, 0);
    assert_int_not_equal(probe.arrived, 0);
    return probe.arrived - probe.logged;
}

static void loop_writes_the_log_in_time(void **state)
{
    (void)state;
    assert_in_range(log_delay(LOG_INFO), 200, 1000);
    assert_in_range(log_delay(LOG_WARN), 0, 150);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_stage, close_stage)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(timers_fire_in_order_and_never_early),
        TEST(moved_timers_fire_at_their_new_time),
        TEST(moved_later_then_earlier_again),
        TEST(callbacks_clear_and_set_timers),
        TEST(timer_set_to_the_past_lets_others_work),
        TEST(crowd_of_timers_keeps_its_order),
#ifdef TEST_CLOCK
        TEST(loop_notices_a_jump_of_the_clock),
#endif
        TEST(deferred_tasks_run_in_order),
        TEST(deferred_tasks_end_the_turn),
        TEST(loop_does_not_spin),
        TEST(posts_of_many_threads_all_arrive_in_order),
        TEST(stop_comes_from_any_thread_even_before_run),
        TEST(reads_until_the_end_then_closes),
        TEST(tells_writable_and_hangup),
        TEST(close_is_at_once_and_told_later),
        TEST(closed_descriptor_is_silent_in_the_same_turn),
        TEST(refuses_what_cannot_be_watched),
        TEST(loop_writes_the_log_in_time),
    };
#ifdef TEST_CLOCK
    static char path[] = "/tmp/gateway-loop-test-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, 8) != 0 || setenv("ROLLOUT_GATEWAY_TEST_CLOCK", path, 1) != 0)
        return 1;
    clock_path = path;
#endif
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
#ifdef TEST_CLOCK
    unlink(path);
    close(fd);
#endif
    return rc;
}
