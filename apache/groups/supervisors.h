/* supervisors.h - the supervisors of daemon groups as the Apache parent sees them: started,
 * watched, replaced, told to go.
 *
 * Apache parent only, in post_config and its maintenance callbacks: one thread. What is retained
 * here outlives a generation, because an old supervisor serves until the new one can; the module
 * stays mapped over restarts (-z nodelete). */
#ifndef WSGI_SUPERVISORS_H
#define WSGI_SUPERVISORS_H

#include "config/group.h"

/* A new generation begins: opens its lifeline, and the server lifeline the first time. 0 or an
 * errno. */
apr_status_t wsgi_supervisors_begin(apr_pool_t *pconf);

/* Starts this generation's supervisor of g, whose socket and board are there. The older one, if
 * any, is told that it is superseded; of a service (threads=0) two must not run at once, so there
 * it is told to stop. */
void wsgi_supervisors_start(wsgi_group *g, apr_pool_t *ptemp);

/* All groups are started: what belongs to groups that are no more may go when the old Apache
 * children have gone. */
void wsgi_supervisors_release_others(void);

/* About every ten seconds, as httpd asks its modules: starts what is due. */
void wsgi_supervisors_monitor(void);

/* In a new Apache child: closes what only the parent needs. */
void wsgi_supervisors_child_init(void);

#endif
