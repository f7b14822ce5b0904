/* ownership.h - script-user= and script-group=: a daemon group that runs only what belongs to
 * somebody.
 *
 * Any thread. */
#ifndef WSGI_OWNERSHIP_H
#define WSGI_OWNERSHIP_H

#include "config/group.h"

/* Returns NULL when the group may run the script, else what is wrong with its owner, as text for
 * the log. Parent and children. */
const char *wsgi_ownership_fault(apr_pool_t *p, const wsgi_group *g, const char *script);

/* The same for a request. Returns OK, or HTTP_FORBIDDEN with the reason logged. */
int wsgi_ownership_check(request_rec *r, const wsgi_group *g, const char *script);

#endif
