"""What the figures of the throughput should be, and whether they surely are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

SURE = 0.93  # how probably the median of all possible rounds lies in the range that is given


@dataclass(frozen=True, slots=True)
class Goal:
    """In one scenario and one mode; None: there is none."""

    of_limit: float | None = None  # at least, of the C handler's rate
    of_peer: float | None = None  # at least, of mod_wsgi's in the same mode
    cpu: float | None = None  # at most, of the C handler's


SMALL = {"embedded": Goal(0.80, 2.0, 1.5), "daemon": Goal(0.60, 3.5, 2.2)}
FILE = {"embedded": Goal(0.95), "daemon": Goal(0.95)}
GOALS: dict[str, dict[str, Goal]] = {
    "hello": SMALL,
    "headers": SMALL,
    "post-1k": SMALL,
    "post-1m": {"daemon": Goal(of_peer=2.0)},
    "post-20m": {"daemon": Goal(of_peer=2.0)},
    "body-100k": {"embedded": Goal(0.95), "daemon": Goal(0.65)},
    "body-10m": {"embedded": Goal(0.90), "daemon": Goal(0.80)},
    "stream": {"embedded": Goal(0.80), "daemon": Goal(0.80)},
    "file-1m": FILE,
    "file-50m": FILE,
    "flask": {"daemon": Goal(of_peer=1.2)},
    "django": {"daemon": Goal(of_peer=1.2)},
}


def span(values: Sequence[float]) -> tuple[float, float]:
    """Where the true median lies with a probability of SURE: rounds are above and below it like
    tosses of a coin, so as many of the lowest and highest are left out as that allows. With less
    than five rounds even all of them are less sure.
    """
    ordered = sorted(values)
    cut, outside = 0, 2 / 2 ** len(ordered)
    while (
        outside := outside + 2 * math.comb(len(ordered), cut + 1) / 2 ** len(ordered)
    ) <= 1 - SURE:
        cut += 1
    return ordered[cut], ordered[-1 - cut]


def verdict(goal: float, values: Sequence[float]) -> str:
    """The median, its range, the goal, and what can be said; a question mark when the range holds
    the goal.
    """
    median, (low, high) = statistics.median(values), span(values)
    word = "reached" if median >= goal else "missed"
    doubt = "?" if low < goal <= high else ""
    return f"{median:.2f} ({low:.2f}-{high:.2f}) of {goal:.2f}: {word}{doubt}"


def rows(scenarios: dict[str, Any]) -> Iterator[list[str]]:
    """Scenario, mode, and what became of each goal."""
    for scenario, modes in GOALS.items():
        found = scenarios.get(scenario, {})
        for mode, goal in modes.items():
            ours, peer = found.get(mode), found.get(f"mod_wsgi-{mode}")
            if not ours:
                continue
            cells = ["", "", ""]
            if goal.of_limit:
                cells[0] = verdict(goal.of_limit, ours["ratios"])
            if goal.of_peer and peer:
                pairs = zip(ours["rates"], peer["rates"], strict=True)
                cells[1] = verdict(goal.of_peer, [one / other for one, other in pairs if other])
            if goal.cpu and ours["cpu_ratio"] is not None:
                word = "reached" if ours["cpu_ratio"] <= goal.cpu else "missed"
                cells[2] = f"{ours['cpu_ratio']:.2f} of {goal.cpu:.2f}: {word}"
            yield [scenario, mode, *cells]
