/* options.c - WSGIDaemonProcess: its options are one table. */
#include "group.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <mpm_common.h>
#include <limits.h>
#include <stdlib.h>

APLOG_USE_MODULE(wsgi);

enum option_type { OPT_INT, OPT_TEXT, OPT_PATH, OPT_OCTAL, OPT_USER, OPT_GROUP };

typedef struct option {
    const char *name;
    enum option_type type;
    int min, max;
    int preset;        /* of numbers */
    size_t offset;
} option;

#define AT(f) APR_OFFSETOF(wsgi_group, f)
#define DAY   86400
#define MIB   (1 << 20)

static const option options[] = {
    {"processes", OPT_INT, 1, 10000, 1, AT(processes)},
    {"threads", OPT_INT, 1, 10000, 15, AT(threads)},
    {"user", OPT_USER, 0, 0, 0, AT(user)},
    {"group", OPT_GROUP, 0, 0, 0, AT(group)},
    {"supplementary-groups", OPT_TEXT, 0, 0, 0, AT(supplementary_groups)},
    {"umask", OPT_OCTAL, 0, 0777, 0, AT(umask)},
    {"home", OPT_PATH, 0, 0, 0, AT(home)},
    {"lang", OPT_TEXT, 0, 0, 0, AT(lang)},
    {"locale", OPT_TEXT, 0, 0, 0, AT(locale)},
    {"python-home", OPT_PATH, 0, 0, 0, AT(python_home)},
    {"python-path", OPT_TEXT, 0, 0, 0, AT(python_path)},
    {"display-name", OPT_TEXT, 0, 0, 0, AT(display_name)},
    {"shutdown-timeout", OPT_INT, 0, DAY, 5, AT(shutdown_timeout)},
    {"startup-timeout", OPT_INT, 0, DAY, 0, AT(startup_timeout)},
    {"graceful-timeout", OPT_INT, 0, DAY, 15, AT(graceful_timeout)},
    {"connect-timeout", OPT_INT, 0, DAY, 15, AT(connect_timeout)},
    {"socket-timeout", OPT_INT, 0, DAY, 0, AT(socket_timeout)},
    {"listen-backlog", OPT_INT, 0, 65535, 100, AT(listen_backlog)},
    {"request-buffer-size", OPT_INT, 1024, 16 * MIB, 64 * 1024, AT(request_buffer_size)},
    {"request-spool-size", OPT_INT, 0, INT_MAX, 1024 * MIB, AT(request_spool_size)},
    {"response-buffer-size", OPT_INT, 0, INT_MAX, 64 * MIB, AT(response_buffer_size)},
    {NULL, OPT_INT, 0, 0, 0, 0},
};

