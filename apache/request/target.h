/* target.h - which script, process group, application group and callable serve a request.
 *
 * Decided once per request (resolve, perhaps choose, admit), read-only afterwards, lives as long as
 * r->pool. Apache children only; any thread. */
#ifndef WSGI_TARGET_H
#define WSGI_TARGET_H

#include "config/config.h"
#include "config/group.h"

typedef struct wsgi_target {
    const char *handler;     /* r->handler */
    const char *script;      /* file to load: the one requested, or the handler's */
    apr_time_t script_mtime; /* 0: unknown */
    int is_handler_script; /* WSGIHandlerScript: r->filename is what the script is to deal with, and
                              need not exist */
    const char *resource;  /* what %{RESOURCE} shows behind the server's name */
    const char *process_group;     /* "" when embedded */
    const char *application_group; /* "" for the main interpreter */
    const char *callable;
    wsgi_group *group;      /* NULL when embedded */
    int pass_authorization; /* or WSGI_UNSET, see authorization.h */
    int script_reloading;
} wsgi_target;

/* What the configuration says. OK: *out is set. DECLINED: not ours. HTTP status: ours, must not
 * run, reason is logged. */
int wsgi_target_resolve(wsgi_target **out, request_rec *r);

/* Names from elsewhere, expanded like those of the directives; NULL: as it is. Between resolve and
 * admit. */
void wsgi_target_choose(wsgi_target *t, request_rec *r, const char *process_group,
                        const char *application_group, const char *callable);

/* May it run there? OK: t->group and t->callable are final. HTTP status: no, reason is logged. */
int wsgi_target_admit(wsgi_target *t, request_rec *r);

/* The part of that which does without the restrictions: finds t->group. OK, or HTTP status with the
 * reason logged. */
int wsgi_target_find_group(wsgi_target *t, request_rec *r);

/* Returns status, and notes that its reason is in the log already. */
int wsgi_refuse(request_rec *r, int status);

void wsgi_target_register_hooks(apr_pool_t *p);

#endif
