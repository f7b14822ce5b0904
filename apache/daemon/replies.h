/* replies.h - what the frames of a worker mean for a request.
 *
 * Apache children, in the thread of the request. */
#ifndef WSGI_REPLIES_H
#define WSGI_REPLIES_H

#include "daemon/exchange.h"

/* Reads frames and does what they say until the response is complete or cannot be completed.
 * Returns WSGI_RETRY, or the handler's result. */
int wsgi_replies_obey(wsgi_exchange *x);

/* Logs what the worker has sent for the log when Apache gives the request up. The worker can send
 * nothing more then, so it logs itself what is not among that: no line is lost, none comes
 * twice. */
void wsgi_replies_last_words(wsgi_exchange *x);

#endif
