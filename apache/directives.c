/* directives.c - the directives as httpd reads them: one table, and a setter for each kind of
 * value. */
#include "directives.h"

#include "config/config.h"
#include "config/group.h"
#include "config/hooks.h"
#include "config/interpreters.h"
#include "config/names.h"
#include "config/options.h"
#include "config/telemetry.h"
#include "config/uses.h"
#include "request/proxies.h"

#include <ap_regex.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <stdlib.h>

APLOG_USE_MODULE(wsgi);

/* ---- values ---- */

static const char *read_flag(cmd_parms *cmd, const char *name, const char *value, int *flag)
{
    if (!value)
        return NULL;
    if (strcasecmp(value, "On") && strcasecmp(value, "Off"))
        return apr_psprintf(cmd->pool, "%s: %s=%s: expected On or Off", cmd->cmd->name, name,
                            value);
    *flag = !strcasecmp(value, "On");
    return NULL;
}

static const char *global_or_null(const char *value)
{
    return value ? wsgi_global_name(value) : NULL;
}

/* ---- mapping ---- */

static int is_spelled_out(const char *name)
{
    return name && !strstr(name, "%{");
}

/* An alias that says where it runs is loaded before its first request. */
static void import_alias(cmd_parms *cmd, const wsgi_alias *alias)
{
    if (is_spelled_out(alias->process_group) && is_spelled_out(alias->application_group) &&
        alias->script) {
        wsgi_import *import = apr_array_push(wsgi_server_of(cmd->server)->imports);

        *import = (wsgi_import){.script = alias->script,
                                .process_group = alias->process_group,
                                .application_group = alias->application_group,
                                .where = alias->where,
                                .order = alias->order,
                                .server = cmd->server,
                                .callable = alias->callable                 ? alias->callable
                                            : wsgi_is_module(alias->script) ? "application"
                                                                            : ""};
    }
}

/* The options that an alias and a handler script have in common. */
static const char *read_alias_options(cmd_parms *cmd, const char *args, wsgi_alias *alias)
{
    const char *error, *pass = NULL;
    const wsgi_named_value options[] = {
        {"process-group", &alias->process_group},
        {"application-group", &alias->application_group},
        {"callable-object", &alias->callable},
        {"pass-authorization", &pass},
        {NULL, NULL},
    };

    alias->where = wsgi_where(cmd);
    alias->order = wsgi_config_order();
    alias->pass_authorization = WSGI_UNSET;
    error = wsgi_options_read(cmd, args, options);
    if (!error)
        error = read_flag(cmd, "pass-authorization", pass, &alias->pass_authorization);
    if (!error && alias->callable && wsgi_is_module(alias->target) && !strchr(alias->target, '$'))
        error =
            apr_psprintf(cmd->pool, "%s: %s names its callable already; remove callable-object=%s",
                         cmd->cmd->name, alias->target, alias->callable);
    alias->process_group = global_or_null(alias->process_group);
    alias->application_group = global_or_null(alias->application_group);
    wsgi_uses_note(cmd, alias->process_group, alias->script ? alias->script : alias->target, 1);
    return error;
}

