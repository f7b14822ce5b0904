"""Apache's scoreboard as `mod_wsgi.server_metrics()` gives it, made of the fields that
src/wire/scores.h describes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class _Fields:
    """Takes one field after the other."""

    def __init__(self, data: bytes) -> None:
        self.left: Iterator[str] = iter(data.decode("latin-1").split("\0"))

    def text(self) -> str:
        return next(self.left)

    def number(self) -> int:
        return int(self.text() or 0)

    def seconds(self) -> float:
        return self.number() / 1e6


def parse(data: bytes) -> dict[str, Any]:
    fields = _Fields(data)
    processes, threads, generation = fields.number(), fields.number(), fields.number()
    started, now = fields.seconds(), fields.seconds()
    return {
        "server_limit": processes,
        "thread_limit": threads,
        "running_generation": generation,
        "restart_time": started,
        "current_time": now,
        "running_time": int(now - started),
        "processes": [_process(fields, number, threads) for number in range(processes)],
    }


def _process(fields: _Fields, number: int, threads: int) -> dict[str, Any]:
    return {
        "process_num": number,
        "pid": fields.number(),
        "generation": fields.number(),
        "quiescing": fields.number() == 1,
        "workers": [_worker(fields, thread) for thread in range(threads)],
    }


def _worker(fields: _Fields, number: int) -> dict[str, Any]:
    return {
        "thread_num": number,
        "generation": fields.number(),
        "status": fields.text(),
        "access_count": fields.number(),
        "bytes_served": fields.number(),
        "start_time": fields.seconds(),
        "stop_time": fields.seconds(),
        "last_used": fields.seconds(),
        "client": fields.text(),
        "request": fields.text(),
        "vhost": fields.text(),
    }
