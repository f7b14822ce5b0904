/* status_html.c - the status as a page that needs no script. With one it reads the JSON every other second and puts it into the
 * elements whose data-k names the value.
 *
 * URLs and lines are what clients and applications made them: everything that is not from this file is escaped. */
#include "status.h"

#include <apr_base64.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#define NOT_KNOWN "\xe2\x80\x93"
#define BAR       10 /* pixels from one bar to the next */
#define MICRO     "\xc2\xb5"

static const char *escaped(request_rec *r, const char *text)
{
    return ap_escape_html(r->pool, text);
}

/* ---- numbers, as the script writes them, too ---- */

static const char *seconds(apr_pool_t *p, apr_int64_t us)
{
    if (us < 0)
        return NOT_KNOWN;
    if (us < 1000)
        return apr_psprintf(p, "%d " MICRO "s", (int)us);
    if (us < APR_USEC_PER_SEC)
        return apr_psprintf(p, "%.1f ms", (double)us / 1000);
    if (us < 60 * APR_USEC_PER_SEC)
        return apr_psprintf(p, "%.1f s", (double)us / APR_USEC_PER_SEC);
    us /= APR_USEC_PER_SEC;
    if (us < 3600)
        return apr_psprintf(p, "%d min %d s", (int)(us / 60), (int)(us % 60));
    return apr_psprintf(p, "%" APR_INT64_T_FMT " h %d min", us / 3600, (int)(us % 3600 / 60));
}

static const char *megabytes(apr_pool_t *p, apr_int64_t bytes)
{
    return bytes < 0 ? NOT_KNOWN : apr_psprintf(p, "%.1f MB", (double)bytes / 1e6);
}

static const char *number(apr_pool_t *p, apr_int64_t n)
{
    return n < 0 ? NOT_KNOWN : apr_psprintf(p, "%" APR_INT64_T_FMT, n);
}

/* ---- pieces ---- */

/* An element whose text is the value called key. */
static void put_value(request_rec *r, const char *element, const char *key, const char *form, const char *text)
{
    ap_rvputs(r, "<", element, " data-k=\"", key, "\" data-f=\"", form, "\">", text, "</", element, ">", NULL);
}

static void put_count(request_rec *r, const char *element, const char *key, apr_int64_t n)
{
    put_value(r, element, key, "n", number(r->pool, n));
}

static void open_table(request_rec *r, const char *caption, const char *heads, const char *list)
{
    ap_rvputs(r, "<table><caption>", caption, "</caption><thead><tr>", heads, "</tr></thead><tbody", NULL);
    if (list)
        ap_rvputs(r, " data-list=\"", list, "\"", NULL);
    ap_rputs(">\n", r);
}

static void close_table(request_rec *r)
{
    ap_rputs("</tbody></table>\n", r);
}

/* The end of a table that may have got no row. */
static void close_list(request_rec *r, int rows, int columns)
{
    if (!rows)
        ap_rprintf(r, "<tr class=\"empty\"><td colspan=\"%d\">none</td></tr>\n", columns);
    close_table(r);
}

static void put_row(request_rec *r, int is_marked, const char *const *cells, int n)
{
    ap_rputs(is_marked ? "<tr class=\"marked\">" : "<tr>", r);
    for (int i = 0; i < n; i++)
        ap_rvputs(r, "<td>", cells[i], "</td>", NULL);
    ap_rputs("</tr>\n", r);
}

/* ---- a group ---- */

static void put_heading(request_rec *r, const wsgi_status_group *g)
{
    const char *state = wsgi_board_state_name(g->state);

    ap_rvputs(r, "<h2>", escaped(r, g->group->name), " <span class=\"badge ", state, "\" data-k=\"state\" data-f=\"state\">",
              state, "</span> <span class=\"badge failed\" data-k=\"stale\" data-f=\"hide\"", g->is_stale ? "" : " hidden",
              ">stale</span> <small>", escaped(r, g->group->where), ", generation ", NULL);
    put_count(r, "span", "generation", g->generation);
    ap_rvputs(r, "</small></h2>\n<p class=\"alert\" data-k=\"stale\" data-f=\"hide\"", g->is_stale ? "" : " hidden",
              ">Newer code could not be loaded, so the old code serves on. The error log has the traceback.</p>\n"
              "<p class=\"alert\" data-k=\"broken_scripts\" data-f=\"hide\"", g->broken ? "" : " hidden",
              ">Some scripts could not be loaded. The error log has the traceback.</p>\n"
              "<p class=\"alert\" data-k=\"retry_after\" data-f=\"hide\"", g->state == WIRE_BOARD_FAILED ? "" : " hidden",
              ">No worker can be started; requests are answered with 503. The error log says why.</p>\n", NULL);
}

