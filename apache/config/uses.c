#include "config/uses.h"

#include "config/words.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>
#include <http_main.h>

apr_array_header_t *wsgi_uses_noted(apr_pool_t *pconf)
{
    return wsgi_list_in(pconf, "httpd-wsgi:uses", sizeof(wsgi_use));
}

apr_array_header_t *wsgi_remarks_noted(apr_pool_t *pconf)
{
    return wsgi_list_in(pconf, "httpd-wsgi:remarks", sizeof(wsgi_remark));
}

void wsgi_uses_note(cmd_parms *cmd, const char *process_group, const char *script,
                    int serves_requests)
{
    wsgi_use *use;

    if (wsgi_is_htaccess(cmd))
        return;
    use = apr_array_push(wsgi_uses_noted(cmd->pool));
    use->directive = cmd->cmd->name;
    use->where = wsgi_where(cmd);
    use->server = cmd->server;
    use->process_group = process_group;
    use->script = script && !wsgi_is_module(script) && !strchr(script, '$') ? script : NULL;
    use->serves_requests = serves_requests;
}

static void add_remark(cmd_parms *cmd, int level, const char *text)
{
    if (!wsgi_is_htaccess(cmd)) /* it would be said with every request */
        *(wsgi_remark *)apr_array_push(wsgi_remarks_noted(cmd->pool)) = (wsgi_remark){level, text};
}

void wsgi_uses_note_slash(cmd_parms *cmd, const char *location, const char *target)
{
    if (!wsgi_misses_slash(location, target))
        return;
    add_remark(cmd, APLOG_WARNING,
               apr_psprintf(cmd->pool,
                            "WSGI0238: %s: %s: the URL path %s ends with / and %s does not, so "
                            "%sx leads to %sx; remove that / from the alias",
                            wsgi_where(cmd), cmd->cmd->name, location, target, location, target));
}

void wsgi_uses_note_obsolete(cmd_parms *cmd, const char *why)
{
    add_remark(cmd, APLOG_NOTICE,
               apr_psprintf(cmd->pool, "WSGI0221: %s: %s has no effect and can be removed: %s",
                            wsgi_where(cmd), cmd->cmd->name, why));
}

void wsgi_uses_note_name(cmd_parms *cmd, const char *value)
{
    static const char *const known[] = {"%{GLOBAL}", "%{SERVER}", "%{HOST}", "%{RESOURCE}", NULL};
    apr_size_t len = strlen(value);
    const char *near;

    for (int i = 0; known[i]; i++)
        if (!strcmp(value, known[i]))
            return;
    if (*value != '%' || (!strncmp(value, "%{ENV:", 6) && len > 7 && value[len - 1] == '}'))
        return;
    near = wsgi_nearest(cmd->pool, value, known);
    add_remark(cmd, APLOG_WARNING,
               apr_psprintf(cmd->pool,
                            "WSGI0293: %s: %s: %s is none of %%{GLOBAL}, %%{SERVER}, %%{HOST}, "
                            "%%{RESOURCE} and %%{ENV:variable}%s%s; it is taken as it is written",
                            wsgi_where(cmd), cmd->cmd->name, value, near ? ", did you mean " : "",
                            near ? near : ""));
}

const server_rec *wsgi_uses_log(const server_rec *s)
{
    return ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST ? ap_server_conf : s;
}
