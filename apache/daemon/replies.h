/* replies.h - what the frames of a worker mean for a request.
 *
 * Apache children, in the thread of the request. */
#ifndef WSGI_REPLIES_H
#define WSGI_REPLIES_H

#include "daemon/exchange.h"

/* Reads frames and does what they say until the response is complete or cannot be completed.
 * Returns WSGI_RETRY, or the handler's result. */
int wsgi_replies_obey(wsgi_exchange *x);

#endif
