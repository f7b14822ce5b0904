#include "config.h"

#include "group.h"
#include "proxies.h"

#include <ap_regex.h>
#include <apr_strings.h>
#include <dlfcn.h>
#include <sys/param.h>
#include <unistd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>

APLOG_USE_MODULE(wsgi);

/* Given by the build: where a distribution puts the package, and the interpreter that the module was built for. */
#ifndef WSGI_PACKAGE_DIR
#define WSGI_PACKAGE_DIR "/usr/lib/python3/dist-packages/httpd_wsgi"
#endif
#ifndef WSGI_DEFAULT_PYTHON
#define WSGI_DEFAULT_PYTHON "/usr/bin/python3"
#endif

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
}

const char *wsgi_where(cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s:%d", cmd->directive->filename, cmd->directive->line_num);
}

const char *wsgi_server_name(apr_pool_t *p, const server_rec *s)
{
    const char *name = s->server_hostname ? s->server_hostname : "localhost";
    apr_port_t port = s->port ? s->port : s->addrs ? s->addrs->host_port : 0;

    return port == 0 || port == 80 || port == 443 ? name : apr_psprintf(p, "%s:%u", name, (unsigned)port);
}

const char *wsgi_python_of_home(apr_pool_t *p, const char *home)
{
    if (!home && main_config)
        home = main_config->python_home;
    return home ? apr_pstrcat(p, home, "/bin/python", NULL) : WSGI_DEFAULT_PYTHON;
}

/* The package surrounds the module when pip installed both; a distribution puts the module elsewhere. */
const char *wsgi_package_dir(void)
{
    static char directory[APR_PATH_MAX];
    Dl_info info;
    char *slash;

    if (directory[0])
        return directory;
    if (dladdr((void *)wsgi_package_dir, &info) && info.dli_fname && strlen(info.dli_fname) < APR_PATH_MAX - 16) {
        apr_cpystrn(directory, info.dli_fname, sizeof(directory));
        slash = strrchr(directory, '/');
        if (slash) {
            strcpy(slash, "/_boot.py");
            if (access(directory, F_OK) == 0) {
                *slash = '\0';
                return directory;
            }
        }
    }
    apr_cpystrn(directory, WSGI_PACKAGE_DIR, sizeof(directory));
    return directory;
}

