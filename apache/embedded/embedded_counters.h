/* embedded_counters.h - what embedded mode is doing, in memory that Apache's parent and children
 * share, for the status alone.
 *
 * The parent makes it once; like the groups' boards it is retained over restarts. Counters are
 * added to atomically by any child. A slot belongs to the thread that has put its pid there, until
 * it puts 0; one of a process that has died is free for all. Application code runs in the processes
 * that write here: readers trust no value. */
#ifndef WSGI_EMBEDDED_COUNTERS_H
#define WSGI_EMBEDDED_COUNTERS_H

#include "wire/activity.h"
#include "wire/counters.h"

#include <httpd.h>

/* The last one is for all that have no place of their own. */
#define WSGI_EMBEDDED_APPLICATIONS 64
#define WSGI_EMBEDDED_PROCESSES    1024
#define WSGI_EMBEDDED_REQUESTS     4096 /* that are shown while they run */
#define WSGI_EMBEDDED_NAME_MAX     200

typedef struct wsgi_embedded_application {
    _Atomic uint32_t state; /* 0 free, 1 it is being named, 2 named */
    char name[WSGI_EMBEDDED_NAME_MAX];
    wire_counters stripes[WIRE_STRIPES]; /* of their timings, WIRE_TIMING_APP alone: a whole request
                                          */
} wsgi_embedded_application;

typedef struct wsgi_embedded_request {
    _Atomic uint32_t serial; /* odd while the fields change */
    _Atomic uint32_t phase;  /* enum wire_phase; changes at any time */
    uint32_t application;
    apr_time_t start;         /* as wire_monotonic_us() */
    char what[WIRE_WHAT_MAX]; /* "GET /path?query", cut, with a NUL */
} wsgi_embedded_request;

/* Untouched pages cost nothing, so there is room for large servers. */
typedef struct wsgi_embedded_counters {
    _Atomic pid_t processes[WSGI_EMBEDDED_PROCESSES]; /* that have loaded Python; 0: free */
    char pythons[WSGI_EMBEDDED_PROCESSES][16];        /* their versions */
    _Atomic pid_t runners[WSGI_EMBEDDED_REQUESTS]; /* of requests with the same number; 0: free */
    wsgi_embedded_request requests[WSGI_EMBEDDED_REQUESTS];
    wsgi_embedded_application applications[WSGI_EMBEDDED_APPLICATIONS];
} wsgi_embedded_counters;

/* Returns the shared memory, or NULL when WSGIRestrictEmbedded is On or there is none. */
wsgi_embedded_counters *wsgi_embedded_memory(void);

/* Called by a child that has loaded Python. */
void wsgi_embedded_process(const char *python);

typedef struct wsgi_embedded_ticket {
    int application, request; /* -1: none */
} wsgi_embedded_ticket;

/* Called before and after a request, in its thread. status: what the client got; 0: nothing, it had
 * left. */
wsgi_embedded_ticket wsgi_embedded_begin(const request_rec *r, const char *application_group,
                                         apr_time_t now);
/* Returns where the request's phase is to be stored, or NULL. */
_Atomic uint32_t *wsgi_embedded_phase(wsgi_embedded_ticket ticket);
void wsgi_embedded_end(wsgi_embedded_ticket ticket, const request_rec *r, int status,
                       apr_interval_time_t us);

void wsgi_embedded_counters_register_hooks(apr_pool_t *p);

#endif