static void put_meter(request_rec *r, const char *key, const char *most_key, int value, int most)
{
    most = most > 0 ? most : 1;
    ap_rprintf(r, "<meter data-k=\"%s\" data-m=\"%s\" data-f=\"meter\" min=\"0\" max=\"%d\" high=\"%.1f\" value=\"%d\"></meter>",
               key, most_key, most, most * 0.8, value > 0 ? value : 0);
}

static void put_tiles(request_rec *r, const wsgi_status_group *g)
{
    ap_rputs("<div class=\"tiles\">\n<div><h3>Busy threads</h3><p>", r);
    put_count(r, "b", "threads.busy", g->busy);
    ap_rputs(" of ", r);
    put_count(r, "span", "threads.total", g->threads);
    ap_rputs("</p>", r);
    put_meter(r, "threads.busy", "threads.total", g->busy, g->threads);
    ap_rputs("</div>\n<div><h3>Waiting requests</h3><p>", r);
    put_count(r, "b", "queue.length", g->queue_len);
    ap_rputs(" of ", r);
    put_count(r, "span", "queue.limit", g->queue_max);
    ap_rputs("</p>", r);
    put_meter(r, "queue.length", "queue.limit", g->queue_len, g->queue_max);
    ap_rputs("</div>\n<div><h3>Workers serving</h3><p>", r);
    put_count(r, "b", "serving", g->workers_in[WIRE_WORKER_SERVING]);
    ap_rprintf(r, " of %d</p></div>\n<div><h3>Requests</h3><p>", g->group->processes);
    put_count(r, "b", "requests.total", (apr_int64_t)g->requests);
    ap_rputs("</p></div>\n<div><h3>Server errors</h3><p>", r);
    put_count(r, "b", "requests.5xx", (apr_int64_t)g->statuses[5]);
    ap_rputs("</p></div>\n<div><h3>95 % begin within</h3><p>", r);
    put_value(r, "b", "latency.app.p95", "s", seconds(r->pool, wsgi_status_percentile(&g->timings[WIRE_TIMING_APP], 95)));
    ap_rputs("</p></div>\n</div>\n", r);
}

static void put_running(request_rec *r, const wsgi_status_group *g)
{
    open_table(r, "Requests now", "<th>Request</th><th>Runs for</th><th>Phase</th><th>Waited</th><th>Worker, thread</th>"
               "<th>Python line</th>", "running");
    for (int i = 0; i < g->running->nelts; i++) {
        const wsgi_status_request *q = &APR_ARRAY_IDX(g->running, i, wsgi_status_request);
        const char *cells[] = {
            apr_pstrcat(r->pool, escaped(r, q->method), " ", escaped(r, q->url), NULL),
            seconds(r->pool, q->age_us),
            q->phase,
            seconds(r->pool, q->queue_us),
            apr_psprintf(r->pool, "%d, %d", (int)q->worker, q->thread),
            q->line ? escaped(r, q->line) : "",
        };

        put_row(r, q->is_slow, cells, 6);
    }
    close_list(r, g->running->nelts, 6);
}

/* A bar for each bucket. */
static void put_bars(request_rec *r, const char *timing, const wsgi_status_timing *t)
{
    apr_uint64_t most = 1;

    for (int i = 0; i < WIRE_BUCKETS; i++)
        most = t->buckets[i] > most ? t->buckets[i] : most;
    ap_rprintf(r, "<td><svg data-h=\"%s\" width=\"%d\" height=\"28\" role=\"img\" aria-label=\"histogram\">", timing,
               WIRE_BUCKETS * BAR);
    for (int i = 0; i < WIRE_BUCKETS; i++) {
        int height = (int)((t->buckets[i] * 27 + most - 1) / most);
        const char *bound = i < WIRE_BUCKETS - 1 ? seconds(r->pool, wsgi_bounds_us[i]) : "longer";

        ap_rprintf(r, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"><title>%s%s: %" APR_UINT64_T_FMT "</title></rect>",
                   i * BAR, 27 - height, BAR - 2, height + 1, i < WIRE_BUCKETS - 1 ? "to " : "", bound, t->buckets[i]);
    }
    ap_rputs("</svg></td>", r);
}

