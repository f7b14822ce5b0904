"""Numbers about requests, this process and Apache, as `mod_wsgi` gives them to applications."""

from __future__ import annotations

import os
import resource
from typing import Any

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import scoreboard
from httpd_wsgi.shared import wire

_DAEMON_ONLY = ("queue", "daemon")
# Readers, whose intervals do not disturb each other: enum rt_reader in src/runtime/observe.h.
APPLICATION, TELEMETRY = 0, 1


def start_recording_metrics() -> None:
    """Begins the accounting for request_metrics() and process_metrics() in this process. More calls
    change nothing.
    """
    _runtime.start_recording(APPLICATION)


def request_metrics() -> dict[str, Any] | None:
    """The requests that were completed since the last call in this process; None before
    start_recording_metrics().
    """
    raw = _runtime.metrics_interval(APPLICATION)
    return None if raw is None else interval_report(raw, is_daemon(), memory())


def process_metrics() -> dict[str, Any] | None:
    """This process since start_recording_metrics(); None before."""
    raw = _runtime.metrics_totals(APPLICATION)
    return None if raw is None else process_report(raw, memory())


def server_metrics() -> dict[str, Any] | None:
    """Apache's scoreboard; None where WSGIServerMetrics or server-metrics= does not allow it."""
    data = _runtime.scoreboard()
    return None if data is None else scoreboard.parse(data)


def is_daemon() -> bool:
    return not _runtime.is_embedded()


def memory() -> tuple[int, int]:
    """Resident memory now and at most, in bytes; 0 where the system does not tell."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    try:
        with open("/proc/self/statm", "rb") as file:
            now = int(file.read().split()[1]) * resource.getpagesize()
            return now, max(now, peak)  # which the system does not measure at the same moment
    except (OSError, ValueError, IndexError):
        return 0, peak


def _seconds(microseconds: int) -> float:
    return microseconds / 1e6


def phase_report(
    name: str, timing: tuple[int, int, int, list[int]], count: int, known: bool
) -> dict[str, Any]:
    total, shortest, longest, buckets = timing
    return {
        f"{name}_time": (_seconds(total) / count if count else 0.0) if known else None,
        f"{name}_time_min_us": shortest if known and count else None,
        f"{name}_time_max_us": longest if known and count else None,
        f"{name}_time_buckets": buckets,
    }


def thread_report(slots: list[tuple[int, ...]]) -> dict[str, Any]:
    completed = [slot[1] for slot in slots]
    return {
        "request_threads_maximum": len(slots),
        "request_threads_started": sum(slot[0] > 0 or slot[4] >= 0 for slot in slots),
        "request_threads_active": sum(slot[1] > 0 or slot[4] >= 0 for slot in slots),
        "request_threads_completed": completed,
        "request_threads_buckets": list(completed),
        "request_threads_busy_time": [_seconds(slot[2]) for slot in slots],
        "request_threads_cpu_time": [_seconds(slot[3]) for slot in slots],
        "request_threads_current_elapsed": [_seconds(max(slot[4], 0)) for slot in slots],
        "request_threads_max_duration": [_seconds(slot[5]) for slot in slots],
    }


def interval_report(raw: dict[str, Any], daemon: bool, memory: tuple[int, int]) -> dict[str, Any]:
    period = max(_seconds(raw["stop_us"] - raw["start_us"]), 1e-6)
    count, statuses, slots = raw["count"], raw["statuses"], raw["slots"]
    user, system = _seconds(raw["cpu_user_us"]) / period, _seconds(raw["cpu_system_us"]) / period
    report: dict[str, Any] = {
        "pid": os.getpid(),
        "start_time": _seconds(raw["start_us"]),
        "stop_time": _seconds(raw["stop_us"]),
        "sample_period": period,
        "cpu_user_utilization": user,
        "cpu_system_utilization": system,
        "cpu_utilization": user + system,
        # These three are rates here; process_metrics() has times under the same names
        "cpu_user_time": user,
        "cpu_system_time": system,
        "cpu_time": user + system,
        "memory_rss": memory[0],
        "memory_max_rss": memory[1],
        "capacity_utilization": min(_seconds(raw["busy_us"]) / (period * len(slots)), 1.0),
        "request_count": count,
        "request_throughput": count / period,
        **{f"status_{number}xx": statuses[number] for number in range(1, 6)},
        "input_bytes": raw["input_len"],
        "input_reads": raw["input_reads"],
        "output_bytes": raw["output_len"],
        "output_writes": raw["output_writes"],
        "gil_wait_count": raw["gil_waits"],
        **thread_report(slots),
    }
    for name, timing in zip(wire.PHASES, raw["timings"], strict=True):
        report.update(phase_report(name, timing, count, daemon or name not in _DAEMON_ONLY))
    return report


def process_report(raw: dict[str, Any], memory: tuple[int, int]) -> dict[str, Any]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    started = [
        (number, slot) for number, slot in enumerate(raw["slots"], 1) if slot[0] or slot[4] >= 0
    ]
    threads = [{"thread_id": number, "request_count": slot[0]} for number, slot in started]
    return {
        "pid": os.getpid(),
        "request_busy_time": _seconds(raw["busy_us"]),
        "request_count": raw["count"],
        "memory_rss": memory[0],
        "memory_max_rss": memory[1],
        "cpu_user_time": used.ru_utime,
        "cpu_system_time": used.ru_stime,
        "cpu_time": used.ru_utime + used.ru_stime,
        "restart_time": _seconds(raw["start_us"]),
        "current_time": _seconds(raw["now_us"]),
        "running_time": int(_seconds(raw["now_us"] - raw["start_us"])),
        "request_threads": len(threads),
        "active_requests": raw["running"],
        "threads": threads,
    }
