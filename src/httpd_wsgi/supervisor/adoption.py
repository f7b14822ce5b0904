"""A supervisor adopts the workers of a killed supervisor (worker/orphans.py), until its own workers
serve.

It finds their pids among the credits on the board, which the group's workers of all generations
share. An adopted worker receives some of the orders that a supervisor's own workers receive: where
to log, and what to do about slow requests. No order says how long it serves: it sees on the board
when other workers serve.
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
    from collections.abc import Set as AbstractSet
    from typing import Protocol

    from httpd_wsgi.supervisor.group import Group

    class Overseer(Protocol):
        """Looks after the requests of adopted workers."""

        def adopt(self, pid: int, slots: activity.Slots) -> None: ...
        def abandon(self, pid: int) -> None: ...
        def answered(self, pid: int) -> None: ...


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
            self.adoption.overseer.answered(self.pid)
        elif word == "retire" and rest != reasons.MAXIMUM_REQUESTS:
            # It received a signal; no other worker can replace it
            self.send(f"drain {rest}")

    def close(self) -> None:
        self.messages.close()
        os.close(self.pidfd)
        if self.slots:
            self.slots.memory.close()


class Ended(Endpoint):
    """The pidfd of an adopted worker. Its socket alone does not tell its end, since processes that
    the application has forked may have it open.
    """

    def __init__(self, adopted: Adopted) -> None:
        self.adopted = adopted

    def ready(self) -> None:
        self.adopted.adoption.forget(self.adopted)


def slots_of(pid: int, where: str, fd: int) -> activity.Slots | None:
    """Returns the activity of a worker, in memory that it has passed; None when that makes no sense
    or could be truncated while it is read.
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
    def __init__(self, group: Group, overseer: Overseer, own: AbstractSet[int]) -> None:
        """own: pids of this supervisor's own workers, as they are at any time."""
        self.group = group
        self.overseer = overseer
        self.own = own
        self.adopted: dict[int, Adopted] = {}
        self.look_at = 0.0  # infinite: all workers that serve are known
        self.pause = SHORTEST_PAUSE

    def look_again(self) -> None:
        self.look_at, self.pause = 0.0, SHORTEST_PAUSE

    def look(self, now: float) -> None:
        """Asks workers that serve for another supervisor whether they have lost it."""
        if now < self.look_at:
            return
        known = self.adopted.keys() | self.own
        strangers = [
            pid
            for pid in self.group.board.pids_with_credits()
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
        self.group.selector.register(adopted.messages, 1, adopted)
        self.group.selector.register(adopted.pidfd, 1, Ended(adopted))
        adopted.send("log", 2)

    def greeted(self, adopted: Adopted) -> None:
        if adopted.slots:
            self.overseer.adopt(adopted.pid, adopted.slots)
        self.group.say(
            logs.INFO,
            "WSGI0731",
            f"worker {adopted.pid}, whose supervisor was killed, is looked after again",
        )

    def forget(self, adopted: Adopted) -> None:
        if self.adopted.pop(adopted.pid, None):
            self.overseer.abandon(adopted.pid)
            self.group.selector.unregister(adopted.messages)
            self.group.selector.unregister(adopted.pidfd)
            adopted.close()
            self.look_again()
