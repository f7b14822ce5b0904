/* status_json.c - the status as JSON: for programs, and for the script in the page. */
#include "status/status_formats.h"

#include "status/json.h"

#include <http_protocol.h>

static void put_number_or_null(wsgi_json *j, const char *name, apr_int64_t number)
{
    if (number < 0)
        wsgi_json_string(j, name, NULL);
    else
        wsgi_json_number(j, name, number);
}

/* The object stays open. */
static void open_requests(wsgi_json *j, const apr_uint64_t *statuses, apr_uint64_t total)
{
    wsgi_json_open(j, "requests", '{');
    wsgi_json_number(j, "total", (apr_int64_t)total);
    for (int i = 1; i < WIRE_STATUSES; i++)
        wsgi_json_number(j, wsgi_status_classes[i], (apr_int64_t)statuses[i]);
    wsgi_json_number(j, wsgi_status_classes[0], (apr_int64_t)statuses[0]);
}

static void put_requests(wsgi_json *j, const wsgi_status_group *g)
{
    open_requests(j, g->statuses, g->requests);
    wsgi_json_number(j, "cut_off", (apr_int64_t)g->cut_off);
    wsgi_json_number(j, "retried", (apr_int64_t)g->retries);
    wsgi_json_close(j, '}');
}

static void put_timing(wsgi_json *j, const char *name, const wsgi_status_timing *t)
{
    wsgi_json_open(j, name, '{');
    wsgi_json_number(j, "count", (apr_int64_t)t->count);
    wsgi_json_seconds(j, "sum", (apr_int64_t)t->sum_us);
    for (int i = 0; i < WSGI_ESTIMATES; i++)
        wsgi_json_seconds(j, wsgi_estimate_names[i], wsgi_status_estimate(t, i));
    wsgi_json_open(j, "buckets", '[');
    for (int bucket = 0; bucket < WIRE_BUCKETS; bucket++)
        wsgi_json_number(j, NULL, (apr_int64_t)t->buckets[bucket]);
    wsgi_json_close(j, ']');
    wsgi_json_close(j, '}');
}

static void put_latency(wsgi_json *j, const wsgi_status_group *g)
{
    wsgi_json_open(j, "latency", '{');
    for (int i = 0; i < WIRE_TIMINGS; i++)
        put_timing(j, wsgi_timing_names[i], &g->timings[i]);
    wsgi_json_close(j, '}');
}

static void put_worker(wsgi_json *j, const wsgi_status_worker *w)
{
    wsgi_json_open(j, NULL, '{');
    wsgi_json_number(j, "pid", w->pid);
    wsgi_json_number(j, "generation", w->generation);
    wsgi_json_string(j, "state", wsgi_worker_state_names[w->state]);
    wsgi_json_number(j, "threads", w->threads);
    wsgi_json_number(j, "busy", w->busy);
    wsgi_json_number(j, "requests", (apr_int64_t)w->requests);
    put_number_or_null(j, "resident_bytes", w->resident_bytes);
    wsgi_json_seconds(j, "cpu", w->cpu_us);
    wsgi_json_close(j, '}');
}

static void put_running(wsgi_json *j, const wsgi_status_request *q)
{
    wsgi_json_open(j, NULL, '{');
    wsgi_json_string(j, "method", q->method);
    wsgi_json_string(j, "url", q->url);
    wsgi_json_number(j, "worker", q->worker);
    wsgi_json_number(j, "thread", q->thread);
    wsgi_json_string(j, "phase", q->phase);
    wsgi_json_seconds(j, "queue", q->queue_us);
    wsgi_json_seconds(j, "age", q->age_us);
    wsgi_json_flag(j, "slow", q->is_slow);
    wsgi_json_string(j, "line", q->source_line);
    wsgi_json_close(j, '}');
}

static void put_lists(wsgi_json *j, const wsgi_status_group *g)
{
    wsgi_json_open(j, "ended", '{');
    for (int i = 0; i < WIRE_END_REASON_COUNT; i++)
        wsgi_json_number(j, wsgi_end_reasons[i], (apr_int64_t)g->ends[i]);
    wsgi_json_close(j, '}');
    wsgi_json_open(j, "workers", '[');
    for (int i = 0; i < g->workers->nelts; i++)
        put_worker(j, &APR_ARRAY_IDX(g->workers, i, wsgi_status_worker));
    wsgi_json_close(j, ']');
    wsgi_json_open(j, "running", '[');
    for (int i = 0; i < g->running->nelts; i++)
        put_running(j, &APR_ARRAY_IDX(g->running, i, wsgi_status_request));
    wsgi_json_close(j, ']');
}

