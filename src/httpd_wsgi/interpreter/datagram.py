"""Telemetry as bytes: datagrams of the format that collectors for mod_wsgi read. Pure;
docs/telemetry.md describes the format.

Numbers that are None are not known and left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from httpd_wsgi.shared import wire

VERSION = 1
REQUEST, SLOW_REQUEST, STARTED, STOPPING, STOPPED, GC_SNAPSHOT, GC_EVENT = 2, 4, 5, 6, 7, 8, 9

SLOTS_MAX = 128
TEXT_MAX = 4096  # bytes of one text; a datagram has several and must not be refused as too long
_U64, _F64, _BYTES, _I32S, _F64S = 1, 2, 4, 5, 6


def header(kind: int, pid: int, sequence: int, stamp: float) -> bytes:
    return struct.pack("<4sBBHIId", b"WSGI", VERSION, kind, 0, pid, sequence & 0xFFFFFFFF, stamp)


def u64(field: int, value: int | None) -> bytes:
    return b"" if value is None else struct.pack("<HBQ", field, _U64, max(value, 0))


def f64(field: int, value: float | None) -> bytes:
    return b"" if value is None else struct.pack("<HBd", field, _F64, value)


def text(field: int, value: bytes | str | None) -> bytes:
    if value is None:
        return b""
    data = (value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value)[
        :TEXT_MAX
    ]
    return struct.pack("<HBH", field, _BYTES, len(data)) + data


def i32s(field: int, values: Sequence[int]) -> bytes:
    return struct.pack(
        f"<HBH{len(values)}i",
        field,
        _I32S,
        len(values),
        *(min(value, 0x7FFFFFFF) for value in values),
    )


def f64s(field: int, values: Sequence[float]) -> bytes:
    return struct.pack(f"<HBH{len(values)}d", field, _F64S, len(values), *values)


def u64s(first: int, values: Iterable[int]) -> bytes:
    """Fields that follow each other."""
    return b"".join(u64(field, value) for field, value in enumerate(values, first))


def seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


# ---- whose process this is ----


def identity(facts: dict[str, Any]) -> bytes:
    """Fields 1 to 7."""
    names = ("version", "python_version", "apache_version", "mpm_name")
    texts = b"".join(text(field, facts[name]) for field, name in enumerate(names, 1))
    return texts + place(facts) + u64(7, facts["parent_pid"])


def place(facts: dict[str, Any]) -> bytes:
    return text(5, facts["host_name"]) + text(6, facts["process_group"] or None)


# ---- the bodies ----


def started(facts: dict[str, Any], switch_interval: float) -> bytes:
    return identity(facts) + f64(13, switch_interval)


def stopping(facts: dict[str, Any], reason: str, active: int) -> bytes:
    return place(facts) + text(130, reason or None) + u64(133, active)


def stopped(facts: dict[str, Any], reason: str, totals: dict[str, Any], graceful: bool) -> bytes:
    """totals is what `_runtime.metrics_totals()` returns."""
    uptime = max(totals["now_us"] - totals["start_us"], 0) / 1e6
    lived = f64(131, uptime) + u64(132, totals["count"])
    return (
        place(facts)
        + text(130, reason or None)
        + lived
        + u64(134, totals["running"])
        + u64(135, int(graceful))
    )


def request(
    facts: dict[str, Any], intervals: tuple[float, float, float], report: dict[str, Any]
) -> bytes:
    """intervals: configured one, threshold of slow requests, switch interval; report as
    `metrics.interval_report()` makes it.
    """
    period = f64(10, report["sample_period"]) + b"".join(
        f64(field, value) for field, value in enumerate(intervals, 11)
    )
    return identity(facts) + period + _load(report) + _phases(report) + _sums(report)


def _load(report: dict[str, Any]) -> bytes:
    return b"".join(
        (
            u64(20, report["request_count"]),
            f64(21, report["request_throughput"]),
            f64(22, report["capacity_utilization"]),
            f64(30, report["cpu_user_utilization"]),
            f64(31, report["cpu_system_utilization"]),
            f64(32, report["cpu_utilization"]),
            u64(40, report["memory_rss"] or None),  # 0: the system does not tell
            u64(41, report["memory_max_rss"] or None),
            u64s(
                50, (report[f"request_threads_{name}"] for name in ("maximum", "started", "active"))
            ),
        )
    )


def _phases(report: dict[str, Any]) -> bytes:
    known = [
        (number, f"{name}_time")
        for number, name in enumerate(wire.PHASES)
        if report[f"{name}_time"] is not None
    ]
    parts = [f64(60 + number, report[name]) for number, name in known]
    for first, end in ((70, "min_us"), (80, "max_us")):
        parts += [f64(first + number, seconds(report[f"{name}_{end}"])) for number, name in known]
    parts += [i32s(90 + number, report[f"{name}_buckets"]) for number, name in known]
    return b"".join(parts)


def _sums(report: dict[str, Any]) -> bytes:
    floats = ("busy_time", "cpu_time", "current_elapsed", "max_duration")
    return b"".join(
        (
            u64s(
                100,
                (
                    report[name]
                    for name in ("input_bytes", "input_reads", "output_bytes", "output_writes")
                ),
            ),
            i32s(110, report["request_threads_completed"][:SLOTS_MAX]),
            *(
                f64s(field, report[f"request_threads_{name}"][:SLOTS_MAX])
                for field, name in enumerate(floats, 111)
            ),
            u64s(120, (report[f"status_{number}xx"] for number in range(1, 6))),
        )
    )


def slow_request(report: dict[str, Any], with_user_agent: bool) -> bytes:
    """report is an item of `_runtime.slow_requests()`."""
    get = report.get
    texts = (
        "method",
        "scheme",
        "host",
        "script_name",
        "path_info",
        "protocol",
        "peer",
        *("user_agent",) * with_user_agent,
    )
    times = ("server_us", "queue_us", "daemon_us", "application_us")
    nanoseconds = {
        name: None if get(name) is None else get(name, 0) / 1e9
        for name in ("gil_wait_ns", "input_ns", "output_ns")
    }
    return b"".join(
        (
            u64(200, report["is_over"]),
            f64(201, seconds(report["start_us"])),
            f64(202, seconds(report["elapsed_us"])),
            u64(203, report["thread"]),
            text(204, get("request_id")),
            u64(205, _number(get("server_pid"))),
            *(text(field, get(name)) for field, name in enumerate(texts, 210)),
            *(f64(field, seconds(get(name))) for field, name in enumerate(times, 220)),
            f64(224, nanoseconds["gil_wait_ns"]),
            u64(225, get("gil_waits")),
            *(
                u64(field, get(name))
                for field, name in enumerate(
                    ("input_len", "input_reads", "output_len", "output_writes"), 230
                )
            ),
            f64(234, nanoseconds["input_ns"]),
            f64(235, nanoseconds["output_ns"]),
            u64(240, get("status")),
            f64(250, seconds(get("cpu_user_us"))),
            f64(251, seconds(get("cpu_system_us"))),
            u64(260, get("active_at_start")),
            u64(261, get("active_at_end")),
        )
    )


def _number(digits: bytes | None) -> int | None:
    return int(digits) if digits and digits.isdigit() else None


def gc_snapshot(interpreter: str, state: dict[str, Any]) -> bytes:
    """state: count, threshold and stats as the functions of `gc` return them, enabled, frozen,
    dropped.
    """
    stats = state["stats"][:3]
    return b"".join(
        (
            text(8, interpreter or None),
            u64s(300, state["count"][:3]),
            u64s(303, state["threshold"][:3]),
            *(
                u64s(first, (generation[name] for generation in stats))
                for first, name in (
                    (306, "collections"),
                    (309, "collected"),
                    (312, "uncollectable"),
                )
            ),
            u64(315, int(state["enabled"])),
            u64(316, state["frozen"]),
            u64(317, state["dropped"]),
        )
    )


def gc_event(interpreter: str, start: float, duration: float, info: dict[str, int]) -> bytes:
    """info is what `gc.callbacks` are told."""
    counts = (info[name] for name in ("generation", "collected", "uncollectable"))
    return text(8, interpreter or None) + f64(320, start) + f64(321, duration) + u64s(322, counts)