/* Levenshtein distance, the words are short. */
static int distance(const char *a, const char *b)
{
    int row[64], n = (int)strlen(b);

    if (n > 62 || strlen(a) > 62)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int above_left = row[0];

        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int cost = above_left + (a[i - 1] != b[j - 1]);

            above_left = row[j];
            row[j] = MIN(cost, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

const char *wsgi_nearest(apr_pool_t *p, const char *word, const char *const *names)
{
    const char *best = NULL;
    int best_distance = 4;

    (void)p;
    for (; *names; names++) {
        int d = distance(word, *names);

        if (d < best_distance) {
            best_distance = d;
            best = *names;
        }
    }
    return best;
}

/* ---- create and merge ---- */

void *wsgi_server_create(apr_pool_t *p, server_rec *s)
{
    wsgi_server_config *c = apr_pcalloc(p, sizeof(*c));

    (void)s;
    c->aliases = apr_array_make(p, 4, sizeof(wsgi_alias));
    c->groups = apr_array_make(p, 2, sizeof(wsgi_group *));
    c->restrict_embedded = WSGI_UNSET;
    return c;
}

void *wsgi_server_merge(apr_pool_t *p, void *base_, void *add_)
{
    wsgi_server_config *base = base_, *add = add_, *c = apr_pmemdup(p, base, sizeof(*c));

    c->aliases = apr_array_append(p, add->aliases, base->aliases);
    return c;
}

void *wsgi_dir_create(apr_pool_t *p, char *dir)
{
    wsgi_dir_config *c = apr_pcalloc(p, sizeof(*c));

    (void)dir;
    c->pass_authorization = c->script_reloading = c->chunked_request = WSGI_UNSET;
    c->request_buffering = c->response_buffering = WSGI_UNSET;
    c->error_override = c->enable_sendfile = c->map_head = WSGI_UNSET;
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
    MERGE_PTR(trusted_headers);
    MERGE_PTR(trusted_proxies);
    MERGE_FLAG(pass_authorization);
    MERGE_FLAG(script_reloading);
    MERGE_FLAG(chunked_request);
    MERGE_FLAG(request_buffering);
    MERGE_FLAG(response_buffering);
    MERGE_FLAG(error_override);
    MERGE_FLAG(enable_sendfile);
    MERGE_FLAG(map_head);
    return c;
}

/* ---- directives ---- */

static const char *const alias_options[] = {"process-group", "application-group", "callable-object", "pass-authorization",
                                            NULL};

static const char *global_name(const char *value)
{
    return strcmp(value, "%{GLOBAL}") == 0 ? "" : value;
}

/* Splits "name=value" and stores it in the alias. */
static const char *set_alias_option(cmd_parms *cmd, wsgi_alias *alias, const char *word)
{
    const char *equals = strchr(word, '='), *name, *value, *near;

    name = equals ? apr_pstrmemdup(cmd->pool, word, (apr_size_t)(equals - word)) : word;
    near = wsgi_nearest(cmd->pool, name, alias_options);
    value = equals ? equals + 1 : "";
    if (equals && *value) {
        if (!strcmp(name, "process-group"))
            return alias->process_group = global_name(value), NULL;
        if (!strcmp(name, "application-group"))
            return alias->application_group = global_name(value), NULL;
        if (!strcmp(name, "callable-object"))
            return alias->callable = value, NULL;
        if (!strcmp(name, "pass-authorization")) {
            if (strcasecmp(value, "On") && strcasecmp(value, "Off"))
                return apr_psprintf(cmd->pool, "%s: pass-authorization=%s: expected On or Off", cmd->cmd->name, value);
            return alias->pass_authorization = !strcasecmp(value, "On"), NULL;
        }
    }
    return apr_psprintf(cmd->pool, "%s: option '%s' is not valid%s%s%s; valid are process-group=, application-group=, "
                        "callable-object= and pass-authorization=, each with a value", cmd->cmd->name, word,
                        near ? ", did you mean " : "", near ? near : "", near ? "=" : "");
}

static const char *add_alias(cmd_parms *cmd, const char *args, int is_match)
{
    wsgi_alias *alias = apr_array_push(wsgi_server_of(cmd->server)->aliases);
    const char *location = ap_getword_conf(cmd->pool, &args), *target = ap_getword_conf(cmd->pool, &args), *error = NULL;

    if (!*location || !*target)
        return apr_psprintf(cmd->pool, "%s needs a %s and a file or directory", cmd->cmd->name,
                            is_match ? "regular expression" : "URL path");
    alias->target = is_match ? target : ap_server_root_relative(cmd->pool, target);
    alias->pass_authorization = WSGI_UNSET;
    alias->where = wsgi_where(cmd);
    if (is_match) {
        alias->regex = ap_pregcomp(cmd->pool, location, AP_REG_EXTENDED);
        if (!alias->regex)
            return apr_psprintf(cmd->pool, "%s: '%s' is not a valid regular expression", cmd->cmd->name, location);
    } else {
        alias->location = location;
        if (*location != '/')
            return apr_psprintf(cmd->pool, "%s: the URL path '%s' must begin with /", cmd->cmd->name, location);
    }
    while (!error && *args)
        error = set_alias_option(cmd, alias, ap_getword_conf(cmd->pool, &args));
    return error;
}

static const char *set_script_alias(cmd_parms *cmd, void *unused, const char *args)
{
    (void)unused;
    return add_alias(cmd, args, 0);
}

static const char *set_script_alias_match(cmd_parms *cmd, void *unused, const char *args)
{
    (void)unused;
    return add_alias(cmd, args, 1);
}

static const char *set_daemon_process(cmd_parms *cmd, void *unused, const char *args)
{
    (void)unused;
    return wsgi_group_define(cmd, args);
}

/* A string of the main server; info is the offset. */
static const char *set_global_string(cmd_parms *cmd, void *unused, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)unused;
    if (!error)
        *(const char **)((char *)wsgi_server_of(cmd->server) + (apr_size_t)cmd->info) = value;
    return error;
}

static const char *set_global_path(cmd_parms *cmd, void *unused, const char *value)
{
    return set_global_string(cmd, unused, ap_server_root_relative(cmd->pool, value));
}

static const char *set_restrict_embedded(cmd_parms *cmd, void *unused, int on)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)unused;
    if (!error)
        wsgi_server_of(cmd->server)->restrict_embedded = on;
    return error;
}

/* A string per directory; info is the offset. */
static const char *set_dir_string(cmd_parms *cmd, void *dir, const char *value)
{
    *(const char **)((char *)dir + (apr_size_t)cmd->info) = value;
    return NULL;
}

static const char *set_map_head(cmd_parms *cmd, void *dir, const char *value)
{
    wsgi_dir_config *c = dir;

    if (!strcasecmp(value, "On"))
        c->map_head = WSGI_HEAD_ON;
    else if (!strcasecmp(value, "Off"))
        c->map_head = WSGI_HEAD_OFF;
    else if (!strcasecmp(value, "Auto"))
        c->map_head = WSGI_HEAD_AUTO;
    else
        return apr_psprintf(cmd->pool, "%s %s: expected On, Off or Auto", cmd->cmd->name, value);
    return NULL;
}

