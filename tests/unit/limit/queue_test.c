/* Waiting: in what order, how long, how many. */
#include "fixture.h"

#include <stdio.h>

static struct limit_options waiting_rules(double rate, uint64_t burst)
{
    return (struct limit_options){.rules[LIMIT_TENANT] = {.rate = rate, .burst = burst, .max_wait_ms = 5000}};
}

static void test_waits_its_time_and_no_longer(void **state)
{
    (void)state;
    struct desk desk;
    struct limit_options options = waiting_rules(10, 1);
    desk_open(&desk, &options);
    struct guest guests[4] = {0};
    assert_int_equal(limit_due_ms(desk.limit), UINT64_MAX);
    assert_int_equal(ask(&desk, &guests[0], "acme", ""), LIMIT_GRANTED);
    for (int i = 1; i < 4; i++)
        assert_int_equal(ask(&desk, &guests[i], "acme", ""), LIMIT_WAITING);
    uint64_t start = desk.now;
    assert_int_equal(limit_due_ms(desk.limit), start + 100);
    assert_int_equal(limit_due_ms(desk.limit), UINT64_MAX); /* one is told */
    for (unsigned i = 1; i < 4; i++) {
        desk.now = start + 100 * i - 1;
        limit_pump(desk.limit, desk.now);
        desk_drain(&desk);
        assert_int_equal(desk.told, i - 1);
        desk.now++;
        limit_pump(desk.limit, desk.now);
        desk_drain(&desk);
        assert_int_equal(desk.told, i);
        assert_true(guests[i].told);
        assert_int_equal(guests[i].turn.answer, LIMIT_GRANTED);
        assert_int_equal(guests[i].turn.granted_ms, desk.now);
    }
    for (int i = 0; i < 4; i++)
        done(&desk, &guests[i]);
    struct limit_stats stats;
    limit_stats(desk.limit, &stats);
    assert_int_equal(stats.waited, 3);
    assert_int_equal(stats.wait_ms, 600);
    assert_int_equal(stats.waiting, 0);
    desk_close(&desk);
}

static void test_nobody_overtakes(void **state)
{
    (void)state;
    struct desk desk;
    struct limit_options options = waiting_rules(10, 1);
    desk_open(&desk, &options);
    struct guest first = {0}, second = {0}, late = {0};
    ask(&desk, &first, "acme", "");
    assert_int_equal(ask(&desk, &second, "acme", ""), LIMIT_WAITING);
    desk.now += 100; /* there is a token, but nobody has pumped yet */
    assert_int_equal(ask(&desk, &late, "acme", ""), LIMIT_WAITING);
    desk_drain(&desk);
    assert_true(second.told && !late.told);
    desk_pass(&desk, desk.now + 100);
    assert_true(late.told);
    done(&desk, &first);
    done(&desk, &second);
    done(&desk, &late);
    desk_close(&desk);
}

static void test_refused_at_once_when_it_could_not_begin_in_time(void **state)
{
    (void)state;
    struct desk desk;
    struct limit_options options = waiting_rules(2, 1);
    desk_open(&desk, &options);
    static struct guest guests[32];
    memset(guests, 0, sizeof guests);
    unsigned waiting = 0;
    for (unsigned i = 0; i < 20; i++) {
        enum limit_answer answer = ask(&desk, &guests[i], "acme", "");
        assert_int_equal(answer, i == 0 ? LIMIT_GRANTED : i <= 10 ? LIMIT_WAITING : LIMIT_REFUSED);
        waiting += answer == LIMIT_WAITING;
        if (answer == LIMIT_REFUSED)
            assert_int_equal(guests[i].turn.retry_after_s, 6); /* the 11th place: 5.5 s */
    }
    assert_int_equal(waiting, 10);
    desk_pass(&desk, desk.now + 5000);
    for (unsigned i = 1; i <= 10; i++)
        assert_true(guests[i].told && guests[i].turn.answer == LIMIT_GRANTED); /* a promise kept */
    desk.now += 1000;
    assert_int_equal(ask(&desk, &guests[20], "acme", ""), LIMIT_GRANTED); /* and that of Retry-After */
    for (unsigned i = 0; i <= 20; i++)
        done(&desk, &guests[i]);
    desk_close(&desk);
}

