/* status_metrics.c - the status for Prometheus: OpenMetrics 1.0, or the older text format 0.0.4. */
#include "status/status_formats.h"

#include "status/json.h"

#include <apr_strings.h>
#include <http_protocol.h>

typedef struct writer {
    request_rec *r;
    int is_openmetrics;
    const wsgi_status *status;
    const char *key; /* of the first label of a sample */
} writer;

typedef void family_rows(writer *w, const char *name, const wsgi_status_group *g,
                         const char *label);

/* docs/status.md has the same rows; tests/unit/test_status_parts.py compares. Counters get their
 * suffix when they are written. */
typedef struct family {
    const char *name, *type, *unit, *help;
    family_rows *rows;
} family;

/* Label values: backslash, quote and newline are escaped, in both formats; everything is UTF-8. */
static const char *label_value(apr_pool_t *p, const char *text)
{
    char *out = apr_palloc(p, strlen(text) * 2 + 1), *at = out;

    while (*text) {
        int len = wsgi_utf8_len(text);

        if (*text == '\\' || *text == '"' || *text == '\n')
            *at++ = '\\';
        if (*text == '\n') {
            *at++ = 'n';
        } else if (len) {
            memcpy(at, text, (size_t)len);
            at += len;
        } else { /* as if it were Latin-1 */
            *at++ = (char)(0xc0 | (unsigned char)*text >> 6);
            *at++ = (char)(0x80 | (*text & 0x3f));
        }
        text += len ? len : 1;
    }
    *at = '\0';
    return out;
}

static const char *decimal(apr_pool_t *p, apr_int64_t us)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT ".%06d", us / APR_USEC_PER_SEC,
                        (int)(us % APR_USEC_PER_SEC));
}

/* more: further labels as they are written, with a comma in front, or "". */
static void put(writer *w, const char *name, const char *label, const char *more, const char *value)
{
    ap_rvputs(w->r, name, "{", w->key, "=\"", label, "\"", more, "} ", value, "\n", NULL);
}

static void put_int(writer *w, const char *name, const char *label, const char *more,
                    apr_int64_t value)
{
    put(w, name, label, more, apr_psprintf(w->r->pool, "%" APR_INT64_T_FMT, value));
}

/* ---- gauges ---- */

static void up(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_int(w, name, label, "", g->workers_in[WIRE_WORKER_SERVING] > 0);
}

static void stale(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_int(w, name, label, "", g->is_stale);
}

static void broken(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_int(w, name, label, "", g->broken);
}

static void generation(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_int(w, name, label, "", g->generation);
}

static void workers(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    for (int i = 0; i < WSGI_WORKER_STATES; i++)
        put_int(w, name, label,
                apr_pstrcat(w->r->pool, ",state=\"", wsgi_worker_state_names[i], "\"", NULL),
                g->workers_in[i]);
}

static void threads(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_int(w, name, label, ",state=\"busy\"", g->busy);
    put_int(w, name, label, ",state=\"idle\"", g->threads - g->busy);
}

static void queue_length(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    if (g->queue_len >= 0)
        put_int(w, name, label, "", g->queue_len);
}

static void queue_limit(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_int(w, name, label, "", g->queue_max);
}

static void slow(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    int count = 0;

    for (int i = 0; i < g->running->nelts; i++)
        count += APR_ARRAY_IDX(g->running, i, wsgi_status_request).is_slow;
    put_int(w, name, label, "", count);
}

static void oldest(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    apr_int64_t age_us =
        g->running->nelts ? APR_ARRAY_IDX(g->running, 0, wsgi_status_request).age_us : 0;

    put(w, name, label, "", decimal(w->r->pool, age_us));
}

static const char *worker_label(writer *w, const wsgi_status_worker *worker)
{
    return apr_psprintf(w->r->pool, ",worker=\"%d\"", (int)worker->pid);
}

static void resident(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    for (int i = 0; i < g->workers->nelts; i++) {
        const wsgi_status_worker *worker = &APR_ARRAY_IDX(g->workers, i, wsgi_status_worker);

        if (worker->resident_bytes >= 0)
            put_int(w, name, label, worker_label(w, worker), worker->resident_bytes);
    }
}

/* ---- counters ---- */

static void cpu(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    for (int i = 0; i < g->workers->nelts; i++) {
        const wsgi_status_worker *worker = &APR_ARRAY_IDX(g->workers, i, wsgi_status_worker);

        if (worker->cpu_us >= 0)
            put(w, name, label, worker_label(w, worker), decimal(w->r->pool, worker->cpu_us));
    }
}

static void put_statuses(writer *w, const char *name, const char *label,
                         const apr_uint64_t *statuses)
{
    for (int i = 0; i < WIRE_STATUSES; i++)
        put_int(w, name, label,
                apr_pstrcat(w->r->pool, ",status=\"", wsgi_status_classes[i], "\"", NULL),
                (apr_int64_t)statuses[i]);
}

static void requests(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_statuses(w, name, label, g->statuses);
}

