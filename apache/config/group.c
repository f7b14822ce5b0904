/* group.c - WSGIDaemonProcess: its options are one table. */
#include "config/group.h"

#include "config/envfile.h"
#include "config/words.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <mpm_common.h>
#include <limits.h>
#include <stdlib.h>

APLOG_USE_MODULE(wsgi);

enum option_type {
    OPT_COUNT,  /* int */
    OPT_TIME,   /* apr_interval_time_t; seconds, or with a unit */
    OPT_MILLIS, /* the same; a bare number is milliseconds */
    OPT_SIZE,   /* apr_int64_t; bytes, or with K, M or G */
    OPT_FLAG,   /* int; On or Off */
    OPT_ENV,
    OPT_ENV_FILE, /* array of const char *: NAME=value, the options may be repeated */
    OPT_USER,
    OPT_GROUP,  /* wsgi_identity */
    OPT_GROUPS, /* array of wsgi_identity; separated by commas */
    OPT_DECIMAL,
    OPT_TEXT,
    OPT_PATH,
    OPT_OCTAL,
    OPT_RELOAD /* const char *, checked */
};

typedef struct option {
    const char *name;
    enum option_type type;
    apr_int64_t min, max; /* of numbers; times in seconds */
    apr_int64_t preset;
    size_t offset;
    enum { LOCAL, SENT } use; /* SENT: a setting of the group's processes, see wire/group.h */
} option;

#define AT(f)        APR_OFFSETOF(wsgi_group, f)
#define LONGEST      2147483647 /* seconds; real configurations say "never" this way */
#define MIB          ((apr_int64_t)1 << 20)
#define GIB          ((apr_int64_t)1 << 30)
#define NONE         0, 0, 0
#define LEAST_MEMORY (16 * MIB) /* of limits: with less, probably a unit was forgotten */

