"""5 ms of Python per request: two own-GIL interpreters in one process against two processes, and
two interpreters of one lock.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import subprocess
import sys
from pathlib import Path

import contenders
import report
import throughput
import wrk
from options import Options
from scenarios import Scenario
from server import HERE, Httpd, Work, all_running

CPU = Scenario("cpu-5ms", "/one", "5 ms of Python, of two applications in turn", alternate="/two")
HEAD = ("", "requests/s", "of two processes", "p99 ms")
# Two applications in both, so that what differs is only where they run. The process with one lock
# shows what the lock costs.
OWN = "<WSGIInterpreterOptions process-group=d>\nWSGIPerInterpreterGIL On\n</WSGIInterpreterOptions>\n"
LAYOUTS = {
    "two processes": ("processes=2 threads=8", ""),
    "own GIL": ("threads=16", OWN),
    "one GIL": ("threads=16", ""),
}


def newest() -> tuple[str, Path] | None:
    """A Python that has own-GIL interpreters: its version, and an environment of it with the
    package as it is in this clone.
    """
    sys.path.append(str(HERE.parent / "tests"))
    import pythons

    best: tuple[tuple[int, ...], str, Path] | None = None
    for name, python in pythons.find_pythons().items():
        text = subprocess.run(
            [python, "-c", "import platform; print(platform.python_version())"],
            capture_output=True,
            text=True,
        )
        version = tuple(int(number) for number in text.stdout.strip().split(".")[:2])
        if version >= (3, 12) and (best is None or version > best[0]):
            best = version, name, python
    if not best:
        return None
    home = pythons.environment_or_reason(best[1], pythons.readable(best[1], best[2]))
    return (".".join(map(str, best[0])), home) if isinstance(home, Path) else None


def conf(home: Path, processes: str, more: str) -> str:
    mounts = [
        f"WSGIScriptAlias /{name} {{apps}}/cpu.py process-group=d application-group={name}"
        for name in ("one", "two")
    ]
    group = f"WSGISocketPrefix {{where}}/wsgi\nWSGIDaemonProcess d {processes} python-home={home}\n"
    return "\n".join([f"LoadModule wsgi_module {contenders.OURS}", group + more, *mounts])


def run(options: Options) -> dict[str, object]:
    os.environ["HTTPD_WSGI_STATE"] = str(options.state)
    python = newest()
    if not python:
        print("no Python 3.12 or newer with httpd-wsgi: left out", file=sys.stderr)
        return {"layouts": {}}
    loads: dict[str, list[wrk.Load]] = {name: [] for name in LAYOUTS}
    with Work(rounds=throughput.five_milliseconds()) as work:
        servers = {
            name: Httpd(name, work, conf(python[1], *layout)) for name, layout in LAYOUTS.items()
        }
        with all_running(servers.values()):
            for server in servers.values():
                for path in (CPU.path, CPU.alternate):  # both applications are loaded
                    server.ask(dataclasses.replace(CPU, path=path))
            for _ in range(options.rounds):
                for name, server in servers.items():
                    loads[name].append(wrk.load(server.url, CPU, max(0.5, 2 * options.seconds)))
    found = {name: summary(of, loads["two processes"]) for name, of in loads.items()}
    print(f"CPython {python[0]}")
    rows = [
        [name, f"{of['rate']:.0f}", f"{of['ratio']:.2f}", f"{of['p99_ms']:.1f}"]
        for name, of in found.items()
    ]
    print(report.table(HEAD, rows))
    return {"version": python[0], "layouts": found}


def summary(of: list[wrk.Load], reference: list[wrk.Load]) -> dict[str, float]:
    ratios = [
        one.rate / other.rate for one, other in zip(of, reference, strict=True) if other.requests
    ]
    return {
        "rate": round(statistics.median(load.rate for load in of), 1),
        "ratio": round(statistics.median(ratios), 3) if ratios else 0.0,
        "p99_ms": round(statistics.median(load.p99_ms for load in of), 2),
    }
