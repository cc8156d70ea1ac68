/* Reading and writing in one process: what is seen when, what a failing change leaves behind, what a full map
 * does. */
#include "unit/store/fixture.h"

#include <pthread.h>
#include <sys/stat.h>

struct fixture {
    struct place place;
    struct store *store;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    place_make(&f->place);
    f->store = open_store(&f->place);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    place_remove(&f->place);
    free(f);
    return 0;
}

static void reopen(struct fixture *f, size_t map_size)
{
    store_close(f->store);
    f->store = open_sized(&f->place, map_size);
}

static void records_come_back_after_a_reopen(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put(f->store, TABLE_A, SLICE("one"), SLICE("first")), 0);
    assert_int_equal(put(f->store, TABLE_A, SLICE("one"), SLICE("second, longer")), 0);
    assert_int_equal(put(f->store, TABLE_B, SLICE("one"), SLICE("")), 0);
    reopen(f, 0);
    assert_int_equal(get(f->store, TABLE_A, SLICE("one"), "second, longer"), 0);
    assert_int_equal(get(f->store, TABLE_B, SLICE("one"), ""), 0);
    assert_int_equal(erase(f->store, TABLE_A, SLICE("one")), 0);
    assert_int_equal(erase(f->store, TABLE_A, SLICE("one")), ERR_NOTFOUND);
    assert_int_equal(get(f->store, TABLE_A, SLICE("one"), NULL), ERR_NOTFOUND);
    assert_int_equal(get(f->store, TABLE_B, SLICE("one"), ""), 0);
}

static void files_are_private(void **state)
{
    struct fixture *f = *state;
    struct stat stat_of;
    assert_int_equal(stat(f->place.path, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0700);
    assert_int_equal(stat(f->place.data, &stat_of), 0);
    assert_int_equal(stat_of.st_mode & 0777, 0600);
}

static void sizes_are_bounded(void **state)
{
    struct fixture *f = *state;
    static char large[STORE_VALUE_MAX + 1];
    const struct {
        size_t key, value;
        int outcome;
    } rows[] = {
        {1, 0, 0},
        {STORE_KEY_MAX, 10, 0},
        {1, STORE_VALUE_MAX, 0},
        {0, 10, ERR_INVALID},
        {STORE_KEY_MAX + 1, 10, ERR_INVALID},
        {1, STORE_VALUE_MAX + 1, ERR_INVALID},
    };
    memset(large, 'x', sizeof(large));
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct slice key = slice_of(large, rows[i].key);
        assert_int_equal(put(f->store, TABLE_A, key, slice_of(large, rows[i].value)), rows[i].outcome);
        if (rows[i].outcome && rows[i].key != 1)
            assert_int_equal(get(f->store, TABLE_A, key, NULL), ERR_NOTFOUND);
    }
}

static void an_overwritten_large_value_may_shrink(void **state)
{
    struct fixture *f = *state;
    static char text[9001];
    for (size_t len = 9000; len > 0; len -= 500) {
        memset(text, 'v', len);
        text[len] = '\0';
        assert_int_equal(put(f->store, TABLE_A, SLICE("k"), slice_of(text, len)), 0);
        assert_int_equal(get(f->store, TABLE_A, SLICE("k"), text), 0);
    }
}

static void a_view_is_a_snapshot(void **state)
{
    struct fixture *f = *state;
    struct store_view *view = store_view_create(f->store);
    struct slice value;
    assert_int_equal(put(f->store, TABLE_A, SLICE("k"), SLICE("old")), 0);
    assert_int_equal(store_view_begin(view), 0);
    assert_int_equal(put(f->store, TABLE_A, SLICE("k"), SLICE("new")), 0);
    assert_int_equal(store_get(view, TABLE_A, SLICE("k"), &value), 0);
    assert_true(slice_equal(value, SLICE("old")));
    store_view_end(view);
    assert_int_equal(store_view_begin(view), 0);
    assert_int_equal(store_get(view, TABLE_A, SLICE("k"), &value), 0);
    assert_true(slice_equal(value, SLICE("new")));
    store_view_end(view);
    store_view_destroy(view);
}

