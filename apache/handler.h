/* handler.h - the content handler: admits a request, then runs it embedded or in a daemon.
 *
 * Apache children only, any thread. */
#ifndef WSGI_HANDLER_H
#define WSGI_HANDLER_H

#include <httpd.h>

/* httpd's handler hook. Returns DECLINED for what is not ours, else OK or the HTTP status. */
int wsgi_handler(request_rec *r);

#endif
