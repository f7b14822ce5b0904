/* applications.h - which applications a daemon group loads before its first request.
 *
 * Parent only, one thread, in check_config and post_config. */
#ifndef WSGI_APPLICATIONS_H
#define WSGI_APPLICATIONS_H

#include <httpd.h>

void wsgi_applications_register_hooks(apr_pool_t *p);

/* Fills preloads and main_groups of every group from the aliases of all servers. Parent,
 * post_config. */
void wsgi_applications_collect(apr_pool_t *p, server_rec *main_server);

#endif
