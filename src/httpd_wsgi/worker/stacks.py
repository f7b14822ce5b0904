"""The stacks of a worker's threads, for `httpd-wsgi stacks`."""

from __future__ import annotations

import json
import linecache
import os
import threading

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import native
from httpd_wsgi.interpreter.tracebacks import PACKAGE
from httpd_wsgi.shared import frames

LIMIT = 100_000  # characters, since a message of a local socket has a limit


def collect() -> str:
    fd = os.memfd_create("wsgi-stacks", os.MFD_CLOEXEC)
    try:
        _runtime.tell_all("write_stacks", "", fd)
        text = os.pread(fd, os.fstat(fd).st_size, 0).decode("utf-8", "replace")
    finally:
        os.close(fd)
    names = {thread.ident or 0: thread.name for thread in threading.enumerate()}
    linecache.checkcache()
    return frames.readable(text, names, PACKAGE)


def send(fd: int) -> None:
    """Runs in a thread of its own, since an interpreter that is stuck must not prevent the control
    thread from receiving the order to stop.
    """
    with native.socket(fileno=fd) as client:
        client.settimeout(5)
        try:
            client.send(json.dumps({"worker": os.getpid(), "stacks": collect()[:LIMIT]}).encode())
        except OSError:
            pass  # the client has gone


def start(fd: int) -> None:
    native.start("wsgi-stacks", lambda: send(fd))
