"""The states of a worker, and the actions that the policy wants carried out. Pure.

The states and the events that lead from one to the next are one table.
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
    RESUME = "resume"
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
    (State.RETIRING, Event.RESUME): State.SERVING,
    (State.RETIRING, Event.DRAIN): State.DRAINING,
    (State.RETIRING, Event.EXITED): State.GONE,
    (State.DRAINING, Event.END): State.ENDING,
    (State.DRAINING, Event.EXITED): State.GONE,
    (State.ENDING, Event.EXITED): State.GONE,
}


class Haste(enum.IntEnum):
    """How soon the workers with older code have to go."""

    NONE = 0  # when others can take their place
    URGENT = 1  # some requests cannot be answered by older code
    USELESS = 2  # no request can be answered by older code


@dataclass(slots=True)
class Worker:
    number: int
    started: float
    code: int  # number of the code that it was started for
    state: State = State.STARTING
    reason: str = ""  # why it has to end
    broken: int = 0  # number of scripts that it could not load
    is_given_up: bool = False
    is_trial: bool = False  # serves only when it can load more than the workers that serve
    has_older_code: bool = False  # goes on serving it because the new code does not load
    restart_at: float | None = None
    end_at: float | None = None
    kill_at: float | None = None

    def advance(self, event: Event) -> bool:
        """Changes the state. Returns False, and changes nothing, when the event makes no sense in
        this state (a worker that drains already reports that it is ready).
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
class StartTrial:
    """Start one worker and report it with started_trial()."""


@dataclass(frozen=True, slots=True)
class Serve:
    """A worker that could not load everything may serve nevertheless."""

    number: int


@dataclass(frozen=True, slots=True)
class Drain:
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    number: int
    is_given_up: bool  # its requests were given up; else graceful-timeout is over


@dataclass(frozen=True, slots=True)
class Kill:
    number: int
    option: str  # the limit that is over
    with_stacks: bool = False  # by a signal that lets it write its stacks first


@dataclass(frozen=True, slots=True)
class RejectVersion:
    """The new code does not load: all workers go on serving what they have loaded."""


Action = Start | StartTrial | Serve | Drain | End | Kill | RejectVersion
