#include "auth.h"

#include "hook_call.h"

#include <ap_expr.h>
#include <ap_provider.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <mod_auth.h>

APLOG_USE_MODULE(wsgi);

/* ---- access ---- */

/* Says nothing under Satisfy Any, where a password may still let the client in. */
static void log_refused(request_rec *r, const wsgi_hook *hook)
{
    if (ap_satisfies(r) != SATISFY_ANY || !ap_some_auth_required(r))
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0232: access to %s is refused by allow_access() of %s (%s)",
                      r->filename ? r->filename : r->uri, hook->script, hook->where);
}

static int check_access(request_rec *r)
{
    wsgi_hook_call call = {.hook = wsgi_dir_of(r)->access_script, .kind = "access"};
    wsgi_verdict verdict;
    int rc;

    if (!call.hook)
        return DECLINED;
    if ((rc = wsgi_hook_call_run(&verdict, r, &call)) != OK)
        return wsgi_refuse(r, rc);
    switch (verdict.kind) {
    case WIRE_VERDICT_YES:
        return OK;
    case WIRE_VERDICT_UNKNOWN:
        return DECLINED;
    case WIRE_VERDICT_NO:
        log_refused(r, call.hook);
        return wsgi_refuse(r, HTTP_FORBIDDEN);
    default:
        return wsgi_refuse(r, HTTP_FORBIDDEN);
    }
}

/* ---- users ---- */

static int has_user_script(request_rec *r)
{
    if (wsgi_dir_of(r)->auth_user_script)
        return 1;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "WSGI0233: the authentication provider wsgi is chosen for %s, but there is no "
                  "WSGIAuthUserScript for it to ask; add one "
                  "to the same section",
                  r->uri);
    return 0;
}

static authn_status check_password(request_rec *r, const char *user, const char *password)
{
    wsgi_hook_call call = {.hook = wsgi_dir_of(r)->auth_user_script,
                           .kind = "password",
                           .user = user,
                           .argument = password};
    wsgi_verdict verdict;

    if (!has_user_script(r) || wsgi_hook_call_run(&verdict, r, &call) != OK)
        return AUTH_GENERAL_ERROR;
    switch (verdict.kind) {
    case WIRE_VERDICT_TEXT:
        r->user = (char *)verdict.text; /* the name that Require, REMOTE_USER and the logs go by */
        return AUTH_GRANTED;
    case WIRE_VERDICT_YES:
        return AUTH_GRANTED;
    case WIRE_VERDICT_NO:
        return AUTH_DENIED;
    case WIRE_VERDICT_UNKNOWN:
        return AUTH_USER_NOT_FOUND;
    default:
        return AUTH_GENERAL_ERROR;
    }
}

static authn_status get_realm_hash(request_rec *r, const char *user, const char *realm, char **hash)
{
    wsgi_hook_call call = {.hook = wsgi_dir_of(r)->auth_user_script,
                           .kind = "digest",
                           .user = user,
                           .argument = realm};
    wsgi_verdict verdict;

    if (!has_user_script(r) || wsgi_hook_call_run(&verdict, r, &call) != OK)
        return AUTH_GENERAL_ERROR;
    if (verdict.kind == WIRE_VERDICT_UNKNOWN)
        return AUTH_USER_NOT_FOUND;
    if (verdict.kind != WIRE_VERDICT_TEXT)
        return AUTH_GENERAL_ERROR;
    *hash = (char *)verdict.text;
    return AUTH_USER_FOUND;
}

static const authn_provider user_provider = {check_password, get_realm_hash};

/* ---- groups ---- */

static const char *parse_groups(cmd_parms *cmd, const char *line, const void **parsed)
{
    const char *error = NULL;

    if (!*line)
        return "Require wsgi-group needs the name of at least one group";
    *parsed = ap_expr_parse_cmd(cmd, line, AP_EXPR_FLAG_STRING_RESULT, &error, NULL);
    return error ? apr_pstrcat(cmd->pool, "Require wsgi-group ", line, ": ", error, NULL) : NULL;
}

/* Returns the names in a Require line, one in each line of text, or NULL, with the reason logged,
 * when the expression cannot be evaluated. */
static const char *required_groups(request_rec *r, const void *parsed)
{
    const char *error = NULL, *line = ap_expr_str_exec(r, parsed, &error), *names = NULL;

    if (error) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0234: the groups of Require wsgi-group are not known: %s", error);
        return NULL;
    }
    while (*line) {
        const char *name = ap_getword_conf(r->pool, &line);

        if (*name)
            names = names ? apr_pstrcat(r->pool, names, "\n", name, NULL) : name;
    }
    return names ? names : "";
}

/* A script that fails is an error, not a refusal, which <RequireNone> would turn into an approval.
 */
static authz_status check_groups(request_rec *r, const char *line, const void *parsed)
{
    wsgi_hook_call call = {.hook = wsgi_dir_of(r)->auth_group_script,
                           .kind = "groups",
                           .user = r->user};
    wsgi_verdict verdict;

    if (!r->user)
        return AUTHZ_DENIED_NO_USER; /* httpd authenticates and asks again */
    if (!call.hook) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0235: %s has \"Require wsgi-group %s\", but no WSGIAuthGroupScript that "
                      "knows the groups of a user; add one to "
                      "the same section",
                      r->uri, line);
        return AUTHZ_GENERAL_ERROR;
    }
    if (!(call.argument = required_groups(r, parsed)) ||
        wsgi_hook_call_run(&verdict, r, &call) != OK)
        return AUTHZ_GENERAL_ERROR;
    switch (verdict.kind) {
    case WIRE_VERDICT_YES:
        return AUTHZ_GRANTED;
    case WIRE_VERDICT_NO:
        return AUTHZ_DENIED;
    default:
        return AUTHZ_GENERAL_ERROR;
    }
}

static const authz_provider group_provider = {check_groups, parse_groups};

void wsgi_auth_register_hooks(apr_pool_t *p)
{
    static const char *const before[] = {"mod_ssl.c", NULL};
    static const char *const after[] = {"mod_authz_host.c", NULL};

    ap_hook_check_access(check_access, before, after, APR_HOOK_MIDDLE, AP_AUTH_INTERNAL_PER_CONF);
    ap_register_auth_provider(p, AUTHN_PROVIDER_GROUP, "wsgi", AUTHN_PROVIDER_VERSION,
                              &user_provider, AP_AUTH_INTERNAL_PER_CONF);
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "wsgi-group", AUTHZ_PROVIDER_VERSION,
                              &group_provider, AP_AUTH_INTERNAL_PER_CONF);
}