static const char *add_alias(cmd_parms *cmd, const char *args, int is_match)
{
    wsgi_alias *alias = apr_array_push(wsgi_server_of(cmd->server)->aliases);
    const char *location = ap_getword_conf(cmd->pool, &args),
               *target = ap_getword_conf(cmd->pool, &args), *error;

    if (!*location || !*target)
        return apr_psprintf(cmd->pool, "%s needs a %s and a file or directory", cmd->cmd->name,
                            is_match ? "regular expression" : "URL path");
    alias->target = is_match && strchr(target, '$') ? target : wsgi_script_path(cmd->pool, target);
    alias->script =
        is_match && strchr(target, '$') ? NULL : wsgi_script_of(cmd->pool, alias->target);
    if (is_match) {
        alias->regex = ap_pregcomp(cmd->pool, location, AP_REG_EXTENDED);
        if (!alias->regex)
            return apr_psprintf(cmd->pool, "%s: '%s' is not a valid regular expression",
                                cmd->cmd->name, location);
    } else {
        alias->location = location;
        if (*location != '/')
            return apr_psprintf(cmd->pool, "%s: the URL path '%s' must begin with /",
                                cmd->cmd->name, location);
    }
    error = read_alias_options(cmd, args, alias);
    if (!error && !is_match)
        wsgi_uses_note_slash(cmd, location, alias->target);
    if (!error)
        import_alias(cmd, alias);
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

/* A script that Apache asks; info is the offset in the directory's settings. */
static const char *set_hook(cmd_parms *cmd, void *dir, const char *args)
{
    wsgi_hook *hook = apr_pcalloc(cmd->pool, sizeof(*hook));
    const wsgi_named_value options[] = {{"process-group", &hook->process_group},
                                        {"application-group", &hook->application_group},
                                        {NULL, NULL}};
    const char *path = ap_getword_conf(cmd->pool, &args),
               *error = wsgi_options_read(cmd, args, options);

    if (!*path)
        return apr_psprintf(cmd->pool, "%s needs a file, for example %s /srv/auth.py",
                            cmd->cmd->name, cmd->cmd->name);
    hook->directive = cmd->cmd->name;
    hook->script = wsgi_script_path(cmd->pool, path);
    hook->process_group = hook->process_group ? wsgi_global_name(hook->process_group) : "";
    hook->application_group =
        hook->application_group ? wsgi_global_name(hook->application_group) : "";
    hook->where = wsgi_where(cmd);
    hook->server = cmd->server;
    hook->is_htaccess = wsgi_is_htaccess(cmd);
    *(const wsgi_hook **)((char *)dir + (apr_size_t)cmd->info) = hook;
    APR_ARRAY_PUSH(wsgi_hooks_defined(cmd->pool), const wsgi_hook *) = hook;
    wsgi_uses_note(cmd, hook->process_group, hook->script, 0);
    return error;
}

/* Its functions have fixed names, so a callable says nothing. */
static const char *set_dispatch_script(cmd_parms *cmd, void *dir, const char *args)
{
    const char *error = set_hook(cmd, dir, args);
    const wsgi_hook *hook = ((wsgi_dir_config *)dir)->dispatch_script;

    wsgi_uses_note(cmd, "%", NULL, 1); /* it may choose any group */
    if (!error && wsgi_is_module(hook->script))
        error = apr_psprintf(
            cmd->pool,
            "%s %s: expected a file; its functions process_group(), application_group() and "
            "callable_object() are asked",
            cmd->cmd->name, hook->script);
    return error;
}

/* AddHandler changes names to lower case, so their case must not matter. */
static const char *add_handler_script(cmd_parms *cmd, void *dir, const char *args)
{
    wsgi_dir_config *c = dir;
    wsgi_alias *handler = apr_pcalloc(cmd->pool, sizeof(*handler));
    char *name = ap_getword_conf(cmd->pool, &args);
    const char *path = ap_getword_conf(cmd->pool, &args);

    if (!*name || !*path || strchr(name, '='))
        return apr_psprintf(
            cmd->pool,
            "%s needs the name of a handler and a file, for example %s report /srv/report.py",
            cmd->cmd->name, cmd->cmd->name);
    ap_str_tolower(name);
    if (wsgi_is_own_handler(name))
        return apr_psprintf(cmd->pool,
                            "%s: the handler %s runs WSGI scripts themselves; choose another name",
                            cmd->cmd->name, name);
    handler->location = name;
    handler->target = wsgi_script_path(cmd->pool, path);
    if (!c->handlers)
        c->handlers = apr_hash_make(cmd->pool);
    apr_hash_set(c->handlers, name, APR_HASH_KEY_STRING, handler);
    return read_alias_options(cmd, args, handler);
}

static const char *set_daemon_process(cmd_parms *cmd, void *unused, const char *args)
{
    (void)unused;
    return wsgi_group_define(cmd, args);
}

static const char *add_import(cmd_parms *cmd, void *unused, const char *args)
{
    wsgi_import *import = apr_array_push(wsgi_server_of(cmd->server)->imports);
    const wsgi_named_value options[] = {{"process-group", &import->process_group},
                                        {"application-group", &import->application_group},
                                        {NULL, NULL}};
    const char *path = ap_getword_conf(cmd->pool, &args), *error;

    (void)unused;
    memset(import, 0, sizeof(*import));
    import->script = wsgi_script_path(cmd->pool, path);
    import->where = wsgi_where(cmd);
    import->order = wsgi_config_order();
    import->server = cmd->server;
    error = wsgi_options_read(cmd, args, options);
    if (!error && (!*path || !import->process_group || !import->application_group))
        error = apr_psprintf(cmd->pool,
                             "%s needs a file, process-group= and application-group=, for example "
                             "process-group=shop application-group=%%{GLOBAL}",
                             cmd->cmd->name);
    import->process_group = global_or_null(import->process_group);
    import->application_group = global_or_null(import->application_group);
    wsgi_uses_note(cmd, import->process_group, import->script, 0);
    return error;
}

static const char *add_allowed_group(cmd_parms *cmd, void *dir, const char *args)
{
    wsgi_dir_config *c = dir;

    c->restrict_process = apr_array_make(cmd->pool, 4, sizeof(const char *));
    while (*args) {
        const char *name = ap_getword_conf(cmd->pool, &args);

        if (*name)
            APR_ARRAY_PUSH(c->restrict_process, const char *) = wsgi_global_name(name);
    }
    return NULL;
}

/* ---- the main server ---- */

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

static const char *set_python_home(cmd_parms *cmd, void *unused, const char *value)
{
    wsgi_server_of(cmd->server)->python_home_where = wsgi_where(cmd);
    return set_global_path(cmd, unused, value);
}

static const char *set_global_flag(cmd_parms *cmd, void *unused, int on)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)unused;
    if (!error)
        *(int *)((char *)wsgi_server_of(cmd->server) + (apr_size_t)cmd->info) = on;
    return error;
}

