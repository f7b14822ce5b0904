/* authorization.h - whether an application sees the Authorization header, and the hint in the log
 * when it may need it.
 *
 * Apache children only; any thread. */
#ifndef WSGI_AUTHORIZATION_H
#define WSGI_AUTHORIZATION_H

#include "request/target.h"

/* Returns 1 when the header is passed, else 0. WSGIPassAuthorization and CGIPassAuth decide. When
 * neither is set, the header is passed when
 * Apache itself authenticates nobody for this request: then it can only be meant for the
 * application. */
int wsgi_authorization_passes(request_rec *r, const wsgi_target *t);

/* Called when the application answers 401: logs a hint when that may be because the header of this
 * request was hidden from it. */
void wsgi_authorization_hint(request_rec *r);

#endif
