"""Who is at the other end of a local socket, as the kernel knows it."""

from __future__ import annotations

import socket
import struct


def peer_of(connection: socket.socket) -> tuple[int, int]:
    """Process and user."""
    pid, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid, uid