static const char *set_optimize(cmd_parms *cmd, void *unused, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)unused;
    if (!error && (*value < '0' || *value > '2' || value[1]))
        error = apr_psprintf(cmd->pool, "%s %s: expected 0, 1 or 2", cmd->cmd->name, value);
    if (!error)
        wsgi_server_of(cmd->server)->optimize = *value - '0';
    return error;
}

static const char *set_hash_seed(cmd_parms *cmd, void *unused, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    char *end;

    (void)unused;
    if (!error && *value && strcmp(value, "random") &&
        (!apr_isdigit(*value) || apr_strtoi64(value, &end, 10) > 4294967295 || *end))
        error = apr_psprintf(cmd->pool, "%s %s: expected random or a number from 0 to 4294967295",
                             cmd->cmd->name, value);
    if (!error)
        wsgi_server_of(cmd->server)->hash_seed = *value ? value : "random";
    return error;
}

static const char *add_warning(cmd_parms *cmd, void *unused, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)unused;
    if (!error)
        APR_ARRAY_PUSH(wsgi_server_of(cmd->server)->warnings, const char *) = value;
    return error;
}

/* ---- directives without effect ---- */

/* Known from mod_wsgi of some age, so a configuration with them still loads. */
typedef struct obsolete {
    const char *const *words; /* the values there are, NULL-terminated; NULL: any */
    const char *expected;     /* the same as text */
    const char *why;          /* nothing happens */
} obsolete;

static const char *const flag_words[] = {"On", "Off", NULL};
static const char *const mutex_words[] = {"default",  "flock",   "fcntl", "sysvsem",
                                          "posixsem", "pthread", NULL};

/* A wrong value is an error all the same: it shows that something else was meant. */
static const char *accept_obsolete(cmd_parms *cmd, void *unused, const char *value)
{
    const obsolete *o = cmd->info;
    const char *const *word = o->words;

    (void)unused;
    while (word && *word && strcasecmp(*word, value))
        word++;
    if (word && !*word)
        return apr_psprintf(cmd->pool, "%s %s: expected %s", cmd->cmd->name, value, o->expected);
    wsgi_uses_note_obsolete(cmd, o->why);
    return NULL;
}

/* ---- directories ---- */

/* A string per directory; info is the offset. */
static const char *set_dir_string(cmd_parms *cmd, void *dir, const char *value)
{
    *(const char **)((char *)dir + (apr_size_t)cmd->info) = value;
    wsgi_uses_note_name(cmd, value);
    return NULL;
}

