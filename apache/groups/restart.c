/* restart.c - after a graceful restart nobody accepts connections until httpd's parent has started
 * new children, which it does when an old one has ended. If none has when it looks for the first
 * time, it sleeps for a second before it looks again, and a second is what clients wait. Idle
 * children end within some milliseconds. So the first end of a process after a graceful restart
 * wakes the parent: a signal that has a handler ends a sleep. Only the first one does, as the
 * second between two looks is also what keeps httpd from starting children that fail as fast as it
 * can. */
#include "groups/restart.h"

#include <http_core.h>
#include <mpm_common.h>
#include <signal.h>
#include <unixd.h>

static void wake(int number)
{
    (void)number;
}

static int is_after_graceful_restart(void)
{
    return ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG &&
           ap_unixd_mpm_get_retained_data()->was_graceful;
}

/* The last hook: processes that were started and have ended meanwhile do not count. */
static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    struct sigaction once = {.sa_handler = wake, .sa_flags = SA_RESETHAND}, now;

    (void)pconf;
    (void)plog;
    (void)ptemp;
    (void)s;
    if (is_after_graceful_restart() && sigaction(SIGCHLD, NULL, &now) == 0 &&
        now.sa_handler == SIG_DFL)
        sigaction(SIGCHLD, &once, NULL);
    return OK;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    struct sigaction now;

    (void)p;
    (void)s;
    if (sigaction(SIGCHLD, NULL, &now) == 0 && now.sa_handler == wake)
        signal(SIGCHLD, SIG_DFL);
}

void wsgi_restart_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_FIRST);
}
