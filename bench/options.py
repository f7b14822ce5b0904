"""What the command line says, for all parts of the bench."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Options:
    state: Path  # where builds and environments are kept
    quick: bool
    rounds: int
    seconds: float  # of one round of one contender
    scenarios: list[Scenario]
    contenders: list[str]  # the C handler, ours and mod_wsgi
    peers: list[str]

    def modes(self) -> list[str]:
        """Without the C handler."""
        return self.contenders[1:]