struct seen {
    char text[64];
    size_t stop_after;
};

static bool on_key(struct slice key, struct slice value, void *arg)
{
    struct seen *seen = arg;
    (void)value;
    strncat(seen->text, key.ptr, key.len);
    return --seen->stop_after > 0;
}

static void a_scan_goes_in_order_and_stops(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *from;
        size_t stop_after;
        const char *seen;
    } rows[] = {{"", 9, "abbc"}, {"", 1, "a"},   {"b", 9, "bbc"},
                {"ba", 1, "bb"}, {"bc", 9, "c"}, {"d", 9, ""}};
    const char *keys[] = {"c", "a", "bb"};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(put(f->store, TABLE_A, slice_from(keys[i]), SLICE("v")), 0);
    struct store_view *view = store_view_create(f->store);
    assert_int_equal(store_view_begin(view), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct seen seen = {"", rows[i].stop_after};
        assert_int_equal(store_scan(view, TABLE_A, slice_from(rows[i].from), on_key, &seen, NULL), 0);
        assert_string_equal(seen.text, rows[i].seen);
    }
    store_view_end(view);
    store_view_destroy(view);
}

/* Puts and deletes in random order and of random length. */
struct churn {
    struct store_change change;
    uint32_t seed;
    bool present[2000];
};

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13, *seed ^= *seed >> 17, *seed ^= *seed << 5;
    return *seed;
}

static int apply_churn(struct store_change *change, struct store_txn *txn)
{
    struct churn *churn = container_of(change, struct churn, change);
    static char value[20000];
    int rc = 0;
    for (int i = 0; rc == 0 && i < 300; i++) {
        char key[16];
        uint32_t which = next_random(&churn->seed) % 2000, dice = next_random(&churn->seed);
        struct slice name = bulk_key(key, (int)which);
        if (churn->present[which] && dice % 3 == 0)
            rc = store_txn_delete(txn, TABLE_A, name);
        else
            rc = store_txn_put(txn, TABLE_A, name,
                               slice_of(value, dice % 5 ? dice % 900 : dice % sizeof(value)));
        churn->present[which] = !(churn->present[which] && dice % 3 == 0);
    }
    return rc;
}

/* An open looks at the pages: it must find nothing wrong with any that LMDB makes. */
static void whatever_was_written_opens_again(void **state)
{
    struct fixture *f = *state;
    struct churn churn = {.change.apply = apply_churn, .seed = 2463534242u};
    for (int round = 0; round < 60; round++) {
        size_t count = 0, damaged = 0;
        assert_int_equal(store_apply(f->store, &churn.change), 0);
        reopen(f, (size_t)64 << 20);
        for (size_t i = 0; i < 2000; i++)
            count += churn.present[i];
        assert_int_equal(count_records(f->store, TABLE_A, &damaged), count);
        assert_int_equal(damaged, 0);
    }
}

/* --- pages that the transaction itself has changed are no longer where the map is --- */

static int apply_rewrites(struct store_change *change, struct store_txn *txn)
{
    char key[16], value[700];
    struct slice found;
    (void)change;
    memset(value, 'x', sizeof(value));
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 400; i++) {
            int len = snprintf(key, sizeof(key), "key-%d", i);
            size_t size = (size_t)(40 + (i * 37 + round * 11) % 600);
            int error = store_txn_put(txn, TABLE_A, slice_of(key, (size_t)len), slice_of(value, size));
            if (!error)
                error = store_txn_get(txn, TABLE_A, slice_of(key, (size_t)len), &found);
            if (error || found.len != size)
                return error ? error : ERR_INVALID;
        }
    }
    return 0;
}

static void what_a_change_has_put_it_can_get(void **state)
{
    struct fixture *f = *state;
    struct store_change change = {.apply = apply_rewrites};
    assert_int_equal(store_apply(f->store, &change), 0);
}

/* --- failing changes --- */

