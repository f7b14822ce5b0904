#include "config/ownership.h"

#include <apr_strings.h>
#include <http_log.h>

APLOG_USE_MODULE(wsgi);

static const char *kind(const wsgi_group *g)
{
    return g->script_user.name ? "user" : "group";
}

/* Returns NULL, or what is wrong with the script or its directory. Users who may write to the
 * directory can replace the script. */
static const char *find_fault(apr_pool_t *p, const char *path, const wsgi_group *g)
{
    int by_user = g->script_user.name != NULL;
    const wsgi_identity *who = by_user ? &g->script_user : &g->script_group;
    apr_fileperms_t forbidden = APR_FPROT_WWRITE | (by_user ? APR_FPROT_GWRITE : 0);
    apr_finfo_t info;
    apr_uint32_t owner;
    char reason[200];
    apr_status_t rv = apr_stat(&info, path, APR_FINFO_OWNER | APR_FINFO_PROT, p);

    if (rv != APR_SUCCESS)
        return apr_psprintf(p, "%s cannot be examined (%s)", path,
                            apr_strerror(rv, reason, sizeof(reason)));
    owner = by_user ? (apr_uint32_t)info.user : (apr_uint32_t)info.group;
    if (owner != who->id)
        return apr_psprintf(p, "%s belongs to %s %u; run \"%s %s %s\" if it is trusted", path,
                            by_user ? "uid" : "gid", owner, by_user ? "chown" : "chgrp", who->name,
                            path);
    if (info.protection & forbidden)
        return apr_psprintf(p, "%s may be written to by others; run \"chmod %s-w %s\"", path,
                            by_user ? "go" : "o", path);
    return NULL;
}

const char *wsgi_ownership_fault(apr_pool_t *p, const wsgi_group *g, const char *script)
{
    const char *fault;

    if (!g->script_user.name && !g->script_group.name)
        return NULL;
    if (wsgi_is_module(script))
        fault = "a module's file is not known to Apache; name the file instead";
    else if (!(fault = find_fault(p, script, g)))
        fault = find_fault(p, ap_make_dirstr_parent(p, script), g);
    return fault ? apr_psprintf(p,
                                "with script-%s=%s the file and its directory must belong to that "
                                "%s, but %s",
                                kind(g),
                                g->script_user.name ? g->script_user.name : g->script_group.name,
                                kind(g), fault)
                 : NULL;
}

int wsgi_ownership_check(request_rec *r, const wsgi_group *g, const char *script)
{
    const char *fault = wsgi_ownership_fault(r->pool, g, script);

    if (!fault)
        return OK;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "WSGI0224: daemon group %s (%s) does not run %s: %s",
                  g->name, g->where, script, fault);
    return HTTP_FORBIDDEN;
}
