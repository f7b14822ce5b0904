/* connections.h - an Apache child's connections to the workers of a daemon group.
 *
 * A connection over which a request has been answered is kept for the next one. It is used only after one of that worker's offers was taken
 * (wire/offers.h), so a request never waits for a busy worker while another one is free; without such an offer a new connection is made, which
 * waits in the group's queue for whichever thread is free first. */
#ifndef WSGI_CONNECTIONS_H
#define WSGI_CONNECTIONS_H

#include "config/group.h"

typedef struct wsgi_line {
    int fd;        /* blocking, close-on-exec; receiving ends with EAGAIN after a second */
    int entry;     /* of the worker in wire_offers; -1: not known yet */
    uint32_t pid;  /* of the worker, when entry is known */
    apr_interval_time_t send_limit;
} wsgi_line;

/* Each new Apache child begins without connections. */
void wsgi_lines_register_hooks(apr_pool_t *p);

/* The following may be called by any thread of an Apache child. A line belongs to the thread that got it. */

/* A kept connection to a worker that has a thread for it. 1, or 0: there is none. */
int wsgi_line_take(wsgi_group *g, wsgi_line *line);

/* A new connection. APR_SUCCESS or the error of connect(). A full backlog is waited for until connect-timeout. */
apr_status_t wsgi_line_connect(wsgi_group *g, wsgi_line *line);

/* Sending may take so long. */
void wsgi_line_set_limit(wsgi_line *line, apr_interval_time_t limit);

/* Is there room for one more that is kept? */
int wsgi_line_is_wanted(const wsgi_group *g);

/* The worker of this pid has answered and keeps it, too. It is no longer the caller's. */
void wsgi_line_keep(wsgi_group *g, wsgi_line *line, uint32_t pid);

/* One that was taken and turned out to be dead before anything was sent. It is closed. */
void wsgi_line_lose(wsgi_group *g, wsgi_line *line);

#endif
