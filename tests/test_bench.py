"""The bench works, and a request costs no more than it did. No time is asserted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from harness import SANITIZED

BENCH = Path(__file__).parent.parent / "bench"
STATE = os.environ.get("HTTPD_WSGI_STATE", "")

pytestmark = [
    pytest.mark.skipif(SANITIZED, reason="sanitizers change what is measured"),
    pytest.mark.skipif(not STATE, reason="make test says where builds are kept"),
]


def bench(program: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCH / program), "--state", STATE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"no {program}")


def quick(tmp_path: Path, part: str, *arguments: str) -> dict[str, Any]:
    """The figures of one part."""
    bench(
        "run.py",
        "--quick",
        f"--part={part}",
        f"--results={tmp_path}",
        "--seconds=1",
        "--rounds=1",
        *arguments,
    )
    result = json.loads((tmp_path / f"{part}.json").read_text())
    assert result["machine"]["httpd"]
    return result


OURS = [f"--contender={name}" for name in ("embedded", "daemon")]


@needs("wrk")
def test_the_bench_compares_both_modes_with_the_c_handler(tmp_path: Path) -> None:
    result = quick(tmp_path, "throughput", *OURS, "--scenario=hello", "--scenario=post-1k")
    assert result["settings"] == {"rounds": 1, "seconds": 1.0}
    for scenario in ("hello", "post-1k"):
        assert list(result["scenarios"][scenario]) == ["limit", "embedded", "daemon"]
        for values in result["scenarios"][scenario].values():
            assert values["rate"] > 0 and values["errors"] == 0 and len(values["ratios"]) == 1
            assert values["pss_mb"] > 0 and values["p50_ms"] <= values["p99_ms"]
    assert ET.parse(tmp_path / "throughput.svg").getroot().tag.endswith("svg")


@needs("wrk")
def test_the_bench_asks_at_a_constant_rate(tmp_path: Path) -> None:
    result = quick(tmp_path, "latency", "--contender=daemon")
    for values in result["contenders"]["daemon"].values():
        assert values["requests"] > 0 and values["failed"] == 0
        assert 0 < values["p50_ms"] <= values["p99_ms"] <= values["longest_ms"]


@needs("wrk")
def test_the_bench_measures_beside_idle_and_slow_clients_and_counts_memory(tmp_path: Path) -> None:
    crowds = quick(tmp_path, "crowds", "--contender=daemon")["contenders"]["daemon"]
    assert [crowds[kind]["count"] for kind in ("idle", "slow")] == [100, 50]
    assert all(crowd["beside"] > 0 and crowd["lost"] == 0 for crowd in crowds.values())
    memory = quick(tmp_path, "memory", "--contender=daemon")["contenders"]["daemon"]
    assert memory["all"] > 0 and memory["workers"] > 0 and memory["child"] > 0


def test_a_reload_and_a_graceful_restart_lose_no_request_in_the_bench(tmp_path: Path) -> None:
    found = quick(tmp_path, "reload", "--contender=daemon")["contenders"]["daemon"]
    for event in ("touch", "graceful"):
        assert found[event]["requests"] > 0 and found[event]["failed"] == 0
    assert found["after start"]["first_ms"] > 0


def test_tables_of_the_documentation_can_be_made_of_the_figures(tmp_path: Path) -> None:
    step = {"x": 1000, "us_per_request": 1234.5, "start_s": 0.0, "pss_mb": 0.0}
    (tmp_path / "scale.json").write_text(json.dumps({"modes": {"daemon": {"bytes sent": [step]}}}))
    code = "import pathlib, sys, figures; print(figures.filled(sys.stdin.read(), pathlib.Path(sys.argv[1])))"
    page = "before\n<!-- figures: scale -->\nold\n<!-- end -->\n<!-- figures: memory -->\n<!-- end -->\nafter"
    command = [sys.executable, "-c", code, str(tmp_path)]
    made = subprocess.run(
        command, input=page, cwd=BENCH, capture_output=True, text=True, check=True
    ).stdout
    assert "| bytes sent, daemon | 1,000 | 1,234 |" in made and "Not measured yet." in made
    assert made.startswith("before\n") and "old" not in made and made.endswith("after\n")


@needs("valgrind")
@pytest.mark.parametrize(("part", "most"), [("embedded", 69_000), ("daemon-worker", 26_500)])
def test_a_request_takes_no_more_instructions_than_it_did(part: str, most: int) -> None:
    """A quarter above what is measured with CPython 3.11 and httpd 2.4; other versions of both
    differ by less.
    """
    output = bench("instructions.py", "--scenario=hello", f"--part={part}", "--requests=200")
    counted = int(output.split()[-1])
    assert 0 < counted <= most
