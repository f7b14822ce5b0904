/* check_files.h - are the Pythons and scripts that the configuration names there, and can the users
 * that need them reach them?
 *
 * Parent only, one thread, when the configuration has been read. */
#ifndef WSGI_CHECK_FILES_H
#define WSGI_CHECK_FILES_H

#include <apr_tables.h>
#include <httpd.h>

/* Warns of Pythons that cannot run and of files that cannot be read. uses: of wsgi_use, groups: of
 * wsgi_group *. */
void wsgi_check_files(apr_pool_t *p, server_rec *main_server, const apr_array_header_t *uses,
                      const apr_array_header_t *groups);

#endif
