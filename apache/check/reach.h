/* reach.h - can a user get at files? Asked of the kernel by a short-lived process that has become
 * the user, because modes alone do not tell (access control lists, network file systems).
 *
 * Parent only, while the configuration is read or checked. */
#ifndef WSGI_REACH_H
#define WSGI_REACH_H

#include "groups/spawn.h"

enum wsgi_reach_result { WSGI_REACHED, WSGI_BLOCKED_DIR, WSGI_BLOCKED_FILE, WSGI_REACH_UNKNOWN };

typedef struct wsgi_reach {
    const char *path; /* absolute; a symbolic link is followed, and both ways are looked at */
    int mode;         /* of access(): F_OK, R_OK, X_OK */

    enum wsgi_reach_result result;
    const char *blocked;   /* the directory that cannot be entered, or path */
    unsigned blocked_mode; /* its permissions */
} wsgi_reach;

/* Fills in the results of all, an array of wsgi_reach *. Results in p. Nothing but UNKNOWN when
 * this process is not root. */
void wsgi_reach_ask(apr_pool_t *p, const wsgi_credentials *who, const apr_array_header_t *all);

#endif
