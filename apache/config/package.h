/* package.h - where the Python package and its interpreter are, which the module finds from its own
 * place.
 *
 * Apache parent and children, any thread. */
#ifndef WSGI_PACKAGE_H
#define WSGI_PACKAGE_H

#include <apr_pools.h>

/* Directory of the Python package httpd_wsgi. */
const char *wsgi_package_dir(void);

/* The interpreter that this package is installed for: the default where no configuration names one.
 */
const char *wsgi_default_python(apr_pool_t *p);

/* The command that installs the package for another Python, for messages. */
const char *wsgi_install_command(apr_pool_t *p, const char *python);

#endif
