/* generation.h - a generation of the configuration: the sockets, boards and supervisors of its
 * daemon groups, of which some survive restarts.
 *
 * Apache's parent, one thread; in a new child, what only the parent needs is closed. */
#ifndef WSGI_GENERATION_H
#define WSGI_GENERATION_H

#include <apr_pools.h>

/* Sockets, lifeline, boards and supervisors: post_config, child_init, monitor. */
void wsgi_generation_register_hooks(apr_pool_t *p);

#endif
