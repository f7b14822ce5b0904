"""The scripts that a group's workers load, and the version of each that was last asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence

from httpd_wsgi.shared.settings import Preload


class Scripts:
    def __init__(self, preloads: Sequence[Preload]) -> None:
        self.preloads = preloads
        self.more: dict[str, None] = {}  # scripts that only requests name, as settings
        self.asked: dict[str, int] = {}  # path to the time of the version
        self.loading: dict[str, int] = {}  # versions when a worker was started last

    def add(self, application_group: str, script: str, callable: str) -> None:
        if not any((item.script, item.callable) == (script, callable) for item in self.preloads):
            self.more[f"{application_group}\n{script}\n{callable}"] = None

    def begin_loading(self) -> bytes:
        """Returns the settings of a new worker besides the group's."""
        self.loading = self.times()
        return b"".join(b"preload=" + os.fsencode(item) + b"\0" for item in self.more)

    def times(self) -> dict[str, int]:
        """Returns the versions of the files that workers load; 0 where there is no file."""
        paths = [item.script for item in self.preloads] + [
            item.split("\n")[1] for item in self.more
        ]
        found = {}
        for path in paths:
            try:
                found[path] = os.stat(path).st_mtime_ns // 1000
            except OSError:
                found[path] = 0
        return found

    def ask(self, script: str, time: int) -> bool:
        """Notes that this version is wanted. Returns False when it was already."""
        is_new = self.asked.get(script) != time
        self.asked[script] = time
        return is_new

    def reject_loading(self) -> None:
        """Prevents that anybody asks again for the versions that the last worker could not load."""
        self.asked.update(self.loading)

    def ask_for_changed(self) -> str | None:
        """Returns a script with another version than was last asked for, which is asked for now."""
        for script, time in self.times().items():
            if time and self.ask(script, time):
                return script
        return None
