"""What workers are doing: the supervisor's view of the memory of src/wire/activity.h, and what the
kernel knows of them.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct

from httpd_wsgi.shared import wire
from httpd_wsgi.shared.records import dataclass

_HEAD = wire.ACTIVITY_WORKER
_THREAD = wire.ACTIVITY_THREAD
STARTING, SERVING, DRAINING = wire.WORKER_STARTING, wire.WORKER_SERVING, wire.WORKER_DRAINING
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Running:
    """A request that a thread of a worker is serving; times are seconds of the monotonic clock, 0:
    not yet.
    """

    worker: int
    thread: int
    serial: int
    what: str
    queue: float
    start: float
    app: float
    head: float
    asked: int = 0  # Apache's name for it

    def age(self, now: float) -> float:
        return max(0.0, now - self.start)

    def phases(self, now: float) -> str:
        app = self.app or now
        head = self.head or now
        parts = [
            ("queue", self.queue),
            ("start", app - self.start),
            ("app", head - app),
            ("write", now - head),
        ]
        return ", ".join(f"{name} {max(0.0, seconds):.1f} s" for name, seconds in parts)


@dataclass(frozen=True, slots=True)
class Seen:
    """A worker at the time of a look."""

    worker: int
    running: tuple[Running, ...] = ()
    touched: float = 0.0  # its last activity; 0: none yet
    # Requests so far, without those that were handed back before any code of the application ran
    begun: int = 0
    is_serving: bool = True  # neither starting nor on its way out
    cpu: float = 0.0
    resident: int = 0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def size_of_slot(threads: int) -> int:
    return _HEAD.size + threads * _THREAD.size


class Slots:
    """A slot is free when its worker has gone, whichever supervisor started it."""

    def __init__(self, fd: int, threads: int, supervisor: int) -> None:
        self.threads = threads
        self.supervisor = supervisor
        self.stride = size_of_slot(threads)
        self.memory = mmap.mmap(fd, os.fstat(fd).st_size)
        self.taken: dict[int, int] = {}  # our workers' slots

    def offset(self, slot: int) -> int:
        return slot * self.stride

    def find_free(self) -> int | None:
        for slot in range(len(self.memory) // self.stride):
            pid = _HEAD.unpack_from(self.memory, self.offset(slot))[0]
            if not pid or (pid not in self.taken and not alive(pid)):
                self.memory[self.offset(slot) : self.offset(slot + 1)] = bytes(self.stride)
                return slot
        return None

    def take(self, slot: int, pid: int) -> None:
        self.taken[pid] = slot
        self.show(pid, STARTING)

    def show(self, pid: int, state: int) -> None:
        if (slot := self.taken.get(pid)) is not None:
            _HEAD.pack_into(
                self.memory, self.offset(slot), pid, self.threads, state, self.supervisor
            )

    def release(self, pid: int) -> None:
        if (slot := self.taken.pop(pid, None)) is not None:
            _HEAD.pack_into(self.memory, self.offset(slot), 0, 0, 0, 0)

    def seen(self, pid: int) -> Seen:
        running, touched, begun = [], 0, 0
        slot = self.taken.get(pid)
        for thread in range(self.threads if slot is not None else 0):
            at = self.offset(slot or 0) + _HEAD.size + thread * _THREAD.size
            values = _THREAD.unpack_from(self.memory, at)
            serial, _, queue, start, app, head, last, asked, _, length, what, _, handed_back, _ = (
                values
            )
            begun += (serial + 1) // 2 - handed_back
            touched = max(touched, last)
            if serial % 2 and _THREAD.unpack_from(self.memory, at)[0] == serial:
                text = what[: min(length, len(what))].decode("utf-8", "replace")
                running.append(
                    Running(
                        pid,
                        thread,
                        serial,
                        text,
                        queue / 1e6,
                        start / 1e6,
                        app / 1e6,
                        head / 1e6,
                        asked,
                    )
                )
        return Seen(pid, tuple(running), touched / 1e6, begun)


def cpu_seconds(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


def announce_queue(listen_fd: int) -> None:
    """Wakes all free threads of the group: a worker that died may have been the only one that knew
    of a connection. Nothing is ever sent over a listening socket, so nothing else changes
    (src/runtime/queue.c).
    """
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(listen_fd)) as queue:
        queue.shutdown(socket.SHUT_WR)


def queue_length(listen_fd: int) -> int | None:
    """Connections that no worker has accepted yet; None: this kernel does not tell. See
    sock_diag(7), UDIAG_SHOW_RQLEN.
    """
    inode = os.fstat(listen_fd).st_ino
    by_family, dump_none, listening, show_queue, any_cookie = 20, 1, 1 << 10, 0x10, 0xFFFFFFFF
    body = struct.pack(
        "=BBHIIIII", socket.AF_UNIX, 0, 0, listening, inode, show_queue, any_cookie, any_cookie
    )
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag:  # NETLINK_SOCK_DIAG
            diag.settimeout(0.1)
            diag.send(struct.pack("=IHHII", 16 + len(body), by_family, dump_none, 1, 0) + body)
            answer = diag.recv(8192)
    except OSError:
        return None
    at = 16 + 16  # nlmsghdr, unix_diag_msg
    while at + 4 <= len(answer):
        length, kind = struct.unpack_from("=HH", answer, at)
        if kind == 4 and length >= 12:  # UNIX_DIAG_RQLEN
            return int(struct.unpack_from("=I", answer, at + 4)[0])
        at += max(4, (length + 3) & ~3)
    return None
