/* Finding a limit that nobody told us, and one that changes. */
#include "fixture.h"

#include <stdio.h>

/* --- an upstream with a limit of its own --------------------------------------------------------------- */

enum kind { TOKENS, WINDOW, SLIDING };

struct upstream {
    enum kind kind;
    double rate, tokens, saved; /* saved: tokens at most, 0: a second's */
    uint64_t at, window, in_window, phase;
    uint64_t taken[64]; /* when: a ring */
    size_t taken_at;
};

static bool upstream_takes(struct upstream *u, uint64_t now)
{
    if (u->kind == WINDOW) {
        u->in_window = u->window == (now + u->phase) / 1000 ? u->in_window : 0;
        u->window = (now + u->phase) / 1000;
        return ++u->in_window <= (uint64_t)u->rate;
    }
    if (u->kind == SLIDING) {
        assert_true(u->rate < 64);
        if (u->taken[(u->taken_at + 64 - (size_t)u->rate) % 64] + 1000 > now)
            return false;
        u->taken[u->taken_at++ % 64] = now;
        u->taken_at %= 64;
        return true;
    }
    double most = u->saved > 0 ? u->saved : u->rate;
    u->tokens += (double)(now - u->at) * u->rate / 1000;
    u->tokens = u->tokens > most ? most : u->tokens;
    u->at = now;
    if (u->tokens < 1)
        return false;
    u->tokens -= 1;
    return true;
}

struct phase {
    double rate;
    unsigned seconds;
};

struct outcome {
    uint64_t sent, objections; /* after the first 10 s of each phase */
    double allowed, taken;
};

/* 64 guests always want more than is allowed. A request takes 1 to 6 ms there, 20 to 60 ms back; the time of
 * a pause over, some of those that were refused are sent again, as the pipeline would (a fifth of all, 3
 * saved). */
enum { GUESTS = 64, THERE = 6, BACK = 20, BACK_MORE = 40, AGAIN = 50 };

enum where { HOME, QUEUED, UP, DOWN, PAUSED };

struct run {
    struct desk desk;
    struct guest guests[GUESTS];
    enum where where[GUESTS];
    uint64_t until[GUESTS]; /* UP, DOWN, PAUSED end */
    int status[GUESTS];
    bool again[GUESTS];
    struct upstream upstream;
    uint64_t retry_after, random, due;
    double budget;
    bool adapted;
    struct outcome outcome;
};

static void depart(struct run *run, int i, bool again)
{
    run->again[i] = again;
    run->budget += again ? 0 : 0.2;
    run->where[i] = UP;
    run->until[i] = run->desk.now + 1 + next_random(&run->random) % THERE;
}

static void arrive(struct run *run, int i)
{
    bool taken = upstream_takes(&run->upstream, run->desk.now);
    run->status[i] = taken ? 200 : 429;
    run->where[i] = DOWN;
    run->until[i] = run->desk.now + BACK + next_random(&run->random) % BACK_MORE;
    run->outcome.sent += run->adapted;
    run->outcome.objections += run->adapted && !taken;
    run->outcome.taken += run->adapted && taken;
}

static void come_back(struct run *run, int i)
{
    bool refused = run->status[i] == 429;
    limit_learn(run->desk.limit, &run->guests[i].turn, run->status[i],
                refused ? run->retry_after : UINT64_MAX, run->desk.now);
    if (refused && run->retry_after != UINT64_MAX && !run->again[i] && run->budget >= 1) {
        run->budget -= 1;
        run->where[i] = PAUSED;
        run->until[i] = run->desk.now + run->retry_after + next_random(&run->random) % AGAIN;
        return;
    }
    done(&run->desk, &run->guests[i]);
    run->where[i] = HOME;
}

static void ask_one(struct run *run, int i)
{
    enum limit_answer answer = ask(&run->desk, &run->guests[i], "acme", "");
    if (answer == LIMIT_WAITING)
        run->where[i] = QUEUED;
    else if (answer == LIMIT_GRANTED)
        depart(run, i, false);
    else
        done(&run->desk, &run->guests[i]);
}

