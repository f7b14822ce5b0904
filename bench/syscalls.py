"""System calls per request, counted by strace while requests come one by one over one connection."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import processes
from scenarios import Scenario
from server import Server

FEW, MANY = 20, 120


class NotAllowed(Exception):
    """A container without ptrace, say."""


def is_traced(pid: int) -> bool:
    """All its threads, which strace attaches to one after the other."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return all(re.search(r"^TracerPid:\s+[1-9]", state, re.MULTILINE) for state in states)


class Tracer:
    """strace on some processes and all their threads."""

    def __init__(self, pids: list[int]) -> None:
        self.file = tempfile.NamedTemporaryFile()  # noqa: SIM115 - read() closes it
        command = ["strace", "-qq", "-f", "-c", "-o", self.file.name]
        for pid in pids:
            command += ["-p", str(pid)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 10
        while not all(map(is_traced, pids)):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise NotAllowed(f"strace cannot attach to {pids}: {self.process.communicate()[1]}")
            time.sleep(0.01)

    def read(self) -> dict[str, int]:
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=30)
        with self.file:
            return parse(Path(self.file.name).read_text())


def parse(table: str) -> dict[str, int]:
    """Calls by name from strace -c: "% time, seconds, usecs/call, calls, errors (may be missing),
    syscall".
    """
    counts = {}
    for line in table.splitlines():
        fields = line.split()
        if len(fields) in (5, 6) and re.fullmatch(r"[\d.]+", fields[0]) and fields[-1] != "total":
            counts[fields[-1]] = int(fields[3])
    return counts


def count(server: Server, scenario: Scenario, requests: int) -> dict[str, dict[str, int]]:
    pids = server.processes()
    sides = {
        "apache": [pid for pid in pids if processes.is_apache(pid) and pid != server.process.pid],
        "worker": [pid for pid in pids if processes.is_worker(pid)],
    }
    tracers = {side: Tracer(of_side) for side, of_side in sides.items() if of_side}
    try:
        server.ask(scenario, requests)
    finally:
        counted = {side: tracer.read() for side, tracer in tracers.items()}
    return counted


def per_request(server: Server, scenario: Scenario) -> dict[str, dict[str, float]]:
    """By side and name; what happens once per connection or by the clock cancels out. Nothing where
    strace does not work.
    """
    if not shutil.which("strace"):
        return {}
    try:
        few, many = count(server, scenario, FEW), count(server, scenario, MANY)
    except NotAllowed as exc:
        print(f"system calls are not counted: {exc}", file=sys.stderr)
        return {}
    result = {}
    for side, calls in many.items():
        each = {
            name: (number - few[side].get(name, 0)) / (MANY - FEW) for name, number in calls.items()
        }
        result[side] = {name: round(number, 2) for name, number in each.items() if number >= 0.05}
    return result
