"""Telemetry byte for byte, as the description of the format says it."""

from __future__ import annotations

import struct
from typing import Any

from httpd_wsgi.interpreter import datagram, metrics

FACTS = {
    "version": "httpd-wsgi 1",
    "python_version": "3.11.2",
    "apache_version": "2.4.57",
    "mpm_name": "event",
    "host_name": "h",
    "process_group": "shop",
    "parent_pid": 7,
}
IDENTITY = (
    b"\x01\0\x04\x0c\0httpd-wsgi 1"
    b"\x02\0\x04\x06\0003.11.2"
    b"\x03\0\x04\x06\0002.4.57"
    b"\x04\0\x04\x05\0event"
    b"\x05\0\x04\x01\0h"
    b"\x06\0\x04\x04\0shop"
    b"\x07\0\x01\x07\0\0\0\0\0\0\0"
)
PLACE = b"\x05\0\x04\x01\0h\x06\0\x04\x04\0shop"
ONE = b"\0\0\0\0\0\0\xf0\x3f"  # 1.0


def test_the_header_has_24_bytes() -> None:
    expected = b"WSGI\x01\x02\0\0\x39\x30\0\0\x01\0\0\0" + ONE
    assert datagram.header(datagram.REQUEST, 12345, 1, 1.0) == expected and len(expected) == 24


def test_sequences_begin_anew_after_32_bits() -> None:
    assert datagram.header(2, 1, 0x1_0000_0005, 1.0)[12:16] == b"\x05\0\0\0"


def test_each_type_of_record() -> None:
    assert datagram.u64(0x0102, 258) == b"\x02\x01\x01\x02\x01\0\0\0\0\0\0"
    assert datagram.f64(10, 1.0) == b"\x0a\0\x02" + ONE
    assert datagram.text(6, "d") == b"\x06\0\x04\x01\0d"
    assert datagram.i32s(90, [1, 0]) == b"\x5a\0\x05\x02\0\x01\0\0\0\0\0\0\0"
    assert datagram.f64s(111, [1.0, 1.0]) == b"\x6f\0\x06\x02\0" + ONE + ONE


def test_what_is_not_known_is_left_out() -> None:
    assert datagram.u64(1, None) == datagram.f64(1, None) == datagram.text(1, None) == b""


def test_numbers_and_texts_keep_within_their_types() -> None:
    assert datagram.u64(1, -5) == datagram.u64(1, 0)
    assert datagram.i32s(90, [1 << 40]) == b"\x5a\0\x05\x01\0\xff\xff\xff\x7f"
    assert datagram.text(6, b"x" * 70000) == b"\x06\0\x04\0\x10" + b"x" * 4096
    assert datagram.text(6, "\udce9") == b"\x06\0\x04\x01\0\xe9"


def test_the_life_of_a_process() -> None:
    assert datagram.started(FACTS, 1.0) == IDENTITY + b"\x0d\0\x02" + ONE
    assert (
        datagram.stopping(FACTS, "no", 2)
        == PLACE + b"\x82\0\x04\x02\0no" + b"\x85\0\x01\x02\0\0\0\0\0\0\0"
    )
    totals = {"start_us": 5_000_000, "now_us": 6_000_000, "count": 3, "running": 1}
    assert datagram.stopped(FACTS, "", totals, False) == (
        PLACE
        + b"\x83\0\x02"
        + ONE
        + b"\x84\0\x01\x03\0\0\0\0\0\0\0"
        + b"\x86\0\x01\x01\0\0\0\0\0\0\0"
        + b"\x87\0\x01\0\0\0\0\0\0\0\0"
    )


def test_a_process_without_a_group_has_none() -> None:
    assert datagram.place({**FACTS, "process_group": ""}) == b"\x05\0\x04\x01\0h"


def interval(count: int) -> dict[str, Any]:
    timing = (500_000 * count, 500_000, 500_000, [0] * 35 + [count] + [0] * 29)
    return {
        "start_us": 0,
        "stop_us": 1_000_000,
        "cpu_user_us": 250_000,
        "cpu_system_us": 250_000,
        "count": count,
        "busy_us": 500_000 * count,
        "statuses": [0, 1, 2, 3, 4, 5],
        "input_len": 11,
        "input_reads": 12,
        "output_len": 13,
        "output_writes": 14,
        "gil_waits": 15,
        "timings": [timing] * 8,
        "slots": [(3, count, 500_000, 250_000, -1, 1_000_000), (0, 0, 0, 0, 250_000, 0)],
    }


def u64(field: int, value: int) -> bytes:
    return struct.pack("<HBQ", field, 1, value)


def f64(field: int, value: float) -> bytes:
    return struct.pack("<HBd", field, 2, value)


def array(field: int, kind: int, letter: str, *values: float) -> bytes:
    return struct.pack(f"<HBH{len(values)}{letter}", field, kind, len(values), *values)


