/* Intents and outcomes, over restarts, in time, and at the bounds. */
#include <sys/wait.h>

#include "base/random.h"
#include "unit/idempotency/fixture.h"

static const char *const FIELDS = "Content-Type: text/plain\r\nX-A: b\r\n";

static void expect_answer(struct rig *rig, const char *key, const char *fields, struct slice body)
{
    assert_int_equal(rig_find(rig, key), IDEMPOTENCY_ANSWERED);
    assert_true(rig->found.answer.whole);
    assert_int_equal(rig->found.answer.status, 201);
    assert_true(slice_equal(rig->found.answer.fields, slice_from(fields)));
    assert_true(slice_equal(rig->found.answer.body, body));
}

static void an_answer_is_kept(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_NEW);
    struct idempotency_change c = rig_begin(rig, "k");
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_MINE);
    assert_int_equal(rig_find_request(rig, "k", "other"), IDEMPOTENCY_MISMATCH);
    assert_int_equal(rig_answer(rig, &c, FIELDS, SLICE("body")), 0);
    for (int i = 0; i < 3; i++) {
        expect_answer(rig, "k", FIELDS, SLICE("body"));
        assert_int_equal(rig_find_request(rig, "k", "other"), IDEMPOTENCY_MISMATCH);
        assert_int_equal(rig_find(rig, "other"), IDEMPOTENCY_NEW);
        rig_reopen(rig);
    }
}

static void answers_of_all_sizes(void **state)
{
    struct rig *rig = *state;
    static char body[IDEMPOTENCY_ANSWER_MAX + 1], fields[IDEMPOTENCY_FIELDS_MAX + 2];
    static const struct {
        size_t fields, body;
        bool whole;
    } rows[] = {{0, 0, true},
                {0, 1, true},
                {1, 0, true},
                {IDEMPOTENCY_FIELDS_MAX, IDEMPOTENCY_ANSWER_MAX, true},
                {0, IDEMPOTENCY_ANSWER_MAX + 1, false},
                {IDEMPOTENCY_FIELDS_MAX + 1, 0, false}};
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)random_u64();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%zu", i);
        memset(fields, 'f', rows[i].fields);
        fields[rows[i].fields] = '\0';
        struct idempotency_change c = rig_begin(rig, key);
        assert_int_equal(rig_answer(rig, &c, fields, slice_of(body, rows[i].body)), 0);
        if (rows[i].whole)
            expect_answer(rig, key, fields, slice_of(body, rows[i].body));
        assert_int_equal(rig_find(rig, key), IDEMPOTENCY_ANSWERED);
        assert_int_equal(rig->found.answer.whole, rows[i].whole);
        assert_int_equal(rig->found.answer.status, 201);
    }
}

static void a_link_is_remembered(void **state)
{
    struct rig *rig = *state;
    struct idempotency_change c = rig_begin(rig, "k");
    c.answer = (struct idempotency_answer){
        .status = 200, .whole = true, .body = SLICE("{\"a\":\"link\"}"), .splice_at = 6, .splice_len = 4};
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_ANSWER), 0);
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_ANSWERED);
    assert_int_equal(rig->found.answer.splice_at, 6);
    assert_int_equal(rig->found.answer.splice_len, 4);
}

static void a_second_beginning(void **state)
{
    struct rig *rig = *state;
    struct idempotency_change first = rig_begin(rig, "k"), second = change_of(rig, "k", "r");
    assert_int_equal(rig_apply(rig, &second, IDEMPOTENCY_BEGIN), ERR_EXISTS);
    assert_int_equal(second.state, IDEMPOTENCY_LOST); /* its process knows of none, or it would not ask */
    struct idempotency_change other = change_of(rig, "k", "other");
    assert_int_equal(rig_apply(rig, &other, IDEMPOTENCY_BEGIN), ERR_EXISTS);
    assert_int_equal(other.state, IDEMPOTENCY_MISMATCH);
    assert_int_equal(rig_answer(rig, &first, FIELDS, SLICE("body")), 0);
    assert_int_equal(rig_apply(rig, &second, IDEMPOTENCY_BEGIN), ERR_EXISTS);
    assert_int_equal(second.state, IDEMPOTENCY_ANSWERED);
    expect_answer(rig, "k", FIELDS, SLICE("body"));
}

