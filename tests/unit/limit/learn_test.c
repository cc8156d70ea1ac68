/* Finding a limit that nobody told us, and one that changes. */
#include "fixture.h"

#include <stdio.h>

/* --- an upstream with a limit of its own --------------------------------------------------------------- */

enum kind { TOKENS, WINDOW, SMOOTH };

struct upstream {
    enum kind kind;
    double rate, tokens;
    uint64_t at, window, in_window;
};

static bool upstream_takes(struct upstream *u, uint64_t now)
{
    if (u->kind == WINDOW) {
        u->in_window = u->window == now / 1000 ? u->in_window : 0;
        u->window = now / 1000;
        return ++u->in_window <= (uint64_t)u->rate;
    }
    double most = u->kind == TOKENS ? u->rate : 2;
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

/* Someone always wants more than is allowed; each request takes 60 ms there and back. */
static void simulate(struct limit_options options, struct upstream upstream, const struct phase *phases,
                     uint64_t retry_after, struct outcome *out)
{
    enum { GUESTS = 64, TRIP = 60 };
    struct desk desk;
    desk_open(&desk, &options);
    static struct guest guests[GUESTS];
    static uint64_t back[GUESTS]; /* 0 free, 1 waiting, else when its answer is here */
    static int status[GUESTS];
    memset(guests, 0, sizeof guests);
    memset(back, 0, sizeof back);
    *out = (struct outcome){0};
    for (; phases->seconds > 0; phases++) {
        upstream.rate = phases->rate;
        for (unsigned ms = 0; ms < phases->seconds * 1000; ms++) {
            desk_pass(&desk, desk.now + 1);
            bool adapted = ms >= 10000;
            out->allowed += adapted ? phases->rate / 1000 : 0;
            for (int i = 0; i < GUESTS; i++) {
                if (back[i] > 1 && back[i] <= desk.now) {
                    limit_learn(desk.limit, &guests[i].turn, status[i],
                                status[i] == 429 ? retry_after : UINT64_MAX, desk.now);
                    done(&desk, &guests[i]);
                    back[i] = 0;
                }
                bool goes = back[i] == 1 && guests[i].told;
                if (back[i] == 0 && ms % 4 == (unsigned)i % 4) {
                    enum limit_answer answer = ask(&desk, &guests[i], "acme", "");
                    back[i] = answer == LIMIT_WAITING ? 1 : 0;
                    goes = answer == LIMIT_GRANTED;
                    if (answer == LIMIT_REFUSED)
                        done(&desk, &guests[i]);
                }
                if (!goes)
                    continue;
                if (guests[i].turn.answer == LIMIT_REFUSED) {
                    done(&desk, &guests[i]);
                    back[i] = 0;
                    continue;
                }
                status[i] = upstream_takes(&upstream, desk.now) ? 200 : 429;
                back[i] = desk.now + TRIP;
                out->sent += adapted;
                out->objections += adapted && status[i] == 429;
                out->taken += adapted && status[i] == 200;
            }
        }
    }
    for (int i = 0; i < GUESTS; i++)
        if (back[i] == 1 && !guests[i].told)
            assert_false(limit_leave(desk.limit, &guests[i].turn, desk.now));
    desk_drain(&desk);
    for (int i = 0; i < GUESTS; i++)
        done(&desk, &guests[i]);
    desk_close(&desk);
}

static void test_hidden_limits_are_found(void **state)
{
    (void)state;
    static const struct phase changing[] = {{30, 60}, {20, 60}, {45, 60}, {25, 60}, {0, 0}};
    static const struct phase steady[] = {{20, 200}, {0, 0}};
    static const struct {
        const char *name;
        enum kind kind;
        const struct phase *phases;
        uint64_t retry_after;
        double configured;
    } rows[] = {
        {"tokens, changing", TOKENS, changing, UINT64_MAX, 50},
        {"window, changing", WINDOW, changing, UINT64_MAX, 50},
        {"smooth, changing", SMOOTH, changing, UINT64_MAX, 50},
        {"tokens, steady, Retry-After", TOKENS, steady, 1000, 50},
        {"window, steady, Retry-After", WINDOW, steady, 1000, 50},
        {"tokens, changing, Retry-After", TOKENS, changing, 1000, 50},
        {"window, nothing configured", WINDOW, changing, UINT64_MAX, 0},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct limit_options options = {
            .rules[LIMIT_TENANT] = {.rate = rows[r].configured, .max_wait_ms = 5000}};
        struct outcome o;
        simulate(options, (struct upstream){.kind = rows[r].kind, .at = 1000000}, rows[r].phases,
                 rows[r].retry_after, &o);
        double share = (double)o.objections / (double)o.sent, used = o.taken / o.allowed;
        print_message("%-32s 429: %.2f %%   used: %.1f %%\n", rows[r].name, share * 100, used * 100);
        assert_true(share < 0.01);
        assert_true(used > 0.90);
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
        cmocka_unit_test(test_fields_follow_what_was_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
