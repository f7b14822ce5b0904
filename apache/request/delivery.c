#include "request/delivery.h"

#include "request/client_socket.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>

APLOG_USE_MODULE(wsgi);

/* Set when the log says why. "marked": the connection is called aborted while the request is
 * logged. */
static const char lost_note[] = "httpd-wsgi-lost";

void wsgi_delivery_cut_off(request_rec *r)
{
    apr_table_setn(r->notes, lost_note, "1");
}

/* Returns 1 when the client has closed or reset its connection, 0 when not, -1 when there is no
 * socket that could be asked. */
static int has_left(conn_rec *c)
{
    int fd = wsgi_client_socket(c);

    return fd < 0 ? -1 : wsgi_has_hung_up(fd);
}

static void log_timeout(request_rec *r, const wsgi_group *g)
{
    apr_interval_time_t limit = g ? wsgi_group_client_timeout(g, r->server) : r->server->timeout;
    const char *seconds = wsgi_group_seconds(limit, r->pool),
               *setting = apr_psprintf(r->pool, "Timeout %s", seconds);

    if (g && (g->response_socket_timeout > 0 || g->socket_timeout > 0))
        setting =
            apr_psprintf(r->pool, "%ssocket-timeout=%s of %s",
                         g->response_socket_timeout > 0 ? "response-" : "", seconds, g->where);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  "WSGI0316: the client took nothing of the response for %s s (%s); the rest is "
                  "discarded and the connection is closed",
                  seconds, setting);
}

void wsgi_delivery_lost(request_rec *r, apr_status_t rv, const wsgi_group *g)
{
    if (apr_table_get(r->notes, lost_note))
        return;
    apr_table_setn(r->notes, lost_note, "1");
    if (APR_STATUS_IS_TIMEUP(rv) || has_left(r->connection) == 0)
        log_timeout(r, g);
    else
        ap_log_rerror(
            APLOG_MARK, APLOG_INFO, rv, r,
            "WSGI0304: the client closed the connection before it had the whole response");
}

/* httpd logs a request when its response is written, which may be after the handler has ended, or
 * when the connection ends before that. A connection that is being closed may also have got all of
 * it; the client has taken nothing for a whole Timeout only when at least that time has passed.
 * Returns 1 when the connection has ended before the response was written, else 0. */
static int is_unwritten(const request_rec *r)
{
    const conn_rec *c = r->connection;
    int is_closing =
        !c->master && c->cs &&
        (c->cs->state == CONN_STATE_LINGER || c->cs->state == CONN_STATE_LINGER_NORMAL ||
         c->cs->state == CONN_STATE_LINGER_SHORT);

    return c->aborted || (is_closing && apr_time_now() - r->request_time >= r->server->timeout);
}

static int before_log(request_rec *r)
{
    conn_rec *c = r->connection;

    if (is_unwritten(r) && apr_table_get(r->notes, "wsgi.worker"))
        wsgi_delivery_lost(r, !c->aborted && has_left(c) < 1 ? APR_TIMEUP : APR_SUCCESS, NULL);
    if (!c->aborted && apr_table_get(r->notes, lost_note)) {
        c->aborted = 1;
        apr_table_setn(r->notes, lost_note, "marked");
    }
    return DECLINED;
}

static int after_log(request_rec *r)
{
    const char *note = apr_table_get(r->notes, lost_note);

    if (note && !strcmp(note, "marked"))
        r->connection->aborted = 0;
    return DECLINED;
}

void wsgi_delivery_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_log_transaction(before_log, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_log_transaction(after_log, NULL, NULL, APR_HOOK_REALLY_LAST);
}
