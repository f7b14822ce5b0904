/* settings.h - the settings that Python processes get when they start: the records described in
 * wire/group.h.
 *
 * The parent, when it starts a supervisor, and children, when they load Python; read-only
 * configuration is all that is used. */
#ifndef WSGI_SETTINGS_H
#define WSGI_SETTINGS_H

#include "config/group.h"

/* Returns the records for a daemon group, or for embedded mode when g is NULL: in p, each ended by
 * NUL, *len bytes in all. */
const char *wsgi_settings_build(apr_pool_t *p, const wsgi_group *g, apr_size_t *len);

/* Returns WSGIFreeThreading of a daemon group, "" for embedded mode. It is decided once per
 * process, so sections for single application groups do not count. */
int wsgi_settings_free_threading(const char *group);

#endif
