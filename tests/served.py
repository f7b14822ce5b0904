"""`httpd-wsgi serve` for one test: on a free port, its output kept, stopped and checked at the end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import requests
from harness import ESTABLISHED, MARK, are_threads, connections_of, processes_marked, wait_until

COMMAND = str(Path(sys.executable).with_name("httpd-wsgi"))

HELLO = """
import os, sys

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{os.environ.get('MARKED', '')}|{os.getcwd()}".encode()]

def create_app():
    return application

other = application
"""


@contextlib.contextmanager
def directory_with_hello(prefix: str = "httpd-wsgi-site-") -> Iterator[Path]:
    """With hello.py in it. Everybody can enter it, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix=prefix) as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "hello.py").write_text(HELLO)
        yield path


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=60, **options
    )  # type: ignore[call-overload]


class Served:
    def __init__(self, directory: Path, *arguments: str, **environment: str) -> None:
        self.mark = uuid.uuid4().hex
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [COMMAND, "serve", "--port", "0", *arguments],
            cwd=directory,
            stdout=self.output,
            stderr=self.errors,
            env={**os.environ, **environment, MARK: self.mark},
        )
        wait_until(
            lambda: " is served on " in self.stderr() or self.process.poll() is not None,
            "the server is there",
        )
        found = re.search(r"is served on (\S+)", self.stderr())
        assert found, self.stderr()
        self.url = found[1].rstrip("/")

    def stderr(self) -> str:
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode()

    def stdout(self) -> str:
        return os.pread(self.output.fileno(), 1 << 20, 0).decode()

    def get(self, path: str = "/", **options: object) -> requests.Response:
        return requests.get(self.url + path, timeout=60, allow_redirects=False, **options)  # type: ignore[arg-type]

    def is_quiet(self) -> bool:
        """As Httpd.quieten() explains it."""
        port = urlsplit(self.url).port or 0
        return not connections_of(port, ESTABLISHED) and all(
            are_threads("S", pid) for pid in processes_marked(self.mark)
        )

    def stop(self, number: int = signal.SIGINT) -> int:
        with contextlib.suppress(AssertionError, OSError):
            wait_until(self.is_quiet, "connections are closed", 15)
        self.process.send_signal(number)
        return self.process.wait(60)

    def finish(self) -> None:
        try:
            if self.process.poll() is None:
                assert self.stop() == 0
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not processes_marked(self.mark), "all processes gone")
            assert not processes_marked(self.mark), "processes left behind"
        finally:
            for pid in processes_marked(self.mark):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.output.close()
            self.errors.close()


@contextlib.contextmanager
def serving(directory: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    served = Served(directory, *arguments, **environment)
    try:
        yield served
    finally:
        served.finish()


@contextlib.contextmanager
def started(directory: Path, *command: str) -> Iterator[tuple[str, Path]]:
    """Any command that serves until it is told to end: the URL it answers at, and what it has
    written.
    """
    log = Path(tempfile.mkstemp(dir=directory)[1])
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=directory, stdout=out, stderr=out)
    try:
        wait_until(
            lambda: " is served on " in log.read_text() or process.poll() is not None,
            "the server is there",
        )
        found = re.search(r"is served on (\S+)", log.read_text())
        assert found, log.read_text()
        yield found[1].rstrip("/"), log
    finally:
        process.terminate()
        assert process.wait(60) == 0