/* Of many first uses in one batch of the writer, one alone is the first. */
static void first_uses_at_once(void **state)
{
    enum { MANY = 32 };
    struct rig *rig = *state;
    static struct idempotency_change c[MANY];
    struct store_change *changes[MANY];
    for (int round = 0; round < 4; round++) {
        char key[16];
        int begun = 0;
        snprintf(key, sizeof key, "k%d", round);
        for (int i = 0; i < MANY; i++) {
            c[i] = change_of(rig, key, "r");
            c[i].verb = IDEMPOTENCY_BEGIN;
            c[i].now_ms = rig->now_ms;
            changes[i] = &c[i].change;
        }
        assert_int_equal(store_apply_all(rig->store, changes, MANY), MANY - 1);
        for (int i = 0; i < MANY; i++) {
            begun += c[i].change.outcome == 0;
            assert_true(c[i].change.outcome == 0 || c[i].change.outcome == ERR_EXISTS);
        }
        assert_int_equal(begun, 1);
    }
}

static void what_nobody_concluded_is_lost(void **state)
{
    struct rig *rig = *state;
    rig_begin(rig, "k");
    rig_reopen(rig);
    for (int i = 0; i < 2; i++) {
        struct idempotency_change again = change_of(rig, "k", "r");
        assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_LOST);
        assert_int_equal(rig->found.answer.status, 0);
        assert_int_equal(rig_apply(rig, &again, IDEMPOTENCY_BEGIN), ERR_EXISTS);
        assert_int_equal(again.state, IDEMPOTENCY_LOST);
        rig_reopen(rig);
    }
}

static void what_was_lost_stays_so(void **state)
{
    struct rig *rig = *state;
    static const int statuses[] = {0, 201};
    for (int i = 0; i < 2; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        struct idempotency_change c = rig_begin(rig, key);
        c.answer.status = statuses[i];
        assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_LOSE), 0);
        rig_reopen(rig);
        assert_int_equal(rig_find(rig, key), IDEMPOTENCY_LOST);
        assert_int_equal(rig->found.answer.status, statuses[i]);
    }
}

static void what_was_taken_back_is_new(void **state)
{
    struct rig *rig = *state;
    struct idempotency_change c = rig_begin(rig, "k");
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_FORGET), 0);
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_NEW);
    assert_int_equal(rig_tally(rig).keys, 1);
    c = rig_begin(rig, "k");
    assert_int_equal(rig_answer(rig, &c, FIELDS, SLICE("body")), 0);
    expect_answer(rig, "k", FIELDS, SLICE("body"));
}

/* A child that lives begins it; then the child is dead. */
static void processes_are_told_apart(void **state)
{
    struct rig *rig = *state;
    struct idempotency_owner self = rig->self;
    int told[2], end[2];
    char byte;
    assert_int_equal(pipe(told) | pipe(end), 0);
    pid_t child = fork();
    if (child == 0) {
        struct idempotency_owner owner = idempotency_self();
        bool done = write(told[1], &owner, sizeof owner) == sizeof owner;
        close(end[1]);
        done = read(end[0], &byte, 1) == 0 && done;
        _exit(!done);
    }
    assert_true(child > 0);
    assert_int_equal(read(told[0], &rig->self, sizeof rig->self), sizeof rig->self);
    rig_begin(rig, "k");
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_MINE);
    rig->self = self;
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_ELSEWHERE);
    struct idempotency_change again = change_of(rig, "k", "r");
    assert_int_equal(rig_apply(rig, &again, IDEMPOTENCY_BEGIN), ERR_EXISTS);
    assert_int_equal(again.state, IDEMPOTENCY_ELSEWHERE);
    close(end[0]);
    close(end[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_LOST);
    close(told[0]);
    close(told[1]);
}

static void another_life_of_the_same_number(void **state)
{
    struct rig *rig = *state;
    struct idempotency_owner self = rig->self;
    const struct idempotency_owner rows[] = {{self.pid, self.started + 1, self.boot},
                                             {self.pid, self.started, self.boot + 1},
                                             {self.pid, 0, self.boot}};
    for (size_t i = 0; i < 3; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%zu", i);
        rig->self = rows[i];
        rig_begin(rig, key);
        rig->self = self;
        assert_int_equal(rig_find(rig, key), IDEMPOTENCY_LOST);
    }
}

