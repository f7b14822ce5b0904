/* connections.h - an Apache child's connections to the workers of a daemon group.
 *
 * A connection over which a request has been answered serves the next one, too (keep-alive). Until
 * then it is idle. It is used only after one of that worker's credits was taken (wire/credits.h),
 * so a request never waits for a busy worker while another one is free. Without such a credit a new
 * connection is made, which waits in the group's queue for whichever thread is free first. */
#ifndef WSGI_CONNECTIONS_H
#define WSGI_CONNECTIONS_H

#include "config/group.h"

typedef struct wsgi_connection {
    int fd;                       /* blocking, close-on-exec */
    apr_interval_time_t patience; /* after which receiving ends with EAGAIN */
    int entry;                    /* of the worker in wire_credits; -1: not known yet */
    uint32_t pid;                 /* of the worker, when entry is known */
    apr_interval_time_t send_limit;
    apr_time_t claimed; /* wire_monotonic_us() when the credit was claimed */
} wsgi_connection;

/* Each new Apache child begins without connections. */
void wsgi_connections_register_hooks(apr_pool_t *p);

/* The following may be called by any thread of an Apache child. A connection belongs to the thread
 * that got it. */

/* Takes an idle connection to a worker that has a thread for it. Returns 1, or 0 when there is
 * none. */
int wsgi_connection_take(wsgi_group *g, wsgi_connection *connection);

/* Makes a new connection. Returns APR_SUCCESS or the error of connect(), which is EAGAIN when the
 * backlog is full; waits for it a few milliseconds with queue-size=, else a second. */
apr_status_t wsgi_connection_connect(wsgi_group *g, wsgi_connection *connection);

/* Returns 1 when a worker has a thread that is free, else 0. */
int wsgi_connection_is_any_free(const wsgi_group *g);

/* Wakes all free threads for a connection that still waits in the group's queue. The kernel has
 * told one worker of it, which may have died or been stopped. */
void wsgi_connection_announce(const wsgi_group *g);

/* Sets how long sending may take. */
void wsgi_connection_set_limit(wsgi_connection *connection, apr_interval_time_t limit);

/* Returns 1 when there is room for one more idle connection. */
int wsgi_connection_is_wanted(const wsgi_group *g);

/* The worker of this pid has answered and keeps the connection open, too. It is idle now and no
 * longer the caller's. */
void wsgi_connection_keep_alive(wsgi_group *g, wsgi_connection *connection, uint32_t pid);

/* One that was taken and over which nothing was sent. It is closed. */
void wsgi_connection_lose(wsgi_group *g, wsgi_connection *connection);

#endif
