/* supervisors.h - the supervisors of daemon groups as the Apache parent sees them: it starts,
 * watches, replaces and stops them.
 *
 * Apache parent only, in post_config and its maintenance callbacks: one thread. What is retained
 * here outlives a generation, because an old supervisor serves until the new one can; the module
 * stays mapped over restarts (-z nodelete). */
#ifndef WSGI_SUPERVISORS_H
#define WSGI_SUPERVISORS_H

#include "config/group.h"

/* Begins a new generation: opens its lifeline, and the server lifeline the first time. Returns 0 or
 * an errno. */
apr_status_t wsgi_supervisors_begin(apr_pool_t *pconf);

/* Starts this generation's supervisor of g, whose socket and board are there. Tells an older one
 * that it is superseded. Two supervisors of a service (threads=0) must not run at once, so there
 * the older one is told to stop. */
void wsgi_supervisors_start(wsgi_group *g, apr_pool_t *ptemp);

/* Call it when all groups are started: supervisors of groups that the configuration no longer has
 * may end when the old Apache children have ended. */
void wsgi_supervisors_release_others(void);

/* Starts supervisors that are due. httpd's monitor hook calls it about every ten seconds. */
void wsgi_supervisors_monitor(void);

/* Closes what only the parent needs. Called in each new Apache child. */
void wsgi_supervisors_child_init(void);

#endif
