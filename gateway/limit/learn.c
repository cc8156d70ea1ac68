/*
 * Learning a limit that nobody told us. An objection cuts the rate by a factor (more when objections follow
 * each other); then it climbs back in additive steps: quickly to just below where upstream objected, slowly
 * past that point, and from there in growing steps for as long as nobody objects. So upstream says 429 about
 * once in 200 requests while its limit stays, and a raised one is found in seconds. The numbers were found by
 * simulation against token buckets, fixed windows and evenly spaced limits (tests/unit/limit/learn_test.c).
 */
#include "limit_internal.h"

static const double RATE_MIN = 0.5; /* never slower: else nobody would hear that it is over */
static const double NEAR = 0.97;    /* of the ceiling: reached quickly … */
static const double PAST = 1.02;    /* … and from there to here while it holds */
static const double CLIMB = 0.10;   /* of the ceiling, each second, up to NEAR */
static const double GROWTH = 0.02;  /* beyond PAST: 1 + GROWTH * (s + s^2) */

/* How long it holds: an objection is spent on so many requests, and on so many times the pause that it cost.
 */
static const double HOLD_REQUESTS = 200, HOLD_PAUSES = 25;
static const double HOLD_MIN_S = 4, HOLD_MAX_S = 20, HOLD_PAUSED_MAX_S = 60;

/* Times the configured rate or, without one, the ceiling: then it is forgotten. */
static const double OUTGROWN = 3, OUTGROWN_CEILING = 10;
static const double FIRST_GUESS = 10; /* at least, where no rate is configured */

/* Objections so soon after a cut are the same event (a window that is used up): they only make wait, longer
 * each time. */
#define SAME_EVENT_NS NS_PER_S
static const uint64_t WAIT_MIN_NS = 125 * NS_PER_MS, WAIT_MAX_NS = NS_PER_S;
/* Answers that long after a cut end the streak. */
#define STREAK_NS (2 * NS_PER_S)
/* What upstream takes is looked at in slots of this length: the present and the last one. */
#define SLOT_NS (1500 * NS_PER_MS)
/* What it took falls short of its limit, since we were slower for a while; what it took just now may have
 * been saved up. */
static const double TOOK = 1.05, TOOK_LATELY = 0.9;

static double hold_s(const struct learned *learned)
{
    double hold = HOLD_REQUESTS / learned->ceiling, paused = HOLD_PAUSES * (double)learned->paused_ns / 1e9;
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
    return PAST * ceiling * (1 + GROWTH * (seconds + seconds * seconds));
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

static double took_lately(const struct learned *learned, uint64_t now_ns)
{
    if (now_ns - learned->slot_ns > 2 * SLOT_NS)
        return 0;
    return (double)(learned->in_slot + learned->in_last) * 1e9 /
           (double)(now_ns - learned->slot_ns + SLOT_NS);
}

/* What upstream took since it last objected is its limit, exactly so for a token bucket. A tenant that asks
 * little tells little: at least half of what was allowed is believed, the next objection halves again. */
static double ceiling_of(const struct learned *learned, double rate, uint64_t now_ns)
{
    double seconds = now_ns > learned->mark_ns ? (double)(now_ns - learned->mark_ns) / 1e9 : 0;
    bool told = learned->accepted > 0 && seconds >= 0.5;
    double took = told ? TOOK * (double)learned->accepted / seconds : 0,
           lately = TOOK_LATELY * took_lately(learned, now_ns);
    if (told && lately > took)
        took = lately;
    if (rate <= 0) { /* all that came went up */
        took = (double)learned->accepted / (seconds > 1 ? seconds : 1);
        return took > FIRST_GUESS ? took : FIRST_GUESS;
    }
    if (!told)
        return rate;
    return took < rate / 2 ? rate / 2 : took < rate ? took : rate;
}

static void cut(struct learned *learned, const struct objection *o)
{
    double factor = ++learned->streak == 1 ? 0.9 : 0.7;
    if (o->overload &&
        o->rate > 0) { /* it is ill rather than strict: where it objected says nothing about a limit */
        double ceiling = learned->ceiling > o->rate ? learned->ceiling : o->rate;
        learned->base = o->rate * 0.5 > ceiling / 4 ? o->rate * 0.5 : ceiling / 4;
        learned->ceiling = ceiling;
    } else {
        learned->ceiling = ceiling_of(learned, o->rate, o->now_ns);
        learned->base = learned->ceiling * factor;
    }
    if (learned->base < RATE_MIN)
        learned->base = RATE_MIN;
    if (learned->ceiling < learned->base)
        learned->ceiling = learned->base;
}

enum lesson learn_objection(struct learned *learned, const struct objection *o, uint64_t *wait_ns)
{
    *wait_ns = 0;
    if (learned->cut_ns > 0 && o->sent_ns <= learned->cut_ns)
        return LESSON_KNOWN;
    if (learned->ceiling > 0 && o->now_ns - learned->cut_ns < SAME_EVENT_NS) {
        uint64_t wait = learned->wait_ns * 2;
        *wait_ns = learned->wait_ns = wait < WAIT_MIN_NS   ? WAIT_MIN_NS
                                      : wait > WAIT_MAX_NS ? WAIT_MAX_NS
                                                           : wait;
        uint64_t until = o->now_ns + (o->pause_ns > wait ? o->pause_ns : learned->wait_ns);
        learned->since_ns = learned->since_ns > until ? learned->since_ns : until;
        return LESSON_WAIT;
    }
    cut(learned, o);
    learned->cut_ns = o->now_ns;
    learned->paused_ns = o->pause_ns;
    learned->since_ns = o->now_ns + o->pause_ns;
    learned->wait_ns = 0;
    learned->accepted = 0;
    learned->mark_ns = learned->since_ns;
    return LESSON_CUT;
}

void learn_accept(struct learned *learned, uint64_t now_ns)
{
    enum { MEMORY_S = 30 };
    if (learned->accepted++ == 0 && learned->cut_ns == 0)
        learned->mark_ns = now_ns;
    if (now_ns > learned->since_ns + STREAK_NS)
        learned->streak = 0;
    if (now_ns - learned->slot_ns > SLOT_NS) {
        learned->in_last = now_ns - learned->slot_ns < 2 * SLOT_NS ? learned->in_slot : 0;
        learned->in_slot = 0;
        learned->slot_ns = now_ns;
    }
    learned->in_slot++;
    if (now_ns > learned->mark_ns && now_ns - learned->mark_ns > MEMORY_S * NS_PER_S) {
        learned->mark_ns += (now_ns - learned->mark_ns) / 2;
        learned->accepted /= 2;
    }
}
