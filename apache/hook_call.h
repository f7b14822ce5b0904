/* hook_call.h - asks a function of a script about a request, whatever serves the request:
 * WSGIAccessScript, WSGIAuthUserScript, WSGIAuthGroupScript, WSGIDispatchScript.
 *
 * The script runs in the calling thread, or in a worker of its daemon group while this thread
 * waits; it sees the request but can neither read nor answer it. Apache children only, any thread,
 * any phase from access_checker on. */
#ifndef WSGI_HOOK_CALL_H
#define WSGI_HOOK_CALL_H

#include "request/verdict.h"

/* Returns OK when the script was asked: *verdict is set, and a WIRE_VERDICT_FAILED is logged.
 * Returns the HTTP status when it may not run or could not be asked, which is logged. The script
 * passes the admission of applications, wsgi_target_admit(). */
int wsgi_hook_call_run(wsgi_verdict *verdict, request_rec *r, const wsgi_hook_call *call);

void wsgi_hook_call_register_hooks(apr_pool_t *p);

#endif
