"""`httpd-wsgi serve --reload`: notices in a worker that a file of the application has changed, and
has the worker replaced.

Runs as an import script of the group, that is, in the application's interpreter after the
application was loaded.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import native
from httpd_wsgi.shared import wire

INTERVAL = 0.5
MOST_FILES = 5000
SKIPPED = frozenset(("node_modules", "__pycache__"))


def module_files() -> Iterator[str]:
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str):
            yield path


def directory_files(directory: str) -> Iterator[str]:
    """Python files below, so that a module that could not be imported is found, too; no virtual
    environments, nothing hidden.
    """
    for where, names, files in os.walk(directory):
        names[:] = [
            name
            for name in names
            if not name.startswith(".")
            and name not in SKIPPED
            and not os.path.exists(os.path.join(where, name, "pyvenv.cfg"))
        ]
        yield from (os.path.join(where, name) for name in files if name.endswith(".py"))


def mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


class Watch:
    """Modification times as they were when a file was first seen."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.times: dict[str, int] = {}
        self.add_new()

    def add_new(self) -> None:
        for path in module_files():
            if path not in self.times:
                self.times[path] = mtime(path)
        if self.directory:
            for count, path in enumerate(directory_files(self.directory)):
                if count >= MOST_FILES:
                    break
                if path not in self.times:
                    self.times[path] = mtime(path)

    def changed(self) -> str:
        """The first file that is not what it was, or ""."""
        return next((path for path, before in self.times.items() if mtime(path) != before), "")


def run(watch: Watch) -> None:
    while not (path := watch.changed()):
        native.sleep(INTERVAL)
        watch.add_new()
    _runtime.log(wire.NOTICE, f"{path} has changed: loading the application again")
    os.kill(os.getpid(), signal.SIGINT)  # the worker finishes its requests and is replaced


def watch() -> None:
    watched = Watch(os.environ.get("HTTPD_WSGI_WATCH", ""))
    native.start("wsgi-reloader", lambda: run(watched))
