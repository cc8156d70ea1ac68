/* Several processes on one directory: what was acknowledged survives a kill, updates are not lost, a larger
 * map is followed, a disk without room. Children are forked before this process has a store or a thread. */
#include "unit/store/fixture.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place_make(place);
    *state = place;
    return 0;
}

static int tear_down(void **state)
{
    place_remove(*state);
    free(*state);
    return 0;
}

struct child {
    pid_t pid;
    int news;   /* the child's bytes to us */
    int orders; /* ours to the child */
};

/* Runs body(place, news, orders) in a child, which ends with its result as status. */
static struct child start(const struct place *place,
                          int (*body)(const struct place *place, int news, int orders))
{
    int news[2], orders[2];
    assert_int_equal(pipe(news), 0);
    assert_int_equal(pipe(orders), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(news[0]);
        close(orders[1]);
        _exit(body(place, news[1], orders[0]));
    }
    close(news[1]);
    close(orders[0]);
    return (struct child){pid, news[0], orders[1]};
}

static int finish(struct child child)
{
    int status;
    close(child.orders);
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    close(child.news);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool hear(int fd)
{
    char byte;
    return read(fd, &byte, 1) == 1;
}

static void say(int fd)
{
    assert_int_equal(write(fd, "x", 1), 1);
}

static int write_until_killed(const struct place *place, int news, int orders)
{
    struct store *store = open_store(place);
    char key[16];
    (void)orders;
    for (int i = 0; i < 10000; i++) {
        if (put(store, TABLE_A, bulk_key(key, i), SLICE("v")))
            return 1;
        say(news);
    }
    return 2;
}

static void what_was_acknowledged_survives_a_kill(void **state)
{
    struct place *place = *state;
    char key[16];
    for (int round = 1; round <= 5; round++) {
        struct child child = start(place, write_until_killed);
        int heard = 0;
        while (heard < round * 7 && hear(child.news))
            heard++;
        kill(child.pid, SIGKILL);
        while (hear(child.news)) /* said before it died */
            heard++;
        assert_int_equal(finish(child), 128 + SIGKILL);
        struct store *store = open_store(place);
        for (int i = 0; i < heard; i++)
            assert_int_equal(get(store, TABLE_A, bulk_key(key, i), "v"), 0);
        assert_int_equal(put(store, TABLE_B, SLICE("goes on"), SLICE("v")), 0);
        store_close(store);
    }
}

struct hang {
    struct store_change change;
    int news;
};

static int apply_hang(struct store_change *change, struct store_txn *txn)
{
    int rc = store_txn_put(txn, TABLE_A, SLICE("never"), SLICE("v"));
    say(container_of(change, struct hang, change)->news);
    for (;;)
        pause();
    return rc;
}

static int die_inside_a_transaction(const struct place *place, int news, int orders)
{
    struct hang hang = {.change.apply = apply_hang, .news = news};
    (void)orders;
    return store_apply(open_store(place), &hang.change);
}

static void a_kill_inside_a_transaction_leaves_no_trace_and_no_lock(void **state)
{
    struct place *place = *state;
    struct child child = start(place, die_inside_a_transaction);
    assert_true(hear(child.news));
    kill(child.pid, SIGKILL);
    assert_int_equal(finish(child), 128 + SIGKILL);
    struct store *store = open_store(place);
    assert_int_equal(get(store, TABLE_A, SLICE("never"), NULL), ERR_NOTFOUND);
    assert_int_equal(put(store, TABLE_A, SLICE("after"), SLICE("v")), 0);
    store_close(store);
}

/* --- two writers --- */

enum { INCREMENTS = 200 };

static int apply_increment(struct store_change *change, struct store_txn *txn)
{
    struct slice value;
    uint64_t count = 0;
    (void)change;
    int rc = store_txn_get(txn, TABLE_A, SLICE("count"), &value);
    if (rc == 0)
        memcpy(&count, value.ptr, sizeof(count));
    else if (rc != ERR_NOTFOUND)
        return rc;
    count++;
    return store_txn_put(txn, TABLE_A, SLICE("count"), slice_of((const char *)&count, sizeof(count)));
}

static int increment(struct store *store)
{
    for (int i = 0; i < INCREMENTS; i++) {
        struct store_change change = {.apply = apply_increment};
        if (store_apply(store, &change))
            return 1;
    }
    return 0;
}

static int increment_in_child(const struct place *place, int news, int orders)
{
    struct store *store = open_store(place);
    say(news);
    if (!hear(orders))
        return 3;
    int rc = increment(store);
    store_close(store);
    return rc;
}

static void two_processes_lose_no_update(void **state)
{
    struct place *place = *state;
    struct child child = start(place, increment_in_child);
    struct store *store = open_store(place); /* both open at once, and one of them makes the file */
    assert_true(hear(child.news));
    say(child.orders);
    assert_int_equal(increment(store), 0);
    assert_int_equal(finish(child), 0);
    struct store_view *view = store_view_create(store);
    struct slice value;
    uint64_t count;
    assert_int_equal(store_view_begin(view), 0);
    assert_int_equal(store_get(view, TABLE_A, SLICE("count"), &value), 0);
    memcpy(&count, value.ptr, sizeof(count));
    assert_int_equal(count, 2 * INCREMENTS);
    store_view_end(view);
    store_view_destroy(view);
    store_close(store);
}

/* --- a larger map --- */

static int outgrow(const struct place *place, int news, int orders)
{
    if (!hear(orders))
        return 3;
    struct store *store = open_sized(place, (size_t)32 << 20);
    int rc = fill(store, 3000, 3000);
    store_close(store);
    say(news);
    return rc ? 1 : 0;
}

static void a_map_that_another_process_enlarged_is_followed(void **state)
{
    struct place *place = *state;
    for (int writer_first = 0; writer_first < 2; writer_first++) {
        struct child child = start(place, outgrow);
        struct store *store = open_sized(place, (size_t)1 << 20);
        assert_int_equal(put(store, TABLE_B, SLICE("small"), SLICE("v")), 0);
        assert_int_equal(get(store, TABLE_B, SLICE("small"), "v"), 0);
        say(child.orders);
        assert_true(hear(child.news));
        if (writer_first)
            assert_int_equal(put(store, TABLE_B, SLICE("more"), SLICE("w")), 0);
        assert_int_equal(get(store, TABLE_A, SLICE("key-2999"), NULL), 0);
        assert_int_equal(put(store, TABLE_B, SLICE("more"), SLICE("w")), 0);
        struct store_stats stats;
        store_stats(store, &stats);
        assert_true(stats.map_bytes >= stats.used_bytes);
        store_close(store);
        assert_int_equal(finish(child), 0);
        unlink(place->data);
    }
}

/* --- a disk without room: a limit on the size of files makes the same writes fail --- */

static void limit_files(rlim_t size)
{
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = size;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static int fill_the_disk(const struct place *place, int news, int orders)
{
    (void)news, (void)orders;
    signal(SIGXFSZ, SIG_IGN);
    struct store *store = open_store(place);
    if (put(store, TABLE_B, SLICE("before"), SLICE("v")))
        return 10;
    limit_files(1 << 20);
    int rc = fill(store, 2000, 2000);
    if (rc != ERR_FULL && rc != ERR_IO)
        return 11;
    if (get(store, TABLE_B, SLICE("before"), "v") || count_records(store, TABLE_A, NULL) != 0)
        return 12;
    if (put(store, TABLE_B, SLICE("small"), SLICE("v")))
        return 13;
    limit_files(RLIM_INFINITY);
    if (fill(store, 2000, 2000) || count_records(store, TABLE_A, NULL) != 2000)
        return 14;
    store_close(store);
    return 0;
}

static void a_full_disk_fails_that_write_only(void **state)
{
    struct place *place = *state;
    assert_int_equal(finish(start(place, fill_the_disk)), 0);
    struct store *store = open_store(place);
    assert_int_equal(count_records(store, TABLE_A, NULL), 2000);
    assert_int_equal(get(store, TABLE_B, SLICE("small"), "v"), 0);
    store_close(store);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(what_was_acknowledged_survives_a_kill),
        CASE(a_kill_inside_a_transaction_leaves_no_trace_and_no_lock),
        CASE(two_processes_lose_no_update),
        CASE(a_map_that_another_process_enlarged_is_followed),
        CASE(a_full_disk_fails_that_write_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
