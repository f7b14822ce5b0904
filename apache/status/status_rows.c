/* status_rows.c - daemon groups and embedded mode in mod_status's page, when that module is loaded.
 */
#include "status/status_rows.h"

#include "status/status_embedded.h"
#include "status/status_read.h"

#include <apr_optional_hooks.h>
#include <http_protocol.h>
#include <mod_status.h>

/* ---- daemon groups ---- */

/* `?auto`: one number a line. */
static void put_lines(request_rec *r, const wsgi_status_group *g, int number)
{
    ap_rprintf(r, "WSGIGroup[%d]Name: %s\n", number, ap_escape_logitem(r->pool, g->group->name));
    ap_rprintf(r, "WSGIGroup[%d]State: %s\n", number, wsgi_board_state_name(g->state));
    ap_rprintf(r, "WSGIGroup[%d]Stale: %d\n", number, g->is_stale);
    ap_rprintf(r, "WSGIGroup[%d]Workers: %d\n", number, g->workers_in[WIRE_WORKER_SERVING]);
    ap_rprintf(r, "WSGIGroup[%d]BusyThreads: %d\n", number, g->busy);
    ap_rprintf(r, "WSGIGroup[%d]IdleThreads: %d\n", number, g->threads - g->busy);
    if (g->queue_len >= 0)
        ap_rprintf(r, "WSGIGroup[%d]QueueLength: %d\n", number, g->queue_len);
    ap_rprintf(r, "WSGIGroup[%d]Requests: %" APR_UINT64_T_FMT "\n", number, g->requests);
    ap_rprintf(r, "WSGIGroup[%d]ServerErrors: %" APR_UINT64_T_FMT "\n", number, g->statuses[5]);
}

static void put_row(request_rec *r, const wsgi_status_group *g)
{
    ap_rprintf(r, "<tr><td>%s</td><td>%s%s</td><td>%d</td><td>%d of %d</td><td>",
               ap_escape_html(r->pool, g->group->name), wsgi_board_state_name(g->state),
               g->is_stale ? ", stale" : "", g->workers_in[WIRE_WORKER_SERVING], g->busy,
               g->threads);
    if (g->queue_len >= 0)
        ap_rprintf(r, "%d of %d", g->queue_len, g->queue_max);
    ap_rprintf(r, "</td><td>%" APR_UINT64_T_FMT "</td><td>%" APR_UINT64_T_FMT "</td></tr>\n",
               g->requests, g->statuses[5]);
}

static void put_groups(request_rec *r, const apr_array_header_t *groups, int is_auto)
{
    if (!is_auto)
        ap_rputs(
            "<hr />\n<h2>WSGI daemon groups</h2>\n<table "
            "border=\"0\"><tr><th>Group</th><th>State</th><th>Workers</th>"
            "<th>Busy threads</th><th>Queue</th><th>Requests</th><th>Server errors</th></tr>\n",
            r);
    for (int i = 0; i < groups->nelts; i++)
        if (is_auto)
            put_lines(r, &APR_ARRAY_IDX(groups, i, wsgi_status_group), i);
        else
            put_row(r, &APR_ARRAY_IDX(groups, i, wsgi_status_group));
    if (!is_auto)
        ap_rputs("</table>\n", r);
}

/* ---- embedded mode ---- */

static void put_application_lines(request_rec *r, const wsgi_status_application *a, int number)
{
    ap_rprintf(r, "WSGIEmbedded[%d]ApplicationGroup: %s\n", number,
               ap_escape_logitem(r->pool, a->name));
    ap_rprintf(r, "WSGIEmbedded[%d]BusyThreads: %d\n", number, a->busy);
    ap_rprintf(r, "WSGIEmbedded[%d]Requests: %" APR_UINT64_T_FMT "\n", number, a->requests);
    ap_rprintf(r, "WSGIEmbedded[%d]ServerErrors: %" APR_UINT64_T_FMT "\n", number, a->statuses[5]);
}

static void put_application_row(request_rec *r, const wsgi_status_application *a)
{
    ap_rprintf(r,
               "<tr><td>%s</td><td>%d</td><td>%" APR_UINT64_T_FMT "</td><td>%" APR_UINT64_T_FMT
               "</td></tr>\n",
               ap_escape_html(r->pool, a->name), a->busy, a->requests, a->statuses[5]);
}

static void put_embedded(request_rec *r, const wsgi_status_embedded *e, int is_auto)
{
    if (is_auto)
        ap_rprintf(r, "WSGIEmbeddedProcesses: %d\n", e->processes->nelts);
    else
        ap_rprintf(r,
                   "<hr />\n<h2>WSGI applications in Apache's processes</h2>\n<p>Python is loaded "
                   "in %d of them.</p>\n"
                   "<table border=\"0\"><tr><th>Application group</th><th>Busy "
                   "threads</th><th>Requests</th><th>Server errors</th></tr>\n",
                   e->processes->nelts);
    for (int i = 0; i < e->applications->nelts; i++)
        if (is_auto)
            put_application_lines(r, &APR_ARRAY_IDX(e->applications, i, wsgi_status_application),
                                  i);
        else
            put_application_row(r, &APR_ARRAY_IDX(e->applications, i, wsgi_status_application));
    if (!is_auto)
        ap_rputs("</table>\n", r);
}

static int status_hook(request_rec *r, int flags)
{
    const apr_array_header_t *groups = wsgi_status_read(r->pool, WSGI_STATUS_NO_LINES);
    const wsgi_status_embedded *embedded = wsgi_status_embedded_read(r->pool);
    int is_auto = (flags & AP_STATUS_SHORT) != 0;

    if (groups->nelts)
        put_groups(r, groups, is_auto);
    if (embedded)
        put_embedded(r, embedded, is_auto);
    return groups->nelts || embedded ? OK : DECLINED;
}

void wsgi_status_register_rows(apr_pool_t *p)
{
    (void)p;
    APR_OPTIONAL_HOOK(ap, status_hook, status_hook, NULL, NULL, APR_HOOK_MIDDLE);
}
