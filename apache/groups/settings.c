#include "groups/settings.h"

#include "config/package.h"

#include <ap_mpm.h>
#include <ap_release.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_main.h>

APLOG_USE_MODULE(wsgi);

static void put_bytes(apr_array_header_t *out, const char *text, apr_size_t len)
{
    for (apr_size_t i = 0; i < len; i++)
        APR_ARRAY_PUSH(out, char) = text[i];
}

static void put(apr_array_header_t *out, const char *name, const char *value)
{
    if (!value)
        return;
    put_bytes(out, name, strlen(name));
    put_bytes(out, "=", 1);
    put_bytes(out, value, strlen(value) + 1);
}

static void put_int(apr_array_header_t *out, apr_pool_t *p, const char *name, int value)
{
    put(out, name, apr_itoa(p, value));
}

static void put_seconds(apr_array_header_t *out, apr_pool_t *p, const char *name,
                        apr_interval_time_t value)
{
    put(out, name, apr_psprintf(p, "%.3f", (double)value / 1e6));
}

static const char *flag_line(apr_pool_t *p, const char *name, int flag)
{
    return flag == WSGI_UNSET ? "" : apr_psprintf(p, "\n%s=%d", name, flag);
}

static const char *text_line(apr_pool_t *p, const char *name, const char *value)
{
    return value ? apr_pstrcat(p, "\n", name, "=", value, NULL) : "";
}

/* "interpreter=application_group" with a line for each option that is set; "*" is any interpreter.
 */
static void put_interpreter(apr_array_header_t *out, apr_pool_t *p,
                            const wsgi_interpreter_options *o, const char *python_path)
{
    put(out, "interpreter",
        apr_pstrcat(p, o->application_group ? "=" : "*",
                    o->application_group ? o->application_group : "",
                    o->process_group ? "\nspecific=1" : "",
                    text_line(p, "python_path", python_path),
                    text_line(p, "switch_interval", o->switch_interval),
                    flag_line(p, "restrict_stdin", o->restrict_stdin),
                    flag_line(p, "restrict_stdout", o->restrict_stdout),
                    flag_line(p, "restrict_signal", o->restrict_signal),
                    flag_line(p, "own_gil", o->own_gil), NULL));
}

static void put_interpreters(apr_array_header_t *out, apr_pool_t *p, const wsgi_server_config *c,
                             const wsgi_group *g)
{
    const char *group = g ? g->name : "";

    /* The top level's path is for embedded mode; a daemon group has python-path=. */
    put_interpreter(out, p, &c->base, g ? g->python_path : c->base.python_path);
    for (int i = 0; i < c->interpreter_options->nelts; i++) {
        const wsgi_interpreter_options *o =
            &APR_ARRAY_IDX(c->interpreter_options, i, wsgi_interpreter_options);

        if (!o->process_group || !strcmp(o->process_group, group))
            put_interpreter(out, p, o, o->python_path);
    }
}

int wsgi_settings_free_threading(const char *group)
{
    const wsgi_server_config *c = wsgi_main_config();
    int on = c->base.free_threading;

    for (int i = 0; i < c->interpreter_options->nelts; i++) {
        const wsgi_interpreter_options *o =
            &APR_ARRAY_IDX(c->interpreter_options, i, wsgi_interpreter_options);

        if (o->process_group && !o->application_group && o->free_threading != WSGI_UNSET &&
            !strcmp(o->process_group, group))
            on = o->free_threading;
    }
    return on == 1;
}

/* WSGISlowRequests is the default of the option. In embedded mode (no group) there is nothing else,
 * and no default. */
static void put_slow_request(apr_array_header_t *out, apr_pool_t *p, const wsgi_group *g)
{
    const wsgi_server_config *c = wsgi_main_config();

    if (g && (g->slow_request_given || c->slow_requests == WSGI_UNSET)) {
        put_seconds(out, p, "slow_request", g->slow_request);
    } else if (c->slow_requests != WSGI_UNSET) {
        put_seconds(out, p, "slow_request", c->slow_requests);
        put(out, "slow_request_set", c->slow_requests_set);
    }
}

static void put_option(void *out, const char *name, const char *value)
{
    put(out, name, value);
}

static void put_group(apr_array_header_t *out, apr_pool_t *p, const wsgi_group *g)
{
    put(out, "where", g->where);
    put_int(out, p, "multiprocess", g->processes_given);
    wsgi_group_each_setting(g, p, put_option, out);
    for (int i = 0; i < g->main_groups->nelts; i++)
        put(out, "main_group", APR_ARRAY_IDX(g->main_groups, i, const char *));
    for (int i = 0; i < g->preloads->nelts; i++)
        put(out, "preload", APR_ARRAY_IDX(g->preloads, i, const char *));
}

static void put_telemetry(apr_array_header_t *out, apr_pool_t *p, const wsgi_server_config *c,
                          const wsgi_group *g)
{
    if (!g && c->restrict_embedded)
        return;
    put(out, "telemetry_path", c->telemetry.path);
    put_seconds(out, p, "telemetry_interval", c->telemetry.interval);
    put_int(out, p, "telemetry_user_agent", c->telemetry.user_agent);
    put_int(out, p, "parent_pid", (int)c->parent_pid);
    if (c->slow_requests != WSGI_UNSET)
        put_seconds(out, p, "slow_requests", c->slow_requests);
}

/* For the module `apache`. */
static void put_apache(apr_array_header_t *out, apr_pool_t *p)
{
    int processes = 1, threads = 1;

    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &processes);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    put(out, "apache_version", AP_SERVER_BASEREVISION);
    put(out, "apache_description", ap_get_server_description());
    put(out, "apache_build_date", ap_get_server_built());
    put(out, "mpm_name", ap_show_mpm());
    put_int(out, p, "mpm_processes", processes);
    put_int(out, p, "mpm_threads", threads > 0 ? threads : 1);
}

const char *wsgi_settings_build(apr_pool_t *p, const wsgi_group *g, apr_size_t *len)
{
    const wsgi_server_config *c = wsgi_main_config();
    apr_array_header_t *out = apr_array_make(p, 1024, 1);

    put(out, "group", g ? g->name : "");
    put(out, "package_dir", wsgi_package_dir());
    put_int(out, p, "log_level",
            ap_get_server_module_loglevel(g ? g->server : ap_server_conf, APLOG_MODULE_INDEX));
    put_apache(out, p);
    put_int(out, p, "case_sensitive", c->case_sensitive);
    put_int(out, p, "destroy_interpreter", c->destroy_interpreter);
    put_int(out, p, "optimize", c->optimize);
    put_int(out, p, "dont_write_bytecode", c->dont_write_bytecode);
    put_int(out, p, "main_is_first", g && !c->names_application_groups);
    put_int(out, p, "main_is_used", c->uses_main_interpreter);
    put_int(out, p, "free_threading", wsgi_settings_free_threading(g ? g->name : ""));
    put(out, "hash_seed", c->hash_seed);
    if (!g)
        put(out, "python_eggs", c->python_eggs);
    for (int i = 0; i < c->warnings->nelts; i++)
        put(out, "warning", APR_ARRAY_IDX(c->warnings, i, const char *));
    put_interpreters(out, p, c, g);
    put_telemetry(out, p, c, g);
    put_slow_request(out, p, g);
    if (g)
        put_group(out, p, g);
    *len = (apr_size_t)out->nelts;
    return out->elts;
}
