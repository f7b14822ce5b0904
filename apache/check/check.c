#include "check/check.h"

#include "check/check_access.h"
#include "check/check_files.h"
#include "config/group.h"
#include "config/uses.h"

#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

/* ---- groups ---- */

static int is_dynamic(const wsgi_use *use)
{
    return use->process_group && *use->process_group == '%';
}

static void check_group_of(apr_pool_t *p, const wsgi_use *use, const apr_array_header_t *groups)
{
    const server_rec *s = wsgi_uses_log(use->server);
    const char *name = use->process_group, *near;
    const char *outcome = use->serves_requests ? "; requests get 500 until then" : "";
    wsgi_group *g;

    if (!name || !*name || is_dynamic(use))
        return;
    switch (wsgi_group_choose(&g, groups, name, use->server->is_virtual ? use->server : NULL)) {
    case WSGI_GROUP_MISSING:
        near = wsgi_group_nearest(p, groups, name);
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "WSGI0285: %s: %s names the daemon group '%s', which is not defined%s%s; "
                     "define it with WSGIDaemonProcess %s%s",
                     use->where, use->directive, name, near ? ", did you mean " : "",
                     near ? near : "", name, outcome);
        break;
    case WSGI_GROUP_FOREIGN:
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "WSGI0286: %s: %s names the daemon group '%s', which %s defines for "
                     "another virtual host; define it outside of <VirtualHost> to share it%s",
                     use->where, use->directive, name, g->where, outcome);
        break;
    case WSGI_GROUP_SERVICE:
        if (use->serves_requests)
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                         "WSGI0288: %s: %s sends requests to the daemon group '%s', but that is a "
                         "service (threads=0 in %s); requests get 500; give it threads or name "
                         "another group",
                         use->where, use->directive, name, g->where);
        break;
    case WSGI_GROUP_SERVES:
        break;
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
    const server_rec *s = wsgi_uses_log(g->server);

    if (!is_used(g, uses))
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "WSGI0287: %s: nothing uses the daemon group '%s'; its processes run all the "
                     "same; send requests there with process-group=%s or WSGIProcessGroup",
                     g->where, g->name, g->name);
    if (geteuid() != 0 && g->user.name && g->user.id != geteuid() &&
        ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_CONFIG_TEST)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "WSGI0289: %s: user=%s of daemon group '%s' has no effect, because Apache "
                     "was not started by root; its processes run as uid %d",
                     g->where, g->user.name, g->name, (int)geteuid());
}

/* Is the directive inside a section for directories, locations or files? */
static int is_in_section(const ap_directive_t *d, const char *name, int in_section)
{
    for (; d; d = d->next) {
        int is_section = *d->directive == '<' && strcasecmp(d->directive, "<VirtualHost");

        if ((in_section && !strcasecmp(d->directive, name)) ||
            is_in_section(d->first_child, name, in_section || is_section))
            return 1;
    }
    return 0;
}

/* Returns 1 when the script of an alias runs in a daemon group, 0 when it runs in Apache's own
 * processes, -1 when that is not known or no alias is meant. */
static int runs_in_group(const wsgi_use *use)
{
    const wsgi_dir_config *dir = ap_get_module_config(use->server->lookup_defaults, &wsgi_module);
    const char *name = use->process_group;

    if (!use->script || strncmp(use->directive, "WSGIScriptAlias", 15))
        return -1;
    if (!name)
        name = dir->process_group ? wsgi_global_name(dir->process_group) : "";
    return *name == '%' ? -1 : *name != '\0';
}

/* One script here in a group and there embedded: <IfDefine> or a copy has left out a line. */
static void check_split(const apr_array_header_t *uses)
{
    if (is_in_section(ap_conftree, "WSGIProcessGroup", 0))
        return; /* which script that is for is only known with a request */
    for (int i = 0; i < uses->nelts; i++) {
        const wsgi_use *embedded = &APR_ARRAY_IDX(uses, i, wsgi_use), *other = NULL;

        if (runs_in_group(embedded) != 0)
            continue;
        for (int j = 0; j < uses->nelts && !other; j++) {
            other = &APR_ARRAY_IDX(uses, j, wsgi_use);
            if (runs_in_group(other) != 1 || strcmp(other->script, embedded->script))
                other = NULL;
        }
        if (other)
            ap_log_error(
                APLOG_MARK, APLOG_NOTICE, 0, wsgi_uses_log(embedded->server),
                "WSGI0239: %s: %s: %s runs in Apache's own processes here, and in a daemon "
                "group for the alias of %s; if that is not meant, add process-group= or "
                "WSGIProcessGroup",
                embedded->where, embedded->directive, embedded->script, other->where);
    }
}

/* Scripts that WSGIRestrictEmbedded keeps from running where a directive puts them. */
static void check_embedded(const wsgi_use *use)
{
    if (wsgi_server_of(ap_server_conf)->restrict_embedded == 1 && use->script &&
        use->process_group && !*use->process_group)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, wsgi_uses_log(use->server),
                     "WSGI0255: %s: %s %s would run inside Apache, which WSGIRestrictEmbedded "
                     "forbids; name a daemon group with process-group=",
                     use->where, use->directive, use->script);
}

static void check_use(apr_pool_t *p, const wsgi_use *use, const apr_array_header_t *groups)
{
    check_group_of(p, use, groups);
    check_embedded(use);
}

/* ---- what can never work ---- */

/* Returns OK, or an HTTP status with the reason logged. */
static int check_chroot_of(const wsgi_use *use, const apr_array_header_t *groups)
{
    const wsgi_group *g =
        use->script && use->process_group ? wsgi_group_in(groups, use->process_group) : NULL;

    if (!g || wsgi_group_inside(g, use->script))
        return OK;
    ap_log_error(
        APLOG_MARK, APLOG_CRIT, 0, wsgi_uses_log(use->server),
        "WSGI0291: %s: %s: %s lies outside of chroot=%s of daemon group '%s' (%s); put it there",
        use->where, use->directive, use->script, g->chroot, g->name, g->where);
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int check_errors(apr_pool_t *pconf)
{
    const apr_array_header_t *uses = wsgi_uses_noted(pconf), *groups = wsgi_groups_defined(pconf);
    int rc = OK;

    for (int i = 0; i < uses->nelts; i++)
        if (check_chroot_of(&APR_ARRAY_IDX(uses, i, wsgi_use), groups) != OK)
            rc = HTTP_INTERNAL_SERVER_ERROR;
    return rc;
}

/* ---- the report ---- */

static void report(apr_pool_t *pconf, apr_pool_t *ptemp, server_rec *s)
{
    const apr_array_header_t *uses = wsgi_uses_noted(pconf), *groups = wsgi_groups_defined(pconf),
                             *remarks = wsgi_remarks_noted(pconf);

    for (int i = 0; i < remarks->nelts; i++) {
        const wsgi_remark *rem = &APR_ARRAY_IDX(remarks, i, wsgi_remark);

        ap_log_error(APLOG_MARK, rem->level, 0, s, "%s", rem->text);
    }
    for (int i = 0; i < uses->nelts; i++)
        check_use(ptemp, &APR_ARRAY_IDX(uses, i, wsgi_use), groups);
    for (int i = 0; i < groups->nelts; i++)
        check_group(APR_ARRAY_IDX(groups, i, const wsgi_group *), uses);
    check_split(uses);
    wsgi_check_files(ptemp, s, uses, groups);
    wsgi_check_status(ptemp);
}

/* httpd reads the configuration twice when it starts. Only the second time are the logs open, and
 * only then is something said. */
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
