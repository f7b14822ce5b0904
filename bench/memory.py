"""Proportional memory (PSS) after load: of all processes, by what they are, and of one Apache
child.
"""

from __future__ import annotations

import contenders
import processes
import report
import wrk
from options import Options
from scenarios import Scenario
from server import Server, Work

HELLO = Scenario("hello", "/hello", "12 bytes")
KINDS = ("parent", "children", "workers", "others")
HEAD = ("", "PSS MB", "parent", "children", "workers", "supervisors", "one child", "private MB")


def kind_of(server: Server, pid: int) -> str:
    if pid == server.process.pid:
        return "parent"
    if processes.is_worker(pid):
        return "workers"
    return "children" if processes.is_apache(pid) else "others"


def measure(server: Server) -> dict[str, float]:
    by_kind: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for pid in server.processes():
        by_kind[kind_of(server, pid)].append(pid)
    found = {kind: round(processes.pss_mb(pids), 1) for kind, pids in by_kind.items()}
    children = by_kind["children"]
    found["all"] = round(processes.pss_mb([pid for pids in by_kind.values() for pid in pids]), 1)
    found["child"] = round(processes.pss_mb(children) / max(1, len(children)), 2)
    # What other servers on the machine share with a child makes its proportional memory smaller,
    # but not this.
    found["child_private"] = round(
        processes.pss_mb(children, "Private_Dirty") / max(1, len(children)), 2
    )
    return found


def run(options: Options) -> dict[str, object]:
    found: dict[str, dict[str, float]] = {}
    with Work() as work:
        for server in contenders.make(options.contenders, options.state, work, [HELLO]):
            with server:
                server.ask(HELLO)
                wrk.load(server.url, HELLO, 0.3 if options.quick else 5.0)
                found[server.name] = measure(server)
    columns = ("all", *KINDS, "child", "child_private")
    print(
        report.table(
            HEAD,
            [
                [name, *(f"{values[column]:.1f}" for column in columns)]
                for name, values in found.items()
            ],
        )
    )
    return {"contenders": found}
