"""The scripts that a group's workers load, and the version of each that was last asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence

from httpd_wsgi.shared.settings import Preload

MOST_FAILED = 20  # scripts beside those that workers load at their start


class Scripts:
    def __init__(self, preloads: Sequence[Preload]) -> None:
        self.preloads = preloads
        self.more: dict[str, None] = {}  # scripts that only requests name, as settings
        self.asked: dict[str, int] = {}  # path to the time of the version
        self.loading: dict[str, int] = {}  # versions when a worker was started last
        self.files: dict[str, str] = {}  # of modules, by "module:callable"
        # Scripts that no worker loads at its start and that a worker could not load for a request;
        # later workers try them, and are no worse when they fail, too
        self.failed: set[str] = set()

    def add(self, application_group: str, script: str, callable: str) -> None:
        if not any((item.script, item.callable) == (script, callable) for item in self.preloads):
            self.more[f"{application_group}\n{script}\n{callable}"] = None

    def note_file(self, script: str, file: str, time: int = 0) -> None:
        """A worker has found the file of a module, with this version when it tried to load it."""
        if file:
            self.files[script] = file
        if time and not self.loading.get(script):
            self.loading[script] = time

    def note_failed(self, application_group: str, script: str, callable: str) -> None:
        """A worker could not load this script for a request."""
        known = {item.script for item in self.preloads} | {key.split("\n")[1] for key in self.more}
        if script not in known and len(self.failed) < MOST_FAILED:
            self.add(application_group, script, callable)
            self.failed.add(script)

    def note_loaded(self, broken: Sequence[str]) -> tuple[int, bool]:
        """A worker has loaded its scripts but the broken ones. Returns how many of those count, and
        whether it has loaded one that failed before.
        """
        counted = [script for script in broken if script not in self.failed]
        mended = {script for script in self.failed - set(broken) if script in self.loading}
        self.failed -= mended
        return len(counted), bool(mended)

    def begin_loading(self) -> bytes:
        """Returns the settings of a new worker besides the group's."""
        self.loading = self.times()
        return b"".join(b"preload=" + os.fsencode(item) + b"\0" for item in self.more)

    def times(self) -> dict[str, int]:
        """Returns the versions of the files that workers load; 0 where the file is not known, -1 when
        there is none.
        """
        scripts = [item.script for item in self.preloads]
        scripts += [item.split("\n")[1] for item in self.more]
        return {script: self.time_of(script) for script in scripts}

    def time_of(self, script: str) -> int:
        path = script if script.startswith("/") else self.files.get(script)
        try:
            return os.stat(path).st_mtime_ns // 1000 if path else 0
        except OSError:
            return -1

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
            if time > 0 and self.ask(script, time):
                return script
        return None

    def changed_since_loading(self) -> str | None:
        """Returns a script with another version than the worker that was started last found."""
        for script, time in self.times().items():
            if time > 0 and time != self.loading.get(script, time):
                self.asked[script] = time
                return script
        return None
