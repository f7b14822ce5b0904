/* status.h - what daemon groups and embedded mode are doing, for `SetHandler wsgi-status` and for
 * mod_status's page.
 *
 * Apache children, any thread. */
#ifndef WSGI_STATUS_H
#define WSGI_STATUS_H

#include <apr_pools.h>

void wsgi_status_register_hooks(apr_pool_t *p);

#endif
