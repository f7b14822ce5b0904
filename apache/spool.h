/* spool.h - an unlinked temporary file that takes what is too much to keep in memory. */
#ifndef WSGI_SPOOL_H
#define WSGI_SPOOL_H

#include <apr_file_io.h>
#include <httpd.h>

typedef struct wsgi_spool {
    apr_file_t *file; /* NULL before the first write; closed with r->pool */
    apr_off_t size;   /* bytes written */
    int failed;       /* sticky; the reason is logged */
} wsgi_spool;

/* Appends. 0, or -1 when the file could not be created or written. */
int wsgi_spool_write(wsgi_spool *spool, request_rec *r, const char *data, apr_size_t len);

/* Its descriptor; stays the spool's. */
int wsgi_spool_fd(const wsgi_spool *spool);

#endif
