/* status_html.c - the status as a page that needs no script. With one it reads the JSON every other
 * second and puts it into the elements whose data-k names the value.
 *
 * URLs and lines are what clients and applications made them: everything that is not from this file
 * is escaped. */
#include "status/status_formats.h"

#include "status/status_assets.h"

#include <apr_base64.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#define NOT_KNOWN "\xe2\x80\x93"
#define BAR       10 /* pixels from one bar to the next */
#define MICRO     "\xc2\xb5"
#define ESTIMATES "Mean", "50 %", "95 %", "99 %" /* wsgi_estimate_names */

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
static void put_value(request_rec *r, const char *element, const char *key, const char *form,
                      const char *text)
{
    ap_rvputs(r, "<", element, " data-k=\"", key, "\" data-f=\"", form, "\">", text, "</", element,
              ">", NULL);
}

static void put_count(request_rec *r, const char *element, const char *key, apr_int64_t n)
{
    put_value(r, element, key, "n", number(r->pool, n));
}

/* list: the script's function that makes its rows, of as many cells; NULL: their number is fixed.
 */
typedef struct table {
    const char *caption, *list;
    const char *const *heads;
    int columns;
} table;

#define TABLE(caption, list, heads) {caption, list, heads, COLUMNS(heads)}
#define COLUMNS(heads)              ((int)(sizeof(heads) / sizeof(*(heads))))

static void open_table(request_rec *r, const table *t)
{
    ap_rvputs(r, "<table><caption>", t->caption, "</caption><thead><tr>", NULL);
    for (int i = 0; i < t->columns; i++)
        ap_rvputs(r, "<th scope=\"col\">", t->heads[i], "</th>", NULL);
    ap_rputs("</tr></thead><tbody", r);
    if (t->list)
        ap_rvputs(r, " data-list=\"", t->list, "\"", NULL);
    ap_rputs(">\n", r);
}

static void close_table(request_rec *r)
{
    ap_rputs("</tbody></table>\n", r);
}

/* The end of a table that may have got no row. */
static void close_list(request_rec *r, const table *t, int rows)
{
    if (!rows)
        ap_rprintf(r, "<tr class=\"empty\"><td colspan=\"%d\">none</td></tr>\n", t->columns);
    close_table(r);
}

static void put_row(request_rec *r, const table *t, int is_marked, const char *const *cells)
{
    ap_rputs(is_marked ? "<tr class=\"marked\">" : "<tr>", r);
    for (int i = 0; i < t->columns; i++)
        ap_rvputs(r, "<td>", cells[i], "</td>", NULL);
    ap_rputs("</tr>\n", r);
}

static const char *what(request_rec *r, const wsgi_status_request *q)
{
    return apr_pstrcat(r->pool, escaped(r, q->method), " ", escaped(r, q->url), NULL);
}

/* ---- a group ---- */

static void put_heading(request_rec *r, const wsgi_status_group *g)
{
    const char *state = wsgi_board_state_name(g->state);

    ap_rvputs(r, "<h2>", escaped(r, g->group->name), " <span class=\"badge ", state,
              "\" data-k=\"state\" data-f=\"state\">", state,
              "</span> <span class=\"badge failed\" data-k=\"stale\" data-f=\"hide\"",
              g->is_stale ? "" : " hidden", ">stale</span> <small>", NULL);
    put_value(r, "span", "where", "t", escaped(r, g->group->where));
    ap_rputs(", generation ", r);
    put_count(r, "span", "generation", g->generation);
    ap_rvputs(
        r, "</small></h2>\n<p class=\"alert\" data-k=\"stale\" data-f=\"hide\"",
        g->is_stale ? "" : " hidden",
        ">Newer code could not be loaded, so the old code serves on. The error log has the "
        "traceback.</p>\n"
        "<p class=\"alert\" data-k=\"broken_scripts\" data-f=\"hide\"",
        g->broken ? "" : " hidden",
        ">Some scripts could not be loaded. The error log has the traceback.</p>\n"
        "<p class=\"alert\" data-k=\"retry_after\" data-f=\"hide\"",
        g->state == WIRE_BOARD_FAILED ? "" : " hidden",
        ">No worker can be started; requests are answered with 503. The error log says why.</p>\n",
        NULL);
}

