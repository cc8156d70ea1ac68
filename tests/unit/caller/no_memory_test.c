/* OpenSSL's allocations fail from the n-th on, for every n: nobody is let in by failure, and no key is made
 * of a hash that is not one. */
#include "unit/caller/fixture.h"

#include <openssl/crypto.h>

static long left = -1; /* allocations that still succeed; negative: all */

static bool may_allocate(void)
{
    if (left == 0)
        return false;
    left -= left > 0;
    return true;
}

static void *on_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return may_allocate() ? malloc(size) : NULL;
}

static void *on_realloc(void *ptr, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return may_allocate() ? realloc(ptr, size) : NULL;
}

static void on_free(void *ptr, const char *file, int line)
{
    (void)file, (void)line;
    free(ptr);
}

static enum caller_outcome ask(struct rig *rig, struct slice key)
{
    const struct caller *caller;
    struct caller_proof proof = {.has_key = true, .key = key};
    struct caller_desk *desk = caller_desk_create(rig->store, FIRST_TABLE); /* one that remembers nothing */
    assert_non_null(desk);
    assert_int_equal(store_view_begin(rig->view), 0);
    enum caller_outcome outcome = caller_identify(desk, rig->view, &proof, &caller);
    store_view_end(rig->view);
    caller_release(caller);
    caller_desk_destroy(desk);
    return outcome;
}

static void making_fails_whole(void **state)
{
    struct rig *rig = *state;
    struct caller_spec spec = spec_of("one", NULL, NULL, NULL);
    static const char wiped[CALLER_KEY_LEN];
    struct fault fault;
    long failures = 0;
    int rc =
        caller_change_create(&rig->change, FIRST_TABLE, &spec, 1, &fault); /* OpenSSL loads its own parts */
    assert_int_equal(rc, 0);
    do {
        left = failures++;
        rc = caller_change_create(&rig->change, FIRST_TABLE, &spec, 1, &fault);
        left = -1;
        assert_true(rc == 0 || rc == ERR_NOMEM);
        if (rc)
            assert_memory_equal(rig->change.key, wiped, sizeof wiped);
    } while (rc);
    assert_true(failures > 1);
    assert_int_equal(store_apply(rig->store, &rig->change.change), 0);
    assert_int_equal(ask(rig, slice_of(rig->change.key, CALLER_KEY_LEN)), CALLER_KNOWN);
}

static void nobody_is_known_by_failure(void **state)
{
    struct rig *rig = *state;
    struct made made = rig_make(rig, "one", NULL);
    enum caller_outcome outcome = CALLER_UNAVAILABLE;
    long failures = 0;
    for (; outcome != CALLER_KNOWN; failures++) {
        struct made other = made;
        other.key[10] = other.key[10] == 'A' ? 'B' : 'A';
        left = failures;
        outcome = ask(rig, key_of(&made));
        left = failures;
        enum caller_outcome wrong = ask(rig, key_of(&other));
        left = -1;
        assert_true(outcome == CALLER_KNOWN || outcome == CALLER_UNAVAILABLE);
        assert_true(wrong == CALLER_KEY_UNKNOWN || wrong == CALLER_UNAVAILABLE);
    }
    assert_true(failures > 1);
}

int main(void)
{
#define RIGGED(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        RIGGED(making_fails_whole),
        RIGGED(nobody_is_known_by_failure),
    };
    if (!CRYPTO_set_mem_functions(on_malloc, on_realloc, on_free))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
