#include "check/check.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

typedef struct remark {
    int level;
    const char *text;
} remark;

/* ---- noting ---- */

static apr_array_header_t *kept(apr_pool_t *pconf, const char *key, int size)
{
    apr_array_header_t *list = NULL;

    apr_pool_userdata_get((void **)&list, key, pconf);
    if (!list) {
        list = apr_array_make(pconf, 16, size);
        apr_pool_userdata_setn(list, key, NULL, pconf);
    }
    return list;
}

static apr_array_header_t *uses_of(apr_pool_t *pconf)
{
    return kept(pconf, "httpd-wsgi:uses", sizeof(wsgi_use));
}

static apr_array_header_t *remarks_of(apr_pool_t *pconf)
{
    return kept(pconf, "httpd-wsgi:remarks", sizeof(remark));
}

static int is_htaccess(const cmd_parms *cmd)
{
    return cmd->pool == cmd->temp_pool;
}

void wsgi_check_note(cmd_parms *cmd, const char *process_group, const char *script, int serves_requests)
{
    wsgi_use *use;

    if (is_htaccess(cmd))
        return;
    use = apr_array_push(uses_of(cmd->pool));
    use->directive = cmd->cmd->name;
    use->where = wsgi_where(cmd);
    use->server = cmd->server;
    use->process_group = process_group;
    use->script = script && !wsgi_is_module(script) && !strchr(script, '$') ? script : NULL;
    use->serves_requests = serves_requests;
}

static void add_remark(cmd_parms *cmd, int level, const char *text)
{
    if (!is_htaccess(cmd)) /* it would be said with every request */
        *(remark *)apr_array_push(remarks_of(cmd->pool)) = (remark){level, text};
}

void wsgi_check_note_obsolete(cmd_parms *cmd, const char *why)
{
    add_remark(cmd, APLOG_NOTICE, apr_psprintf(cmd->pool, "WSGI0221: %s: %s has no effect and can be removed: %s", wsgi_where(cmd),
                                               cmd->cmd->name, why));
}

void wsgi_check_note_name(cmd_parms *cmd, const char *value)
{
    static const char *const known[] = {"%{GLOBAL}", "%{SERVER}", "%{HOST}", "%{RESOURCE}", NULL};
    apr_size_t len = strlen(value);
    const char *near;

    for (int i = 0; known[i]; i++)
        if (!strcmp(value, known[i]))
            return;
    if (*value != '%' || (!strncmp(value, "%{ENV:", 6) && len > 7 && value[len - 1] == '}'))
        return;
    near = wsgi_nearest(cmd->pool, value, known);
    add_remark(cmd, APLOG_WARNING, apr_psprintf(cmd->pool, "WSGI0293: %s: %s: %s is none of %%{GLOBAL}, %%{SERVER}, %%{HOST}, "
                                                "%%{RESOURCE} and %%{ENV:variable}%s%s; it is taken as it is written",
                                                wsgi_where(cmd), cmd->cmd->name, value, near ? ", did you mean " : "",
                                                near ? near : ""));
}

/* ---- groups ---- */

static const wsgi_group *find(const apr_array_header_t *groups, const char *name)
{
    for (int i = 0; i < groups->nelts; i++)
        if (!strcmp(APR_ARRAY_IDX(groups, i, const wsgi_group *)->name, name))
            return APR_ARRAY_IDX(groups, i, const wsgi_group *);
    return NULL;
}

const char *wsgi_check_nearest_group(apr_pool_t *p, const apr_array_header_t *groups, const char *name)
{
    const char **names = apr_pcalloc(p, ((apr_size_t)groups->nelts + 1) * sizeof(*names));

    for (int i = 0; i < groups->nelts; i++)
        names[i] = APR_ARRAY_IDX(groups, i, const wsgi_group *)->name;
    return wsgi_nearest(p, name, names);
}

static int is_dynamic(const wsgi_use *use)
{
    return use->process_group && *use->process_group == '%';
}

