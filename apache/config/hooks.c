#include "config/hooks.h"

apr_array_header_t *wsgi_hooks_defined(apr_pool_t *pconf)
{
    static const char key[] = "httpd-wsgi:hooks";
    apr_array_header_t *hooks = NULL;

    apr_pool_userdata_get((void **)&hooks, key, pconf);
    if (!hooks) {
        hooks = apr_array_make(pconf, 4, sizeof(const wsgi_hook *));
        apr_pool_userdata_setn(hooks, key, NULL, pconf);
    }
    return hooks;
}
