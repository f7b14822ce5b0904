/* status_rows.h - daemon groups and embedded mode in mod_status's page.
 *
 * Apache children, any thread. */
#ifndef WSGI_STATUS_ROWS_H
#define WSGI_STATUS_ROWS_H

#include <apr_pools.h>

/* Does nothing when mod_status is not loaded. */
void wsgi_status_register_rows(apr_pool_t *p);

#endif
