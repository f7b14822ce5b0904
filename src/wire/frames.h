/* frames.h - what travels over the AF_UNIX stream between an Apache child and a daemon worker.
 *
 * A frame is a wire_frame head, then head.len bytes. A connection carries one request at a time:
 * REQUEST (and BODY or BODY_AT with what of the body Apache has read) towards the worker, then the
 * worker speaks and Apache obeys until END, RETRY or FAILURE. With WIRE_KEEP_ALIVE in that frame
 * the next request may follow, after Apache has taken one of the worker's credits (wire/credits.h);
 * without, the worker closes. The worker pulls further body data with WANT, so neither side ever
 * has to read and write at the same time and nothing can deadlock; `100 Continue` goes to the
 * client on the first WANT. A connection that ends before END, RETRY or FAILURE is a worker that
 * died: the response is incomplete.
 *
 * Host byte order: both sides run on one machine. The version is in the request block's magic. */
#ifndef WIRE_FRAMES_H
#define WIRE_FRAMES_H

#include <stdint.h>

#include "block.h"

typedef struct wire_frame {
    uint32_t len;  /* bytes that follow this head */
    uint8_t type;  /* enum wire_frame_type */
    uint8_t flags; /* enum wire_frame_flag */
    uint16_t arg;
} wire_frame;

enum wire_frame_flag {
    WIRE_KEEP_ALIVE = 1, /* REQUEST: another may come over the connection when this is over. END,
                            FAILURE: the next may be sent over it */
    WIRE_ENDS = 2        /* DATA: an END follows at once, so a reader may wait for both */
};

enum wire_frame_type {
    /* Apache to worker */
    WIRE_REQUEST = 'Q',    /* payload: request block */
    WIRE_BODY = 'B',       /* payload: body bytes; len 0: end of the body */
    WIRE_BODY_AT = 'P',    /* payload: wire_file; the descriptor travels with the first byte of the
                              REQUEST (SCM_RIGHTS) */
    WIRE_BODY_ERROR = 'X', /* the body could not be read; arg: enum wire_body_error; payload: reason
                              text */
    WIRE_TLS_VALUE = 'A', /* to TLS_LOOKUP; arg: 1 when the variable is known; payload: its value */

    /* worker to Apache */
    WIRE_WANT = 'W',  /* payload: uint32_t, the most body bytes that may come; answered by one BODY
                         or BODY_ERROR */
    WIRE_HINTS = 'I', /* payload as HEAD: an interim response, any number of them before HEAD */
    WIRE_TLS_LOOKUP = 'S', /* payload: name of a TLS variable; answered by TLS_VALUE */
    WIRE_HEAD = 'H',       /* payload: wire_head_fixed, reason, then header pairs, see below */
    WIRE_DATA = 'D',       /* payload: response body bytes */
    WIRE_FILE = 'F',   /* payload: wire_file; one descriptor travels with it or the frames before it
                          (SCM_RIGHTS) */
    WIRE_LOG = 'L',    /* arg: level as in APLOG_*; payload: lines that stay together, no newline at
                          the end */
    WIRE_LOG_AT = 'G', /* the same; payload: wire_log_at, file_len bytes of the source file's name,
                          then the lines */
    WIRE_VERDICT = 'V', /* instead of a response, for WIRE_RQ_HOOK; arg: enum wire_verdict; payload:
                           its text */
    WIRE_END = 'E',     /* response complete; payload: wire_times */
    WIRE_RETRY = 'R',   /* not run, no application code reached: ask another worker; only ever the
                           first frame */
    WIRE_FAILURE = 'N'  /* arg: HTTP status to answer when no HEAD was sent; payload: wire_times, or
                           nothing when it was not run */
};

enum wire_body_error {
    WIRE_BODY_ABORTED = 1, /* client went away or sent less than it declared */
    WIRE_BODY_TIMEOUT,
    WIRE_BODY_TOO_LARGE,
    WIRE_BODY_MALFORMED
};

/* HEAD payload: this, reason_len bytes of reason, then nheaders times { uint32_t name_len, uint32_t
 * value_len, name, value }. */
typedef struct wire_head_fixed {
    int64_t content_length; /* -1: not known */
    uint16_t status;
    uint16_t reason_len;
    uint32_t nheaders;
} wire_head_fixed;

typedef struct wire_file {
    int64_t offset;
    int64_t length;
} wire_file;

typedef struct wire_log_at {
    uint32_t line;
    uint32_t file_len;
} wire_log_at;

/* How long a request took, in microseconds; the phases are those of wire/activity.h. */
typedef struct wire_times {
    uint32_t pid;     /* the worker's */
    uint32_t thread;  /* its thread, from 1 */
    int64_t queue_us; /* until the thread took it */
    int64_t start_us; /* until its interpreter was entered */
    int64_t app_us;   /* until its response began */
    int64_t write_us; /* until that had ended */
} wire_times;

/* In FAILURE: no error; the worker has learned that the client has left. */
#define WIRE_CLIENT_LEFT 499

#define WIRE_HEAD_MAX   (1u << 20)  /* bytes of a HEAD payload */
#define WIRE_REASON_MAX 8192        /* bytes of a status with its reason */
#define WIRE_LOG_MAX    (64u << 10) /* bytes of a LOG payload; the worker splits longer ones */
/* Bytes of the file's name in a LOG_AT payload; the rest is cut off. */
#define WIRE_LOG_FILE_MAX   4096
#define WIRE_WANT_MAX       (64u << 10) /* bytes one WANT may ask for */
#define WIRE_TLS_LOOKUP_MAX 4096        /* bytes of a TLS_LOOKUP payload */
#define WIRE_VERDICT_MAX    4096        /* bytes of a VERDICT payload */

enum wire_direction { WIRE_FROM_APACHE, WIRE_FROM_WORKER };

/* What is known of a frame by its type. */
typedef struct wire_frame_kind {
    const char *name;         /* "HEAD", for messages */
    enum wire_direction from; /* the side that sends it */
    uint32_t least, most;     /* bytes of payload */
    int may_be_empty;         /* a payload of 0 bytes is right, too, whatever least says */
} wire_frame_kind;

/* Returns what is known of this type, or NULL when this version has no such frame. */
const wire_frame_kind *wire_frame_kind_of(uint8_t type);

/* Returns 1 when this side sends frames of this type and the length is one that they can have, else
 * 0. */
int wire_frame_fits(const wire_frame *frame, enum wire_direction from);

#endif
