"""What the garbage collector of this interpreter does, as notes for the process's telemetry.

Everything happens in the collector's own callbacks: nobody has to enter an interpreter from
outside, which might be stuck.
"""

from __future__ import annotations

import gc
import os
import time
from typing import Any

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import datagram

EVENTS_MAX = 64  # in one interval


class GcWatch:
    """One per interpreter. Callbacks of one interpreter never run at once, as collections do not."""

    def __init__(self, interpreter: str, interval: float) -> None:
        self.interpreter = interpreter
        self.interval = interval
        self.began = self.began_clock = 0.0
        self.interval_ends = 0.0
        self.events = 0  # in this interval
        self.dropped = 0  # ever

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self.began, self.began_clock = time.time(), time.perf_counter()
        elif self.began_clock:
            now = time.perf_counter()
            self.tell(now - self.began_clock, info)
            if now >= self.interval_ends:
                self.interval_ends = now + self.interval
                self.events = 0
                if self.interpreter:
                    self.snapshot()  # of the main interpreter the reporter takes one with each tick

    def tell(self, duration: float, info: dict[str, int]) -> None:
        self.events += 1
        event = (
            datagram.gc_event(self.interpreter, self.began, duration, info)
            if self.events <= EVENTS_MAX
            else b""
        )
        if not event or not _runtime.put_note(datagram.GC_EVENT, event):
            self.dropped += 1

    def state(self) -> dict[str, Any]:
        return {
            "count": gc.get_count(),
            "threshold": gc.get_threshold(),
            "stats": gc.get_stats(),
            "enabled": gc.isenabled(),
            "frozen": gc.get_freeze_count(),
            "dropped": self.dropped,
        }

    def snapshot(self) -> None:
        _runtime.put_note(
            datagram.GC_SNAPSHOT, datagram.gc_snapshot(self.interpreter, self.state())
        )

    def remove(self) -> None:
        if self in gc.callbacks:
            gc.callbacks.remove(self)


def install(interpreter: str, interval: float) -> GcWatch:
    watch = GcWatch(interpreter, interval)
    gc.callbacks.append(watch)
    os.register_at_fork(after_in_child=watch.remove)  # where nobody takes the notes
    watch.snapshot()
    return watch
