"""In Apache's own processes: requests that take longer than WSGISlowRequests are in the log, with
where their Python code is.

What the supervisor does for workers (supervisor/overseer.py), a thread of the process does here. So
it sees nothing while the application keeps the interpreter's lock, and it only tells: Apache's
threads cannot be interrupted, and its processes belong to Apache.
"""

from __future__ import annotations

import os
import time

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import native
from httpd_wsgi.shared import activity, logs, watch


class SlowLog:
    def __init__(self, limit: float, where: str, threads: int) -> None:
        self.where = where
        # HTTP/2 has threads of its own; those without an entry are not seen
        entries = 2 * threads + 16
        fd = os.memfd_create("wsgi-activity", os.MFD_CLOEXEC)
        os.ftruncate(fd, activity.size_of_slot(entries))
        self.slots = activity.Slots(fd, entries, 0)
        self.slots.take(0, os.getpid())
        _runtime.open_activity(fd, 0, entries)
        os.close(fd)
        # Never busy: that is Apache's own affair
        self.watch = watch.Watch(watch.Limits(threads=entries + 1, slow=limit))
        # Said to wait for their interpreter; once more when they have it
        self.waiting: set[tuple[int, int]] = set()

    def run(self) -> None:
        pid = os.getpid()
        while True:
            now = time.monotonic()
            seen = self.slots.seen(pid)
            for action in self.watch.look(now, [seen]):
                if isinstance(action, watch.Slow):
                    self.report(action.request, now)
            for request in seen.running:
                if request.app and (request.thread, request.serial) in self.waiting:
                    self.report(request, now)
            self.waiting = {
                (r.thread, r.serial)
                for r in seen.running
                if not r.app and r.age(now) >= self.watch.limits.slow
            }
            native.sleep(max(0.0, self.watch.next_look(now, [seen]) - time.monotonic()))

    def report(self, request: activity.Running, now: float) -> None:
        stack = _runtime.stack(request.thread, request.serial)
        if stack is None and request.app:
            return  # it has just ended
        where = "in the application" if request.app else "waiting for its interpreter"
        text = (
            f"{request.what} has been running for {request.age(now):.1f} s, {where}; {self.where}"
        )
        logs.log(logs.WARNING, f"WSGI0503: {text}")
        for line in (stack or "").splitlines():
            logs.log(logs.WARNING, line)


def start(limit: float, where: str, threads: int) -> None:
    native.start("wsgi-slowlog", SlowLog(limit, where, threads).run)