static void test_stuck_concurrency_ends_at_max_wait(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &(struct limit_options){.rules[LIMIT_TENANT] = {.concurrency = 1, .max_wait_ms = 3000}});
    struct guest holder = {0}, waits = {0}, next = {0};
    ask(&desk, &holder, "acme", "");
    assert_int_equal(ask(&desk, &waits, "acme", ""), LIMIT_WAITING);
    uint64_t start = desk.now;
    desk_pass(&desk, start + 2999);
    assert_false(waits.told);
    desk_pass(&desk, start + 3000);
    assert_true(waits.told);
    assert_int_equal(waits.turn.answer, LIMIT_REFUSED);
    assert_int_equal(waits.turn.retry_after_s, 1);
    done(&desk, &waits);
    assert_int_equal(ask(&desk, &next, "acme", ""), LIMIT_WAITING);
    done(&desk, &holder); /* gives the place to who waits */
    desk_drain(&desk);
    assert_true(next.told);
    assert_int_equal(next.turn.answer, LIMIT_GRANTED);
    done(&desk, &next);
    desk_close(&desk);
}

static void test_who_leaves_frees_the_place(void **state)
{
    (void)state;
    struct desk desk;
    struct limit_options options = waiting_rules(1, 1);
    desk_open(&desk, &options);
    struct guest guests[8] = {0};
    for (int i = 0; i < 6; i++)
        ask(&desk, &guests[i], "acme", "");
    assert_int_equal(ask(&desk, &guests[6], "acme", ""), LIMIT_REFUSED);
    done(&desk, &guests[6]);
    assert_false(limit_leave(desk.limit, &guests[1].turn, desk.now));
    assert_false(limit_leave(desk.limit, &guests[4].turn, desk.now));
    assert_int_equal(ask(&desk, &guests[6], "acme", ""), LIMIT_WAITING);
    desk_pass(&desk, desk.now + 1000);
    assert_true(guests[2].told);
    assert_false(guests[1].told);
    /* Granted, its wake-up is on its way: it hears that. */
    desk.now += 1000;
    limit_pump(desk.limit, desk.now);
    assert_true(limit_leave(desk.limit, &guests[3].turn, desk.now));
    desk_drain(&desk);
    assert_true(guests[3].told);
    desk_pass(&desk, desk.now + 5000);
    for (int i = 0; i < 8; i++)
        done(&desk, &guests[i]);
    struct limit_stats stats;
    limit_stats(desk.limit, &stats);
    assert_int_equal(stats.left, 2);
    assert_int_equal(stats.waiting, 0);
    desk_close(&desk);
}

/* --- fairness ------------------------------------------------------------------------------------------ */

static double jain(const double *x, size_t n)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += x[i];
        squares += x[i] * x[i];
    }
    return sum * sum / ((double)n * squares);
}

struct crowd {
    const char *tenant, *service;
    double rate; /* asks a second */
    double owed;
    uint64_t granted, refused;
    uint64_t waits[20000];
};

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t p99(struct crowd *crowd)
{
    qsort(crowd->waits, crowd->granted, sizeof *crowd->waits, by_number);
    return crowd->waits[crowd->granted * 99 / 100];
}

static void settle(struct guest *guest, struct crowd *crowds)
{
    struct crowd *crowd = &crowds[guest->tag];
    if (guest->turn.answer == LIMIT_GRANTED && crowd->granted < 20000)
        crowd->waits[crowd->granted++] = guest->turn.granted_ms - guest->turn.asked_ms;
    else
        crowd->refused++;
}

/* `seconds` of asking, one millisecond a step; each request is upstream for 20 ms. */
static void simulate(struct limit_options options, struct crowd *crowds, size_t count, unsigned seconds)
{
    enum { GUESTS = 20000 };
    struct desk desk;
    desk_open(&desk, &options);
    struct guest *guests = calloc(GUESTS, sizeof *guests);
    uint64_t *busy = calloc(GUESTS, sizeof *busy); /* 0 free, 1 waiting, else when it is over */
    size_t at = 0;
    assert_true(guests && busy);
    for (unsigned step = 0; step < seconds * 1000; step++) {
        desk_pass(&desk, desk.now + 1);
        for (size_t i = 0; i < GUESTS; i++) {
            if (busy[i] == 1 && guests[i].told) {
                settle(&guests[i], crowds);
                busy[i] = desk.now + (guests[i].turn.answer == LIMIT_GRANTED ? 20 : 0);
            }
            if (busy[i] > 1 && busy[i] <= desk.now) {
                done(&desk, &guests[i]);
                busy[i] = 0;
            }
        }
        for (size_t c = 0; c < count; c++)
            for (crowds[c].owed += crowds[c].rate / 1000; crowds[c].owed >= 1; crowds[c].owed -= 1) {
                while (busy[at])
                    at = (at + 1) % GUESTS;
                guests[at].tag = (int)c;
                enum limit_answer answer = ask(&desk, &guests[at], crowds[c].tenant, crowds[c].service);
                busy[at] = answer == LIMIT_WAITING ? 1 : desk.now + (answer == LIMIT_GRANTED ? 20 : 0);
                if (answer != LIMIT_WAITING)
                    settle(&guests[at], crowds);
                if (answer == LIMIT_REFUSED) {
                    done(&desk, &guests[at]);
                    busy[at] = 0;
                }
            }
    }
    desk_pass(&desk, desk.now + 10000);
    for (size_t i = 0; i < GUESTS; i++)
        done(&desk, &guests[i]);
    desk_close(&desk);
    free(guests);
    free(busy);
}

