/* verdict.h - the call of a hook about a request, and its verdict, as the transports pass them on.
 *
 * On the stack of the request's thread. Apache children only, any thread. */
#ifndef WSGI_VERDICT_H
#define WSGI_VERDICT_H

#include "config/config.h"
#include "request/target.h"
#include "wire/contract.h"

typedef struct wsgi_hook_call {
    const wsgi_hook *hook;
    const char *kind;          /* as httpd_wsgi/interpreter/hooks.py knows it */
    const char *user;          /* NULL: none */
    const char *argument;      /* password, realm or group names, one a line; NULL: none */
    const wsgi_target *target; /* the application that the request is for, whose environ is shown;
                                  NULL: that is not known */
} wsgi_hook_call;

typedef struct wsgi_verdict {
    enum wire_verdict kind; /* WIRE_NO_VERDICT: the script has not given one yet */
    const char *text;       /* in r->pool, ended by NUL */
} wsgi_verdict;

/* Stores the verdict that a transport has received. Returns 0, or -1 when there is one already. */
int wsgi_verdict_take(wsgi_verdict *verdict, request_rec *r, int kind, const char *text,
                      apr_size_t len);

#endif
