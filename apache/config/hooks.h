/* hooks.h - the scripts that the configuration wants asked about requests: WSGIAccessScript,
 * WSGIAuthUserScript, WSGIAuthGroupScript, WSGIDispatchScript.
 *
 * Parent, while the configuration is read and checked; lives as long as pconf. */
#ifndef WSGI_HOOKS_H
#define WSGI_HOOKS_H

#include "config/config.h"

/* Returns the array of const wsgi_hook * that holds all that this configuration defines; directives
 * append to it. */
apr_array_header_t *wsgi_hooks_defined(apr_pool_t *pconf);

#endif
