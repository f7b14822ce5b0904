/* status_embedded.c - embedded mode's part of the status: the memory of embedded_counters.h, copied
 * and added up. */
#include "status/status_embedded.h"

#include "embedded/embedded_counters.h"
#include "status/status_kernel.h"
#include "wire/clock.h"

#include <apr_strings.h>
#include <string.h>

#define SLOW (10 * APR_USEC_PER_SEC) /* the preset of slow-request= */

static apr_interval_time_t slow_after(void)
{
    apr_interval_time_t configured = wsgi_main_config()->slow_requests;

    return configured == WSGI_UNSET ? SLOW : configured;
}

/* ---- applications ---- */

static wsgi_status_application *application_called(wsgi_status_embedded *out, const char *name)
{
    wsgi_status_application *a;

    for (int i = 0; i < out->applications->nelts; i++)
        if (!strcmp(APR_ARRAY_IDX(out->applications, i, wsgi_status_application).name, name))
            return &APR_ARRAY_IDX(out->applications, i, wsgi_status_application);
    a = apr_array_push(out->applications);
    *a = (wsgi_status_application){.name = name};
    return a;
}

static const char *name_of(apr_pool_t *p, const wsgi_embedded_application *a)
{
    const char *name = apr_pstrndup(p, a->name, sizeof(a->name));

    return *name ? name : "%{GLOBAL}";
}

/* Two threads may have given one name to two of them, so those are added up. */
static void add_application(wsgi_status_embedded *out, apr_pool_t *p,
                            wsgi_embedded_application *shared)
{
    wsgi_status_application *a;

    if (atomic_load_explicit(&shared->state, memory_order_acquire) != 2)
        return;
    a = application_called(out, name_of(p, shared));
    for (int stripe = 0; stripe < WIRE_STRIPES; stripe++) {
        wire_counters *sums = &shared->stripes[stripe];

        wsgi_status_add_statuses(a->statuses, &a->requests, sums);
        wsgi_status_add_timing(&a->time, &sums->timings[WIRE_TIMING_APP]);
    }
}

/* ---- processes ---- */

/* A process that died has not cleaned up after itself, so its record may still be there. */
static void add_process(wsgi_status_embedded *out, apr_pool_t *p, wsgi_embedded_counters *counters,
                        int number)
{
    pid_t pid = atomic_load_explicit(&counters->processes[number], memory_order_acquire);
    wsgi_status_process process = {.pid = pid};

    if (pid <= 0)
        return;
    if (wsgi_kernel_process(pid, &process.resident_bytes, &process.cpu_us) < 0) {
        atomic_compare_exchange_strong(&counters->processes[number], &pid, 0);
        return;
    }
    process.python = apr_pstrndup(p, counters->pythons[number], sizeof(counters->pythons[number]));
    APR_ARRAY_PUSH(out->processes, wsgi_status_process) = process;
}

/* ---- requests ---- */

/* Copies the record of one request, whose process is *pid. */
static int copy_request(wsgi_embedded_request *copy, pid_t *pid, wsgi_embedded_counters *counters,
                        int number)
{
    wsgi_embedded_request *shared = &counters->requests[number];
    uint32_t serial;

    *pid = atomic_load_explicit(&counters->runners[number], memory_order_acquire);
    serial = atomic_load_explicit(&shared->serial, memory_order_acquire);
    if (*pid <= 0 || serial & 1)
        return 0;
    copy->application = shared->application;
    copy->start = shared->start;
    copy->phase = atomic_load_explicit(&shared->phase, memory_order_relaxed);
    memcpy(copy->what, shared->what, sizeof(copy->what));
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&shared->serial, memory_order_relaxed) == serial &&
           atomic_load_explicit(&counters->runners[number], memory_order_relaxed) == *pid;
}

/* Returns the process that serves the request, or NULL when it has died. */
static wsgi_status_process *process_of(wsgi_status_embedded *out, pid_t pid)
{
    for (int i = 0; i < out->processes->nelts; i++)
        if (APR_ARRAY_IDX(out->processes, i, wsgi_status_process).pid == pid)
            return &APR_ARRAY_IDX(out->processes, i, wsgi_status_process);
    return NULL;
}

static void add_running(wsgi_status_embedded *out, apr_pool_t *p, wsgi_embedded_counters *counters,
                        int number)
{
    wsgi_status_process *process;
    wsgi_status_application *a;
    wsgi_embedded_request copy;
    wsgi_status_request *q;
    apr_time_t now;
    pid_t pid;

    if (!copy_request(&copy, &pid, counters, number) ||
        copy.application >= WSGI_EMBEDDED_APPLICATIONS || !(process = process_of(out, pid)))
        return;
    a = application_called(out, name_of(p, &counters->applications[copy.application]));
    process->busy++;
    a->busy++;
    now = wire_monotonic_us();
    q = apr_array_push(out->running);
    *q = (wsgi_status_request){.worker = pid,
                               .application = a->name,
                               .phase = wsgi_status_phase_name(copy.phase),
                               .age_us = now > copy.start ? now - copy.start : 0};
    wsgi_status_set_what(q, apr_pstrndup(p, copy.what, sizeof(copy.what)));
    q->is_slow = slow_after() > 0 && q->age_us >= slow_after();
}

const wsgi_status_embedded *wsgi_status_embedded_read(apr_pool_t *p)
{
    wsgi_embedded_counters *counters = wsgi_embedded_memory();
    wsgi_status_embedded *out = apr_palloc(p, sizeof(*out));

    if (!counters)
        return NULL;
    out->applications = apr_array_make(p, 4, sizeof(wsgi_status_application));
    out->processes = apr_array_make(p, 8, sizeof(wsgi_status_process));
    out->running = apr_array_make(p, 8, sizeof(wsgi_status_request));
    for (int i = 0; i < WSGI_EMBEDDED_APPLICATIONS; i++)
        add_application(out, p, &counters->applications[i]);
    for (int i = 0; i < WSGI_EMBEDDED_PROCESSES; i++)
        add_process(out, p, counters, i);
    for (int i = 0; i < WSGI_EMBEDDED_REQUESTS; i++)
        add_running(out, p, counters, i);
    wsgi_status_sort(out->running);
    return out->applications->nelts || out->processes->nelts ? out : NULL;
}
