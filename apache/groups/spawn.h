/* spawn.h - starts a group's supervisor as the group's user.
 *
 * Apache parent only, one thread: while the configuration is checked, in post_config and its
 * maintenance callbacks. */
#ifndef WSGI_SPAWN_H
#define WSGI_SPAWN_H

#include "config/group.h"

typedef struct wsgi_credentials {
    uid_t uid;
    gid_t gids[256]; /* the first is the group, all are supplementary groups */
    int ngids;
    const struct passwd *pw; /* static memory of getpwuid(), or NULL */
} wsgi_credentials;

/* Stores the user and groups that the group's processes have when Apache is started by root; g
 * NULL: those of Apache's children. Parent only. */
void wsgi_credentials_of(wsgi_credentials *out, const wsgi_group *g);

typedef struct wsgi_spawn {
    int fds[WIRE_FD_END]; /* fds[WIRE_FD_x] becomes the descriptor WIRE_FD_x of the new process;
                             -1: none. The ones below WIRE_FD_LISTEN are not used */
    int log_fd;           /* its standard output and error */
    unsigned number;      /* see wire_board */
    int delay_s;          /* how long the new process waits before it executes anything */
} wsgi_spawn;

/* Apache parent only. Starts `PYTHON _boot.py supervisor` as the group's user. Returns 0 and *pid,
 * or an errno. */
apr_status_t wsgi_parent_spawn(const wsgi_group *g, const wsgi_spawn *spawn, apr_pool_t *scratch,
                               pid_t *pid);

#endif
