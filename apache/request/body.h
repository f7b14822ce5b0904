/* body.h - the request body as it comes through httpd's input filters, and how much of it is read
 * before a worker is taken.
 *
 * Apache children only. Reader and body live as long as the request and belong to its thread. */
#ifndef WSGI_BODY_H
#define WSGI_BODY_H

#include "config/group.h"
#include "request/spool.h"
#include "wire/contract.h"
#include "wire/frames.h"

#include <httpd.h>
#include <util_filter.h>

typedef struct wsgi_body_reader {
    request_rec *r;
    apr_bucket_brigade *bb; /* made by the first read */
    int ended;
    apr_status_t failed; /* the error of the filters */
} wsgi_body_reader;

void wsgi_body_reader_init(wsgi_body_reader *in, request_rec *r);

/* Blocks for at least one byte, and takes what else has come already. Sends `100 Continue` when it
 * is due. Returns the number of bytes, 0 at the end, or a negative enum wire_io, as every later
 * call does then. */
apr_int64_t wsgi_body_read(wsgi_body_reader *in, char *buf, size_t len);

/* Returns the status for a client whose request the application could not answer: 413, 408 or 400
 * when reading the body has failed, else `otherwise`. */
int wsgi_body_status(const wsgi_body_reader *in, int otherwise);

/* Returns the enum wire_body_error for a negative enum wire_io. */
int wsgi_body_error(apr_int64_t io);

/* The part of the request body that is there when the application starts. */
typedef struct wsgi_body {
    enum wire_body_kind kind;
    int more;          /* the rest is to be read from the client when the application asks for it */
    apr_int64_t len;   /* declared by the client, or counted when all of it is here; -1 unknown,
                          also when a filter may change it on its way */
    int is_decoded;    /* mod_deflate decodes it: nothing is left of its Content-Encoding */
    const char *bytes; /* WIRE_BODY_INLINE: size bytes, in r->pool */
    wsgi_spool spool;  /* WIRE_BODY_FILE */
    apr_size_t size;
} wsgi_body;

/* Sets *body to what the request says about its body. Reads nothing. */
void wsgi_body_of(wsgi_body *body, request_rec *r);

/* Reads the body, so that no worker has to wait for a slow client: into memory up to
 * request-buffer-size=, then into a file up to request-spool-size=. A body declared to be larger
 * than that stays unread, as does one that waits for `100 Continue` (RFC 9110 section 10.1.1: the
 * application may still refuse it) and any under WSGIRequestBuffering Off. Returns OK, or an HTTP
 * status.
 */
int wsgi_body_collect(wsgi_body *body, wsgi_body_reader *in, const wsgi_group *g);

#endif
