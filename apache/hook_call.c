#include "hook_call.h"

#include "config/group.h"
#include "config/hooks.h"
#include "config/names.h"
#include "daemon/client.h"
#include "embedded/embed.h"
#include "request/block_builder.h"
#include "request/outcome.h"
#include "request/child.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>

APLOG_USE_MODULE(wsgi);

/* Expands the name of a hook's group or interpreter. It may depend on the server, but not on the
 * URL. */
static const char *expand(request_rec *r, const char *name)
{
    return strcmp(name, "%{RESOURCE}") ? wsgi_expand(r->pool, name, r->server, r->hostname, "")
                                       : name;
}

static void open_target(wsgi_target *t, request_rec *r, const wsgi_hook *hook)
{
    memset(t, 0, sizeof(*t));
    t->script = hook->script;
    t->process_group = expand(r, hook->process_group);
    t->application_group = expand(r, hook->application_group);
    t->script_reloading = wsgi_dir_of(r)->script_reloading != 0;
    t->foreign = hook->is_htaccess ? hook->where : NULL;
}

/* What is logged meanwhile belongs to the hook's script, afterwards to the request's own again. */
static int call_script(wsgi_verdict *verdict, request_rec *r, const wsgi_hook_call *call)
{
    const char *script = apr_table_get(r->notes, WSGI_SCRIPT_NOTE), *block;
    wsgi_target t;
    size_t len;
    int rc;

    open_target(&t, r, call->hook);
    if ((rc = wsgi_target_admit(&t, r)) == OK &&
        (rc = wsgi_block_build_hook_call(&block, &len, r, &t, call)) == OK)
        rc = t.group ? wsgi_client_call_hook(verdict, r, &t, block, len)
                     : wsgi_embed_call_hook(verdict, r, block, len);
    if (script)
        apr_table_setn(r->notes, WSGI_SCRIPT_NOTE, script);
    else
        apr_table_unset(r->notes, WSGI_SCRIPT_NOTE);
    return rc;
}

int wsgi_hook_call_run(wsgi_verdict *verdict, request_rec *r, const wsgi_hook_call *call)
{
    int rc;

    WSGI_ASSERT_CHILD();
    memset(verdict, 0, sizeof(*verdict));
    rc = call_script(verdict, r, call);
    if (rc != OK)
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "WSGI0231: %s %s (%s) could not be asked, as an earlier record says; %s gets status %d",
            call->hook->directive, call->hook->script, call->hook->where, r->uri, rc);
    return rc;
}

/* ---- the configuration ---- */

/* Returns NULL when the hook's daemon group can serve it or is only known with a request, else what
 * is wrong with the group. */
static const char *group_problem(const wsgi_hook *hook, const apr_array_header_t *groups)
{
    wsgi_group *g;

    if (!*hook->process_group || *hook->process_group == '%')
        return NULL;
    switch (wsgi_group_choose(&g, groups, hook->process_group, hook->server)) {
    case WSGI_GROUP_MISSING:
        return "does not exist; define it with WSGIDaemonProcess";
    case WSGI_GROUP_FOREIGN:
        return "belongs to another virtual host; define it outside of <VirtualHost> to share it";
    case WSGI_GROUP_SERVICE:
        return "has threads=0 and answers no questions; give it threads";
    case WSGI_GROUP_SERVES:
    default:
        return NULL;
    }
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    const apr_array_header_t *hooks = wsgi_hooks_defined(pconf),
                             *groups = wsgi_groups_defined(pconf);

    (void)plog;
    (void)ptemp;
    for (int i = 0; i < hooks->nelts; i++) {
        const wsgi_hook *hook = APR_ARRAY_IDX(hooks, i, const wsgi_hook *);
        const char *problem = group_problem(hook, groups);

        if (problem) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                         "WSGI0230: %s: %s %s is to run in the daemon group '%s', which %s",
                         hook->where, hook->directive, hook->script, hook->process_group, problem);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

void wsgi_hook_call_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
}
