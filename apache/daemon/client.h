/* client.h - runs a request in a daemon worker.
 *
 * Apache children only, in the thread of the request, which waits meanwhile. */
#ifndef WSGI_CLIENT_H
#define WSGI_CLIENT_H

#include "request/target.h"
#include "request/verdict.h"

/* Runs the request in a worker of the target's group. Returns what a handler returns. */
int wsgi_client_run(request_rec *r, const wsgi_target *t);

/* Calls the hook that block describes in a worker of the target's group. Returns OK, with *verdict
 * set, or an HTTP status with the reason logged. */
int wsgi_client_call_hook(wsgi_verdict *verdict, request_rec *r, const wsgi_target *t,
                          const char *block, size_t len);

#endif
