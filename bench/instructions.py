"""Instructions per request, counted by callgrind: the same for the same binaries whatever else the
machine does.

Each part runs twice under valgrind, with few and with many requests over one connection; the
difference divided by the difference in requests is what one request costs. Apache's side runs as
one process (httpd -X). A daemon's worker is started as usual by its supervisor, in a usual httpd,
but its Python is a script that runs the real one under callgrind.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import contenders
import figures
import report
import scenarios
from scenarios import Scenario
from server import AS_ROOT, HERE, USER, Httpd, Work

FEW, MANY = 100, 600
CALLGRIND = "valgrind -q --tool=callgrind --callgrind-out-file={where}/out.%p"
ONE_PROCESS = (
    "StartServers 1\nServerLimit 1\nThreadsPerChild 5\nMaxRequestWorkers 5\n"
    "MinSpareThreads 1\nMaxSpareThreads 5\n"
)
WORKER = """#!/bin/bash
# The supervisor must find this script as its own interpreter, so that it starts its workers with it.
case " $* " in
*"_boot.py worker "*) exec {callgrind} {python} "$@" ;;
*) exec -a "$0" {python} "$@" ;;
esac
"""


class Counted(Httpd):
    """`reports` has one file for each process under callgrind when it has stopped."""

    patience_s = 120.0

    def instructions(self, scenario: Scenario, requests: int) -> int:
        with self:
            self.ask(scenario, requests, timeout=120)
        reports = list(self.where.glob("out.*"))
        if not reports:
            raise SystemExit(
                f"{self.name}: callgrind has written nothing\n{self.log_text()[-4000:]}"
            )
        return sum(map(total, reports))


class CountedApache(Counted):
    def command(self) -> list[str]:
        # The report is written at the end, which must be by the same user as at the start.
        drop = (
            ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if AS_ROOT else []
        )
        return [
            *drop,
            *CALLGRIND.replace("{where}", str(self.where)).split(),
            *super().command()[:-1],
            "-X",
        ]


class CountedWorker(Counted):
    """One worker with one thread serves all requests. `conf` names {where}/python as python-home."""

    def start(self) -> None:
        binary = self.where / "python" / "bin" / "python"
        binary.parent.mkdir(parents=True)
        callgrind = CALLGRIND.replace("{where}", str(self.where))
        binary.write_text(
            WORKER.replace("{callgrind}", callgrind).replace("{python}", sys.executable)
        )
        binary.chmod(0o755)
        shutil.copy(Path(sys.prefix, "pyvenv.cfg"), self.where / "python")
        super().start()


def total(report: Path) -> int:
    found = re.search(
        r"^(?:summary|totals): (\d+)", report.read_text(errors="replace"), re.MULTILINE
    )
    return int(found[1]) if found else 0


def parts(state: Path, scenario: Scenario, with_peer: bool) -> dict[str, Callable[[Work], Counted]]:
    """What is counted, by name."""

    def apache(name: str, conf: str) -> Callable[[Work], Counted]:
        return lambda work: CountedApache(name, work, conf, ONE_PROCESS)

    def wsgi(module: Path, mode: str) -> str:
        return contenders.wsgi_conf(module, [scenario], mode)

    ours = contenders.OURS
    slow = "startup-timeout=300 shutdown-timeout=120"
    worker = contenders.wsgi_conf(ours, [scenario], "daemon", slow, "{where}/python")
    worker = worker.replace("processes=2 threads=8", "threads=1")
    found = {
        "limit": apache("limit", contenders.limit_conf(state)),
        "embedded": apache("embedded", wsgi(ours, "embedded")),
        "daemon-httpd": apache("daemon-httpd", wsgi(ours, "daemon")),
        "daemon-worker": lambda work: CountedWorker("daemon-worker", work, worker, ONE_PROCESS),
    }
    peer = contenders.install_mod_wsgi(state) if with_peer else None
    if peer:
        found["mod_wsgi-embedded"] = apache("mod_wsgi-embedded", wsgi(peer, "embedded"))
    return found


def per_request(
    make: Callable[[Work], Counted], scenario: Scenario, few: int = FEW, many: int = MANY
) -> int:
    with Work() as work, concurrent.futures.ThreadPoolExecutor(2) as both:
        fewer, more = both.map(
            lambda number: make(work).instructions(scenario, number), (few, many)
        )
    return round((more - fewer) / (many - few))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--state", type=Path, required=True, help="where builds and environments are kept"
    )
    parser.add_argument(
        "--scenario",
        action="append",
        metavar="NAME",
        help="instead of hello and headers; may be repeated",
    )
    parser.add_argument(
        "--part", action="append", metavar="NAME", help="only this one; may be repeated"
    )
    parser.add_argument("--peer", action="store_true", help="count mod_wsgi, too")
    parser.add_argument("--requests", type=int, default=MANY)
    parser.add_argument(
        "--results",
        type=Path,
        default=HERE / "results",
        help="a directory instead of bench/results",
    )
    parser.add_argument(
        "--write-docs", action="store_true", help="count everything, for docs/performance.md"
    )
    options = parser.parse_args()
    os.environ["PYTHONHASHSEED"] = "0"
    usual = ["hello", "headers", "post-1k"] if options.write_docs else ["hello", "headers"]
    counted: dict[str, dict[str, int]] = {}
    for scenario in scenarios.named(options.scenario or usual):
        print(f"{scenario.name}: {scenario.what}")
        counted[scenario.name] = {}
        for name, make in parts(
            options.state, scenario, options.peer or options.write_docs
        ).items():
            if not options.part or name in options.part:
                counted[scenario.name][name] = per_request(make, scenario, FEW, options.requests)
                print(f"  {name:22}{counted[scenario.name][name]:>10}", flush=True)
    report.save(options.results, "instructions", {"scenarios": counted}, "")
    if options.write_docs:
        figures.take(options.results, ["instructions"])


if __name__ == "__main__":
    sys.exit(main())
