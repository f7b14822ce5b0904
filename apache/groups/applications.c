/* applications.c - which applications of which daemon groups are known from the configuration
 * alone.
 *
 * They are loaded before the first request, in the order of the configuration. A group with a
 * single application that has a single application group runs it in the main interpreter, where
 * extension modules that know nothing of sub-interpreters work. */
#include "groups/applications.h"

#include "config/group.h"
#include "config/names.h"
#include "config/ownership.h"
#include "wire/assert.h"

#include <ap_listen.h>
#include <apr_hash.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <stdlib.h>

APLOG_USE_MODULE(wsgi);

/* What is loaded: an application, or a script of WSGIImportScript. */
typedef struct application {
    const char *script, *callable, *application_group;
    const char *path, *where; /* of the script as Apache sees it, and of the directive */
    int is_import;            /* it serves no requests, and its callable is "" */
    int callable_varies; /* a .htaccess file names the callable, so only a request can know it */
    int order;           /* see wsgi_config_order() */
    int index;           /* of those with the same order */
} application;

/* Returns 0 when each request decides: by its environment, or by which ServerAlias it names. */
static int is_static(const server_rec *s, const char *name)
{
    if (!name)
        return 1;
    if (!strcmp(name, "%{HOST}"))
        return !s->names || s->names->nelts == 0;
    return strncmp(name, "%{ENV:", 6) != 0;
}

/* Returns the settings that hold for everything in the server. Sections for directories and
 * locations are not looked into. */
static const wsgi_dir_config *defaults_of(server_rec *s)
{
    return ap_get_module_config(s->lookup_defaults, &wsgi_module);
}

/* ---- callables that only a request can know ---- */

/* Returns 1 when the file is there and has a WSGICallableObject. */
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

/* Looks at the .htaccess files of the directories that lead to the script, as they are now,
 * whatever AllowOverride says: when it ignores them, all that is lost is a warning before the first
 * request. */
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

static application *add(apr_pool_t *p, apr_hash_t *by_group, const char *group)
{
    apr_array_header_t *known = apr_hash_get(by_group, group, APR_HASH_KEY_STRING);
    application *app;

    if (!known) {
        known = apr_array_make(p, 4, sizeof(application));
        apr_hash_set(by_group, group, APR_HASH_KEY_STRING, known);
    }
    app = apr_array_push(known);
    memset(app, 0, sizeof(*app));
    app->index = known->nelts;
    return app;
}

/* May the group load it at its start? A script with a wrong owner is left out, as requests for it
 * are refused; that is logged. */
static int is_admitted(apr_pool_t *p, const wsgi_group *g, const char *script, const char *where)
{
    const char *fault = wsgi_ownership_fault(p, g, script);

    if (fault)
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, g->server,
                     "WSGI0254: %s: daemon group %s (%s) does not load %s: %s", where, g->name,
                     g->where, script, fault);
    return !fault;
}

static void add_application(apr_pool_t *p, apr_hash_t *by_group, server_rec *s,
                            const wsgi_alias *alias)
{
    const wsgi_dir_config *dir = defaults_of(s);
    const char *group = alias->process_group ? alias->process_group : dir->process_group;
    const char *app_group =
        alias->application_group ? alias->application_group : dir->application_group;
    const char *callable = alias->callable ? alias->callable : dir->callable, *mount, *script;
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
    app = add(p, by_group, group);
    app->script = script;
    app->path = alias->script;
    app->where = alias->where;
    app->callable = callable ? callable : "application";
    app->application_group = wsgi_expand(p, app_group, s, NULL, mount);
    app->order = alias->order;
    app->callable_varies = !wsgi_is_module(script) && htaccess_names_callable(p, s, alias->script);
}

/* Returns 1 when a section for a directory or a dispatch script may name another callable. */
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

/* Returns 1 when the configuration knows one application with one application group, else 0. What
 * is to be imported into another application group must not share its interpreter either. */
static int is_one_application(const apr_array_header_t *known)
{
    const application *first = NULL;

    for (int i = 0; i < known->nelts; i++) {
        const application *other = &APR_ARRAY_IDX(known, i, application);

        if (strcmp(APR_ARRAY_IDX(known, 0, application).application_group,
                   other->application_group))
            return 0;
        if (other->is_import)
            continue;
        if (first &&
            (strcmp(first->script, other->script) || strcmp(first->callable, other->callable)))
            return 0;
        first = other;
    }
    return first != NULL;
}

static int has_preload(const wsgi_group *g, const char *record)
{
    for (int i = 0; i < g->preloads->nelts; i++)
        if (!strcmp(APR_ARRAY_IDX(g->preloads, i, const char *), record))
            return 1;
    return 0;
}

static int compare(const void *a_, const void *b_)
{
    const application *a = a_, *b = b_;

    return a->order != b->order ? a->order - b->order : a->index - b->index;
}

static void store(apr_pool_t *p, wsgi_group *g, apr_array_header_t *known)
{
    int one = is_one_application(known), vary_anywhere = callables_vary(ap_conftree, 0);

    qsort(known->elts, (size_t)known->nelts, sizeof(application), compare);
    if (one)
        APR_ARRAY_PUSH(g->main_groups, const char *) =
            APR_ARRAY_IDX(known, 0, application).application_group;
    for (int i = 0; i < known->nelts; i++) {
        const application *app = &APR_ARRAY_IDX(known, i, application);
        int varies = app->callable_varies || (vary_anywhere && !wsgi_is_module(app->script));
        const char *record =
            apr_psprintf(p, "%s\n%s\n%s", one ? "" : app->application_group, app->script,
                         varies && !app->is_import ? "" : app->callable);

        if (!has_preload(g, record) && is_admitted(p, g, app->path, app->where))
            APR_ARRAY_PUSH(g->preloads, const char *) = record;
    }
}

