/* embed.h - runs a request in this Apache child, which loads Python when the first request needs it. */
#ifndef WSGI_EMBED_H
#define WSGI_EMBED_H

#include "target.h"

/* What a handler returns. */
int wsgi_embed_run(request_rec *r, const wsgi_target *t);

void wsgi_embed_register_hooks(apr_pool_t *p);

#endif
