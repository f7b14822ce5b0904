/* outcome.h - what became of a request: notes for the access log, and counters for the status
 * page.
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
    int status;     /* the status that the client got; 0: none, it had left */
    int is_cut_off; /* the response could not be completed */
    int retries;
    const wire_times *times; /* NULL: no worker has finished it */
} wsgi_outcome;

/* Writes the number as up to 20 decimal digits that stop before end. Returns where they begin. */
static inline char *wsgi_digits(char *end, apr_uint64_t number)
{
    do
        *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

/* Adds a request to the counters of its group, and its notes. Called once, before it is logged. */
void wsgi_count_daemon(request_rec *r, const wsgi_group *g, const wsgi_outcome *outcome);

/* Adds the notes of a request of embedded mode. Called once, before it is logged. */
void wsgi_note_embedded(request_rec *r, apr_interval_time_t app_us);

/* Adds a request of embedded mode to an application's counters. us: how long all of it took. */
void wsgi_count_embedded(wire_counters *sums, int status, apr_interval_time_t us);

#endif