static void put_latency(request_rec *r, const wsgi_status_group *g)
{
    static const char *const titles[WIRE_TIMINGS] = {"waiting for a thread", "until the response begins", "until it has ended"};

    open_table(r, "Latency", "<th>Phase</th><th>Mean</th><th>50 %</th><th>95 %</th><th>99 %</th>"
               "<th>50 " MICRO "s … 60 s</th>", NULL);
    for (int i = 0; i < WIRE_TIMINGS; i++) {
        const wsgi_status_timing *t = &g->timings[i];
        const char *key = apr_pstrcat(r->pool, "latency.", wsgi_timing_names[i], ".", NULL);

        ap_rvputs(r, "<tr><td>", wsgi_timing_names[i], " <small>", titles[i], "</small></td>", NULL);
        put_value(r, "td", apr_pstrcat(r->pool, key, "mean", NULL), "s", seconds(r->pool, wsgi_status_mean(t)));
        put_value(r, "td", apr_pstrcat(r->pool, key, "p50", NULL), "s", seconds(r->pool, wsgi_status_percentile(t, 50)));
        put_value(r, "td", apr_pstrcat(r->pool, key, "p95", NULL), "s", seconds(r->pool, wsgi_status_percentile(t, 95)));
        put_value(r, "td", apr_pstrcat(r->pool, key, "p99", NULL), "s", seconds(r->pool, wsgi_status_percentile(t, 99)));
        put_bars(r, wsgi_timing_names[i], t);
        ap_rputs("</tr>\n", r);
    }
    close_table(r);
}

static void put_statuses(request_rec *r, const wsgi_status_group *g)
{
    static const char *const keys[] = {"requests.2xx", "requests.3xx", "requests.4xx", "requests.5xx", "requests.none"};
    const apr_uint64_t *s = g->statuses, values[] = {s[2], s[3], s[4], s[5], s[0]};

    open_table(r, "Answers", "<th>2xx</th><th>3xx</th><th>4xx</th><th>5xx</th><th>client left before</th><th>cut off</th>"
               "<th>retried</th>", NULL);
    ap_rputs("<tr>", r);
    for (int i = 0; i < 5; i++)
        put_count(r, "td", keys[i], (apr_int64_t)values[i]);
    put_count(r, "td", "requests.cut_off", (apr_int64_t)g->cut_off);
    put_count(r, "td", "requests.retried", (apr_int64_t)g->retries);
    ap_rputs("</tr>\n", r);
    close_table(r);
}

static void put_workers(request_rec *r, const wsgi_status_group *g)
{
    open_table(r, "Workers", "<th>Pid</th><th>Generation</th><th>State</th><th>Busy threads</th><th>Requests</th><th>Memory</th>"
               "<th>CPU</th>", "workers");
    for (int i = 0; i < g->workers->nelts; i++) {
        const wsgi_status_worker *w = &APR_ARRAY_IDX(g->workers, i, wsgi_status_worker);
        const char *cells[] = {
            number(r->pool, w->pid),
            number(r->pool, w->generation),
            wsgi_worker_state_names[w->state],
            apr_psprintf(r->pool, "%d of %d", w->busy, w->threads),
            number(r->pool, (apr_int64_t)w->requests),
            megabytes(r->pool, w->resident_bytes),
            seconds(r->pool, w->cpu_us),
        };

        put_row(r, 0, cells, 7);
    }
    close_list(r, g->workers->nelts, 7);
}

static void put_ended(request_rec *r, const wsgi_status_group *g)
{
    int any = 0;

    open_table(r, "Workers that have ended", "<th>Reason</th><th>Count</th>", "ended");
    for (int i = 0; i < WIRE_END_REASON_COUNT; i++)
        if (g->ends[i]) {
            const char *cells[] = {wsgi_end_reasons[i], number(r->pool, (apr_int64_t)g->ends[i])};

            put_row(r, 0, cells, 2);
            any = 1;
        }
    close_list(r, any, 2);
}

static void put_group(request_rec *r, const wsgi_status_group *g)
{
    ap_rvputs(r, "<section data-name=\"", escaped(r, g->group->name), "\">\n", NULL);
    put_heading(r, g);
    put_tiles(r, g);
    put_running(r, g);
    put_latency(r, g);
    put_statuses(r, g);
    put_workers(r, g);
    put_ended(r, g);
    ap_rputs("</section>\n", r);
}

/* ---- embedded mode ---- */

static void put_applications(request_rec *r, const wsgi_status_embedded *e)
{
    open_table(r, "Application groups", "<th>Application group</th><th>Busy threads</th><th>Requests</th><th>2xx</th><th>3xx</th>"
               "<th>4xx</th><th>5xx</th><th>Mean</th><th>50 %</th><th>95 %</th><th>99 %</th>", "applications");
    for (int i = 0; i < e->applications->nelts; i++) {
        const wsgi_status_application *a = &APR_ARRAY_IDX(e->applications, i, wsgi_status_application);
        const char *cells[] = {
            escaped(r, a->name),
            number(r->pool, a->busy),
            number(r->pool, (apr_int64_t)a->requests),
            number(r->pool, (apr_int64_t)a->statuses[2]),
            number(r->pool, (apr_int64_t)a->statuses[3]),
            number(r->pool, (apr_int64_t)a->statuses[4]),
            number(r->pool, (apr_int64_t)a->statuses[5]),
            seconds(r->pool, wsgi_status_mean(&a->time)),
            seconds(r->pool, wsgi_status_percentile(&a->time, 50)),
            seconds(r->pool, wsgi_status_percentile(&a->time, 95)),
            seconds(r->pool, wsgi_status_percentile(&a->time, 99)),
        };

        put_row(r, 0, cells, 11);
    }
    close_list(r, e->applications->nelts, 11);
}

