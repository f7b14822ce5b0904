/* ownership.h - script-user= and script-group=: a daemon group that runs only what belongs to
 * somebody.
 *
 * Apache children, any thread. */
#ifndef WSGI_OWNERSHIP_H
#define WSGI_OWNERSHIP_H

#include "config/group.h"

/* OK, or HTTP_FORBIDDEN with the reason logged. */
int wsgi_ownership_check(request_rec *r, const wsgi_group *g, const char *script);

#endif
