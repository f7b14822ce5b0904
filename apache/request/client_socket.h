/* client_socket.h - whether the client of a request is still there. In the thread of the request.
 */
#ifndef WSGI_CLIENT_SOCKET_H
#define WSGI_CLIENT_SOCKET_H

#include <httpd.h>

/* Returns 1 when the client has closed its side of the connection, or its stream of HTTP/2 has been
 * reset; else 0. A client that only wants to send no more looks the same, so this is no reason to
 * give up a response. */
int wsgi_client_has_left(const request_rec *r);

#endif
