/* uses.h - what the configuration refers to, noted while it is read, for the check of all of it
 * (check/check.h).
 *
 * Parent, one thread; everything lives as long as pconf. What stands in a .htaccess file is not
 * noted. */
#ifndef WSGI_USES_H
#define WSGI_USES_H

#include "config/config.h"

typedef struct wsgi_use {
    const char *directive, *where;
    server_rec *server;
    const char *process_group; /* "" embedded mode; NULL: not said here */
    const char *script;        /* absolute path, or NULL: none, or known only with a request */
    int serves_requests;       /* to be answered by that group */
} wsgi_use;

/* A message that is logged when the configuration has been read. */
typedef struct wsgi_remark {
    int level; /* APLOG_* */
    const char *text;
} wsgi_remark;

/* A directive that names a process group or a script, or both. process_group and script as in
 * wsgi_use, script also as "module:callable" or with "$1". */
void wsgi_uses_note(cmd_parms *cmd, const char *process_group, const char *script,
                    int serves_requests);

/* A name as written: one that begins like an expansion and is none is probably a typing error. */
void wsgi_uses_note_name(cmd_parms *cmd, const char *value);

/* An alias for a URL path (not a regular expression): wsgi_misses_slash() is probably an error. */
void wsgi_uses_note_slash(cmd_parms *cmd, const char *location, const char *target);

/* A directive that has no effect, and why. */
void wsgi_uses_note_obsolete(cmd_parms *cmd, const char *why);

/* Returns the array of wsgi_use that were noted. */
apr_array_header_t *wsgi_uses_noted(apr_pool_t *pconf);

/* Returns the array of wsgi_remark that were noted. */
apr_array_header_t *wsgi_remarks_noted(apr_pool_t *pconf);

/* Returns the server whose log gets a message about s: s, or the main server in a configuration
 * test, when only standard error is open. */
const server_rec *wsgi_uses_log(const server_rec *s);

#endif
