/* dispatch.h - WSGIDispatchScript: a script has the last word on where a request runs. Apache
 * children only, any thread. */
#ifndef WSGI_DISPATCH_H
#define WSGI_DISPATCH_H

#include "request/target.h"

/* Before wsgi_target_admit(). OK, or HTTP status: the script failed, which is logged. */
int wsgi_dispatch(wsgi_target *t, request_rec *r);

#endif
