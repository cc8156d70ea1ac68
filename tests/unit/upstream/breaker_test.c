/* Breaker and budget in simulated time; the register of hosts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "upstream/breaker.h"

enum {
    NO_JITTER = BREAKER_OPEN_MS * BREAKER_JITTER / 100
}; /* the dice that leave the first interval as it is */

static const uint64_t start = 1000 * 1000;

/* One request that ends with `outcome` after `took`. False: refused. */
static bool request(struct breaker *b, uint64_t caller, uint64_t now, enum breaker_outcome outcome)
{
    struct breaker_ticket ticket;
    if (!breaker_admit(b, caller, now, &ticket))
        return false;
    breaker_settle(b, &ticket, outcome, now, NO_JITTER);
    return true;
}

static void opens(struct breaker *b, uint64_t now)
{
    *b = (struct breaker){0};
    for (int i = 0; i < BREAKER_ROW; i++)
        assert_true(request(b, 1, now, BREAKER_BAD));
    assert_int_equal(b->state, UPSTREAM_CIRCUIT_OPEN);
}

/* --- opening: a table of histories ----------------------------------------------------- */

/* Each letter is a request, one every `step` ms: g good, x broken, 5 a bad answer to caller 1, f one to
 * caller 2, s a timeout, u unknown, G good for caller 2. */
static const struct history {
    const char *what, *text;
    uint64_t step;
    bool open;
} histories[] = {
    {"one short of a row", "xxxx", 10, false},
    {"a row", "xxxxx", 10, true},
    {"a row of bad answers", "555555555", 10, true},
    {"a success between", "xxxxgxxxx", 10, false},
    {"what says nothing neither helps nor hurts", "xxuuxux", 10, false},
    {"… nor breaks a row", "xxuxuxx", 10, true},
    {"a row over a long time is none", "xxxxx", 11000, false},
    {"a row over some seconds is one", "xxxxx", 2000, true},
    {"half of enough", "gxgxgxgxgxgxgxgxgxgx", 10, true},
    {"half of too few", "gxgxgxgxgxgxgxgxgx", 10, false},
    {"less than half", "ggxggxggxggxggxggxggxggxggxggxggx", 10, false},
    {"old failures leave the window", "gxgxgxgxgxgxgxgxgxgx", 3000, false},
    {"three timeouts and nothing else", "sss", 10, true},
    {"one or two may be a slow page's", "ss", 10, false},
    {"… with an answer between", "ssgss", 10, false},
    {"one caller's bad answers while another fares well", "G55555555555555555555555G55555", 10, false},
    {"… but two callers' open it", "Gfffff5555", 10, true},
    {"one caller's resets are the host's", "Gxxxxx", 10, true},
    {"one caller's bad answers when nobody else asks", "ggg555555555", 10, true},
};

static bool play(struct breaker *b, char letter, uint64_t now)
{
    switch (letter) {
    case 'g':
        return request(b, 1, now, BREAKER_GOOD);
    case 'G':
        return request(b, 2, now, BREAKER_GOOD);
    case 'x':
        return request(b, 1, now, BREAKER_BAD);
    case '5':
        return request(b, 1, now, BREAKER_BAD_ANSWER);
    case 'f':
        return request(b, 2, now, BREAKER_BAD_ANSWER);
    case 's':
        return request(b, 1, now, BREAKER_SILENT);
    default:
        return request(b, 1, now, BREAKER_UNKNOWN);
    }
}

static void test_histories(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof histories / sizeof *histories; i++) {
        const struct history *h = &histories[i];
        struct breaker b = {0};
        uint64_t now = start;
        size_t length = strlen(h->text);
        for (size_t j = 0; j < length; j++, now += h->step) {
            bool open = b.state != UPSTREAM_CLOSED;
            if (open)
                fail_msg("%s: open before its end", h->what);
            play(&b, h->text[j], now);
        }
        if ((b.state == UPSTREAM_CIRCUIT_OPEN) != h->open)
            fail_msg("%s: %s", h->what, upstream_circuit_name(b.state));
    }
}