static const option options[] = {
    {"processes", OPT_COUNT, 1, 10000, 1, AT(processes), SENT},
    {"threads", OPT_COUNT, 0, 10000, 15, AT(threads), SENT},
    {"user", OPT_USER, NONE, AT(user), LOCAL},
    {"group", OPT_GROUP, NONE, AT(group), LOCAL},
    {"supplementary-groups", OPT_GROUPS, NONE, AT(supplementary_groups), LOCAL},
    {"umask", OPT_OCTAL, 0, 0777, 0, AT(umask), LOCAL},
    {"chroot", OPT_PATH, NONE, AT(chroot), LOCAL},
    {"home", OPT_PATH, NONE, AT(home), SENT},
    {"lang", OPT_TEXT, NONE, AT(lang), LOCAL},
    {"locale", OPT_TEXT, NONE, AT(locale), SENT},
    {"env", OPT_ENV, NONE, AT(env), LOCAL},
    {"env-file", OPT_ENV_FILE, NONE, AT(env), LOCAL},
    {"python-home", OPT_PATH, NONE, AT(python_home), LOCAL},
    {"python-path", OPT_TEXT, NONE, AT(python_path), LOCAL},
    {"python-eggs", OPT_PATH, NONE, AT(python_eggs), LOCAL},
    {"switch-interval", OPT_DECIMAL, NONE, AT(switch_interval), SENT},
    {"stack-size", OPT_SIZE, 32768, GIB, 0, AT(stack_size), SENT},
    {"display-name", OPT_TEXT, NONE, AT(display_name), SENT},
    {"maximum-requests", OPT_COUNT, 0, 1000000000, 0, AT(maximum_requests), SENT},
    {"startup-timeout", OPT_TIME, 0, LONGEST, 0, AT(startup_timeout), SENT},
    {"shutdown-timeout", OPT_TIME, 0, LONGEST, 5, AT(shutdown_timeout), SENT},
    {"graceful-timeout", OPT_TIME, 0, LONGEST, 600, AT(graceful_timeout), SENT},
    {"eviction-timeout", OPT_TIME, 0, LONGEST, 0, AT(eviction_timeout), SENT},
    {"deadlock-timeout", OPT_TIME, 0, LONGEST, 300, AT(deadlock_timeout), SENT},
    {"inactivity-timeout", OPT_TIME, 0, LONGEST, 0, AT(inactivity_timeout), SENT},
    {"request-timeout", OPT_TIME, 0, LONGEST, 0, AT(request_timeout), SENT},
    {"interrupt-timeout", OPT_TIME, 0, LONGEST, 0, AT(interrupt_timeout), SENT},
    {"request-timeout-scaling", OPT_FLAG, NONE, AT(request_timeout_scaling), SENT},
    {"slow-request", OPT_TIME, 0, LONGEST, 10, AT(slow_request), LOCAL},
    {"reload", OPT_RELOAD, NONE, AT(reload), SENT},
    {"restart-interval", OPT_TIME, 0, LONGEST, 0, AT(restart_interval), SENT},
    {"connect-timeout", OPT_TIME, 0, LONGEST, 15, AT(connect_timeout), LOCAL},
    {"socket-timeout", OPT_TIME, 0, LONGEST, 0, AT(socket_timeout), LOCAL},
    {"queue-timeout", OPT_TIME, 0, LONGEST, 0, AT(queue_timeout), SENT},
    {"response-socket-timeout", OPT_TIME, 0, LONGEST, 0, AT(response_socket_timeout), LOCAL},
    {"response-flush-delay", OPT_MILLIS, 0, 60, 5, AT(response_flush_delay), LOCAL},
    {"listen-backlog", OPT_COUNT, 0, 65535, 100, AT(listen_backlog), LOCAL},
    {"queue-size", OPT_COUNT, 0, 65535, 0, AT(queue_size), LOCAL},
    {"socket-user", OPT_USER, NONE, AT(socket_user), LOCAL},
    {"send-buffer-size", OPT_SIZE, 512, GIB, 0, AT(send_buffer_size), SENT},
    {"receive-buffer-size", OPT_SIZE, 512, GIB, 0, AT(receive_buffer_size), LOCAL},
    {"header-buffer-size", OPT_SIZE, 8192, GIB, 0, AT(header_buffer_size), LOCAL},
    {"request-buffer-size", OPT_SIZE, 1024, 16 * MIB, 64 * 1024, AT(request_buffer_size), LOCAL},
    {"request-spool-size", OPT_SIZE, 0, 1024 * GIB, GIB, AT(request_spool_size), LOCAL},
    {"response-buffer-size", OPT_SIZE, 0, 1024 * GIB, 64 * MIB, AT(response_buffer_size), LOCAL},
    {"script-user", OPT_USER, NONE, AT(script_user), LOCAL},
    {"script-group", OPT_GROUP, NONE, AT(script_group), LOCAL},
    {"cpu-time-limit", OPT_TIME, 0, LONGEST, 0, AT(cpu_time_limit), SENT},
    {"cpu-priority", OPT_COUNT, -20, 19, 0, AT(cpu_priority), SENT},
    {"memory-limit", OPT_SIZE, 16 * MIB, 1024 * GIB, 0, AT(memory_limit), SENT},
    {"virtual-memory-limit", OPT_SIZE, 16 * MIB, 1024 * GIB, 0, AT(virtual_memory_limit), SENT},
    {"memory-rss-limit", OPT_SIZE, 16 * MIB, 1024 * GIB, 0, AT(memory_rss_limit), SENT},
    {"server-metrics", OPT_FLAG, NONE, AT(server_metrics), SENT},
    {NULL, OPT_COUNT, NONE, 0, LOCAL},
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
    return apr_psprintf(p, "unknown option '%s'%s%s; valid options are %s", name,
                        near ? ", did you mean " : "", near ? near : "", all);
}

typedef struct unit {
    const char *name;
    apr_int64_t factor;
} unit;

static const unit count_units[] = {{"", 1}, {NULL, 0}};
static const unit size_units[] = {{"", 1}, {"K", 1024}, {"M", MIB}, {"G", GIB}, {NULL, 0}};
/* In microseconds, as APR counts. */
static const unit time_units[] = {{"", 1000000},     {"s", 1000000},    {"ms", 1000},
                                  {"min", 60000000}, {"h", 3600000000}, {"d", 86400000000},
                                  {NULL, 0}};
