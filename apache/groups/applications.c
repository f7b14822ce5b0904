/* applications.c - which applications of which daemon groups are known from the configuration
 * alone.
 *
 * They are loaded before the first request, and a group with a single application runs it in the
 * main interpreter, where extension modules that know nothing of sub-interpreters work. */
#include "groups/applications.h"

#include "config/group.h"
#include "config/names.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>

APLOG_USE_MODULE(wsgi);

typedef struct application {
    const char *script, *callable, *application_group;
    int is_named;        /* the configuration spells its application group out */
    int callable_varies; /* a .htaccess file names the callable, so only a request can know it */
} application;

/* Not so when each request decides: by its environment, or by which ServerAlias it names. */
static int is_static(const server_rec *s, const char *name)
{
    if (!name)
        return 1;
    if (!strcmp(name, "%{HOST}"))
        return !s->names || s->names->nelts == 0;
    return strncmp(name, "%{ENV:", 6) != 0;
}

/* What the sections of a server say for everything in it; sections for directories and locations
 * are not looked into. */
static const wsgi_dir_config *defaults_of(server_rec *s)
{
    return ap_get_module_config(s->lookup_defaults, &wsgi_module);
}

/* ---- callables that only a request can know ---- */

/* Does the file, if there is one, have a WSGICallableObject? */
static int names_callable(apr_pool_t *p, const char *path)
{
    static const char directive[] = "WSGICallableObject";
    ap_configfile_t *file;
    char line[HUGE_STRING_LEN];
    int found = 0;

    if (ap_pcfg_openfile(&file, p, path) != APR_SUCCESS)
        return 0;
    while (!found && ap_cfg_getline(line, sizeof(line), file) == APR_SUCCESS) /* without white space
                                                                                 in front */
        found = !strncasecmp(line, directive, sizeof(directive) - 1);
    ap_cfg_closefile(file);
    return found;
}

/* The .htaccess files of the directories that lead to the script, as they are now. Whether
 * AllowOverride lets them speak is not asked: when it does not, all that is lost is a warning
 * before the first request. */
static int htaccess_names_callable(apr_pool_t *p, const server_rec *s, const char *script)
{
    const core_server_config *core = ap_get_core_module_config(s->module_config);
    const char *names = core->access_name ? core->access_name : DEFAULT_ACCESS_FNAME;

    for (const char *slash = strchr(script, '/'); slash; slash = strchr(slash + 1, '/')) {
        const char *directory = apr_pstrmemdup(p, script, (apr_size_t)(slash - script) + 1),
                   *rest = names;

        while (*rest)
            if (names_callable(p, apr_pstrcat(p, directory, ap_getword_conf(p, &rest), NULL)))
                return 1;
    }
    return 0;
}

static void add_application(apr_pool_t *p, apr_hash_t *by_group, server_rec *s,
                            const wsgi_alias *alias)
{
    const wsgi_dir_config *dir = defaults_of(s);
    const char *group = alias->process_group ? alias->process_group : dir->process_group;
    const char *app_group =
        alias->application_group ? alias->application_group : dir->application_group;
    const char *callable = alias->callable ? alias->callable : dir->callable, *mount, *script;
    apr_array_header_t *known;
    const wsgi_group *g;
    application *app;

    if (!group || alias->regex || !alias->script || !is_static(s, group) ||
        !is_static(s, app_group) || !is_static(s, callable))
        return;
    mount = wsgi_resource_path(p, alias->location, strlen(alias->location));
    group = wsgi_expand(p, group, s, NULL, mount);
    g = wsgi_group_find(group);
    script = g ? wsgi_group_inside(g, alias->script) : NULL;
    if (!script)
        return;
    known = apr_hash_get(by_group, group, APR_HASH_KEY_STRING);
    if (!known) {
        known = apr_array_make(p, 4, sizeof(application));
        apr_hash_set(by_group, group, APR_HASH_KEY_STRING, known);
    }
    app = apr_array_push(known);
    app->script = script;
    app->callable = callable ? callable : "application";
    app->application_group = wsgi_expand(p, app_group, s, NULL, mount);
    app->is_named = app_group && *app_group != '%';
    app->callable_varies = !wsgi_is_module(script) && htaccess_names_callable(p, s, alias->script);
}

/* The same, because a section for a directory or a script names it? */
static int callables_vary(const ap_directive_t *d, int in_section)
{
    for (; d; d = d->next) {
        int is_section = *d->directive == '<' && strcasecmp(d->directive, "<VirtualHost");

        if (!strcasecmp(d->directive, "WSGIDispatchScript") ||
            (in_section && !strcasecmp(d->directive, "WSGICallableObject")))
            return 1;
        if (d->first_child && callables_vary(d->first_child, in_section || is_section))
            return 1;
    }
    return 0;
}

/* The same callable of the same script, unless the configuration names different interpreters for
 * it. */