static void cut_off(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_int(w, name, label, "", (apr_int64_t)g->cut_off);
}

static void retried(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_int(w, name, label, "", (apr_int64_t)g->retries);
}

static void ended(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    for (int i = 0; i < WIRE_END_REASON_COUNT; i++)
        put_int(w, name, label,
                apr_pstrcat(w->r->pool, ",reason=\"", wsgi_end_reasons[i], "\"", NULL),
                (apr_int64_t)g->ends[i]);
}

/* ---- histograms ---- */

/* OpenMetrics wants 1.0, and 0.00005 is easier to find in a query than 5e-05. */
static const char *bound_of(apr_pool_t *p, int bucket)
{
    char *text, *end;

    if (bucket == WIRE_BUCKETS - 1)
        return "+Inf";
    text = apr_psprintf(p, "%.6f", (double)wsgi_bounds_us[bucket] / APR_USEC_PER_SEC);
    for (end = text + strlen(text); end[-1] == '0' && end[-2] != '.'; end--)
        ;
    *end = '\0';
    return text;
}

static void put_histogram(writer *w, const char *name, const wsgi_status_timing *t,
                          const char *label)
{
    apr_pool_t *p = w->r->pool;
    const char *bucket_name = apr_pstrcat(p, name, "_bucket", NULL);
    apr_uint64_t sum = 0;

    for (int i = 0; i < WIRE_BUCKETS; i++) {
        sum += t->buckets[i];
        put_int(w, bucket_name, label, apr_pstrcat(p, ",le=\"", bound_of(p, i), "\"", NULL),
                (apr_int64_t)sum);
    }
    put(w, apr_pstrcat(p, name, "_sum", NULL), label, "", decimal(p, (apr_int64_t)t->sum_us));
    put_int(w, apr_pstrcat(p, name, "_count", NULL), label, "", (apr_int64_t)sum);
}

static void queue_seconds(writer *w, const char *name, const wsgi_status_group *g,
                          const char *label)
{
    put_histogram(w, name, &g->timings[WIRE_TIMING_QUEUE], label);
}

static void app_seconds(writer *w, const char *name, const wsgi_status_group *g, const char *label)
{
    put_histogram(w, name, &g->timings[WIRE_TIMING_APP], label);
}

static void write_seconds(writer *w, const char *name, const wsgi_status_group *g,
                          const char *label)
{
    put_histogram(w, name, &g->timings[WIRE_TIMING_WRITE], label);
}

/* ---- embedded mode ---- */

typedef void embedded_rows(writer *w, const char *name, const wsgi_status_embedded *e);

typedef struct embedded_family {
    const char *name, *type, *unit, *help;
    embedded_rows *rows;
} embedded_family;

typedef void application_row(writer *w, const char *name, const wsgi_status_application *a,
                             const char *label);

static void put_applications(writer *w, const char *name, const wsgi_status_embedded *e,
                             application_row *row)
{
    w->key = "application_group";
    for (int i = 0; i < e->applications->nelts; i++) {
        const wsgi_status_application *a =
            &APR_ARRAY_IDX(e->applications, i, wsgi_status_application);

        row(w, name, a, label_value(w->r->pool, a->name));
    }
}

static void busy_row(writer *w, const char *name, const wsgi_status_application *a,
                     const char *label)
{
    put_int(w, name, label, "", a->busy);
}

static void requests_row(writer *w, const char *name, const wsgi_status_application *a,
                         const char *label)
{
    put_statuses(w, name, label, a->statuses);
}

static void seconds_row(writer *w, const char *name, const wsgi_status_application *a,
                        const char *label)
{
    put_histogram(w, name, &a->time, label);
}

static void embedded_busy(writer *w, const char *name, const wsgi_status_embedded *e)
{
    put_applications(w, name, e, busy_row);
}

static void embedded_requests(writer *w, const char *name, const wsgi_status_embedded *e)
{
    put_applications(w, name, e, requests_row);
}

static void embedded_seconds(writer *w, const char *name, const wsgi_status_embedded *e)
{
    put_applications(w, name, e, seconds_row);
}

static void embedded_slow(writer *w, const char *name, const wsgi_status_embedded *e)
{
    w->key = "application_group";
    for (int i = 0; i < e->applications->nelts; i++) {
        const char *application = APR_ARRAY_IDX(e->applications, i, wsgi_status_application).name;
        int count = 0;

        for (int q = 0; q < e->running->nelts; q++) {
            const wsgi_status_request *request = &APR_ARRAY_IDX(e->running, q, wsgi_status_request);

            count += request->is_slow && !strcmp(request->application, application);
        }
        put_int(w, name, label_value(w->r->pool, application), "", count);
    }
}

static void embedded_resident(writer *w, const char *name, const wsgi_status_embedded *e)
{
    w->key = "process";
    for (int i = 0; i < e->processes->nelts; i++) {
        const wsgi_status_process *process = &APR_ARRAY_IDX(e->processes, i, wsgi_status_process);

        if (process->resident_bytes >= 0)
            put_int(w, name, apr_itoa(w->r->pool, (int)process->pid),
                    apr_pstrcat(w->r->pool, ",python=\"", label_value(w->r->pool, process->python),
                                "\"", NULL),
                    process->resident_bytes);
    }
}

