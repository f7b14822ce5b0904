/* users.h - users and groups of the system, by name or as "#" and a number.
 *
 * Parent, while the configuration is read: the name services may be slow and are asked only then.
 * httpd's own look-up ends the process when a name does not exist. */
#ifndef WSGI_USERS_H
#define WSGI_USERS_H

#include <apr_pools.h>

typedef struct wsgi_identity {
    const char *name; /* as written; NULL: not given */
    apr_uint32_t id;  /* uid or gid */
} wsgi_identity;

/* NULL and *out, or what is wrong with option=value, with the nearest name there is. */
const char *wsgi_users_find_user(apr_pool_t *p, const char *option, const char *value,
                                 wsgi_identity *out);
const char *wsgi_users_find_group(apr_pool_t *p, const char *option, const char *value,
                                  wsgi_identity *out);

#endif