static void a_day_is_enough(void **state)
{
    struct rig *rig = *state;
    struct idempotency_change c = rig_begin(rig, "k");
    assert_int_equal(rig_answer(rig, &c, FIELDS, SLICE("body")), 0);
    rig->now_ms = START + DAY - 1;
    expect_answer(rig, "k", FIELDS, SLICE("body"));
    rig->now_ms = START + DAY;
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_NEW);
    assert_int_equal(rig_find_request(rig, "k", "other"), IDEMPOTENCY_NEW);
    struct idempotency_change second = rig_begin(rig, "k");
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_MINE);
    assert_int_equal(rig_tally(rig).keys, 3); /* record, time, totals: nothing of the first one */
    /* The first one's outcome comes very late: it is no longer asked for. */
    assert_int_equal(rig_answer(rig, &c, FIELDS, SLICE("late")), ERR_NOTFOUND);
    assert_int_equal(rig_find(rig, "k"), IDEMPOTENCY_MINE);
    assert_int_equal(rig_answer(rig, &second, FIELDS, SLICE("new")), 0);
    expect_answer(rig, "k", FIELDS, SLICE("new"));
}

static void fill(struct rig *rig, const char *prefix, int count)
{
    for (int i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "%s%d", prefix, i);
        struct idempotency_change c = rig_begin(rig, key);
        assert_int_equal(rig_answer(rig, &c, FIELDS, SLICE("body")), 0);
    }
}

static void what_is_old_goes_as_others_come(void **state)
{
    struct rig *rig = *state;
    fill(rig, "old", 40);
    assert_int_equal(rig_tally(rig).keys, 1 + 3 * 40);
    rig->now_ms = START + DAY;
    for (int i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "new%d", i);
        rig_begin(rig, key);
        assert_int_equal(rig_tally(rig).keys,
                         (size_t)(1 + 3 * (40 - (i + 1) * IDEMPOTENCY_SWEEP) + 2 * (i + 1)));
    }
    rig_begin(rig, "another");
    assert_int_equal(rig_tally(rig).keys, 1 + 2 * 6);
}

static void what_is_old_goes_by_itself(void **state)
{
    struct rig *rig = *state;
    struct idempotency_change c = change_of(rig, "", "");
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_CLEAN), 0);
    assert_false(c.more);
    fill(rig, "old", 300);
    rig->now_ms = START + 1000;
    fill(rig, "young", 5);
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_CLEAN), 0);
    assert_false(c.more);
    assert_int_equal(rig_tally(rig).keys, 1 + 3 * 305);
    rig->now_ms = START + DAY;
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_CLEAN), 0);
    assert_true(c.more);
    assert_int_equal(c.cleaned, 256);
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_CLEAN), 0);
    assert_false(c.more);
    assert_int_equal(c.cleaned, 300 - 256);
    assert_int_equal(rig_tally(rig).keys, 1 + 3 * 5);
    expect_answer(rig, "young0", FIELDS, SLICE("body"));
}

static void a_bound_of_records(void **state)
{
    struct rig *rig = *state;
    rig->bounds.count = 3;
    fill(rig, "k", 3);
    struct idempotency_change c = change_of(rig, "one more", "r");
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_BEGIN), ERR_LIMIT);
    assert_int_equal(rig_find(rig, "one more"), IDEMPOTENCY_NEW);
    expect_answer(rig, "k0", FIELDS, SLICE("body")); /* nothing younger than a day makes room */
    struct idempotency_change known = change_of(rig, "k0", "r");
    assert_int_equal(rig_apply(rig, &known, IDEMPOTENCY_BEGIN), ERR_EXISTS);
    rig->now_ms = START + DAY;
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_BEGIN), 0);
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_FORGET), 0);
    fill(rig, "new", 3);
}

