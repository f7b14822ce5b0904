/* status_rows.c - daemon groups in mod_status's page, when that module is loaded. */
#include "status.h"

#include <apr_optional_hooks.h>
#include <http_protocol.h>
#include <mod_status.h>

/* `?auto`: one number a line. */
static void put_lines(request_rec *r, const wsgi_status_group *g, int number)
{
    ap_rprintf(r, "WSGIGroup[%d]Name: %s\n", number, g->group->name);
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
    ap_rprintf(r, "<tr><td>%s</td><td>%s%s</td><td>%d</td><td>%d of %d</td><td>", ap_escape_html(r->pool, g->group->name),
               wsgi_board_state_name(g->state), g->is_stale ? ", stale" : "", g->workers_in[WIRE_WORKER_SERVING], g->busy,
               g->threads);
    if (g->queue_len >= 0)
        ap_rprintf(r, "%d of %d", g->queue_len, g->queue_max);
    ap_rprintf(r, "</td><td>%" APR_UINT64_T_FMT "</td><td>%" APR_UINT64_T_FMT "</td></tr>\n", g->requests, g->statuses[5]);
}

static int status_hook(request_rec *r, int flags)
{
    const apr_array_header_t *groups = wsgi_status_read(r->pool);

    if (!groups->nelts)
        return DECLINED;
    if (!(flags & AP_STATUS_SHORT))
        ap_rputs("<hr />\n<h2>WSGI daemon groups</h2>\n<table border=\"0\"><tr><th>Group</th><th>State</th><th>Workers</th>"
                 "<th>Busy threads</th><th>Queue</th><th>Requests</th><th>Server errors</th></tr>\n", r);
    for (int i = 0; i < groups->nelts; i++) {
        const wsgi_status_group *g = &APR_ARRAY_IDX(groups, i, wsgi_status_group);

        if (flags & AP_STATUS_SHORT)
            put_lines(r, g, i);
        else
            put_row(r, g);
    }
    if (!(flags & AP_STATUS_SHORT))
        ap_rputs("</table>\n", r);
    return OK;
}

void wsgi_status_register_rows(apr_pool_t *p)
{
    (void)p;
    APR_OPTIONAL_HOOK(ap, status_hook, status_hook, NULL, NULL, APR_HOOK_MIDDLE);
}
