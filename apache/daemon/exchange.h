/* exchange.h - one request in a daemon worker: what client.c, exchange.c and replies.c share.
 *
 * On the stack of the request's thread, which alone uses it.
 *
 *     client.c    finds a worker and sends the request
 *     replies.c   does what the worker's frames say
 *     exchange.c  waits for it, while the client takes the response at a speed of its own */
#ifndef WSGI_EXCHANGE_H
#define WSGI_EXCHANGE_H

#include "daemon/channel.h"
#include "daemon/connections.h"
#include "request/body.h"
#include "request/respond.h"
#include "request/target.h"
#include "request/verdict.h"
#include "wire/assert.h"
#include "wire/frames.h"

/* What the functions of an exchange return besides the handler's results. */
#define WSGI_NOT_YET (-100) /* go on reading frames */
#define WSGI_RETRY   (-101) /* another worker may have the request */

/* The request, and which worker is to have it. */
typedef struct wsgi_exchange_request {
    const char *block; /* in r->pool */
    size_t block_len;
    wsgi_body_reader reader;
    wsgi_body body;
    uint16_t connects, retries;
    uint32_t news;       /* of the board, as last seen */
    int hopes;           /* tries that are worth making at once */
    apr_time_t queued;   /* since then it waits for a thread */
    apr_time_t deadline; /* for retries */
    int all_body_sent;   /* the worker has seen the end of a body that it has asked for */
} wsgi_exchange_request;

/* The worker that has the request now. */
typedef struct wsgi_exchange_worker {
    wsgi_connection connection;
    wsgi_channel channel; /* over connection */
    char *in;             /* in r->pool; received and not yet used: in[at..have) */
    size_t at, have, room;
    wire_times times;
    int is_timed;       /* times is what the worker has said */
    int heard;          /* the worker has sent something */
    int has_begun;      /* the worker cannot hand the request back any more */
    wire_frame current; /* the frame that is being dealt with, of type 0 when there is none; len:
                           bytes of it not used yet */
    int is_over;        /* the worker has said its last word, or nothing more can be understood */
    int got_file;       /* the last frame was a FILE */
    apr_int64_t left; /* bytes of the response that its head promised and that have not come; -1: it
                         promised nothing */
    int has_end_room; /* in[] is what replies.c made for the end of the response */
} wsgi_exchange_worker;

/* The client, which takes the response at a speed of its own. */
typedef struct wsgi_exchange_client {
    int fd;                      /* -1: a stream of HTTP/2, which has no socket of its own */
    apr_interval_time_t timeout; /* for writing; Apache's own is back when this is over */
    apr_time_t lags_since;       /* the client could have taken something and has not; 0: it has */
    apr_off_t spool_most;        /* bytes of the response that may wait for the client */
    int has_left; /* the worker was told so, and nothing can be sent to it any more */
} wsgi_exchange_client;

typedef struct wsgi_exchange {
    request_rec *r;
    const wsgi_target *t;
    wsgi_verdict *verdict; /* of a hook call, which has no response and no body; NULL: a request */
    wsgi_respond out;
    wsgi_exchange_request request;
    wsgi_exchange_worker worker;
    wsgi_exchange_client client;
} wsgi_exchange;

/* For assertions. Returns 1 when the fields fit together, else 0. */
static inline int wsgi_exchange_is_consistent(const wsgi_exchange *x)
{
    const wsgi_exchange_worker *w = &x->worker;

    return w->at <= w->have && w->have <= w->room && (w->in || w->room == 0) && w->left >= -1 &&
           x->request.retries <= x->request.connects && x->client.lags_since >= 0 &&
           !(x->verdict && x->out.head_done);
}

/* Sets how long writing to the client may take. */
void wsgi_exchange_set_client_timeout(const wsgi_exchange *x, apr_interval_time_t timeout);

/* Receives at least one byte. due: how many bytes are on their way, after which nothing comes; 0
 * when that is not known. Returns WSGI_NOT_YET, or the handler's result. */
int wsgi_exchange_receive(wsgi_exchange *x, size_t due);

/* Makes len bytes available in one piece at in + at. Returns WSGI_NOT_YET, or the handler's
 * result. */
int wsgi_exchange_need(wsgi_exchange *x, size_t len);

/* The connection has ended before the response did. Returns WSGI_RETRY when no application code was
 * reached, else logs how the worker ended and returns the handler's result. */
int wsgi_exchange_worker_gone(wsgi_exchange *x);

/* No worker can have the request: logs why. Returns the handler's result. */
int wsgi_exchange_unavailable(wsgi_exchange *x, const char *why);

#endif
