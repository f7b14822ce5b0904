/* handler.h - the content handler: admits a request, then runs it embedded or in a daemon.
 *
 * Apache children only, any thread. */
#ifndef WSGI_HANDLER_H
#define WSGI_HANDLER_H

#include <httpd.h>

int wsgi_handler(request_rec *r);

#endif
