/* Keys from their making to their end, over a real store, as two workers see them. */
#include "unit/caller/fixture.h"

#include <sys/wait.h>

#include "base/clock.h"

static enum caller_outcome ask(struct rig *rig, int worker, const struct caller_proof *proof,
                               const struct caller **out)
{
    assert_int_equal(store_view_begin(rig->view), 0);
    enum caller_outcome outcome = caller_identify(rig->desks[worker], rig->view, proof, out);
    store_view_end(rig->view);
    return outcome;
}

static enum caller_outcome outcome_of(struct rig *rig, int worker, const struct caller_proof *proof)
{
    const struct caller *caller;
    enum caller_outcome outcome = ask(rig, worker, proof, &caller);
    assert_true((outcome == CALLER_KNOWN) == (caller != NULL));
    caller_release(caller);
    return outcome;
}

static enum caller_outcome with_key(struct rig *rig, int worker, const struct made *made)
{
    struct caller_proof proof = {.has_key = true, .key = key_of(made)};
    return outcome_of(rig, worker, &proof);
}

static enum caller_outcome with_peer(struct rig *rig, const char *peer)
{
    struct caller_proof proof = {.peer = slice_from(peer)};
    return outcome_of(rig, 0, &proof);
}

static int find(struct rig *rig, struct slice id, struct caller *out)
{
    assert_int_equal(store_view_begin(rig->view), 0);
    int rc = caller_find(rig->view, FIRST_TABLE, id, out);
    store_view_end(rig->view);
    return rc;
}

static int nothing(struct store_change *change, struct store_txn *txn)
{
    (void)change, (void)txn;
    return 0;
}

/* Whatever was submitted before is committed when this returns. */
static uint64_t settle(struct rig *rig)
{
    struct store_change change = {.apply = nothing};
    struct store_stats stats;
    assert_int_equal(store_apply(rig->store, &change), 0);
    store_stats(rig->store, &stats);
    return stats.changes;
}

static void expect_words(const struct caller_words *words, const char *expected)
{
    struct caller_words other = words_of(expected);
    assert_int_equal(words->count, other.count);
    for (size_t i = 0; i < other.count; i++)
        assert_true(slice_equal(words->at[i], other.at[i]));
}

/* --- tests ---------------------------------------------------------------------------------------------- */

static void records_come_back_as_they_went(void **state)
{
    struct rig *rig = *state;
    struct caller caller;
    char id[CALLER_ID_LEN], key[CALLER_KEY_LEN];
    struct caller_spec spec = spec_of("billing", "acme-*,globex", "crm", "GET,HEAD");
    spec.peers = words_of("dns:billing.internal");
    spec.rate = SLICE("100/s");
    assert_int_equal(rig_create(rig, &spec, 1234567890123), 0);
    memcpy(id, rig->change.result.id, sizeof id);
    memcpy(key, rig->change.key, sizeof key);
    rig_close(rig);
    rig_open(rig);
    assert_int_equal(store_view_begin(rig->view), 0);
    assert_int_equal(caller_find(rig->view, FIRST_TABLE, slice_of(id, sizeof id), &caller), 0);
    assert_memory_equal(caller.id, id, sizeof id);
    assert_true(slice_equal(caller.spec.name, SLICE("billing")) &&
                slice_equal(caller.spec.rate, SLICE("100/s")));
    expect_words(&caller.spec.tenants, "acme-*,globex");
    expect_words(&caller.spec.apis, "crm");
    expect_words(&caller.spec.methods, "GET,HEAD");
    expect_words(&caller.spec.peers, "dns:billing.internal");
    assert_int_equal(caller.status, CALLER_ACTIVE);
    assert_true(caller.created_at == 1234567890123 && caller.last_used_at == 0 && caller.revoked_at == 0);
    assert_int_equal(caller_find_name(rig->view, FIRST_TABLE, SLICE("billing"), &caller), 0);
    assert_int_equal(caller_find_name(rig->view, FIRST_TABLE, SLICE("billin"), &caller), ERR_NOTFOUND);
    assert_int_equal(caller_find(rig->view, FIRST_TABLE, SLICE("0000000000000000"), &caller), ERR_NOTFOUND);
    assert_int_equal(caller_find(rig->view, FIRST_TABLE, SLICE("#"), &caller), ERR_NOTFOUND);
    store_view_end(rig->view);
    struct made made;
    memcpy(made.key, key, sizeof key);
    assert_int_equal(with_key(rig, 0, &made), CALLER_KNOWN);
}

