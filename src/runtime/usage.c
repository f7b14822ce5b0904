/* usage.c - what one request takes: data in and out, waiting, processor time. */
#include "core.h"

#include <sys/resource.h>
#include <time.h>

int64_t rt_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t rt_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int64_t us_of(const struct timeval *tv)
{
    return (int64_t)tv->tv_sec * 1000000 + tv->tv_usec;
}

void rt_usage_start(rt_usage *u)
{
    struct rusage used;

    u->measured = 1;
    getrusage(RUSAGE_THREAD, &used);
    u->cpu_user_us = us_of(&used.ru_utime);
    u->cpu_system_us = us_of(&used.ru_stime);
}

/* The kernel counts processor time and wall time differently. Where it finds more of the first, it
 * is cut to the second. */
void rt_usage_finish(rt_usage *u, int64_t start_us)
{
    struct rusage used;
    int64_t cpu, elapsed;

    u->finish_us = rt_now_us();
    if (u->finish_us < start_us) /* the clock was set back */
        u->finish_us = start_us;
    if (!u->measured)
        return;
    getrusage(RUSAGE_THREAD, &used);
    u->cpu_user_us = us_of(&used.ru_utime) - u->cpu_user_us;
    u->cpu_system_us = us_of(&used.ru_stime) - u->cpu_system_us;
    cpu = u->cpu_user_us + u->cpu_system_us;
    elapsed = u->finish_us - start_us;
    if (cpu > elapsed) {
        u->cpu_user_us = u->cpu_user_us * elapsed / cpu;
        u->cpu_system_us = u->cpu_system_us * elapsed / cpu;
    }
}

int64_t rt_usage_count_input(rt_usage *u, int64_t began_ns, int64_t len)
{
    int64_t now = rt_clock_ns();

    u->input_reads++;
    u->input_len += len > 0 ? len : 0;
    u->input_ns += now - began_ns;
    return now;
}

int64_t rt_usage_count_output(rt_usage *u, int64_t began_ns, size_t len)
{
    int64_t now = rt_clock_ns();

    u->output_writes += len > 0;
    u->output_len += (int64_t)len;
    u->output_ns += now - began_ns;
    return now;
}

void rt_usage_count_gil(rt_usage *u, int64_t began_ns)
{
    atomic_fetch_add_explicit(&u->gil_waits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&u->gil_wait_ns, rt_clock_ns() - began_ns, memory_order_relaxed);
}
