"""A server under test: a private httpd (or another server) on loopback, with all its processes
marked.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TypeVar

import processes
from scenarios import Scenario

S = TypeVar("S", bound="Server")
HERE = Path(__file__).resolve().parent
HTTPD = shutil.which("apache2") or shutil.which("httpd") or "/usr/sbin/apache2"
AS_ROOT = os.geteuid() == 0
USER = "www-data"
# More threads than any scenario has connections: a child whose threads are all busy closes idle
# connections, which wrk takes for failures.
MPM_LIMITS = (
    "StartServers 2\nServerLimit 2\nThreadLimit 130\nThreadsPerChild 130\nMaxRequestWorkers 260\n"
    "MinSpareThreads 1\nMaxSpareThreads 260\n"
)
# For a thousand connections and more, and idle ones for as long as it takes. Without a thread for
# each slow reader, Apache itself stalls.
CROWD_LIMITS = (
    "StartServers 2\nServerLimit 2\nThreadLimit 400\nThreadsPerChild 400\nMaxRequestWorkers 800\nMinSpareThreads 1\n"
    "MaxSpareThreads 800\nAsyncRequestWorkerFactor 4\nListenBacklog 1024\nKeepAliveTimeout 300\n"
)


@functools.cache
def modules_directory() -> str:
    return subprocess.run(
        ["apxs", "-q", "LIBEXECDIR"], check=True, capture_output=True, text=True
    ).stdout.strip()


@functools.cache
def builtin_modules() -> str:
    return subprocess.run([HTTPD, "-l"], check=True, capture_output=True, text=True).stdout


def load_modules(*names: str) -> str:
    missing = [name for name in names if f"mod_{name}.c" not in builtin_modules()]
    return "".join(
        f"LoadModule {name}_module {modules_directory()}/mod_{name}.so\n" for name in missing
    )


def free_port() -> int:
    """Below those that the system gives to clients: a load of thousands of connections would soon
    have taken it.
    """
    while True:
        port = random.randrange(15000, 32000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Work:
    """A directory with the applications and their files; Apache's user can read it wherever the
    clone lies.
    """

    def __init__(self, files: dict[str, int] | None = None, rounds: int = 1) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="httpd-wsgi-bench-"))
        self.root.chmod(0o755)
        shutil.copytree(
            HERE / "apps", self.root / "apps", ignore=shutil.ignore_patterns("__pycache__")
        )
        for path in (self.root / "apps").rglob("*"):
            path.chmod(0o644)
        (self.root / "apps").chmod(0o755)
        (self.root / "rounds").write_text(str(rounds))
        for name, size in (files or {}).items():
            (self.root / name).write_bytes(b"x" * size)

    def remove(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()


class Server:
    """Runs from start() to stop(). `where` is a directory of its own in the work directory."""

    patience_s = 60.0  # for its start

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self.work = work
        self.where = Path(tempfile.mkdtemp(prefix="server-", dir=work.root))
        self.where.chmod(0o777)
        self.port = free_port()
        self.mark = uuid.uuid4().hex
        self.process: subprocess.Popen[bytes] = None  # type: ignore[assignment]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {**os.environ, processes.MARK: self.mark}

    def start(self) -> None:
        with (self.where / "output").open("wb") as output:
            self.process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.where,
            )

    def log_text(self) -> str:
        files = [self.where / name for name in ("output", "log")]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def processes(self) -> list[int]:
        return processes.marked(self.mark)

    def wait(self) -> None:
        """Until it takes connections."""
        deadline = time.monotonic() + self.patience_s
        while time.monotonic() < deadline and self.process.poll() is None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            time.sleep(0.05)
        raise SystemExit(f"{self.name} does not start:\n{self.log_text()[-4000:]}")

    def ask(self, scenario: Scenario, count: int = 1, timeout: float = 60) -> None:
        """Requests one by one over one connection; every answer must be the right one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        method = "POST" if scenario.post >= 0 else "GET"
        body = b"x" * scenario.post if scenario.post >= 0 else None
        for _ in range(count):
            connection.request(method, scenario.path, body=body, headers=scenario.request_headers())
            response = connection.getresponse()
            got = len(response.read())
            if response.status != 200 or got != scenario.answer:
                got_what = f"status {response.status} and {got} bytes instead of {scenario.answer}"
                raise SystemExit(
                    f"{self.name} answers {scenario.path} with {got_what}\n{self.log_text()[-4000:]}"
                )
        connection.close()

    def __enter__(self: S) -> S:
        """Starts it, and waits until it takes connections."""
        try:
            self.start()
            self.wait()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def all_running(servers: Collection[Server]) -> Iterator[None]:
    """They start side by side, and take connections."""
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait()
        yield
    finally:
        for server in servers:
            server.stop()


class Httpd(Server):
    """`conf` may use {work}, {apps}, {where} and {port}."""

    def __init__(self, name: str, work: Work, conf: str, limits: str = MPM_LIMITS) -> None:
        super().__init__(name, work)
        user = f"User {USER}\nGroup {USER}\n" if AS_ROOT else ""
        base = (
            f"ServerRoot {work.root}\nDefaultRuntimeDir {self.where}\nPidFile {self.where}/pid\nServerName localhost\n"
            f"Listen 127.0.0.1:{self.port}\nErrorLog {self.where}/log\nLogLevel warn\n{user}"
            f"{load_modules('mpm_event', 'authz_core', 'unixd')}{limits}"
            "KeepAlive On\nMaxKeepAliveRequests 0\n<Directory />\nAllowOverride None\n</Directory>\n"
            f"<Directory {work.root}>\nRequire all granted\n</Directory>\n"
        )
        places = {
            "{work}": work.root,
            "{apps}": work.root / "apps",
            "{where}": self.where,
            "{port}": self.port,
        }
        for place, value in places.items():
            conf = conf.replace(place, str(value))
        (self.where / "conf").write_text(base + conf + "\n")

    def command(self) -> list[str]:
        return [HTTPD, "-f", str(self.where / "conf"), "-DFOREGROUND"]
