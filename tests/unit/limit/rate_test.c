/* Rates, bursts, refusals and what is said of them. */
#include "fixture.h"

/* A token bucket by its plain definition, in thousandths of a token. */
struct model {
    double rate, tokens, burst;
    uint64_t at;
};

static bool model_ask(struct model *m, uint64_t now)
{
    m->tokens += (double)(now - m->at) * m->rate / 1000;
    m->tokens = m->tokens > m->burst ? m->burst : m->tokens;
    m->at = now;
    if (m->tokens < 1 - 1e-6)
        return false;
    m->tokens -= 1;
    return true;
}

static void test_random_schedules_are_exact(void **state)
{
    (void)state;
    const struct {
        double rate;
        uint64_t burst;
    } rules[] = {{50, 50}, {10, 1}, {0.5, 3}, {1000, 7}, {7, 20}, {100.0 / 60, 5}};
    uint64_t seed = 88172645463325252u, refused = 0;
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++) {
        struct desk desk;
        desk_open(&desk, &(struct limit_options){
                             .rules[LIMIT_TENANT] = {.rate = rules[r].rate, .burst = rules[r].burst}});
        struct model model = {rules[r].rate, (double)rules[r].burst, (double)rules[r].burst, desk.now};
        for (int i = 0; i < 20000; i++) {
            struct guest guest = {0};
            double mean = 1000 / rules[r].rate;
            desk.now += next_random(&seed) % 5 == 0 ? next_random(&seed) % (uint64_t)(mean * 20 + 2)
                                                    : next_random(&seed) % (uint64_t)(mean + 1);
            bool went = ask(&desk, &guest, "acme", "") == LIMIT_GRANTED;
            assert_int_equal(went, model_ask(&model, desk.now));
            refused += !went;
            done(&desk, &guest);
        }
        desk_close(&desk);
    }
    assert_true(refused > 10000);
}

static void test_retry_after_is_what_then_happens(void **state)
{
    (void)state;
    const double rates[] = {50, 3, 0.7, 0.1};
    uint64_t seed = 12345, longest = 0;
    for (size_t r = 0; r < 4; r++) {
        struct desk desk;
        desk_open(&desk, &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = rates[r], .burst = 2}});
        for (int i = 0; i < 2000; i++) {
            struct guest guest = {0};
            desk.now += next_random(&seed) % 1500;
            if (ask(&desk, &guest, "acme", "") == LIMIT_REFUSED) {
                uint64_t after = guest.turn.retry_after_s;
                assert_true(after >= 1);
                longest = after > longest ? after : longest;
                done(&desk, &guest);
                if (after > 1) { /* not a second too late either */
                    desk.now += (after - 1) * 1000;
                    assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_REFUSED);
                    assert_int_equal(guest.turn.retry_after_s, 1);
                    done(&desk, &guest);
                    desk.now += 1000;
                } else {
                    desk.now += 1000;
                }
                assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_GRANTED);
            }
            done(&desk, &guest);
        }
        desk_close(&desk);
    }
    assert_int_equal(longest, 10);
}

static void test_every_scope_holds(void **state)
{
    (void)state;
    struct desk desk;
    struct limit_options options = {.rules = {[LIMIT_CLIENT] = {.rate = 10, .burst = 10},
                                              [LIMIT_TENANT] = {.rate = 8, .burst = 8},
                                              [LIMIT_CREDENTIAL] = {.rate = 5, .burst = 5},
                                              [LIMIT_SERVICE] = {.rate = 3, .burst = 3}}};
    desk_open(&desk, &options);
    const struct {
        const char *tenant, *credential, *service;
        unsigned times;
        unsigned granted;
        enum limit_scope by;
    } steps[] = {
        {"acme", "c1", "a", 5, 3, LIMIT_SERVICE},    /* the service's 3 */
        {"acme", "c1", "b", 5, 2, LIMIT_CREDENTIAL}, /* the rest of the credential's 5 */
        {"acme", "c2", "c", 3, 3, LIMIT_CLIENT},     /* all 8 of the tenant */
        {"acme", "c3", "d", 1, 0, LIMIT_TENANT},
        {"globex", "c1", "d", 3, 2, LIMIT_CLIENT}, /* a credential of that name is another one; 10 in all */
    };
    for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
        unsigned granted = 0;
        for (unsigned i = 0; i < steps[s].times; i++) {
            struct guest guest = {0};
            struct limit_who who = {slice_from(steps[s].tenant), slice_from(steps[s].credential),
                                    slice_from(steps[s].service), false, 0};
            if (ask_as(&desk, &guest, who) == LIMIT_GRANTED)
                granted++;
            else
                assert_int_equal(guest.turn.by, steps[s].by);
            done(&desk, &guest);
        }
        assert_int_equal(granted, steps[s].granted);
    }
    desk_close(&desk);
}

