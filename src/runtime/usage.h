/* usage.h - what is measured and told about requests for those who asked: subscribers of events, request_data(), process metrics.
 *
 * Nobody asks usually, so all of it hangs on one test per request and one per operation. */
#ifndef RT_WATCH_H
#define RT_WATCH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Part of a rt_request. Counters of input and output change under the request's io mutex, the others in its own thread. */
typedef struct rt_usage {
    int measured;             /* decided when the request starts; without it nothing below is filled in */
    int recorded;             /* metrics.c knows this request */
    int64_t input_reads, input_len, input_ns;
    int64_t output_writes, output_len, output_ns;
    _Atomic int64_t gil_waits, gil_wait_ns; /* slow.c looks at them while they grow */
    int64_t cpu_user_us, cpu_system_us; /* of the thread: at the start, and what was used when it has ended */
    int64_t finish_us;        /* since the epoch, 0 before the end */
} rt_usage;

/* Part of a rt_request: its place among those that slow.c watches. Under the lock there. */
typedef struct rt_running {
    struct rt_request *next, *previous;
    int is_listed, thread;
} rt_running;

int64_t rt_now_us(void);      /* since the epoch */
int64_t rt_clock_ns(void);    /* monotonic */

void rt_usage_start(rt_usage *u);
void rt_usage_finish(rt_usage *u, int64_t start_us);

/* Around an operation: a clock reading, 0 when nothing is measured. The second ones count and return another reading. */
static inline int64_t rt_usage_clock(const rt_usage *u)
{
    return u->measured ? rt_clock_ns() : 0;
}

int64_t rt_usage_count_input(rt_usage *u, int64_t began_ns, int64_t len);
int64_t rt_usage_count_output(rt_usage *u, int64_t began_ns, size_t len);
void rt_usage_count_gil(rt_usage *u, int64_t began_ns);

static inline int64_t rt_usage_input(rt_usage *u, int64_t began_ns, int64_t len)
{
    return u->measured ? rt_usage_count_input(u, began_ns, len) : 0;
}

static inline int64_t rt_usage_output(rt_usage *u, int64_t began_ns, size_t len)
{
    return u->measured ? rt_usage_count_output(u, began_ns, len) : 0;
}

/* Attached again after waiting since began_ns. */
static inline void rt_usage_gil(rt_usage *u, int64_t began_ns)
{
    if (u->measured)
        rt_usage_count_gil(u, began_ns);
}

#endif
