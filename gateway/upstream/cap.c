#include "upstream/cap.h"

unsigned cap_limit(const struct cap *cap, unsigned max)
{
    return cap->limit > 0 && cap->limit < max ? cap->limit : max;
}

/* Slow to learn that a host has become slow, quicker to learn that it has become fast; slowest while the cap
 * holds requests back, since then it is we who make it slow. */
static void remember(struct cap *cap, uint64_t mean_us, bool capped)
{
    uint64_t memory = capped ? CAP_MEMORY * 10 : CAP_MEMORY;

    if (cap->mean_us == 0)
        cap->mean_us = mean_us;
    else if (mean_us * 2 < cap->mean_us)
        cap->mean_us -= cap->mean_us / (CAP_MEMORY / 2);
    else
        cap->mean_us = (cap->mean_us * (memory - 1) + mean_us) / memory;
}

static unsigned adapted(const struct cap *cap, uint64_t mean_us, unsigned max)
{
    uint64_t limit = cap_limit(cap, max);

    if (mean_us > cap->mean_us * 2) {
        uint64_t fitting = limit * cap->mean_us * 2 / mean_us;
        limit = fitting > limit / 2 ? fitting : limit / 2;
    } else {
        limit += CAP_STEP;
    }
    if (limit < CAP_MIN)
        limit = CAP_MIN;
    return limit < max ? (unsigned)limit : max;
}

bool cap_sample(struct cap *cap, uint64_t latency_ms, unsigned busy, unsigned max, uint64_t now_ms)
{
    if (cap->samples == 0)
        cap->since_ms = now_ms;
    cap->sum_ms += latency_ms > CAP_NOISE_MS ? latency_ms : CAP_NOISE_MS;
    cap->samples++;
    cap->peak = busy > cap->peak ? busy : cap->peak;
    if (cap->samples < CAP_SAMPLES || now_ms - cap->since_ms < CAP_WINDOW_MS)
        return false;
    unsigned before = cap_limit(cap, max);
    uint64_t mean_us = cap->sum_ms * 1000 / cap->samples;
    if (cap->mean_us > 0 && cap->peak * 2 >= before)
        cap->limit = adapted(cap, mean_us, max);
    remember(cap, mean_us, cap_limit(cap, max) < max);
    cap->samples = cap->peak = 0;
    cap->sum_ms = 0;
    return cap_limit(cap, max) > before;
}
