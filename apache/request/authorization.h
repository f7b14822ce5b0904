/* authorization.h - whether an application sees the Authorization header, and what is said when it
 * misses it.
 *
 * Apache children only; any thread. */
#ifndef WSGI_AUTHORIZATION_H
#define WSGI_AUTHORIZATION_H

#include "request/target.h"

/* WSGIPassAuthorization and CGIPassAuth decide. Without a word from them the header is passed when
 * Apache itself authenticates nobody for this request: then it can only be meant for the
 * application. */
int wsgi_authorization_passes(request_rec *r, const wsgi_target *t);

/* The application answers 401: says so when that may be because the header of this request was
 * hidden from it. */
void wsgi_authorization_hint(request_rec *r);

#endif
