"""What C, Python and the documentation of the status each have a copy of."""

from __future__ import annotations

import re
from pathlib import Path

from httpd_wsgi.shared import board, reasons
from httpd_wsgi.supervisor.process import end_reason

REPOSITORY = Path(__file__).parents[2]


def read(name: str) -> str:
    return (REPOSITORY / name).read_text()


def test_the_metrics_in_the_documentation_are_those_of_the_code() -> None:
    row = r'^    \{"(wsgi_\w+)",\s+"(\w+)",\s+(?:NULL|"\w+"),\s+((?:"[^"\n]*"\s*)+),\s+\w+\},$'
    rows = [
        (name, kind, re.sub(r'"\s*"', "", text).strip().strip('"'))
        for name, kind, text in re.findall(
            row, read("apache/status/status_metrics.c"), re.MULTILINE
        )
    ]
    written = [(name + "_total" * (kind == "counter"), kind, text) for name, kind, text in rows]
    documented = re.findall(
        r"^\| `(wsgi_\w+)` \| (\w+) \| (.*?) \|", read("docs/status.md"), re.MULTILINE
    )
    assert len(rows) > 20 and sorted(documented) == sorted(written)


def test_the_bounds_in_the_documentation_are_those_of_the_code() -> None:
    found = re.search(r"WIRE_BOUNDS_US[\s\\]*\{([^}]*)\}", read("src/wire/counters.h"))
    assert found
    bounds = [int(bound) for bound in re.findall(r"\d+", found[1])]

    def listed(least: int, most: int, unit: str) -> str:
        *names, last = [f"{bound // least}" for bound in bounds if least <= bound < most]
        return f"{', '.join(names)} and {last} {unit}"

    text = f"{listed(1, 1000, 'µs')}, {listed(1000, 10**6, 'ms')}, and {listed(10**6, 10**9, 's')}"
    assert text in read("docs/status.md").replace("\n", " ")
    assert f"#define WIRE_BUCKETS {len(bounds) + 1}\n" in read("src/wire/counters.h")


def test_the_supervisor_counts_where_apache_reads() -> None:
    header = read("src/wire/group.h")
    assert tuple(re.findall(r"X\((?!reason\))(\w+)\)", header)) == reasons.ALL
    assert int(re.findall(r"#define WIRE_BOARD_BANKS (\d+)", header)[0]) == board.BANKS


def test_each_end_of_a_worker_has_its_reason() -> None:
    segfault, failed = 11, 1 << 8
    assert (
        end_reason(segfault, "", False) == "crashed" and end_reason(failed, "", False) == "exited"
    )
    assert end_reason(segfault, "", True) == end_reason(0, "", True) == "failed_to_start"
    assert end_reason(segfault, "deadlock_timeout", False) == "deadlock_timeout"
