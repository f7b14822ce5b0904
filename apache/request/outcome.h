/* outcome.h - what a request came to: notes for the access log, and the group's counters
 * for the status page.
 *
 * Apache children only, in the thread of the request.
 *
 * Notes of every request that a script has answered: wsgi.worker (pid), wsgi.app_us; in daemon mode
 * wsgi.group, wsgi.thread, wsgi.queue_us, wsgi.start_us and wsgi.write_us, too. A request that no
 * worker has finished has wsgi.group alone. */
#ifndef WSGI_OUTCOME_H
#define WSGI_OUTCOME_H

#include "config/group.h"
#include "wire/counters.h"
#include "wire/frames.h"

typedef struct wsgi_outcome {
    int status;     /* what the client was answered; 0: nothing, it had left */
    int is_cut_off; /* the response could not be completed */
    int retries;
    const wire_times *times; /* NULL: no worker has finished it */
} wsgi_outcome;

/* The number as decimal digits that stop before end; where they begin. Up to 20, written there. */
static inline char *wsgi_digits(char *end, apr_uint64_t number)
{
    do
        *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

/* Once for a request, in its thread, before it is logged. */
void wsgi_count_daemon(request_rec *r, const wsgi_group *g, const wsgi_outcome *outcome);
void wsgi_note_embedded(request_rec *r, apr_interval_time_t app_us);

/* Of embedded mode: a request, and how long all of it took. */
void wsgi_count_embedded(wire_counters *sums, int status, apr_interval_time_t us);

/* This Apache child's; getpid() asks the kernel each time. */
pid_t wsgi_child_pid(void);

void wsgi_outcome_register_hooks(apr_pool_t *p);

#endif
