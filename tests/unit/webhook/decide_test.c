/* What is done about what Rollout has: rows of subscriptions, and the verdict on each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "webhook/subscribe_internal.h"

#define OURS   "https://hooks.example.com/webhooks/rollout/aaaa"
#define ASTRAY "https://hooks.example.com/webhooks/rollout/bbbb"
#define MOVED  "https://old.example.com/in/webhooks/rollout/aaaa"
#define OTHER  "https://elsewhere.example.com/webhooks/rollout/cccc"

enum { A, B, NONE = -1 };
enum { ON = 0, OFF = 1, FILTERED = 2 };

struct have {
    const char *id, *url;
    int event, how;
    enum subscribe_move want;
};

static const struct {
    const char *what;
    struct have have[5];
    const char *missing;
} rows[] = {
    {"nothing there", {{0}}, "AB"},
    {"all there", {{"1", OURS, A, ON, SUBSCRIBE_KEEP}, {"2", OURS, B, ON, SUBSCRIBE_KEEP}}, ""},
    {"one missing", {{"1", OURS, A, ON, SUBSCRIBE_KEEP}}, "B"},
    {"disabled", {{"1", OURS, A, OFF, SUBSCRIBE_DELETE}, {"2", OURS, B, ON, SUBSCRIBE_KEEP}}, "A"},
    {"filtered", {{"1", OURS, A, FILTERED, SUBSCRIBE_DELETE}}, "AB"},
    {"duplicates: the smallest id stays",
     {{"3", OURS, A, ON, SUBSCRIBE_DELETE},
      {"1", OURS, A, ON, SUBSCRIBE_KEEP},
      {"2", OURS, A, ON, SUBSCRIBE_DELETE}},
     "B"},
    {"a disabled duplicate",
     {{"1", OURS, A, OFF, SUBSCRIBE_DELETE}, {"2", OURS, A, ON, SUBSCRIBE_KEEP}},
     "B"},
    {"another token of ours", {{"1", ASTRAY, A, ON, SUBSCRIBE_POINT}}, "B"},
    {"another token beside the right one",
     {{"1", ASTRAY, A, ON, SUBSCRIBE_DELETE}, {"2", OURS, A, ON, SUBSCRIBE_KEEP}},
     "B"},
    {"two astray: one is led here",
     {{"2", ASTRAY, A, ON, SUBSCRIBE_DELETE}, {"1", MOVED, A, ON, SUBSCRIBE_POINT}},
     "B"},
    {"astray and disabled", {{"1", ASTRAY, A, OFF, SUBSCRIBE_DELETE}}, "AB"},
    {"where we were before", {{"1", MOVED, B, ON, SUBSCRIBE_POINT}}, "A"},
    {"not wanted any more", {{"1", OURS, NONE, ON, SUBSCRIBE_DELETE}}, "AB"},
    {"foreign ones, whatever they are",
     {{"1", OTHER, A, ON, SUBSCRIBE_FOREIGN},
      {"2", OTHER, A, OFF, SUBSCRIBE_FOREIGN},
      {"3", OTHER, NONE, ON, SUBSCRIBE_FOREIGN},
      {"4", "https://hooks.example.com.evil/webhooks/rollout/aaaab", B, ON, SUBSCRIBE_FOREIGN},
      {"5", "https://hooks.example.com/webhooks/rollout", B, ON, SUBSCRIBE_FOREIGN}},
     "AB"},
    {"no url at all", {{"1", "", A, ON, SUBSCRIBE_FOREIGN}}, "AB"},
};

static void decisions(void **state)
{
    (void)state;
    const struct subscribe_own own = {SLICE(OURS), SLICE("https://hooks.example.com/webhooks/rollout/"),
                                      SLICE("/webhooks/rollout/aaaa")};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct subscribe_listed listed[5];
        bool missing[2] = {false, false};
        char text[3] = "";
        size_t count = 0;
        for (; count < 5 && rows[i].have[count].id; count++) {
            const struct have *have = &rows[i].have[count];
            listed[count] = (struct subscribe_listed){.id = slice_from(have->id),
                                                      .url = slice_from(have->url),
                                                      .event = have->event,
                                                      .active = have->how != OFF,
                                                      .filtered = have->how == FILTERED};
        }
        subscribe_decide(&own, listed, count, missing, 2);
        for (size_t k = 0; k < count; k++)
            if (listed[k].move != rows[i].have[k].want)
                fail_msg("%s: number %zu: %d", rows[i].what, k, listed[k].move);
        snprintf(text, sizeof text, "%s%s", missing[0] ? "A" : "", missing[1] ? "B" : "");
        assert_string_equal(text, rows[i].missing);
    }
}

/* Nothing is wanted, and only one URL is ours: what a removed credential leaves behind. */
static void a_removed_credential(void **state)
{
    (void)state;
    const struct subscribe_own own = {SLICE(OURS), SLICE(OURS), SLICE("/webhooks/rollout/aaaa")};
    struct subscribe_listed listed[] = {
        {.id = SLICE("1"), .url = SLICE(OURS), .event = -1, .active = true},
        {.id = SLICE("2"), .url = SLICE(ASTRAY), .event = -1, .active = true},
        {.id = SLICE("3"), .url = SLICE(MOVED), .event = -1, .active = false},
    };
    subscribe_decide(&own, listed, 3, NULL, 0);
    assert_int_equal(listed[0].move, SUBSCRIBE_DELETE);
    assert_int_equal(listed[1].move, SUBSCRIBE_FOREIGN);
    assert_int_equal(listed[2].move, SUBSCRIBE_DELETE);
}

static void masks(void **state)
{
    (void)state;
    struct event_planned events[] = {{.entity = 0}, {.entity = 0}, {.entity = 1}};
    const struct event_plan_api plan = {.events = events, .event_count = 3, .entity_count = 2};
    static const struct {
        bool have[3];
        uint64_t want;
    } masks_of[] = {
        {{true, true, true}, 3},    {{true, false, true}, 2},  {{true, true, false}, 1},
        {{false, false, false}, 0}, {{false, true, false}, 0},
    };
    for (size_t i = 0; i < sizeof masks_of / sizeof *masks_of; i++)
        assert_int_equal(subscribe_mask(&plan, masks_of[i].have), masks_of[i].want);
    const struct event_plan_api full = {.entity_count = 64};
    assert_true(subscribe_mask(&full, masks_of[0].have) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions),
        cmocka_unit_test(a_removed_credential),
        cmocka_unit_test(masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
