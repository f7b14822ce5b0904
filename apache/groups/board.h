/* board.h - reads what a group's supervisor and workers write for Apache into shared memory
 * (wire/group.h, wire/activity.h).
 *
 * Mapped by the parent (groups/generation.c) and inherited by its children. Any process, any
 * thread. Applications run in the processes that write here, so readers trust no value. */
#ifndef WSGI_BOARD_H
#define WSGI_BOARD_H

#include "config/group.h"
#include "wire/activity.h"
#include "wire/counters.h"

/* What the workers of one generation of the configuration are doing: memory that is written by them
 * and their supervisors, see wire/activity.h. Read-only here. */
typedef struct wsgi_activity {
    const char *memory; /* slots times WIRE_ACTIVITY_SLOT(threads) */
    apr_size_t slots;
    uint32_t threads;
} wsgi_activity;

/* Returns the slot of the worker with this number, below a->slots. */
const wire_activity_worker *wsgi_activity_slot(const wsgi_activity *a, apr_size_t number);

/* Returns one of the WIRE_STRIPES that the group's counters are divided into; any number will do.
 */
wire_counters *wsgi_board_counters(const wsgi_group *g, unsigned stripe);

/* Returns why the group can serve nothing now, or NULL. */
const char *wsgi_board_refusal(const wsgi_group *g);

/* Returns the number of seconds after which a client may try again. */
int wsgi_board_retry_after(const wsgi_group *g);

/* Returns pid and end of the worker that was serving the request with this queue_start_us, as its
 * supervisor has noted within milliseconds. */
const char *wsgi_board_death(const wsgi_group *g, apr_int64_t asked_us, apr_pool_t *p);

/* Returns 1 when it is known that the worker of that request died before an application was
 * reached. Two records of one name are no knowledge: 0. */
int wsgi_board_died_before_application(const wsgi_group *g, apr_int64_t asked_us);

#endif