/* Does an alias without a regular expression lead to this application, whatever its callable? */
static int has_application(const apr_array_header_t *known, const char *script,
                           const char *application_group)
{
    for (int i = 0; known && i < known->nelts; i++) {
        const application *app = &APR_ARRAY_IDX(known, i, application);

        if (!app->is_import && !strcmp(app->script, script) &&
            !strcmp(app->application_group, application_group))
            return 1;
    }
    return 0;
}

/* WSGIImportScript, and aliases that spell out both groups. */
static void add_imports(apr_pool_t *p, apr_hash_t *by_group, server_rec *main_server)
{
    const apr_array_header_t *imports = wsgi_imports_in_order(p, main_server);

    for (int i = 0; i < imports->nelts; i++) {
        const wsgi_import *import = APR_ARRAY_IDX(imports, i, const wsgi_import *);
        const wsgi_group *g =
            *import->process_group ? wsgi_group_find(import->process_group) : NULL;
        const char *script = g ? wsgi_group_inside(g, import->script) : NULL;
        application *app;

        if (!script || (import->callable && wsgi_ownership_fault(p, g, import->script)) ||
            (import->callable &&
             has_application(apr_hash_get(by_group, g->name, APR_HASH_KEY_STRING), script,
                             import->application_group)))
            continue;
        app = add(p, by_group, g->name);
        app->script = script;
        app->path = import->script;
        app->where = import->where;
        app->callable = import->callable ? import->callable : "";
        app->application_group = import->application_group;
        app->is_import = !import->callable;
        app->order = import->order;
    }
}

/* ---- what the configuration says of interpreters ---- */

static int is_hook(const ap_directive_t *d)
{
    return !strcasecmp(d->directive, "WSGIAccessScript") ||
           !strcasecmp(d->directive, "WSGIAuthUserScript") ||
           !strcasecmp(d->directive, "WSGIAuthGroupScript") ||
           !strcasecmp(d->directive, "WSGIDispatchScript");
}

/* Looks for application groups that are spelled out, wherever that is. Hooks run in the main
 * interpreter unless they name another one, and a dispatch script may name any. */
static void note_application_groups(wsgi_server_config *c, const ap_directive_t *d)
{
    for (; d; d = d->next) {
        int is_named = !strcasecmp(d->directive, "WSGIApplicationGroup") ||
                       (!strncasecmp(d->directive, "WSGI", 4) && d->args &&
                        strstr(d->args, "application-group="));

        c->names_application_groups |= is_named || is_hook(d);
        c->uses_main_interpreter |= is_hook(d) || (is_named && strstr(d->args, "%{GLOBAL}"));
        note_application_groups(c, d->first_child);
    }
}

/* Groups that imports name must exist and be visible there. Returns OK, or an HTTP status with the
 * reason logged. */
static int check_imports(apr_pool_t *p, server_rec *s, apr_array_header_t *groups)
{
    const apr_array_header_t *imports = wsgi_server_of(s)->imports;

    for (int i = 0; i < imports->nelts; i++) {
        const wsgi_import *import = &APR_ARRAY_IDX(imports, i, wsgi_import);
        enum wsgi_group_fault fault;
        const char *near;
        wsgi_group *g;

        fault = wsgi_group_choose(&g, groups, import->process_group, s);
        near = g ? NULL : wsgi_group_nearest(p, groups, import->process_group);
        if (*import->process_group &&
            (fault == WSGI_GROUP_MISSING || fault == WSGI_GROUP_FOREIGN)) {
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

/* Returns 1 when a virtual host for any address has the port. */
static int has_virtual_host(const server_rec *main_server, apr_port_t port)
{
    for (const server_rec *s = main_server->next; s; s = s->next)
        for (const server_addr_rec *addr = s->addrs; addr; addr = addr->next)
            if ((!addr->host_port || addr->host_port == port) && addr->virthost &&
                (!strcmp(addr->virthost, "*") || !strcmp(addr->virthost, "_default_")))
                return 1;
    return 0;
}

/* Returns 1 when the main server gets requests: no virtual host takes them all. */
static int serves(const server_rec *main_server)
{
    for (const ap_listen_rec *l = ap_listeners; l; l = l->next)
        if (l->bind_addr && !has_virtual_host(main_server, l->bind_addr->port))
            return 1;
    return 0;
}

void wsgi_applications_collect(apr_pool_t *p, server_rec *main_server)
{
    apr_hash_t *by_group = apr_hash_make(p);

    WIRE_ASSERT(wsgi_is_parent());
    note_application_groups(wsgi_server_of(main_server), ap_conftree);
    for (server_rec *s = serves(main_server) ? main_server : main_server->next; s; s = s->next) {
        apr_array_header_t *aliases = wsgi_server_of(s)->aliases;

        for (int i = 0; i < aliases->nelts; i++)
            add_application(p, by_group, s, &APR_ARRAY_IDX(aliases, i, wsgi_alias));
    }
    add_imports(p, by_group, main_server);
    for (apr_hash_index_t *hi = apr_hash_first(p, by_group); hi; hi = apr_hash_next(hi)) {
        const void *name;
        void *known;

        apr_hash_this(hi, &name, NULL, &known);
        store(p, wsgi_group_find(name), known);
    }
}
