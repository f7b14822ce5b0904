"""What a worker goes through, and what the policy wants done about it. Pure.

A worker's states and the events that lead from one to the next are one table.
"""

from __future__ import annotations

import enum

from httpd_wsgi.shared.records import dataclass


class State(enum.Enum):
    STARTING = "starting"
    SERVING = "serving"
    RETIRING = "retiring"  # serves until its replacement does
    DRAINING = "draining"  # accepts no more
    ENDING = "ending"  # its requests had their time; only shutdown functions run
    GONE = "gone"


class Event(enum.Enum):
    READY = "ready"
    RETIRE = "retire"
    KEEP = "keep"
    DRAIN = "drain"
    END = "end"
    EXITED = "exited"


_NEXT = {
    (State.STARTING, Event.READY): State.SERVING,
    (State.STARTING, Event.DRAIN): State.DRAINING,
    (State.STARTING, Event.EXITED): State.GONE,
    (State.SERVING, Event.RETIRE): State.RETIRING,
    (State.SERVING, Event.DRAIN): State.DRAINING,
    (State.SERVING, Event.EXITED): State.GONE,
    (State.RETIRING, Event.KEEP): State.SERVING,
    (State.RETIRING, Event.DRAIN): State.DRAINING,
    (State.RETIRING, Event.EXITED): State.GONE,
    (State.DRAINING, Event.END): State.ENDING,
    (State.DRAINING, Event.EXITED): State.GONE,
    (State.ENDING, Event.EXITED): State.GONE,
}


@dataclass(slots=True)
class Worker:
    number: int
    started: float
    code: int  # version of the code it was started for
    state: State = State.STARTING
    reason: str = ""  # why it is to go
    broken: int = 0  # scripts it could not load
    is_given_up: bool = False
    kept: bool = False  # goes on with older code because the new one does not load
    restart_at: float | None = None
    end_at: float | None = None
    kill_at: float | None = None

    def advance(self, event: Event) -> bool:
        """Events that make no sense in a worker's state (a drained worker that still says ready)
        change nothing.
        """
        after = _NEXT.get((self.state, event))
        if after is None:
            return False
        self.state = after
        return True


@dataclass(frozen=True, slots=True)
class Start:
    """Start one worker and report it with started()."""


@dataclass(frozen=True, slots=True)
class Serve:
    """A worker that could not load everything may serve all the same."""

    number: int


@dataclass(frozen=True, slots=True)
class Drain:
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    number: int
    is_given_up: bool  # what it still has was given up; else it had its time


@dataclass(frozen=True, slots=True)
class Kill:
    number: int
    option: str  # the limit that is over
    with_stacks: bool = False  # so that it can say first where it hangs


@dataclass(frozen=True, slots=True)
class Keep:
    """The new code is no good: all workers go on with what they have."""


Action = Start | Serve | Drain | End | Kill | Keep
