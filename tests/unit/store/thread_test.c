/* Four readers beside a writer: each view shows both halves of a change or neither, and time does not go
 * back. Meant for the thread sanitizer as well. */
#include "unit/store/fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { READERS = 4, CHANGES = 300, SUBMITTERS = 3, PER_SUBMITTER = 200 };

struct shared {
    struct store *store;
    atomic_bool stop;
    atomic_int ready;
};

struct pair {
    struct store_change change;
    uint64_t number;
};

static struct slice bytes_of(const uint64_t *number)
{
    return slice_of((const char *)number, sizeof(*number));
}

static int apply_pair(struct store_change *change, struct store_txn *txn)
{
    struct pair *pair = container_of(change, struct pair, change);
    int rc = store_txn_put(txn, TABLE_A, SLICE("left"), bytes_of(&pair->number));
    return rc ? rc : store_txn_put(txn, TABLE_B, SLICE("right"), bytes_of(&pair->number));
}

static uint64_t number_at(struct store_view *view, int table, struct slice key)
{
    struct slice value;
    uint64_t number = UINT64_MAX;
    if (store_get(view, table, key, &value) == 0 && value.len == sizeof(number))
        memcpy(&number, value.ptr, sizeof(number));
    return number;
}

static void *read_pairs(void *arg)
{
    struct shared *shared = arg;
    struct store_view *view = store_view_create(shared->store);
    uint64_t latest = 0, faults = 0, reads = 0;
    atomic_fetch_add(&shared->ready, 1);
    do {
        if (store_view_begin(view)) {
            faults++;
            continue;
        }
        uint64_t left = number_at(view, TABLE_A, SLICE("left")),
                 right = number_at(view, TABLE_B, SLICE("right"));
        store_view_end(view);
        faults += left != right || left < latest || left == UINT64_MAX;
        latest = left;
        reads++;
    } while (!atomic_load(&shared->stop));
    store_view_destroy(view);
    return (void *)(uintptr_t)(reads ? faults : 1);
}

static void readers_see_whole_changes(void **state)
{
    struct place place;
    (void)state;
    place_make(&place);
    struct shared shared = {.store = open_store(&place)};
    struct pair pair = {.change.apply = apply_pair};
    pthread_t readers[READERS];
    assert_int_equal(store_apply(shared.store, &pair.change), 0);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_pairs, &shared), 0);
    while (atomic_load(&shared.ready) < READERS)
        ;
    for (pair.number = 1; pair.number <= CHANGES; pair.number++)
        assert_int_equal(store_apply(shared.store, &pair.change), 0);
    atomic_store(&shared.stop, true);
    for (int i = 0; i < READERS; i++) {
        void *faults;
        pthread_join(readers[i], &faults);
        assert_null(faults);
    }
    store_close(shared.store);
    place_remove(&place);
}

static int apply_increment(struct store_change *change, struct store_txn *txn)
{
    struct slice value;
    uint64_t number = 0;
    (void)change;
    if (store_txn_get(txn, TABLE_A, SLICE("n"), &value) == 0)
        memcpy(&number, value.ptr, sizeof(number));
    number++;
    return store_txn_put(txn, TABLE_A, SLICE("n"), bytes_of(&number));
}

static void *submit_many(void *arg)
{
    struct shared *shared = arg;
    struct store_change changes[20], *pointers[20];
    for (int i = 0; i < 20; i++)
        pointers[i] = &changes[i];
    size_t failed = 0;
    for (int round = 0; round < PER_SUBMITTER / 20; round++) {
        for (int i = 0; i < 20; i++)
            changes[i] = (struct store_change){.apply = apply_increment};
        failed += store_apply_all(shared->store, pointers, 20);
    }
    return (void *)(uintptr_t)failed;
}

static void changes_of_several_threads_are_all_made(void **state)
{
    struct place place;
    (void)state;
    place_make(&place);
    struct shared shared = {.store = open_store(&place)};
    pthread_t threads[SUBMITTERS];
    for (int i = 0; i < SUBMITTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &shared), 0);
    for (int i = 0; i < SUBMITTERS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    struct store_view *view = store_view_create(shared.store);
    assert_int_equal(store_view_begin(view), 0);
    assert_int_equal(number_at(view, TABLE_A, SLICE("n")), SUBMITTERS * PER_SUBMITTER);
    store_view_end(view);
    store_view_destroy(view);
    store_close(shared.store);
    place_remove(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_whole_changes),
        cmocka_unit_test(changes_of_several_threads_are_all_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