static void what_is_not_named_is_every_one(void **state)
{
    struct rig *rig = *state;
    struct made made = rig_make(rig, "all", NULL);
    struct caller caller;
    assert_int_equal(store_view_begin(rig->view), 0);
    assert_int_equal(caller_find(rig->view, FIRST_TABLE, id_of(&made), &caller), 0);
    expect_words(&caller.spec.tenants, "*");
    expect_words(&caller.spec.apis, "*");
    expect_words(&caller.spec.methods, "*");
    assert_int_equal(caller.spec.peers.count, 0);
    store_view_end(rig->view);
}

static void nobody_is_asked_before_there_is_a_key(void **state)
{
    struct rig *rig = *state;
    struct caller_proof none = {0}, open = {.anonymous = true};
    bool demanded = true;
    struct made stranger = {.key = "rgk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    stranger.key[CALLER_KEY_LEN - 1] = 'a';
    assert_int_equal(outcome_of(rig, 0, &none), CALLER_ANONYMOUS);
    assert_int_equal(with_key(rig, 0, &stranger), CALLER_ANONYMOUS);
    assert_int_equal(with_peer(rig, "dns:a"), CALLER_ANONYMOUS);
    assert_int_equal(store_view_begin(rig->view), 0);
    assert_int_equal(caller_demanded(rig->view, FIRST_TABLE, &demanded), 0);
    store_view_end(rig->view);
    assert_false(demanded);

    struct made made = rig_make(rig, "one", NULL);
    for (int revoked = 0; revoked < 2; revoked++) {
        assert_int_equal(outcome_of(rig, 0, &none), CALLER_KEY_MISSING);
        assert_int_equal(outcome_of(rig, 0, &open), CALLER_ANONYMOUS);
        assert_int_equal(with_peer(rig, "dns:a"), CALLER_PEER_UNKNOWN);
        if (!revoked)
            assert_int_equal(rig_revoke(rig, id_of(&made), 5), 0);
    }
    /* A bad key is refused even where none is needed. */
    open.has_key = true;
    open.key = key_of(&made);
    assert_int_equal(outcome_of(rig, 0, &open), CALLER_KEY_REVOKED);
    assert_int_equal(store_view_begin(rig->view), 0);
    assert_int_equal(caller_demanded(rig->view, FIRST_TABLE, &demanded), 0);
    store_view_end(rig->view);
    assert_true(demanded);
}

static void a_revoked_key_stops_on_every_worker(void **state)
{
    struct rig *rig = *state;
    struct made first = rig_make(rig, "first", NULL), second = rig_make(rig, "second", NULL);
    const struct caller *held;
    struct caller_proof proof = {.has_key = true, .key = key_of(&first)};
    for (int i = 0; i < 4; i++)
        assert_int_equal(with_key(rig, i % 2, &first), CALLER_KNOWN);
    assert_int_equal(ask(rig, 0, &proof, &held), CALLER_KNOWN);
    assert_int_equal(rig_revoke(rig, id_of(&first), 77), 0);
    assert_true(slice_equal(rig->change.result.spec.name, SLICE("first")));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(with_key(rig, i % 2, &first), CALLER_KEY_REVOKED);
        assert_int_equal(with_key(rig, i % 2, &second), CALLER_KNOWN);
    }
    /* A request that began before keeps what it has. */
    assert_true(slice_equal(held->spec.name, SLICE("first")));
    caller_release(held);
    struct caller caller;
    assert_int_equal(find(rig, id_of(&first), &caller), 0);
    assert_true(caller.status == CALLER_REVOKED && caller.revoked_at == 77);
    assert_int_equal(rig_revoke(rig, id_of(&first), 78), ERR_NOTFOUND);
    assert_int_equal(rig_revoke(rig, SLICE("0123456789abcdef"), 78), ERR_NOTFOUND);
}