static const unit milli_units[] = {{"", 1000}, {"ms", 1000}, {"s", 1000000}, {NULL, 0}};

/* Reads digits and a unit. Returns 0 and *number, or -1: it is none, or too large. */
static int read_number(const char *value, const unit *units, apr_int64_t *number)
{
    int is_negative = *value == '-';
    const char *digits = value + is_negative;
    size_t len = strspn(digits, "0123456789");

    if (len == 0 || len > 12 || (is_negative && units != count_units))
        return -1;
    for (; units->name; units++)
        if (!strcmp(digits + len, units->name)) {
            *number = apr_atoi64(value);
            return __builtin_mul_overflow(*number, units->factor, number) ? -1 : 0;
        }
    return -1;
}

static const char *valid_units(enum option_type type)
{
    switch (type) {
    case OPT_SIZE:
        return " bytes, or with K, M or G";
    case OPT_TIME:
        return " seconds, or with ms, s, min, h or d";
    case OPT_MILLIS:
        return " seconds, given in milliseconds or with ms or s";
    default:
        return "";
    }
}

/* Returns "16M" for 16777216; the number itself when it has no round unit. */
static const char *size_text(apr_pool_t *p, apr_int64_t size)
{
    const unit *best = size_units;

    for (const unit *u = size_units; u->name; u++)
        if (size > 0 && size % u->factor == 0)
            best = u;
    return apr_psprintf(p, "%" APR_INT64_T_FMT "%s", size / best->factor, best->name);
}

/* Returns the message for a size that can be read and is far too small to be meant. */
static const char *too_little(apr_pool_t *p, const option *o, const char *value, apr_int64_t size)
{
    return apr_psprintf(
        p,
        "%s=%s is %" APR_INT64_T_FMT
        " bytes, too little for any process: expected %s or more, with K, M or G behind "
        "the number; for example %s=512M",
        o->name, value, size, size_text(p, o->min), o->name);
}

/* For counts, sizes and times. A size without a default may be 0, which means not given. */
static const char *set_number(apr_pool_t *p, const option *o, const char *value, void *at)
{
    int is_time = o->type == OPT_TIME || o->type == OPT_MILLIS;
    const unit *units = o->type == OPT_SIZE     ? size_units
                        : o->type == OPT_TIME   ? time_units
                        : o->type == OPT_MILLIS ? milli_units
                                                : count_units;
    apr_int64_t scale = is_time ? 1000000 : 1, number;

    if (o->min == LEAST_MEMORY && read_number(value, units, &number) == 0 && number > 0 &&
        number < o->min)
        return too_little(p, o, value, number);
    if (read_number(value, units, &number) < 0 ||
        ((number < o->min * scale || number > o->max * scale) &&
         !(o->type == OPT_SIZE && number == 0 && o->preset == 0)))
        return apr_psprintf(p,
                            "%s=%s is not a number from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT
                            "%s; for example %s=%" APR_INT64_T_FMT,
                            o->name, value, o->min, o->max, valid_units(o->type), o->name,
                            o->preset     ? o->preset
                            : o->max < 60 ? o->max
                            : o->min > 60 ? o->min
                                          : 60);
    if (o->type == OPT_COUNT)
        *(int *)at = (int)number;
    else
        *(apr_int64_t *)at = number;
    return NULL;
}

static const char *set_flag(apr_pool_t *p, const option *o, const char *value, int *at)
{
    if (strcasecmp(value, "On") && strcasecmp(value, "Off"))
        return apr_psprintf(p, "%s=%s: expected On or Off", o->name, value);
    *at = !strcasecmp(value, "On");
    return NULL;
}

