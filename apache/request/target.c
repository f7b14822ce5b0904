#include "request/target.h"

#include "config/names.h"
#include "request/log.h"
#include "config/ownership.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

APLOG_USE_MODULE(wsgi);

/* ---- URL to file ---- */

/* Returns how many bytes of uri the prefix covers, 0 for none. Any run of slashes matches any
 * other; the prefix must end where a component of the path ends. */
static size_t match_prefix(const char *uri, const char *prefix)
{
    const char *u = uri, *a = prefix;

    while (*a) {
        if (*a == '/') {
            if (*u != '/')
                return 0;
            a += strspn(a, "/");
            u += strspn(u, "/");
        } else if (*a++ != *u++) {
            return 0;
        }
    }
    if (u > uri && u[-1] == '/')
        return (size_t)(u - uri);
    return *u == '/' || *u == '\0' ? (size_t)(u - uri) : 0;
}

/* Returns the file or module that an alias leads to, or NULL when it does not match. *rest is set
 * to the part of the path behind the alias. */
static const char *alias_target(request_rec *r, const wsgi_alias *alias, const char **rest)
{
    ap_regmatch_t match[AP_MAX_REG_MATCH];
    const char *target = alias->target;
    size_t len;

    if (alias->regex) {
        if (ap_regexec(alias->regex, r->uri, AP_MAX_REG_MATCH, match, 0))
            return NULL;
        *rest = r->uri + match[0].rm_eo;
        if (!strchr(target, '$'))
            return target;
        target = ap_pregsub(r->pool, target, r->uri, AP_MAX_REG_MATCH, match);
        return target ? ap_server_root_relative(r->pool, target)
                      : NULL; /* never a module: the client would choose it */
    }
    len = match_prefix(r->uri, alias->location);
    /* Mounted at the root, the whole path follows the file. */
    *rest = r->uri + (strcmp(alias->location, "/") ? len : 0);
    return len ? target : NULL;
}

static int translate_name(request_rec *r)
{
    apr_array_header_t *aliases = wsgi_server_of(r->server)->aliases;

    if (r->uri[0] != '/')
        return DECLINED;
    for (int i = 0; i < aliases->nelts; i++) {
        const wsgi_alias *alias = &APR_ARRAY_IDX(aliases, i, wsgi_alias);
        const char *rest, *target = alias_target(r, alias, &rest);

        if (!target)
            continue;
        if (wsgi_is_module(target)) {
            if (rest > r->uri && rest[-1] == '/' && *rest != '/')
                rest--; /* the slash that ends the alias is no part of SCRIPT_NAME */
            r->filename = apr_pstrdup(r->pool, target);
            r->path_info = apr_pstrdup(r->pool, rest);
        } else {
            r->filename = apr_pstrcat(r->pool, target, rest, NULL);
        }
        r->handler = WSGI_HANDLER_NAME;
        ap_set_module_config(r->request_config, &wsgi_module, (void *)alias);
        return OK;
    }
    return DECLINED;
}

/* A module has no place in the file system, so no <Directory> applies to it. */
static int map_to_storage(request_rec *r)
{
    return ap_get_module_config(r->request_config, &wsgi_module) && wsgi_is_module(r->filename)
               ? OK
               : DECLINED;
}

/* Returns the alias that led here, or NULL. After a fast internal redirect (DirectoryIndex) it is
 * found again by the file. */
static const wsgi_alias *alias_of(request_rec *r)
{
    const wsgi_alias *alias = ap_get_module_config(r->request_config, &wsgi_module);
    apr_array_header_t *aliases = wsgi_server_of(r->server)->aliases;

    for (int i = 0; !alias && r->filename && i < aliases->nelts; i++) {
        const wsgi_alias *candidate = &APR_ARRAY_IDX(aliases, i, wsgi_alias);
        const char *rest, *target = alias_target(r, candidate, &rest),
                          *file = target ? apr_pstrcat(r->pool, target, rest, NULL) : "";
        size_t len = strlen(r->filename);

        if (!strncmp(file, r->filename, len) && (!file[len] || file[len] == '/'))
            alias = candidate;
    }
    return alias;
}

/* A WSGIScriptAlias overrides the handler that mod_mime chose by suffix. This hook runs before
 * SetHandler and mod_rewrite are applied, so those still override the alias (server-status below
 * `WSGIScriptAlias /`). */
static int fixups(request_rec *r)
{
    if (!ap_get_module_config(r->request_config, &wsgi_module))
        return DECLINED;
    r->handler = WSGI_HANDLER_NAME;
    apr_table_setn(r->notes, "httpd-wsgi-admitted", "1");
    return DECLINED;
}

