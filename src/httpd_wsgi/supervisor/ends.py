"""How long workers that have to end may take: the times at which they are ordered to end, and are
killed. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from httpd_wsgi.shared.reasons import EVICTION
from httpd_wsgi.supervisor.lifecycle import Action, End, Event, Kill, State, Worker
from httpd_wsgi.supervisor.limits import Limits

STACKS_TIME = 1.0  # seconds for writing stacks


def grace_for(reason: str, limits: Limits) -> float:
    has_own = reason == EVICTION and limits.eviction > 0
    return limits.eviction if has_own else limits.graceful


def set_limit(worker: Worker, limits: Limits, now: float, grace: float) -> None:
    """Sets the times at which the worker is ordered to end and is killed, or makes them sooner."""
    end_at = now + grace if grace > 0 else None
    kill_at = now + grace + limits.shutdown if limits.shutdown > 0 else None
    if worker.kill_at is None or (kill_at is not None and kill_at < worker.kill_at):
        worker.end_at, worker.kill_at = end_at, kill_at


def give_up_requests(worker: Worker, limits: Limits, now: float) -> None:
    if worker.state is State.DRAINING and worker.end_at is not None:
        worker.is_given_up = True
        worker.end_at = now
        worker.kill_at = now + (limits.shutdown or limits.graceful)


def kill_after_stacks(worker: Worker, now: float) -> None:
    worker.kill_at = min(now + STACKS_TIME, worker.kill_at or now + STACKS_TIME)


def overdue(workers: Iterable[Worker], now: float) -> list[Action]:
    todo: list[Action] = []
    for worker in workers:
        if worker.end_at is not None and now >= worker.end_at:
            worker.end_at = None
            worker.advance(Event.END)
            todo.append(End(worker.number, worker.is_given_up))
        if worker.kill_at is not None and now >= worker.kill_at:
            todo.append(kill(worker, now))
    return todo


def kill(worker: Worker, now: float) -> Kill:
    if worker.state is not State.STARTING:
        worker.kill_at = None
        return Kill(worker.number, "shutdown-timeout")
    with_stacks, worker.is_given_up = not worker.is_given_up, True
    worker.kill_at = now + STACKS_TIME if with_stacks else None
    return Kill(worker.number, "startup-timeout", with_stacks)
