/* Many threads at one desk: nothing is given twice, nobody is forgotten. Worth running under the thread
 * sanitizer. */
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"

enum { WORKERS = 4, ROUNDS = 400, SEATS = 24 };

struct shared {
    struct limit *limit;
    _Atomic uint64_t granted, refused, left;
    _Atomic int upstream; /* of the one tenant with concurrency */
    _Atomic int most;
    _Atomic bool over;
};

struct worker {
    struct shared *shared;
    struct loop *loop;
    struct loop_timer timer, tick;
    pthread_t thread;
    uint64_t seed;
    unsigned rounds, busy;
};

struct seat {
    struct limit_turn turn;
    struct worker *worker;
    struct loop_timer timer;
    bool used, waits, left;
};

static void mind(struct worker *worker);

static void on_due(struct loop_timer *timer)
{
    struct worker *worker = container_of(timer, struct worker, timer);
    limit_pump(worker->shared->limit, loop_now(worker->loop));
    mind(worker);
}

static void mind(struct worker *worker)
{
    uint64_t due = limit_due_ms(worker->shared->limit);
    if (due != UINT64_MAX && (worker->timer.deadline == 0 || due < worker->timer.deadline))
        assert_int_equal(loop_timer_set(worker->loop, &worker->timer, due, on_due), 0);
}

static void end(struct seat *seat)
{
    struct worker *worker = seat->worker;
    limit_done(worker->shared->limit, &seat->turn, loop_now(worker->loop));
    seat->used = seat->waits = seat->left = false;
    worker->busy--;
    mind(worker);
}

static void on_answered(struct loop_timer *timer)
{
    struct seat *seat = container_of(timer, struct seat, timer);
    struct worker *worker = seat->worker;
    limit_learn(worker->shared->limit, &seat->turn, next_random(&worker->seed) % 50 == 0 ? 429 : 200,
                UINT64_MAX, loop_now(worker->loop));
    atomic_fetch_sub(&worker->shared->upstream, 1);
    end(seat);
}

static void go(struct seat *seat)
{
    struct shared *shared = seat->worker->shared;
    int now = atomic_fetch_add(&shared->upstream, 1) + 1, most = atomic_load(&shared->most);
    while (now > most && !atomic_compare_exchange_weak(&shared->most, &most, now))
        ;
    atomic_fetch_add(&shared->granted, 1);
    uint64_t over = loop_now(seat->worker->loop) + next_random(&seat->worker->seed) % 3;
    assert_int_equal(loop_timer_set(seat->worker->loop, &seat->timer, over, on_answered), 0);
}

static void on_seat(struct limit_turn *turn)
{
    struct seat *seat = container_of(turn, struct seat, turn);
    seat->waits = false;
    if (seat->left || turn->answer != LIMIT_GRANTED) {
        atomic_fetch_add(seat->left ? &seat->worker->shared->left : &seat->worker->shared->refused, 1);
        end(seat);
    } else {
        go(seat);
    }
}

static void ask_seat(struct worker *worker, struct seat *seat)
{
    static const char *const tenants[] = {"a", "b", "c", "d", "e"}, *const services[] = {"x", "y", ""};
    struct limit_who who = {slice_from(tenants[next_random(&worker->seed) % 5]), SLICE("c"),
                            slice_from(services[next_random(&worker->seed) % 3]),
                            next_random(&worker->seed) % 9 == 0, next_random(&worker->seed) % 2 ? 300 : 0};
    *seat = (struct seat){.worker = worker, .used = true, .turn = {.loop = worker->loop, .on_turn = on_seat}};
    worker->busy++;
    switch (limit_ask(worker->shared->limit, &seat->turn, &who, loop_now(worker->loop))) {
    case LIMIT_GRANTED:
        go(seat);
        break;
    case LIMIT_WAITING:
        seat->waits = true;
        break;
    case LIMIT_REFUSED:
        atomic_fetch_add(&worker->shared->refused, 1);
        end(seat);
        break;
    }
    mind(worker);
}

static void leave(struct worker *worker, struct seat *seat)
{
    seat->waits = false;
    if (limit_leave(worker->shared->limit, &seat->turn, loop_now(worker->loop))) {
        seat->left = true;
        return;
    }
    atomic_fetch_add(&worker->shared->left, 1);
    end(seat);
}

struct rig {
    struct worker worker;
    struct seat seats[SEATS];
};

static void on_tick(struct loop_timer *timer)
{
    struct rig *rig = container_of(timer, struct rig, worker.tick);
    struct worker *worker = &rig->worker;
    bool asking = worker->rounds < ROUNDS;
    worker->rounds++;
    for (int i = 0; i < SEATS; i++) {
        struct seat *seat = &rig->seats[i];
        if (!seat->used && asking && next_random(&worker->seed) % 2)
            ask_seat(worker, seat);
        else if (seat->waits && next_random(&worker->seed) % 40 == 0)
            leave(worker, seat);
    }
    /* All stay until all are over: who promised to pump has to be there. */
    if (atomic_load(&worker->shared->over) && worker->busy == 0)
        loop_stop(worker->loop);
    else
        assert_int_equal(loop_timer_set(worker->loop, timer, loop_now(worker->loop) + 1, on_tick), 0);
}

static void *run(void *arg)
{
    struct worker *worker = arg;
    assert_int_equal(loop_timer_set(worker->loop, &worker->tick, 1, on_tick), 0);
    loop_run(worker->loop);
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    struct limit_options options = {
        .rules = {[LIMIT_CLIENT] = {.rate = 3000, .burst = 100, .max_wait_ms = 100},
                  [LIMIT_TENANT] = {.rate = 1500, .burst = 20, .concurrency = 6, .max_wait_ms = 100},
                  [LIMIT_SERVICE] = {.rate = 2500, .burst = 50, .concurrency = 20, .max_wait_ms = 100}}};
    struct shared shared = {.limit = limit_create(&options)};
    static struct rig rigs[WORKERS];
    uint64_t begun = clock_mono_ms();
    for (unsigned i = 0; i < WORKERS; i++) {
        rigs[i].worker = (struct worker){.shared = &shared, .loop = loop_create(), .seed = 7919 * (i + 1)};
        assert_int_equal(pthread_create(&rigs[i].worker.thread, NULL, run, &rigs[i].worker), 0);
    }
    /* The end is when nobody waits any more, long after the last asked: bounded by max_wait. */
    struct limit_stats stats = {0};
    struct timespec pause = {0, 5 * 1000 * 1000};
    do {
        nanosleep(&pause, NULL);
        limit_stats(shared.limit, &stats);
    } while (clock_mono_ms() - begun < ROUNDS + 1000 ||
             (stats.waiting > 0 && clock_mono_ms() - begun < 60000));
    assert_int_equal(stats.waiting, 0);
    atomic_store(&shared.over, true);
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(rigs[i].worker.thread, NULL);
        assert_int_equal(rigs[i].worker.busy, 0);
        loop_destroy(rigs[i].worker.loop);
    }
    uint64_t seconds = (clock_mono_ms() - begun) / 1000 + 1;
    assert_int_equal(shared.upstream, 0);
    assert_in_range(shared.most, 2, 5 * 6);
    assert_in_range(shared.granted, 100, 3000 * seconds + 100);
    assert_true(shared.refused + shared.left > 0);
    limit_stats(shared.limit, &stats);
    assert_true(stats.granted >= shared.granted);
    limit_destroy(shared.limit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
