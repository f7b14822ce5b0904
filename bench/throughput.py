"""Contenders side by side: all up at once, loaded in turn round after round; medians of the
per-round ratios to a C handler.
"""

from __future__ import annotations

import dataclasses
import http.client
import statistics
import sys
import time
from collections.abc import Sequence

import contenders
import goals
import peers
import processes
import report
import svg
import syscalls
import wrk
from options import Options
from scenarios import MB, Scenario
from server import HERE, Server, Work, all_running

sys.path.append(str(HERE / "apps"))
Results = dict[str, dict[str, dict[str, object]]]  # by scenario, contender and column
WRONG = "wrong: "  # begins the reason why somebody is left out who should not be
FILES = {"file-1m": MB, "file-50m": 50 * MB}


@dataclasses.dataclass(slots=True)
class Measured:
    """One contender in one scenario."""

    loads: list[wrk.Load] = dataclasses.field(default_factory=list)
    cpu: float = 0.0  # seconds, of all its processes, while it was loaded
    pss_mb: float = 0.0
    # System calls per request by side and name
    calls: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)

    def cpu_per_request(self) -> float:
        return self.cpu / max(1, sum(load.requests for load in self.loads))


def five_milliseconds() -> int:
    """Rounds of cpu.work() that take 5 ms here and now."""
    import cpu

    rounds, best = 20000, float("inf")
    for _ in range(20):
        start = time.process_time()
        cpu.work(rounds)
        best = min(best, time.process_time() - start)
    return round(rounds * 0.005 / best)


def why_not(server: Server, scenario: Scenario) -> str:
    """Nothing when it answers rightly. Who does not is left out; otherwise the rest of a long run
    would be lost.
    """
    if reason := peers.why_not(server.name, scenario.name):
        return reason
    try:
        server.ask(scenario)
    except (SystemExit, OSError, http.client.HTTPException) as exc:
        print(f"{server.name} is left out of {scenario.name}: {exc}", file=sys.stderr)
        return f"{WRONG}{str(exc).splitlines()[0]}" if str(exc) else f"{WRONG}{exc!r}"
    return ""


def measure(
    servers: Sequence[Server], scenario: Scenario, rounds: int, seconds: float, trace: bool
) -> dict[str, Measured]:
    measured = {server.name: Measured() for server in servers}
    for server in servers:
        # Every process and thread has seen a request
        wrk.load(server.url, scenario, min(seconds, 1.0))
    pids = {server.name: server.processes() for server in servers}
    for number in range(rounds):
        # Nobody always comes right after the same one
        for server in servers if number % 2 else reversed(servers):
            before = processes.cpu_seconds(pids[server.name])
            measured[server.name].loads.append(wrk.load(server.url, scenario, seconds))
            measured[server.name].cpu += processes.cpu_seconds(pids[server.name]) - before
    for server in servers:
        measured[server.name].pss_mb = processes.pss_mb(pids[server.name])
        if trace:
            measured[server.name].calls = syscalls.per_request(server, scenario)
    return measured


def summary(of: Measured, limit: Measured) -> dict[str, object]:
    pairs = zip(of.loads, limit.loads, strict=True)
    ratios = [
        round(load.rate / reference.rate, 3) for load, reference in pairs if reference.requests
    ]
    cpu_of_limit = limit.cpu_per_request()
    return {
        "rate": round(statistics.median(load.rate for load in of.loads), 1),
        "rates": [round(load.rate, 1) for load in of.loads],
        "ratio": round(statistics.median(ratios), 3) if ratios else None,
        "ratios": ratios,
        "p50_ms": round(statistics.median(load.p50_ms for load in of.loads), 3),
        "p99_ms": round(statistics.median(load.p99_ms for load in of.loads), 3),
        "cpu_us": round(of.cpu_per_request() * 1e6, 1),
        "cpu_ratio": round(of.cpu_per_request() / cpu_of_limit, 2) if cpu_of_limit else None,
        "pss_mb": round(of.pss_mb, 1),
        "errors": sum(load.errors for load in of.loads),
        "syscalls": {side: round(sum(calls.values()), 1) for side, calls in of.calls.items()},
        "syscall_names": of.calls,
    }


HEAD = (
    "",
    "requests/s",
    "of limit",
    "range",
    "CPU",
    "p50 ms",
    "p99 ms",
    "calls httpd",
    "worker",
    "PSS MB",
    "errors",
)


