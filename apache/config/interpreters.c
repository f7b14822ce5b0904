#include "config/interpreters.h"

#include "config/config.h"
#include "config/options.h"
#include "config/uses.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <stdlib.h>

APLOG_USE_MODULE(wsgi);

static wsgi_interpreter_options *section; /* while the configuration is read, one thread */

static wsgi_interpreter_options *options_of(cmd_parms *cmd)
{
    return section ? section : &wsgi_server_of(cmd->server)->base;
}

const char *wsgi_interpreters_set_flag(cmd_parms *cmd, void *unused, int on)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)unused;
    if (!error)
        *(int *)((char *)options_of(cmd) + (apr_size_t)cmd->info) = on;
    return error;
}

/* The lock is the process's, so a section for some of its interpreters cannot switch it. */
const char *wsgi_interpreters_set_free_threading(cmd_parms *cmd, void *unused, int on)
{
    if (!section || !section->application_group)
        return wsgi_interpreters_set_flag(cmd, unused, on);
    ap_log_error(
        APLOG_MARK, APLOG_WARNING, 0, cmd->server,
        "WSGI0226: %s: %s has no effect for single application groups, a process has "
        "one lock for all of them; remove application-group= from <WSGIInterpreterOptions>",
        wsgi_where(cmd), cmd->cmd->name);
    return NULL;
}

const char *wsgi_interpreters_set_path(cmd_parms *cmd, void *unused, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)unused;
    if (!error) {
        options_of(cmd)->python_path = value;
        options_of(cmd)->python_path_where = wsgi_where(cmd);
    }
    return error;
}

const char *wsgi_interpreters_set_switch_interval(cmd_parms *cmd, void *unused, const char *value)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    char *end;

    (void)unused;
    if (!error &&
        (!(strtod(value, &end) > 0) || *end || strspn(value, "0123456789.") != strlen(value)))
        error = apr_psprintf(cmd->pool, "%s %s: expected seconds greater than 0, for example 0.005",
                             cmd->cmd->name, value);
    if (!error)
        options_of(cmd)->switch_interval = value;
    return error;
}

const char *wsgi_interpreters_read_section(cmd_parms *cmd, void *unused, const char *args)
{
    const char *end = strrchr(args, '>'), *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    wsgi_interpreter_options *o;
    wsgi_named_value selectors[3] = {{"process-group", NULL}, {"application-group", NULL}, {NULL, NULL}};

    (void)unused;
    if (error)
        return error;
    if (!end || section)
        return apr_psprintf(cmd->pool, "%s%s", cmd->cmd->name,
                            section ? "> cannot be nested" : "> directive missing closing '>'");
    o = apr_array_push(wsgi_server_of(cmd->server)->interpreter_options);
    wsgi_interpreter_options_init(o);
    selectors[0].value = &o->process_group;
    selectors[1].value = &o->application_group;
    error = wsgi_options_read(cmd, apr_pstrmemdup(cmd->pool, args, (apr_size_t)(end - args)), selectors);
    o->process_group = o->process_group ? wsgi_global_name(o->process_group) : NULL;
    o->application_group = o->application_group ? wsgi_global_name(o->application_group) : NULL;
    if (error)
        return error;
    wsgi_uses_note(cmd, o->process_group, NULL, 0);
    section = o;
    error = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
    section = NULL;
    return error;
}