static const option *find_option(const char *name)
{
    for (const option *o = options; o->name; o++)
        if (strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

static const char *unknown_option(apr_pool_t *p, const char *name)
{
    const char *names[sizeof(options) / sizeof(options[0])], *near, *all = "";
    int n = 0;

    for (const option *o = options; o->name; o++) {
        names[n++] = o->name;
        all = apr_pstrcat(p, all, *all ? ", " : "", o->name, NULL);
    }
    names[n] = NULL;
    near = wsgi_nearest(p, name, names);
    return apr_psprintf(p, "unknown option '%s'%s%s; valid options are %s", name, near ? ", did you mean " : "",
                        near ? near : "", all);
}

static const char *set_number(apr_pool_t *p, const option *o, const char *value, int *at)
{
    char *end;
    long number = strtol(value, &end, 10);

    if (*value < '0' || *value > '9' || *end || number < o->min || number > o->max)
        return apr_psprintf(p, "%s=%s is not a number from %d to %d; for example %s=%d", o->name, value, o->min, o->max,
                            o->name, o->preset ? o->preset : o->max < 60 ? o->max : 60);
    *at = (int)number;
    return NULL;
}

static const char *check_text(apr_pool_t *p, const option *o, const char *value)
{
    char *end;

    if (o->type == OPT_PATH && *value != '/')
        return apr_psprintf(p, "%s=%s must be an absolute path", o->name, value);
    if (o->type == OPT_OCTAL && (strtol(value, &end, 8) > o->max || *end || *value < '0' || *value > '7'))
        return apr_psprintf(p, "%s=%s is not an octal number from 0 to 0777; for example %s=0027", o->name, value, o->name);
    if (o->type == OPT_USER && ap_uname2id(value) == 0)
        return apr_psprintf(p, "%s=%s: a daemon group must not run as root", o->name, value);
    if (o->type == OPT_GROUP)
        ap_gname2id(value); /* ends the start with a message when there is no such group */
    return NULL;
}

static const char *set_option(apr_pool_t *p, wsgi_group *g, const char *word)
{
    const char *equals = strchr(word, '='), *value, *error;
    const option *o;
    char *name;

    if (!equals)
        return apr_psprintf(p, "'%s' is not an option=value; there must be no space around the =", word);
    name = apr_pstrmemdup(p, word, (apr_size_t)(equals - word));
    value = equals + 1;
    o = find_option(name);
    if (!o)
        return unknown_option(p, name);
    if (!*value)
        return apr_psprintf(p, "%s= needs a value", name);
    if (o->type == OPT_INT) {
        g->processes_given |= !strcmp(name, "processes");
        return set_number(p, o, value, (int *)((char *)g + o->offset));
    }
    error = check_text(p, o, value);
    *(const char **)((char *)g + o->offset) = value;
    return error;
}

/* The value of an option may be quoted: option="a b". ap_getword_conf() knows quotes only around the whole word. */
static const char *next_word(apr_pool_t *p, const char **args)
{
    const char *at = *args, *equals, *value;
    char *name;

    while (apr_isspace(*at))
        at++;
    for (equals = at; *equals && !apr_isspace(*equals) && *equals != '='; equals++)
        ;
    if (*equals != '=' || (equals[1] != '"' && equals[1] != '\''))
        return *args = at, ap_getword_conf(p, args);
    name = apr_pstrmemdup(p, at, (apr_size_t)(equals + 1 - at));
    *args = equals + 1;
    value = ap_getword_conf(p, args);
    return apr_pstrcat(p, name, value, NULL);
}

static wsgi_group *make_group(cmd_parms *cmd, const char *name, apr_array_header_t *groups)
{
    wsgi_group *g = apr_pcalloc(cmd->pool, sizeof(*g));

    g->name = name;
    g->where = wsgi_where(cmd);
    g->server = cmd->server;
    g->number = groups->nelts + 1;
    g->listen_fd = g->path_fd = -1;
    g->preloads = apr_array_make(cmd->pool, 2, sizeof(const char *));
    g->main_groups = apr_array_make(cmd->pool, 2, sizeof(const char *));
    for (const option *o = options; o->name; o++)
        if (o->type == OPT_INT)
            *(int *)((char *)g + o->offset) = o->preset;
    return g;
}

static wsgi_group *find_in(apr_array_header_t *groups, const char *name)
{
    for (int i = 0; i < groups->nelts; i++) {
        wsgi_group *g = APR_ARRAY_IDX(groups, i, wsgi_group *);

        if (strcmp(g->name, name) == 0)
            return g;
    }
    return NULL;
}

wsgi_group *wsgi_group_find(const char *name)
{
    wsgi_server_config *c = wsgi_main_config();

    return c ? find_in(c->groups, name) : NULL;
}

/* All groups of a configuration, whichever server defines them, found through the pool of that configuration. */
static apr_array_header_t *all_groups(cmd_parms *cmd)
{
    static const char key[] = "httpd-wsgi:groups";
    apr_array_header_t *groups = NULL;

    apr_pool_userdata_get((void **)&groups, key, cmd->pool);
    if (!groups) {
        groups = apr_array_make(cmd->pool, 4, sizeof(wsgi_group *));
        apr_pool_userdata_setn(groups, key, NULL, cmd->pool);
    }
    return groups;
}

const char *wsgi_group_define(cmd_parms *cmd, const char *args)
{
    apr_array_header_t *groups = all_groups(cmd);
    const char *name = ap_getword_conf(cmd->pool, &args), *error = NULL;
    wsgi_group *g, *other = find_in(groups, name);

    if (!*name || strchr(name, '='))
        return "WSGIDaemonProcess needs the group's name as its first argument";
    if (other)
        return apr_psprintf(cmd->pool, "WSGIDaemonProcess %s: a group of this name is already defined in %s", name,
                            other->where);
    g = make_group(cmd, name, groups);
    while (!error && *args) {
        const char *word = next_word(cmd->pool, &args);

        if (*word)
            error = set_option(cmd->pool, g, word);
    }
    if (error)
        return apr_psprintf(cmd->pool, "WSGIDaemonProcess %s: %s", name, error);
    APR_ARRAY_PUSH(groups, wsgi_group *) = g;
    return NULL;
}
