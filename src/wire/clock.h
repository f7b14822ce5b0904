/* clock.h - the clock for durations, which nobody can set: the same in all processes of a machine.
 *
 * Plain C; any thread of any process. */
#ifndef WIRE_CLOCK_H
#define WIRE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Returns microseconds since some fixed time in the past, never 0. */
static inline int64_t wire_monotonic_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

#endif