static void put_group(wsgi_json *j, const wsgi_status_group *g)
{
    wsgi_json_open(j, NULL, '{');
    wsgi_json_string(j, "name", g->group->name);
    wsgi_json_string(j, "where", g->group->where);
    wsgi_json_string(j, "state", wsgi_board_state_name(g->state));
    put_number_or_null(j, "retry_after", g->state == WIRE_BOARD_FAILED ? g->retry_after_s : -1);
    wsgi_json_number(j, "generation", g->generation);
    wsgi_json_flag(j, "stale", g->is_stale);
    wsgi_json_number(j, "broken_scripts", g->broken);
    wsgi_json_number(j, "processes", g->group->processes);
    wsgi_json_open(j, "threads", '{');
    wsgi_json_number(j, "total", g->threads);
    wsgi_json_number(j, "busy", g->busy);
    wsgi_json_number(j, "idle", g->threads - g->busy);
    wsgi_json_close(j, '}');
    wsgi_json_open(j, "queue", '{');
    put_number_or_null(j, "length", g->queue_len);
    wsgi_json_number(j, "limit", g->queue_max);
    wsgi_json_close(j, '}');
    put_requests(j, g);
    put_latency(j, g);
    put_lists(j, g);
    wsgi_json_close(j, '}');
}

/* ---- embedded mode ---- */

static void put_application(wsgi_json *j, const wsgi_status_application *a)
{
    wsgi_json_open(j, NULL, '{');
    wsgi_json_string(j, "application_group", a->name);
    wsgi_json_number(j, "busy", a->busy);
    open_requests(j, a->statuses, a->requests);
    wsgi_json_close(j, '}');
    put_timing(j, "latency", &a->time);
    wsgi_json_close(j, '}');
}

static void put_process(wsgi_json *j, const wsgi_status_process *process)
{
    wsgi_json_open(j, NULL, '{');
    wsgi_json_number(j, "pid", process->pid);
    wsgi_json_string(j, "python", process->python);
    wsgi_json_number(j, "busy", process->busy);
    put_number_or_null(j, "resident_bytes", process->resident_bytes);
    wsgi_json_seconds(j, "cpu", process->cpu_us);
    wsgi_json_close(j, '}');
}

static void put_embedded_request(wsgi_json *j, const wsgi_status_request *q)
{
    wsgi_json_open(j, NULL, '{');
    wsgi_json_string(j, "method", q->method);
    wsgi_json_string(j, "url", q->url);
    wsgi_json_string(j, "application_group", q->application);
    wsgi_json_number(j, "process", q->worker);
    wsgi_json_string(j, "phase", q->phase);
    wsgi_json_seconds(j, "age", q->age_us);
    wsgi_json_flag(j, "slow", q->is_slow);
    wsgi_json_close(j, '}');
}

static void put_embedded(wsgi_json *j, const wsgi_status_embedded *e)
{
    wsgi_json_open(j, "embedded", '{');
    wsgi_json_open(j, "applications", '[');
    for (int i = 0; i < e->applications->nelts; i++)
        put_application(j, &APR_ARRAY_IDX(e->applications, i, wsgi_status_application));
    wsgi_json_close(j, ']');
    wsgi_json_open(j, "processes", '[');
    for (int i = 0; i < e->processes->nelts; i++)
        put_process(j, &APR_ARRAY_IDX(e->processes, i, wsgi_status_process));
    wsgi_json_close(j, ']');
    wsgi_json_open(j, "running", '[');
    for (int i = 0; i < e->running->nelts; i++)
        put_embedded_request(j, &APR_ARRAY_IDX(e->running, i, wsgi_status_request));
    wsgi_json_close(j, ']');
    wsgi_json_close(j, '}');
}

void wsgi_status_json(request_rec *r, const wsgi_status *status)
{
    const apr_array_header_t *groups = status->groups;
    wsgi_json *j = wsgi_json_make(r->pool);

    wsgi_json_open(j, NULL, '{');
    wsgi_json_string(j, "version", WSGI_VERSION);
    wsgi_json_seconds(j, "time", apr_time_now());
    wsgi_json_open(j, "latency_bounds", '[');
    for (int i = 0; i < WIRE_BUCKETS - 1; i++)
        wsgi_json_seconds(j, NULL, wsgi_bounds_us[i]);
    wsgi_json_close(j, ']');
    wsgi_json_open(j, "groups", '[');
    for (int i = 0; i < groups->nelts; i++)
        put_group(j, &APR_ARRAY_IDX(groups, i, wsgi_status_group));
    wsgi_json_close(j, ']');
    if (status->embedded)
        put_embedded(j, status->embedded);
    else
        wsgi_json_string(j, "embedded", NULL);
    wsgi_json_close(j, '}');
    ap_set_content_type(r, "application/json");
    ap_rputs(wsgi_json_text(j), r);
}
