/* check.h - when all of the configuration is read, what it refers to (config/uses.h) is compared
 * with the groups there are and with the file system.
 *
 * What can never work ends the start. What may still come into being, like an environment that is
 * made later, is a warning: `apachectl configtest` shows it, and a start or restart puts it into
 * the error log. Parent only; everything lives as long as pconf. */
#ifndef WSGI_CHECK_H
#define WSGI_CHECK_H

#include <apr_pools.h>

void wsgi_check_register_hooks(apr_pool_t *p);

#endif
