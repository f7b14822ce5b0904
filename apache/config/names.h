/* names.h - names with %{...} in directives and aliases, and URL paths as names show them.
 *
 * Pure but for the server's configuration: any process, any thread. Results live in the pool that
 * is given. */
#ifndef WSGI_NAMES_H
#define WSGI_NAMES_H

#include <httpd.h>

/* Handlers: of scripts, which aliases choose as well, and of the status */
#define WSGI_HANDLER_NAME        "wsgi-script"
#define WSGI_STATUS_HANDLER_NAME "wsgi-status"

/* Returns 1 when this handler name means that the file itself is the script. */
int wsgi_is_own_handler(const char *name);

/* Expands %{GLOBAL}, %{SERVER}, %{HOST}, %{RESOURCE}; other values come back as they are. NULL
 * value: the default %{RESOURCE} for application groups. host is the request's (r->hostname),
 * script_name the mount point. The host only chooses among the names that the configuration gives
 * to s (ServerName, ServerAlias without wildcards), so a client cannot make up names. */
const char *wsgi_expand(apr_pool_t *p, const char *value, const server_rec *s, const char *host,
                        const char *script_name);

/* Returns len bytes of path with each run of slashes as one. */
const char *wsgi_collapse(apr_pool_t *p, const char *path, size_t len);

/* Returns the path as %{RESOURCE} shows it: the same as wsgi_collapse(), without trailing slashes.
 */
const char *wsgi_resource_path(apr_pool_t *p, const char *path, size_t len);

#endif