static void test_a_refusal_takes_nothing(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(
        &desk,
        &(struct limit_options){
            .rules = {
                [LIMIT_TENANT] = {.rate = 10, .burst = 10}, [LIMIT_SERVICE] = {.rate = 1, .burst = 1}}});
    struct guest guest = {0};
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ask(&desk, &guest, "acme", "noisy"), i == 0 ? LIMIT_GRANTED : LIMIT_REFUSED);
        done(&desk, &guest);
    }
    for (int i = 0; i < 9; i++) { /* nine of the tenant's ten are left */
        char service[16];
        snprintf(service, sizeof service, "s%d", i);
        assert_int_equal(ask(&desk, &guest, "acme", service), LIMIT_GRANTED);
        done(&desk, &guest);
    }
    assert_int_equal(ask(&desk, &guest, "acme", "other"), LIMIT_REFUSED);
    done(&desk, &guest);
    desk_close(&desk);
}

static void test_concurrency(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &(struct limit_options){.rules[LIMIT_TENANT] = {.concurrency = 2}});
    struct guest guests[4] = {0};
    assert_int_equal(ask(&desk, &guests[0], "acme", ""), LIMIT_GRANTED);
    assert_int_equal(ask(&desk, &guests[1], "acme", ""), LIMIT_GRANTED);
    assert_int_equal(ask(&desk, &guests[2], "acme", ""), LIMIT_REFUSED);
    assert_int_equal(guests[2].turn.retry_after_s, 1);
    assert_int_equal(ask(&desk, &guests[3], "globex", ""), LIMIT_GRANTED);
    done(&desk, &guests[2]);
    done(&desk, &guests[0]);
    done(&desk, &guests[0]); /* harmless */
    assert_int_equal(ask(&desk, &guests[2], "acme", ""), LIMIT_GRANTED);
    assert_int_equal(ask(&desk, &guests[0], "acme", ""), LIMIT_REFUSED);
    for (int i = 0; i < 4; i++)
        done(&desk, &guests[i]);
    desk_close(&desk);
}

/* What is granted at once, and what within the ten seconds after. */
static void test_a_service_of_its_own_rate(void **state)
{
    (void)state;
    const struct row {
        struct limit_rule rule; /* of all services */
        double own;
        unsigned at_once, later;
    } rows[] = {
        {{.rate = 0}, 4, 4, 40},                     /* no rule is needed */
        {{.rate = 0}, 0.5, 1, 5},                    /* less than one a second: one at once */
        {{.rate = 2}, 4, 4, 40},                     /* more than all others */
        {{.rate = 20}, 4, 4, 40},                    /* less */
        {{.rate = 2, .burst = 50}, 4, 4, 40},        /* the rule's burst is not its own */
        {{.rate = 2, .burst = 3}, 0, 3, 20},         /* who has none has the rule's */
        {{.rate = 2, .shadow = true}, 4, 60, 60000}, /* shadow is the scope's */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct desk desk;
        desk_open(&desk, &(struct limit_options){.rules[LIMIT_SERVICE] = rows[i].rule});
        struct limit_who who = {.tenant = SLICE("acme"), .service = SLICE("s"), .service_rate = rows[i].own};
        unsigned at_once = 0, later = 0;
        for (int n = 0; n < 60; n++) {
            struct guest guest = {0};
            at_once += ask_as(&desk, &guest, who) == LIMIT_GRANTED;
            done(&desk, &guest);
        }
        for (int ms = 0; ms < 10000; ms++) {
            desk.now++;
            for (int n = 0; n < 6; n++) {
                struct guest guest = {0};
                later += ask_as(&desk, &guest, who) == LIMIT_GRANTED;
                done(&desk, &guest);
            }
        }
        assert_int_equal(at_once, rows[i].at_once);
        assert_int_equal(later, rows[i].later);
        desk_close(&desk);
    }
}

