/* child.h - which Apache child this process is.
 *
 * The pid is written once, before the threads of the child start; any thread may read it. */
#ifndef WSGI_CHILD_H
#define WSGI_CHILD_H

#include "config/config.h"
#include "wire/assert.h"

#include <httpd.h>
#include <unistd.h>

/* For functions that run in Apache children only. */
#define WSGI_ASSERT_CHILD() WIRE_ASSERT(wsgi_is_child())

/* Returns this child's pid without asking the kernel each time, or 0 in the parent. */
pid_t wsgi_child_pid(void);

/* Its hook comes before those that need the pid. */
void wsgi_child_register_hooks(apr_pool_t *p);

#endif
