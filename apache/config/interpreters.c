#include "config/interpreters.h"

#include "config/config.h"
#include "config/options.h"
#include "config/uses.h"
#include "config/words.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>

APLOG_USE_MODULE(wsgi);

/* The directives that a section may have; those with CTX_I in directives.c. */
static const char *const in_section[] = {"WSGIFreeThreading",  "WSGIPerInterpreterGIL",
                                         "WSGIPythonPath",     "WSGIRestrictSignal",
                                         "WSGIRestrictStdin",  "WSGIRestrictStdout",
                                         "WSGISwitchInterval", NULL};

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
    double seconds;

    (void)unused;
    if (!error && (wsgi_read_seconds(value, &seconds) < 0 || seconds <= 0))
        error = apr_psprintf(cmd->pool, "%s %s: expected seconds greater than 0, for example 0.005",
                             cmd->cmd->name, value);
    if (!error)
        options_of(cmd)->switch_interval = value;
    return error;
}

/* Returns NULL when each directive of the section is one of these, else what is wrong with the
 * first other one. It would hold for the whole server. */
static const char *check_inside(cmd_parms *cmd)
{
    for (const ap_directive_t *d = cmd->directive->first_child; d; d = d->next) {
        const char *const *known = in_section;
        const char *near, *all = "";

        while (*known && strcasecmp(*known, d->directive))
            known++;
        if (*known)
            continue;
        for (known = in_section; *known; known++)
            all = apr_pstrcat(cmd->pool, all, *all ? ", " : "", *known, NULL);
        near = wsgi_nearest(cmd->pool, d->directive, in_section);
        cmd->err_directive = d;
        return apr_psprintf(cmd->pool,
                            "%s%s cannot be used in <WSGIInterpreterOptions>%s%s; move it out of "
                            "the section; valid there are %s",
                            d->directive, *d->directive == '<' ? ">" : "",
                            near ? ", did you mean " : "", near ? near : "", all);
    }
    return NULL;
}

const char *wsgi_interpreters_read_section(cmd_parms *cmd, void *unused, const char *args)
{
    const char *end = strrchr(args, '>'), *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    wsgi_interpreter_options *o;
    wsgi_named_value selectors[3] = {{"process-group", NULL},
                                     {"application-group", NULL},
                                     {NULL, NULL}};

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
    error = wsgi_options_read(cmd, apr_pstrmemdup(cmd->pool, args, (apr_size_t)(end - args)),
                              selectors);
    o->process_group = o->process_group ? wsgi_global_name(o->process_group) : NULL;
    o->application_group = o->application_group ? wsgi_global_name(o->application_group) : NULL;
    if (!error)
        error = check_inside(cmd);
    if (error)
        return error;
    wsgi_uses_note(cmd, o->process_group, NULL, 0);
    section = o;
    error = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
    section = NULL;
    return error;
}