def sums(count: int) -> bytes:
    return (
        b"".join(u64(100 + number, 11 + number) for number in range(4))
        + array(110, 5, "i", count, 0)
        + array(111, 6, "d", 0.5, 0.0)
        + array(112, 6, "d", 0.25, 0.0)
        + array(113, 6, "d", 0.0, 0.25)
        + array(114, 6, "d", 1.0, 0.0)
        + b"".join(u64(119 + number, number) for number in range(1, 6))
    )


def test_an_interval_with_requests() -> None:
    body = datagram.request(
        FACTS, (1.0, 2.0, 0.005), metrics.interval_report(interval(2), True, (8, 9))
    )
    floats = {10: 1.0, 11: 1.0, 12: 2.0, 13: 0.005}
    expected = IDENTITY + b"".join(f64(field, value) for field, value in floats.items())
    expected += (
        u64(20, 2)
        + f64(21, 2.0)
        + f64(22, 0.5)
        + f64(30, 0.25)
        + f64(31, 0.25)
        + f64(32, 0.5)
        + u64(40, 8)
        + u64(41, 9)
    )
    expected += u64(50, 2) + u64(51, 2) + u64(52, 2)
    expected += b"".join(f64(first + number, 0.5) for first in (60, 70, 80) for number in range(8))
    expected += b"".join(
        array(90 + number, 5, "i", *([0] * 35), 2, *([0] * 29)) for number in range(8)
    )
    assert body == expected + sums(2)


def test_an_interval_without_requests_has_no_minima_and_maxima_and_an_embedded_one_no_queue() -> (
    None
):
    body = datagram.request(
        FACTS, (1.0, 0.0, 0.005), metrics.interval_report(interval(0), False, (0, 0))
    )
    assert body.endswith(
        b"".join(f64(60 + number, 0.0) for number in (0, 3, 4, 5, 6, 7))
        + b"".join(array(90 + number, 5, "i", *([0] * 65)) for number in (0, 3, 4, 5, 6, 7))
        + sums(0)
    )
    assert u64(40, 0) not in body  # memory that the system does not tell


def test_slots_are_at_most_128() -> None:
    raw = {**interval(0), "slots": [(0, 0, 0, 0, -1, 0)] * 200}
    body = datagram.request(FACTS, (1.0, 0.0, 0.005), metrics.interval_report(raw, True, (8, 9)))
    assert (
        array(110, 5, "i", *([0] * 128)) in body
        and array(114, 6, "d", *([0.0] * 128)) in body
        and u64(50, 200) in body
    )


SLOW = {
    "is_over": 1,
    "start_us": 1_000_000,
    "elapsed_us": 2_000_000,
    "thread": 3,
    "request_id": b"id",
    "server_pid": b"77",
    "method": b"GET",
    "scheme": b"https",
    "user_agent": b"ua",
    "server_us": 500_000,
    "gil_wait_ns": 500_000_000,
    "gil_waits": 4,
    "output_ns": 250_000_000,
    "output_len": 5,
    "status": 200,
    "active_at_start": 1,
}


def test_a_slow_request_has_what_is_known() -> None:
    first = (
        u64(200, 1)
        + f64(201, 1.0)
        + f64(202, 2.0)
        + u64(203, 3)
        + b"\xcc\0\x04\x02\0id"
        + u64(205, 77)
    )
    texts = b"\xd2\0\x04\x03\0GET\xd3\0\x04\x05\0https"
    rest = (
        f64(220, 0.5)
        + f64(224, 0.5)
        + u64(225, 4)
        + u64(232, 5)
        + f64(235, 0.25)
        + u64(240, 200)
        + u64(260, 1)
    )
    assert datagram.slow_request(SLOW, with_user_agent=False) == first + texts + rest
    assert (
        datagram.slow_request(SLOW, with_user_agent=True)
        == first + texts + b"\xd9\0\x04\x02\0ua" + rest
    )


def test_collections() -> None:
    stats = [
        {"collections": 10 + number, "collected": 20 + number, "uncollectable": 30 + number}
        for number in range(3)
    ]
    state = {
        "count": (1, 2, 3),
        "threshold": (4, 5, 6),
        "stats": stats,
        "enabled": True,
        "frozen": 8,
        "dropped": 9,
    }
    values = (1, 2, 3, 4, 5, 6, 10, 11, 12, 20, 21, 22, 30, 31, 32, 1, 8, 9)
    expected = b"".join(u64(field, value) for field, value in enumerate(values, 300))
    assert datagram.gc_snapshot("", state) == expected
    assert datagram.gc_snapshot("a", state) == b"\x08\0\x04\x01\0a" + expected
    info = {"generation": 2, "collected": 3, "uncollectable": 4}
    event = f64(320, 1.0) + f64(321, 2.0) + u64(322, 2) + u64(323, 3) + u64(324, 4)
    assert datagram.gc_event("a", 1.0, 2.0, info) == b"\x08\0\x04\x01\0a" + event