static const char *check_text(apr_pool_t *p, const option *o, const char *value)
{
    double seconds;
    char *end;

    if ((o->type == OPT_PATH || o->type == OPT_ENV_FILE) && *value != '/')
        return apr_psprintf(p, "%s=%s must be an absolute path", o->name, value);
    if (o->type == OPT_OCTAL &&
        (strtol(value, &end, 8) > o->max || *end || *value < '0' || *value > '7'))
        return apr_psprintf(p, "%s=%s is not an octal number from 0 to 0777; for example %s=0027",
                            o->name, value, o->name);
    if (o->type == OPT_DECIMAL && (wsgi_read_seconds(value, &seconds) < 0 || seconds <= 0))
        return apr_psprintf(p, "%s=%s: expected seconds greater than 0, for example %s=0.005",
                            o->name, value, o->name);
    if (o->type == OPT_RELOAD && strcmp(value, "now") && strcmp(value, "rolling"))
        return apr_psprintf(p, "%s=%s: expected now or rolling", o->name, value);
    return NULL;
}

static const char *set_user(apr_pool_t *p, const option *o, const char *value, wsgi_identity *at)
{
    const char *error = wsgi_users_find_user(p, o->name, value, at);

    if (!error && at->id == 0 && o->offset == AT(user))
        return apr_psprintf(p,
                            "%s=%s: a daemon group must not run as root; name the user that owns "
                            "the application, or one "
                            "made for it",
                            o->name, value);
    return error;
}

static const char *set_groups(apr_pool_t *p, const option *o, const char *value,
                              apr_array_header_t **at)
{
    char *last, *name = apr_strtok(apr_pstrdup(p, value), ",", &last);
    const char *error = NULL;

    *at = apr_array_make(p, 4, sizeof(wsgi_identity));
    for (; name && !error; name = apr_strtok(NULL, ",", &last))
        error = wsgi_users_find_group(p, o->name, name, apr_array_push(*at));
    return error;
}

/* As in mod_wsgi: generated configurations write python-path='' and the like when there is nothing
 * to say. */
static int may_be_empty(const option *o)
{
    return o->type == OPT_TEXT || o->type == OPT_GROUPS || !strncmp(o->name, "python-", 7);
}

static const char *set_option(apr_pool_t *p, wsgi_group *g, const char *word)
{
    const char *equals = strchr(word, '='), *value, *error;
    const option *o;
    char *name;
    void *at;

    if (!equals)
        return apr_psprintf(p, "'%s' is not an option=value; there must be no space around the =",
                            word);
    name = apr_pstrmemdup(p, word, (apr_size_t)(equals - word));
    value = equals + 1;
    o = find_option(name);
    if (!o)
        return unknown_option(p, name);
    if (!*value)
        return may_be_empty(o) ? NULL : apr_psprintf(p, "%s= needs a value", name);
    at = (char *)g + o->offset;
    g->processes_given |= !strcmp(name, "processes");
    g->slow_request_given |= !strcmp(name, "slow-request");
    if (o->type == OPT_FLAG)
        return set_flag(p, o, value, at);
    if (o->type < OPT_FLAG)
        return set_number(p, o, value, at);
    error = check_text(p, o, value);
    if (error)
        return error;
    switch (o->type) {
    case OPT_ENV:
        return wsgi_env_add(p, g->env, value);
    case OPT_ENV_FILE:
        return wsgi_env_add_file(p, g->env, value);
    case OPT_USER:
        return set_user(p, o, value, at);
    case OPT_GROUP:
        return wsgi_users_find_group(p, o->name, value, at);
    case OPT_GROUPS:
        return set_groups(p, o, value, at);
    default:
        *(const char **)at = value;
        return NULL;
    }
}

/* Returns the value at `at` as a settings record has it, or NULL: a text that is not given. */
static const char *setting_value(apr_pool_t *p, const option *o, const void *at)
{
    switch (o->type) {
    case OPT_COUNT:
    case OPT_FLAG:
        return apr_itoa(p, *(const int *)at);
    case OPT_SIZE:
        return apr_psprintf(p, "%" APR_INT64_T_FMT, *(const apr_int64_t *)at);
    case OPT_TIME:
    case OPT_MILLIS:
        return apr_psprintf(p, "%.3f", (double)*(const apr_interval_time_t *)at / 1e6);
    default:
        return *(const char *const *)at;
    }
}

