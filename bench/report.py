"""Where results go: tables on the terminal, JSON and plots in bench/results."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from server import HTTPD


def machine() -> dict[str, object]:
    """What figures depend on."""
    version = subprocess.run(
        [HTTPD, "-v"], check=True, capture_output=True, text=True
    ).stdout.splitlines()[0]
    return {
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "httpd": version.partition(": ")[2],
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        line[0].ljust(widths[0])
        + "".join(cell.rjust(width + 2) for cell, width in zip(line[1:], widths[1:], strict=True))
        for line in lines
    )


def save(directory: Path, name: str, results: dict[str, object], plot: str) -> Path:
    """Returns the JSON file; the plot lies beside it. An earlier run's are overwritten."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    when = f"{datetime.datetime.now():%Y-%m-%d %H:%M}"
    path.write_text(json.dumps({"when": when, "machine": machine(), **results}, indent=1) + "\n")
    if plot:
        path.with_suffix(".svg").write_text(plot)
    return path
