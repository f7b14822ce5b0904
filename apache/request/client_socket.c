#include "request/client_socket.h"

#include <apr_portable.h>
#include <http_core.h>
#include <poll.h>

int wsgi_client_has_left(const request_rec *r)
{
    conn_rec *c = r->connection;
    apr_socket_t *socket = c->master ? NULL : ap_get_conn_socket(c);
    struct pollfd p = {.events = POLLRDHUP};
    apr_os_sock_t fd;

    if (c->aborted)
        return 1;
    if (!socket || apr_os_sock_get(&fd, socket) != APR_SUCCESS)
        return 0;
    p.fd = fd;
    return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}
