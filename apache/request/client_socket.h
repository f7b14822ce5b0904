/* client_socket.h - whether the client of a request is still there. In the thread of the request,
 * or in the one that logs it. */
#ifndef WSGI_CLIENT_SOCKET_H
#define WSGI_CLIENT_SOCKET_H

#include <httpd.h>

/* Returns the client's socket, or -1 when it has none of its own, as a stream of HTTP/2. */
int wsgi_client_socket(conn_rec *c);

/* Returns 1 when the peer has shut down its sending side, else 0. For fd -1, when there is no
 * socket to ask, that is 0. */
int wsgi_has_hung_up(int fd);

/* Returns 1 when the client has closed its side of the connection, or its stream of HTTP/2 has been
 * reset; else 0. A client that only wants to send no more looks the same, so this is no reason to
 * give up a response. */
int wsgi_client_has_left(const request_rec *r);

#endif