void wsgi_group_each_setting(const wsgi_group *g, apr_pool_t *p,
                             void (*put)(void *to, const char *name, const char *value), void *to)
{
    for (const option *o = options; o->name; o++) {
        const char *value =
            o->use == SENT ? setting_value(p, o, (const char *)g + o->offset) : NULL;
        char *name = apr_pstrdup(p, o->name);

        for (char *dash = name; (dash = strchr(dash, '-'));)
            *dash = '_';
        if (value)
            put(to, name, value);
    }
}

static wsgi_group *make_group(cmd_parms *cmd, const char *name, apr_array_header_t *groups)
{
    wsgi_group *g = apr_pcalloc(cmd->pool, sizeof(*g));

    g->name = name;
    g->where = wsgi_where(cmd);
    g->server = cmd->server;
    g->owners = apr_array_make(cmd->pool, 2, sizeof(server_rec *));
    APR_ARRAY_PUSH(g->owners, server_rec *) = cmd->server;
    g->number = groups->nelts + 1;
    g->listen_fd = g->path_fd = -1;
    g->env = apr_array_make(cmd->pool, 4, sizeof(const char *));
    g->preloads = apr_array_make(cmd->pool, 2, sizeof(const char *));
    g->main_groups = apr_array_make(cmd->pool, 2, sizeof(const char *));
    for (const option *o = options; o->name; o++) {
        void *at = (char *)g + o->offset;

        if (o->type == OPT_COUNT)
            *(int *)at = (int)o->preset;
        else if (o->type < OPT_FLAG)
            *(apr_int64_t *)at = o->preset * (o->type == OPT_TIME     ? 1000000
                                              : o->type == OPT_MILLIS ? 1000
                                                                      : 1);
    }
    return g;
}

wsgi_group *wsgi_group_in(const apr_array_header_t *groups, const char *name)
{
    for (int i = 0; i < groups->nelts; i++) {
        wsgi_group *g = APR_ARRAY_IDX(groups, i, wsgi_group *);

        if (strcmp(g->name, name) == 0)
            return g;
    }
    return NULL;
}

int wsgi_group_is_visible(const wsgi_group *g, const server_rec *s)
{
    for (int i = 0; i < g->owners->nelts; i++) {
        const server_rec *owner = APR_ARRAY_IDX(g->owners, i, server_rec *);

        if (!owner->is_virtual || owner == s ||
            (owner->server_hostname && s->server_hostname &&
             !strcmp(owner->server_hostname, s->server_hostname)))
            return 1;
    }
    return 0;
}

const char *wsgi_group_inside(const wsgi_group *g, const char *path)
{
    size_t len = g->chroot ? strlen(g->chroot) : 0;

    if (wsgi_is_module(path))
        return path;
    while (len > 0 && g->chroot[len - 1] == '/')
        len--;
    return !strncmp(path, g->chroot ? g->chroot : "", len) && path[len] == '/' ? path + len : NULL;
}

wsgi_group *wsgi_group_find(const char *name)
{
    wsgi_server_config *c = wsgi_main_config();

    return c ? wsgi_group_in(c->groups, name) : NULL;
}

const char *wsgi_group_nearest(apr_pool_t *p, const apr_array_header_t *groups, const char *name)
{
    const char **names = apr_pcalloc(p, ((apr_size_t)groups->nelts + 1) * sizeof(*names));

    for (int i = 0; i < groups->nelts; i++)
        names[i] = APR_ARRAY_IDX(groups, i, const wsgi_group *)->name;
    return wsgi_nearest(p, name, names);
}

apr_array_header_t *wsgi_groups_defined(apr_pool_t *pconf)
{
    return wsgi_list_in(pconf, "httpd-wsgi:groups", sizeof(wsgi_group *));
}

enum wsgi_group_fault wsgi_group_choose(wsgi_group **chosen, const apr_array_header_t *groups,
                                        const char *name, const server_rec *s)
{
    wsgi_group *g = *chosen = wsgi_group_in(groups, name);

    if (!g)
        return WSGI_GROUP_MISSING;
    if (s && !wsgi_group_is_visible(g, s))
        return WSGI_GROUP_FOREIGN;
    return g->threads == 0 ? WSGI_GROUP_SERVICE : WSGI_GROUP_SERVES;
}

static int is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && !strcmp(a, b));
}

