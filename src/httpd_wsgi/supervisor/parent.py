"""The socket to Apache's parent process, which tells its supervisors when they are superseded, no
longer configured, or have to stop (the messages are in src/wire/group.h).
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

    class Generations(Protocol):
        def superseded(self, log: list[int]) -> None: ...
        def released(self) -> None: ...
        def stop(self, reason: str) -> None: ...


class Parent(Endpoint):
    def __init__(self, selector: DefaultSelector, generations: Generations) -> None:
        self.selector = selector
        self.generations = generations
        connection = socket.socket(fileno=FD_CONTROL)
        connection.setblocking(False)
        self.messages = MessageSocket(connection)
        selector.register(self.messages, 1, self)

    def ready(self) -> None:
        received = self.messages.receive()
        if received is None:
            # The server lifeline tells what it means
            self.selector.unregister(self.messages)
            return
        messages, fds = received
        for message in messages:
            if message == b"superseded":
                self.generations.superseded(fds)
            elif message == b"released":
                self.generations.released()
            elif message == b"stop":
                self.generations.stop("Apache has stopped or restarted")
        while fds:
            os.close(fds.pop())
