"""Trials: new workers for scripts that the workers which serve could not load. Pure.

A process never tries a script twice: what a failed attempt leaves behind is half imported. So when a
request needs such a script, a new process tries it, soon for the first time and then after longer
and longer pauses. It takes the place of the others only when it can load more than they could.
With startup-timeout= a trial follows without any request, when that time is over.
"""

from __future__ import annotations

from collections.abc import Mapping

from httpd_wsgi.shared.records import dataclass
from httpd_wsgi.supervisor.lifecycle import State, Worker
from httpd_wsgi.supervisor.limits import BACK_OFF, Limits


@dataclass(slots=True)
class Trials:
    is_wanted: bool = False
    failures: int = 0  # in a row
    next_at: float = 0.0

    def started(self) -> None:
        self.is_wanted = False

    def succeeded(self) -> None:
        self.failures = 0

    def failed(self, now: float) -> None:
        self.failures += 1
        self.wait(now)

    def wait(self, now: float) -> None:
        self.next_at = max(self.next_at, now + BACK_OFF[min(self.failures, len(BACK_OFF) - 1)])

    def due_at(self, workers: Mapping[int, Worker], limits: Limits) -> float | None:
        """Returns when the next trial should start, or None."""
        times = [self.next_at] if self.is_wanted else []
        if limits.startup > 0:
            times += [
                max(worker.started + limits.startup, self.next_at)
                for worker in workers.values()
                if worker.broken and worker.state is State.SERVING
            ]
        return min(times, default=None)