/* The client id's allowance of 100/s, which nine want a good part of and one a hundredfold. */
static void test_one_tenant_asks_hundredfold(void **state)
{
    (void)state;
    static struct crowd crowds[11], quiet[11];
    static char names[11][16];
    memset(crowds, 0, sizeof crowds);
    for (int i = 0; i < 11; i++) {
        snprintf(names[i], sizeof names[i], "tenant-%d", i);
        crowds[i].tenant = names[i];
        crowds[i].service = "s";
        crowds[i].rate = i == 0 ? 2000 : i <= 9 ? 20 : 3; /* the last is modest */
    }
    memcpy(quiet, crowds, sizeof quiet);
    quiet[0].rate = 20;
    struct limit_options options = {.rules[LIMIT_CLIENT] = {.rate = 100, .burst = 100, .max_wait_ms = 2000}};
    simulate(options, quiet, 11, 20);
    simulate(options, crowds, 11, 20);
    double share[10];
    uint64_t all = crowds[10].granted;
    for (int i = 0; i < 10; i++) {
        share[i] = (double)crowds[i].granted;
        all += crowds[i].granted;
    }
    assert_true(jain(share, 10) > 0.95);
    assert_true(all >= 100 * 19);                 /* nothing is wasted */
    assert_true(all <= 100 * 20 + 100 + 2 * 100); /* nor given twice */
    assert_int_equal(crowds[10].refused, 0);      /* who asks less than its share gets all it wants … */
    assert_true(p99(&crowds[10]) <= 2 * p99(&quiet[10]) + 1); /* … and hardly notices */
}

static void test_services_of_a_tenant_share_alike(void **state)
{
    (void)state;
    static struct crowd crowds[5];
    const char *services[] = {"noisy", "a", "b", "c", "modest"};
    memset(crowds, 0, sizeof crowds);
    for (int i = 0; i < 5; i++) {
        crowds[i].tenant = "acme";
        crowds[i].service = services[i];
        crowds[i].rate = i == 0 ? 1500 : i < 4 ? 15 : 4;
    }
    simulate(waiting_rules(50, 50), crowds, 5, 20);
    double share[4];
    for (int i = 0; i < 4; i++)
        share[i] = (double)crowds[i].granted;
    assert_true(jain(share, 4) > 0.95);
    assert_true(crowds[4].granted >= 4 * 19);
    assert_true(p99(&crowds[4]) <= 200);
}

static void test_other_tenants_do_not_notice(void **state)
{
    (void)state;
    static struct crowd crowds[2];
    memset(crowds, 0, sizeof crowds);
    crowds[0] = (struct crowd){.tenant = "noisy", .service = "", .rate = 3000};
    crowds[1] = (struct crowd){.tenant = "acme", .service = "", .rate = 40};
    simulate(waiting_rules(50, 50), crowds, 2, 10);
    assert_int_equal(crowds[1].refused, 0);
    assert_int_equal(p99(&crowds[1]), 0);
    assert_in_range(crowds[0].granted, 50 * 10, 50 * 10 + 50 + 250);
}

