#include "config/telemetry.h"

#include "config/words.h"

#include <apr_strings.h>
#include <http_core.h>
#include <sys/un.h>

#define SCHEME "unix:"

/* Reads seconds from least to a day. Returns 0 and *out, or -1. */
static int read_seconds(const char *value, double least, apr_interval_time_t *out)
{
    double seconds;

    if (wsgi_read_seconds(value, &seconds) < 0 || seconds < least || seconds > 86400)
        return -1;
    *out = (apr_interval_time_t)(seconds * APR_USEC_PER_SEC);
    return 0;
}

const char *wsgi_telemetry_set_service(cmd_parms *cmd, void *unused, const char *service,
                                       const char *option)
{
    static const char interval[] = "interval=";
    wsgi_telemetry *t = &wsgi_server_of(cmd->server)->telemetry;
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY), *path = service + strlen(SCHEME);

    (void)unused;
    if (error)
        return error;
    if (strncmp(service, SCHEME, strlen(SCHEME)) || *path != '/')
        return apr_psprintf(cmd->pool,
                            "%s %s: expected unix: and the absolute path of a socket, for example "
                            "unix:/run/collector.sock",
                            cmd->cmd->name, service);
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return apr_psprintf(
            cmd->pool,
            "%s %s: the path is longer than the %d bytes that the system allows for sockets",
            cmd->cmd->name, service, (int)sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
    t->interval = WSGI_TELEMETRY_INTERVAL;
    if (option && strncmp(option, interval, strlen(interval)))
        return apr_psprintf(cmd->pool,
                            "%s: option '%s' is not valid; valid is interval=, with seconds",
                            cmd->cmd->name, option);
    if (option && read_seconds(option + strlen(interval), 0.5, &t->interval) < 0)
        return apr_psprintf(cmd->pool,
                            "%s %s: expected seconds from 0.5 to 86400, for example interval=5",
                            cmd->cmd->name, option);
    t->path = path;
    return NULL;
}

static const struct {
    const char *name;
    apr_size_t offset; /* of an int in wsgi_telemetry */
} flags[] = {
    {"CaptureUserAgent", APR_OFFSETOF(wsgi_telemetry, user_agent)},
};

/* Sets the flag of this name, or all for "All". Returns 0, or -1 when there is none of this name.
 */
static int set_flag(wsgi_telemetry *t, const char *name, int on)
{
    int found = -1;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (!strcasecmp(name, "All") || !strcasecmp(name, flags[i].name)) {
            *(int *)((char *)t + flags[i].offset) = on;
            found = 0;
        }
    return found;
}

static const char *set_option(cmd_parms *cmd, wsgi_telemetry *t, const char *word)
{
    int is_signed = *word == '+' || *word == '-';
    const char *name = word + is_signed;

    if (is_signed && (!strcasecmp(name, "All") || !strcasecmp(name, "None")))
        return apr_psprintf(cmd->pool, "%s %s: All and None have no sign; write %s", cmd->cmd->name,
                            word, name);
    if (strcasecmp(name, "None") && set_flag(t, name, *word != '-') < 0)
        return apr_psprintf(
            cmd->pool,
            "%s %s: expected CaptureUserAgent, All or None; names may have + or - in front of them",
            cmd->cmd->name, word);
    return NULL;
}

const char *wsgi_telemetry_set_options(cmd_parms *cmd, void *unused, const char *args)
{
    wsgi_telemetry *t = &wsgi_server_of(cmd->server)->telemetry;
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY), *word;
    int nwords = 0, nsigned = 0;

    (void)unused;
    for (; !error && *args; nwords++) {
        word = ap_getword_conf(cmd->pool, &args);
        nsigned += *word == '+' || *word == '-';
        if (nsigned != 0 && nsigned != nwords + 1)
            error = apr_psprintf(cmd->pool,
                                 "%s: names with and without + or - cannot be mixed; give all of "
                                 "them a sign, or none",
                                 cmd->cmd->name);
        else if (nwords == 0 && nsigned == 0)
            set_flag(t, "All", 0); /* what is named is all there is, also of earlier lines */
        if (!error)
            error = set_option(cmd, t, word);
    }
    if (!error && nwords == 0)
        error = apr_psprintf(cmd->pool, "%s needs CaptureUserAgent, All or None", cmd->cmd->name);
    return error;
}

const char *wsgi_telemetry_set_slow(cmd_parms *cmd, void *unused, const char *seconds)
{
    wsgi_server_config *c = wsgi_server_of(cmd->server);
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)unused;
    c->slow_requests_set =
        apr_psprintf(cmd->pool, "%s %s (%s)", cmd->cmd->name, seconds, wsgi_where(cmd));
    if (!error && read_seconds(seconds, 0, &c->slow_requests) < 0)
        error = apr_psprintf(
            cmd->pool,
            "%s %s: expected seconds from 0 to 86400, for example 2.5; 0: no request is too slow",
            cmd->cmd->name, seconds);
    return error;
}
