"""When a daemon group's workers are started, replaced, drained and killed. Pure: no clock, no
process, no I/O.

The supervisor reports events together with the current time, and carries out the actions that
actions() returns. The rule behind everything: what serves is given up only when something better
serves.
"""

from __future__ import annotations

from collections.abc import Callable

from httpd_wsgi.shared.reasons import OTHER, RELOAD, RESTART_INTERVAL, STOP, SUPERSEDED
from httpd_wsgi.shared.records import dataclass, field
from httpd_wsgi.supervisor import ends
from httpd_wsgi.supervisor.lifecycle import (
    Action,
    Drain,
    Event,
    Haste,
    RejectVersion,
    Serve,
    Start,
    StartTrial,
    State,
    Worker,
)
from httpd_wsgi.supervisor.limits import BACK_OFF, Limits, chance
from httpd_wsgi.supervisor.states import Change, Code, Phase, States
from httpd_wsgi.supervisor.trials import Trials


@dataclass(slots=True)
class Policy:
    """Keeps `processes` workers serving. Times are seconds of any monotonic clock."""

    limits: Limits
    # Number of broken scripts of an older supervisor, or its workers, that serve; None: there is none
    predecessor_broken: int | None = None
    jitter: Callable[[], float] = chance
    workers: dict[int, Worker] = field(default_factory=dict)
    states: States = field(default_factory=States)
    code: int = 0  # number of the present code
    haste: Haste = Haste.NONE
    failures: int = 0
    next_start: float = 0.0
    ever_ready: bool = False
    trials: Trials = field(default_factory=Trials)
    pending: list[Action] = field(default_factory=list)  # to be carried out with the next actions()

    # ---- states ----

    @property
    def stopping(self) -> bool:
        return self.states.phase is Phase.STOPPING

    @property
    def halted(self) -> bool:
        return self.states.phase is Phase.HALTED

    @property
    def stale(self) -> bool:
        return self.states.is_stale

    @property
    def on_hold(self) -> bool:
        """Nothing is started until the code changes or the predecessor has gone."""
        return self.states.code is Code.REJECTED and self.predecessor_broken is not None

    # ---- what happened ----

    def started(self, number: int, now: float) -> None:
        worker = Worker(number, now, self.code)
        if self.limits.startup > 0:
            worker.kill_at = now + self.limits.startup
        self.workers[number] = worker

    def started_trial(self, number: int, now: float) -> None:
        self.started(number, now)
        self.workers[number].is_trial = True
        self.trials.started()

    def ready(self, number: int, now: float, broken: int = 0, is_better: bool = False) -> None:
        """A worker has loaded its scripts, except for this number of broken ones. A worker that
        could not load all of them waits for an order. is_better: it has loaded a script that other
        workers could not load for requests.
        """
        worker = self.workers[number]
        if worker.state is not State.STARTING:
            return
        if worker.is_trial and not self._succeeds(worker, broken, is_better, now):
            worker.advance(Event.DRAIN)
            worker.reason = RELOAD
            ends.set_limit(worker, self.limits, now, 0)
            self.pending.append(Drain(number, RELOAD))
            self.trials.failed(now)
            return
        if broken > self._bearable():
            worker.advance(Event.DRAIN)
            worker.reason = RELOAD
            ends.set_limit(worker, self.limits, now, 0)
            self.pending.append(Drain(number, RELOAD))
            if worker.code == self.code:  # else newer code is waiting already
                self._reject(number, now)
            return
        worker.advance(Event.READY)
        worker.kill_at = None
        worker.broken = broken
        if broken:
            self.pending.append(Serve(number))
            self.trials.wait(now)
        self.failures = 0
        self.next_start = now
        self.ever_ready = True
        if self.limits.restart_interval > 0:
            worker.restart_at = now + self.limits.restart_interval * (1 - 0.1 * self.jitter())
        if worker.code == self.code:
            self._proved(number, now)
        else:
            self.retire(number, RELOAD, now)

    def _proved(self, number: int, now: float) -> None:
        self.states.advance(Change.LOADED, f"worker {number} has loaded it")
        if self.counted(State.SERVING) >= self.limits.processes:
            self.haste = Haste.NONE  # all have the new code
        older = [w for w in self.workers.values() if w.has_older_code and w.state is State.SERVING]
        for worker in older:
            self.retire(worker.number, RELOAD, now)

    def _bearable(self) -> float:
        """Returns the number of broken scripts that new code may have: as many as what serves.
        Where nothing serves, any number is better than no answer.
        """
        serving = [
            w.broken for w in self.workers.values() if w.state in (State.SERVING, State.RETIRING)
        ]
        if self.predecessor_broken is not None:
            serving.append(self.predecessor_broken)
        return min(serving, default=float("inf"))

    def _reject(self, number: int, now: float) -> None:
        """The new code does not load, while the old code serves: the old code stays."""
        self.states.advance(Change.FAILED, f"worker {number} could not load it")
        self._back_off(now)
        for worker in self.workers.values():
            if worker.state in (State.SERVING, State.RETIRING):
                worker.code = self.code
                worker.has_older_code = True
            if worker.state is State.RETIRING and worker.reason == RELOAD:
                worker.advance(Event.RESUME)
                worker.reason = ""
        self.pending.append(RejectVersion())

    def _back_off(self, now: float) -> None:
        self.next_start = now + BACK_OFF[min(self.failures, len(BACK_OFF) - 1)]
        self.failures += 1

    def exited(self, number: int, now: float) -> None:
        worker = self.workers.pop(number)
        before = worker.state
        worker.advance(Event.EXITED)
        if self.stopping:
            return
        if worker.is_trial:
            self.trials.failed(now)
            return
        if before in (State.SERVING, State.RETIRING) and self.limits.is_service:
            self.next_start = now + 1
        if before is State.STARTING and worker.code == self.code:
            if self.states.code is not Code.PROVEN and self._bearable() < float("inf"):
                self._reject(number, now)
            else:
                self._back_off(now)

    def try_again(self) -> None:
        """A worker could not load a script, which a request needs: see trials.py."""
        self.trials.is_wanted = self.counted(State.SERVING) > 0

    def _trial_at(self) -> float | None:
        """Returns when to start a trial, None when none is wanted or possible."""
        is_busy = self.missing > 0 or self.counted(State.STARTING) > 0
        return (
            None if is_busy or self._is_waiting else self.trials.due_at(self.workers, self.limits)
        )

    def _succeeds(self, worker: Worker, broken: int, is_better: bool, now: float) -> bool:
        """A trial has loaded what it can. Returns True when it takes the place of the others."""
        worker.is_trial = False
        broken_now = [w.broken for w in self.workers.values() if w.state is State.SERVING]
        is_better = is_better or broken < max(broken_now, default=broken + 1)
        if not is_better or worker.code != self.code:  # newer code is waiting already
            return False
        self.trials.succeeded()
        self.reload(now, Haste.URGENT)
        worker.code = self.code
        return True

    def reload(self, now: float, haste: Haste = Haste.NONE) -> None:
        """The code has changed, or an administrator wants it to be loaded again."""
        self.code += 1
        self.haste = haste
        self.states.advance(Change.RELOAD, "it is loaded again")
        self.failures = 0
        self.next_start = now
        for worker in self.workers.values():
            if worker.state is State.SERVING:
                self.retire(worker.number, RELOAD, now)

    def retire(self, number: int, reason: str, now: float) -> None:
        """A serving worker has to be replaced. A service ends first, since it must not run twice."""
        worker = self.workers[number]
        if self.limits.is_service and worker.state is State.SERVING:
            self.drained(number, now, reason)
            self.pending.append(Drain(number, reason))
        elif worker.advance(Event.RETIRE):
            worker.reason = reason
            worker.restart_at = None

    def drained(self, number: int, now: float, reason: str) -> None:
        """A worker drains, by itself or because it was ordered to."""
        worker = self.workers[number]
        if worker.advance(Event.DRAIN):
            worker.reason = reason
            worker.restart_at = None
            grace = 0 if reason == STOP else ends.grace_for(reason, self.limits)
            ends.set_limit(worker, self.limits, now, grace)

    def lost(self, number: int, now: float) -> None:
        """A worker lives and can receive no orders any more. It was sent the signal to end."""
        worker = self.workers[number]
        if worker.advance(Event.DRAIN):
            worker.reason = OTHER
            worker.restart_at = None
        worker.end_at, worker.kill_at = None, now + (self.limits.shutdown or self.limits.graceful)

    def give_up_requests(self, number: int, now: float) -> None:
        """The requests that a draining worker still has are not worth waiting for."""
        ends.give_up_requests(self.workers[number], self.limits, now)

    def kill_with_stacks(self, number: int, now: float) -> None:
        """The worker was sent the signal to die with its stacks. If it lives on, it is killed."""
        ends.kill_after_stacks(self.workers[number], now)

    def predecessor_gone(self, now: float) -> None:
        """No older supervisor and none of its workers serves any more."""
        if self.predecessor_broken is None:
            return
        self.predecessor_broken = None
        if self.counted(State.SERVING, State.RETIRING) == 0:
            self.failures = 0
            self.next_start = now

    def halt(self, now: float) -> None:
        """All workers end, and none is started before reload()."""
        self.states.advance(Change.HALT, "no worker is wanted before a reload")
        self._drain_all(now, self.limits.graceful)

    def stop(self, now: float) -> None:
        self.states.advance(Change.STOP, "the supervisor ends")
        self._drain_all(now, 0)

    def superseded(self, now: float) -> None:
        """Workers of a newer supervisor serve."""
        self.states.advance(Change.STOP, "a newer supervisor's workers serve")
        self._drain_all(now, self.limits.graceful, SUPERSEDED)

    def _drain_all(self, now: float, grace: float, reason: str = STOP) -> None:
        for worker in self.workers.values():
            has_requests = worker.state is not State.STARTING
            if worker.state in (State.STARTING, State.SERVING, State.RETIRING):
                worker.reason = worker.reason or reason
                self.pending.append(Drain(worker.number, worker.reason))
                worker.advance(Event.DRAIN)
                worker.kill_at = worker.restart_at = None
            ends.set_limit(worker, self.limits, now, grace if has_requests else 0)

    # ---- what to do ----

    def counted(self, *states: State) -> int:
        return sum(worker.state in states for worker in self.workers.values())

    @property
    def missing(self) -> int:
        """Returns the number of workers that are wanted beside those that serve or are starting."""
        return self.limits.processes - sum(
            worker.state is State.SERVING
            or (worker.state is State.STARTING and worker.code == self.code and not worker.is_trial)
            for worker in self.workers.values()
        )

    @property
    def _is_waiting(self) -> bool:
        """A service must not run twice, so it waits for the older one's end."""
        older = (
            self.predecessor_broken is not None or self.counted(State.DRAINING, State.ENDING) > 0
        )
        is_running = self.states.phase is Phase.RUNNING
        return not is_running or self.on_hold or (self.limits.is_service and older)

    def _starts(self, now: float) -> int:
        if self._is_waiting or now < self.next_start:
            return 0
        starting = sum(
            worker.state is State.STARTING and not worker.is_trial
            for worker in self.workers.values()
        )
        if self.failures:
            # While workers fail to start, one attempt at a time is enough to notice that the cause
            # has been mended.
            most = 1 - starting
        elif self._others_serve and self.states.code is not Code.PROVEN:
            # So that broken code costs one attempt, and its traceback is logged once
            most = 1 - starting
        elif self.haste is not Haste.NONE:
            most = max(self.limits.starts_at_once, self.limits.processes // 4) - starting
        elif self.counted(State.RETIRING):
            most = max(1, self.limits.processes // 4) - starting
        else:
            most = self.missing
        return max(0, min(self.missing, most))

    @property
    def _others_serve(self) -> bool:
        return self.predecessor_broken is not None or self.counted(State.RETIRING) > 0

    def actions(self, now: float) -> list[Action]:
        for worker in self.workers.values():
            if worker.restart_at is not None and now >= worker.restart_at:
                self.retire(worker.number, RESTART_INTERVAL, now)
        todo, self.pending = self.pending, []
        todo += ends.overdue(self.workers.values(), now)
        todo += self._replaced(now)
        todo += [Start()] * self._starts(now)
        if (trial_at := self._trial_at()) is not None and now >= trial_at:
            todo.append(StartTrial())
        return todo

    def _replaced(self, now: float) -> list[Action]:
        """Drains the workers that may go because enough others serve, the oldest first."""
        surplus = self.counted(State.SERVING, State.RETIRING) - self.limits.processes
        todo: list[Action] = []
        for worker in list(self.workers.values()):
            if worker.state is State.RETIRING and (surplus > 0 or self._is_useless(worker)):
                surplus -= 1
                self.drained(worker.number, now, worker.reason)
                todo.append(Drain(worker.number, worker.reason))
        return todo

    def _is_useless(self, worker: Worker) -> bool:
        """Every request that it takes has to be passed to a worker with the new code."""
        is_useless = self.haste is Haste.USELESS and worker.code != self.code
        return is_useless and self.counted(State.SERVING) > 0

    # ---- what to show ----

    @property
    def failed(self) -> bool:
        """No worker serves, and either the last attempts to start one failed or none is wanted."""
        served = (
            self.predecessor_broken is not None or self.counted(State.SERVING, State.RETIRING) > 0
        )
        return (self.failures > 0 or self.halted) and not served and not self.stopping

    @property
    def can_take_over(self) -> bool:
        """As many workers serve as are wanted, or at least one when others fail to start."""
        serving = self.counted(State.SERVING, State.RETIRING)
        return serving >= self.limits.processes or (serving > 0 and self.failures > 0)

    @property
    def broken(self) -> int:
        return min(
            (w.broken for w in self.workers.values() if w.state in (State.SERVING, State.RETIRING)),
            default=0,
        )

    @property
    def serves_broken(self) -> bool:
        return any(w.broken and w.state is State.SERVING for w in self.workers.values())

    @property
    def done(self) -> bool:
        return self.stopping and not self.workers

    def wake_at(self) -> float | None:
        """Returns the time at which actions() has something to do even when no event comes; None
        when only an event can change anything.
        """
        times = [
            at
            for w in self.workers.values()
            for at in (w.end_at, w.kill_at, w.restart_at)
            if at is not None
        ]
        if self._starts(self.next_start) > 0:
            times.append(self.next_start)
        if (trial_at := self._trial_at()) is not None:
            times.append(trial_at)
        return min(times, default=None)