static void put_meter(request_rec *r, const char *label, const char *key, const char *most_key,
                      int value, int most)
{
    most = most > 0 ? most : 1;
    ap_rprintf(r,
               "<meter aria-label=\"%s\" data-k=\"%s\" data-m=\"%s\" data-f=\"meter\" min=\"0\" "
               "max=\"%d\" high=\"%.1f\" value=\"%d\"></meter>",
               label, key, most_key, most, most * 0.8, value > 0 ? value : 0);
}

static void put_tiles(request_rec *r, const wsgi_status_group *g)
{
    ap_rputs("<div class=\"tiles\">\n<div><h3>Busy threads</h3><p>", r);
    put_count(r, "b", "threads.busy", g->busy);
    ap_rputs(" of ", r);
    put_count(r, "span", "threads.total", g->threads);
    ap_rputs("</p>", r);
    put_meter(r, "Busy threads", "threads.busy", "threads.total", g->busy, g->threads);
    ap_rputs("</div>\n<div><h3>Waiting requests</h3><p>", r);
    put_count(r, "b", "queue.length", g->queue_len);
    ap_rputs(" of ", r);
    put_count(r, "span", "queue.limit", g->queue_max);
    ap_rputs("</p>", r);
    put_meter(r, "Waiting requests", "queue.length", "queue.limit", g->queue_len, g->queue_max);
    ap_rputs("</div>\n<div><h3>Workers serving</h3><p>", r);
    put_count(r, "b", "serving", g->workers_in[WIRE_WORKER_SERVING]);
    ap_rputs(" of ", r);
    put_count(r, "span", "processes", g->group->processes);
    ap_rputs("</p></div>\n<div><h3>Requests</h3><p>", r);
    put_count(r, "b", "requests.total", (apr_int64_t)g->requests);
    ap_rputs("</p></div>\n<div><h3>Server errors</h3><p>", r);
    put_count(r, "b", "requests.5xx", (apr_int64_t)g->statuses[5]);
    ap_rputs("</p></div>\n<div><h3>95 % begin within</h3><p>", r);
    put_value(r, "b", "latency.app.p95", "s",
              seconds(r->pool, wsgi_status_estimate(&g->timings[WIRE_TIMING_APP], WSGI_P95)));
    ap_rputs("</p></div>\n</div>\n", r);
}

static void put_running(request_rec *r, const wsgi_status_group *g)
{
    static const char *const heads[] = {"Request", "Runs for",       "Phase",
                                        "Waited",  "Worker, thread", "Python line"};
    static const table requests = TABLE("Requests now", "running", heads);

    open_table(r, &requests);
    for (int i = 0; i < g->running->nelts; i++) {
        const wsgi_status_request *q = &APR_ARRAY_IDX(g->running, i, wsgi_status_request);
        const char *cells[COLUMNS(heads)] = {
            what(r, q),
            seconds(r->pool, q->age_us),
            q->phase,
            seconds(r->pool, q->queue_us),
            apr_psprintf(r->pool, "%d, %d", (int)q->worker, q->thread),
            q->source_line ? escaped(r, q->source_line) : "",
        };

        put_row(r, &requests, q->is_slow, cells);
    }
    close_list(r, &requests, g->running->nelts);
}

/* A bar for each bucket. */
static void put_bars(request_rec *r, const char *timing, const wsgi_status_timing *t)
{
    apr_uint64_t most = 1;

    for (int i = 0; i < WIRE_BUCKETS; i++)
        most = t->buckets[i] > most ? t->buckets[i] : most;
    ap_rprintf(r,
               "<td><svg data-h=\"%s\" width=\"%d\" height=\"28\" role=\"img\" "
               "aria-label=\"histogram of %s\">",
               timing, WIRE_BUCKETS * BAR, timing);
    for (int i = 0; i < WIRE_BUCKETS; i++) {
        int height = (int)((t->buckets[i] * 27 + most - 1) / most);
        const char *bound = i < WIRE_BUCKETS - 1 ? seconds(r->pool, wsgi_bounds_us[i]) : "longer";

        ap_rprintf(
            r,
            "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\"><title>%s%s: %" APR_UINT64_T_FMT
            "</title></rect>",
            i * BAR, 27 - height, BAR - 2, height + 1, i < WIRE_BUCKETS - 1 ? "to " : "", bound,
            t->buckets[i]);
    }
    ap_rputs("</svg></td>", r);
}

