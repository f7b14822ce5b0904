"""Tables of docs/performance.md, made of the figures in docs/performance/*.json, so that page and
measurement cannot differ.

    python bench/figures.py [--check]

A part of the page between <!-- figures: NAME --> and <!-- end --> is replaced by the table of that
name.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
sys.path.append(str(DOCS))

import generated  # noqa: E402
import goals  # noqa: E402

PAGE, FIGURES = DOCS / "performance.md", DOCS / "performance"
MISSING = "Not measured yet."
BLOCK = re.compile(r"(<!-- figures: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
Figures = dict[str, Any]  # of one part, as its JSON


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in ([*head], ["---"] * len(head), *rows)]
    return "\n".join(lines)


def when(figures: Figures) -> str:
    machine = figures["machine"]
    software = f"{machine['httpd']}, CPython {machine['python']}, Linux {machine['kernel']}"
    where = f"{machine['cpus']} processors, load average {machine['load']} at the end"
    return f"Measured {figures['when']}, {where}; {software}."


def number(value: float | None, places: int = 2) -> str:
    return "-" if value is None else f"{value:,.{places}f}"


def by_scenario(figures: Figures, cell: Callable[[dict[str, Any]], str]) -> str:
    scenarios = figures["scenarios"]
    names = list(dict.fromkeys(name for row in scenarios.values() for name in row))
    rows = [
        [scenario, *(cell(row[name]) if name in row else "-" for name in names)]
        for scenario, row in scenarios.items()
    ]
    return table(["", *names], rows) + absent(figures)


def absent(figures: Figures) -> str:
    """Why there is a dash."""
    reasons = figures.get("absent", {})
    lines = [
        f"- {name} in {scenario}: {reason}."
        for scenario, of in reasons.items()
        for name, reason in of.items()
    ]
    return "\n\nWithout a figure:\n\n" + "\n".join(lines) if lines else ""


OVERVIEW = {
    "hello": "12 bytes",
    "headers": "20 request and 10 response headers",
    "post-1k": "POST of 1 KB",
}
OVERVIEW |= {"flask": "Flask, 12 bytes", "django": "Django, 12 bytes"}
COMPARED = ("embedded", "daemon", "mod_wsgi-embedded", "mod_wsgi-daemon")


def overview(figures: Figures, others: Figures) -> str:
    """The two runs have a C handler each."""
    rows = []
    for scenario, what in OVERVIEW.items():
        ours, peer = (
            figures["scenarios"].get(scenario, {}),
            others["scenarios"].get(scenario, {}).get("gunicorn+proxy"),
        )
        cells = [number(ours[name]["ratio"]) if name in ours else "-" for name in COMPARED]
        rows.append([what, *cells, number(peer["ratio"]) if peer else "-"])
    head = [
        "",
        "httpd-wsgi embedded",
        "httpd-wsgi daemon",
        "mod_wsgi embedded",
        "mod_wsgi daemon",
        "gunicorn behind mod_proxy",
    ]
    return table(head, rows)


def reached(figures: Figures) -> str:
    return table(
        ["", "", "rate, of the C handler's", "rate, of mod_wsgi's", "processor time"],
        goals.rows(figures["scenarios"]),
    )


def said(what: str, misses: Iterable[str]) -> str:
    """Below a table: the goal, and what misses it."""
    found = "; ".join(misses)
    return f"\n\nGoal: {what}. " + (f"Missed: {found}." if found else "Reached.")


def throughput(figures: Figures) -> str:
    return by_scenario(figures, lambda of: number(of["ratio"]))


def rates(figures: Figures) -> str:
    return by_scenario(figures, lambda of: number(of["rate"], 0 if of["rate"] >= 100 else 1))


def cpu(figures: Figures) -> str:
    return by_scenario(figures, lambda of: number(of["cpu_ratio"]))


def syscalls(figures: Figures) -> str:
    traced = {
        name: row
        for name, row in figures["scenarios"].items()
        if any(of["syscalls"] for of in row.values())
    }
    if not traced:
        return MISSING
    first_row = next(iter(traced.values()))
    sides = [
        (name, side)
        for name, of in first_row.items()
        for side in ("apache", "worker")
        if side in of["syscalls"]
    ]
    rows = [
        [
            f"{name}, {side}",
            *(number(row[name]["syscalls"].get(side), 1) for row in traced.values()),
        ]
        for name, side in sides
    ]
    return table(["", *traced], rows)


def peers(figures: Figures) -> str:
    scenarios = figures["scenarios"]
    names = dict.fromkeys(name for row in scenarios.values() for name in row)
    cells = {
        name: [number(row[name]["ratio"]) if name in row else "-" for row in scenarios.values()]
        for name in names
    }
    misses = [
        f"{mode} in {scenario} ({number(row[mode]['ratio'])}; {name} {number(row[name]['ratio'])})"
        for scenario, row in scenarios.items()
        for mode in ("embedded", "daemon")
        for name in row
        if (name.endswith("+proxy") or (mode == "embedded" and name in ("gunicorn", "uwsgi")))
        and row[name]["ratio"] > row[mode]["ratio"]
    ]
    goal = "both modes ahead of everything behind mod_proxy, embedded mode of gunicorn and uWSGI standalone, too"
    return (
        table(["", *scenarios], [[name, *of] for name, of in cells.items()])
        + said(goal, misses)
        + absent(figures)
    )


def latency(figures: Figures) -> str:
    found = figures["contenders"]
    counts = list(next(iter(found.values())))
    head = ["p99 ms (median)", *(f"{count} connections" for count in counts)]
    rows = [
        [name, *(f"{of[count]['p99_ms']:.2f} ({of[count]['p50_ms']:.2f})" for count in counts)]
        for name, of in found.items()
    ]
    offered = {name.rpartition("-")[2]: of for name, of in found.items()}
    rows += [
        [f"requests/s, {mode}", *(number(of[count]["rate"], 0) for count in counts)]
        for mode, of in offered.items()
    ]
    misses = [
        f"{mode} with {count} ({found[mode][count]['p99_ms']:.2f} and {peer[count]['p99_ms']:.2f} ms)"
        for mode in ("embedded", "daemon")
        if mode in found and (peer := found.get(f"mod_wsgi-{mode}"))
        for count in counts
        if found[mode][count]["p99_ms"] > peer[count]["p99_ms"]
    ]
    return table(head, rows) + said("a 99th percentile no higher than mod_wsgi's", misses)


def crowds(figures: Figures) -> str:
    found = figures["contenders"]
    kinds = next(iter(found.values()))
    head = ["change of throughput", *(f"{crowd['count']} {kind}" for kind, crowd in kinds.items())]
    rows = [
        [name, *(f"{of[kind]['change'] * 100:+.1f} %" for kind in kinds)]
        for name, of in found.items()
    ]
    ours = [(mode, kind) for mode in ("embedded", "daemon") if mode in found for kind in kinds]
    misses = [
        f"{mode} beside {kind} clients"
        for mode, kind in ours
        if found[mode][kind]["change"] <= -0.05
    ]
    return table(head, rows) + said("a loss below 5 %", misses)


def interpreters(figures: Figures) -> str:
    layouts = figures["layouts"]
    if not layouts:
        return MISSING
    rows = [
        [name, number(of["rate"], 0), number(of["ratio"]), number(of["p99_ms"], 1)]
        for name, of in layouts.items()
    ]
    share = layouts["own GIL"]["ratio"]
    misses = [number(share)] if share < 0.9 else []
    head = [f"CPython {figures['version']}", "requests/s", "of two processes", "p99 ms"]
    return table(head, rows) + said("0.90 of two processes", misses)


def memory(figures: Figures) -> str:
    columns = ("all", "parent", "children", "workers", "others", "child", "child_private")
    head = [
        "PSS, MB",
        "all",
        "parent",
        "children",
        "workers",
        "supervisor",
        "one child",
        "one child, private",
    ]
    found = figures["contenders"]
    rows = [[name, *(number(of[column], 1) for column in columns)] for name, of in found.items()]
    pairs = [
        (mode, f"mod_wsgi-{mode}")
        for mode in ("embedded", "daemon")
        if mode in found and f"mod_wsgi-{mode}" in found
    ]
    misses = [
        f"{mode} ({number(found[mode]['all'], 1)} MB)"
        for mode, peer in pairs
        if found[mode]["all"] >= found[peer]["all"]
    ]
    if (grown := found["daemon"]["child_private"] - found["limit"]["child_private"]) >= 1:
        misses.append(f"a child grows by {number(grown, 1)} MB")
    goal = "less than mod_wsgi in the same mode, and below 1 MB more in a child of daemon mode than with the C handler"
    return table(head, rows) + said(goal, misses)


def first(figures: Figures) -> str:
    columns = [
        (moment, which)
        for moment in ("after start", "after touch")
        for which in ("first_ms", "second_ms")
    ]
    rows = [
        [name, *(number(of[moment][which], 1) for moment, which in columns)]
        for name, of in figures["contenders"].items()
    ]
    return table(["ms", "after the start", "second", "after a touch", "second"], rows)


def reload(figures: Figures) -> str:
    rows = []
    for event in ("touch", "graceful"):
        for name, of in figures["contenders"].items():
            seen = of[event]
            values = (seen["requests"], seen["failed"], seen["long"])
            rows.append(
                [
                    event,
                    name,
                    *map(str, values),
                    number(seen["longest_ms"], 0),
                    number(seen.get("static_longest_ms"), 0),
                ]
            )
            rows[-1].append(str(seen["first_new_s"] or "-"))
    head = [
        "",
        "",
        "requests",
        "failed",
        "longer than 100 ms",
        "longest ms",
        "static file, longest ms",
        "new code after s",
    ]
    return table(head, rows)


def scale(figures: Figures) -> str:
    rows = []
    for mode, found in figures["modes"].items():
        for name, steps in found.items():
            for step in steps:
                once = (
                    [number(step["start_s"]), number(step["pss_mb"], 0)]
                    if step["pss_mb"]
                    else ["", ""]
                )
                rows.append(
                    [f"{name}, {mode}", f"{step['x']:,}", number(step["us_per_request"], 0), *once]
                )
    return table(["", "", "us per request", "start s", "PSS MB"], rows)


def instructions(figures: Figures) -> str:
    counted = figures["scenarios"]
    names = dict.fromkeys(name for of in counted.values() for name in of)
    return table(
        ["", *counted],
        [[name, *(number(of.get(name), 0) for of in counted.values())] for name in names],
    )


# By the name in the page: which parts' figures, and what makes the table.
TABLES: dict[str, tuple[tuple[str, ...], Callable[..., str]]] = {
    "when": (("throughput",), when),
    "overview": (("throughput", "peers"), overview),
    "goals": (("throughput",), reached),
    "throughput": (("throughput",), throughput),
    "rates": (("throughput",), rates),
    "cpu": (("throughput",), cpu),
    "syscalls": (("throughput",), syscalls),
    "peers": (("peers",), peers),
    "latency": (("latency",), latency),
    "crowds": (("crowds",), crowds),
    "interpreters": (("interpreters",), interpreters),
    "memory": (("memory",), memory),
    "first": (("reload",), first),
    "reload": (("reload",), reload),
    "scale": (("scale",), scale),
    "instructions": (("instructions",), instructions),
}


def filled(page: str, directory: Path) -> str:
    """The page with tables made of the figures in this directory."""

    def block(found: re.Match[str]) -> str:
        parts, make = TABLES[found[2]]
        paths = [directory / f"{part}.json" for part in parts]
        text = (
            make(*(json.loads(path.read_text()) for path in paths))
            if all(path.exists() for path in paths)
            else MISSING
        )
        if found[2] == parts[0] and paths[0].with_suffix(".svg").exists():
            text += f"\n\n![{parts[0]}](performance/{parts[0]}.svg)"
        return f"{found[1]}\n{text}\n\n{found[3]}"

    return BLOCK.sub(block, page)


def take(results: Path, parts: Iterable[str]) -> None:
    """These parts' figures and plots become those of the page."""
    FIGURES.mkdir(exist_ok=True)
    for part in parts:
        for path in (results / f"{part}.json", results / f"{part}.svg"):
            if path.exists():
                shutil.copy(path, FIGURES)
    PAGE.write_text(filled(PAGE.read_text(), FIGURES))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only say whether the page is what the figures make of it",
    )
    args = ["--check"] if parser.parse_args().check else []
    return generated.write(
        "bench/figures.py", PAGE, lambda: filled(PAGE.read_text(), FIGURES), args
    )


if __name__ == "__main__":
    sys.exit(main())
