/* usage.h - what one request takes: bytes in and out, the time for them, waiting for the GIL,
 * processor time.
 *
 * Measured only for those who asked: subscribers of events, process metrics, telemetry. Usually
 * nobody does, so all of it depends on one test per request and one per operation.
 *
 * A rt_usage is part of its rt_request and lives as long. The counters of input and output change
 * under the request's io mutex, those of the GIL with the GIL, the rest in the request's own
 * thread. No function here touches an object: with or without the GIL. */
#ifndef RT_USAGE_H
#define RT_USAGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rt_usage {
    int measured; /* decided when the request starts; without it nothing below is filled in */
    int recorded; /* metrics.c knows this request */
    int64_t input_reads, input_len, input_ns;
    int64_t output_writes, output_len, output_ns;
    _Atomic int64_t gil_waits, gil_wait_ns; /* slow.c looks at them while they grow */
    int64_t cpu_user_us,
        cpu_system_us; /* of the thread: at the start, and what was used when it has ended */
    int64_t finish_us; /* since the epoch, 0 before the end */
} rt_usage;

/* Returns the time since the epoch. */
int64_t rt_now_us(void);

/* Returns the time of the monotonic clock. */
int64_t rt_clock_ns(void);

/* Begins to measure. In the request's thread, as the next one. */
void rt_usage_start(rt_usage *u);

/* Sets finish_us and, of a request that is measured, the processor time that it used. start_us:
 * when the application was called. */
void rt_usage_finish(rt_usage *u, int64_t start_us);

/* Each returns the time at which the counted operation was over. Called through the inline
 * functions below. */
int64_t rt_usage_count_input(rt_usage *u, int64_t began_ns, int64_t len);
int64_t rt_usage_count_output(rt_usage *u, int64_t began_ns, size_t len);
void rt_usage_count_gil(rt_usage *u, int64_t began_ns);

/* Returns the time before an operation; 0 when nothing is measured. */
static inline int64_t rt_usage_clock(const rt_usage *u)
{
    return u->measured ? rt_clock_ns() : 0;
}

/* Counts a read that began then. Returns the time now; 0 when nothing is measured. */
static inline int64_t rt_usage_input(rt_usage *u, int64_t began_ns, int64_t len)
{
    return u->measured ? rt_usage_count_input(u, began_ns, len) : 0;
}

/* Counts a write likewise. */
static inline int64_t rt_usage_output(rt_usage *u, int64_t began_ns, size_t len)
{
    return u->measured ? rt_usage_count_output(u, began_ns, len) : 0;
}

/* Counts the wait for the GIL that began then and has just ended. */
static inline void rt_usage_gil(rt_usage *u, int64_t began_ns)
{
    if (u->measured)
        rt_usage_count_gil(u, began_ns);
}

#endif
