#include "config/config.h"

#include "config/package.h"
#include "config/pythons.h"

#include <ap_listen.h>
#include <ap_regex.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>
#include <stdlib.h>
#include <unistd.h>

APLOG_USE_MODULE(wsgi);

static pid_t parent_pid;                /* Apache's, as far as this process knows */
static wsgi_server_config *main_config; /* of the configuration in force; set by post_config */

wsgi_server_config *wsgi_server_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &wsgi_module);
}

const wsgi_dir_config *wsgi_dir_of(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &wsgi_module);
}

wsgi_server_config *wsgi_main_config(void)
{
    return main_config;
}

void wsgi_config_remember_main(server_rec *s)
{
    main_config = wsgi_server_of(s);
    main_config->parent_pid = getpid();
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG)
        parent_pid = getpid(); /* before that, httpd may go on in another process */
}

int wsgi_is_parent(void)
{
    return !parent_pid || getpid() == parent_pid;
}

int wsgi_is_child(void)
{
    return getpid() != parent_pid || ap_exists_config_define("DEBUG") ||
           ap_exists_config_define("ONE_PROCESS");
}

apr_array_header_t *wsgi_list_in(apr_pool_t *p, const char *name, int element_size)
{
    apr_array_header_t *list = NULL;

    apr_pool_userdata_get((void **)&list, name, p);
    if (!list) {
        list = apr_array_make(p, 16, element_size);
        apr_pool_userdata_setn(list, name, NULL, p);
    }
    return list;
}

int wsgi_config_order(void)
{
    static int last; /* the configuration is read by one thread */

    return ++last;
}

static int compare_imports(const void *a, const void *b)
{
    return (*(const wsgi_import *const *)a)->order - (*(const wsgi_import *const *)b)->order;
}

apr_array_header_t *wsgi_imports_in_order(apr_pool_t *p, const server_rec *main_server)
{
    apr_array_header_t *all = apr_array_make(p, 8, sizeof(const wsgi_import *));

    for (const server_rec *s = main_server; s; s = s->next) {
        const apr_array_header_t *imports = wsgi_server_of(s)->imports;

        for (int i = 0; i < imports->nelts; i++)
            APR_ARRAY_PUSH(all, const wsgi_import *) = &APR_ARRAY_IDX(imports, i, wsgi_import);
    }
    qsort(all->elts, (size_t)all->nelts, sizeof(const wsgi_import *), compare_imports);
    return all;
}

const char *wsgi_where(cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num);
}

/* httpd has a pool for what lasts and one for what does not. Only for .htaccess files, which it
 * reads with each request, are both the request's. */
int wsgi_is_htaccess(const cmd_parms *cmd)
{
    return cmd->pool == cmd->temp_pool;
}

const char *wsgi_server_where(apr_pool_t *p, const server_rec *s)
{
    return s->is_virtual && s->defn_name
               ? apr_psprintf(p, "%s:%u", s->defn_name, s->defn_line_number)
               : NULL;
}

/* Returns the port that the configuration gives the server: that of ServerName, <VirtualHost> or
 * the first Listen; 0 when there is none. */
static apr_port_t port_of(const server_rec *s)
{
    apr_port_t port = s->port ? s->port : s->addrs ? s->addrs->host_port : 0;

    for (const ap_listen_rec *l = port ? NULL : ap_listeners; l; l = l->next)
        if (l->bind_addr)
            port = l->bind_addr->port; /* the list is in reverse order */
    return port;
}

static const char *with_port(apr_pool_t *p, const server_rec *s, const char *name)
{
    apr_port_t port = port_of(s);

    return port == 0 || port == 80 || port == 443 ? name
                                                  : apr_psprintf(p, "%s:%u", name, (unsigned)port);
}

const char *wsgi_server_name(apr_pool_t *p, const server_rec *s)
{
    return with_port(p, s, s->server_hostname ? s->server_hostname : "localhost");
}

const char *wsgi_host_name(apr_pool_t *p, const server_rec *s, const char *host)
{
    if (s->server_hostname && host && !strcasecmp(host, s->server_hostname))
        return wsgi_server_name(p, s); /* a ServerName may be an alias, too, in another case */
    for (int i = 0; host && s->names && i < s->names->nelts; i++) {
        const char *alias = APR_ARRAY_IDX(s->names, i, const char *);

        if (alias && !strcasecmp(host, alias))
            return with_port(p, s, alias);
    }
    return wsgi_server_name(p, s);
}

const char *wsgi_python_of_home(apr_pool_t *p, const char *root, const char *home)
{
    if (!home && main_config)
        home = main_config->python_home;
    return home ? wsgi_python_in(p, root, home) : wsgi_default_python(p);
}

const char *wsgi_global_name(const char *value)
{
    return strcmp(value, "%{GLOBAL}") == 0 ? "" : value;
}

/* Returns the end of letters, digits and underscores with dots between them, or NULL. */
static const char *skip_dotted_name(const char *at)
{
    for (;; at++) {
        if (!apr_isalpha(*at) && *at != '_')
            return NULL;
        while (apr_isalnum(*at) || *at == '_')
            at++;
        if (*at != '.')
            return at;
    }
}

