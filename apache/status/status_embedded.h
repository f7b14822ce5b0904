/* status_embedded.h - what embedded mode is doing, copied out of the memory that Apache's processes
 * share.
 *
 * Apache children, any thread; results live in the pool that is given. */
#ifndef WSGI_STATUS_EMBEDDED_H
#define WSGI_STATUS_EMBEDDED_H

#include "status/status_read.h"

/* An application group of embedded mode; its interpreter may be in each of Apache's children. */
typedef struct wsgi_status_application {
    const char *name; /* "%{GLOBAL}" for the main interpreter */
    int busy;
    apr_uint64_t statuses[WIRE_STATUSES], requests;
    wsgi_status_timing time; /* whole requests */
} wsgi_status_application;

typedef struct wsgi_status_process {
    pid_t pid;
    const char *python; /* version */
    int busy;
    apr_int64_t resident_bytes, cpu_us;
} wsgi_status_process;

typedef struct wsgi_status_embedded {
    apr_array_header_t *applications, *processes; /* of the above */
    apr_array_header_t *running;                  /* of wsgi_status_request, the oldest first */
} wsgi_status_embedded;

/* Returns NULL when no child of Apache has loaded Python since it was started. */
const wsgi_status_embedded *wsgi_status_embedded_read(apr_pool_t *p);

#endif
