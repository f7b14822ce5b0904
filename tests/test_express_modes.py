"""Modes of mod_wsgi-express: embedded, proxied hosts, and the debugging modes, with a terminal of
the test's own.
"""

from __future__ import annotations

import contextlib
import os
import pstats
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from harness import AS_ROOT, free_port, wait_until
from served import COMMAND, HELLO, directory_with_hello, run, started

APPLICATION = """
import sys

def total(numbers):
    secret = sum(numbers)
    return secret

def never_called():
    return 0

def application(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        detail = "seen by pdb"
        raise ValueError("boom")
    if environ["PATH_INFO"] == "/stop":
        marker = "before the breakpoint"
        breakpoint()
    start_response("200 OK", [("Content-Type", "text/plain")])
    several = f"{environ['wsgi.multithread']} {environ['wsgi.multiprocess']}"
    facts = f"{several} {environ['mod_wsgi.process_group']!r} {total([1, 2])}"
    return iter([facts.encode()])
"""


@pytest.fixture
def site() -> Iterator[Path]:
    with directory_with_hello() as path:
        (path / "app.py").write_text(APPLICATION)
        yield path


class Session:
    """A command on a terminal, and what it shows there."""

    def __init__(self, site: Path, *arguments: str) -> None:
        self.ours, theirs = os.openpty()
        os.set_blocking(self.ours, False)
        if AS_ROOT:
            os.fchmod(theirs, 0o666)  # the worker runs as somebody else
        self.shown = b""
        self.port = free_port()
        command = [COMMAND, "express", "start-server", *arguments, "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=site, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)

    def shows(self, text: str) -> bool:
        with contextlib.suppress(OSError):
            self.shown += os.read(self.ours, 65536)
        return text in self.text

    @property
    def text(self) -> str:
        return self.shown.decode(errors="replace")  # what was read may end within a letter

    def wait_for(self, text: str) -> None:
        wait_until(lambda: self.shows(text), f"{text!r} is shown in:\n{self.text}")

    def type(self, line: str) -> None:
        self.shown = b""
        os.write(self.ours, line.encode() + b"\n")

    def ask(self, path: str) -> subprocess.Popen[str]:
        """A client of its own, since the answer waits for what is typed."""
        url = f"http://127.0.0.1:{self.port}{path}"
        return subprocess.Popen(
            ["curl", "-s", "-w", "%{http_code}", url], stdout=subprocess.PIPE, text=True
        )

    def stop(self) -> None:
        self.process.terminate()
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.shows("\0") or self.process.poll() is not None, "it stops")
        os.close(self.ours)
        assert self.process.wait(60) == 0


@contextlib.contextmanager
def session(site: Path, *arguments: str) -> Iterator[Session]:
    started = Session(site, *arguments)
    try:
        yield started
    finally:
        started.stop()


def test_the_debugger_asks_on_the_terminal_when_the_application_raises(site: Path) -> None:
    with session(site, "app.py", "--enable-debugger") as debugged:
        debugged.wait_for("is served on")
        client = debugged.ask("/fail")
        debugged.wait_for("(Pdb) ")
        assert "ValueError: boom" in debugged.text
        debugged.type("p detail")
        debugged.wait_for("'seen by pdb'")
        debugged.type("continue")
        assert client.communicate(timeout=60)[0].endswith("500")
        assert (
            debugged.ask("/").communicate(timeout=60)[0]
            == f"False False 'localhost:{debugged.port}' 3200"
        )


def test_a_breakpoint_stops_in_debug_mode(site: Path) -> None:
    with session(site, "app.py", "--debug-mode") as debugged:
        debugged.wait_for("is served on")
        client = debugged.ask("/stop")
        debugged.wait_for("(Pdb) ")
        debugged.type("p marker")
        debugged.wait_for("'before the breakpoint'")
        debugged.type("continue")
        assert client.communicate(timeout=60)[0].endswith("200")


def test_the_debugger_may_begin_before_the_application_is_loaded(site: Path) -> None:
    with session(site, "app.py", "--enable-debugger", "--debugger-startup") as debugged:
        debugged.wait_for("(Pdb) ")
        assert "is served on" not in debugged.text
        debugged.type("continue")
        debugged.wait_for("is served on")


def test_profile_and_coverage_are_written_when_the_server_ends(site: Path) -> None:
    options = [
        "--enable-profiler",
        "--profiler-directory",
        "profiles",
        "--enable-coverage",
        "--log-to-terminal",
    ]
    with session(site, "app.py", *options) as measured:
        measured.wait_for("is served on")
        for _ in range(3):
            assert measured.ask("/").communicate(timeout=60)[0].endswith("200")
    [profile] = (site / "profiles").glob("*.pstats")
    stats = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]
    calls = {name: numbers[1] for (_, _, name), numbers in stats.items()}
    assert calls["total"] == 3 and "never_called" not in calls
    report = next((site / "htmlcov").glob("app_py.html")).read_text()
    lines = re.findall(r'<p class="(run|mis)[^>]*>.*?</p>', report)
    assert lines.count("mis") == 5, report  # of never_called, /fail and /stop


def test_the_debugger_needs_a_terminal(site: Path) -> None:
    done = run(
        "express", "start-server", "app.py", "--enable-debugger", cwd=site, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(
        "httpd-wsgi: --enable-debugger: standard input is no"
    )


def test_debugging_is_not_for_services(site: Path) -> None:
    done = run(
        "express", "setup-server", "app.py", "--enable-profiler", "--server-root", "root", cwd=site
    )
    assert (
        done.returncode == 2
        and "--enable-profiler: is for start-server" in done.stderr
        and not (site / "root").exists()
    )


@pytest.mark.parametrize("mpm", ["event", "prefork"])
def test_in_embedded_mode_apache_runs_the_application(site: Path, mpm: str) -> None:
    (site / "library.py").write_text("NAME = 'found'\n")
    (site / "inside.py").write_text("import library\n" + APPLICATION)
    options = [
        "--embedded-mode",
        "--server-mpm",
        mpm,
        "--processes",
        "2",
        "--threads",
        "3",
        "--port",
        str(free_port()),
    ]
    with started(site, COMMAND, "express", "start-server", "inside.py", *options) as (url, _):
        assert requests.get(url, timeout=60).text == f"{mpm == 'event'} True '' 3"


def test_a_host_of_another_server_is_passed_on_to_it(site: Path) -> None:
    code = "s('200 OK', [])\n    return [('behind ' + e['PATH_INFO'] + e['HTTP_X_FORWARDED_PORT']).encode()]\n"
    (site / "behind.py").write_text(f"def application(e, s):\n    {code}")
    with started(site, COMMAND, "serve", "behind.py", "--port", "0") as (behind, _):
        port = free_port()
        options = [
            "--port",
            str(port),
            "--proxy-virtual-host",
            "other.example.com",
            behind,
            "--document-root",
            ".",
        ]
        with started(site, COMMAND, "express", "start-server", "hello.py", *options) as (url, _):
            other = requests.get(
                url + "/x", headers={"Host": f"other.example.com:{port}"}, timeout=60
            )
            assert other.text == f"behind /x{port}"
            assert requests.get(url + "/x", timeout=60).text.startswith("|/x|")
            assert requests.get(url + "/hello.py", timeout=60).text == HELLO