/* What was under way when the first one failed, and further tries, are no row; what begins then is. */
static void test_a_burst_is_no_row(void **state)
{
    struct breaker b = {0};
    struct breaker_ticket burst[BREAKER_ROW_ANSWERS + 1], again;
    (void)state;
    for (int i = 0; i <= BREAKER_ROW_ANSWERS; i++)
        assert_true(breaker_admit(&b, 1, start, &burst[i]));
    for (int i = 0; i <= BREAKER_ROW_ANSWERS; i++)
        breaker_settle(&b, &burst[i], BREAKER_BAD, start + 1, 0);
    for (int i = 0; i < BREAKER_ROW; i++) {
        assert_true(breaker_admit(&b, 1, start + 2, &again));
        again.again = true;
        breaker_settle(&b, &again, BREAKER_BAD, start + 2, 0);
    }
    assert_int_equal(b.state, UPSTREAM_CLOSED);
    for (int i = 1; i < BREAKER_ROW; i++)
        assert_true(request(&b, 1, start + 3, BREAKER_BAD));
    assert_int_equal(b.state, UPSTREAM_CIRCUIT_OPEN);
}

/* A timeout while others were answered is one failure like any other. */
static void test_timeout_among_successes(void **state)
{
    struct breaker b = {0};
    struct breaker_ticket slow;
    (void)state;
    assert_true(breaker_admit(&b, 1, start, &slow));
    assert_true(request(&b, 2, start + 100, BREAKER_GOOD));
    breaker_settle(&b, &slow, BREAKER_SILENT, start + 30000, 0);
    assert_int_equal(b.state, UPSTREAM_CLOSED);
    /* Its further try says no more: nobody else has asked meanwhile. */
    assert_true(breaker_admit(&b, 1, start + 30100, &slow));
    slow.again = true;
    breaker_settle(&b, &slow, BREAKER_SILENT, start + 60000, 0);
    assert_int_equal(b.state, UPSTREAM_CLOSED);
}

/* --- open, half-open, closed ----------------------------------------------------------- */

static void test_open_refuses_until_the_interval_is_over(void **state)
{
    struct breaker b;
    struct breaker_ticket ticket;
    (void)state;
    opens(&b, start);
    assert_int_equal(breaker_wait_ms(&b, start), BREAKER_OPEN_MS);
    assert_false(breaker_admit(&b, 1, start, &ticket));
    assert_true(breaker_refuses(&b, start + BREAKER_OPEN_MS - 1));
    assert_int_equal(breaker_wait_ms(&b, start + BREAKER_OPEN_MS - 1), 1);
    assert_false(breaker_refuses(&b, start + BREAKER_OPEN_MS));
    assert_int_equal(breaker_wait_ms(&b, start + BREAKER_OPEN_MS), 0);
}

static void test_half_open_lets_few_through(void **state)
{
    struct breaker b;
    struct breaker_ticket tickets[BREAKER_PROBES], more;
    uint64_t now = start + BREAKER_OPEN_MS;
    (void)state;
    opens(&b, start);
    for (int i = 0; i < BREAKER_PROBES; i++) {
        assert_true(breaker_admit(&b, 1, now, &tickets[i]));
        assert_true(tickets[i].probe);
    }
    assert_int_equal(b.state, UPSTREAM_HALF_OPEN);
    assert_false(breaker_admit(&b, 1, now, &more));
    breaker_settle(&b, &tickets[0], BREAKER_UNKNOWN, now, 0); /* its client left: its place is free again */
    assert_true(breaker_admit(&b, 1, now, &more));
    breaker_settle(&b, &tickets[1], BREAKER_GOOD, now, 0);
    assert_int_equal(b.state, UPSTREAM_HALF_OPEN);
    breaker_settle(&b, &more, BREAKER_GOOD, now, 0);
    assert_int_equal(b.state, UPSTREAM_CLOSED);
    assert_true(request(&b, 1, now, BREAKER_BAD));
    assert_int_equal(b.state, UPSTREAM_CLOSED); /* the old row is forgotten */
}

static void test_a_bad_probe_opens_again_for_longer(void **state)
{
    struct breaker b;
    uint64_t now = start, interval = BREAKER_OPEN_MS;
    (void)state;
    opens(&b, now);
    for (int i = 0; i < 10; i++) {
        now += breaker_wait_ms(&b, now);
        struct breaker_ticket probe;
        assert_true(breaker_admit(&b, 1, now, &probe));
        interval = interval * 2 < BREAKER_OPEN_MAX_MS ? interval * 2 : BREAKER_OPEN_MAX_MS;
        breaker_settle(&b, &probe, BREAKER_BAD, now, interval * BREAKER_JITTER / 100);
        assert_int_equal(b.state, UPSTREAM_CIRCUIT_OPEN);
        assert_int_equal(breaker_wait_ms(&b, now), interval);
    }
}

