"""The states of a group and of its code. Pure.

Both change in one place, advance(), by two tables of states and the changes that lead from one to
the next.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from httpd_wsgi.shared.records import dataclass


class Phase(enum.Enum):
    """What a group's supervisor is there for."""

    RUNNING = "running"
    HALTED = "halted"  # no worker is wanted until a reload
    STOPPING = "stopping"


class Code(enum.Enum):
    """What is known about the code on disk."""

    NEW = "new"  # no worker has tried to load it
    PROVEN = "proven"  # a worker has loaded it
    REJECTED = "rejected"  # a worker could not load it, and older code serves
    RETRIED = "retried"  # as NEW, and the version before it was rejected


class Change(enum.Enum):
    """What happens to a group or its code."""

    RELOAD = "reload"
    HALT = "halt"
    STOP = "stop"
    LOADED = "loaded"
    FAILED = "failed"


_NEXT_PHASE = {
    (Phase.RUNNING, Change.HALT): Phase.HALTED,
    (Phase.RUNNING, Change.STOP): Phase.STOPPING,
    (Phase.HALTED, Change.RELOAD): Phase.RUNNING,
    (Phase.HALTED, Change.STOP): Phase.STOPPING,
}
_NEXT_CODE = {
    (Code.NEW, Change.LOADED): Code.PROVEN,
    (Code.NEW, Change.FAILED): Code.REJECTED,
    (Code.PROVEN, Change.FAILED): Code.REJECTED,
    (Code.PROVEN, Change.RELOAD): Code.NEW,
    (Code.REJECTED, Change.LOADED): Code.PROVEN,
    (Code.REJECTED, Change.RELOAD): Code.RETRIED,
    (Code.RETRIED, Change.LOADED): Code.PROVEN,
    (Code.RETRIED, Change.FAILED): Code.REJECTED,
}


@dataclass(slots=True)
class States:
    log: Callable[[str], None] = lambda text: None  # receives each transition
    phase: Phase = Phase.RUNNING
    code: Code = Code.NEW

    def advance(self, change: Change, why: str) -> None:
        """A change that means nothing in the present state is ignored."""
        phase = _NEXT_PHASE.get((self.phase, change), self.phase)
        code = _NEXT_CODE.get((self.code, change), self.code)
        if phase is not self.phase:
            self.log(f"{self.phase.value} -> {phase.value}: {why}")
        if code is not self.code:
            self.log(f"code: {self.code.value} -> {code.value}: {why}")
        self.phase, self.code = phase, code

    @property
    def is_stale(self) -> bool:
        """Newer code could not be loaded, and no later version has been loaded since."""
        return self.code in (Code.REJECTED, Code.RETRIED)