/* Another process, as the command line: its own opening of the same store. */
static void revoke_elsewhere(const char *root, struct slice id)
{
    static struct rig other;
    static const char *const tables[] = {CALLER_TABLES, NULL};
    struct store_options options = {.path = root, .tables = tables, .map_size = (size_t)64 << 20};
    struct fault fault = {""};
    if (store_open(&other.store, &options, &fault) || caller_change_revoke(&other.change, 0, id, 9) ||
        store_apply(other.store, &other.change.change))
        _exit(1);
    store_close(other.store);
    _exit(0);
}

static void a_key_that_another_process_revokes_stops_at_once(void **state)
{
    struct rig *rig = *state;
    int status, start[2];
    char byte;
    struct made made = rig_make(rig, "one", NULL);
    /* The child must not inherit an open LMDB environment. */
    rig_close(rig);
    assert_int_equal(pipe(start), 0);
    pid_t child = fork();
    if (child == 0) {
        if (read(start[0], &byte, 1) != 1)
            _exit(1);
        revoke_elsewhere(rig->root, id_of(&made));
    }
    rig_open(rig);
    assert_int_equal(with_key(rig, 0, &made), CALLER_KNOWN);
    assert_int_equal(with_key(rig, 0, &made), CALLER_KNOWN);
    assert_int_equal(write(start[1], "x", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(with_key(rig, 0, &made), CALLER_KEY_REVOKED);
    close(start[0]);
    close(start[1]);
}

static void near_misses_are_unknown(void **state)
{
    struct rig *rig = *state;
    struct made made = rig_make(rig, "one", NULL);
    for (size_t i = 4; i < CALLER_KEY_LEN; i++) {
        struct made other = made;
        other.key[i] = other.key[i] == 'A' ? 'B' : 'A';
        assert_int_equal(with_key(rig, 0, &other), CALLER_KEY_UNKNOWN);
        assert_int_equal(with_key(rig, 0, &made), CALLER_KNOWN);
    }
    struct caller_proof proof = {.has_key = true, .key = slice_of(made.key, CALLER_KEY_LEN - 1)};
    assert_int_equal(outcome_of(rig, 0, &proof), CALLER_KEY_UNKNOWN);
    proof = (struct caller_proof){.has_key = true, .key = key_of(&made), .flaw = CALLER_KEYS_DIFFER};
    assert_int_equal(outcome_of(rig, 0, &proof), CALLER_KEYS_DIFFER);
}

static void names_are_one_keys(void **state)
{
    struct rig *rig = *state;
    struct made first = rig_make(rig, "billing", "dns:a,dns:b");
    struct caller_spec spec = spec_of("billing", NULL, NULL, NULL);
    assert_int_equal(rig_create(rig, &spec, 1), ERR_EXISTS);
    assert_true(slice_equal(rig->change.taken, SLICE("billing")));
    spec = spec_of("other", NULL, NULL, NULL);
    spec.peers = words_of("dns:c,dns:b");
    assert_int_equal(rig_create(rig, &spec, 1), ERR_EXISTS);
    assert_true(slice_equal(rig->change.taken, SLICE("dns:b")));
    /* Nothing of it stayed. */
    assert_int_equal(with_peer(rig, "dns:c"), CALLER_PEER_UNKNOWN);
    rig_make(rig, "other", "dns:c");
    assert_int_equal(rig_revoke(rig, id_of(&first), 5), 0);
    rig_make(rig, "billing", "dns:b");
    assert_int_equal(with_peer(rig, "dns:a"), CALLER_PEER_UNKNOWN);
    assert_int_equal(with_peer(rig, "dns:b"), CALLER_KNOWN);
}

static void peers_are_callers(void **state)
{
    struct rig *rig = *state;
    struct made first = rig_make(rig, "first", "dns:first"), second = rig_make(rig, "second", "dns:second");
    struct caller_proof proof = {.has_key = true, .key = key_of(&first)};
    const struct {
        const char *peer;
        enum caller_outcome alone, with_first;
    } rows[] = {
        {"", CALLER_KEY_MISSING, CALLER_KNOWN},
        {"dns:first", CALLER_KNOWN, CALLER_KNOWN},
        {"dns:second", CALLER_KNOWN, CALLER_PEER_DIFFERS},
        {"dns:nobody", CALLER_PEER_UNKNOWN, CALLER_KNOWN},
        {"dns:First", CALLER_PEER_UNKNOWN, CALLER_KNOWN},
    };
    for (int again = 0; again < 2; again++)
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            proof.peer = slice_from(rows[i].peer);
            assert_int_equal(with_peer(rig, rows[i].peer), rows[i].alone);
            assert_int_equal(outcome_of(rig, 0, &proof), rows[i].with_first);
        }
    assert_int_equal(rig_revoke(rig, id_of(&second), 5), 0);
    assert_int_equal(with_peer(rig, "dns:second"), CALLER_PEER_UNKNOWN);
}

static void last_use_is_noted_once_a_minute(void **state)
{
    struct rig *rig = *state;
    struct made made = rig_make(rig, "one", NULL);
    struct caller_proof proof = {.has_key = true, .key = key_of(&made), .now_ms = 5000};
    struct caller caller;
    int64_t before = clock_wall_ms();
    uint64_t changes = settle(rig);
    assert_int_equal(outcome_of(rig, 0, &proof), CALLER_KNOWN);
    assert_int_equal(settle(rig), changes + 2);
    assert_int_equal(find(rig, id_of(&made), &caller), 0);
    assert_true(caller.last_used_at >= before && caller.last_used_at <= clock_wall_ms());
    assert_true(caller.created_at == 1000);
    proof.now_ms += 59999;
    assert_int_equal(outcome_of(rig, 0, &proof), CALLER_KNOWN);
    assert_int_equal(settle(rig), changes + 3);
    proof.now_ms += 1;
    assert_int_equal(outcome_of(rig, 0, &proof), CALLER_KNOWN);
    assert_int_equal(settle(rig), changes + 5);
    /* A desk that reads the record anew sees that it was noted. */
    rig_make(rig, "other", NULL);
    assert_int_equal(outcome_of(rig, 0, &proof), CALLER_KNOWN);
    assert_int_equal(settle(rig), changes + 7);
}

static bool count(const struct caller *caller, void *arg)
{
    size_t *counts = arg;
    counts[caller->status]++;
    return true;
}

static void old_revoked_keys_are_forgotten(void **state)
{
    struct rig *rig = *state;
    enum { MORE = 5 };
    struct made oldest = rig_make(rig, "oldest", NULL), kept = rig_make(rig, "kept", NULL);
    size_t counts[2] = {0, 0}, damaged;
    assert_int_equal(rig_revoke(rig, id_of(&oldest), 1), 0);
    static struct caller_change changes[CALLER_REVOKED_KEPT + MORE];
    struct store_change *each[CALLER_REVOKED_KEPT + MORE];
    char name[32];
    for (int i = 0; i < CALLER_REVOKED_KEPT + MORE; i++) {
        snprintf(name, sizeof name, "n-%d", i);
        struct caller_spec spec = spec_of(name, NULL, NULL, NULL);
        assert_int_equal(caller_change_create(&changes[i], FIRST_TABLE, &spec, 1, NULL), 0);
        each[i] = &changes[i].change;
    }
    assert_int_equal(store_apply_all(rig->store, each, CALLER_REVOKED_KEPT + MORE), 0);
    for (int i = 0; i < CALLER_REVOKED_KEPT + MORE; i++) {
        char id[CALLER_ID_LEN];
        memcpy(id, changes[i].result.id, sizeof id);
        assert_int_equal(caller_change_revoke(&changes[i], FIRST_TABLE, slice_of(id, sizeof id), 2), 0);
    }
    assert_int_equal(store_apply_all(rig->store, each, CALLER_REVOKED_KEPT + MORE), 0);
    assert_int_equal(store_view_begin(rig->view), 0);
    assert_int_equal(caller_each(rig->view, FIRST_TABLE, SLICE(""), count, counts, &damaged), 0);
    store_view_end(rig->view);
    assert_int_equal(counts[CALLER_ACTIVE], 1);
    assert_int_equal(counts[CALLER_REVOKED], CALLER_REVOKED_KEPT);
    assert_int_equal(damaged, 0);
    assert_int_equal(with_key(rig, 0, &oldest), CALLER_KEY_UNKNOWN);
    assert_int_equal(with_key(rig, 0, &kept), CALLER_KNOWN);
}

/* So many that sets of a desk overflow. */
static void many_callers(void **state)
{
    enum { CALLERS = 3000 };
    struct rig *rig = *state;
    static struct made made[CALLERS];
    static struct caller_change changes[CALLERS];
    struct store_change *each[CALLERS];
    char name[32];
    for (int i = 0; i < CALLERS; i++) {
        snprintf(name, sizeof name, "n-%d", i);
        struct caller_spec spec = spec_of(name, NULL, NULL, NULL);
        assert_int_equal(caller_change_create(&changes[i], FIRST_TABLE, &spec, 1, NULL), 0);
        memcpy(made[i].key, changes[i].key, sizeof made[i].key);
        each[i] = &changes[i].change;
    }
    assert_int_equal(store_apply_all(rig->store, each, CALLERS), 0);
    for (int i = 0; i < 2 * CALLERS; i++) {
        const struct caller *caller;
        struct caller_proof proof = {.has_key = true, .key = key_of(&made[i % CALLERS]), .now_ms = 1};
        assert_int_equal(ask(rig, 0, &proof, &caller), CALLER_KNOWN);
        snprintf(name, sizeof name, "n-%d", i % CALLERS);
        assert_true(slice_equal(caller->spec.name, slice_from(name)));
        caller_release(caller);
    }
}

/* --- damage ----------------------------------------------------------------------------------------------
 */

struct overwrite {
    struct store_change change;
    int table;
    struct slice key, value;
};

static int apply_overwrite(struct store_change *change, struct store_txn *txn)
{
    struct overwrite *o = (struct overwrite *)change;
    return store_txn_put(txn, o->table, o->key, o->value);
}

static void overwrite(struct rig *rig, struct slice key, struct slice value)
{
    struct overwrite o = {{.apply = apply_overwrite}, FIRST_TABLE, key, value};
    assert_int_equal(store_apply(rig->store, &o.change), 0);
}

static void damage_lets_nobody_in(void **state)
{
    struct rig *rig = *state;
    struct made made = rig_make(rig, "one", NULL), other = rig_make(rig, "two", NULL);
    struct caller_proof none = {0};
    char id[8];
    assert_int_equal(with_key(rig, 0, &made), CALLER_KNOWN);
    overwrite(rig, SLICE("#"), SLICE("nonsense"));
    assert_int_equal(with_key(rig, 0, &made), CALLER_UNAVAILABLE);
    assert_int_equal(outcome_of(rig, 0, &none), CALLER_UNAVAILABLE);
    /* The next change mends the ledger, at a version of its own. */
    rig_make(rig, "three", NULL);
    assert_int_equal(with_key(rig, 0, &made), CALLER_KNOWN);
    assert_int_equal(outcome_of(rig, 0, &none), CALLER_KEY_MISSING);
    /* A damaged key is removed by revoking it, and its name is free. */
    for (size_t i = 0; i < sizeof id; i++) {
        unsigned byte;
        assert_int_equal(sscanf(other.id + 2 * i, "%2x", &byte), 1);
        id[i] = (char)byte;
    }
    overwrite(rig, slice_of(id, sizeof id), SLICE("nonsense"));
    assert_int_equal(with_key(rig, 0, &other), CALLER_UNAVAILABLE);
    assert_int_equal(rig_revoke(rig, id_of(&other), 5), 0);
    assert_int_equal(with_key(rig, 0, &other), CALLER_KEY_UNKNOWN);
    rig_make(rig, "two", NULL);
}

int main(void)
{
#define RIGGED(test) cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        RIGGED(records_come_back_as_they_went),
        RIGGED(what_is_not_named_is_every_one),
        RIGGED(nobody_is_asked_before_there_is_a_key),
        RIGGED(a_revoked_key_stops_on_every_worker),
        RIGGED(a_key_that_another_process_revokes_stops_at_once),
        RIGGED(near_misses_are_unknown),
        RIGGED(names_are_one_keys),
        RIGGED(peers_are_callers),
        RIGGED(last_use_is_noted_once_a_minute),
        RIGGED(old_revoked_keys_are_forgotten),
        RIGGED(many_callers),
        RIGGED(damage_lets_nobody_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