static void put_latency(request_rec *r, const wsgi_status_group *g)
{
    static const char *const titles[WIRE_TIMINGS] = {"waiting for a thread",
                                                     "until the response begins",
                                                     "until it has ended"};
    static const char *const heads[] = {"Phase", ESTIMATES, "50 " MICRO "s … 60 s"};
    static const table latency = TABLE("Latency", NULL, heads);

    open_table(r, &latency);
    for (int i = 0; i < WIRE_TIMINGS; i++) {
        const wsgi_status_timing *t = &g->timings[i];
        const char *key = apr_pstrcat(r->pool, "latency.", wsgi_timing_names[i], ".", NULL);

        ap_rvputs(r, "<tr><td>", wsgi_timing_names[i], " <small>", titles[i], "</small></td>",
                  NULL);
        for (int e = 0; e < WSGI_ESTIMATES; e++)
            put_value(r, "td", apr_pstrcat(r->pool, key, wsgi_estimate_names[e], NULL), "s",
                      seconds(r->pool, wsgi_status_estimate(t, e)));
        put_bars(r, wsgi_timing_names[i], t);
        ap_rputs("</tr>\n", r);
    }
    close_table(r);
}

static void put_statuses(request_rec *r, const wsgi_status_group *g)
{
    static const int classes[] = {2, 3, 4, 5, 0};
    static const char *const heads[] = {"2xx",     "3xx",    "4xx", "5xx", "client left before",
                                        "cut off", "retried"};
    static const table answers = TABLE("Answers", NULL, heads);

    open_table(r, &answers);
    ap_rputs("<tr>", r);
    for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++)
        put_count(r, "td", apr_pstrcat(r->pool, "requests.", wsgi_status_classes[classes[i]], NULL),
                  (apr_int64_t)g->statuses[classes[i]]);
    put_count(r, "td", "requests.cut_off", (apr_int64_t)g->cut_off);
    put_count(r, "td", "requests.retried", (apr_int64_t)g->retries);
    ap_rputs("</tr>\n", r);
    close_table(r);
}

static void put_workers(request_rec *r, const wsgi_status_group *g)
{
    static const char *const heads[] = {"Pid",      "Generation", "State", "Busy threads",
                                        "Requests", "Memory",     "CPU"};
    static const table workers = TABLE("Workers", "workers", heads);

    open_table(r, &workers);
    for (int i = 0; i < g->workers->nelts; i++) {
        const wsgi_status_worker *w = &APR_ARRAY_IDX(g->workers, i, wsgi_status_worker);
        const char *cells[COLUMNS(heads)] = {
            number(r->pool, w->pid),
            number(r->pool, w->generation),
            wsgi_worker_state_names[w->state],
            apr_psprintf(r->pool, "%d of %d", w->busy, w->threads),
            number(r->pool, (apr_int64_t)w->requests),
            megabytes(r->pool, w->resident_bytes),
            seconds(r->pool, w->cpu_us),
        };

        put_row(r, &workers, 0, cells);
    }
    close_list(r, &workers, g->workers->nelts);
}

static void put_ended(request_rec *r, const wsgi_status_group *g)
{
    static const char *const heads[] = {"Reason", "Count"};
    static const table reasons = TABLE("Workers that have ended", "ended", heads);
    int any = 0;

    open_table(r, &reasons);
    for (int i = 0; i < WIRE_END_REASON_COUNT; i++)
        if (g->ends[i]) {
            const char *cells[COLUMNS(heads)] = {wsgi_end_reasons[i],
                                                 number(r->pool, (apr_int64_t)g->ends[i])};

            put_row(r, &reasons, 0, cells);
            any = 1;
        }
    close_list(r, &reasons, any);
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
    static const char *const heads[] =
        {"Application group", "Busy threads", "Requests", "2xx", "3xx", "4xx", "5xx", ESTIMATES};
    static const table applications = TABLE("Application groups", "applications", heads);

    open_table(r, &applications);
    for (int i = 0; i < e->applications->nelts; i++) {
        const wsgi_status_application *a =
            &APR_ARRAY_IDX(e->applications, i, wsgi_status_application);
        const char *cells[COLUMNS(heads)] = {
            escaped(r, a->name),
            number(r->pool, a->busy),
            number(r->pool, (apr_int64_t)a->requests),
            number(r->pool, (apr_int64_t)a->statuses[2]),
            number(r->pool, (apr_int64_t)a->statuses[3]),
            number(r->pool, (apr_int64_t)a->statuses[4]),
            number(r->pool, (apr_int64_t)a->statuses[5]),
        };

        for (int estimate = 0; estimate < WSGI_ESTIMATES; estimate++)
            cells[COLUMNS(heads) - WSGI_ESTIMATES + estimate] =
                seconds(r->pool, wsgi_status_estimate(&a->time, estimate));
        put_row(r, &applications, 0, cells);
    }
    close_list(r, &applications, e->applications->nelts);
}