/* httpd logs that the client was denied, but not what may be missing. Access may be denied on
 * purpose, which cannot be seen from here, so the hint is given once. */
static int log_denied(request_rec *r)
{
    const wsgi_alias *alias = ap_get_module_config(r->request_config, &wsgi_module);

    if (alias && r->status == HTTP_FORBIDDEN && r->filename && !wsgi_is_module(r->filename) &&
        !ap_auth_type(r) && !apr_table_get(r->notes, "httpd-wsgi-refused") &&
        !apr_table_get(r->notes, "httpd-wsgi-admitted") &&
        wsgi_log_is_first(r->server, alias->where)) {
        const char *script = alias->script ? alias->script : alias->target;

        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "WSGI0201: access to %s is denied: unless that is meant, put \"Require all "
                      "granted\" into <Directory %s>, as %s "
                      "grants nothing by itself, and check that the Apache user can enter that "
                      "directory (alias from %s; said once "
                      "per process)",
                      script, ap_make_dirstr_parent(r->pool, script),
                      alias->regex ? "WSGIScriptAliasMatch" : "WSGIScriptAlias", alias->where);
    }
    return DECLINED;
}

/* ---- names ---- */

/* Returns the name in %{ENV:name}, or NULL. */
static const char *variable_of(apr_pool_t *p, const char *value)
{
    size_t len = value ? strlen(value) : 0;

    return len < 8 || strncmp(value, "%{ENV:", 6) || value[len - 1] != '}'
               ? NULL
               : apr_pstrmemdup(p, value + 6, len - 7);
}

/* Looks %{ENV:name} up in the notes, the request's environment and the process's. Returns value
 * itself when it is in none of them, or has another form. */
static const char *expand_env(request_rec *r, const char *value)
{
    const char *name = variable_of(r->pool, value), *found;

    if (!name)
        return value;
    if (!(found = apr_table_get(r->notes, name)) &&
        !(found = apr_table_get(r->subprocess_env, name)))
        found = getenv(name);
    return found ? found : value;
}

static const char *script_name_of(request_rec *r)
{
    size_t len = strlen(r->uri), info = r->path_info ? strlen(r->path_info) : 0;

    return wsgi_resource_path(r->pool, r->uri, len > info ? len - info : 0);
}

/* ---- may it run ---- */

int wsgi_refuse(request_rec *r, int status)
{
    apr_table_setn(r->notes, "httpd-wsgi-refused", "1"); /* its reason is in the log already */
    return status;
}

/* "/blog/" for a file: "/blog/2024" leads to "wsgi.py2024". */
static const char *slash_hint(const wsgi_alias *alias)
{
    return alias && alias->location && wsgi_misses_slash(alias->location, alias->target)
               ? "; the URL path of its alias ends with / and its target does not: remove that / "
                 "from the alias"
               : "";
}

static int check_file(request_rec *r, const wsgi_alias *alias)
{
    int is_module = alias && wsgi_is_module(r->filename);

    if (!alias && !(ap_allow_options(r) & OPT_EXECCGI)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0202: %s is not run: Options ExecCGI is off for it; add \"Options "
                      "+ExecCGI\" to its directory",
                      r->filename);
        return wsgi_refuse(r, HTTP_FORBIDDEN);
    }
    if (r->finfo.filetype == APR_NOFILE && !is_module) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "WSGI0203: the script %s does not exist%s",
                      r->filename, slash_hint(alias));
        return wsgi_refuse(r, HTTP_NOT_FOUND);
    }
    if (r->finfo.filetype == APR_DIR) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0204: %s is a directory and cannot be run as an application",
                      r->filename);
        return wsgi_refuse(r, HTTP_FORBIDDEN);
    }
    return OK;
}

static int check_path_info(request_rec *r)
{
    if (r->used_path_info == AP_REQ_REJECT_PATH_INFO && r->path_info && *r->path_info) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0205: AcceptPathInfo Off refuses the path %s after %s", r->path_info,
                      r->filename);
        return wsgi_refuse(r, HTTP_NOT_FOUND);
    }
    return OK;
}

static int is_allowed(const apr_array_header_t *groups, const char *name)
{
    for (int i = 0; groups && i < groups->nelts; i++)
        if (!strcmp(APR_ARRAY_IDX(groups, i, const char *), name))
            return 1;
    return groups == NULL;
}

/* Warns when a name is still %{ENV:name} after expansion. instead takes its place, as in mod_wsgi.
 */
