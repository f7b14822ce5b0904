"""A worker as its supervisor sees it: how it is started, and what its end meant."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

import httpd_wsgi
from httpd_wsgi.shared import reasons, settings
from httpd_wsgi.shared.descriptors import (
    FD_ACTIVITY,
    FD_BOARD,
    FD_CRASH,
    FD_LISTEN,
    FD_SCORES,
    FD_SERVER_LIFELINE,
    FD_SETTINGS,
    FD_SUPERVISOR,
)
from httpd_wsgi.shared.peers import MessageSocket
from httpd_wsgi.shared.records import dataclass

TITLE_ROOM = "." * 128  # gives the worker memory to write its process title to
BOOT = os.path.join(os.path.abspath(httpd_wsgi.__path__[0]), "_boot.py")


@dataclass(slots=True)
class Process:
    """The policy identifies it by its pid."""

    pid: int
    pidfd: int
    control: MessageSocket
    started: float
    crash_fd: int

    def send(self, message: str, *fds: int) -> None:
        self.control.send(message, *fds)

    def receive(self) -> list[str] | None:
        """Returns the messages that have come, or None when the worker has closed its end."""
        received = self.control.receive(most_fds=0)
        return None if received is None else [os.fsdecode(message) for message in received[0]]

    def crash_lines(self) -> list[str]:
        """Returns what faulthandler wrote when the worker crashed."""
        from httpd_wsgi.shared import frames  # here, since it imports re, which takes memory

        text = os.pread(self.crash_fd, os.fstat(self.crash_fd).st_size, 0).decode(
            "utf-8", "replace"
        )
        return frames.of_crash(text, os.path.dirname(BOOT) + os.sep)


def end_reason(status: int, planned: str, was_starting: bool) -> str:
    """Returns one of reasons.ALL, for the status page."""
    if planned:
        return planned
    if was_starting:
        return reasons.FAILED_TO_START
    return reasons.CRASHED if os.WIFSIGNALED(status) else reasons.EXITED


def describe_exit(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"was killed by signal {-code} ({name})"


def python_options(config: settings.GroupSettings) -> list[str]:
    """What the WSGIPython… directives mean on a command line."""
    options = ["-" + "O" * config.optimize] if config.optimize else []
    options += ["-B"] if config.dont_write_bytecode else []
    for warning in config.warnings:
        options += ["-W", warning]
    if "t" in sys.abiflags:
        options += ["-X", f"gil={0 if config.free_threading else 1}"]
    return options


def start(
    config: settings.GroupSettings, supervisor: int, offset: int, more_settings: bytes
) -> Process:
    """Starts a worker of the supervisor of this number. Its activity is at offset; when that is
    negative, nobody watches it. more_settings override the group's or add to them.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    memory = os.memfd_create("wsgi-settings", os.MFD_CLOEXEC)
    os.write(memory, config.raw + more_settings)
    crash = os.memfd_create("wsgi-crash", os.MFD_CLOEXEC)
    actions = [
        (os.POSIX_SPAWN_DUP2, FD_LISTEN, FD_LISTEN),
        (os.POSIX_SPAWN_DUP2, theirs.fileno(), FD_SUPERVISOR),
        (os.POSIX_SPAWN_DUP2, memory, FD_SETTINGS),
        (os.POSIX_SPAWN_DUP2, FD_BOARD, FD_BOARD),
        (os.POSIX_SPAWN_DUP2, FD_SERVER_LIFELINE, FD_SERVER_LIFELINE),
        (os.POSIX_SPAWN_DUP2, FD_ACTIVITY, FD_ACTIVITY),
        (os.POSIX_SPAWN_DUP2, crash, FD_CRASH),
    ]
    if config.server_metrics:
        actions.append((os.POSIX_SPAWN_DUP2, FD_SCORES, FD_SCORES))
    argv = [
        sys.executable,
        *python_options(config),
        BOOT,
        "worker",
        str(supervisor),
        str(offset),
        TITLE_ROOM,
    ]
    environment = (
        {**os.environ, "PYTHONHASHSEED": config.hash_seed} if config.hash_seed else os.environ
    )
    try:
        pid = os.posix_spawn(sys.executable, argv, environment, file_actions=actions, setsigmask=[])
    finally:
        theirs.close()
        os.close(memory)
    ours.setblocking(False)
    return Process(pid, os.pidfd_open(pid), MessageSocket(ours), time.monotonic(), crash)