static void put_embedded_running(request_rec *r, const wsgi_status_embedded *e)
{
    static const char *const heads[] = {"Request", "Runs for", "Phase", "Application group",
                                        "Process"};
    static const table requests = TABLE("Requests now", "requests", heads);

    open_table(r, &requests);
    for (int i = 0; i < e->running->nelts; i++) {
        const wsgi_status_request *q = &APR_ARRAY_IDX(e->running, i, wsgi_status_request);
        const char *cells[COLUMNS(heads)] = {
            what(r, q),
            seconds(r->pool, q->age_us),
            q->phase,
            escaped(r, q->application),
            number(r->pool, q->worker),
        };

        put_row(r, &requests, q->is_slow, cells);
    }
    close_list(r, &requests, e->running->nelts);
}

static void put_processes(request_rec *r, const wsgi_status_embedded *e)
{
    static const char *const heads[] = {"Pid", "Python", "Busy threads", "Memory", "CPU"};
    static const table processes = TABLE("Apache's processes with Python", "processes", heads);

    open_table(r, &processes);
    for (int i = 0; i < e->processes->nelts; i++) {
        const wsgi_status_process *process = &APR_ARRAY_IDX(e->processes, i, wsgi_status_process);
        const char *cells[COLUMNS(heads)] = {
            number(r->pool, process->pid),     escaped(r, process->python),
            number(r->pool, process->busy),    megabytes(r->pool, process->resident_bytes),
            seconds(r->pool, process->cpu_us),
        };

        put_row(r, &processes, 0, cells);
    }
    close_list(r, &processes, e->processes->nelts);
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

/* What it may do is said by a number that nobody can guess; "" when there is none, and then it has
 * neither style nor script. */
static const char *set_policy(request_rec *r)
{
    unsigned char bytes[18];
    char *nonce = apr_palloc(r->pool, (apr_size_t)apr_base64_encode_len(sizeof(bytes)));

    if (apr_generate_random_bytes(bytes, sizeof(bytes)) != APR_SUCCESS)
        return "";
    apr_base64_encode(nonce, (const char *)bytes, sizeof(bytes));
    apr_table_setn(
        r->headers_out, "Content-Security-Policy",
        apr_pstrcat(
            r->pool, "default-src 'none'; style-src 'nonce-", nonce, "'; script-src 'nonce-", nonce,
            "'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            NULL));
    return nonce;
}

void wsgi_status_html(request_rec *r, const wsgi_status *status)
{
    const apr_array_header_t *groups = status->groups;
    static const char head[] =
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>WSGI "
        "status of ";
    static const char links[] =
        "</span> <a href=\"?format=json\">JSON</a> <a href=\"?format=openmetrics\">OpenMetrics</a>"
        " <span id=\"live\"></span></p>\n</header>\n<main>\n";
    const char *nonce = set_policy(r), *host = escaped(r, ap_get_server_name(r));
    char date[APR_CTIME_LEN];

    apr_ctime(date, apr_time_now());
    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_rvputs(r, head, host, "</title>\n<style nonce=\"", nonce, "\">\n", wsgi_status_style,
              "</style>\n</head>\n<body>\n<header>\n<h1>WSGI status of ", host,
              "</h1>\n<p>httpd-wsgi " WSGI_VERSION " <span id=\"time\">", date, links, NULL);
    for (int i = 0; i < groups->nelts; i++)
        put_group(r, &APR_ARRAY_IDX(groups, i, wsgi_status_group));
    if (!groups->nelts)
        ap_rputs("<p>The configuration defines no daemon group (WSGIDaemonProcess).</p>\n", r);
    if (status->embedded)
        put_embedded(r, status->embedded);
    ap_rvputs(r, "</main>\n<script nonce=\"", nonce, "\">\n", wsgi_status_script,
              "</script>\n</body>\n</html>\n", NULL);
}