struct gate {
    struct store_change change;
    pthread_mutex_t lock;
};

static int apply_gate(struct store_change *change, struct store_txn *txn)
{
    struct gate *gate = container_of(change, struct gate, change);
    (void)txn;
    pthread_mutex_lock(&gate->lock);
    pthread_mutex_unlock(&gate->lock);
    return 0;
}

static void on_ignored(struct store_change *change)
{
    (void)change;
}

/* Writes key, then fails (or not). */
struct step {
    struct store_change change;
    struct slice key;
    bool write_first;
    int outcome;
    int runs;
};

static int apply_step(struct store_change *change, struct store_txn *txn)
{
    struct step *step = container_of(change, struct step, change);
    step->runs++;
    if (step->write_first && store_txn_put(txn, TABLE_A, step->key, SLICE("v")))
        return ERR_IO;
    return step->outcome;
}

static void run_steps(struct fixture *f, struct step *steps, size_t count)
{
    struct gate gate = {.change = {.apply = apply_gate, .on_done = on_ignored},
                        .lock = PTHREAD_MUTEX_INITIALIZER};
    struct store_change *changes[8];
    pthread_mutex_lock(&gate.lock);
    store_submit(f->store, &gate.change);
    for (size_t i = 0; i < count; i++) {
        steps[i].change.apply = apply_step;
        changes[i] = &steps[i].change;
    }
    /* All but the last are queued while the writer waits at the gate; so they make one batch. */
    for (size_t i = 0; i + 1 < count; i++) {
        steps[i].change.on_done = on_ignored;
        store_submit(f->store, changes[i]);
    }
    pthread_mutex_unlock(&gate.lock);
    store_apply(f->store, changes[count - 1]);
}

static void a_change_that_fails_after_writing_is_undone_alone(void **state)
{
    struct fixture *f = *state;
    struct step steps[] = {
        {.key = SLICE("before"), .write_first = true},
        {.key = SLICE("undone"), .write_first = true, .outcome = ERR_EXISTS},
        {.key = SLICE("refused"), .outcome = ERR_LIMIT},
        {.key = SLICE("after"), .write_first = true},
    };
    run_steps(f, steps, 4);
    const int outcomes[] = {0, ERR_EXISTS, ERR_LIMIT, 0};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(steps[i].change.outcome, outcomes[i]);
    assert_int_equal(get(f->store, TABLE_A, SLICE("before"), "v"), 0);
    assert_int_equal(get(f->store, TABLE_A, SLICE("after"), "v"), 0);
    assert_int_equal(get(f->store, TABLE_A, SLICE("undone"), NULL), ERR_NOTFOUND);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.failures, 2);
    assert_int_equal(stats.changes, 5);
}

static void a_change_that_fails_before_writing_costs_the_others_nothing(void **state)
{
    struct fixture *f = *state;
    struct step steps[] = {
        {.key = SLICE("before"), .write_first = true},
        {.key = SLICE("refused"), .outcome = ERR_LIMIT},
        {.key = SLICE("after"), .write_first = true},
    };
    run_steps(f, steps, 3);
    assert_int_equal(steps[1].change.outcome, ERR_LIMIT);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(steps[i].runs, 1);
    assert_int_equal(get(f->store, TABLE_A, SLICE("before"), "v"), 0);
    assert_int_equal(get(f->store, TABLE_A, SLICE("after"), "v"), 0);
}

static int apply_swallow(struct store_change *change, struct store_txn *txn)
{
    (void)change;
    int rc = store_txn_put(txn, TABLE_A, SLICE("kept?"), SLICE("v"));
    rc = store_txn_put(txn, TABLE_A, SLICE(""), SLICE("v"));
    return rc ? 0 : 0;
}

static void an_error_that_apply_swallows_is_still_the_outcome(void **state)
{
    struct fixture *f = *state;
    struct store_change change = {.apply = apply_swallow};
    assert_int_equal(store_apply(f->store, &change), ERR_INVALID);
    assert_int_equal(get(f->store, TABLE_A, SLICE("kept?"), NULL), ERR_NOTFOUND);
}

