/*
 * How many requests a pool has on their way at a time, by the latency of their first bytes, for the files of
 * this room: plain data, time is an argument. Every window its mean is compared with the long-run mean: when
 * it is more than twice that, the host is queueing what it gets, and the cap falls; else it rises slowly.
 * Only while the cap is nearly used does the comparison say anything.
 */
#ifndef UPSTREAM_CAP_H
#define UPSTREAM_CAP_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CAP_MIN = 16,
    CAP_STEP = 4,
    CAP_WINDOW_MS = 500,
    CAP_SAMPLES = 10,  /* … at least */
    CAP_NOISE_MS = 20, /* below this, latency says nothing of the host */
    CAP_MEMORY = 20,   /* windows that the long-run mean remembers */
};

/* Zeroed: no cap yet. */
struct cap {
    unsigned limit; /* 0: not below the maximum so far */
    uint64_t mean_us, sum_ms, since_ms;
    unsigned samples, peak;
};

/* The present cap, at most `max`. */
unsigned cap_limit(const struct cap *cap, unsigned max);
/* A first byte came after so long, or was awaited so long in vain, with `busy` requests on their way. True:
 * the cap rose. */
bool cap_sample(struct cap *cap, uint64_t latency_ms, unsigned busy, unsigned max, uint64_t now_ms);

#endif
