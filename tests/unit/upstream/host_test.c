/* What transfers tell their host's breaker, and what it keeps them from. */
#include "upstream/breaker.h"

#include "unit/upstream/rig.h"

static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";
static const char sorry[] = "HTTP/1.1 503 Sorry\r\nContent-Length: 9\r\n\r\nno";

struct bench {
    struct rig rig;
    struct upstream_hosts *hosts;
    struct upstream_host *host;
};

static void bench_open(struct bench *bench)
{
    rig_open(&bench->rig, NULL);
    bench->hosts = upstream_hosts_create();
    bench->host = upstream_host_find(bench->hosts, &bench->rig.origin);
    assert_non_null(bench->host);
}

static void bench_close(struct bench *bench)
{
    rig_close(&bench->rig);
    upstream_hosts_destroy(bench->hosts);
}

static void get(struct bench *bench, struct call *call)
{
    call_init(call, &bench->rig);
    call_request(call, &(struct upstream_request){.method = METHOD_GET,
                                                  .host = bench->host,
                                                  .caller = 1,
                                                  .head = SLICE("GET /x HTTP/1.1\r\nHost: origin\r\n\r\n")});
}

static uint64_t failures(struct bench *bench)
{
    struct upstream_host_stats stats;
    assert_int_equal(upstream_hosts_stats(bench->hosts, &stats, 1), 1);
    return stats.failures;
}

static void open_it(struct bench *bench)
{
    struct breaker_ticket ticket;
    for (int i = 0; i < 3; i++) {
        assert_true(host_admit(bench->host, 1, loop_now(bench->rig.loop), &ticket));
        host_settle(bench->host, &ticket, BREAKER_SILENT, loop_now(bench->rig.loop));
    }
    assert_int_equal(upstream_host_circuit(bench->host), UPSTREAM_CIRCUIT_OPEN);
}

static void refused_transfers_touch_nothing(void **state)
{
    struct bench bench;
    struct call call;
    (void)state;
    bench_open(&bench);
    open_it(&bench);
    get(&bench, &call);
    call_expect_failure(&call, UPSTREAM_OPEN);
    assert_false(call.sent);
    rig_turns(&bench.rig, 20);
    assert_int_equal(rig_try_accept(&bench.rig), -1);
    assert_int_equal(rig_stats(&bench.rig).transfers, 0);
    assert_int_equal(rig_stats(&bench.rig).failures, 0);
    call_deinit(&call);
    /* Given up in the same turn. */
    get(&bench, &call);
    upstream_cancel(call.t);
    rig_turns(&bench.rig, 5);
    assert_false(call_over(&call));
    call_deinit(&call);
    bench_close(&bench);
}

/* --- what a transfer's end says: a table ----------------------------------------------- */

enum deed { ANSWER, RESET, SILENCE, CANCEL, PAUSE };

static const struct {
    const char *what, *answer;
    enum deed deed;
    uint64_t failures;
    bool retries; /* may others be tried again? */
} rows[] = {
    {"a good answer", good, ANSWER, 0, true},
    {"a bad one, at its head", sorry, CANCEL, 1, true},
    {"a bad one that stalls counts once", sorry, SILENCE, 1, true},
    {"a reset", "", RESET, 1, true},
    {"a reset inside the head", "HTTP/1.1 200", RESET, 1, true},
    {"a body cut short", half, RESET, 0, true},
    {"nothing at all", "", SILENCE, 1, false},
    {"a head that stalls", "HTTP/1.1 200", SILENCE, 1, false},
    {"a body that stalls", half, SILENCE, 1, false},
    {"… while the user does not read", half, PAUSE, 0, true},
    {"a user that leaves before an answer", "", CANCEL, 0, true},
    {"no answer of this protocol", "garbage", ANSWER, 0, true},
};

