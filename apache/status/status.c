/* status.c - `SetHandler wsgi-status`: chooses the format that the client wants. The configuration
 * decides which clients may see it, as with server-status. */
#include "status/status.h"

#include "config/config.h"
#include "config/names.h"
#include "status/status_embedded.h"
#include "status/status_formats.h"
#include "status/status_read.h"
#include "status/status_rows.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <stdlib.h>

APLOG_USE_MODULE(wsgi);

enum format { FORMAT_HTML, FORMAT_JSON, FORMAT_OPENMETRICS, FORMAT_TEXT, FORMATS, FORMAT_UNKNOWN };

static const struct {
    const char *name, *type;
} formats[FORMATS] = {
    [FORMAT_HTML] = {"html", "text/html"},
    [FORMAT_JSON] = {"json", "application/json"},
    [FORMAT_OPENMETRICS] = {"openmetrics", "application/openmetrics-text"},
    [FORMAT_TEXT] = {"prometheus", "text/plain"},
};

/* Returns the value of `;q=` among the parameters of a media range; 1 without it. */
static double quality_of(const char *parameters)
{
    for (const char *at = parameters; (at = strchr(at, ';'));) {
        at++;
        while (apr_isspace(*at))
            at++;
        if ((*at == 'q' || *at == 'Q') && at[1] == '=')
            return atof(at + 2);
    }
    return 1;
}

/* Returns the format that the client likes best; wildcards mean the page. */
static enum format accepted(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");
    enum format best = FORMAT_HTML;
    double best_quality = 0;

    while (accept && *accept) {
        char *range = ap_getword(r->pool, &accept, ',');
        char *type = range + strspn(range, " \t");
        double quality = quality_of(range);

        type[strcspn(type, "; \t")] = '\0';
        for (int i = 0; i < FORMATS; i++)
            if (!ap_cstr_casecmp(type, formats[i].type) && quality > best_quality) {
                best = (enum format)i;
                best_quality = quality;
            }
    }
    return best;
}

static enum format asked_for(request_rec *r)
{
    const char *args = r->args;

    while (args && *args) {
        const char *pair = ap_getword(r->pool, &args, '&');

        if (strncmp(pair, "format=", 7))
            continue;
        for (int i = 0; i < FORMATS; i++)
            if (!strcmp(pair + 7, formats[i].name))
                return (enum format)i;
        return FORMAT_UNKNOWN;
    }
    return accepted(r);
}

static int say_unknown(request_rec *r)
{
    r->status = HTTP_BAD_REQUEST;
    ap_set_content_type(r, "text/plain; charset=utf-8");
    ap_rputs("format= is one of html, json, openmetrics, prometheus; for example ?format=json\n",
             r);
    return OK;
}

static int handle(request_rec *r)
{
    enum format format;
    wsgi_status status;

    if (!r->handler || strcmp(r->handler, WSGI_STATUS_HANDLER_NAME))
        return DECLINED;
    if (wsgi_dir_of(r)->shows_status != 1) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0252: the status is not shown at %s: only SetHandler wsgi-status in the "
                      "server's own configuration switches it on, not a .htaccess file, AddHandler "
                      "or RewriteRule",
                      r->uri);
        return HTTP_FORBIDDEN;
    }
    r->allowed = AP_METHOD_BIT << M_GET;
    if (r->method_number != M_GET)
        return HTTP_METHOD_NOT_ALLOWED;
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_mergen(r->headers_out, "Vary", "Accept");
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    format = asked_for(r);
    if (format == FORMAT_UNKNOWN)
        return say_unknown(r);
    status = (wsgi_status){
        wsgi_status_read(r->pool, format == FORMAT_HTML || format == FORMAT_JSON
                                      ? WSGI_STATUS_LINES
                                      : WSGI_STATUS_NO_LINES),
        wsgi_status_embedded_read(r->pool),
    };
    if (format == FORMAT_JSON)
        wsgi_status_json(r, &status);
    else if (format == FORMAT_HTML)
        wsgi_status_html(r, &status);
    else
        wsgi_status_metrics(r, &status, format == FORMAT_OPENMETRICS);
    return OK;
}

void wsgi_status_register_hooks(apr_pool_t *p)
{
    ap_hook_handler(handle, NULL, NULL, APR_HOOK_MIDDLE);
    wsgi_status_register_rows(p);
}
