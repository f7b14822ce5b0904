#include "config/hooks.h"

apr_array_header_t *wsgi_hooks_defined(apr_pool_t *pconf)
{
    return wsgi_list_in(pconf, "httpd-wsgi:hooks", sizeof(const wsgi_hook *));
}
