/* activity.h - what a daemon group's workers are doing, in memory that they, their supervisor and
 * Apache's children share.
 *
 * Slots are handed out by the supervisor, one per worker. A thread's entry is written by that
 * thread alone and read by anybody under its serial number: odd while a request is served, changed
 * by begin and end. A writer that dies leaves its entry as it was, which is what its supervisor
 * then reports. Readers trust no value: the writers run the application's code. Times are
 * microseconds of CLOCK_MONOTONIC. */
#ifndef WIRE_ACTIVITY_H
#define WIRE_ACTIVITY_H

#include <stdint.h>

enum wire_phase {
    WIRE_PHASE_START = 1, /* it waits for its interpreter */
    WIRE_PHASE_APP = 2,   /* code of the application runs */
    WIRE_PHASE_WRITE = 3  /* it has begun its response */
};

enum wire_worker_state {
    WIRE_WORKER_STARTING = 0,
    WIRE_WORKER_SERVING = 1,
    WIRE_WORKER_DRAINING = 2
};

#define WIRE_WHAT_MAX        192
#define WIRE_SOURCE_LINE_MAX 184

typedef struct wire_activity_thread {
    uint32_t serial;
    uint32_t phase;     /* enum wire_phase */
    int64_t queue_us;   /* how long the request waited before this thread took it */
    int64_t start_us;   /* when that was */
    int64_t app_us;     /* when its interpreter was entered; 0: not yet */
    int64_t head_us;    /* when its response began; 0: not yet */
    int64_t touched_us; /* last activity that counts for inactivity-timeout; stays when the request
                           is over */
    int64_t asked_us;   /* the request's queue_start_us, which is its name in wire_death */
    uint32_t source_line_serial; /* the request whose line is below; the line is written by the
                                    worker's control thread, this afterwards */
    uint32_t what_len;
    char what[WIRE_WHAT_MAX]; /* "GET /path?query", cut */
    uint32_t source_line_len;
    uint32_t handed_back; /* how many requests reached no application, as their script had changed
                             and another worker was asked */
    char source_line[WIRE_SOURCE_LINE_MAX]; /* of a slow request: `File "shop.py", line 12, in pay`,
                                               as it was when that was noticed */
} wire_activity_thread;

typedef struct wire_activity_worker {
    uint32_t pid; /* 0: the slot is free; written by the supervisor */
    uint32_t nthreads;
    uint32_t state;      /* enum wire_worker_state; written by the supervisor */
    uint32_t supervisor; /* the number of the one that started it, see wire_board */
    wire_activity_thread threads[];
} wire_activity_worker;

#define WIRE_ACTIVITY_SLOT(nthreads)                                                               \
    (sizeof(wire_activity_worker) + (size_t)(nthreads) * sizeof(wire_activity_thread))
/* Reloads with long requests make many workers; one without a slot is served but not watched. */
#define WIRE_ACTIVITY_SLOTS(processes) (3 * (size_t)(processes) + 8)

#endif
