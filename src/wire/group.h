/* group.h - what the Apache parent hands to a daemon group's supervisor, and the memory both share.
 *
 * The parent forks, drops privileges and executes `PYTHON _boot.py supervisor`. These descriptors
 * are then open (everything else is close-on-exec): */
#ifndef WIRE_GROUP_H
#define WIRE_GROUP_H

#include <stdint.h>

enum wire_group_fd {
    WIRE_FD_LISTEN = 3, /* listening AF_UNIX socket, non-blocking; belongs to the parent, survives
                           generations */
    WIRE_FD_GENERATION_LIFELINE = 4, /* read end of a pipe: end-of-file means that no Apache process
                                        of this generation is left. In a worker: the socket to its
                                        supervisor */
    WIRE_FD_SETTINGS = 5,            /* settings, see below; read to end-of-file, then close */
    WIRE_FD_BOARD = 6,   /* memfd with one wire_board, shared with all Apache children and all
                            supervisors of this group; behind it are the counters of wire/counters.h
                            and the credits of wire/credits.h */
    WIRE_FD_SCORES = 7,  /* with server-metrics=On: memory file as in wire/scores.h, for reading;
                            workers inherit it */
    WIRE_FD_CONTROL = 8, /* socket to the parent, which sends messages, see below */
    WIRE_FD_SERVER_LIFELINE = 9, /* read end of a pipe: end-of-file means that no Apache process of
                                    any generation is left */
    WIRE_FD_ACTIVITY = 10,       /* memfd with a slot for each worker of this generation
                                    (wire/activity.h); workers inherit it */
    WIRE_FD_END
};

/* Messages on WIRE_FD_CONTROL, a line of text each. A supervisor whose generation lifeline has
 * ended goes on until one of them, or the end of the server lifeline, says what that means.
 *
 * - "superseded": a later supervisor of this group has been started. Serve on until the board says
 *   that the later one serves. The descriptor of the log that it writes to comes along
 * (SCM_RIGHTS).
 * - "released": the configuration has no such group any more. Drain when the lifeline ends.
 * - "stop": drain now, within shutdown-timeout. */

/* Settings are "name=value" records, each ended by NUL, as in environ. Names are those of the
 * WSGIDaemonProcess options with '-' as '_', and besides: group, where ("shop.conf:14"),
 * multiprocess, log_level (APLOG number), package_dir, case_sensitive, destroy_interpreter,
 * optimize, dont_write_bytecode, free_threading, main_is_first, main_is_used, hash_seed, what
 * Apache is (apache_version, apache_description, apache_build_date, mpm_name, mpm_processes,
 * mpm_threads), and repeated: warning, preload
 * ("application_group\nscript\ncallable"), main_group (an application group that runs in the main
 * interpreter), interpreter (options of interpreters: "*" for all or "=application_group", then a
 * line "name=value" for each; the first is the top level, the others are sections in the order of
 * the configuration). Options at their default may be absent. Embedded mode gets the same records.
 */

enum wire_board_state {
    WIRE_BOARD_STARTING = 0, /* no worker was ready yet: requests wait in the socket's backlog */
    WIRE_BOARD_SERVING = 1,
    WIRE_BOARD_FAILED = 2, /* workers cannot start: Apache answers 503 at once */
    WIRE_BOARD_STOPPED = 3 /* by the command: the same */
};

/* Why a worker has ended; supervisors count it. The names are those of `reason` when an application
 * is told to stop, and four more: failed_to_start, crashed, exited and other. */
/* clang-format off */
#define WIRE_END_REASONS(X) \
    X(failed_to_start) X(crashed) X(exited) X(shutdown_signal) X(script_reload) X(graceful_signal) \
    X(eviction_signal) X(maximum_requests) X(restart_interval) X(inactivity_timeout) \
    X(cpu_time_limit) X(memory_rss_limit) X(request_timeout) X(deadlock_timeout) X(other)
/* clang-format on */

enum wire_end_reason {
#define X(reason) WIRE_END_##reason,
    WIRE_END_REASONS(X)
#undef X
        WIRE_END_REASON_COUNT
};

#define WIRE_BOARD_SIZE  4096
#define WIRE_DEATHS      64
#define WIRE_BOARD_BANKS 8

/* A request that a worker was serving when it died, so that Apache can say in the request's own log
 * what became of it, and ask another worker when no code of the application has run for it. */
typedef struct wire_death {
    int64_t asked_us; /* the request's queue_start_us; written last */
    uint32_t pid;     /* of the worker */
    int32_t status;   /* as of waitpid() */
    uint32_t ran_ms;  /* how long the request had been running */
    uint32_t reached; /* 1: the application, as far as is known */
} wire_death;

/* One per group, as long as the parent lives. Supervisors are numbered in the order of their start;
 * the number is an argument of theirs. Only the one that serves writes, and the parent when that
 * one has died. Every field but wire_death.asked_us is a naturally aligned 32-bit word, so a reader
 * sees old or new, never half. asked_us has 64 bits and is written last: a reader looks for its
 * value and does not find the record before it is whole. A supervisor drains when it sees a higher
 * number than its own in `serving`, as do workers whose supervisor has died.
 *
 * Which supervisor serves is recorded as a lock (fcntl, F_RDLCK) on the board's file, which the
 * kernel drops when the process dies. A supervisor whose workers serve, and each of its workers,
 * hold the byte of the supervisor's number until they drain; those of a group without request
 * threads until they end. */
typedef struct wire_board {
    uint32_t state;         /* enum wire_board_state */
    uint32_t retry_after_s; /* while FAILED: seconds until the next attempt */
    uint32_t ready_workers;
    uint32_t serving;   /* number of the supervisor whose workers serve; 0: none yet */
    uint32_t broken;    /* how many scripts its workers could not load */
    uint32_t stale;     /* 1: newer code could not be loaded, the old code serves on */
    uint32_t deaths;    /* how many were written, by any supervisor of the group; when two write at
                           once, one record is lost */
    uint32_t watched_s; /* when an Apache child last showed the status, CLOCK_MONOTONIC; the only
                           field that children write */
    uint32_t news; /* changes when a worker is ready, and when it is known that newer code does not
                      load: requests that wait for the newer code ask again then */
    uint32_t reserved;             /* 0 */
    wire_death death[WIRE_DEATHS]; /* a ring */
    /* Ends of workers; each supervisor counts in the bank of its number, since it may not be the
     * only one. Readers add up the banks. */
    uint32_t ends[WIRE_BOARD_BANKS][WIRE_END_REASON_COUNT];
} wire_board;

#endif
