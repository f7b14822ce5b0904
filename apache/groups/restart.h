/* restart.h - how soon Apache has new children after a graceful restart.
 *
 * The parent and, for a moment, new children; one thread. */
#ifndef WSGI_RESTART_H
#define WSGI_RESTART_H

#include <httpd.h>

void wsgi_restart_register_hooks(apr_pool_t *p);

#endif
