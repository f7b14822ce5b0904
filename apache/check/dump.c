#include "check/dump.h"

#include "check/dump_url.h"
#include "config/group.h"
#include "config/package.h"
#include "groups/applications.h"
#include "groups/settings.h"
#include "request/target.h"
#include "status/json.h"

#include <ap_config.h>
#include <ap_listen.h>
#include <ap_mpm.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_core.h>
#include <stdlib.h>
#include <unixd.h>

/* ---- servers ---- */

static void dump_aliases(wsgi_json *j, apr_pool_t *p, server_rec *s)
{
    const apr_array_header_t *aliases = wsgi_server_of(s)->aliases;

    wsgi_json_open(j, "aliases", '[');
    for (int i = 0; i < aliases->nelts; i++) {
        const wsgi_alias *alias = &APR_ARRAY_IDX(aliases, i, wsgi_alias);

        wsgi_json_open(j, NULL, '{');
        wsgi_json_flag(j, "match", alias->regex != NULL);
        wsgi_json_string(j, "location", alias->location);
        wsgi_json_string(j, "target", alias->target);
        wsgi_json_string(j, "process_group", alias->process_group);
        wsgi_json_string(j, "application_group", alias->application_group);
        wsgi_json_string(j, "callable", alias->callable);
        wsgi_json_string(j, "where", alias->where);
        if (!alias->regex)
            wsgi_dump_location(j, p, s, alias->location);
        wsgi_json_close(j, '}');
    }
    wsgi_json_close(j, ']');
}

static void dump_imports(wsgi_json *j, const server_rec *s)
{
    const apr_array_header_t *imports = wsgi_server_of(s)->imports;

    wsgi_json_open(j, "imports", '[');
    for (int i = 0; i < imports->nelts; i++) {
        const wsgi_import *import = &APR_ARRAY_IDX(imports, i, wsgi_import);

        wsgi_json_open(j, NULL, '{');
        wsgi_json_string(j, "script", import->script);
        wsgi_json_string(j, "process_group", import->process_group);
        wsgi_json_string(j, "application_group", import->application_group);
        wsgi_json_string(j, "where", import->where);
        wsgi_json_close(j, '}');
    }
    wsgi_json_close(j, ']');
}

static void dump_names(wsgi_json *j, const server_rec *s)
{
    const apr_array_header_t *lists[] = {s->names, s->wild_names};

    wsgi_json_open(j, "server_aliases", '[');
    for (int n = 0; n < 2; n++)
        for (int i = 0; lists[n] && i < lists[n]->nelts; i++)
            wsgi_json_string(j, NULL, APR_ARRAY_IDX(lists[n], i, const char *));
    wsgi_json_close(j, ']');
    wsgi_json_open(j, "addresses", '[');
    for (const server_addr_rec *a = s->is_virtual ? s->addrs : NULL; a; a = a->next)
        wsgi_json_string(j, NULL,
                         a->host_port ? apr_psprintf(s->process->pool, "%s:%u", a->virthost,
                                                     (unsigned)a->host_port)
                                      : a->virthost);
    wsgi_json_close(j, ']');
}

static void dump_server(wsgi_json *j, apr_pool_t *p, server_rec *s)
{
    const wsgi_dir_config *defaults = ap_get_module_config(s->lookup_defaults, &wsgi_module);
    const core_server_config *core = ap_get_core_module_config(s->module_config);

    wsgi_json_open(j, NULL, '{');
    wsgi_json_string(j, "name", wsgi_server_name(p, s));
    wsgi_json_string(j, "where", wsgi_server_where(p, s));
    wsgi_json_flag(j, "virtual", s->is_virtual);
    dump_names(j, s);
    wsgi_json_string(j, "process_group", defaults->process_group);
    wsgi_json_string(j, "error_log", s->error_fname);
    wsgi_json_string(j, "document_root", core->ap_document_root);
    wsgi_json_string(j, "access_files",
                     core->access_name ? core->access_name : DEFAULT_ACCESS_FNAME);
    dump_aliases(j, p, s);
    dump_imports(j, s);
    wsgi_json_close(j, '}');
}

/* ---- groups ---- */

/* The records that the group's processes get. */
static void dump_settings(wsgi_json *j, apr_pool_t *p, const wsgi_group *g)
{
    apr_size_t len;
    const char *at = wsgi_settings_build(p, g, &len), *end = at + len;

    wsgi_json_open(j, "settings", '[');
    for (; at < end; at += strlen(at) + 1)
        wsgi_json_string(j, NULL, at);
    wsgi_json_close(j, ']');
}

/* Values are often secrets, and dumps are shown around. */
static void dump_env(wsgi_json *j, apr_pool_t *p, const wsgi_group *g)
{
    int with_values = ap_exists_config_define("DUMP_WSGI_ENV");

    wsgi_json_open(j, "env", '[');
    for (int i = 0; i < g->env->nelts; i++) {
        const char *assignment = APR_ARRAY_IDX(g->env, i, const char *);

        wsgi_json_string(j, NULL,
                         with_values ? assignment
                                     : apr_pstrmemdup(p, assignment, strcspn(assignment, "=")));
    }
    wsgi_json_close(j, ']');
}

