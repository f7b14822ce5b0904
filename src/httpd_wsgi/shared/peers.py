"""Local sockets: who is at the other end, as the kernel knows it, and lines that go to and fro."""

from __future__ import annotations

import os
import socket
import struct

ROOM = 65536
MOST_FDS = 4


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Process and user."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid


class Lines:
    """A connection over which lines go, some with descriptors."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.begun = b""  # of a line whose end has not come yet

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def send(self, message: str, *fds: int) -> None:
        """Without waiting, and without a word when the other end has gone, which receive() tells."""
        try:
            socket.send_fds(self.socket, [os.fsencode(message) + b"\n"], fds, socket.MSG_DONTWAIT)
        except OSError:
            pass

    def receive(self, most_fds: int = MOST_FDS) -> tuple[list[bytes], list[int]] | None:
        """Whole lines and descriptors, which become the caller's; waits if the socket does. None: the other end has gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self.socket, ROOM, most_fds)
        except BlockingIOError:
            return [], []
        except OSError:
            data, fds = b"", []
        if not data:
            self.begun = b""
            return None
        *lines, self.begun = (self.begun + data).split(b"\n")
        return lines, fds
