/* check_access.h - scripts that nobody may ask for, because the configuration denies their
 * directory, and status pages that everybody may ask for.
 *
 * Parent only, one thread, when the configuration has been read. */
#ifndef WSGI_CHECK_ACCESS_H
#define WSGI_CHECK_ACCESS_H

#include <apr_tables.h>

/* Warns of scripts whose directory nobody may get at. uses: of wsgi_use. */
void wsgi_check_access(apr_pool_t *p, const apr_array_header_t *uses);

/* Warns of each SetHandler wsgi-status that no directive restricts to somebody. */
void wsgi_check_status(apr_pool_t *p);

#endif
