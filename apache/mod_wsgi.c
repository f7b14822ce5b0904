/* mod_wsgi.c - the module as httpd sees it. Everything it does is in the files whose hooks it
 * registers. */
#include "auth.h"

#include "check/check.h"
#include "check/dump.h"
#include "config/config.h"
#include "daemon/connections.h"
#include "directives.h"
#include "embedded/embed.h"
#include "embedded/embedded_counters.h"
#include "groups/applications.h"
#include "groups/generation.h"
#include "groups/restart.h"
#include "groups/scoreboard.h"
#include "handler.h"
#include "hook_call.h"
#include "request/block_builder.h"
#include "request/child.h"
#include "request/log.h"
#include "request/delivery.h"
#include "request/spool.h"
#include "request/target.h"
#include "status/status.h"

#include <http_core.h>

/* Adds the version to the Server header and the log, where ServerTokens allows. */
static int add_version(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)plog;
    (void)ptemp;
    (void)s;
    ap_add_version_component(pconf, "httpd-wsgi/" WSGI_VERSION);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    wsgi_child_register_hooks(p);
    wsgi_target_register_hooks(p);
    wsgi_check_register_hooks(p);
    wsgi_dump_register_hooks(p);
    wsgi_applications_register_hooks(p);
    wsgi_generation_register_hooks(p);
    wsgi_connections_register_hooks(p);
    wsgi_restart_register_hooks(p);
    wsgi_log_register_hooks(p);
    wsgi_scoreboard_register_hooks(p);
    wsgi_hook_call_register_hooks(p);
    wsgi_auth_register_hooks(p);
    wsgi_embedded_counters_register_hooks(p);
    wsgi_block_builder_register_hooks(p);
    wsgi_embed_register_hooks(p);
    wsgi_delivery_register_hooks(p);
    wsgi_spool_register_hooks(p);
    wsgi_status_register_hooks(p);
    ap_hook_post_config(add_version, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(wsgi_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(wsgi) = {
    STANDARD20_MODULE_STUFF, wsgi_dir_create, wsgi_dir_merge, wsgi_server_create,
    wsgi_server_merge,       wsgi_commands,   register_hooks,
#ifdef AP_MODULE_FLAG_NONE
    AP_MODULE_FLAG_NONE,
#endif
};