const char *wsgi_script_path(apr_pool_t *p, const char *script)
{
    const char *colon = skip_dotted_name(script),
               *end = colon && *colon == ':' ? skip_dotted_name(colon + 1) : NULL;

    return end && (!*end || !strcmp(end, "()")) ? script : ap_server_root_relative(p, script);
}

int wsgi_is_module(const char *script)
{
    return *script != '/';
}

int wsgi_misses_slash(const char *location, const char *target)
{
    size_t len = strlen(location), target_len = strlen(target);

    return len > 1 && location[len - 1] == '/' && !wsgi_is_module(target) &&
           target[target_len - 1] != '/';
}

const char *wsgi_script_of(apr_pool_t *p, const char *target)
{
    char *path = apr_pstrdup(p, target), *slash;
    apr_status_t rv = APR_ENOTDIR;
    apr_finfo_t info;

    if (wsgi_is_module(target))
        return target;
    if (target[strlen(target) - 1] == '/')
        return NULL;                    /* meant as a directory, even if it does not exist yet */
    while (APR_STATUS_IS_ENOTDIR(rv)) { /* some file is an ancestor of the path */
        rv = apr_stat(&info, path, APR_FINFO_TYPE, p);
        if (rv == APR_SUCCESS || rv == APR_INCOMPLETE)
            return info.filetype == APR_DIR ? NULL : path;
        slash = strrchr(path, '/');
        if (!slash || slash == path)
            break;
        *slash = '\0';
    }
    return target;
}

/* ---- create and merge ---- */

void wsgi_interpreter_options_init(wsgi_interpreter_options *o)
{
    memset(o, 0, sizeof(*o));
    o->restrict_stdin = o->restrict_stdout = o->restrict_signal = o->own_gil = o->free_threading =
        WSGI_UNSET;
}

void *wsgi_server_create(apr_pool_t *p, server_rec *s)
{
    wsgi_server_config *c = apr_pcalloc(p, sizeof(*c));

    (void)s;
    c->aliases = apr_array_make(p, 4, sizeof(wsgi_alias));
    c->imports = apr_array_make(p, 2, sizeof(wsgi_import));
    c->groups = apr_array_make(p, 2, sizeof(wsgi_group *));
    c->warnings = apr_array_make(p, 2, sizeof(const char *));
    c->interpreter_options = apr_array_make(p, 2, sizeof(wsgi_interpreter_options));
    c->case_sensitive = c->destroy_interpreter = 1;
    c->slow_requests = WSGI_UNSET;
    wsgi_interpreter_options_init(&c->base);
    return c;
}

void *wsgi_server_merge(apr_pool_t *p, void *base_, void *add_)
{
    wsgi_server_config *base = base_, *add = add_, *c = apr_pmemdup(p, base, sizeof(*c));

    c->aliases = apr_array_append(p, add->aliases, base->aliases);
    c->imports = add->imports;
    return c;
}

void *wsgi_dir_create(apr_pool_t *p, char *dir)
{
    wsgi_dir_config *c = apr_pcalloc(p, sizeof(*c));

    (void)dir;
    c->pass_authorization = c->script_reloading = c->chunked_request = WSGI_UNSET;
    c->request_buffering = c->response_buffering = WSGI_UNSET;
    c->error_override = c->enable_sendfile = c->map_head = WSGI_UNSET;
    c->ignore_activity = c->pass_apache_request = c->shows_status = WSGI_UNSET;
    return c;
}

#define MERGE_PTR(field)  c->field = add->field ? add->field : base->field
#define MERGE_FLAG(field) c->field = add->field != WSGI_UNSET ? add->field : base->field

void *wsgi_dir_merge(apr_pool_t *p, void *base_, void *add_)
{
    wsgi_dir_config *base = base_, *add = add_, *c = apr_pcalloc(p, sizeof(*c));

    MERGE_PTR(process_group);
    MERGE_PTR(application_group);
    MERGE_PTR(callable);
    MERGE_PTR(access_script);
    MERGE_PTR(auth_user_script);
    MERGE_PTR(auth_group_script);
    MERGE_PTR(dispatch_script);
    if (base->handlers && add->handlers)
        c->handlers = apr_hash_overlay(p, add->handlers, base->handlers);
    else
        MERGE_PTR(handlers);
    MERGE_PTR(trusted_headers);
    MERGE_PTR(trusted_proxies);
    MERGE_PTR(hook_headers);
    MERGE_PTR(hook_proxies);
    MERGE_FLAG(pass_authorization);
    MERGE_FLAG(script_reloading);
    MERGE_FLAG(chunked_request);
    MERGE_FLAG(request_buffering);
    MERGE_FLAG(response_buffering);
    MERGE_FLAG(error_override);
    MERGE_FLAG(enable_sendfile);
    MERGE_FLAG(map_head);
    MERGE_FLAG(ignore_activity);
    MERGE_FLAG(pass_apache_request);
    MERGE_FLAG(shows_status);
    MERGE_PTR(restrict_process);
    return c;
}
