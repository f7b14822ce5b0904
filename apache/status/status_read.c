/* status_read.c - the groups' boards, counters and activity, copied and added up. */
#include "status/status_read.h"

#include "groups/board.h"
#include "status/status_kernel.h"
#include "wire/clock.h"

#include <apr_strings.h>
#include <apr_tables.h>
#include <string.h>

const char *const wsgi_status_classes[WIRE_STATUSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
const char *const wsgi_estimate_names[WSGI_ESTIMATES] =
    {[WSGI_MEAN] = "mean", [WSGI_P50] = "p50", [WSGI_P95] = "p95", [WSGI_P99] = "p99"};
const char *const wsgi_timing_names[WIRE_TIMINGS] = {"queue", "app", "write"};
const char *const wsgi_worker_state_names[WSGI_WORKER_STATES] = {"starting", "serving", "draining"};
const apr_int64_t wsgi_bounds_us[WIRE_BUCKETS - 1] = WIRE_BOUNDS_US;
const char *const wsgi_end_reasons[WIRE_END_REASON_COUNT] = {
#define X(reason) #reason,
    WIRE_END_REASONS(X)
#undef X
};

const char *wsgi_board_state_name(enum wire_board_state state)
{
    switch (state) {
    case WIRE_BOARD_SERVING:
        return "serving";
    case WIRE_BOARD_FAILED:
        return "failed";
    case WIRE_BOARD_STOPPED:
        return "stopped";
    case WIRE_BOARD_STARTING:
        break;
    }
    return "starting";
}

/* ---- estimates ---- */

static apr_int64_t mean_of(const wsgi_status_timing *t)
{
    return t->count ? (apr_int64_t)(t->sum_us / t->count) : -1;
}

/* Between the bucket's bounds, as if they were evenly spread; but no more than the mean allows,
 * since (100 - percent) % of all take as long at least. */
static apr_int64_t percentile_of(const wsgi_status_timing *t, int percent)
{
    double wanted = (double)t->count * percent / 100, below = 0, most, estimate;

    if (!t->count)
        return -1;
    most = (double)t->sum_us / (double)t->count * 100 / (100 - percent);
    for (int i = 0; i < WIRE_BUCKETS - 1; i++) {
        double low = i ? (double)wsgi_bounds_us[i - 1] : 0, high = (double)wsgi_bounds_us[i],
               here = (double)t->buckets[i];

        if (here > 0 && below + here >= wanted) {
            estimate = low + (high - low) * (wanted - below) / here;
            return (apr_int64_t)(estimate < most ? estimate : most > low ? most : low);
        }
        below += here;
    }
    return wsgi_bounds_us[WIRE_BUCKETS - 2]; /* or longer */
}

apr_int64_t wsgi_status_estimate(const wsgi_status_timing *t, enum wsgi_estimate which)
{
    static const int percents[WSGI_ESTIMATES] = {[WSGI_P50] = 50, [WSGI_P95] = 95, [WSGI_P99] = 99};

    return which == WSGI_MEAN ? mean_of(t) : percentile_of(t, percents[which]);
}

/* ---- requests ---- */

void wsgi_status_set_what(wsgi_status_request *q, char *what)
{
    char *space = strchr(what, ' ');

    q->method = what;
    q->url = space ? space + 1 : "";
    if (space)
        *space = '\0';
}

const char *wsgi_status_phase_name(uint32_t phase)
{
    return phase == WIRE_PHASE_WRITE ? "write" : phase == WIRE_PHASE_APP ? "app" : "start";
}

static void add_running(wsgi_status_group *out, apr_pool_t *p, pid_t pid, int thread,
                        const wire_activity_thread *t, apr_int64_t now_us)
{
    wsgi_status_request *q = apr_array_push(out->running);
    char *what =
        apr_pstrmemdup(p, t->what, t->what_len < WIRE_WHAT_MAX ? t->what_len : WIRE_WHAT_MAX);
    apr_interval_time_t slow = out->group->slow_request;

    *q = (wsgi_status_request){.worker = pid,
                               .thread = thread,
                               .phase = wsgi_status_phase_name(t->phase),
                               .queue_us = t->queue_us};
    wsgi_status_set_what(q, what);
    q->age_us = t->start_us > 0 && now_us > t->start_us ? now_us - t->start_us : 0;
    q->is_slow = slow > 0 && q->age_us >= slow;
    if (t->source_line_serial == t->serial)
        q->source_line =
            apr_pstrmemdup(p, t->source_line,
                           t->source_line_len < WIRE_SOURCE_LINE_MAX ? t->source_line_len
                                                                     : WIRE_SOURCE_LINE_MAX);
}

/* A copy that no begin or end of a request fell into; its serial is odd while it serves one. */
static void copy_thread(wire_activity_thread *copy, const wire_activity_thread *shared)
{
    for (int i = 0; i < 3; i++) {
        uint32_t serial = __atomic_load_n(&shared->serial, __ATOMIC_ACQUIRE);

        memcpy(copy, shared, sizeof(*copy));
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        copy->serial = serial;
        if (__atomic_load_n(&shared->serial, __ATOMIC_RELAXED) == serial)
            return;
    }
    copy->serial &= ~1u; /* its requests are too short to be shown */
}

static int by_age(const void *a, const void *b)
{
    apr_int64_t left = ((const wsgi_status_request *)a)->age_us,
                right = ((const wsgi_status_request *)b)->age_us;

    return left < right ? 1 : left > right ? -1 : 0;
}

void wsgi_status_sort(apr_array_header_t *requests)
{
    qsort(requests->elts, (size_t)requests->nelts, sizeof(wsgi_status_request), by_age);
}

/* ---- workers ---- */

static void add_threads(wsgi_status_group *out, apr_pool_t *p, wsgi_status_worker *w,
                        const wire_activity_worker *slot, apr_int64_t now_us)
{
    wire_activity_thread copy;

    for (int i = 0; i < w->threads; i++) {
        copy_thread(&copy, &slot->threads[i]);
        w->requests += (copy.serial + 1u) / 2 - copy.handed_back;
        if (!(copy.serial & 1))
            continue;
        w->busy++;
        add_running(out, p, w->pid, i + 1, &copy, now_us);
    }
}

static void add_worker(wsgi_status_group *out, apr_pool_t *p, const wsgi_activity *a,
                       apr_size_t number, apr_int64_t now_us)
{
    const wire_activity_worker *slot = wsgi_activity_slot(a, number);
    wsgi_status_worker w = {.pid = (pid_t)slot->pid,
                            .generation = slot->supervisor,
                            .threads = (int)a->threads};

    if (w.pid <= 0 || wsgi_kernel_process(w.pid, &w.resident_bytes, &w.cpu_us) < 0)
        return;
    w.state = slot->state < WSGI_WORKER_STATES ? (enum wire_worker_state)slot->state
                                               : WIRE_WORKER_DRAINING;
    add_threads(out, p, &w, slot, now_us);
    out->workers_in[w.state]++;
    if (w.state == WIRE_WORKER_SERVING) {
        out->threads += w.threads;
        out->busy += w.busy;
    }
    APR_ARRAY_PUSH(out->workers, wsgi_status_worker) = w;
}

/* ---- groups ---- */

void wsgi_status_add_timing(wsgi_status_timing *sum, const wire_histogram *h)
{
    wire_histogram *shared = (wire_histogram *)h; /* C11 loads take no pointer to const */

    sum->sum_us += shared->sum_us;
    for (int i = 0; i < WIRE_BUCKETS; i++) {
        apr_uint64_t count = shared->buckets[i];

        sum->buckets[i] += count;
        sum->count += count;
    }
}

void wsgi_status_add_statuses(apr_uint64_t *statuses, apr_uint64_t *requests,
                              wire_counters *counters)
{
    for (int i = 0; i < WIRE_STATUSES; i++) {
        apr_uint64_t count = counters->statuses[i];

        statuses[i] += count;
        *requests += count;
    }
}

static void add_counters(wsgi_status_group *out)
{
    for (unsigned stripe = 0; stripe < WIRE_STRIPES; stripe++) {
        wire_counters *sums = wsgi_board_counters(out->group, stripe);

        out->cut_off += sums->cut_off;
        out->retries += sums->retries;
        wsgi_status_add_statuses(out->statuses, &out->requests, sums);
        for (int i = 0; i < WIRE_TIMINGS; i++)
            wsgi_status_add_timing(&out->timings[i], &sums->timings[i]);
    }
}

static void add_board(wsgi_status_group *out)
{
    const volatile wire_board *board = out->group->board;

    out->state = (enum wire_board_state)board->state;
    out->retry_after_s = (int)board->retry_after_s;
    out->generation = board->serving;
    out->is_stale = board->stale != 0;
    out->broken = (int)board->broken;
    for (int bank = 0; bank < WIRE_BOARD_BANKS; bank++)
        for (int i = 0; i < WIRE_END_REASON_COUNT; i++)
            out->ends[i] += board->ends[bank][i];
}

static void read_group(wsgi_status_group *out, apr_pool_t *p, const wsgi_group *g,
                       apr_int64_t now_us)
{
    out->group = g;
    out->workers = apr_array_make(p, 8, sizeof(wsgi_status_worker));
    out->running = apr_array_make(p, 8, sizeof(wsgi_status_request));
    out->queue_len = wsgi_kernel_queue(g->listen_inode);
    out->queue_max = g->queue_size > 0 ? g->queue_size : g->listen_backlog;
    add_board(out);
    add_counters(out);
    for (int i = 0; i < g->activities->nelts; i++) {
        const wsgi_activity *a = &APR_ARRAY_IDX(g->activities, i, wsgi_activity);

        for (apr_size_t number = 0; number < a->slots; number++)
            add_worker(out, p, a, number, now_us);
    }
    wsgi_status_sort(out->running);
}

apr_array_header_t *wsgi_status_read(apr_pool_t *p, enum wsgi_status_lines lines)
{
    const apr_array_header_t *groups = wsgi_main_config()->groups;
    apr_array_header_t *all = apr_array_make(p, groups->nelts, sizeof(wsgi_status_group));
    apr_int64_t now_us = wire_monotonic_us();

    for (int i = 0; i < groups->nelts; i++) {
        wsgi_status_group *out = apr_array_push(all);

        memset(out, 0, sizeof(*out));
        read_group(out, p, APR_ARRAY_IDX(groups, i, const wsgi_group *), now_us);
        if (lines == WSGI_STATUS_LINES)
            out->group->board->watched_s = (uint32_t)(now_us / APR_USEC_PER_SEC);
    }
    return all;
}