static void step_one(struct run *run, int i)
{
    bool over = run->until[i] <= run->desk.now;
    if (run->where[i] == DOWN && over)
        come_back(run, i);
    if (run->where[i] == UP && over)
        arrive(run, i);
    if (run->where[i] == PAUSED && over) {
        limit_charge(run->desk.limit, &run->guests[i].turn, run->desk.now);
        depart(run, i, true);
    }
    if (run->where[i] == QUEUED && run->guests[i].told) {
        run->where[i] = HOME;
        if (run->guests[i].turn.answer == LIMIT_GRANTED)
            depart(run, i, false);
        else
            done(&run->desk, &run->guests[i]);
    }
    if (run->where[i] == HOME && run->desk.now % 4 == (uint64_t)i % 4)
        ask_one(run, i);
}

static void step(struct run *run)
{
    run->desk.now++;
    if (run->due <= run->desk.now) {
        run->due = UINT64_MAX;
        limit_pump(run->desk.limit, run->desk.now);
        desk_drain(&run->desk);
    }
    for (int i = 0; i < GUESTS; i++)
        step_one(run, i);
    uint64_t due = limit_due_ms(run->desk.limit);
    run->due = due < run->due ? due : run->due;
}

static void go_home(struct run *run)
{
    desk_drain(&run->desk);
    for (int i = 0; i < GUESTS; i++) {
        if (run->where[i] == QUEUED && !run->guests[i].told)
            assert_false(limit_leave(run->desk.limit, &run->guests[i].turn, run->desk.now));
        done(&run->desk, &run->guests[i]);
    }
    desk_close(&run->desk);
}

static struct outcome simulate(double configured, struct upstream upstream, const struct phase *phases,
                               uint64_t retry_after, uint64_t seed)
{
    struct limit_options options = {
        .rules[LIMIT_TENANT] = {.rate = configured, .concurrency = 32, .max_wait_ms = 5000}};
    struct run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    desk_open(&run->desk, &options);
    run->upstream = upstream;
    run->upstream.at = run->desk.now;
    run->random = 88172645463325252u + seed * 2654435761u;
    run->upstream.phase = next_random(&run->random) % 1000;
    run->retry_after = retry_after;
    run->due = UINT64_MAX;
    run->budget = 3;
    for (; phases->seconds > 0; phases++) {
        run->upstream.rate = phases->rate;
        for (unsigned ms = 0; ms < phases->seconds * 1000; ms++) {
            run->adapted = ms >= 10000;
            run->outcome.allowed += run->adapted ? phases->rate / 1000 : 0;
            step(run);
        }
    }
    struct outcome outcome = run->outcome;
    go_home(run);
    free(run);
    return outcome;
}

/* With Retry-After each objection costs a second of the limit, unless upstream saves it up for us. So it is
 * asked for less often whether there is more, and a raised limit is found later. What was saved up during
 * such a pause hides the limit for a while: a few objections more. */
static void test_hidden_limits_are_found(void **state)
{
    (void)state;
    enum { SEEDS = 3 };
    static const struct phase changing[] = {{30, 40}, {20, 40}, {45, 40}, {25, 40}, {0, 0}};
    static const struct phase steady[] = {{20, 100}, {0, 0}};
    static const struct {
        const char *name;
        struct upstream upstream;
        const struct phase *phases;
        uint64_t retry_after;
        double configured, used; /* used: of the limit, at least */
    } rows[] = {
        {"tokens", {.kind = TOKENS}, changing, UINT64_MAX, 50, 0.90},
        {"tokens, 5 saved", {.kind = TOKENS, .saved = 5}, changing, UINT64_MAX, 50, 0.90},
        {"tokens, 2 saved", {.kind = TOKENS, .saved = 2}, changing, UINT64_MAX, 50, 0.90},
        {"window", {.kind = WINDOW}, changing, UINT64_MAX, 50, 0.90},
        {"sliding window", {.kind = SLIDING}, changing, UINT64_MAX, 50, 0.90},
        {"window, nothing configured", {.kind = WINDOW}, changing, UINT64_MAX, 0, 0.90},
        {"tokens, Retry-After", {.kind = TOKENS}, changing, 1000, 50, 0.90},
        {"tokens, 2 saved, Retry-After", {.kind = TOKENS, .saved = 2}, changing, 1000, 50, 0.78},
        {"window, Retry-After", {.kind = WINDOW}, changing, 1000, 50, 0.78},
        {"sliding window, Retry-After", {.kind = SLIDING}, changing, 1000, 50, 0.78},
        {"steady tokens, 2 saved, Retry-After", {.kind = TOKENS, .saved = 2}, steady, 1000, 50, 0.87},
        {"steady window, Retry-After", {.kind = WINDOW}, steady, 1000, 50, 0.87},
        {"steady sliding window, Retry-After", {.kind = SLIDING}, steady, 1000, 50, 0.85},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct outcome all = {0};
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct outcome o =
                simulate(rows[r].configured, rows[r].upstream, rows[r].phases, rows[r].retry_after, seed);
            all.sent += o.sent, all.objections += o.objections;
            all.allowed += o.allowed, all.taken += o.taken;
        }
        double share = (double)all.objections / (double)all.sent, used = all.taken / all.allowed;
        print_message("%-36s 429: %.2f %%   used: %.1f %%\n", rows[r].name, share * 100, used * 100);
        assert_true(share < (rows[r].used < 0.90 || rows[r].retry_after == UINT64_MAX ? 0.010 : 0.012));
        assert_true(used > rows[r].used);
    }
}