static int is_one_application(const apr_array_header_t *known)
{
    const application *first = &APR_ARRAY_IDX(known, 0, application), *named = NULL;

    for (int i = 0; i < known->nelts; i++) {
        const application *other = &APR_ARRAY_IDX(known, i, application);

        if (strcmp(first->script, other->script) || strcmp(first->callable, other->callable))
            return 0;
        if (other->is_named && named && strcmp(named->application_group, other->application_group))
            return 0;
        if (other->is_named)
            named = other;
    }
    return 1;
}

static int has_preload(const wsgi_group *g, const char *record)
{
    for (int i = 0; i < g->preloads->nelts; i++)
        if (!strcmp(APR_ARRAY_IDX(g->preloads, i, const char *), record))
            return 1;
    return 0;
}

/* Is the script loaded as an application of this group already, whatever its callable? */
static int has_script(apr_pool_t *p, const wsgi_group *g, const char *group, const char *script)
{
    const char *start = apr_psprintf(p, "%s\n%s\n", group, script);

    for (int i = 0; i < g->preloads->nelts; i++)
        if (!strncmp(APR_ARRAY_IDX(g->preloads, i, const char *), start, strlen(start)))
            return 1;
    return 0;
}

static void store(apr_pool_t *p, wsgi_group *g, const apr_array_header_t *known)
{
    int one = is_one_application(known), vary_anywhere = callables_vary(ap_conftree, 0);

    for (int i = 0; i < known->nelts; i++) {
        const application *app = &APR_ARRAY_IDX(known, i, application);
        const char *group = one ? "" : app->application_group, *record;
        int varies = app->callable_varies || (vary_anywhere && !wsgi_is_module(app->script));

        if (one)
            APR_ARRAY_PUSH(g->main_groups, const char *) = app->application_group;
        record = apr_psprintf(p, "%s\n%s\n%s", group, app->script, varies ? "" : app->callable);
        if (!has_preload(g, record))
            APR_ARRAY_PUSH(g->preloads, const char *) = record;
    }
}

/* WSGIImportScript, behind the applications. */
static void add_imports(apr_pool_t *p, server_rec *s)
{
    const apr_array_header_t *imports = wsgi_server_of(s)->imports;

    for (int i = 0; i < imports->nelts; i++) {
        const wsgi_import *import = &APR_ARRAY_IDX(imports, i, wsgi_import);
        wsgi_group *g = *import->process_group ? wsgi_group_find(import->process_group) : NULL;
        const char *script = g ? wsgi_group_inside(g, import->script) : NULL, *record;

        if (!script || (import->callable && (has_script(p, g, "", script) ||
                                             has_script(p, g, import->application_group, script))))
            continue;
        record = apr_psprintf(p, "%s\n%s\n%s", import->application_group, script,
                              import->callable ? import->callable : "");
        if (!has_preload(g, record))
            APR_ARRAY_PUSH(g->preloads, const char *) = record;
    }
}

/* Groups that imports name must exist and be usable there. OK, or not, with the reason logged. */
static int check_imports(apr_pool_t *p, server_rec *s, apr_array_header_t *groups)
{
    const apr_array_header_t *imports = wsgi_server_of(s)->imports;

    for (int i = 0; i < imports->nelts; i++) {
        const wsgi_import *import = &APR_ARRAY_IDX(imports, i, wsgi_import);
        const wsgi_group *g = NULL;
        const char *near;

        for (int n = 0; n < groups->nelts && !g; n++)
            if (!strcmp(APR_ARRAY_IDX(groups, n, wsgi_group *)->name, import->process_group))
                g = APR_ARRAY_IDX(groups, n, wsgi_group *);
        near = g ? NULL : wsgi_group_nearest(p, groups, import->process_group);
        if (*import->process_group && (!g || !wsgi_group_is_visible(g, s))) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                         "WSGI0222: %s: %s is to be loaded in the daemon group '%s', which %s%s%s",
                         import->where, import->script, import->process_group,
                         g ? "belongs to another virtual host; define it outside of <VirtualHost> "
                             "to share it"
                           : "does not exist; define it with WSGIDaemonProcess",
                         near ? ", did you mean " : "", near ? near : "");
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_array_header_t *groups = wsgi_groups_defined(pconf);
    int rc = OK;

    (void)plog;
    for (; s && rc == OK; s = s->next)
        rc = check_imports(ptemp, s, groups);
    return rc;
}

void wsgi_applications_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
}

void wsgi_applications_collect(apr_pool_t *p, server_rec *main_server)
{
    apr_hash_t *by_group = apr_hash_make(p);

    for (server_rec *s = main_server; s; s = s->next) {
        apr_array_header_t *aliases = wsgi_server_of(s)->aliases;

        for (int i = 0; i < aliases->nelts; i++)
            add_application(p, by_group, s, &APR_ARRAY_IDX(aliases, i, wsgi_alias));
    }
    for (apr_hash_index_t *hi = apr_hash_first(p, by_group); hi; hi = apr_hash_next(hi)) {
        const void *name;
        void *known;

        apr_hash_this(hi, &name, NULL, &known);
        store(p, wsgi_group_find(name), known);
    }
    for (server_rec *s = main_server; s; s = s->next)
        add_imports(p, s);
}