static void dump_group(wsgi_json *j, apr_pool_t *p, const wsgi_group *g)
{
    wsgi_json_open(j, NULL, '{');
    wsgi_json_string(j, "name", g->name);
    wsgi_json_string(j, "where", g->where);
    wsgi_json_string(j, "server", g->server->is_virtual ? wsgi_server_name(p, g->server) : NULL);
    wsgi_json_string(j, "user", g->user.name ? g->user.name : ap_unixd_config.user_name);
    wsgi_json_number(j, "uid", g->user.name ? g->user.id : ap_unixd_config.user_id);
    wsgi_json_number(j, "gid", g->group.name ? g->group.id : ap_unixd_config.group_id);
    wsgi_json_string(j, "python",
                     wsgi_python_of_home(p, g->chroot ? g->chroot : "", g->python_home));
    wsgi_json_string(j, "python_path", g->python_path);
    wsgi_json_string(j, "home", g->home);
    wsgi_json_string(j, "chroot", g->chroot);
    wsgi_json_number(j, "processes", g->processes);
    wsgi_json_number(j, "threads", g->threads);
    dump_env(j, p, g);
    dump_settings(j, p, g);
    wsgi_json_close(j, '}');
}

/* ---- the rest ---- */

/* Ours, and those of others that decide which files are applications and which URLs lead to them.
 */
static int is_told(const ap_directive_t *d)
{
    static const char *const others[] = {"AddHandler", "AddType",       "SetHandler", "ForceType",
                                         "Alias",      "AllowOverride", NULL};

    for (int i = 0; others[i]; i++)
        if (!strcasecmp(d->directive, others[i]))
            return 1;
    return !strncasecmp(d->directive, "WSGI", 4) || !strncasecmp(d->directive, "<WSGI", 5);
}

/* Directives as written, with the sections around them; `in` is the sections' text, the outer
 * first. */
static void dump_directives(wsgi_json *j, apr_pool_t *p, const ap_directive_t *d, const char *in,
                            const char *server_where)
{
    for (; d; d = d->next) {
        const char *where = apr_psprintf(p, "%s:%d", d->filename, d->line_num);

        if (is_told(d)) {
            wsgi_json_open(j, NULL, '{');
            wsgi_json_string(j, "name", d->directive);
            wsgi_json_string(j, "arguments",
                             strncasecmp(d->directive, "WSGIDaemonProcess", 17) ? d->args : NULL);
            wsgi_json_string(j, "where", where);
            wsgi_json_string(j, "in", in);
            wsgi_json_string(j, "server_where", server_where);
            wsgi_json_close(j, '}');
        }
        if (d->first_child)
            dump_directives(j, p, d->first_child,
                            apr_pstrcat(p, in, *in ? " " : "", d->directive, " ", d->args, NULL),
                            strcasecmp(d->directive, "<VirtualHost") ? server_where : where);
    }
}

static void dump_listeners(wsgi_json *j, apr_pool_t *p)
{
    wsgi_json_open(j, "listen", '[');
    for (const ap_listen_rec *l = ap_listeners; l; l = l->next)
        wsgi_json_string(j, NULL,
                         apr_psprintf(p, "%s:%u",
                                      l->bind_addr && l->bind_addr->hostname
                                          ? l->bind_addr->hostname
                                          : "*",
                                      l->bind_addr ? (unsigned)l->bind_addr->port : 0));
    wsgi_json_close(j, ']');
}

static void dump_httpd(wsgi_json *j, apr_pool_t *p)
{
    wsgi_json_open(j, "httpd", '{');
    wsgi_json_string(j, "version", ap_get_server_description());
    wsgi_json_string(j, "root", ap_server_root_relative(p, ""));
    wsgi_json_string(j, "mpm", ap_show_mpm());
    wsgi_json_string(j, "runtime_directory", ap_runtime_dir_relative(p, ""));
    wsgi_json_string(j, "user", ap_unixd_config.user_name);
    wsgi_json_number(j, "uid", ap_unixd_config.user_id);
    wsgi_json_number(j, "gid", ap_unixd_config.group_id);
    dump_listeners(j, p);
    wsgi_json_close(j, '}');
}

static const char *dump(apr_pool_t *p, server_rec *main_server)
{
    const apr_array_header_t *groups = wsgi_server_of(main_server)->groups;
    const char *url = getenv("HTTPD_WSGI_DUMP_URL"), *paths = getenv("HTTPD_WSGI_DUMP_PATHS");
    wsgi_json *j = wsgi_json_make(p);

    wsgi_dump_prepare(p, main_server);
    wsgi_json_open(j, NULL, '{');
    wsgi_json_number(j, "format", 1);
    wsgi_json_string(j, "package", wsgi_package_dir());
    wsgi_json_string(j, "python", wsgi_python_of_home(p, "", NULL));
    wsgi_json_flag(j, "restrict_embedded", wsgi_main_config()->restrict_embedded == 1);
    dump_httpd(j, p);
    wsgi_json_open(j, "servers", '[');
    for (server_rec *s = main_server; s; s = s->next)
        dump_server(j, p, s);
    wsgi_json_close(j, ']');
    wsgi_json_open(j, "groups", '[');
    for (int i = 0; i < groups->nelts; i++)
        dump_group(j, p, APR_ARRAY_IDX(groups, i, wsgi_group *));
    wsgi_json_close(j, ']');
    wsgi_json_open(j, "directives", '[');
    dump_directives(j, p, ap_conftree, "", NULL);
    wsgi_json_close(j, ']');
    if (url && *url)
        wsgi_dump_url(j, p, main_server, url);
    if (paths && *paths)
        wsgi_dump_paths(j, p, main_server, paths);
    wsgi_json_close(j, '}');
    return wsgi_json_text(j);
}

static void test_config(apr_pool_t *pconf, server_rec *s)
{
    apr_file_t *out;

    if (!ap_exists_config_define("DUMP_WSGI") || apr_file_open_stdout(&out, pconf) != APR_SUCCESS)
        return;
    wsgi_config_remember_main(s);
    wsgi_server_of(s)->groups = wsgi_groups_defined(pconf);
    wsgi_applications_collect(pconf, s);
    apr_file_puts(dump(pconf, s), out);
    apr_file_flush(out);
}

void wsgi_dump_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_test_config(test_config, NULL, NULL, APR_HOOK_LAST);
}
