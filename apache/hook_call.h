/* hook_call.h - asks a function of a script about a request, whoever serves that: WSGIAccessScript,
 * WSGIAuthUserScript, WSGIAuthGroupScript, WSGIDispatchScript.
 *
 * The script runs in the calling thread, or in a worker of its daemon group while this thread
 * waits; it sees the request but can neither read nor answer it. Apache children only, any thread,
 * any phase from access_checker on. */
#ifndef WSGI_HOOK_CALL_H
#define WSGI_HOOK_CALL_H

#include "request/verdict.h"

/* OK: *verdict is set; WIRE_VERDICT_FAILED is logged. HTTP status: the script could not be asked,
 * which is logged. */
int wsgi_hook_call_run(wsgi_verdict *verdict, request_rec *r, const wsgi_hook_call *call);

void wsgi_hook_call_register_hooks(apr_pool_t *p);

#endif