/* --- where on_done runs --- */

struct posted {
    struct write write;
    struct loop *loop;
    pthread_t thread;
};

static void on_posted(struct store_change *change)
{
    struct posted *posted = container_of(container_of(change, struct write, change), struct posted, write);
    posted->thread = pthread_self();
    loop_stop(posted->loop);
}

static void on_done_runs_on_the_loop_after_the_commit(void **state)
{
    struct fixture *f = *state;
    struct posted posted = {.loop = loop_create()};
    posted.write = (struct write){
        .change = {.apply = apply_write, .on_done = on_posted, .loop = posted.loop},
        .table = TABLE_A,
        .key = SLICE("k"),
        .value = SLICE("v"),
    };
    store_submit(f->store, &posted.write.change);
    loop_run(posted.loop);
    loop_destroy(posted.loop);
    assert_int_equal(posted.write.change.outcome, 0);
    assert_true(pthread_equal(posted.thread, pthread_self()));
    assert_int_equal(get(f->store, TABLE_A, SLICE("k"), "v"), 0);
}

static void close_commits_what_is_queued(void **state)
{
    struct fixture *f = *state;
    struct write writes[100];
    char keys[100][16];
    for (int i = 0; i < 100; i++) {
        writes[i] = (struct write){.change = {.apply = apply_write, .on_done = on_ignored},
                                   .table = TABLE_A,
                                   .key = bulk_key(keys[i], i),
                                   .value = SLICE("v")};
        store_submit(f->store, &writes[i].change);
    }
    reopen(f, 0);
    assert_int_equal(count_records(f->store, TABLE_A, NULL), 100);
}

/* --- no room --- */

static int put_page(struct store *store, int i)
{
    static char value[8000];
    char key[16];
    return put(store, TABLE_A, bulk_key(key, i), slice_of(value, sizeof(value)));
}

static void a_full_map_refuses_and_recovers(void **state)
{
    struct fixture *f = *state;
    char key[16];
    int stored = 0, rc;
    reopen(f, (size_t)1 << 20);
    while ((rc = put_page(f->store, stored)) == 0)
        stored++;
    assert_int_equal(rc, ERR_FULL);
    assert_in_range(stored, 50, 128);
    assert_int_equal(count_records(f->store, TABLE_A, NULL), stored);
    for (int i = 0; i < stored; i++)
        assert_int_equal(erase(f->store, TABLE_A, bulk_key(key, i)), 0);
    for (int i = 0; i < stored / 2; i++)
        assert_int_equal(put_page(f->store, i), 0);
    assert_int_equal(count_records(f->store, TABLE_A, NULL), stored / 2);
}

static void one_change_too_large_for_the_map_is_undone(void **state)
{
    struct fixture *f = *state;
    reopen(f, (size_t)1 << 20);
    assert_int_equal(put(f->store, TABLE_A, SLICE("kept"), SLICE("v")), 0);
    assert_int_equal(fill(f->store, 1000, 3000), ERR_FULL);
    assert_int_equal(count_records(f->store, TABLE_A, NULL), 1);
    assert_int_equal(put(f->store, TABLE_A, SLICE("next"), SLICE("v")), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(records_come_back_after_a_reopen),
        CASE(files_are_private),
        CASE(sizes_are_bounded),
        CASE(an_overwritten_large_value_may_shrink),
        CASE(a_view_is_a_snapshot),
        CASE(a_scan_goes_in_order_and_stops),
        CASE(whatever_was_written_opens_again),
        CASE(what_a_change_has_put_it_can_get),
        CASE(a_change_that_fails_after_writing_is_undone_alone),
        CASE(a_change_that_fails_before_writing_costs_the_others_nothing),
        CASE(an_error_that_apply_swallows_is_still_the_outcome),
        CASE(on_done_runs_on_the_loop_after_the_commit),
        CASE(close_commits_what_is_queued),
        CASE(a_full_map_refuses_and_recovers),
        CASE(one_change_too_large_for_the_map_is_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
