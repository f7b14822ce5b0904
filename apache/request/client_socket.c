#include "request/client_socket.h"

#include <apr_portable.h>
#include <http_core.h>
#include <poll.h>

int wsgi_client_socket(conn_rec *c)
{
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    apr_os_sock_t fd = -1;

    if (socket)
        apr_os_sock_get(&fd, socket);
    return fd;
}

int wsgi_has_hung_up(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};

    return fd >= 0 && poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

int wsgi_client_has_left(const request_rec *r)
{
    return r->connection->aborted || wsgi_has_hung_up(wsgi_client_socket(r->connection));
}
