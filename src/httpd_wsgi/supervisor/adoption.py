"""A supervisor adopts the workers of one that was killed (worker/orphans.py), until its own workers
serve.

It finds their pids among the credits on the board, which the group's workers of all generations
share. Over the connection go the orders that a supervisor's own workers get, too: where to log, and
what to do about slow requests. No order says how long the worker serves: it sees on the board when
others do.
"""

from __future__ import annotations

import fcntl
import math
import os
import socket
import struct

from httpd_wsgi.shared import activity, logs, reasons
from httpd_wsgi.shared.peers import MessageSocket, peer_of, worker_name
from httpd_wsgi.supervisor.endpoint import Endpoint

TYPE_CHECKING = False  # typing would only be loaded for this
if TYPE_CHECKING:
    from selectors import DefaultSelector
    from typing import Protocol

    from httpd_wsgi.shared.board import Board
    from httpd_wsgi.supervisor.overseer import Overseer
    from httpd_wsgi.supervisor.process import Process

    class Host(Protocol):
        """What the supervisor has for the workers that it adopts."""

        selector: DefaultSelector
        board: Board
        overseer: Overseer
        processes: dict[int, Process]

        def say(self, level: str, code: str, text: str) -> None: ...


SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Adopted(Endpoint):
    def __init__(self, adoption: Adoption, pid: int, connection: socket.socket) -> None:
        self.adoption = adoption
        self.pid = pid
        self.messages = MessageSocket(connection)
        self.pidfd = os.pidfd_open(pid)
        self.slots: activity.Slots | None = None  # known when it has answered

    def send(self, message: str, *fds: int) -> None:
        self.messages.send(message, *fds)

    def ready(self) -> None:
        received = self.messages.receive()
        if received is None:
            self.adoption.forget(self)
            return
        messages, fds = received
        for message in messages:
            self.receive_message(os.fsdecode(message), fds)
        for fd in fds:
            os.close(fd)

    def receive_message(self, message: str, fds: list[int]) -> None:
        word, _, rest = message.partition(" ")
        if word == "orphan" and fds and not self.slots:
            self.slots = slots_of(self.pid, rest, fds[0])
            self.adoption.greeted(self)
        elif word == "pong":
            self.adoption.supervisor.overseer.watch.answered(self.pid)
        elif word == "retire" and rest != reasons.MAXIMUM_REQUESTS:
            # A signal was sent to it; nothing can replace it
            self.send(f"drain {rest}")

    def close(self) -> None:
        self.messages.close()
        os.close(self.pidfd)
        if self.slots:
            self.slots.memory.close()


class Ended(Endpoint):
    """The pidfd: processes that the application has forked may keep the socket open."""

    def __init__(self, adopted: Adopted) -> None:
        self.adopted = adopted

    def ready(self) -> None:
        self.adopted.adoption.forget(self.adopted)


def slots_of(pid: int, where: str, fd: int) -> activity.Slots | None:
    """What it is doing, in memory that it has passed; None: it makes no sense, or could be cut off
    under our eyes.
    """
    try:
        offset, threads = map(int, where.split())
        stride, size = activity.size_of_slot(threads), os.fstat(fd).st_size
        is_sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
        if not is_sealed or threads <= 0 or offset < 0 or offset % stride or offset + stride > size:
            return None
        slots = activity.Slots(fd, threads, 0)
    except (OSError, ValueError, struct.error):
        return None
    slots.taken[pid] = offset // stride
    return slots


class Adoption:
    def __init__(self, supervisor: Host) -> None:
        self.supervisor = supervisor
        self.adopted: dict[int, Adopted] = {}
        self.look_at = 0.0  # infinite: all who serve are known
        self.pause = SHORTEST_PAUSE

    def look_again(self) -> None:
        self.look_at, self.pause = 0.0, SHORTEST_PAUSE

    def look(self, now: float) -> None:
        """Asks those who serve for another supervisor whether they have lost it."""
        if now < self.look_at:
            return
        known = self.adopted.keys() | self.supervisor.processes.keys()
        strangers = [
            pid
            for pid in self.supervisor.board.pids_with_credits()
            if pid not in known and activity.alive(pid)
        ]
        self.look_at = now + self.pause if strangers else math.inf
        self.pause = min(LONGEST_PAUSE, 2 * self.pause)
        for pid in strangers:
            self.adopt(pid)

    def adopt(self, pid: int) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(worker_name(pid))
            if peer_of(connection) != (pid, os.getuid()):
                raise PermissionError
            adopted = Adopted(self, pid, connection)
        except OSError:
            connection.close()  # it has its supervisor, or is no worker of ours
            return
        self.adopted[pid] = adopted
        self.supervisor.selector.register(adopted.messages, 1, adopted)
        self.supervisor.selector.register(adopted.pidfd, 1, Ended(adopted))
        adopted.send("log", 2)

    def greeted(self, adopted: Adopted) -> None:
        if adopted.slots:
            self.supervisor.overseer.adopted[adopted.pid] = adopted.slots
            self.supervisor.overseer.next_look = 0.0
        self.supervisor.say(
            logs.INFO,
            "WSGI0731",
            f"worker {adopted.pid}, whose supervisor was killed, is looked after again",
        )

    def forget(self, adopted: Adopted) -> None:
        if self.adopted.pop(adopted.pid, None):
            self.supervisor.overseer.adopted.pop(adopted.pid, None)
            self.supervisor.selector.unregister(adopted.messages)
            self.supervisor.selector.unregister(adopted.pidfd)
            adopted.close()
            self.look_again()
