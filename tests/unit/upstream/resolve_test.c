/* A name that does not resolve, in a network namespace of its own: no question leaves the machine. */
#include "unit/upstream/rig.h"

#include <sched.h>

static bool alone(void)
{
    return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

static void begin(struct rig *rig, struct call *call)
{
    rig_open(rig, NULL);
    upstream_origin_deinit(&rig->origin);
    assert_int_equal(upstream_origin_init(&rig->origin, SLICE("http://no-such-name.invalid"), NULL), 0);
    call_init(call, rig);
}

static void unknown_name_is_told(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    begin(&rig, &call);
    call_get(&call);
    call_expect_failure(&call, UPSTREAM_RESOLVE);
    assert_false(call.sent);
    assert_int_equal(rig_stats(&rig).connect_failures, 1);
    call_deinit(&call);
    rig_close(&rig);
}

/* Giving up must not wait for the resolver's thread. */
static void resolving_can_be_abandoned(void **state)
{
    (void)state;
    struct rig rig;
    struct call call;
    begin(&rig, &call);
    call_get(&call);
    rig_turn(&rig);
    bool over = call_over(&call); /* the resolver may have been quick to say no */
    rig_close_upstream(&rig);
    assert_int_equal(call_over(&call), over);
    call_deinit(&call);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_name_is_told),
        cmocka_unit_test(resolving_can_be_abandoned),
    };
    setenv("RES_OPTIONS", "attempts:1 timeout:1", 1);
    if (!alone()) {
        print_message("no network namespace to be had: skipped\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, rig_setup_process, rig_teardown_process);
}
