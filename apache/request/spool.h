/* spool.h - an unlinked temporary file that takes what is too much to keep in memory.
 *
 * Apache children only. Lives as long as the request and belongs to its thread; buckets that were
 * made of it may be read by others. */
#ifndef WSGI_SPOOL_H
#define WSGI_SPOOL_H

#include <apr_buckets.h>
#include <apr_file_io.h>
#include <httpd.h>

typedef struct wsgi_spool {
    apr_file_t *file;    /* NULL before the first write; closed with r->pool */
    apr_off_t size;      /* bytes written */
    apr_off_t forgotten; /* bytes at the beginning that take no space any more */
    int is_viewed;       /* a bucket may still read from it */
    int failed;          /* sticky; the reason is logged */
} wsgi_spool;

/* Appends. Returns 0, or -1 when the file could not be created or written. */
int wsgi_spool_write(wsgi_spool *spool, request_rec *r, const char *data, apr_size_t len);

/* Returns a bucket of len bytes that were written, or NULL with the reason logged. It shares
 * nothing with the spool, so httpd may keep it, or give it to another thread, while more is
 * written. */
apr_bucket *wsgi_spool_bucket(wsgi_spool *spool, request_rec *r, apr_off_t offset, apr_off_t len,
                              apr_bucket_alloc_t *alloc);

/* What is before offset is not needed any more. Its space is given back, a megabyte or more at a
 * time. */
void wsgi_spool_forget(wsgi_spool *spool, apr_off_t offset);

/* Returns the file's descriptor, which stays the spool's, or -1. */
int wsgi_spool_fd(const wsgi_spool *spool);

/* Makes a file that closes fd with the pool. Returns APR_SUCCESS, or an error after closing fd. */
apr_status_t wsgi_file_of_fd(apr_file_t **file, int fd, apr_int32_t flags, apr_pool_t *p);

void wsgi_spool_register_hooks(apr_pool_t *p);

#endif