static int is_same_identity(const wsgi_identity *a, const wsgi_identity *b)
{
    return !a->name == !b->name && a->id == b->id;
}

static int is_same_list(const option *o, const apr_array_header_t *a, const apr_array_header_t *b)
{
    if (!a || !b || a->nelts != b->nelts)
        return a == b;
    for (int i = 0; i < a->nelts; i++)
        if (o->type == OPT_GROUPS ? !is_same_identity(&APR_ARRAY_IDX(a, i, wsgi_identity),
                                                      &APR_ARRAY_IDX(b, i, wsgi_identity))
                                  : !is_same_text(APR_ARRAY_IDX(a, i, const char *),
                                                  APR_ARRAY_IDX(b, i, const char *)))
            return 0;
    return 1;
}

static int is_same_value(const option *o, const void *a, const void *b)
{
    switch (o->type) {
    case OPT_COUNT:
    case OPT_FLAG:
        return *(const int *)a == *(const int *)b;
    case OPT_TIME:
    case OPT_MILLIS:
    case OPT_SIZE:
        return *(const apr_int64_t *)a == *(const apr_int64_t *)b;
    case OPT_ENV:
    case OPT_ENV_FILE:
    case OPT_GROUPS:
        return is_same_list(o, *(apr_array_header_t *const *)a, *(apr_array_header_t *const *)b);
    case OPT_USER:
    case OPT_GROUP:
        return is_same_identity(a, b);
    default:
        return is_same_text(*(const char *const *)a, *(const char *const *)b);
    }
}

/* A tool that copies a virtual host, to give it TLS for instance, copies its groups. The copy is
 * the same group. */
static const char *share(apr_pool_t *p, wsgi_group *first, const wsgi_group *again)
{
    const option *o = options;

    while (o->name &&
           is_same_value(o, (const char *)first + o->offset, (const char *)again + o->offset))
        o++;
    if (o->name || first->processes_given != again->processes_given ||
        first->slow_request_given != again->slow_request_given)
        return apr_psprintf(p,
                            "another group of this name is defined in %s, with another %s=; give "
                            "one of them another name, or both "
                            "the same options to share one group",
                            first->where,
                            o->name                                            ? o->name
                            : first->processes_given != again->processes_given ? "processes"
                                                                               : "slow-request");
    APR_ARRAY_PUSH(first->owners, server_rec *) = again->server;
    return NULL;
}

const char *wsgi_group_define(cmd_parms *cmd, const char *args)
{
    apr_array_header_t *groups = wsgi_groups_defined(cmd->pool);
    const char *name = ap_getword_conf(cmd->pool, &args), *error = NULL;
    wsgi_group *g, *other = wsgi_group_in(groups, name);

    if (!*name || strchr(name, '='))
        return "WSGIDaemonProcess needs the group's name as its first argument";
    g = make_group(cmd, name, groups);
    while (!error && *args) {
        const char *word = wsgi_next_word(cmd->pool, &args);

        if (*word)
            error = set_option(cmd->pool, g, word);
    }
    if (!error && g->script_user.name && g->script_group.name)
        error = "script-user= and script-group= cannot be used together; use one of them";
    if (!error && other)
        error = share(cmd->pool, other, g);
    if (error)
        return apr_psprintf(cmd->pool, "WSGIDaemonProcess %s: %s", name, error);
    if (!other)
        APR_ARRAY_PUSH(groups, wsgi_group *) = g;
    return NULL;
}

const char *wsgi_group_seconds(apr_interval_time_t t, apr_pool_t *p)
{
    return t % APR_USEC_PER_SEC ? apr_psprintf(p, "%dms", (int)(t / 1000))
                                : apr_itoa(p, (int)apr_time_sec(t));
}

apr_interval_time_t wsgi_group_socket_timeout(const wsgi_group *g, const server_rec *s)
{
    return g->socket_timeout > 0 ? g->socket_timeout : s->timeout;
}

apr_interval_time_t wsgi_group_client_timeout(const wsgi_group *g, const server_rec *s)
{
    return g->response_socket_timeout > 0 ? g->response_socket_timeout
                                          : wsgi_group_socket_timeout(g, s);
}
