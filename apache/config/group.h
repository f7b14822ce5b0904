/* group.h - daemon process groups: their options, and what the Apache parent and its children know
 * of each.
 *
 * A wsgi_group is made while the configuration is read and lives as long as pconf. Options are
 * read-only from then on. The last part is filled in by groups/ in the parent and by daemon/ in
 * children. */
#ifndef WSGI_GROUP_H
#define WSGI_GROUP_H

#include "config/config.h"
#include "config/users.h"
#include "wire/group.h"

#include <apr_time.h>

struct wsgi_group {
    const char *name;
    const char *where;          /* "site.conf:14" */
    server_rec *server;         /* the server that defined it; its error log is the workers' */
    apr_array_header_t *owners; /* of server_rec *: it, and those that define the very same group */
    int number;                 /* 1, 2, 3 … in order of definition */

    /* Options of WSGIDaemonProcess, filled from the table in group.c. NULL or 0: not given. */
    int processes, processes_given, slow_request_given, threads, maximum_requests, listen_backlog,
        cpu_priority, server_metrics, queue_size, request_timeout_scaling;
    wsgi_identity user, group, socket_user, script_user, script_group;
    apr_array_header_t *supplementary_groups; /* of wsgi_identity; NULL: those of the user */
    const char *umask, *chroot, *home, *lang, *locale;
    const char *python_home, *python_path, *python_eggs, *display_name, *switch_interval, *reload;
    apr_array_header_t *env; /* of const char *: NAME=value in the order given */
    apr_interval_time_t startup_timeout, shutdown_timeout, graceful_timeout, eviction_timeout,
        deadlock_timeout, inactivity_timeout, request_timeout, interrupt_timeout, restart_interval,
        connect_timeout, socket_timeout, queue_timeout, response_socket_timeout,
        response_flush_delay, cpu_time_limit, slow_request;
    apr_int64_t stack_size, send_buffer_size, receive_buffer_size, header_buffer_size,
        request_buffer_size, request_spool_size, response_buffer_size, memory_limit,
        virtual_memory_limit, memory_rss_limit; /* bytes */

    apr_array_header_t *preloads;    /* of const char *: settings records, made by
                                        groups/applications.c */
    apr_array_header_t *main_groups; /* of const char * */

    /* Parent, inherited by children. */
    int listen_fd; /* children only announce what waits there */
    int path_fd;   /* O_PATH descriptor of the unlinked socket; children connect through it */
    int board_fd;  /* parent only */
    volatile wire_board *board;
    int activity_fd;                /* parent only */
    apr_array_header_t *activities; /* of wsgi_activity (groups/board.h): of this generation and of
                                       earlier ones whose workers are still there */
    ino_t listen_inode;             /* of the listening socket */
    struct wsgi_connections *connections; /* of an Apache child, see daemon/connections.h; NULL:
                                             none can be kept alive */
    unsigned *last_supervisor; /* parent only: number of the supervisor of this name that was
                                  started last */
};

/* Parses "name option=value …" of WSGIDaemonProcess. Returns NULL, or what is wrong. */
const char *wsgi_group_define(cmd_parms *cmd, const char *args);

/* Calls put() for each option of g that its processes are told (wire/group.h), in the order of the
 * table; name with "_" for "-", times in seconds. Text options that are not given are left out. */
void wsgi_group_each_setting(const wsgi_group *g, apr_pool_t *p,
                             void (*put)(void *to, const char *name, const char *value), void *to);

/* Returns the group of this name in groups, an array of wsgi_group *, or NULL. */
wsgi_group *wsgi_group_in(const apr_array_header_t *groups, const char *name);

/* Likewise among the groups of the configuration in force. */
wsgi_group *wsgi_group_find(const char *name);

/* Returns the name in groups, an array of wsgi_group *, that is nearest to this one; NULL: none is
 * near. */
const char *wsgi_group_nearest(apr_pool_t *p, const apr_array_header_t *groups, const char *name);

/* Returns 1 when the group may serve the server: a group of a virtual host serves only servers of
 * the same name. */
int wsgi_group_is_visible(const wsgi_group *g, const server_rec *s);

enum wsgi_group_fault {
    WSGI_GROUP_SERVES,  /* none */
    WSGI_GROUP_MISSING, /* no such group is defined */
    WSGI_GROUP_FOREIGN, /* it belongs to another virtual host */
    WSGI_GROUP_SERVICE  /* threads=0: it serves no requests */
};

/* Looks for the group of this name in groups, an array of wsgi_group *, for a server. s NULL: any
 * server. Returns the first of these faults that it has; *chosen is the group, NULL when missing.
 */
enum wsgi_group_fault wsgi_group_choose(wsgi_group **chosen, const apr_array_header_t *groups,
                                        const char *name, const server_rec *s);

/* Returns a path of the Apache configuration as the group's processes see it, or NULL when it lies
 * outside of their chroot=. */
const char *wsgi_group_inside(const wsgi_group *g, const char *path);

/* Returns the array of wsgi_group * that this configuration defines in any server. */
apr_array_header_t *wsgi_groups_defined(apr_pool_t *pconf);

/* Returns a time as it could be written in the configuration. */
const char *wsgi_group_seconds(apr_interval_time_t t, apr_pool_t *p);

/* Returns how long Apache waits for a worker that sends nothing. */
apr_interval_time_t wsgi_group_socket_timeout(const wsgi_group *g, const server_rec *s);

/* Returns how long a client may take nothing of a response. */
apr_interval_time_t wsgi_group_client_timeout(const wsgi_group *g, const server_rec *s);

#endif
