"""The processes of a contender, known by a mark in their environment: what they use of CPU and
memory.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

MARK = "HTTPD_WSGI_BENCH"
WORKER_TITLE = "bench-worker"  # display-name of the daemon groups
TICKS = os.sysconf("SC_CLK_TCK")


def marked(mark: str) -> list[int]:
    needle = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if needle in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(WORKER_TITLE.encode())
    return False


def is_apache(pid: int) -> bool:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
        return os.path.basename(command) in (b"apache2", b"httpd")
    return False


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes that are alive."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def pss_mb(pids: list[int], field: str = "Pss") -> float:
    """Proportional set size: pages that n processes share count for one n-th in each. Or another
    field of smaps_rollup.
    """
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(f"{field}:"):
                    total += int(line.split()[1])
    return total / 1024
