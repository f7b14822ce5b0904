"""Numbers and layouts that C and Python share: what src/wire says, in the names of Python.

tests/unit/test_wire.py compiles src/wire and compares.
"""

from __future__ import annotations

import struct

# enum wire_level: the numbers of APLOG_*
CRIT, ERR, WARNING, NOTICE, INFO, DEBUG = 2, 3, 4, 5, 6, 7

# enum wire_verdict
VERDICT_YES, VERDICT_NO, VERDICT_UNKNOWN, VERDICT_TEXT, VERDICT_FAILED = 1, 2, 3, 4, 5

# enum wire_worker_state
WORKER_STARTING, WORKER_SERVING, WORKER_DRAINING = 0, 1, 2

# Layouts of src/wire/activity.h and src/wire/group.h
ACTIVITY_WORKER = struct.Struct("=IIII")
ACTIVITY_THREAD = struct.Struct("=IIqqqqqqII192sII184s")
DEATH = struct.Struct("=qIiII")

BOARD_SIZE = 4096
DEATHS = 64
BOARD_BANKS = 8
# Words at the end of the shared memory, each in a cache line of its own, see src/wire/credits.h
CREDITS = 128

# enum phase of src/runtime/metrics.c: what the mean is called, and what the histogram is
PHASES = (
    "server",
    "queue",
    "daemon",
    "application",
    "request",
    "gil_wait",
    "input_read",
    "output_write",
)
