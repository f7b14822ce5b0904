/* spool.h - an unlinked temporary file that takes what is too much to keep in memory. */
#ifndef WSGI_SPOOL_H
#define WSGI_SPOOL_H

#include <apr_buckets.h>
#include <apr_file_io.h>
#include <httpd.h>

typedef struct wsgi_spool {
    apr_file_t *file; /* NULL before the first write; closed with r->pool */
    apr_off_t size;   /* bytes written */
    int failed;       /* sticky; the reason is logged */
} wsgi_spool;

/* Appends. 0, or -1 when the file could not be created or written. */
int wsgi_spool_write(wsgi_spool *spool, request_rec *r, const char *data, apr_size_t len);

/* len bytes of what was written. Shares nothing with the spool, so httpd may keep it, or give it to another thread, while more is written. NULL,
 * with the reason logged, when they cannot be read. */
apr_bucket *wsgi_spool_bucket(const wsgi_spool *spool, request_rec *r, apr_off_t offset, apr_off_t len, apr_bucket_alloc_t *alloc);

/* Its descriptor; stays the spool's. */
int wsgi_spool_fd(const wsgi_spool *spool);

#endif