static void test_own_rates_are_told_and_change(void **state)
{
    (void)state;
    struct desk desk;
    char storage[256];
    struct buf out;
    struct guest guest = {0};
    struct limit_who who = {.tenant = SLICE("acme"), .service = SLICE("s"), .service_rate = 5};
    desk_open(&desk, &(struct limit_options){.rules[LIMIT_SERVICE] = {.rate = 100}});
    assert_int_equal(ask_as(&desk, &guest, who), LIMIT_GRANTED);
    buf_init_fixed(&out, storage, sizeof storage);
    limit_put_fields(desk.limit, &guest.turn, desk.now, &out);
    assert_non_null(memmem(out.ptr, out.len, "\"service\";q=5;w=1\r\n", 19));
    done(&desk, &guest);
    who.service_rate = 0;          /* another key of that name, without one */
    for (int n = 0; n < 80; n++) { /* what was owed is owed: its 200 ms are 20 of 100 */
        assert_int_equal(ask_as(&desk, &guest, who), LIMIT_GRANTED);
        done(&desk, &guest);
    }
    struct limit_who other = {.tenant = SLICE("globex"), .service = SLICE("t"), .service_rate = 1};
    assert_int_equal(ask_as(&desk, &guest, other), LIMIT_GRANTED);
    done(&desk, &guest);
    assert_int_equal(ask_as(&desk, &guest, other), LIMIT_REFUSED);
    assert_int_equal(guest.turn.by, LIMIT_SERVICE);
    done(&desk, &guest);
    desk_close(&desk);
}

static void test_shadow_counts_and_refuses_nothing(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &(struct limit_options){
                         .rules[LIMIT_TENANT] = {.rate = 5, .burst = 5, .concurrency = 7, .shadow = true}});
    struct guest guests[10] = {0};
    for (int i = 0; i < 10; i++)
        assert_int_equal(ask(&desk, &guests[i], "acme", ""), LIMIT_GRANTED);
    struct limit_stats stats = {0};
    limit_stats(desk.limit, &stats);
    assert_int_equal(stats.shadow_refused[LIMIT_TENANT], 5);
    assert_int_equal(stats.refused[LIMIT_TENANT], 0);
    struct buf out;
    buf_init(&out, 1024);
    limit_put_fields(desk.limit, &guests[0].turn, desk.now, &out);
    assert_int_equal(out.len, 0); /* what is not enforced is not told */
    buf_deinit(&out);
    for (int i = 0; i < 10; i++)
        done(&desk, &guests[i]);
    desk_close(&desk);
}

static void expect_fields(struct desk *desk, struct guest *guest, const char *expected)
{
    struct buf out;
    buf_init(&out, 1024);
    limit_put_fields(desk->limit, &guest->turn, desk->now, &out);
    assert_int_equal(buf_append_char(&out, '\0'), 0);
    assert_string_equal(out.ptr, expected);
    buf_deinit(&out);
}

static void test_fields(void **state)
{
    (void)state;
    const struct {
        double rate;
        uint64_t burst;
        const char *first, *refused;
    } rows[] = {
        {50, 50, "RateLimit-Policy: \"tenant\";q=50;w=1\r\nRateLimit: \"tenant\";r=49;t=1\r\n",
         "RateLimit-Policy: \"tenant\";q=50;w=1\r\nRateLimit: \"tenant\";r=0;t=1\r\n"},
        {10, 30, "RateLimit-Policy: \"tenant\";q=30;w=3\r\nRateLimit: \"tenant\";r=29;t=1\r\n",
         "RateLimit-Policy: \"tenant\";q=30;w=3\r\nRateLimit: \"tenant\";r=0;t=1\r\n"},
        {50, 5, "RateLimit-Policy: \"tenant\";q=50;w=1\r\nRateLimit: \"tenant\";r=4;t=1\r\n",
         "RateLimit-Policy: \"tenant\";q=50;w=1\r\nRateLimit: \"tenant\";r=0;t=1\r\n"},
        {0.25, 1, "RateLimit-Policy: \"tenant\";q=1;w=4\r\nRateLimit: \"tenant\";r=0;t=4\r\n",
         "RateLimit-Policy: \"tenant\";q=1;w=4\r\nRateLimit: \"tenant\";r=0;t=4\r\n"},
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct desk desk;
        desk_open(&desk, &(struct limit_options){
                             .rules[LIMIT_TENANT] = {.rate = rows[r].rate, .burst = rows[r].burst}});
        struct guest guest = {0};
        assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_GRANTED);
        expect_fields(&desk, &guest, rows[r].first);
        done(&desk, &guest);
        while (ask(&desk, &guest, "acme", "") == LIMIT_GRANTED)
            done(&desk, &guest);
        expect_fields(&desk, &guest, rows[r].refused);
        done(&desk, &guest);
        desk_close(&desk);
    }
    struct desk desk;
    desk_open(&desk, &(struct limit_options){
                         .rules = {[LIMIT_TENANT] = {.rate = 5}, [LIMIT_CLIENT] = {.rate = 20}}});
    struct guest guest = {0};
    ask(&desk, &guest, "acme", "");
    expect_fields(&desk, &guest,
                  "RateLimit-Policy: \"client\";q=20;w=1, \"tenant\";q=5;w=1\r\n"
                  "RateLimit: \"client\";r=19;t=1, \"tenant\";r=4;t=1\r\n");
    done(&desk, &guest);
    desk_close(&desk);
}

