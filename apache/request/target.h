/* target.h - which script, process group, application group and callable serve a request.
 *
 * Decided once per request (resolve, perhaps choose, admit), read-only afterwards, lives as long as
 * r->pool. Apache children only; any thread. */
#ifndef WSGI_TARGET_H
#define WSGI_TARGET_H

#include "config/config.h"
#include "config/group.h"

/* Name of the note with the script that runs, for ErrorLogFormat and LogFormat: %{wsgi.script}n */
#define WSGI_SCRIPT_NOTE "wsgi.script"

typedef struct wsgi_target {
    const char *handler;     /* r->handler; NULL for a hook, which has no callable either */
    const char *script;      /* file to load: the one requested, or the handler's */
    apr_time_t script_mtime; /* 0: unknown */
    int is_handler_script; /* WSGIHandlerScript: r->filename is what the script is to deal with, and
                              need not exist */
    const char *resource;  /* what %{RESOURCE} shows behind the server's name */
    const char *process_group;     /* "" when embedded */
    const char *application_group; /* "" for the main interpreter */
    const char *callable;
    const char *foreign; /* NULL, or the place where somebody who may only write .htaccess files has
                            a say in process_group: "/srv/bob/.htaccess:1" */
    wsgi_group *group;   /* NULL when embedded */
    int pass_authorization; /* or WSGI_UNSET, see authorization.h */
    int script_reloading;
} wsgi_target;

/* Finds out what the configuration says. Returns OK when *out is set, DECLINED when the request is
 * not for this module, or the HTTP status when it must not run, with the reason logged. */
int wsgi_target_resolve(wsgi_target **out, request_rec *r);

/* Replaces names by those of a dispatch script, which are expanded like the names in directives;
 * NULL leaves one as it is. Called between resolve and admit. */
void wsgi_target_choose(wsgi_target *t, request_rec *r, const char *process_group,
                        const char *application_group, const char *callable);

/* Returns OK when the script may run in the process group of t, whatever it is: an application, a
 * handler or a hook. t->group is set then, and the note wsgi.script has the script's name. Else
 * returns the HTTP status, and the reason is logged. Asks WSGIRestrictProcess,
 * WSGIRestrictEmbedded, the group itself, chroot= and script-user=, in this order. */
int wsgi_target_admit(wsgi_target *t, request_rec *r);

/* Returns status, and notes that the reason is in the log already. */
int wsgi_refuse(request_rec *r, int status);

void wsgi_target_register_hooks(apr_pool_t *p);

#endif
