/* respond.h - a response on its way to the client: what daemon/ and embedded/ have in common.
 *
 * Apache children only. One thread, the request's. After an error or an abort everything is a
 * no-op. */
#ifndef WSGI_RESPOND_H
#define WSGI_RESPOND_H

#include "config/group.h"
#include "request/spool.h"
#include "wire/contract.h"

#include <httpd.h>
#include <util_filter.h>

typedef struct wsgi_respond {
    request_rec *r;
    const wsgi_group *group; /* that limits how long the client may take nothing; NULL: Timeout */
    apr_bucket_brigade *bb;
    int head_done;
    int replaced;  /* WSGIErrorOverride: the application's body is dropped, httpd makes its own */
    int streaming; /* the response asks not to be kept back: an event stream, or `X-Accel-Buffering:
                      no` */
    int unflushed; /* httpd may keep something back */
    int body_unread;     /* set by the caller: the client may still be sending a request body */
    ap_filter_t *ranges; /* httpd's filter that may answer the request's Range; NULL: nobody does */
    int is_held;         /* the filter needs the collected file together with the end */
    int ended;
    int gone;       /* the client has gone, or nothing can be sent any more */
    int is_cut_off; /* nothing can be sent any more, and the client has seen it */
    wsgi_spool spool;
    apr_off_t spool_sent; /* bytes of the spool that httpd was given */
} wsgi_respond;

void wsgi_respond_init(wsgi_respond *out, request_rec *r, const wsgi_group *group);

/* Sends an interim response (103) at once, but not to HTTP/1.0 clients. Called before
 * wsgi_respond_head(). Returns 0, or -1 when the client has gone. */
int wsgi_respond_hints(wsgi_respond *out, const wire_response *hints);

/* Puts status and headers into r. */
void wsgi_respond_head(wsgi_respond *out, const wire_response *head);

/* Collects without copying: data must stay valid until the next settle, send, flush, part, end
 * or abort. */
void wsgi_respond_data(wsgi_respond *out, const char *data, size_t len);

/* Collects a part of a file. The descriptor belongs to the response then. */
void wsgi_respond_file(wsgi_respond *out, int fd, apr_off_t offset, apr_off_t len);

/* Returns 1 when there is something for httpd to send now, else 0. */
int wsgi_respond_pending(const wsgi_respond *out);

/* Hands to httpd, which may keep small pieces back, what was spooled and collected. Returns 0, or
 * -1 when the client has gone. */
int wsgi_respond_send(wsgi_respond *out);

/* As wsgi_respond_send(), and the client gets everything now. */
int wsgi_respond_flush(wsgi_respond *out);

/* As wsgi_respond_flush(), but a part of the spool that fits into a socket's buffer. */
int wsgi_respond_part(wsgi_respond *out);

/* Makes the memory of what was collected free for its owner: it goes to httpd, or into the spool
 * when the client lags behind. While the spool holds spool_most bytes, this waits for the client; 0
 * means that there is no spool. client_fd: the client's socket, or -1. Returns 1 when httpd was
 * given something, 0 when not, -1 when the client has gone. */
int wsgi_respond_settle(wsgi_respond *out, apr_off_t spool_most, int client_fd);

/* The client has taken nothing within its limit: logs that, and nothing more is sent. */
void wsgi_respond_timed_out(wsgi_respond *out);

/* The response is complete. Returns the handler's result. */
int wsgi_respond_end(wsgi_respond *out);

/* The response cannot be completed: nothing that looks like a proper end may reach the client.
 * Returns the handler's result. */
int wsgi_respond_abort(wsgi_respond *out);

/* The application has been stopped, as the client has left: logs that. The client may have closed
 * one direction only, so nothing that looks like a proper end may reach it. Returns the handler's
 * result. */
int wsgi_respond_left(wsgi_respond *out);

/* Returns the status that the client gets when the handler returns rc, or 0 when the client left
 * before there was one. */
int wsgi_respond_status(const wsgi_respond *out, int rc);

#endif
