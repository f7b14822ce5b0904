/* pythons.h - what can be told of a Python installation by the names of its files. Nothing of it is
 * run: root asks.
 *
 * Any process, any thread; results live in the pool that is given. */
#ifndef WSGI_PYTHONS_H
#define WSGI_PYTHONS_H

#include <apr_pools.h>

/* The program of an installation or environment, without root: HOME/bin/python, or HOME/bin/python3
 * where there is only that, as in Debian's /usr. root: the chroot it lies in, or "". */
const char *wsgi_python_in(apr_pool_t *p, const char *root, const char *home);

/* "3.12", "3.13t", or NULL: not known. */
const char *wsgi_python_version(apr_pool_t *p, const char *root, const char *home);

/* May this Python have the package with a runtime for its version? Only 0 is certain. */
int wsgi_python_may_have_runtime(apr_pool_t *p, const char *root, const char *home,
                                 const char *version);

#endif