static const char *add_trusted_header(cmd_parms *cmd, void *dir, const char *name)
{
    return wsgi_proxies_add_header(cmd, &((wsgi_dir_config *)dir)->trusted_headers, name);
}

static const char *add_trusted_proxy(cmd_parms *cmd, void *dir, const char *network)
{
    return wsgi_proxies_add_network(cmd, &((wsgi_dir_config *)dir)->trusted_proxies, network);
}

#define IN_SERVER(f) ((void *)APR_OFFSETOF(wsgi_server_config, f))
#define IN_DIR(f)    ((void *)APR_OFFSETOF(wsgi_dir_config, f))
#define CTX_G        RSRC_CONF               /* main server only, checked by the setter */
#define CTX_S        RSRC_CONF               /* main server and virtual hosts */
#define CTX_D        (RSRC_CONF | ACCESS_CONF)
#define CTX_FILEINFO OR_FILEINFO

const command_rec wsgi_commands[] = {
    AP_INIT_RAW_ARGS("WSGIScriptAlias", set_script_alias, NULL, CTX_S,
                     "URL path, script file or directory, and options"),
    AP_INIT_RAW_ARGS("WSGIScriptAliasMatch", set_script_alias_match, NULL, CTX_S,
                     "regular expression for the URL path, script file or directory, and options"),
    AP_INIT_RAW_ARGS("WSGIDaemonProcess", set_daemon_process, NULL, CTX_S, "name of the daemon group, and options"),
    AP_INIT_TAKE1("WSGIProcessGroup", set_dir_string, IN_DIR(process_group), CTX_D, "name of a daemon group, or %{GLOBAL}"),
    AP_INIT_TAKE1("WSGIApplicationGroup", set_dir_string, IN_DIR(application_group), CTX_D,
                  "name of an interpreter, or %{GLOBAL}"),
    AP_INIT_TAKE1("WSGICallableObject", set_dir_string, IN_DIR(callable), CTX_FILEINFO,
                  "name of the application object in the script"),
    AP_INIT_FLAG("WSGIPassAuthorization", ap_set_flag_slot, IN_DIR(pass_authorization), CTX_FILEINFO,
                 "On to pass the Authorization header to the application"),
    AP_INIT_FLAG("WSGIScriptReloading", ap_set_flag_slot, IN_DIR(script_reloading), CTX_FILEINFO,
                 "Off to ignore changes of script files"),
    AP_INIT_FLAG("WSGIChunkedRequest", ap_set_flag_slot, IN_DIR(chunked_request), CTX_FILEINFO,
                 "Off to refuse request bodies of unknown length"),
    AP_INIT_FLAG("WSGIRequestBuffering", ap_set_flag_slot, IN_DIR(request_buffering), CTX_FILEINFO,
                 "Off to let a daemon's application read the request body while it arrives"),
    AP_INIT_FLAG("WSGIResponseBuffering", ap_set_flag_slot, IN_DIR(response_buffering), CTX_FILEINFO,
                 "Off to let a daemon's application wait for slow clients"),
    AP_INIT_FLAG("WSGIErrorOverride", ap_set_flag_slot, IN_DIR(error_override), CTX_FILEINFO,
                 "On to replace the application's error pages by Apache's"),
    AP_INIT_FLAG("WSGIEnableSendfile", ap_set_flag_slot, IN_DIR(enable_sendfile), CTX_FILEINFO,
                 "On to let the kernel send the files of wsgi.file_wrapper"),
    AP_INIT_TAKE1("WSGIMapHEADToGET", set_map_head, NULL, CTX_FILEINFO, "On, Off or Auto"),
    AP_INIT_ITERATE("WSGITrustedProxyHeaders", add_trusted_header, NULL, CTX_FILEINFO,
                    "names of request headers that trusted proxies set"),
    AP_INIT_ITERATE("WSGITrustedProxies", add_trusted_proxy, NULL, CTX_FILEINFO, "addresses and networks of trusted proxies"),
    AP_INIT_TAKE1("WSGIPythonHome", set_global_path, IN_SERVER(python_home), CTX_G,
                  "prefix of a Python installation or virtual environment"),
    AP_INIT_TAKE1("WSGIPythonPath", set_global_string, IN_SERVER(python_path), CTX_G,
                  "directories for sys.path, separated by ':'"),
    AP_INIT_TAKE1("WSGISocketPrefix", set_global_string, IN_SERVER(socket_prefix), CTX_G,
                  "path prefix under which sockets are created"),
    AP_INIT_FLAG("WSGIRestrictEmbedded", set_restrict_embedded, NULL, CTX_G,
                 "On to refuse requests that would run in Apache's own processes"),
    {NULL, {NULL}, NULL, 0, 0, NULL},
};
