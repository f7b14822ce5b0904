"""A worker whose supervisor was killed: it waits for the end of Apache, or for a supervisor that
adopts it.

supervisor/adoption.py is the other side. The worker waits at a socket with its pid in the name,
which is abstract (unix(7)): chroot= and directories do not matter. Both sides ask the kernel for
the other one's process and user. This module is loaded from the start, since the package on disk
may be another one when it is needed.
"""

from __future__ import annotations

import math
import os
import select
import socket
import time

from httpd_wsgi.interpreter import native
from httpd_wsgi.shared.descriptors import FD_ACTIVITY, FD_SERVER_LIFELINE, FD_SUPERVISOR
from httpd_wsgi.shared.peers import peer_of, worker_name

TYPE_CHECKING = False  # typing would only be loaded for this
if TYPE_CHECKING:
    from typing import Protocol

    from httpd_wsgi.shared.board import Board

    class Control(Protocol):
        """What orders.Control has for its Orphan."""

        socket: socket.socket
        board: Board
        supervisor: int
        activity: str
        fds: list[int]
        draining: native.Flag

        def receive_orders(self) -> bool: ...


POLL_LIMIT = 2**31 - 1  # milliseconds
POLLIN = select.POLLIN


def listen() -> socket.socket | None:
    """Returns the listening socket, or None when another process has the name."""
    listener = native.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    try:
        listener.bind(worker_name(os.getpid()))
        listener.listen(4)
    except OSError:
        listener.close()
        return None
    return listener


def accept(listener: socket.socket) -> socket.socket | None:
    """Returns a connection of this worker's user or root; None when it is another user's."""
    try:
        connection, _ = listener.accept()
    except OSError:
        return None
    if peer_of(connection)[1] not in (0, os.getuid()):
        connection.close()
        return None
    connection.setblocking(True)
    return connection


class Orphan:
    """A worker without the supervisor that started it: waits for the end of Apache, and for a
    supervisor that adopts it.
    """

    def __init__(self, control: Control) -> None:
        self.control = control
        self.listener = listen()
        self.poll = native.poll()
        self.poll.register(FD_SERVER_LIFELINE, 0)
        if self.listener:
            self.poll.register(self.listener, POLLIN)

    def outlive(self) -> None:
        """Serves until another supervisor's workers do. Apache starts that supervisor at once; how long
        its workers take to load is not known.
        """
        control, pause = self.control, 0.02
        while (
            control.board.get("serving") <= control.supervisor
            and not self.wait(pause)
            and not control.draining.is_set()
        ):
            pause = min(1.0, pause * 1.2)

    def wait(self, seconds: float) -> bool:
        """Waits for this time. Returns True as soon as Apache has gone, else False."""
        end = time.monotonic() + seconds
        while True:
            left = math.ceil(max(0.0, end - time.monotonic()) * 1000)
            ready = [fd for fd, _ in self.poll.poll(min(left, POLL_LIMIT))]
            if FD_SERVER_LIFELINE in ready:
                return True
            if FD_SUPERVISOR in ready and not self.control.receive_orders():
                self.listen_again()
            elif ready and FD_SUPERVISOR not in ready:
                self.be_adopted()
            if not ready and left <= POLL_LIMIT:
                return False

    def be_adopted(self) -> None:
        """One supervisor adopts this worker at a time. Another one waits in the queue of the
        listening socket for the end of this one.
        """
        assert self.listener
        supervisor = accept(self.listener)
        if not supervisor:
            return
        os.dup2(supervisor.fileno(), FD_SUPERVISOR, inheritable=False)
        supervisor.close()
        self.poll.unregister(self.listener)
        self.poll.register(FD_SUPERVISOR, POLLIN)
        try:
            socket.send_fds(self.control.socket, [self.control.activity.encode()], [FD_ACTIVITY])
        except OSError:
            pass  # this supervisor has just been killed, too

    def listen_again(self) -> None:
        assert self.listener
        self.poll.unregister(FD_SUPERVISOR)
        self.poll.register(self.listener, POLLIN)
        while self.control.fds:
            os.close(self.control.fds.pop())