static void test_the_queue_is_bounded_but_not_by_the_greedy(void **state)
{
    (void)state;
    struct desk desk;
    struct limit_options options = waiting_rules(1, 1);
    options.rules[LIMIT_TENANT].max_wait_ms = 3600 * 1000;
    options.waiting_max = 400;
    desk_open(&desk, &options);
    static struct guest guests[3000];
    memset(guests, 0, sizeof guests);
    size_t n = 0;
    struct limit_stats stats;
    for (; n < 1000; n++)
        ask(&desk, &guests[n], "greedy", "");
    limit_stats(desk.limit, &stats);
    assert_int_equal(stats.waiting, 201); /* half and one: the other half is for others */
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 2; j++) {
            char tenant[32];
            snprintf(tenant, sizeof tenant, "other-%d", i);
            assert_int_not_equal(ask(&desk, &guests[n++], tenant, ""), LIMIT_REFUSED);
        }
    for (int i = 0; i < 1900; i++) {
        char tenant[16];
        snprintf(tenant, sizeof tenant, "more-%d", i / 3);
        ask(&desk, &guests[n++], tenant, "");
    }
    limit_stats(desk.limit, &stats);
    assert_int_equal(stats.waiting, 400);
    for (size_t i = 0; i < n; i++)
        if (guests[i].turn.answer == LIMIT_WAITING)
            assert_false(limit_leave(desk.limit, &guests[i].turn, desk.now));
        else
            done(&desk, &guests[i]);
    limit_stats(desk.limit, &stats);
    assert_int_equal(stats.waiting, 0);
    desk_close(&desk);
}

/* --- background ---------------------------------------------------------------------------------------- */

static void test_background_takes_what_is_left(void **state)
{
    (void)state;
    struct desk desk;
    struct limit_options options = waiting_rules(10, 20);
    desk_open(&desk, &options);
    struct limit_who refresh = {.tenant = SLICE("acme"), .background = true};
    struct guest guest = {0}, waits = {0};
    unsigned went = 0;
    for (int i = 0; i < 30; i++) {
        went += ask_as(&desk, &guest, refresh) == LIMIT_GRANTED;
        done(&desk, &guest);
    }
    assert_int_equal(went, 15); /* a quarter stays */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_GRANTED);
        done(&desk, &guest);
    }
    assert_int_equal(ask(&desk, &waits, "acme", ""), LIMIT_WAITING);
    desk.now += 1000000; /* plenty, but somebody waits */
    assert_int_equal(ask_as(&desk, &guest, refresh), LIMIT_REFUSED);
    done(&desk, &guest);
    limit_pump(desk.limit, desk.now);
    desk_drain(&desk);
    assert_true(waits.told);
    assert_int_equal(ask_as(&desk, &guest, refresh), LIMIT_GRANTED);
    done(&desk, &guest);
    done(&desk, &waits);
    struct limit_stats stats;
    limit_stats(desk.limit, &stats);
    assert_int_equal(stats.yielded, 16);
    desk_close(&desk);
}

static void test_one_credential_at_its_limit_holds_up_no_other(void **state)
{
    (void)state;
    struct desk desk;
    struct limit_options options = waiting_rules(100, 100);
    options.rules[LIMIT_CREDENTIAL] = (struct limit_rule){.rate = 1, .burst = 1, .max_wait_ms = 5000};
    desk_open(&desk, &options);
    struct limit_who slow = {.tenant = SLICE("acme"), .credential = SLICE("c1")};
    struct limit_who other = {.tenant = SLICE("acme"), .credential = SLICE("c2")};
    struct guest guests[4] = {0};
    assert_int_equal(ask_as(&desk, &guests[0], slow), LIMIT_GRANTED);
    assert_int_equal(ask_as(&desk, &guests[1], slow), LIMIT_WAITING);
    assert_int_equal(ask_as(&desk, &guests[2], slow), LIMIT_WAITING);
    assert_int_equal(ask_as(&desk, &guests[3], other), LIMIT_GRANTED);
    desk_pass(&desk, desk.now + 2000);
    assert_true(guests[1].told && guests[2].told);
    for (int i = 0; i < 4; i++)
        done(&desk, &guests[i]);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_its_time_and_no_longer),
        cmocka_unit_test(test_nobody_overtakes),
        cmocka_unit_test(test_refused_at_once_when_it_could_not_begin_in_time),
        cmocka_unit_test(test_stuck_concurrency_ends_at_max_wait),
        cmocka_unit_test(test_who_leaves_frees_the_place),
        cmocka_unit_test(test_one_tenant_asks_hundredfold),
        cmocka_unit_test(test_services_of_a_tenant_share_alike),
        cmocka_unit_test(test_other_tenants_do_not_notice),
        cmocka_unit_test(test_the_queue_is_bounded_but_not_by_the_greedy),
        cmocka_unit_test(test_background_takes_what_is_left),
        cmocka_unit_test(test_one_credential_at_its_limit_holds_up_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
