"""Why a worker ends: the words in messages between processes, in the log, on the status page and
for applications.
"""

FAILED_TO_START = "failed_to_start"
CRASHED = "crashed"
EXITED = "exited"
STOP = "shutdown_signal"
RELOAD = "script_reload"
# Apache was restarted gracefully, and newer workers serve; or the worker was sent such a signal
SUPERSEDED = "graceful_signal"
EVICTION = "eviction_signal"
MAXIMUM_REQUESTS = "maximum_requests"
RESTART_INTERVAL = "restart_interval"
INACTIVITY_TIMEOUT = "inactivity_timeout"
CPU_TIME_LIMIT = "cpu_time_limit"
MEMORY_RSS_LIMIT = "memory_rss_limit"
REQUEST_TIMEOUT = "request_timeout"
DEADLOCK_TIMEOUT = "deadlock_timeout"
OTHER = "other"

# In the order of WIRE_END_REASONS in src/wire/group.h.
ALL = (
    FAILED_TO_START,
    CRASHED,
    EXITED,
    STOP,
    RELOAD,
    SUPERSEDED,
    EVICTION,
    MAXIMUM_REQUESTS,
    RESTART_INTERVAL,
    INACTIVITY_TIMEOUT,
    CPU_TIME_LIMIT,
    MEMORY_RSS_LIMIT,
    REQUEST_TIMEOUT,
    DEADLOCK_TIMEOUT,
    OTHER,
)
