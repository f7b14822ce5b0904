"""Runs the parts of the bench one after the other; each leaves its figures as JSON, and a plot
where one says more.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import contenders
import crowds
import figures
import interpreters
import latency
import memory
import peers
import reload
import report
import scale
import scenarios
import throughput
from options import Options
from server import HERE


@dataclass(frozen=True, slots=True)
class Part:
    what: str
    run: Callable[[Options], dict[str, object]]
    plot: Callable[[dict[str, object]], str] = lambda results: ""


PARTS = {
    "throughput": Part("requests per second, CPU, system calls", throughput.run, throughput.plot),
    "latency": Part("99th percentile at a constant rate", latency.run, latency.plot),
    "crowds": Part("fast clients beside idle and slow ones", crowds.run),
    "interpreters": Part(
        "one process with two own-GIL interpreters against two processes", interpreters.run
    ),
    "memory": Part("memory after load", memory.run),
    "reload": Part("first requests; stalls while code is replaced", reload.run),
    "scale": Part("cost by numbers and sizes", scale.run, scale.plot),
    "peers": Part("other servers", throughput.run_peers, throughput.plot),
}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--state", type=Path, required=True, help="where builds and environments are kept"
    )
    parser.add_argument(
        "--part",
        action="append",
        metavar="NAME",
        help=f"only this one, of {', '.join(PARTS)}; may be repeated",
    )
    parser.add_argument(
        "--scenario",
        action="append",
        metavar="NAME",
        help="only this one of throughput; may be repeated",
    )
    parser.add_argument(
        "--contender",
        action="append",
        metavar="NAME",
        help="only this one and the C handler; may be repeated",
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help=f"also {', '.join(peers.KINDS)}, standalone and behind mod_proxy",
    )
    parser.add_argument(
        "--quick", action="store_true", help="below a minute: less of everything, for a first look"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of one round of one contender")
    parser.add_argument(
        "--results",
        type=Path,
        default=HERE / "results",
        help="a directory instead of bench/results",
    )
    parser.add_argument(
        "--write-docs",
        action="store_true",
        help="these figures become those of docs/performance.md",
    )
    options = parser.parse_args(argv)
    usual = ["throughput"] if options.scenario else [name for name in PARTS if name != "peers"]
    options.part = options.part or [*usual, *(["peers"] if options.peers else [])]
    if unknown := set(options.part) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    known = (*contenders.NAMES, *peers.NAMES)
    if unknown := set(options.contender or ()) - set(known):
        parser.error(f"no contender {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return options


def settings(options: argparse.Namespace) -> Options:
    usual = [
        scenario.name for scenario in scenarios.SCENARIOS if scenario.quick or not options.quick
    ]
    return Options(
        options.state,
        options.quick,
        options.rounds or (2 if options.quick else 9),
        options.seconds or (0.2 if options.quick else 0.6),
        scenarios.named(options.scenario or usual),
        [
            name
            for name in contenders.NAMES
            if name == contenders.LIMIT or name in (options.contender or contenders.NAMES)
        ],
        [name for name in peers.NAMES if name in (options.contender or peers.NAMES)],
    )


def main() -> int:
    options = parse()
    chosen = settings(options)
    failed: list[str] = []
    for name in options.part:
        part = PARTS[name]
        print(f"\n== {name}: {part.what}", flush=True)
        try:
            results = part.run(chosen)
        except (SystemExit, OSError, subprocess.SubprocessError) as exc:
            # The other parts are worth having
            print(f"{name}: {exc}", file=sys.stderr)
            failed.append(name)
            continue
        print("\n" + str(report.save(options.results, name, results, part.plot(results))))
        if "scenarios" in results:
            failed += throughput.failures(results)
        if options.write_docs:
            figures.take(options.results, [name])  # at once: a later part may be interrupted
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    # Servers are stopped, whatever ends the bench
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
