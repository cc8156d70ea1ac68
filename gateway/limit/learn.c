/*
 * Learning a limit that nobody told us. An objection tells where the limit is: surely so when the rate had
 * been climbing slowly, else it is a guess between what was let pass for a while and what was not, which is
 * tried at once. The rate falls a little below, climbs back quickly to just under the limit, holds there for
 * as long as the objection was worth, and then searches in growing steps for as long as nobody objects. So
 * upstream says 429 about once in 250 requests while its limit stays, and a raised one is found in seconds.
 * The numbers were found by simulation against token buckets, fixed and sliding windows, with and without
 * Retry-After (tests/unit/limit/learn_test.c); bench/ runs the same against the whole gateway.
 */
#include "limit_internal.h"

static const double RATE_MIN = 0.5; /* never slower: else nobody would hear that it is over */
static const double NEAR = 0.98;    /* of the ceiling: reached quickly … */
static const double PAST = 1.02;    /* … and from there to here while it holds */
static const double CLIMB = 0.10;   /* of the ceiling, each second, up to NEAR */
static const double GROWTH = 0.03;  /* beyond PAST: 1 + GROWTH * (s + s^3 / 4) */

/* How long it holds: an objection is spent on so many requests, and on so many times the pause that it cost;
 * a guess is tried soon. */
static const double HOLD_REQUESTS = 250, HOLD_PAUSES = 16;
static const double HOLD_MIN_S = 4, HOLD_MAX_S = 20, HOLD_PAUSED_MAX_S = 60, HOLD_GUESS_S = 2;

/* Times the configured rate or, without one, the ceiling: then it is forgotten. */
static const double OUTGROWN = 3, OUTGROWN_CEILING = 10;
static const double FIRST_GUESS = 10; /* at least, where no rate is configured */

/* Objections so soon after a cut, or with nothing taken in between, are the same event (a window that is used
 * up): they only make wait, longer each time. */
#define SAME_EVENT_NS NS_PER_S
static const uint64_t WAIT_MIN_NS = 125 * NS_PER_MS, WAIT_MAX_NS = 2 * NS_PER_S;
/* Answers that long after a cut end the streak. */
#define STREAK_NS (2 * NS_PER_S)

/* A rate that was in force so long before the objection was let pass … */
#define LOOK_BACK_NS (1200 * NS_PER_MS)
static const double STEADY = 1.06; /* … and one that has grown by less since then is as good as that one */
static const double SAME_LIMIT = 0.1; /* limits that differ by less are one that is still there */
static const double TOOK = 0.95;      /* of what it took lately: some of that may have been saved up */
static const double LEAST = 0.985;    /* of the rate that it objected to, when that is sure to be the limit */
static const double STREAK_LEAST = 0.7, STREAK_MILD = 0.9;

static double hold_s(const struct learned *learned)
{
    double hold = HOLD_REQUESTS / learned->ceiling, paused = HOLD_PAUSES * (double)learned->paused_ns / 1e9;
    if (!learned->sure)
        return HOLD_GUESS_S;
    hold = hold < HOLD_MIN_S ? HOLD_MIN_S : hold > HOLD_MAX_S ? HOLD_MAX_S : hold;
    paused = paused > HOLD_PAUSED_MAX_S ? HOLD_PAUSED_MAX_S : paused;
    return hold > paused ? hold : paused;
}

static double climb(const struct learned *learned, double seconds)
{
    double ceiling = learned->ceiling, near = NEAR * ceiling, hold = hold_s(learned);
    double way = near > learned->base ? (near - learned->base) / (CLIMB * ceiling) : 0;
    if (seconds < way)
        return learned->base + CLIMB * ceiling * seconds;
    seconds -= way;
    if (seconds < hold)
        return near + (PAST - NEAR) * ceiling * seconds / hold;
    seconds -= hold;
    return PAST * ceiling * (1 + GROWTH * (seconds + seconds * seconds * seconds / 4));
}

double learn_rate(const struct learned *learned, double configured, uint64_t now_ns)
{
    if (learned->ceiling <= 0)
        return 0;
    double rate = now_ns <= learned->since_ns ? learned->base
                                              : climb(learned, (double)(now_ns - learned->since_ns) / 1e9);
    return configured > 0 && rate > configured ? configured : rate;
}

bool learn_expire(struct learned *learned, double configured, uint64_t now_ns)
{
    if (learned->ceiling <= 0 || now_ns <= learned->since_ns)
        return false;
    double end = configured > 0 ? OUTGROWN * configured : OUTGROWN_CEILING * learned->ceiling;
    if (climb(learned, (double)(now_ns - learned->since_ns) / 1e9) < end)
        return false;
    learned->ceiling = 0;
    return true;
}