/* --- single steps -------------------------------------------------------------------------------------- */

struct seen {
    double rate;
    uint64_t paused_ms;
    bool learned;
    unsigned count;
};

static void see(const struct limit_state *one, void *arg)
{
    struct seen *seen = arg;
    if (one->scope != LIMIT_TENANT)
        return;
    *seen = (struct seen){one->rate, one->paused_ms, one->learned, seen->count + 1};
}

static struct seen look(struct desk *desk)
{
    struct seen seen = {0};
    limit_each(desk->limit, SLICE("acme"), desk->now, see, &seen);
    assert_int_equal(seen.count, 1);
    return seen;
}

static void test_one_objection_slows_at_once_and_once(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk,
              &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = 50, .burst = 50, .max_wait_ms = 5000}});
    struct guest guests[10] = {0};
    for (int i = 0; i < 10; i++)
        ask(&desk, &guests[i], "acme", "");
    desk.now += 30;
    for (int i = 0; i < 10; i++) { /* all were sent before the first was answered */
        limit_learn(desk.limit, &guests[i].turn, 429, UINT64_MAX, desk.now);
        assert_true(look(&desk).learned);
        assert_true(look(&desk).rate >= 45 && look(&desk).rate < 45.2);
        desk.now++;
    }
    for (int i = 0; i < 10; i++)
        done(&desk, &guests[i]);
    double before = 0;
    for (int i = 0; i < 10; i++) { /* back, step by step */
        double now = look(&desk).rate;
        assert_true(now >= before && now <= 50);
        before = now;
        desk.now += 500;
    }
    desk.now += 60000;
    assert_false(look(&desk).learned);
    assert_true(look(&desk).rate == 50);
    desk_close(&desk);
}

static void test_retry_after_is_obeyed_up_to_a_bound(void **state)
{
    (void)state;
    const struct {
        uint64_t told, held;
    } rows[] = {{3000, 3000}, {0, 0}, {59000, 59000}, {3600 * 1000, LIMIT_PAUSE_MAX_MS}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct desk desk;
        desk_open(&desk, &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = 50, .burst = 50}});
        struct guest guest = {0};
        ask(&desk, &guest, "acme", "");
        limit_learn(desk.limit, &guest.turn, 429, rows[r].told, desk.now);
        assert_int_equal(look(&desk).paused_ms, rows[r].held);
        done(&desk, &guest);
        if (rows[r].held > 0) {
            assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_REFUSED);
            assert_int_equal(guest.turn.retry_after_s, rows[r].held / 1000);
            done(&desk, &guest);
            desk.now += rows[r].held - 1;
            assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_REFUSED);
            done(&desk, &guest);
            desk.now++;
        } else {
            desk.now += 25;
        }
        assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_GRANTED);
        done(&desk, &guest);
        desk_close(&desk);
    }
}

