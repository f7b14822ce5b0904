"""Which requests are slow or overdue, and which workers have had enough. Pure: the supervisor looks
and acts, this decides.

Looking costs little, but a group without requests should cost nothing: then a look is due only as
often as the shortest limit needs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from httpd_wsgi.shared.activity import Running, Seen
from httpd_wsgi.shared.records import dataclass, field

BUSY_PAUSE = 60.0  # seconds between warnings that all threads are busy
# A request that takes longer than this is reason to ask whether its worker still runs Python code
PING_AFTER = 1.0
LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """0: no limit."""

    threads: int = 15
    slow: float = 0.0
    request: float = 0.0
    interrupt: float = 0.0
    deadlock: float = 0.0
    inactivity: float = 0.0
    cpu: float = 0.0
    resident: int = 0

    @property
    def shortest(self) -> float:
        return min(
            (limit for limit in (self.slow, self.request, self.inactivity) if limit > 0),
            default=2 * LONGEST_PAUSE,
        )


def scaled(limit: float, threads: int) -> float:
    """mod_wsgi's reading of request-timeout: the more threads, the longer."""
    return limit * (1 + math.log(threads)) if threads > 1 else limit


@dataclass(frozen=True, slots=True)
class Slow:
    request: Running


@dataclass(frozen=True, slots=True)
class Interrupt:
    request: Running


@dataclass(frozen=True, slots=True)
class Expire:
    """Its client is answered, its worker replaced."""

    request: Running


@dataclass(frozen=True, slots=True)
class Retire:
    worker: int
    option: str


@dataclass(frozen=True, slots=True)
class GiveUpRequests:
    """A worker on its way out has nothing left but requests that were given up."""

    worker: int


@dataclass(frozen=True, slots=True)
class Ping:
    worker: int


@dataclass(frozen=True, slots=True)
class Deadlocked:
    worker: int


@dataclass(frozen=True, slots=True)
class Busy:
    slowest: Running
    queue: int | None  # requests that wait; None: not known


Action = Slow | Interrupt | Expire | Retire | GiveUpRequests | Ping | Deadlocked | Busy
Key = tuple[int, int, int]


@dataclass(slots=True)
class Watch:
    limits: Limits
    queue_length: Callable[[], int | None] = lambda: None
    slow: set[Key] = field(default_factory=set)
    interrupted: dict[Key, float] = field(default_factory=dict)
    expired: set[Key] = field(default_factory=set)
    pinged: dict[int, float] = field(default_factory=dict)  # workers that have not answered yet
    retired: set[int] = field(default_factory=set)
    was_busy: bool = False
    busy_said: float = -math.inf

    def answered(self, worker: int) -> None:
        self.pinged.pop(worker, None)

    def look(self, now: float, workers: Sequence[Seen]) -> list[Action]:
        todo: list[Action] = []
        for seen in workers:
            for request in seen.running:
                todo += self._request(now, request)
            todo += self._worker(now, seen)
        todo += self._busy(now, workers)
        self._forget(workers)
        return todo

    def _request(self, now: float, request: Running) -> list[Action]:
        key = (request.worker, request.thread, request.serial)
        age = request.age(now)
        todo: list[Action] = []
        if 0 < self.limits.slow <= age and key not in self.slow:
            self.slow.add(key)
            todo.append(Slow(request))
        if 0 < self.limits.request <= age and key not in self.expired:
            since = self.interrupted.get(key)
            if since is None and self.limits.interrupt > 0:
                self.interrupted[key] = now
                todo.append(Interrupt(request))
            elif since is None or now >= since + self.limits.interrupt:
                self.expired.add(key)
                todo.append(Expire(request))
        return todo

    def _worker(self, now: float, seen: Seen) -> list[Action]:
        todo: list[Action] = []
        if (
            seen.is_serving
            and seen.worker not in self.retired
            and (option := self._had_enough(now, seen))
        ):
            self.retired.add(seen.worker)
            todo.append(Retire(seen.worker, option))
        keys = {(r.worker, r.thread, r.serial) for r in seen.running}
        if not seen.is_serving and keys and keys <= self.expired:
            todo.append(GiveUpRequests(seen.worker))
        since = self.pinged.get(seen.worker)
        if since is None:
            if self.limits.deadlock > 0 and any(
                request.age(now) >= PING_AFTER for request in seen.running
            ):
                self.pinged[seen.worker] = now
                todo.append(Ping(seen.worker))
        elif now >= since + self.limits.deadlock and since < math.inf:
            self.pinged[seen.worker] = math.inf
            todo.append(Deadlocked(seen.worker))
        return todo

    def _had_enough(self, now: float, seen: Seen) -> str:
        limits = self.limits
        if 0 < limits.cpu <= seen.cpu:
            return "cpu-time-limit"
        if 0 < limits.resident <= seen.resident:
            return "memory-rss-limit"
        if (
            limits.inactivity > 0
            and seen.touched
            and not seen.running
            and now >= seen.touched + limits.inactivity
        ):
            return "inactivity-timeout"
        return ""

    def _busy(self, now: float, workers: Sequence[Seen]) -> list[Action]:
        serving = [seen for seen in workers if seen.is_serving]
        is_busy = bool(serving) and all(
            len(seen.running) >= self.limits.threads for seen in serving
        )
        lasting, self.was_busy = is_busy and self.was_busy, is_busy
        if not lasting or now < self.busy_said + BUSY_PAUSE or (queue := self.queue_length()) == 0:
            return []
        self.busy_said = now
        return [
            Busy(
                min(
                    (request for seen in serving for request in seen.running),
                    key=lambda request: request.start,
                ),
                queue,
            )
        ]

    def _forget(self, workers: Sequence[Seen]) -> None:
        """Requests and workers that are no more."""
        keys = {(r.worker, r.thread, r.serial) for seen in workers for r in seen.running}
        pids = {seen.worker for seen in workers}
        self.slow &= keys
        self.expired &= keys
        self.interrupted = {key: at for key, at in self.interrupted.items() if key in keys}
        self.retired &= pids
        self.pinged = {pid: at for pid, at in self.pinged.items() if pid in pids}

    def next_look(self, now: float, workers: Sequence[Seen]) -> float:
        running = [request for seen in workers for request in seen.running]
        pause = min(LONGEST_PAUSE, self.limits.shortest / 2)
        times = [now + (min(1.0, pause) if running else pause)]
        for request in running:
            key = (request.worker, request.thread, request.serial)
            if self.limits.slow > 0 and key not in self.slow:
                times.append(request.start + self.limits.slow)
            if self.limits.request > 0 and key not in self.expired:
                since = self.interrupted.get(key)
                times.append(
                    request.start + self.limits.request
                    if since is None
                    else since + self.limits.interrupt
                )
        for seen in workers if self.limits.inactivity > 0 else ():
            if (
                seen.is_serving
                and seen.touched
                and not seen.running
                and seen.worker not in self.retired
            ):
                times.append(seen.touched + self.limits.inactivity)
        return max(now + 0.01, min(times))
