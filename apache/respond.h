/* respond.h - a response on its way to the client: what client.c and embed.c have in common.
 *
 * One thread, the request's. After an error or an abort everything is a no-op. */
#ifndef WSGI_RESPOND_H
#define WSGI_RESPOND_H

#include "wire/contract.h"

#include <httpd.h>
#include <util_filter.h>

typedef struct wsgi_respond {
    request_rec *r;
    apr_bucket_brigade *bb;
    int head_done;
    int replaced;  /* WSGIErrorOverride: the application's body is dropped, httpd makes its own */
    int unflushed; /* httpd may keep something back */
    int ended;
    int gone;      /* the client has gone */
} wsgi_respond;

void wsgi_respond_init(wsgi_respond *out, request_rec *r);

/* Status and headers into r. */
void wsgi_respond_head(wsgi_respond *out, const wire_response *head);

/* Collects without copying: data must stay valid until the next send, flush, end or abort. */
void wsgi_respond_data(wsgi_respond *out, const char *data, size_t len);

/* Collects. Takes fd over. */
void wsgi_respond_file(wsgi_respond *out, int fd, apr_off_t offset, apr_off_t len);

/* Hands to httpd what was collected, which may keep small pieces back. 0, or -1 when the client has gone. */
int wsgi_respond_send(wsgi_respond *out);

/* As send, and the client gets everything now. */
int wsgi_respond_flush(wsgi_respond *out);

/* The response is complete. What the handler returns. */
int wsgi_respond_end(wsgi_respond *out);

/* The response cannot be completed: nothing that looks like a proper end may reach the client. What the handler returns. */
int wsgi_respond_abort(wsgi_respond *out);

#endif
