/* dispatch.h - WSGIDispatchScript: a script decides at last where a request runs. Apache
 * children only, any thread. */
#ifndef WSGI_DISPATCH_H
#define WSGI_DISPATCH_H

#include "request/target.h"

/* Called between wsgi_target_resolve() and wsgi_target_admit(). Returns OK, also without a script,
 * or the HTTP status when the script failed, which is logged. */
int wsgi_dispatch(wsgi_target *t, request_rec *r);

#endif