static const embedded_family embedded_families[] = {
    {"wsgi_embedded_busy_threads", "gauge", NULL,
     "threads of Apache that serve an embedded application", embedded_busy},
    {"wsgi_embedded_slow_requests", "gauge", NULL,
     "embedded requests that have been running for long", embedded_slow},
    {"wsgi_embedded_resident_bytes", "gauge", "bytes",
     "resident memory of an Apache process with Python", embedded_resident},
    {"wsgi_embedded_requests", "counter", NULL, "embedded requests by class of status",
     embedded_requests},
    {"wsgi_embedded_request_seconds", "histogram", "seconds",
     "time that embedded requests took, all in all", embedded_seconds},
};

/* ---- all of it ---- */

static const family families[] = {
    {"wsgi_up", "gauge", NULL, "1 when a worker of the group serves", up},
    {"wsgi_stale", "gauge", NULL, "1 when newer code could not be loaded and the old serves on",
     stale},
    {"wsgi_broken_scripts", "gauge", NULL, "scripts that the workers could not load", broken},
    {"wsgi_generation", "gauge", NULL,
     "number of the supervisor whose workers serve; one more with each restart", generation},
    {"wsgi_workers", "gauge", NULL, "workers by state", workers},
    {"wsgi_threads", "gauge", NULL, "request threads of workers that serve, by state", threads},
    {"wsgi_queue_length", "gauge", NULL, "requests that no thread has taken yet", queue_length},
    {"wsgi_queue_limit", "gauge", NULL,
     "requests that may wait: queue-size=, else listen-backlog=", queue_limit},
    {"wsgi_slow_requests", "gauge", NULL,
     "requests that have been running for longer than slow-request=", slow},
    {"wsgi_oldest_request_seconds", "gauge", "seconds",
     "how long the oldest running request has been running", oldest},
    {"wsgi_worker_resident_bytes", "gauge", "bytes", "resident memory of a worker", resident},
    {"wsgi_worker_cpu_seconds", "counter", "seconds", "processor time of a worker", cpu},
    {"wsgi_requests", "counter", NULL,
     "requests by class of status; none: the client left before there was one", requests},
    {"wsgi_responses_cut_off", "counter", NULL, "responses that could not be completed", cut_off},
    {"wsgi_requests_retried", "counter", NULL, "requests that were asked again of another worker",
     retried},
    {"wsgi_worker_ends", "counter", NULL, "workers that have ended, by reason", ended},
    {"wsgi_request_queue_seconds", "histogram", "seconds",
     "time until a thread of a worker took the request", queue_seconds},
    {"wsgi_request_app_seconds", "histogram", "seconds",
     "time from there to the beginning of the response", app_seconds},
    {"wsgi_request_write_seconds", "histogram", "seconds", "time from there to its end",
     write_seconds},
};

/* Writes the lines before the samples of a family. Returns the name of the samples. */
static const char *put_head(writer *w, const char *family_name, const char *type, const char *unit,
                            const char *help)
{
    int has_suffix = !strcmp(type, "counter");
    const char *sample =
        has_suffix ? apr_pstrcat(w->r->pool, family_name, "_total", NULL) : family_name;
    const char *name = w->is_openmetrics ? family_name : sample;

    ap_rvputs(w->r, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n", NULL);
    if (w->is_openmetrics && unit)
        ap_rvputs(w->r, "# UNIT ", name, " ", unit, "\n", NULL);
    return sample;
}

static void put_family(writer *w, const family *f)
{
    const apr_array_header_t *groups = w->status->groups;
    const char *sample = put_head(w, f->name, f->type, f->unit, f->help);

    w->key = "group";
    for (int i = 0; i < groups->nelts; i++) {
        const wsgi_status_group *g = &APR_ARRAY_IDX(groups, i, wsgi_status_group);

        f->rows(w, sample, g, label_value(w->r->pool, g->group->name));
    }
}

static void put_embedded_family(writer *w, const embedded_family *f)
{
    const wsgi_status_embedded *e = w->status->embedded;
    const char *sample = put_head(w, f->name, f->type, f->unit, f->help);

    if (e)
        f->rows(w, sample, e);
}

void wsgi_status_metrics(request_rec *r, const wsgi_status *status, int is_openmetrics)
{
    writer w = {.r = r, .is_openmetrics = is_openmetrics, .status = status};

    ap_set_content_type(r, is_openmetrics
                               ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                               : "text/plain; version=0.0.4; charset=utf-8");
    for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
        put_family(&w, &families[i]);
    for (size_t i = 0; i < sizeof(embedded_families) / sizeof(*embedded_families); i++)
        put_embedded_family(&w, &embedded_families[i]);
    if (is_openmetrics)
        ap_rputs("# EOF\n", r);
}
