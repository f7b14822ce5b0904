/* group.h - daemon process groups: their options, and how an Apache child reaches their workers.
 *
 * A wsgi_group is made while the configuration is read and lives as long as pconf. */
#ifndef WSGI_GROUP_H
#define WSGI_GROUP_H

#include "config/config.h"
#include "config/users.h"
#include "wire/activity.h"
#include "wire/group.h"

#include <apr_time.h>

/* What the workers of one generation of the configuration are doing: memory that is written by them and their supervisors, see
 * wire/activity.h. Read-only here. */
typedef struct wsgi_activity {
    const char *memory; /* slots times WIRE_ACTIVITY_SLOT(threads) */
    apr_size_t slots;
    uint32_t threads;
} wsgi_activity;

struct wsgi_group {
    const char *name;
    const char *where;             /* "site.conf:14" */
    server_rec *server;            /* the server that defined it; its error log is the workers' */
    apr_array_header_t *owners;    /* of server_rec *: it, and those that define the very same group */
    int number;                    /* 1, 2, 3 … in order of definition */

    /* Options of WSGIDaemonProcess, filled from the table in options.c. NULL or 0: not given. */
    int processes, processes_given, slow_request_given, threads, maximum_requests, listen_backlog, cpu_priority, server_metrics, queue_size,
        request_timeout_scaling;
    wsgi_identity user, group, socket_user, script_user, script_group;
    apr_array_header_t *supplementary_groups; /* of wsgi_identity; NULL: those of the user */
    const char *umask, *chroot, *home, *lang, *locale;
    const char *python_home, *python_path, *python_eggs, *display_name, *switch_interval, *reload;
    apr_array_header_t *env;       /* of const char *: NAME=value in the order given */
    apr_interval_time_t startup_timeout, shutdown_timeout, graceful_timeout, eviction_timeout, deadlock_timeout, inactivity_timeout,
        request_timeout, interrupt_timeout, restart_interval, connect_timeout, socket_timeout, queue_timeout,
        response_socket_timeout, response_flush_delay, cpu_time_limit, slow_request;
    apr_int64_t stack_size, send_buffer_size, receive_buffer_size, header_buffer_size, request_buffer_size, request_spool_size,
        response_buffer_size, memory_limit, virtual_memory_limit, memory_rss_limit; /* bytes */

    apr_array_header_t *preloads;    /* of const char *: settings records, made by applications.c */
    apr_array_header_t *main_groups; /* of const char * */

    /* Parent, inherited by children. */
    int listen_fd;                 /* -1 in children */
    int path_fd;                   /* O_PATH descriptor of the unlinked socket; children connect through it */
    int board_fd;                  /* parent only */
    volatile wire_board *board;
    int activity_fd;               /* parent only */
    apr_array_header_t *activities; /* of wsgi_activity: of this generation and of earlier ones whose workers are still there */
    ino_t listen_inode;            /* of the listening socket, which children do not have open */
    struct wsgi_lines *lines;      /* of an Apache child, see lines.h; NULL: none can be kept */
    unsigned *last_supervisor;     /* parent only: number of the supervisor of this name that was started last */
};

/* Parses "name option=value …" of WSGIDaemonProcess. NULL, or what is wrong. */
const char *wsgi_group_define(cmd_parms *cmd, const char *args);

wsgi_group *wsgi_group_find(const char *name);

/* Returns the name in groups, an array of wsgi_group *, that is nearest to this one; NULL: none is near. */
const char *wsgi_group_nearest(apr_pool_t *p, const apr_array_header_t *groups, const char *name);

/* A group of a virtual host serves only servers of the same name. */
int wsgi_group_is_visible(const wsgi_group *g, const server_rec *s);

/* A path of the Apache configuration as the group's processes see it. NULL: it lies outside of their chroot=. */
const char *wsgi_group_inside(const wsgi_group *g, const char *path);

/* Array of wsgi_group *: all that this configuration defines, whichever server does it. */
apr_array_header_t *wsgi_groups_defined(apr_pool_t *pconf);

void wsgi_applications_register_hooks(apr_pool_t *p);

/* Fills preloads and main_groups of every group from the aliases of all servers. Parent, post_config. */
void wsgi_applications_collect(apr_pool_t *p, server_rec *main_server);

/* A worker's slot. */
const wire_activity_worker *wsgi_activity_slot(const wsgi_activity *a, apr_size_t number);

/* The group's counters (wire/counters.h), one of WIRE_STRIPES. Any process. */
struct wire_counters *wsgi_group_counters(const wsgi_group *g, unsigned stripe);

/* Any process. NULL, or why the group can serve nothing now. */
const char *wsgi_group_refusal(const wsgi_group *g);

/* Any process. Seconds until it may be worth while to ask again. */
int wsgi_group_retry_after(const wsgi_group *g);

/* Pid and end of the worker that was serving the request with this queue_start_us, as its supervisor has noted within milliseconds. */
const char *wsgi_group_death(const wsgi_group *g, apr_int64_t asked_us, apr_pool_t *p);

/* Is it known that no application was reached when the worker of that request died? Two records of one name are no knowledge. */
int wsgi_group_died_before_application(const wsgi_group *g, apr_int64_t asked_us);

/* A time as it could be written in the configuration. */
const char *wsgi_group_seconds(apr_interval_time_t t, apr_pool_t *p);

apr_interval_time_t wsgi_group_socket_timeout(const wsgi_group *g, const server_rec *s);

/* How long a client may take nothing of a response. */
apr_interval_time_t wsgi_group_client_timeout(const wsgi_group *g, const server_rec *s);

/* Sockets, lifeline, boards and supervisors: post_config, child_init, monitor. */
void wsgi_group_register_hooks(apr_pool_t *p);

/* ---- spawn.c ---- */

typedef struct wsgi_credentials {
    uid_t uid;
    gid_t gids[256]; /* the first is the group, all are supplementary groups */
    int ngids;
    const struct passwd *pw; /* static memory of getpwuid(), or NULL */
} wsgi_credentials;

/* What the group's processes run as when Apache is started by root; g NULL: Apache's children. Parent only. */
void wsgi_credentials_of(wsgi_credentials *out, const wsgi_group *g);

typedef struct wsgi_spawn {
    int listen_fd, lifeline_fd, settings_fd, board_fd, scores_fd, control_fd, house_fd,
        activity_fd; /* become WIRE_FD_LISTEN …; -1: none */
    int log_fd;                                        /* its standard output and error */
    unsigned number;                                   /* see wire_board */
    int delay_s;                                       /* what the new process waits before it executes anything */
} wsgi_spawn;

/* Apache parent only. Starts `PYTHON _boot.py supervisor` as the group's user. 0 and *pid, or an errno. */
apr_status_t wsgi_parent_spawn(const wsgi_group *g, const wsgi_spawn *fds, apr_pool_t *scratch, pid_t *pid);

#endif
