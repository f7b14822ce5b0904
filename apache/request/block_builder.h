/* block_builder.h - builds the request block: the one place where environ is computed, for both
 * modes.
 *
 * Apache children only, any thread; blocks live as long as the request. */
#ifndef WSGI_BLOCK_BUILDER_H
#define WSGI_BLOCK_BUILDER_H

#include "request/body.h"
#include "request/target.h"
#include "request/verdict.h"
#include "wire/block.h"

void wsgi_block_builder_register_hooks(apr_pool_t *p);

/* Returns a variable of mod_ssl for this request's connection, in p, or NULL. */
const char *wsgi_tls_variable(request_rec *r, const char *name, apr_pool_t *p);

/* Builds the block of a request in r->pool. Returns OK, or an HTTP status with the reason logged.
 */
int wsgi_block_build(const char **block, size_t *len, request_rec *r, const wsgi_target *t,
                     const wsgi_body *body);

/* Builds the block of a hook call of the script of t; returns as wsgi_block_build(). The script
 * sees the whole environ of call->target, or when that is not known the request itself and its
 * headers. */
int wsgi_block_build_hook_call(const char **block, size_t *len, request_rec *r,
                               const wsgi_target *t, const wsgi_hook_call *call);

#endif