static void play(struct bench *bench, struct call *call, size_t i)
{
    struct rig *rig = &bench->rig;
    int fd = rig_accept(rig);
    rig_read_request(rig, fd);
    rig_write(rig, fd, rows[i].answer);
    rig_turns(rig, 10);
    switch (rows[i].deed) {
    case ANSWER:
        break;
    case RESET:
        rig_reset(fd);
        RIG_UNTIL(rig, call_over(call));
        return;
    case SILENCE:
        rig_jump(rig, 31000);
        RIG_UNTIL(rig, call_over(call));
        break;
    case CANCEL:
        upstream_cancel(call->t);
        break;
    case PAUSE:
        upstream_pause(call->t);
        rig_jump(rig, 70000); /* over the total time, too */
        RIG_UNTIL(rig, call_over(call));
        break;
    }
    rig_turns(rig, 10);
    close(fd);
}

static void what_an_end_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct bench bench;
        struct call call;
        bench_open(&bench);
        if (!bench.rig.clock && (rows[i].deed == SILENCE || rows[i].deed == PAUSE)) {
            bench_close(&bench);
            continue;
        }
        get(&bench, &call);
        play(&bench, &call, i);
        if (failures(&bench) != rows[i].failures ||
            upstream_host_allows_retries(bench.host) != rows[i].retries)
            fail_msg("%s: %llu failures, %d", rows[i].what, (unsigned long long)failures(&bench),
                     upstream_host_allows_retries(bench.host));
        call_deinit(&call);
        bench_close(&bench);
    }
}

/* A probe that is given up gives its place back, and closing the upstream does, too. */
static void probes_give_their_place_back(void **state)
{
    struct bench bench;
    struct call calls[BREAKER_PROBES + 1];
    struct breaker_ticket ticket;
    (void)state;
    bench_open(&bench);
    if (!bench.rig.clock) {
        bench_close(&bench);
        print_message("needs -DTEST_CLOCK=ON: skipped\n");
        return;
    }
    open_it(&bench);
    rig_jump(&bench.rig, 40000);
    for (int i = 0; i < BREAKER_PROBES; i++)
        get(&bench, &calls[i]);
    assert_int_equal(upstream_host_circuit(bench.host), UPSTREAM_HALF_OPEN);
    get(&bench, &calls[BREAKER_PROBES]);
    call_expect_failure(&calls[BREAKER_PROBES], UPSTREAM_OPEN);
    upstream_cancel(calls[0].t);
    assert_true(host_admit(bench.host, 1, loop_now(bench.rig.loop), &ticket));
    host_settle(bench.host, &ticket, BREAKER_UNKNOWN, loop_now(bench.rig.loop));
    rig_close_upstream(&bench.rig);
    for (int i = 0; i < BREAKER_PROBES; i++)
        assert_true(host_admit(bench.host, 1, loop_now(bench.rig.loop), &ticket));
    for (int i = 0; i <= BREAKER_PROBES; i++)
        call_deinit(&calls[i]);
    bench_close(&bench);
}

/* A later try has what the first one left of the time. */
static void a_deadline_is_kept(void **state)
{
    struct bench bench;
    struct call call;
    (void)state;
    bench_open(&bench);
    if (!bench.rig.clock) {
        bench_close(&bench);
        print_message("needs -DTEST_CLOCK=ON: skipped\n");
        return;
    }
    uint64_t deadline = upstream_deadline(bench.rig.upstream);
    assert_int_equal(deadline, loop_now(bench.rig.loop) + 60000);
    rig_jump(&bench.rig, 50000);
    call_init(&call, &bench.rig);
    call_request(&call, &(struct upstream_request){.method = METHOD_GET,
                                                   .deadline_ms = deadline,
                                                   .head = SLICE("GET /x HTTP/1.1\r\nHost: origin\r\n\r\n")});
    int fd = rig_accept(&bench.rig);
    rig_read_request(&bench.rig, fd);
    rig_jump(&bench.rig, 10001);
    call_expect_failure(&call, UPSTREAM_TOTAL_TIMEOUT);
    close(fd);
    call_deinit(&call);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_transfers_touch_nothing),
        cmocka_unit_test(what_an_end_says),
        cmocka_unit_test(probes_give_their_place_back),
        cmocka_unit_test(a_deadline_is_kept),
    };
    return cmocka_run_group_tests(tests, rig_setup_process, rig_teardown_process);
}
