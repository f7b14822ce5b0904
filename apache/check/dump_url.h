/* dump_url.h - what would serve a URL, found out by mapping a request that never came.
 *
 * Configuration test only, one thread. No authentication is asked, no application is run. */
#ifndef WSGI_DUMP_URL_H
#define WSGI_DUMP_URL_H

#include "status/json.h"

#include <httpd.h>

/* Before the first of those below. */
void wsgi_dump_prepare(apr_pool_t *p, server_rec *main_server);

/* Each writes what would serve the URL, as far as mapping decides it. */
void wsgi_dump_location(wsgi_json *j, apr_pool_t *p, server_rec *s,
                        const char *location); /* in this server */
void wsgi_dump_paths(wsgi_json *j, apr_pool_t *p, server_rec *main_server,
                     const char *paths); /* "0 /a\n1 /b" */
void wsgi_dump_url(wsgi_json *j, apr_pool_t *p, server_rec *main_server, const char *url);

#endif
