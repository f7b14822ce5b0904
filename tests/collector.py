"""A collector of telemetry for tests: it reads datagrams after the published description of the
format, not with our encoder.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = {
    2: "request",
    4: "slow",
    5: "started",
    6: "stopping",
    7: "stopped",
    8: "gc snapshot",
    9: "gc event",
}


@dataclass(frozen=True)
class Datagram:
    kind: str
    pid: int
    sequence: int
    stamp: float
    fields: dict[int, Any]


def number(data: bytes, signed: bool = False) -> int:
    return int.from_bytes(data, "little", signed=signed)


def double(data: bytes) -> float:
    return float(memoryview(data).cast("d")[0])


def record(data: bytes) -> tuple[int, Any, bytes]:
    """One field: its id, its value, and what follows."""
    field, kind, rest = number(data[:2]), data[2], data[3:]
    if kind in (1, 2, 3):
        value: Any = double(rest[:8]) if kind == 2 else number(rest[:8], kind == 3)
        return field, value, rest[8:]
    length, rest = number(rest[:2]), rest[2:]
    size = {4: 1, 5: 4, 6: 8}[kind]
    payload, rest = rest[: length * size], rest[length * size :]
    assert len(payload) == length * size
    items = [payload[at : at + size] for at in range(0, len(payload), size)]
    return (
        field,
        payload
        if kind == 4
        else [number(item, True) if kind == 5 else double(item) for item in items],
        rest,
    )


def decode(data: bytes) -> Datagram:
    assert data[:4] == b"WSGI" and data[4] == 1 and data[6:8] == b"\0\0"
    fields, rest = {}, data[24:]
    while rest:
        field, value, rest = record(rest)
        assert field not in fields
        fields[field] = value
    assert list(fields) == sorted(fields) or KINDS[data[5]] == "gc event"
    return Datagram(
        KINDS[data[5]], number(data[8:12]), number(data[12:16]), double(data[16:24]), fields
    )


class Collector:
    """It reads all the time, since the system keeps only a few datagrams, unless it is lazy: then
    once read() is called.
    """

    def __init__(self, path: Path, is_lazy: bool = False) -> None:
        self.path = path
        self.seen: list[Datagram] = []
        self.raw: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        path.parent.mkdir(exist_ok=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        os.chmod(path, 0o666)
        self.reader = threading.Thread(target=self.run, daemon=True)
        if not is_lazy:
            self.read()

    def read(self) -> None:
        self.reader.start()

    def is_full(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(self.path))
            return not select.select([], [sender], [], 0)[1]

    def run(self) -> None:
        while data := self.socket.recv(65536):
            self.raw.put(data)

    def receive(self, kind: str = "") -> list[Datagram]:
        """Everything so far, of this kind."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.seen.append(decode(self.raw.get_nowait()))
        return [datagram for datagram in self.seen if kind in ("", datagram.kind)]

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        self.socket.shutdown(socket.SHUT_RDWR)
        self.reader.join()
        self.socket.close()