static void test_other_tenants_keep_their_pace(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = 50, .burst = 50}});
    struct guest guest = {0};
    ask(&desk, &guest, "globex", "");
    limit_learn(desk.limit, &guest.turn, 429, 60000, desk.now);
    done(&desk, &guest);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_GRANTED);
        done(&desk, &guest);
    }
    desk_close(&desk);
}

static void test_503_slows_the_credential_that_has_a_limit(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &(struct limit_options){
                         .rules = {[LIMIT_TENANT] = {.rate = 50}, [LIMIT_CREDENTIAL] = {.rate = 20}}});
    struct guest guest = {0};
    struct limit_who c1 = {.tenant = SLICE("acme"), .credential = SLICE("c1")},
                     c2 = {.tenant = SLICE("acme"), .credential = SLICE("c2")};
    ask_as(&desk, &guest, c1);
    limit_learn(desk.limit, &guest.turn, 503, 5000, desk.now);
    done(&desk, &guest);
    assert_false(look(&desk).learned);
    assert_int_equal(ask_as(&desk, &guest, c1), LIMIT_REFUSED);
    assert_int_equal(guest.turn.by, LIMIT_CREDENTIAL);
    assert_int_equal(guest.turn.retry_after_s, 5);
    done(&desk, &guest);
    assert_int_equal(ask_as(&desk, &guest, c2), LIMIT_GRANTED);
    done(&desk, &guest);
    desk_close(&desk);
}

/* An outage that says 503 to everything is the breaker's affair: pace is kept up to a quarter, and is back in
 * seconds. */
static void test_an_outage_does_not_leave_a_crawl_behind(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk,
              &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = 40, .burst = 40, .max_wait_ms = 5000}});
    struct guest guest = {0};
    for (int i = 0; i < 200; i++) {
        if (ask(&desk, &guest, "acme", "") == LIMIT_WAITING)
            desk_pass(&desk, desk.now + 1000);
        limit_learn(desk.limit, &guest.turn, 503, UINT64_MAX, desk.now + 10);
        done(&desk, &guest);
        desk.now += 20;
    }
    assert_true(look(&desk).rate >= 10);
    desk.now += 10000;
    assert_true(look(&desk).rate > 38);
    desk_close(&desk);
}

/* … which has to see its failures: a 503 without Retry-After slows, and stops nothing. */
static void test_an_overload_is_slowed_not_stopped(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk,
              &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = 40, .burst = 40, .max_wait_ms = 5000}});
    struct guest guest = {0};
    uint64_t begin = desk.now;
    for (int i = 0; i < 12; i++) {
        if (ask(&desk, &guest, "acme", "") == LIMIT_WAITING)
            while (!guest.told)
                desk_pass(&desk, desk.now + 1);
        desk.now += 5;
        limit_learn(desk.limit, &guest.turn, 503, UINT64_MAX, desk.now);
        assert_int_equal(look(&desk).paused_ms, 0);
        done(&desk, &guest);
    }
    assert_true(desk.now - begin < 1000);
    desk_close(&desk);
}

static void test_fields_follow_what_was_learned(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = 50, .burst = 50}});
    struct guest guest = {0};
    ask(&desk, &guest, "acme", "");
    limit_learn(desk.limit, &guest.turn, 429, 7000, desk.now);
    struct buf out;
    buf_init(&out, 512);
    limit_put_fields(desk.limit, &guest.turn, desk.now, &out);
    buf_append_char(&out, '\0');
    assert_string_equal(out.ptr,
                        "RateLimit-Policy: \"tenant\";q=45;w=1\r\nRateLimit: \"tenant\";r=0;t=8\r\n");
    buf_deinit(&out);
    done(&desk, &guest);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hidden_limits_are_found),
        cmocka_unit_test(test_one_objection_slows_at_once_and_once),
        cmocka_unit_test(test_retry_after_is_obeyed_up_to_a_bound),
        cmocka_unit_test(test_other_tenants_keep_their_pace),
        cmocka_unit_test(test_503_slows_the_credential_that_has_a_limit),
        cmocka_unit_test(test_an_outage_does_not_leave_a_crawl_behind),
        cmocka_unit_test(test_an_overload_is_slowed_not_stopped),
        cmocka_unit_test(test_fields_follow_what_was_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
