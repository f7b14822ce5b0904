/* check.h - what the configuration refers to, noted while it is read; when all of it is read, it is compared with the groups
 * there are and with the file system.
 *
 * What can never work ends the start. What may still come into being, like an environment that is made later, is a warning:
 * `apachectl configtest` shows it, and a start or restart puts it into the error log. Parent only; everything lives as long as
 * pconf. */
#ifndef WSGI_CHECK_H
#define WSGI_CHECK_H

#include "config/group.h"

typedef struct wsgi_use {
    const char *directive, *where;
    server_rec *server;
    const char *process_group; /* "" embedded mode; NULL: not said here */
    const char *script;        /* absolute path, or NULL: none, or known only with a request */
    int serves_requests;       /* to be answered by that group */
} wsgi_use;

/* A directive that names a process group or a script, or both. process_group and script as in wsgi_use, script also as
 * "module:callable" or with "$1". */
void wsgi_check_note(cmd_parms *cmd, const char *process_group, const char *script, int serves_requests);

/* A name as written: one that begins like an expansion and is none is probably a typing error. */
void wsgi_check_note_name(cmd_parms *cmd, const char *value);

/* A directive that has no effect, and why. */
void wsgi_check_note_obsolete(cmd_parms *cmd, const char *why);

/* The nearest name of a group, or NULL. */
const char *wsgi_check_nearest_group(apr_pool_t *p, const apr_array_header_t *groups, const char *name);

void wsgi_check_register_hooks(apr_pool_t *p);

/* ---- check_files.c ---- */

/* Warns of Pythons that cannot run and of files that cannot be read. uses: of wsgi_use, groups: of wsgi_group *. */
void wsgi_check_files(apr_pool_t *p, server_rec *main_server, const apr_array_header_t *uses, const apr_array_header_t *groups);

/* ---- check_access.c ---- */

/* Warns of scripts whose directory nobody may get at. uses: of wsgi_use. */
void wsgi_check_access(apr_pool_t *p, const apr_array_header_t *uses);

/* ---- for both ---- */

/* Where to say it: the log of s, or in a configuration test, when only standard error is open, that of the main server. */
const server_rec *wsgi_check_log(const server_rec *s);

#endif
