"""Latency at a rate that is the same for all: 70 % of what mod_wsgi in the same mode answers at
most. pace.c asks.
"""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import contenders
import report
import svg
import wrk
from options import Options
from scenarios import Scenario
from server import CROWD_LIMITS, HERE, Server, Work, all_running

CONNECTIONS = (1, 16, 128, 1000)
SHARE = 0.7
SLOWEST = 20.0  # requests per second, however little a busy machine answers
HELLO = Scenario("hello", "/hello", "12 bytes")
HEAD = ("", "connections", "rate", "p50 ms", "p90 ms", "p99 ms", "longest ms", "failed")


def build_pace(state: Path) -> Path:
    target, source = state / "bench" / "pace", HERE / "pace.c"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-o", target, source], check=True)
    return target


def paced(
    pace: Path, server: Server, connections: int, rate: float, seconds: float
) -> dict[str, object]:
    command = [pace, str(server.port), HELLO.path, str(connections), f"{rate:.1f}", str(seconds)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    requests, failed, p50, p90, p99, longest = map(int, output.split())
    values = {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "longest_ms": longest}
    return {
        "rate": round(rate),
        "requests": requests,
        "failed": failed,
        **{name: us / 1000 for name, us in values.items()},
    }


def capacity(servers: list[Server], mode: str, connections: int, seconds: float) -> float:
    """Of mod_wsgi in this mode; without it, of ours."""
    reference = next((server for server in servers if server.name == f"mod_wsgi-{mode}"), None)
    server = reference or next(server for server in servers if server.name == mode)
    return wrk.load(server.url, dataclasses.replace(HELLO, connections=connections), seconds).rate


def run(options: Options) -> dict[str, object]:
    pace = build_pace(options.state)
    found: dict[str, dict[str, dict[str, object]]] = {}
    seconds = 0.5 if options.quick else 4.0
    with Work() as work:
        servers = contenders.make(options.modes(), options.state, work, [HELLO], CROWD_LIMITS)
        with all_running(servers):
            for server in servers:
                wrk.load(server.url, HELLO, 0.5)
            for mode in dict.fromkeys(server.name.rpartition("-")[2] for server in servers):
                for connections in CONNECTIONS[1:2] if options.quick else CONNECTIONS:
                    rate = max(
                        SLOWEST, SHARE * capacity(servers, mode, connections, min(2.0, seconds))
                    )
                    for server in servers:
                        if server.name.rpartition("-")[2] == mode:
                            found.setdefault(server.name, {})[str(connections)] = paced(
                                pace, server, connections, rate, seconds
                            )
    rows = [
        [name, count, *row(values)] for name, of in found.items() for count, values in of.items()
    ]
    print(report.table(HEAD, rows))
    return {"share": SHARE, "seconds": seconds, "contenders": found}


def row(values: dict[str, object]) -> list[str]:
    return [
        str(values[column])
        for column in ("rate", "p50_ms", "p90_ms", "p99_ms", "longest_ms", "failed")
    ]


def plot(results: dict[str, object]) -> str:
    found: dict[str, dict[str, dict[str, float]]] = results["contenders"]  # type: ignore[assignment]
    curves = {
        name: [(float(n), values["p99_ms"]) for n, values in of.items()]
        for name, of in found.items()
    }
    return svg.lines(
        "99th percentile of the latency at 70 % of mod_wsgi's capacity", curves, "connections", "ms"
    )
