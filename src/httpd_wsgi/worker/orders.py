"""A worker's control thread: it receives orders from the worker's supervisor or, when that was
killed, from one that adopts the worker.

The socket to the supervisor keeps the number FD_SUPERVISOR for the life of the worker, since request
threads write to it, too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import native
from httpd_wsgi.shared import board, logs, reasons, settings
from httpd_wsgi.shared.descriptors import FD_BOARD, FD_SUPERVISOR
from httpd_wsgi.shared.peers import MessageSocket
from httpd_wsgi.worker import stacks
from httpd_wsgi.worker.orphans import Orphan


def source_line(stack: str) -> bytes:
    """Returns the innermost frame's place in a formatted stack, or nothing."""
    frames = [line.strip() for line in stack.split("\n") if line.startswith("  File ")]
    return frames[-1].encode("utf-8", "replace") if frames else b""


class Control:
    """End-of-file on the socket means that the supervisor has gone: the worker serves on until
    another supervisor's workers do, or Apache has gone too; then it keeps to graceful-timeout and
    shutdown-timeout by itself.
    """

    def __init__(self, config: settings.GroupSettings, supervisor: int, offset: int) -> None:
        """offset: of this worker's activity in the shared memory; negative when it has none."""
        self.socket = socket.socket(fileno=FD_SUPERVISOR)
        self.messages = MessageSocket(self.socket)
        self.supervisor = supervisor
        self.board = board.Board(FD_BOARD)
        self.graceful = config.graceful_timeout
        self.shutdown = config.shutdown_timeout
        self.activity = f"orphan {offset} {config.threads}\n"
        self.reason = ""
        self.fds: list[int] = []  # received with the orders that need them
        self.on_drain: Callable[[str], None] = self.drain
        self.accepted = native.Flag()  # may serve although not everything could be loaded
        self.draining = native.Flag()
        self.over = native.Flag()  # all requests are done, or there is no more time for them
        self.loaded = False
        self.outlives = True  # a service does not, as the next supervisor's must not run beside it
        self.before_exit: Callable[[bool], None] = lambda graceful: None

    def report(self, message: str) -> bool:
        try:
            self.socket.sendall(os.fsencode(message) + b"\n")
        except OSError:
            return False  # the supervisor has gone; watch() notices it, too
        return True

    def begin(self) -> None:
        """Requests may come."""
        self.board.claim(self.supervisor)
        self.loaded = True

    def drain(self, reason: str) -> None:
        self.reason = self.reason or reason
        try:
            self.board.disclaim(self.supervisor)
        except OSError:
            pass  # the application has closed the descriptor, and the claim has gone with it
        self.draining.set()

    def watch(self, on_drain: Callable[[str], None]) -> None:
        self.on_drain = on_drain
        while self.receive_orders():
            pass
        if not self.loaded:
            os._exit(0)  # no request waits for it
        orphan = Orphan(self)
        if self.outlives:
            _runtime.serve_loaded()
            orphan.outlive()
        on_drain(reasons.STOP if orphan.wait(0) else reasons.SUPERSEDED)
        # No supervisor is left to end a worker that does not end by itself.
        if self.graceful > 0 and not orphan.wait(self.graceful):
            self.give_up()
        native.sleep(self.shutdown or self.graceful)
        self.before_exit(False)
        os._exit(1)

    def give_up(self) -> None:
        """Ends the worker with the message that its supervisor would have logged."""
        if (left := _runtime.active()) > 0:
            limit = f"graceful-timeout={self.graceful:g}"
            why = f"whose supervisor was killed, is not done with {left} of its requests after {limit}"
            logs.log(logs.WARNING, f"WSGI0730: worker {os.getpid()}, {why}; it ends now")
        self.over.set()

    def receive_orders(self) -> bool:
        """Waits for orders and carries them out. Returns False when the supervisor has gone."""
        received = self.messages.receive()
        if received is None:
            return False
        orders, fds = received
        self.fds += fds
        for order in orders:
            try:
                self.receive_order(order)
            except Exception as exc:  # the failure is logged; the next order may be the one to end
                logs.log(
                    logs.ERROR,
                    f"WSGI0728: the worker could not carry out an order ({order[:80]!r}): {exc!r}",
                )
        return True

    def receive_order(self, order: bytes) -> None:
        word, _, rest = order.partition(b" ")
        if word == b"drain":
            if not self.loaded:
                os._exit(0)  # still importing, or not wanted: there is nothing to finish
            self.on_drain(rest.decode() or reasons.STOP)
        elif word == b"serve":
            self.accepted.set()
        elif word == b"reject":
            mtime, _, script = rest.partition(b" ")
            _runtime.reject_version(script, int(mtime))
        elif word == b"end":
            self.over.set()
        elif word == b"ping":
            self.report("pong")
        elif word in (b"slow", b"interrupt", b"expire", b"source_line"):
            self.receive_request_order(word, rest)
        elif word == b"stacks" and self.fds:
            stacks.start(self.fds.pop(0))
        elif word == b"log" and self.fds:
            logs.move(self.fds.pop(0))

    def receive_request_order(self, word: bytes, rest: bytes) -> None:
        """An order about a request that is being served: its text is logged with the stack as it is
        now.
        """
        thread, serial, text = rest.split(b" ", 2)
        index, number = int(thread), int(serial)
        if word == b"expire":  # before anything that may wait for a stuck interpreter
            _runtime.expire(index, number, 504, text)
        stack = _runtime.stack(index, number)
        if word == b"interrupt" and not _runtime.interrupt(index, number):
            return
        if stack is not None and word in (b"slow", b"source_line"):
            _runtime.show_source_line(index, number, source_line(stack))
        if stack is not None and word != b"source_line":
            logs.log(logs.WARNING, text.decode("utf-8", "replace"))
            for line in stack.split("\n"):
                logs.log(logs.WARNING, line)