static void check_group_of(apr_pool_t *p, const wsgi_use *use, const apr_array_header_t *groups)
{
    const server_rec *s = wsgi_check_log(use->server);
    const char *name = use->process_group, *near;
    const wsgi_group *g;

    if (!name || !*name || is_dynamic(use))
        return;
    g = find(groups, name);
    if (!g) {
        near = wsgi_check_nearest_group(p, groups, name);
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "WSGI0285: %s: %s names the daemon group '%s', which is not defined%s%s; "
                     "define it with WSGIDaemonProcess %s%s", use->where, use->directive, name, near ? ", did you mean " : "",
                     near ? near : "", name, use->serves_requests ? "; requests get 500 until then" : "");
    } else if (use->server->is_virtual && !wsgi_group_is_visible(g, use->server)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "WSGI0286: %s: %s names the daemon group '%s', which %s defines for "
                     "another virtual host; define it outside of <VirtualHost> to share it%s", use->where, use->directive, name,
                     g->where, use->serves_requests ? "; requests get 500 until then" : "");
    } else if (g->threads == 0 && use->serves_requests) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "WSGI0288: %s: %s sends requests to the daemon group '%s', but that is a "
                     "service (threads=0 in %s); requests get 500; give it threads or name another group", use->where,
                     use->directive, name, g->where);
    }
}

static int is_used(const wsgi_group *g, const apr_array_header_t *uses)
{
    for (int i = 0; i < uses->nelts; i++) {
        const wsgi_use *use = &APR_ARRAY_IDX(uses, i, wsgi_use);

        /* A name made at run time may be this one. */
        if (use->process_group && (!strcmp(use->process_group, g->name) || is_dynamic(use)))
            return 1;
    }
    return 0;
}

static void check_group(const wsgi_group *g, const apr_array_header_t *uses)
{
    const server_rec *s = wsgi_check_log(g->server);

    if (!is_used(g, uses))
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, "WSGI0287: %s: nothing uses the daemon group '%s'; its processes run all the "
                     "same; send requests there with process-group=%s or WSGIProcessGroup", g->where, g->name, g->name);
    if (geteuid() != 0 && g->user.name && g->user.id != geteuid() && ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_CONFIG_TEST)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, "WSGI0289: %s: user=%s of daemon group '%s' has no effect, because Apache "
                     "was not started by root; its processes run as uid %d", g->where, g->user.name, g->name, (int)geteuid());
}

/* ---- what can never work ---- */

/* OK, or not, with the reason logged. */
static int check_chroot_of(const wsgi_use *use, const apr_array_header_t *groups)
{
    const wsgi_group *g = use->script && use->process_group ? find(groups, use->process_group) : NULL;

    if (!g || wsgi_group_inside(g, use->script))
        return OK;
    ap_log_error(APLOG_MARK, APLOG_CRIT, 0, wsgi_check_log(use->server),
                 "WSGI0291: %s: %s: %s lies outside of chroot=%s of daemon group '%s' (%s); put it there", use->where,
                 use->directive, use->script, g->chroot, g->name, g->where);
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int check_errors(apr_pool_t *pconf)
{
    const apr_array_header_t *uses = uses_of(pconf), *groups = wsgi_groups_defined(pconf);
    int rc = OK;

    for (int i = 0; i < uses->nelts; i++)
        if (check_chroot_of(&APR_ARRAY_IDX(uses, i, wsgi_use), groups) != OK)
            rc = HTTP_INTERNAL_SERVER_ERROR;
    return rc;
}

/* ---- the report ---- */

const server_rec *wsgi_check_log(const server_rec *s)
{
    return ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST ? ap_server_conf : s;
}

static void report(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    const apr_array_header_t *uses = uses_of(pconf), *groups = wsgi_groups_defined(pconf), *remarks = remarks_of(pconf);

    for (int i = 0; i < remarks->nelts; i++) {
        const remark *rem = &APR_ARRAY_IDX(remarks, i, remark);

        ap_log_error(APLOG_MARK, rem->level, 0, s, "%s", rem->text);
    }
    for (int i = 0; i < uses->nelts; i++)
        check_group_of(ptemp, &APR_ARRAY_IDX(uses, i, wsgi_use), groups);
    for (int i = 0; i < groups->nelts; i++)
        check_group(APR_ARRAY_IDX(groups, i, const wsgi_group *), uses);
    wsgi_check_files(ptemp, s, uses, groups);
}

/* httpd reads the configuration twice when it starts. Only the second time are the logs open, and only then is something said. */
static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    if (check_errors(pconf) != OK)
        return HTTP_INTERNAL_SERVER_ERROR;
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST)
        report(pconf, ptemp, s);
    return OK;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG)
        report(pconf, ptemp, s);
    return OK;
}

void wsgi_check_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_FIRST); /* before the groups start */
}