static const char *set_process_group(cmd_parms *cmd, void *dir, const char *value)
{
    ((wsgi_dir_config *)dir)->process_group = value;
    wsgi_uses_note(cmd, wsgi_global_name(value), NULL, 1);
    wsgi_uses_note_name(cmd, value);
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
    wsgi_dir_config *c = dir;
    const char *error = wsgi_proxies_add_header(cmd, &c->trusted_headers, name);

    if (!wsgi_is_htaccess(cmd))
        c->hook_headers = c->trusted_headers;
    return error;
}

static const char *add_trusted_proxy(cmd_parms *cmd, void *dir, const char *network)
{
    wsgi_dir_config *c = dir;
    const char *error = wsgi_proxies_add_network(cmd, &c->trusted_proxies, network);

    if (!wsgi_is_htaccess(cmd))
        c->hook_proxies = c->trusted_proxies;
    return error;
}

/* httpd's own directive, noted here as well: anybody who writes a .htaccess file may set a handler,
 * but the status of all groups is shown only where the server's own configuration says so. */
static const char *note_handler(cmd_parms *cmd, void *dir, const char *name)
{
    ((wsgi_dir_config *)dir)->shows_status =
        !wsgi_is_htaccess(cmd) && !strcasecmp(name, WSGI_STATUS_HANDLER_NAME);
    return DECLINE_CMD;
}

#define IN_SERVER(f) ((void *)APR_OFFSETOF(wsgi_server_config, f))
#define IN_DIR(f)    ((void *)APR_OFFSETOF(wsgi_dir_config, f))
#define IN_INTERP(f) ((void *)APR_OFFSETOF(wsgi_interpreter_options, f))
#define CTX_G        RSRC_CONF /* main server only, checked by the setter */
#define CTX_I        RSRC_CONF /* main server, and sections for interpreters */
#define CTX_S        RSRC_CONF /* main server and virtual hosts */
#define CTX_D        (RSRC_CONF | ACCESS_CONF)
#define CTX_FILEINFO OR_FILEINFO
#define CTX_AUTHCFG  OR_AUTHCFG
#define CTX_ANY      OR_ALL
#define ANY          NULL, NULL
#define FLAG_WORD    flag_words, "On or Off"
#define MUTEX_WORD   mutex_words, "default, flock, fcntl, sysvsem, posixsem or pthread"
#define OBSOLETE(name, words, why)                                                                 \
    AP_INIT_TAKE1(name, accept_obsolete, (void *)&((const obsolete){words, why}), CTX_ANY,         \
                  "which has no effect")
/* A directive of httpd that is read here, too; httpd calls every module that knows it. */
#define NOTED(name, function, where)                                                               \
    AP_INIT_TAKE1(name, function, NULL, where, "see httpd's manual")