static void test_idle_buckets_are_forgotten(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk,
              &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = 50, .burst = 50}, .keys_max = 6400});
    struct limit_stats stats;
    struct guest guest = {0};
    uint64_t most = 0;
    for (int i = 0; i < 300000; i++) { /* 100 tenants a ms: each bucket is full again after 20 ms */
        char tenant[24];
        snprintf(tenant, sizeof tenant, "tenant-%d", i);
        desk.now += i % 100 == 0;
        assert_int_equal(ask(&desk, &guest, tenant, ""), LIMIT_GRANTED);
        done(&desk, &guest);
        limit_stats(desk.limit, &stats);
        most = stats.keys > most ? stats.keys : most;
    }
    assert_in_range(most, 1000, 5000);
    /* Faster than they become idle: the bound holds. */
    for (int i = 0; i < 50000; i++) {
        char tenant[24];
        snprintf(tenant, sizeof tenant, "flood-%d", i);
        assert_int_equal(ask(&desk, &guest, tenant, ""), LIMIT_GRANTED);
        done(&desk, &guest);
    }
    limit_stats(desk.limit, &stats);
    assert_in_range(stats.keys, 6000, 6400 + 64);
    desk_close(&desk);
}

static void test_new_rules_count_from_now_on(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk, &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = 1, .burst = 1}});
    struct guest guest = {0};
    ask(&desk, &guest, "acme", "");
    done(&desk, &guest);
    assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_REFUSED);
    done(&desk, &guest);
    limit_configure(desk.limit, &(struct limit_options){0});
    for (int i = 0; i < 100; i++) {
        assert_int_equal(ask(&desk, &guest, "acme", ""), LIMIT_GRANTED);
        done(&desk, &guest);
    }
    desk_close(&desk);
}

static void test_charge_counts_and_is_never_refused(void **state)
{
    (void)state;
    struct desk desk;
    desk_open(&desk,
              &(struct limit_options){.rules[LIMIT_TENANT] = {.rate = 10, .burst = 10, .concurrency = 5}});
    struct guest guest = {0}, other = {0};
    ask(&desk, &guest, "acme", "");
    for (int i = 0; i < 14; i++)
        limit_charge(desk.limit, &guest.turn, desk.now);
    assert_int_equal(ask(&desk, &other, "acme", ""), LIMIT_REFUSED);
    done(&desk, &other);
    desk.now += 500; /* five over: paid for */
    assert_int_equal(ask(&desk, &other, "acme", ""), LIMIT_REFUSED);
    done(&desk, &other);
    desk.now += 100;
    assert_int_equal(ask(&desk, &other, "acme", ""), LIMIT_GRANTED);
    done(&desk, &other);
    done(&desk, &guest);
    desk_close(&desk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schedules_are_exact),
        cmocka_unit_test(test_retry_after_is_what_then_happens),
        cmocka_unit_test(test_every_scope_holds),
        cmocka_unit_test(test_a_refusal_takes_nothing),
        cmocka_unit_test(test_concurrency),
        cmocka_unit_test(test_a_service_of_its_own_rate),
        cmocka_unit_test(test_own_rates_are_told_and_change),
        cmocka_unit_test(test_shadow_counts_and_refuses_nothing),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_idle_buckets_are_forgotten),
        cmocka_unit_test(test_new_rules_count_from_now_on),
        cmocka_unit_test(test_charge_counts_and_is_never_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
