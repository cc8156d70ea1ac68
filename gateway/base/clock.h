/* The only file that asks the system for the time. Monotonic time decides; wall time is for dates and tokens.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds since an unknown start; never goes back. */
uint64_t clock_mono_ms(void);
/* Nanoseconds of the same clock: for measuring. */
uint64_t clock_mono_ns(void);
/* Milliseconds since 1970-01-01 UTC; may jump. */
int64_t clock_wall_ms(void);

/*
 * Test builds only (CMake option TEST_CLOCK, never in release): when the environment variable
 * ROLLOUT_GATEWAY_TEST_CLOCK names a file of 8 bytes, it is mapped once, and its int64 (milliseconds, host
 * order) is added to both clocks at every call. A scenario test writes to the file to jump ahead.
 */

#endif
