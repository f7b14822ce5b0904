"""Local sockets: their names, which process is at the other end, and messages that go to and fro."""

from __future__ import annotations

import os
import socket
import struct

ROOM = 65536
LONGEST_MESSAGE = 2 * ROOM  # what is longer makes no sense and is dropped
MOST_FDS = 4
PREFIX = "httpd-wsgi/"
NAME_LIMIT = 60  # of the group's part; 107 bytes are all that a name can have


def word_of(group: str) -> str:
    """The group's name in the socket's; urllib.parse would take more memory than the rest of this."""
    safe = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    return "".join(chr(byte) if byte in safe else f"%{byte:02X}" for byte in os.fsencode(group))[
        :NAME_LIMIT
    ]


def supervisor_name(group: str, pid: int) -> str:
    return f"{PREFIX}{word_of(group)}/{pid}/{os.urandom(6).hex()}"


def worker_name(pid: int) -> str:
    """Of the socket where a worker without its supervisor waits for another."""
    return f"\0httpd-wsgi-worker/{pid}"


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Process and user."""
    pid, uid, _ = struct.unpack(
        "3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    )
    return pid, uid


class MessageSocket:
    """A connection for messages, each a line of text, some with descriptors."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.begun = b""  # the part of a message whose end has not come yet
        self.is_too_long = False  # what comes until its end is dropped

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
        """Returns whole messages and descriptors, which become the caller's, or None when the other
        end has gone.

        Waits if the socket does.
        """
        try:
            data, fds, _, _ = socket.recv_fds(self.socket, ROOM, most_fds)
        except BlockingIOError:
            return [], []
        except OSError:
            data, fds = b"", []
        if not data:
            self.begun = b""
            return None
        *messages, self.begun = (self.begun + data).split(b"\n")
        if messages and self.is_too_long:
            del messages[0]
            self.is_too_long = False
        if len(self.begun) > LONGEST_MESSAGE or self.is_too_long:
            self.begun, self.is_too_long = b"", True
        return messages, fds