static void test_the_interval_is_forgotten_after_calm(void **state)
{
    static const struct {
        uint64_t calm, interval;
    } rows[] = {{BREAKER_CALM_MS - 1, BREAKER_OPEN_MS * 2}, {BREAKER_CALM_MS, BREAKER_OPEN_MS}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct breaker b;
        uint64_t now = start;
        opens(&b, now);
        now += BREAKER_OPEN_MS;
        for (int j = 0; j < BREAKER_GOOD_PROBES; j++)
            assert_true(request(&b, 1, now, BREAKER_GOOD));
        assert_int_equal(b.state, UPSTREAM_CLOSED);
        now += rows[i].calm;
        for (int j = 0; j < BREAKER_ROW; j++)
            assert_true(request(&b, 1, now, BREAKER_BAD));
        assert_int_equal(b.interval_ms, rows[i].interval);
    }
}

static void test_jitter(void **state)
{
    uint64_t least = UINT64_MAX, most = 0;
    (void)state;
    for (uint64_t dice = 0; dice < 5000; dice++) {
        struct breaker b = {0};
        struct breaker_ticket ticket;
        for (int i = 0; i < 3; i++) {
            assert_true(breaker_admit(&b, 1, start, &ticket));
            breaker_settle(&b, &ticket, BREAKER_SILENT, start, dice * 7919);
        }
        uint64_t wait = breaker_wait_ms(&b, start);
        least = wait < least ? wait : least;
        most = wait > most ? wait : most;
    }
    assert_int_equal(least, BREAKER_OPEN_MS * (100 - BREAKER_JITTER) / 100);
    assert_int_equal(most, BREAKER_OPEN_MS * (100 + BREAKER_JITTER) / 100);
}

/* What began before the breaker moved says nothing of the host now. */
static void test_latecomers_do_not_count(void **state)
{
    struct breaker b = {0};
    struct breaker_ticket early, probe;
    uint64_t now = start;
    (void)state;
    assert_true(breaker_admit(&b, 1, now, &early));
    for (int i = 0; i < BREAKER_ROW; i++)
        assert_true(request(&b, 1, now, BREAKER_BAD));
    breaker_settle(&b, &early, BREAKER_GOOD, now, 0);
    assert_int_equal(b.state, UPSTREAM_CIRCUIT_OPEN);
    now += BREAKER_OPEN_MS;
    assert_true(breaker_admit(&b, 1, now, &probe));
    breaker_settle(&b, &early, BREAKER_BAD, now, 0);
    assert_int_equal(b.state, UPSTREAM_HALF_OPEN);
    assert_int_equal(b.probes, 1);
}

static void test_what_counts(void **state)
{
    (void)state;
    for (int status = 200; status < 600; status++)
        assert_int_equal(breaker_outcome_of_status(status),
                         status >= 502 && status <= 504 ? BREAKER_BAD_ANSWER : BREAKER_GOOD);
    assert_int_equal(breaker_outcome_of(UPSTREAM_CONNECT), BREAKER_BAD);
    assert_int_equal(breaker_outcome_of(UPSTREAM_RESET), BREAKER_BAD_ANSWER);
    assert_int_equal(breaker_outcome_of(UPSTREAM_CONNECT_TIMEOUT), BREAKER_SILENT);
    assert_int_equal(breaker_outcome_of(UPSTREAM_FIRST_BYTE_TIMEOUT), BREAKER_SILENT);
    assert_int_equal(breaker_outcome_of(UPSTREAM_IDLE_TIMEOUT), BREAKER_SILENT);
    assert_int_equal(breaker_outcome_of(UPSTREAM_TOTAL_TIMEOUT), BREAKER_UNKNOWN);
    assert_int_equal(breaker_outcome_of(UPSTREAM_INVALID), BREAKER_UNKNOWN);
}

/* --- the budget ------------------------------------------------------------------------ */

static unsigned spend(struct budget *budget, uint64_t now)
{
    unsigned paid = 0;
    while (budget_withdraw(budget, now))
        paid++;
    return paid;
}

