/* client.h - runs a request in a daemon worker. */
#ifndef WSGI_CLIENT_H
#define WSGI_CLIENT_H

#include "target.h"

/* What a handler returns. */
int wsgi_client_run(request_rec *r, const wsgi_target *t);

#endif