const command_rec wsgi_commands[] = {
    AP_INIT_RAW_ARGS("WSGIScriptAlias", set_script_alias, NULL, CTX_S,
                     "URL path, script file or directory, and options"),
    AP_INIT_RAW_ARGS("WSGIScriptAliasMatch", set_script_alias_match, NULL, CTX_S,
                     "regular expression for the URL path, script file or directory, and options"),
    AP_INIT_RAW_ARGS("WSGIHandlerScript", add_handler_script, NULL, CTX_D,
                     "name of a handler, script file, and options"),
    AP_INIT_RAW_ARGS("WSGIDispatchScript", set_dispatch_script, IN_DIR(dispatch_script), CTX_D,
                     "script file that chooses where requests run, and options"),
    AP_INIT_RAW_ARGS("WSGIAccessScript", set_hook, IN_DIR(access_script), CTX_AUTHCFG,
                     "script file that allows or refuses clients, and options"),
    AP_INIT_RAW_ARGS("WSGIAuthUserScript", set_hook, IN_DIR(auth_user_script), CTX_AUTHCFG,
                     "script file that knows passwords, and options"),
    AP_INIT_RAW_ARGS("WSGIAuthGroupScript", set_hook, IN_DIR(auth_group_script), CTX_AUTHCFG,
                     "script file that knows users' groups, and options"),
    AP_INIT_RAW_ARGS("WSGIDaemonProcess", set_daemon_process, NULL, CTX_S,
                     "name of the daemon group, and options"),
    AP_INIT_TAKE1("WSGIProcessGroup", set_process_group, NULL, CTX_D,
                  "name of a daemon group, or %{GLOBAL}"),
    AP_INIT_TAKE1("WSGIApplicationGroup", set_dir_string, IN_DIR(application_group), CTX_D,
                  "name of an interpreter, or %{GLOBAL}"),
    AP_INIT_TAKE1("WSGICallableObject", set_dir_string, IN_DIR(callable), CTX_FILEINFO,
                  "name of the application object in the script"),
    AP_INIT_FLAG("WSGIPassAuthorization", ap_set_flag_slot, IN_DIR(pass_authorization),
                 CTX_FILEINFO, "On to pass the Authorization header to the application"),
    AP_INIT_FLAG("WSGIScriptReloading", ap_set_flag_slot, IN_DIR(script_reloading), CTX_FILEINFO,
                 "Off to ignore changes of script files"),
    AP_INIT_FLAG("WSGIChunkedRequest", ap_set_flag_slot, IN_DIR(chunked_request), CTX_FILEINFO,
                 "Off to refuse request bodies of unknown length"),
    AP_INIT_FLAG("WSGIRequestBuffering", ap_set_flag_slot, IN_DIR(request_buffering), CTX_FILEINFO,
                 "Off to let a daemon's application read the request body while it arrives"),
    AP_INIT_FLAG("WSGIResponseBuffering", ap_set_flag_slot, IN_DIR(response_buffering),
                 CTX_FILEINFO, "Off to let a daemon's application wait for slow clients"),
    AP_INIT_FLAG("WSGIErrorOverride", ap_set_flag_slot, IN_DIR(error_override), CTX_FILEINFO,
                 "On to replace the application's error pages by Apache's"),
    AP_INIT_FLAG("WSGIEnableSendfile", ap_set_flag_slot, IN_DIR(enable_sendfile), CTX_FILEINFO,
                 "On to let the kernel send the files of wsgi.file_wrapper"),
    AP_INIT_TAKE1("WSGIMapHEADToGET", set_map_head, NULL, CTX_FILEINFO, "On, Off or Auto"),
    AP_INIT_ITERATE("WSGITrustedProxyHeaders", add_trusted_header, NULL, CTX_FILEINFO,
                    "names of request headers that trusted proxies set"),
    AP_INIT_ITERATE("WSGITrustedProxies", add_trusted_proxy, NULL, CTX_FILEINFO,
                    "addresses and networks of trusted proxies"),
    AP_INIT_TAKE1("WSGIPythonHome", set_python_home, IN_SERVER(python_home), CTX_G,
                  "prefix of a Python installation or virtual environment"),
    AP_INIT_TAKE1("WSGIPythonEggs", set_global_path, IN_SERVER(python_eggs), CTX_G,
                  "directory for PYTHON_EGG_CACHE in embedded mode"),
    AP_INIT_TAKE1("WSGIPythonPath", wsgi_interpreters_set_path, NULL, CTX_I,
                  "directories for sys.path, separated by ':'"),
    AP_INIT_TAKE1("WSGIPythonOptimize", set_optimize, NULL, CTX_G, "0, 1 or 2"),
    AP_INIT_TAKE1("WSGIPythonHashSeed", set_hash_seed, NULL, CTX_G, "random, or a number"),
    AP_INIT_TAKE1("WSGIPythonWarnings", add_warning, NULL, CTX_G,
                  "a warning filter, as for python -W"),
    AP_INIT_FLAG("WSGIDontWriteBytecode", set_global_flag, IN_SERVER(dont_write_bytecode), CTX_G,
                 "On to write no .pyc files"),
    AP_INIT_FLAG("WSGIDestroyInterpreter", set_global_flag, IN_SERVER(destroy_interpreter), CTX_G,
                 "Off to end processes without atexit functions and without waiting for threads"),
    AP_INIT_FLAG("WSGICaseSensitivity", set_global_flag, IN_SERVER(case_sensitive), CTX_G,
                 "Off where file names differ in more than case"),
    AP_INIT_FLAG("WSGIServerMetrics", set_global_flag, IN_SERVER(server_metrics), CTX_G,
                 "On to let embedded applications see Apache's scoreboard"),
    AP_INIT_TAKE1("WSGISwitchInterval", wsgi_interpreters_set_switch_interval, NULL, CTX_I,
                  "seconds"),
    AP_INIT_FLAG("WSGIRestrictStdin", wsgi_interpreters_set_flag, IN_INTERP(restrict_stdin), CTX_I,
                 "On to make sys.stdin unusable"),
    AP_INIT_FLAG("WSGIRestrictStdout", wsgi_interpreters_set_flag, IN_INTERP(restrict_stdout),
                 CTX_I, "On to make sys.stdout unusable"),
    AP_INIT_FLAG("WSGIRestrictSignal", wsgi_interpreters_set_flag, IN_INTERP(restrict_signal),
                 CTX_I, "Off to let applications install signal handlers"),
    AP_INIT_FLAG("WSGIPerInterpreterGIL", wsgi_interpreters_set_flag, IN_INTERP(own_gil), CTX_I,
                 "On to give sub-interpreters a lock of their own (Python 3.12)"),
    AP_INIT_FLAG("WSGIFreeThreading", wsgi_interpreters_set_free_threading,
                 IN_INTERP(free_threading), CTX_I,
                 "On to run a free-threaded Python without its lock"),
    AP_INIT_RAW_ARGS("<WSGIInterpreterOptions", wsgi_interpreters_read_section, NULL, CTX_G,
                     "options for the interpreters of a group"),
    AP_INIT_RAW_ARGS("WSGIImportScript", add_import, NULL, CTX_S,
                     "file to load when a process starts, and where"),
    AP_INIT_RAW_ARGS("WSGIRestrictProcess", add_allowed_group, NULL, CTX_D,
                     "names of the daemon groups that may be chosen"),
    AP_INIT_FLAG("WSGIPassApacheRequest", ap_set_flag_slot, IN_DIR(pass_apache_request), CTX_D,
                 "On to pass apache.request_rec in embedded mode"),
    AP_INIT_FLAG("WSGIIgnoreActivity", ap_set_flag_slot, IN_DIR(ignore_activity), CTX_FILEINFO,
                 "On for requests that do not count for inactivity-timeout"),
    AP_INIT_TAKE1("WSGISocketPrefix", set_global_string, IN_SERVER(socket_prefix), CTX_G,
                  "path prefix under which sockets are created"),
    AP_INIT_FLAG("WSGIRestrictEmbedded", set_global_flag, IN_SERVER(restrict_embedded), CTX_G,
                 "On to refuse requests that would run in Apache's own processes"),
    AP_INIT_TAKE12("WSGITelemetryService", wsgi_telemetry_set_service, NULL, CTX_G,
                   "unix: and the path of the socket that processes report to, and interval="),
    AP_INIT_RAW_ARGS("WSGITelemetryOptions", wsgi_telemetry_set_options, NULL, CTX_G,
                     "what is reported besides"),
    AP_INIT_TAKE1("WSGISlowRequests", wsgi_telemetry_set_slow, NULL, CTX_G,
                  "seconds from which on a request is slow"),
    NOTED("SetHandler", note_handler, OR_FILEINFO),
    OBSOLETE("WSGIAcceptMutex", MUTEX_WORD, "workers share one socket without a mutex"),
    OBSOLETE("WSGISocketRotation", FLAG_WORD, "sockets have no names that could change"),
    OBSOLETE("WSGILazyInitialization", FLAG_WORD,
             "Apache's processes always load Python only when a request needs it"),
    OBSOLETE("WSGINewRelicConfigFile", ANY,
             "start the agent in the WSGI script, as its documentation says"),
    OBSOLETE("WSGINewRelicEnvironment", ANY,
             "start the agent in the WSGI script, as its documentation says"),
    OBSOLETE("WSGIUserAuthoritative", FLAG_WORD,
             "httpd 2.4 asks the providers of AuthBasicProvider in their order"),
    OBSOLETE("WSGIGroupAuthoritative", FLAG_WORD,
             "httpd 2.4 combines groups with RequireAny and RequireAll"),
    OBSOLETE("WSGIVerboseDebugging", FLAG_WORD, "use LogLevel wsgi:debug"),
    {NULL, {NULL}, NULL, 0, 0, NULL},
};