static void warn_of_unset(request_rec *r, const char *what, const char *value, const char *instead)
{
    const char *name = variable_of(r->pool, value);

    if (name && wsgi_log_is_first(r->server, apr_pstrcat(r->pool, what, value, NULL)))
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "WSGI0272: %s is %s, but the variable %s is not set for this request; going "
                      "on with %s; set it with SetEnv, "
                      "SetEnvIf or RewriteRule [E=] (said once per process)",
                      what, value, name, instead);
}

static void settle_names(wsgi_target *t, request_rec *r)
{
    if (*t->application_group == '%')
        warn_of_unset(r, "the application group", t->application_group,
                      "an interpreter of that very name");
    if (wsgi_is_module(t->script)) {
        t->callable = strchr(t->script, ':') + 1;
    } else if (!t->callable || *t->callable == '%') {
        warn_of_unset(r, "the callable object", t->callable, "'application'");
        t->callable = "application";
    }
}

/* Finds t->group. Returns OK, or the HTTP status with the reason logged. */
static int find_group(wsgi_target *t, request_rec *r)
{
    if (!*t->process_group)
        return OK;
    t->group = wsgi_group_find(t->process_group);
    if (!t->group) {
        const char *near =
            wsgi_group_nearest(r->pool, wsgi_main_config()->groups, t->process_group);

        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "WSGI0207: there is no daemon group '%s'%s%s; define it with WSGIDaemonProcess %s",
            t->process_group, near ? ", did you mean " : "", near ? near : "", t->process_group);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!wsgi_group_is_visible(t->group, r->server)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0208: the daemon group '%s' of %s belongs to another virtual host (%s); "
                      "define it outside of "
                      "<VirtualHost> to share it",
                      t->process_group, t->group->where,
                      t->group->server->server_hostname ? t->group->server->server_hostname
                                                        : "without ServerName");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (t->group->threads == 0) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "WSGI0225: the daemon group '%s' of %s is a service (threads=0) and answers no "
            "requests; give it threads or name another group",
            t->process_group, t->group->where);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!wsgi_group_inside(t->group, t->script)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "WSGI0223: %s is not run: it lies outside of chroot=%s of daemon group %s (%s)",
            t->script, t->group->chroot, t->group->name, t->group->where);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return wsgi_ownership_check(r, t->group, t->script) == OK ? OK : wsgi_refuse(r, HTTP_FORBIDDEN);
}

/* Do the directives that restrict process groups allow this one? Returns OK, or the HTTP status
 * with the reason logged. Only the server's own configuration can have these directives. */
static int check_restrictions(const wsgi_target *t, request_rec *r)
{
    const apr_array_header_t *allowed = wsgi_dir_of(r)->restrict_process;
    const char *group = *t->process_group ? t->process_group : "%{GLOBAL}";

    if (t->foreign && !allowed) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0250: %s is not run in %s, which %s has a say in: a .htaccess file "
                      "chooses only among the process groups that WSGIRestrictProcess lists in the "
                      "server's own configuration; if it is trusted, add there "
                      "\"WSGIRestrictProcess %s\"",
                      t->script, group, t->foreign, group);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!is_allowed(allowed, t->process_group)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            "WSGI0209: WSGIRestrictProcess does not allow %s here; add it to the list: %s",
            t->script, *t->process_group ? group : "%{GLOBAL} (embedded mode)");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!*t->process_group && wsgi_main_config()->restrict_embedded == 1) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0206: %s would run inside Apache, which WSGIRestrictEmbedded forbids; "
                      "name a daemon group with "
                      "WSGIProcessGroup or process-group=",
                      t->script);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

int wsgi_target_admit(wsgi_target *t, request_rec *r)
{
    const char *unset = variable_of(r->pool, t->process_group);
    int rc;

    if (unset) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "WSGI0271: the process group of %s is %s, but the variable %s is not set for "
                      "this request; set it with SetEnv, "
                      "SetEnvIf or RewriteRule [E=]",
                      t->script, t->process_group, unset);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if ((rc = check_restrictions(t, r)) != OK || (rc = find_group(t, r)) != OK)
        return wsgi_refuse(r, rc);
    if (t->handler)
        settle_names(t, r);
    apr_table_setn(r->notes, WSGI_SCRIPT_NOTE, t->script);
    return OK;
}

/* Returns the WSGIHandlerScript for the request's handler, or NULL. */
static const wsgi_alias *handler_script_of(request_rec *r)
{
    apr_hash_t *handlers = wsgi_dir_of(r)->handlers;
    char *name;

    if (!handlers)
        return NULL;
    name = apr_pstrdup(r->pool, r->handler);
    ap_str_tolower(name);
    return apr_hash_get(handlers, name, APR_HASH_KEY_STRING);
}

