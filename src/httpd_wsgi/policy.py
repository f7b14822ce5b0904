"""When a daemon group's workers are started, replaced, drained and killed. Pure: no clock, no process, no I/O.

The supervisor tells what happened and how late it is, and carries out the actions it gets back.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

BACK_OFF = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


class State(enum.Enum):
    STARTING = "starting"
    SERVING = "serving"
    STALE = "stale"  # has stopped accepting by itself; its replacement is being loaded
    DRAINING = "draining"
    GONE = "gone"


class Event(enum.Enum):
    READY = "ready"
    STALE = "stale"
    DRAIN = "drain"
    EXITED = "exited"


_NEXT = {
    (State.STARTING, Event.READY): State.SERVING,
    (State.STARTING, Event.DRAIN): State.DRAINING,
    (State.STARTING, Event.EXITED): State.GONE,
    (State.SERVING, Event.STALE): State.STALE,
    (State.SERVING, Event.DRAIN): State.DRAINING,
    (State.SERVING, Event.EXITED): State.GONE,
    (State.STALE, Event.DRAIN): State.DRAINING,
    (State.STALE, Event.EXITED): State.GONE,
    (State.DRAINING, Event.EXITED): State.GONE,
}


@dataclass(slots=True)
class Worker:
    number: int
    started: float
    state: State = State.STARTING
    kill_at: float | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Start one worker and report it with started()."""


@dataclass(frozen=True, slots=True)
class Drain:
    number: int


@dataclass(frozen=True, slots=True)
class Kill:
    number: int


Action = Start | Drain | Kill


@dataclass(slots=True)
class Policy:
    """Keeps `processes` workers serving. Times are seconds of any monotonic clock."""

    processes: int
    shutdown_timeout: float
    startup_timeout: float = 0.0
    is_service: bool = False  # workers end when their work is done and are started again a second later
    workers: dict[int, Worker] = field(default_factory=dict)
    failures: int = 0
    next_start: float = 0.0
    stopping: bool = False
    ever_ready: bool = False

    def started(self, number: int, now: float) -> None:
        worker = Worker(number, now)
        if self.startup_timeout > 0:
            worker.kill_at = now + self.startup_timeout
        self.workers[number] = worker

    def happened(self, number: int, event: Event, now: float) -> None:
        """Events that make no sense in a worker's state (a drained worker that still says ready) change nothing."""
        worker = self.workers[number]
        after = _NEXT.get((worker.state, event))
        if after is None:
            return
        before, worker.state = worker.state, after
        if after is State.SERVING:
            worker.kill_at = None
            self.failures = 0
            self.next_start = now
            self.ever_ready = True
        elif after is State.DRAINING:
            worker.kill_at = now + self.shutdown_timeout if self.shutdown_timeout > 0 else None
        elif after is State.GONE:
            del self.workers[number]
            if before is State.SERVING and self.is_service:
                self.next_start = now + 1
            if before is State.STARTING and not self.stopping:
                self.next_start = now + BACK_OFF[min(self.failures, len(BACK_OFF) - 1)]
                self.failures += 1

    def stop(self) -> None:
        self.stopping = True

    def counted(self, *states: State) -> int:
        return sum(worker.state in states for worker in self.workers.values())

    def actions(self, now: float) -> list[Action]:
        todo: list[Action] = []
        for worker in self.workers.values():
            if worker.kill_at is not None and now >= worker.kill_at:
                worker.kill_at = None
                todo.append(Kill(worker.number))
            unfinished = worker.state in (State.STARTING, State.SERVING, State.STALE)
            replaced = worker.state is State.STALE and self.counted(State.SERVING) > 0
            if replaced or (unfinished and self.stopping):
                todo.append(Drain(worker.number))
        missing = self.processes - self.counted(State.STARTING, State.SERVING)
        if not self.stopping and now >= self.next_start:
            # While workers fail to start, one attempt at a time is enough to notice that the cause has been mended.
            wanted = min(missing, 1) if self.failures else missing
            todo.extend(Start() for _ in range(wanted))
        return todo

    @property
    def failed(self) -> bool:
        """No worker serves, and the last attempts to start one failed."""
        return self.failures > 0 and self.counted(State.SERVING, State.STALE) == 0

    @property
    def done(self) -> bool:
        return self.stopping and not self.workers

    def wake_at(self) -> float | None:
        """When actions() must be asked again even if nothing happens; None: only after an event."""
        times = [worker.kill_at for worker in self.workers.values() if worker.kill_at is not None]
        if not self.stopping and self.processes > self.counted(State.STARTING, State.SERVING):
            times.append(self.next_start)
        return min(times, default=None)
