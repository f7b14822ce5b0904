"""Which scripts a group's workers load, and which version of each they were last asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence

from httpd_wsgi.shared.settings import Preload


class Scripts:
    def __init__(self, preloads: Sequence[Preload]) -> None:
        self.preloads = preloads
        self.more: dict[str, None] = {}  # as in the settings: scripts that only requests name
        self.asked: dict[str, int] = {}  # path to the time of the version
        self.loading: dict[str, int] = {}  # what the worker that was started last finds

    def add(self, application_group: str, script: str, callable: str) -> None:
        if not any((item.script, item.callable) == (script, callable) for item in self.preloads):
            self.more[f"{application_group}\n{script}\n{callable}"] = None

    def begin_loading(self) -> bytes:
        """What the settings of a new worker have besides the group's."""
        self.loading = self.times()
        return b"".join(b"preload=" + os.fsencode(item) + b"\0" for item in self.more)

    def times(self) -> dict[str, int]:
        """Of the files that workers load; 0: there is none."""
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
        """For this version. False: it was asked for before."""
        is_new = self.asked.get(script) != time
        self.asked[script] = time
        return is_new

    def reject_loading(self) -> None:
        """Nobody shall ask again for what the last worker could not load."""
        self.asked.update(self.loading)

    def ask_for_changed(self) -> str | None:
        """A script that has another version than was asked for, and now it is."""
        for script, time in self.times().items():
            if time and self.ask(script, time):
                return script
        return None
