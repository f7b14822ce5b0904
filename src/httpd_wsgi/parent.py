"""The socket to Apache's parent, which tells its supervisors what becomes of them (the lines are in src/wire/group.h)."""

from __future__ import annotations

import os
import socket

from httpd_wsgi.process import FD_CONTROL
from httpd_wsgi.remote import Endpoint

TYPE_CHECKING = False  # typing would only be loaded for this
if TYPE_CHECKING:
    from httpd_wsgi.supervisor import Supervisor


class Parent(Endpoint):
    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.socket = socket.socket(fileno=FD_CONTROL)
        self.socket.setblocking(False)
        self.received = b""
        supervisor.selector.register(self.socket, 1, self)

    def ready(self) -> None:
        fds: list[int] = []
        try:
            data, fds, _, _ = socket.recv_fds(self.socket, 4096, 4)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.supervisor.selector.unregister(self.socket)  # the house tells what it means
        *lines, self.received = (self.received + data).split(b"\n")
        for line in lines:
            if line == b"superseded":
                self.supervisor.superseded(fds)
            elif line == b"released":
                self.supervisor.is_released = True
            elif line == b"stop":
                self.supervisor.stop("Apache has stopped or restarted")
        while fds:
            os.close(fds.pop())
