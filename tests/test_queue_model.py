"""Credits and queue in C alone: every order of steps in a model, and many real ones."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
from harness import SANITIZED

LONG = "HTTPD_WSGI_LONG" in os.environ
ROOT = Path(__file__).parent.parent
NATIVE = ROOT / "tests/native"
FLAGS = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-pthread", f"-I{ROOT / 'src'}"]

# Arguments of tests/native/queue_model.c, those that take longer behind
SHORT_MODELS = [
    "threads0=1 threads1=1 requests=3 connections=1 connecting=2",
    "threads0=1 threads1=1 requests=3 connections=1 connecting=2 old=1",
    "threads0=1 threads1=1 requests=3 connections=1 connecting=2 gives=1",
    "threads0=1 threads1=1 requests=3 connections=1 connecting=2 hasty=1",
    "threads0=1 threads1=1 requests=2 connections=1 gives=1 worker_deaths=1 child_deaths=1",
    "threads0=2 threads1=1 requests=2 connections=1 connecting=1",
    "threads0=2 requests=2 connections=2 child_deaths=1",
]
LONG_MODELS = [
    "threads0=1 threads1=1 requests=3 connections=1 connecting=1 worker_deaths=1 child_deaths=1",
    "threads0=1 threads1=1 requests=3 connections=1 connecting=2 worker_deaths=1 child_deaths=1 old=1",
    "threads0=2 requests=3 connections=2 connecting=1 child_deaths=1",
    "threads0=2 threads1=1 requests=2 connections=1 gives=1",
    "threads0=2 threads1=1 requests=2 connections=2 worker_deaths=1 child_deaths=1",
    "threads0=2 threads1=1 requests=3 connections=1 connecting=2",
    "threads0=2 threads1=1 requests=3 connections=1 connecting=2 old=1",
    "threads0=1 threads1=2 requests=3 connections=1 connecting=2",
    "threads0=1 threads1=1 requests=4 connections=1 connecting=3",
]
FAULTS = [  # mutant of the code, arguments, what is found
    (1, "threads0=2 threads1=1 requests=3 connections=1 connecting=2", "a request waits while"),
    (2, "threads0=1 threads1=1 requests=3 connections=1 connecting=2", "a request waits while"),
    (3, "threads0=1 threads1=1 requests=3 connections=1 connecting=2 hasty=1", "the word is not"),
]

pytestmark = pytest.mark.skipif(SANITIZED, reason="compiled without the sanitizer")


def compiled(program: Path, *sources: Path) -> Path:
    include = f"-I{sysconfig.get_paths()['include']}"
    subprocess.run(["cc", *FLAGS, include, *sources, "-o", program], check=True, timeout=120)
    return program


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("model") / "model", *NATIVE.glob("queue_*.c"))


@pytest.mark.parametrize("arguments", SHORT_MODELS + (LONG_MODELS if LONG else []))
def test_no_order_of_steps_loses_a_request_or_a_credit(model: Path, arguments: str) -> None:
    done = subprocess.run(
        [model, *arguments.split()], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("mutant", "arguments", "found"), FAULTS)
def test_the_model_finds_faults(model: Path, mutant: int, arguments: str, found: str) -> None:
    done = subprocess.run(
        [model, *arguments.split(), f"mutant={mutant}"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 1 and done.stdout.startswith(found)


def test_two_threads_that_begin_to_wait_at_once_lose_no_credit(tmp_path: Path) -> None:
    program = compiled(tmp_path / "loop", NATIVE / "credit_loop.c", ROOT / "src/runtime/credit.c")
    rounds = 10_000_000 if LONG else 200_000
    done = subprocess.run(
        [program, str(rounds)], capture_output=True, text=True, timeout=1800, check=False
    )
    assert done.stdout == f"0 of {rounds}\n" and done.returncode == 0
