"""The socket to Apache's parent, which tells its supervisors what becomes of them (the messages are
in src/wire/group.h).
"""

from __future__ import annotations

import os
import socket

from httpd_wsgi.shared.descriptors import FD_CONTROL
from httpd_wsgi.shared.peers import MessageSocket
from httpd_wsgi.supervisor.endpoint import Endpoint

TYPE_CHECKING = False  # typing would only be loaded for this
if TYPE_CHECKING:
    from selectors import DefaultSelector
    from typing import Protocol

    class Host(Protocol):
        """What the supervisor has for its parent's messages."""

        selector: DefaultSelector
        is_released: bool

        def superseded(self, log: list[int]) -> None: ...
        def stop(self, reason: str) -> None: ...


class Parent(Endpoint):
    def __init__(self, supervisor: Host) -> None:
        self.supervisor = supervisor
        connection = socket.socket(fileno=FD_CONTROL)
        connection.setblocking(False)
        self.messages = MessageSocket(connection)
        supervisor.selector.register(self.messages, 1, self)

    def ready(self) -> None:
        received = self.messages.receive()
        if received is None:
            # The server lifeline tells what it means
            self.supervisor.selector.unregister(self.messages)
            return
        messages, fds = received
        for message in messages:
            if message == b"superseded":
                self.supervisor.superseded(fds)
            elif message == b"released":
                self.supervisor.is_released = True
            elif message == b"stop":
                self.supervisor.stop("Apache has stopped or restarted")
        while fds:
            os.close(fds.pop())
