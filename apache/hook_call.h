/* call.h - asks a function of a script about a request, whoever serves that: WSGIAccessScript, WSGIAuthUserScript, WSGIAuthGroupScript,
 * WSGIDispatchScript.
 *
 * The script runs in the calling thread, or in a worker of its daemon group while this thread waits; it sees the request but can neither
 * read nor answer it. Apache children only, any thread, any phase from access_checker on. */
#ifndef WSGI_CALL_H
#define WSGI_CALL_H

#include "config/config.h"
#include "request/target.h"
#include "wire/contract.h"

typedef struct wsgi_call {
    const wsgi_hook *hook;
    const char *kind;          /* as httpd_wsgi/hooks.py knows it */
    const char *user;          /* NULL: none */
    const char *argument;      /* password, realm or group names, one a line; NULL: none */
    const wsgi_target *target; /* the application that the request is for, whose environ is shown; NULL: that is not known */
} wsgi_call;

typedef struct wsgi_answer {
    enum wire_verdict verdict; /* never WIRE_NO_VERDICT after OK */
    const char *text;          /* in r->pool, ended by NUL */
} wsgi_answer;

/* OK: *answer is set; WIRE_VERDICT_FAILED is logged. HTTP status: the script could not be asked, which is logged. */
int wsgi_call_run(wsgi_answer *answer, request_rec *r, const wsgi_call *call);

/* For the transports: takes a verdict over. 0, or -1: there is one already. */
int wsgi_answer_take(wsgi_answer *answer, request_rec *r, int verdict, const char *text, apr_size_t len);

/* Array of const wsgi_hook *: all that this configuration defines. */
apr_array_header_t *wsgi_hooks_defined(apr_pool_t *pconf);

void wsgi_call_register_hooks(apr_pool_t *p);

#endif
