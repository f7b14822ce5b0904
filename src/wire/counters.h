/* counters.h - what has become of a daemon group's requests and workers since Apache was started.
 *
 * One wire_counters per stripe follows the group's board (wire/group.h) at WIRE_COUNTERS_AT.
 * Apache's children add to them, each thread mostly to a stripe of its own and always atomically,
 * so that nothing is lost and nothing is left half done when a process dies; readers add up the
 * stripes.
 * They are kept over restarts of Apache, as the board is. */
#ifndef WIRE_COUNTERS_H
#define WIRE_COUNTERS_H

#include "group.h"

#include <stdatomic.h>

#define WIRE_STRIPES  16
#define WIRE_STATUSES 6 /* [0]: the client left before there was a response, [1] 1xx … [5] 5xx */

/* Upper bounds of the buckets in microseconds; the last bucket has none. */
#define WIRE_BOUNDS_US                                                                             \
    {50,     100,    200,    500,     1000,    2000,    5000,     10000,    20000,   50000,        \
     100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000, 20000000, 60000000}
#define WIRE_BUCKETS 20

enum wire_timing {
    WIRE_TIMING_QUEUE, /* until a thread of a worker took the request */
    WIRE_TIMING_APP,   /* from there to the beginning of the response, or the end when there is none
                        */
    WIRE_TIMING_WRITE, /* from there to its end */
    WIRE_TIMINGS
};

typedef struct wire_histogram {
    _Atomic uint64_t sum_us;
    _Atomic uint64_t buckets[WIRE_BUCKETS];
} wire_histogram;

typedef struct wire_counters {
    _Alignas(64) _Atomic uint64_t statuses[WIRE_STATUSES];
    _Atomic uint64_t cut_off; /* responses that could not be completed */
    _Atomic uint64_t retries; /* requests that were asked again of another worker */
    wire_histogram timings[WIRE_TIMINGS];
} wire_counters;

/* Behind the board, a page further. */
#define WIRE_COUNTERS_AT WIRE_BOARD_SIZE

#endif
