/* status_read.h - the state of daemon groups, copied out of the memory that is shared with their
 * processes.
 *
 * Memory and the kernel are all that is read: no worker is asked, so it is there also when all of
 * them hang. Apache children, any thread; results live in the pool that is given. Texts that
 * workers wrote may hold any bytes. */
#ifndef WSGI_STATUS_READ_H
#define WSGI_STATUS_READ_H

#include "config/group.h"
#include "wire/activity.h"
#include "wire/counters.h"

#define WSGI_WORKER_STATES 3 /* of enum wire_worker_state */

typedef struct wsgi_status_worker {
    pid_t pid;
    unsigned generation; /* the supervisor that started it */
    enum wire_worker_state state;
    int threads, busy;
    apr_uint64_t requests;      /* that it has begun and not handed back */
    apr_int64_t resident_bytes; /* -1: not to be seen, as is cpu_us */
    apr_int64_t cpu_us;
} wsgi_status_worker;

typedef struct wsgi_status_request {
    pid_t worker;
    int thread;              /* from 1; embedded mode: 0 */
    const char *application; /* embedded mode: its application group */
    const char *method, *url;
    const char *phase;            /* "start", "app" or "write" */
    apr_int64_t queue_us, age_us; /* waited before a thread took it; runs since */
    int is_slow;                  /* longer than slow-request= */
    const char *source_line;      /* `File "…", line 12, in f`, or NULL */
} wsgi_status_request;

typedef struct wsgi_status_timing {
    apr_uint64_t sum_us, count, buckets[WIRE_BUCKETS];
} wsgi_status_timing;

typedef struct wsgi_status_group {
    const wsgi_group *group;
    enum wire_board_state state;
    int retry_after_s;   /* FAILED: until the next attempt */
    unsigned generation; /* the supervisor whose workers serve */
    int is_stale, broken;
    int threads, busy; /* of workers that serve */
    int workers_in[WSGI_WORKER_STATES];
    int queue_len,
        queue_max; /* connections that no thread has taken; -1: the kernel does not tell */
    apr_uint64_t statuses[WIRE_STATUSES], requests, cut_off, retries;
    wsgi_status_timing timings[WIRE_TIMINGS];
    apr_uint64_t ends[WIRE_END_REASON_COUNT];
    apr_array_header_t *workers; /* of wsgi_status_worker */
    apr_array_header_t *running; /* of wsgi_status_request, the oldest first */
} wsgi_status_group;

enum wsgi_status_lines { WSGI_STATUS_NO_LINES, WSGI_STATUS_LINES };

/* Returns the array of wsgi_status_group, in the order of the configuration. LINES: supervisors
 * keep the Python lines of requests up to date from now on, for a while. */
apr_array_header_t *wsgi_status_read(apr_pool_t *p, enum wsgi_status_lines lines);

/* The mean, and how long 50, 95 and 99 % of the requests took at most, estimated within a bucket:
 * in microseconds; -1: there were none. */
enum wsgi_estimate { WSGI_MEAN, WSGI_P50, WSGI_P95, WSGI_P99, WSGI_ESTIMATES };
extern const char *const wsgi_estimate_names[WSGI_ESTIMATES];
apr_int64_t wsgi_status_estimate(const wsgi_status_timing *t, enum wsgi_estimate which);

void wsgi_status_add_timing(wsgi_status_timing *sum, const wire_histogram *h);
void wsgi_status_add_statuses(apr_uint64_t *statuses, apr_uint64_t *requests,
                              wire_counters *counters);

/* Sets method and url from "GET /path", which is q's from now on. */
void wsgi_status_set_what(wsgi_status_request *q, char *what);
const char *wsgi_status_phase_name(uint32_t phase);
void wsgi_status_sort(apr_array_header_t *requests);

extern const char *const wsgi_status_classes[WIRE_STATUSES]; /* "none", "1xx" … */
extern const char *const wsgi_timing_names[WIRE_TIMINGS];
extern const char *const wsgi_worker_state_names[WSGI_WORKER_STATES];
extern const char *const wsgi_end_reasons[WIRE_END_REASON_COUNT];
extern const apr_int64_t wsgi_bounds_us[WIRE_BUCKETS - 1];
const char *wsgi_board_state_name(enum wire_board_state state);

#endif
