/* proxies.h - what trusted proxies say about the client (WSGITrustedProxies,
 * WSGITrustedProxyHeaders).
 *
 * Only environ changes: Apache's own idea of the client (access log, Require ip) is mod_remoteip's
 * business. Apache children, any thread; the two setters: where the configuration is read. */
#ifndef WSGI_PROXIES_H
#define WSGI_PROXIES_H

#include "config/config.h"

/* NULL: environ keeps what it has. Everything lives in r->pool. */
typedef struct wsgi_forwarded {
    const char *remote_addr, *host, *server_name, *server_port;
    const char *script_name;   /* "" for a mount at the root */
    const char *forwarded_for; /* X-Forwarded-For without what the client may have made up */
    int https;                 /* 1, 0, or -1: nothing said */
    unsigned hidden; /* headers that must not reach the application, one bit per known header */
} wsgi_forwarded;

/* Sets *out to what the trusted headers of this request say; nothing is set when none is declared.
 * headers and networks are lists of wsgi_proxies_add_header() and wsgi_proxies_add_network(), or
 * NULL. */
void wsgi_proxies_read(wsgi_forwarded *out, request_rec *r, const apr_array_header_t *headers,
                       const apr_array_header_t *networks);

/* Returns 1 when this request header must not reach the application, else 0. */
int wsgi_proxies_hide(const wsgi_forwarded *f, const char *header);

/* Adds one argument of WSGITrustedProxyHeaders or WSGITrustedProxies to the array, which is made
 * when *list is NULL. Returns NULL, or what is wrong with the argument. */
const char *wsgi_proxies_add_header(cmd_parms *cmd, apr_array_header_t **list, const char *name);
const char *wsgi_proxies_add_network(cmd_parms *cmd, apr_array_header_t **list,
                                     const char *network);

#endif
