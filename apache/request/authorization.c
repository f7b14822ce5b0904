#include "request/authorization.h"

#include "request/log.h"

#include <http_core.h>
#include <http_log.h>
#include <http_request.h>

APLOG_USE_MODULE(wsgi);

static const char hidden_note[] = "httpd-wsgi-authorization-hidden"; /* its value says why */

/* Returns 1 when Apache authenticates this request, or has authenticated the one that led to it by
 * an internal redirect or a page that includes this one; else 0. */
static int is_authenticated(const request_rec *r)
{
    for (; r; r = r->prev ? r->prev : r->main)
        if (r->user || ap_auth_type((request_rec *)r))
            return 1;
    return 0;
}

/* Returns the setting that hides the header, or NULL. */
static const char *hidden_by(request_rec *r, const wsgi_target *t)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);

    if (t->pass_authorization == 1 || core->cgi_pass_auth == AP_CGI_PASS_AUTH_ON)
        return NULL;
    if (t->pass_authorization == 0)
        return "WSGIPassAuthorization is Off here";
    if (core->cgi_pass_auth == AP_CGI_PASS_AUTH_OFF)
        return "CGIPassAuth is Off here";
    return is_authenticated(r) ? "Apache itself authenticates here (AuthType)" : NULL;
}

int wsgi_authorization_passes(request_rec *r, const wsgi_target *t)
{
    const char *why = hidden_by(r, t);

    if (why)
        apr_table_setn(r->notes, hidden_note, why);
    return !why;
}

void wsgi_authorization_hint(request_rec *r)
{
    const char *why = apr_table_get(r->notes, hidden_note);

    if (why && wsgi_log_is_first(r->server, hidden_note))
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "WSGI0270: the application answers 401 and was not shown the client's "
                      "Authorization header: %s; if the "
                      "application checks passwords or tokens itself, add \"WSGIPassAuthorization "
                      "On\" (said once per process)",
                      why);
}
