/*
 * Learning a limit that nobody told us. An objection cuts the rate by a factor (more when objections follow
 * each other); then it climbs back in additive steps: quickly to just below where upstream objected, slowly
 * past that point, and from there in growing steps for as long as nobody objects. So upstream says 429 about
 * once in 200 requests while its limit stays, and a raised one is found in seconds.
 */
#include "limit_internal.h"

static const double RATE_MIN = 0.5;      /* never slower: else nobody would hear that it is over */
static const double NEAR = 0.97;         /* of the ceiling: reached quickly … */
static const double PAST = 1.02;         /* … and from there to here in hold_s */
static const double CLIMB = 0.10;        /* of the ceiling, each second, up to NEAR */
static const double GROWTH = 0.05;       /* beyond PAST: 1 + GROWTH * (s + s^2) */
static const double HOLD_REQUESTS = 200; /* one objection is spent on so many requests */
static const double HOLD_MIN_S = 4, HOLD_MAX_S = 20;
static const double OUTGROWN = 4; /* without a configured rate: so far beyond the ceiling it is forgotten */

static double hold_s(double ceiling)
{
    double hold = HOLD_REQUESTS / ceiling;
    return hold < HOLD_MIN_S ? HOLD_MIN_S : hold > HOLD_MAX_S ? HOLD_MAX_S : hold;
}

static double climb(const struct learned *learned, double seconds)
{
    double ceiling = learned->ceiling, near = NEAR * ceiling, hold = hold_s(ceiling);
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

void learn_expire(struct learned *learned, double configured, uint64_t now_ns)
{
    if (learned->ceiling <= 0)
        return;
    double end = configured > 0 ? configured : OUTGROWN * learned->ceiling;
    if (now_ns > learned->since_ns && climb(learned, (double)(now_ns - learned->since_ns) / 1e9) >= end)
        learned->ceiling = 0;
}

/* What upstream took since it last objected is its limit, exactly so for a token bucket. A tenant that asks
 * little tells little: at least half of what was allowed is believed, the next objection halves again. */
static double ceiling_of(const struct learned *learned, double rate, uint64_t now_ns)
{
    double seconds = (double)(now_ns - learned->mark_ns) / 1e9;
    bool told = learned->accepted > 0 && seconds >= 0.5;
    double took = told ? (double)learned->accepted / seconds : 0;
    if (rate <= 0)
        return took > 2 * RATE_MIN ? took : 2 * RATE_MIN;
    if (!told)
        return rate;
    return took < rate / 2 ? rate / 2 : took < rate ? took : rate;
}

bool learn_cut(struct learned *learned, const struct objection *o)
{
    if (learned->cut_ns > 0 && o->sent_ns <= learned->cut_ns)
        return false;
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
    learned->cut_ns = o->now_ns;
    learned->since_ns = o->now_ns + o->pause_ns;
    learned->accepted = 0;
    learned->mark_ns = o->now_ns;
    return true;
}

void learn_accept(struct learned *learned, uint64_t now_ns)
{
    enum { MEMORY_S = 30 };
    if (learned->accepted++ == 0 && learned->cut_ns == 0)
        learned->mark_ns = now_ns;
    learned->streak = 0;
    if (now_ns > learned->mark_ns && now_ns - learned->mark_ns > MEMORY_S * NS_PER_S) {
        learned->mark_ns += (now_ns - learned->mark_ns) / 2;
        learned->accepted /= 2;
    }
}