static void a_bound_of_bytes(void **state)
{
    struct rig *rig = *state;
    rig->bounds.bytes = 2 * (strlen(FIELDS) + 4);
    fill(rig, "k", 3);
    expect_answer(rig, "k1", FIELDS, SLICE("body"));
    assert_int_equal(rig_find(rig, "k2"), IDEMPOTENCY_ANSWERED);
    assert_false(rig->found.answer.whole);
    assert_int_equal(rig->found.answer.status, 201);
    rig->now_ms = START + DAY;
    fill(rig, "new", 2);
    expect_answer(rig, "new1", FIELDS, SLICE("body"));
}

/* Where the disk is full nothing begins; what had begun is concluded, and what was known stays known. */
static void a_full_store(void **state)
{
    (void)state;
    static char body[256 * 1024];
    struct rig *rig = rig_create((size_t)16 << 20);
    struct idempotency_change early = rig_begin(rig, "early"), c = {0};
    int begun = 0, rc = 0;
    for (char key[16]; begun < 1000 && rc == 0; begun += rc == 0) {
        snprintf(key, sizeof key, "k%d", begun);
        c = change_of(rig, key, "r");
        rc = rig_apply(rig, &c, IDEMPOTENCY_BEGIN);
        if (rc == 0)
            assert_int_equal(rig_answer(rig, &c, FIELDS, slice_of(body, sizeof body)), 0);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_true(begun > 10);
    assert_int_equal(rig_find(rig, "k0"), IDEMPOTENCY_ANSWERED);
    assert_int_equal(rig_answer(rig, &early, FIELDS, SLICE("body")), 0);
    expect_answer(rig, "early", FIELDS, SLICE("body"));
    rig->now_ms = START + DAY;
    c = change_of(rig, "", "");
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_CLEAN), 0);
    assert_int_equal(rig_tally(rig).keys, 1);
    rig_begin(rig, "k0");
    void *ends = rig;
    rig_tear_down(&ends);
}

static int damage(struct store_change *change, struct store_txn *txn)
{
    struct idempotency_change *c = container_of(change, struct idempotency_change, change);
    return store_txn_put(txn, FIRST_TABLE + IDEMPOTENCY_TABLE_RECORDS, slice_of(c->use.id, sizeof c->use.id),
                         c->answer.body);
}

/* Nobody can tell what a record said that cannot be read: it is not sent again. */
static void a_damaged_record_is_lost(void **state)
{
    struct rig *rig = *state;
    static char text[200];
    static const size_t lengths[] = {0, 1, 107, 108, 200};
    memset(text, 1, sizeof text);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%zu", i);
        struct idempotency_change c = rig_begin(rig, key);
        struct idempotency_change bad = change_of(rig, key, "r");
        bad.change.apply = damage;
        bad.answer.body = slice_of(text, lengths[i]);
        assert_int_equal(store_apply(rig->store, &bad.change), 0);
        assert_int_equal(rig_find(rig, key), IDEMPOTENCY_LOST);
        struct idempotency_change again = change_of(rig, key, "r");
        assert_int_equal(rig_apply(rig, &again, IDEMPOTENCY_BEGIN), ERR_EXISTS);
        assert_int_equal(again.state, IDEMPOTENCY_LOST);
        assert_int_equal(rig_answer(rig, &c, FIELDS, SLICE("body")), ERR_NOTFOUND);
    }
    rig->now_ms = START + DAY;
    struct idempotency_change c = change_of(rig, "", "");
    assert_int_equal(rig_apply(rig, &c, IDEMPOTENCY_CLEAN), 0);
    assert_int_equal(rig_tally(rig).keys, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)
        TEST(an_answer_is_kept),
        TEST(answers_of_all_sizes),
        TEST(a_link_is_remembered),
        TEST(a_second_beginning),
        TEST(first_uses_at_once),
        TEST(what_nobody_concluded_is_lost),
        TEST(what_was_lost_stays_so),
        TEST(what_was_taken_back_is_new),
        TEST(processes_are_told_apart),
        TEST(another_life_of_the_same_number),
        TEST(a_day_is_enough),
        TEST(what_is_old_goes_as_others_come),
        TEST(what_is_old_goes_by_itself),
        TEST(a_bound_of_records),
        TEST(a_bound_of_bytes),
        TEST(a_damaged_record_is_lost),
        cmocka_unit_test(a_full_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