static double clamp(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

static bool is_near(double one, double other)
{
    return one > other * (1 - SAME_LIMIT) && one < other * (1 + SAME_LIMIT);
}

/* A second, observed in whole slots and the present one. */
static double took_lately(const struct learned *learned, uint64_t now_ns)
{
    uint64_t number = now_ns / LEARN_SLOT_NS, sum = 0;
    for (uint64_t i = 0; i < LEARN_SLOTS && i <= number; i++) {
        const struct learned_slot *slot = &learned->slots[(number - i) % LEARN_SLOTS];
        sum += slot->number == number - i ? slot->accepted : 0;
    }
    return (double)sum * 1e9 / (double)(now_ns % LEARN_SLOT_NS + (LEARN_SLOTS - 1) * LEARN_SLOT_NS);
}

/* What it took since it last objected: a bucket that was empty then, and is now, gave exactly its rate. */
static double took_since(const struct learned *learned, const struct objection *o)
{
    double seconds = o->sent_ns > learned->since_ns ? (double)(o->sent_ns - learned->since_ns) / 1e9 : 0;
    return seconds > 1 ? (double)learned->accepted / seconds : o->rate;
}

static double rate_at(const struct learned *learned, uint64_t ns)
{
    return ns <= learned->since_ns ? learned->base : climb(learned, (double)(ns - learned->since_ns) / 1e9);
}

/* An objection that did not follow a slow climb: what it took lately, within what else is known. */
static double guess(struct learned *learned, const struct objection *o, double passed)
{
    double before = learned->ceiling, took = TOOK * took_lately(learned, o->now_ns), ceiling;
    if (learned->streak == 2)
        ceiling = clamp(STREAK_MILD * before, STREAK_LEAST * o->rate, o->rate);
    else if (learned->streak > 2)
        ceiling = clamp(took, STREAK_LEAST * o->rate, o->rate);
    else
        ceiling = clamp(took, passed < o->rate ? NEAR * passed : STREAK_LEAST * o->rate, o->rate);
    learned->sure = learned->streak == 1 && is_near(ceiling, before);
    if (!is_near(ceiling, learned->known))
        return ceiling;
    learned->sure = true; /* it is what it was */
    return clamp(ceiling, 0.95 * learned->known, 1.02 * learned->known);
}

static double ceiling_of(struct learned *learned, const struct objection *o)
{
    double took = TOOK * took_lately(learned, o->now_ns);
    learned->sure = false;
    if (o->rate <= 0) /* all that came went up */
        return took > FIRST_GUESS ? took : FIRST_GUESS;
    if (learned->ceiling <= 0)
        return took > 0 ? clamp(took, o->rate / 2, o->rate) : o->rate;
    double passed = rate_at(learned, o->now_ns - LOOK_BACK_NS);
    if (learned->streak > 1 || rate_at(learned, o->now_ns) >= STEADY * passed)
        return guess(learned, o, passed);
    learned->sure = true;
    return learned->known = clamp(1.01 * took_since(learned, o), LEAST * o->rate, o->rate);
}

static void cut(struct learned *learned, const struct objection *o)
{
    double factor = ++learned->streak == 1 ? 0.9 : 0.85;
    if (o->overload &&
        o->rate > 0) { /* it is ill rather than strict: where it objected says nothing about a limit */
        double ceiling = learned->ceiling > o->rate ? learned->ceiling : o->rate;
        learned->base = o->rate * 0.5 > ceiling / 4 ? o->rate * 0.5 : ceiling / 4;
        learned->ceiling = ceiling;
        learned->sure = true;
    } else {
        learned->ceiling = ceiling_of(learned, o);
        learned->base = learned->ceiling * factor;
    }
    if (learned->base < RATE_MIN)
        learned->base = RATE_MIN;
    if (learned->ceiling < learned->base)
        learned->ceiling = learned->base;
}

/* Nothing for a while, and what is known of the limit is in doubt when that is not the first time. */
static uint64_t wait_longer(struct learned *learned, const struct objection *o)
{
    uint64_t wait = learned->wait_ns * 2;
    learned->sure = learned->sure && learned->wait_ns == 0;
    learned->wait_ns = wait < WAIT_MIN_NS ? WAIT_MIN_NS : wait > WAIT_MAX_NS ? WAIT_MAX_NS : wait;
    uint64_t until = o->now_ns + (o->pause_ns > learned->wait_ns ? o->pause_ns : learned->wait_ns);
    learned->since_ns = learned->since_ns > until ? learned->since_ns : until;
    learned->accepted = 0;
    return learned->wait_ns;
}

static bool is_same_event(const struct learned *learned, const struct objection *o)
{
    return learned->ceiling > 0 && (o->now_ns - learned->cut_ns < SAME_EVENT_NS ||
                                    (learned->accepted == 0 && !o->overload && o->pause_ns == 0));
}

enum lesson learn_objection(struct learned *learned, const struct objection *o, uint64_t *wait_ns)
{
    *wait_ns = 0;
    if (learned->cut_ns > 0 && o->sent_ns <= learned->cut_ns)
        return LESSON_KNOWN;
    if (o->overload && o->pause_ns == 0 && learned->ceiling > 0 &&
        o->now_ns - learned->cut_ns < SAME_EVENT_NS)
        return LESSON_KNOWN; /* to stop altogether is the breaker's decision, which wants to see how it goes
                                on */
    if (is_same_event(learned, o)) {
        *wait_ns = wait_longer(learned, o);
        return LESSON_WAIT;
    }
    cut(learned, o);
    learned->cut_ns = o->now_ns;
    learned->paused_ns = o->pause_ns;
    learned->since_ns = o->now_ns + o->pause_ns;
    learned->wait_ns = 0;
    learned->accepted = 0;
    return LESSON_CUT;
}

void learn_accept(struct learned *learned, uint64_t now_ns)
{
    uint64_t number = now_ns / LEARN_SLOT_NS;
    struct learned_slot *slot = &learned->slots[number % LEARN_SLOTS];
    if (now_ns > learned->since_ns + STREAK_NS)
        learned->streak = 0;
    if (slot->number != number)
        *slot = (struct learned_slot){.number = number};
    slot->accepted++;
    learned->accepted++;
}