static void set_script(wsgi_target *t, request_rec *r, const wsgi_alias *handler)
{
    apr_finfo_t file;

    t->is_handler_script = handler != NULL;
    t->script = handler ? handler->target : r->filename;
    if (!handler)
        t->script_mtime = r->finfo.mtime;
    else if (t->script_reloading && !wsgi_is_module(t->script) &&
             apr_stat(&file, t->script, APR_FINFO_MTIME, r->pool) == APR_SUCCESS)
        t->script_mtime = file.mtime;
}

static const char *expand(const wsgi_target *t, request_rec *r, const char *name)
{
    return wsgi_expand(r->pool, expand_env(r, name), r->server, r->hostname, t->resource);
}

/* Returns the directory of a .htaccess file that may have set the request's variables, or NULL. The
 * files that httpd read for this request are known, but not which directives they have. */
static const char *setter_of_variables(const request_rec *r)
{
    for (const struct htaccess_result *h = r->htaccess; h; h = h->next)
        if (h->htaccess && (h->override & OR_FILEINFO ||
                            (h->override_list && !apr_is_empty_table(h->override_list))))
            return h->dir;
    return NULL;
}

static void set_process_group(wsgi_target *t, request_rec *r, const char *name)
{
    t->process_group = expand(t, r, name);
    t->foreign = variable_of(r->pool, name) ? setter_of_variables(r) : NULL;
    if (t->foreign)
        t->foreign = apr_pstrcat(r->pool, "the .htaccess file of ", t->foreign, NULL);
}

/* given is the alias or handler script that led here, or NULL. The sections say what it does not
 * say. */
static void set_names(wsgi_target *t, request_rec *r, const wsgi_alias *given)
{
    const wsgi_dir_config *dir = wsgi_dir_of(r);
    const char *process_group =
        given && given->process_group ? given->process_group : dir->process_group;
    const char *application_group =
        given && given->application_group ? given->application_group : dir->application_group;

    /* The URLs that reach a handler script, or one script through a regular expression, need not
     * lead to files of their own, so a client could make up any number of interpreters. */
    t->resource = t->is_handler_script    ? given->location
                  : given && given->regex ? t->script
                                          : script_name_of(r);
    set_process_group(t, r, process_group ? process_group : "");
    t->application_group = expand(t, r, application_group);
    t->callable = given && given->callable ? given->callable
                  : t->is_handler_script   ? "handle_request"
                                           : dir->callable;
    t->callable = expand_env(r, t->callable);
    t->pass_authorization = given && given->pass_authorization != WSGI_UNSET
                                ? given->pass_authorization
                                : dir->pass_authorization;
}

void wsgi_target_choose(wsgi_target *t, request_rec *r, const char *process_group,
                        const char *application_group, const char *callable)
{
    if (process_group)
        set_process_group(t, r, process_group);
    if (application_group)
        t->application_group = expand(t, r, application_group);
    if (callable)
        t->callable = expand_env(r, callable);
}

int wsgi_target_resolve(wsgi_target **out, request_rec *r)
{
    const wsgi_alias *alias = NULL, *handler = NULL;
    wsgi_target *t;
    int rc;

    if (!r->handler)
        return DECLINED;
    if (wsgi_is_own_handler(r->handler)) {
        alias = alias_of(r);
        rc = check_file(r, alias);
    } else if ((handler = handler_script_of(r))) {
        rc = OK;
    } else {
        return DECLINED;
    }
    if (rc != OK || (rc = check_path_info(r)) != OK)
        return rc;
    t = apr_pcalloc(r->pool, sizeof(*t));
    t->handler = r->handler;
    t->script_reloading = wsgi_dir_of(r)->script_reloading != 0;
    set_script(t, r, handler);
    set_names(t, r, handler ? handler : alias);
    *out = t;
    return OK;
}

void wsgi_target_register_hooks(apr_pool_t *p)
{
    static const char *const before[] = {"mod_alias.c", NULL};
    static const char *const after[] = {"mod_userdir.c", "mod_vhost_alias.c", NULL};
    static const char *const core[] = {"core.c", NULL};

    (void)p;
    ap_hook_translate_name(translate_name, before, after, APR_HOOK_MIDDLE);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_LAST); /* httpd answers TRACE first
                                                                        */
    ap_hook_fixups(fixups, NULL, core, APR_HOOK_REALLY_FIRST);
    ap_hook_log_transaction(log_denied, NULL, NULL, APR_HOOK_MIDDLE);
}