def row(name: str, values: dict[str, object]) -> list[str]:
    ratios, calls = values["ratios"], values["syscalls"]
    assert isinstance(ratios, list) and isinstance(calls, dict)
    ratio = f"{values['ratio']:.2f}" if ratios else "-"
    spread = "{:.2f}-{:.2f}".format(*goals.span(ratios)) if ratios else "-"
    cpu = f"{values['cpu_ratio']:.2f}" if values["cpu_ratio"] is not None else "-"
    sides = [f"{calls[side]:.1f}" if side in calls else "-" for side in ("apache", "worker")]
    latency = [f"{values['p50_ms']:.2f}", f"{values['p99_ms']:.2f}"]
    last = [f"{values['pss_mb']:.0f}", str(values["errors"] or "-")]
    return [name, f"{values['rate']:.0f}", ratio, spread, cpu, *latency, *sides, *last]


def ratios_of(results: Results) -> dict[str, dict[str, float]]:
    """For the plot: contenders by scenario."""
    return {
        scenario: {
            name: float(str(values["ratio"]))
            for name, values in rows.items()
            if values["ratio"] is not None
        }
        for scenario, rows in results.items()
    }


def load_all(
    options: Options, servers: list[Server], trace_all: bool
) -> tuple[Results, dict[str, dict[str, str]]]:
    """Figures, and reasons of those who have none, by scenario and contender."""
    results: Results = {}
    absent: dict[str, dict[str, str]] = {}
    for scenario in options.scenarios:
        trace = scenario.traced and (trace_all or scenario.name == "hello")
        absent[scenario.name] = {
            server.name: reason for server in servers if (reason := why_not(server, scenario))
        }
        present = [server for server in servers if server.name not in absent[scenario.name]]
        if contenders.LIMIT in absent[scenario.name]:
            continue
        measured = measure(present, scenario, options.rounds, options.seconds, trace)
        limit = measured[contenders.LIMIT]
        results[scenario.name] = {name: summary(of, limit) for name, of in measured.items()}
        print(
            f"\n{scenario.name}: {scenario.what}; {options.rounds} rounds of {options.seconds:g} s"
        )
        print(
            report.table(
                HEAD, [row(name, values) for name, values in results[scenario.name].items()]
            ),
            flush=True,
        )
    return results, {scenario: reasons for scenario, reasons in absent.items() if reasons}


def compare(options: Options, names: Sequence[str], trace_all: bool) -> dict[str, object]:
    paths = [scenario.path for scenario in options.scenarios]
    with Work(
        {name: size for name, size in FILES.items() if f"/{name}" in paths}, five_milliseconds()
    ) as work:
        servers = contenders.make(
            [n for n in names if n in contenders.NAMES], options.state, work, options.scenarios
        )
        servers += peers.make(
            [n for n in names if n in peers.NAMES], options.state, work, HERE / "requirements.txt"
        )
        with all_running(servers):
            results, absent = load_all(options, servers, trace_all)
    return {
        "settings": {"rounds": options.rounds, "seconds": options.seconds},
        "scenarios": results,
        "absent": absent,
    }


def run(options: Options) -> dict[str, object]:
    return compare(options, options.contenders, not options.quick)


def run_peers(options: Options) -> dict[str, object]:
    """Short rounds: there are many."""
    shorter = (
        options
        if options.quick
        else dataclasses.replace(options, rounds=min(5, options.rounds), seconds=0.5)
    )
    chosen = [name for name in peers.NAMES if name in options.peers]
    return compare(shorter, [contenders.LIMIT, "embedded", "daemon", *chosen], False)


def plot(results: dict[str, object]) -> str:
    return svg.bars("Throughput, C handler = 1", ratios_of(results["scenarios"]))  # type: ignore[arg-type]


def failures(results: dict[str, object]) -> list[str]:
    """Who did not answer something, or answered nothing in the time that others had."""
    scenarios: Results = results["scenarios"]  # type: ignore[assignment]
    absent: dict[str, dict[str, str]] = results["absent"]  # type: ignore[assignment]
    wrong = [
        f"{name} in {scenario}"
        for scenario, of in absent.items()
        for name, why in of.items()
        if why.startswith(WRONG)
    ]
    rows = [
        (f"{name} in {scenario}", row)
        for scenario, of in scenarios.items()
        for name, row in of.items()
    ]
    return wrong + [what for what, row in rows if row["errors"] or not row["rate"]]
