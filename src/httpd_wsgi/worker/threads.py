"""The request threads of a worker.

They are started before any application is loaded, and wait: what an application does to the
threading module, as gevent's and eventlet's monkey patching does, must not reach them.
"""

from __future__ import annotations

import os

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import native
from httpd_wsgi.shared import logs, reasons, settings
from httpd_wsgi.shared.descriptors import FD_LISTEN, FD_SUPERVISOR
from httpd_wsgi.worker import limits
from httpd_wsgi.worker.orders import Control

EXIT_FAILED = 70  # EX_SOFTWARE of sysexits.h


class RequestThreads:
    """They end when stop_fd is readable and their requests are done; the last one reports it."""

    def __init__(self, config: settings.GroupSettings, stop_fd: int, control: Control) -> None:
        self.group = config.group
        self.stop_fd = stop_fd
        self.control = control
        self.left = config.threads  # under guard
        self.guard = native.allocate_lock()
        self.may_begin = native.Flag()
        self.have_ended = native.Flag()
        with limits.stack_size(config):
            for index in range(config.threads):
                native.start(f"wsgi-request-{index + 1}", lambda index=index: self.run(index))  # type: ignore[misc]

    def begin(self) -> None:
        self.may_begin.set()

    def run(self, index: int) -> None:
        self.may_begin.wait()
        native.settle()
        try:
            _runtime.serve(FD_LISTEN, self.stop_fd, FD_SUPERVISOR, index)
        except OSError as exc:
            # The application has closed descriptors that are not its own, or none is left
            logs.log(
                logs.ERROR,
                f"WSGI0735: group {self.group}: thread {index + 1} cannot wait for requests: {exc}; "
                "the worker ends",
            )
            os._exit(EXIT_FAILED)
        with self.guard:
            self.left -= 1
            is_last = not self.left
        if is_last:
            self.end()

    def end(self) -> None:
        if not self.control.draining.is_set():  # maximum-requests=1: they ended by themselves
            self.control.report(f"draining {reasons.MAXIMUM_REQUESTS}")
            self.control.drain(reasons.MAXIMUM_REQUESTS)
        self.have_ended.set()
        self.control.over.set()

    def still_serve(self) -> bool:
        """Returns whether some threads still have requests."""
        return not self.have_ended.is_set()
