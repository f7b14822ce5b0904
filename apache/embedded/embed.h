/* embed.h - runs a request in this Apache child, which loads Python when the first request needs
 * it.
 *
 * Apache children only, any thread. Python stays until the child ends. */
#ifndef WSGI_EMBED_H
#define WSGI_EMBED_H

#include "request/target.h"
#include "request/verdict.h"

/* Runs the request. Returns what a handler returns. */
int wsgi_embed_run(request_rec *r, const wsgi_target *t);

/* Calls the hook that block describes. Returns OK, with *verdict set, or an HTTP status with the
 * reason logged. */
int wsgi_embed_call_hook(wsgi_verdict *verdict, request_rec *r, const char *block, size_t len);

void wsgi_embed_register_hooks(apr_pool_t *p);

#endif