static void test_budget_is_a_fifth_and_a_floor(void **state)
{
    struct budget budget;
    (void)state;
    budget_init(&budget, start);
    assert_int_equal(spend(&budget, start), 3); /* the floor */
    for (int i = 0; i < 50; i++)
        budget_deposit(&budget);
    assert_int_equal(spend(&budget, start), 10);
    for (int i = 0; i < 100000; i++)
        budget_deposit(&budget);
    assert_int_equal(spend(&budget, start), 20); /* at most */
    assert_int_equal(spend(&budget, start + 499), 0);
    assert_int_equal(spend(&budget, start + 500), 1);
    assert_int_equal(spend(&budget, start + 3600 * 1000), 3);
}

/* However they are spread: repetitions over a minute stay within a fifth, the floor's flow and its first
 * filling. */
static void test_budget_over_time(void **state)
{
    struct budget budget;
    unsigned paid = 0;
    (void)state;
    budget_init(&budget, start);
    for (uint64_t ms = 0; ms < 60000; ms += 10) {
        budget_deposit(&budget);
        paid += budget_withdraw(&budget, start + ms) ? 1 : 0;
        paid += budget_withdraw(&budget, start + ms) ? 1 : 0;
    }
    assert_in_range(paid, 6000 / 5, 6000 / 5 + 60 * 2 + 3);
}

/* --- the register ---------------------------------------------------------------------- */

static void test_hosts(void **state)
{
    struct upstream_hosts *hosts = upstream_hosts_create();
    struct upstream_origin a, b, c;
    struct upstream_host_stats stats[4];
    struct breaker_ticket ticket;
    (void)state;
    assert_int_equal(upstream_origin_init(&a, SLICE("https://a.example/api"), NULL), 0);
    assert_int_equal(upstream_origin_init(&b, SLICE("https://a.example/other"), NULL), 0);
    assert_int_equal(upstream_origin_init(&c, SLICE("http://a.example"), NULL), 0);
    struct upstream_host *host = upstream_host_find(hosts, &a);
    assert_non_null(host);
    assert_ptr_equal(host, upstream_host_find(hosts, &b));
    assert_ptr_not_equal(host, upstream_host_find(hosts, &c));
    assert_true(upstream_host_allows_retries(host));
    for (int i = 0; i < 3; i++) {
        assert_false(upstream_host_refuses(host, start));
        assert_true(host_admit(host, 1, start, &ticket));
        host_settle(host, &ticket, BREAKER_SILENT, start);
        host_settle(host, &ticket, BREAKER_SILENT, start); /* once only */
        assert_false(upstream_host_allows_retries(host));
    }
    assert_true(upstream_host_refuses(host, start));
    assert_false(host_admit(host, 1, start, &ticket));
    assert_int_equal(upstream_host_circuit(host), UPSTREAM_CIRCUIT_OPEN);
    assert_in_range(upstream_host_retry_after(host, start), 1, 2);
    assert_int_equal(upstream_host_retry_after(host, start + 60000), 1);
    assert_int_equal(upstream_hosts_stats(hosts, stats, 4), 2);
    assert_int_equal(upstream_hosts_stats(hosts, stats, 1), 1);
    assert_true(slice_equal(stats[0].host, SLICE("a.example")) && stats[0].https);
    assert_int_equal(stats[0].opened, 1);
    assert_int_equal(stats[0].failures, 3);
    assert_int_equal(stats[0].refused, 2);
    upstream_origin_deinit(&a);
    upstream_origin_deinit(&b);
    upstream_origin_deinit(&c);
    upstream_hosts_destroy(hosts);
}

/* No host: never open, nothing to spend. */
static void test_no_host(void **state)
{
    struct breaker_ticket ticket;
    (void)state;
    assert_true(host_admit(NULL, 0, start, &ticket));
    host_settle(NULL, &ticket, BREAKER_BAD, start);
    assert_false(upstream_host_refuses(NULL, start));
    assert_false(upstream_host_withdraw(NULL, start));
    upstream_host_deposit(NULL);
    assert_int_equal(upstream_host_circuit(NULL), UPSTREAM_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histories),
        cmocka_unit_test(test_a_burst_is_no_row),
        cmocka_unit_test(test_timeout_among_successes),
        cmocka_unit_test(test_open_refuses_until_the_interval_is_over),
        cmocka_unit_test(test_half_open_lets_few_through),
        cmocka_unit_test(test_a_bad_probe_opens_again_for_longer),
        cmocka_unit_test(test_the_interval_is_forgotten_after_calm),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_latecomers_do_not_count),
        cmocka_unit_test(test_what_counts),
        cmocka_unit_test(test_budget_is_a_fifth_and_a_floor),
        cmocka_unit_test(test_budget_over_time),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_no_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