static void put_embedded_running(request_rec *r, const wsgi_status_embedded *e)
{
    open_table(r, "Requests now", "<th>Request</th><th>Runs for</th><th>Application group</th><th>Process</th>", "requests");
    for (int i = 0; i < e->running->nelts; i++) {
        const wsgi_status_request *q = &APR_ARRAY_IDX(e->running, i, wsgi_status_request);
        const char *cells[] = {
            apr_pstrcat(r->pool, escaped(r, q->method), " ", escaped(r, q->url), NULL),
            seconds(r->pool, q->age_us),
            escaped(r, q->application),
            number(r->pool, q->worker),
        };

        put_row(r, q->is_slow, cells, 4);
    }
    close_list(r, e->running->nelts, 4);
}

static void put_processes(request_rec *r, const wsgi_status_embedded *e)
{
    open_table(r, "Apache's processes with Python", "<th>Pid</th><th>Python</th><th>Busy threads</th><th>Memory</th><th>CPU</th>",
               "processes");
    for (int i = 0; i < e->processes->nelts; i++) {
        const wsgi_status_process *process = &APR_ARRAY_IDX(e->processes, i, wsgi_status_process);
        const char *cells[] = {
            number(r->pool, process->pid),
            escaped(r, process->python),
            number(r->pool, process->busy),
            megabytes(r->pool, process->resident_bytes),
            seconds(r->pool, process->cpu_us),
        };

        put_row(r, 0, cells, 5);
    }
    close_list(r, e->processes->nelts, 5);
}

static void put_embedded(request_rec *r, const wsgi_status_embedded *e)
{
    ap_rputs("<section id=\"embedded\">\n<h2>Embedded mode</h2>\n", r);
    put_embedded_running(r, e);
    put_applications(r, e);
    put_processes(r, e);
    ap_rputs("</section>\n", r);
}

/* ---- the page ---- */

/* What it may do is said by a number that nobody can guess; "" when there is none, and then it has neither style nor script. */
static const char *set_policy(request_rec *r)
{
    unsigned char bytes[18];
    char *nonce = apr_palloc(r->pool, (apr_size_t)apr_base64_encode_len(sizeof(bytes)));

    if (apr_generate_random_bytes(bytes, sizeof(bytes)) != APR_SUCCESS)
        return "";
    apr_base64_encode(nonce, (const char *)bytes, sizeof(bytes));
    apr_table_setn(r->headers_out, "Content-Security-Policy",
                   apr_pstrcat(r->pool, "default-src 'none'; style-src 'nonce-", nonce, "'; script-src 'nonce-", nonce,
                               "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", NULL));
    return nonce;
}

void wsgi_status_html(request_rec *r, const wsgi_status *status)
{
    const apr_array_header_t *groups = status->groups;
    static const char head[] = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>WSGI status of ";
    static const char links[] = "</span> <a href=\"?format=json\">JSON</a> <a href=\"?format=openmetrics\">OpenMetrics</a>"
                                " <span id=\"live\"></span></p>\n</header>\n<main>\n";
    const char *nonce = set_policy(r), *host = escaped(r, ap_get_server_name(r));
    char date[APR_CTIME_LEN];

    apr_ctime(date, apr_time_now());
    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_rvputs(r, head, host, "</title>\n<style nonce=\"", nonce, "\">\n", wsgi_status_style,
              "</style>\n</head>\n<body>\n<header>\n<h1>WSGI status of ", host, "</h1>\n<p>httpd-wsgi " WSGI_VERSION " <span id=\"time\">", date, links, NULL);
    for (int i = 0; i < groups->nelts; i++)
        put_group(r, &APR_ARRAY_IDX(groups, i, wsgi_status_group));
    if (!groups->nelts)
        ap_rputs("<p>The configuration defines no daemon group (WSGIDaemonProcess).</p>\n", r);
    if (status->embedded)
        put_embedded(r, status->embedded);
    ap_rvputs(r, "</main>\n<script nonce=\"", nonce, "\">\n", wsgi_status_script, "</script>\n</body>\n</html>\n", NULL);
}
