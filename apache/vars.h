/* vars.h - builds the request block: the one place where environ is computed, for both modes. */
#ifndef WSGI_VARS_H
#define WSGI_VARS_H

#include "target.h"
#include "wire/block.h"

typedef struct wsgi_body {
    enum wire_body_kind kind;
    apr_int64_t len; /* declared, -1 unknown */
} wsgi_body;

/* What the request says about its body. */
wsgi_body wsgi_body_of(request_rec *r);

/* OK and the block in r->pool, or an HTTP status with the reason logged. */
int wsgi_vars_build(const char **block, size_t *len, request_rec *r, const wsgi_target *t, const wsgi_body *body);

#endif
