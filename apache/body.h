/* body.h - the request body as it comes through httpd's input filters. */
#ifndef WSGI_BODY_H
#define WSGI_BODY_H

#include "wire/contract.h"
#include "wire/frames.h"

#include <httpd.h>
#include <util_filter.h>

typedef struct wsgi_body_reader {
    request_rec *r;
    apr_bucket_brigade *bb;
    int ended;
    apr_status_t failed; /* what the filters said */
} wsgi_body_reader;

void wsgi_body_reader_init(wsgi_body_reader *in, request_rec *r);

/* Blocks for at least one byte. Bytes, 0 at the end, or a negative enum wire_io. Sends `100 Continue` when it is due. */
apr_int64_t wsgi_body_read(wsgi_body_reader *in, char *buf, size_t len);

/* enum wire_io to enum wire_body_error. */
int wsgi_body_error(apr_int64_t io);

#endif
