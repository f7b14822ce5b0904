/* outcome.c - a few additions and notes for each request, so nothing is formatted or looked
 * up that need not be. */
#include "request/outcome.h"

#include "groups/board.h"
#include "request/child.h"

#define DIGITS 20

/* Adds a note with a number. Each note is made once, so there is no older one to look for. */
static void note_number(request_rec *r, const char *name, apr_int64_t number)
{
    char *end = (char *)apr_palloc(r->pool, DIGITS + 1) + DIGITS;

    *end = '\0';
    apr_table_addn(r->notes, name, wsgi_digits(end, number > 0 ? (apr_uint64_t)number : 0));
}

static void note_times(request_rec *r, const wire_times *times)
{
    note_number(r, "wsgi.worker", times->pid);
    note_number(r, "wsgi.thread", times->thread);
    note_number(r, "wsgi.queue_us", times->queue_us);
    note_number(r, "wsgi.start_us", times->start_us);
    note_number(r, "wsgi.app_us", times->app_us);
    note_number(r, "wsgi.write_us", times->write_us);
}

static void add(_Atomic uint64_t *counter, uint64_t number)
{
    atomic_fetch_add_explicit(counter, number, memory_order_relaxed);
}

static void add_time(wire_histogram *h, apr_int64_t us)
{
    static const apr_int64_t bounds[WIRE_BUCKETS - 1] = WIRE_BOUNDS_US;
    int bucket = 0;

    while (bucket < WIRE_BUCKETS - 1 && us > bounds[bucket])
        bucket++;
    add(&h->buckets[bucket], 1);
    if (us > 0) /* else the clock was set back */
        add(&h->sum_us, (uint64_t)us);
}

static void add_status(wire_counters *sums, int status)
{
    add(&sums->statuses[status >= 100 && status < 600 ? status / 100 : 0], 1);
}

void wsgi_count_embedded(wire_counters *sums, int status, apr_interval_time_t us)
{
    add_status(sums, status);
    add_time(&sums->timings[WIRE_TIMING_APP], us);
}

void wsgi_count_daemon(request_rec *r, const wsgi_group *g, const wsgi_outcome *outcome)
{
    wire_counters *sums = wsgi_board_counters(g, (unsigned)r->connection->id);
    const wire_times *times = outcome->times;

    add_status(sums, outcome->status);
    if (outcome->is_cut_off)
        add(&sums->cut_off, 1);
    if (outcome->retries)
        add(&sums->retries, 1);
    apr_table_addn(r->notes, "wsgi.group", g->name);
    if (!times)
        return;
    add_time(&sums->timings[WIRE_TIMING_QUEUE], times->queue_us);
    add_time(&sums->timings[WIRE_TIMING_APP],
             (apr_int64_t)((apr_uint64_t)times->start_us +
                           (apr_uint64_t)times->app_us)); /* any numbers */
    add_time(&sums->timings[WIRE_TIMING_WRITE], times->write_us);
    note_times(r, times);
}

void wsgi_note_embedded(request_rec *r, apr_interval_time_t app_us)
{
    note_number(r, "wsgi.worker", wsgi_child_pid());
    note_number(r, "wsgi.app_us", app_us);
}
