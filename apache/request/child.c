#include "request/child.h"

#include <http_config.h>

static pid_t child_pid;

pid_t wsgi_child_pid(void)
{
    return child_pid;
}

static void child_init(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    child_pid = getpid();
}

void wsgi_child_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_REALLY_FIRST);
}
