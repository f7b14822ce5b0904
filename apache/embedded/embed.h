/* embed.h - runs a request in this Apache child, which loads Python when the first request needs
 * it.
 *
 * Apache children only, any thread. Python stays until the child ends. */
#ifndef WSGI_EMBED_H
#define WSGI_EMBED_H

#include "request/target.h"
#include "request/verdict.h"

/* What a handler returns. */
int wsgi_embed_run(request_rec *r, const wsgi_target *t);

/* Calls the hook in block of a script that runs here. OK and *verdict is set, or HTTP status with
 * the reason logged. */
int wsgi_embed_call_hook(wsgi_verdict *verdict, request_rec *r, const char *block, size_t len);

void wsgi_embed_register_hooks(apr_pool_t *p);

#endif
