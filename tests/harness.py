"""A private httpd for one test: its own ServerRoot, loopback, a free port, and a look at what it leaves behind."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpd_wsgi

APPS = Path(__file__).parent / "apps"
MODULE = Path(httpd_wsgi.__file__).parent / "mod_wsgi.so"
HTTPD = shutil.which("apache2") or shutil.which("httpd") or "/usr/sbin/apache2"
MARK = "HTTPD_WSGI_TEST"
SANITIZED = "HTTPD_WSGI_SANITIZE" in os.environ
AS_ROOT = os.geteuid() == 0
APACHE_USER = "www-data"


def wait_until(condition: Callable[[], bool], what: str, deadline: float = 15.0) -> None:
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.02)  # the only sleep in the test suite


@functools.cache
def own_ports() -> tuple[Iterator[int], socket.socket]:
    """A block of ports for this process, and what keeps others off it: a name that lives as ports do, in the network namespace,
    and goes with the process. The system gives none of these ports to outgoing connections."""
    for first in range(12_000, 32_000, 200):
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0httpd-wsgi-tests-{first}")
        except OSError:
            mark.close()
        else:
            return itertools.cycle(range(first, first + 200)), mark
    raise AssertionError("a hundred test processes are at work")


def free_port() -> int:
    """A port that was not given for long and that nobody else gives, so it is free until the test's server takes it."""
    for port in itertools.islice(own_ports()[0], 200):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
            return port
    raise AssertionError("no port is free")


def connections_of(port: int) -> int:
    """How many connections the server at this port still holds."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[1].partition(":")[2], 16) == port and line[3] not in ("06", "0A") for line in lines)


@functools.cache
def modules_directory() -> Path:
    apxs = shutil.which("apxs") or shutil.which("apxs2") or "apxs"
    return Path(subprocess.run([apxs, "-q", "LIBEXECDIR"], check=True, capture_output=True, text=True).stdout.strip())


@functools.cache
def builtin_modules() -> str:
    return subprocess.run([HTTPD, "-l"], capture_output=True, text=True, check=True).stdout


def is_marked(pid: int | str, mark: str) -> bool:
    """Does a process run that has this mark in its environment?"""
    entry = Path("/proc", str(pid))
    with contextlib.suppress(OSError):
        status = (entry / "status").read_bytes()
        if b"State:\tZ" in status or b"VmSize" not in status:
            return False
        with contextlib.suppress(AssertionError):  # in the midst of exec() it has none
            wait_until(lambda: (entry / "environ").read_bytes() != b"", "it has an environment", 0.1)
        return f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
    return False


def processes_marked(mark: str) -> list[int]:
    """Httpd, supervisors, workers and whatever they started."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and is_marked(pid, mark)]


class Httpd:
    """`conf` uses {root}, {port} and {app} (the directory the test's applications were copied to)."""

    def __init__(self, mpm: str = "event", extra_modules: tuple[str, ...] = (), module: Path = MODULE) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="httpd-wsgi-test-"))
        self.root.chmod(0o755)
        self.app = self.root / "app"
        shutil.copytree(APPS, self.app, ignore=shutil.ignore_patterns("__pycache__"))
        for path in (self.app, *self.app.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        self.port = free_port()
        self.mpm = mpm
        self.extra_modules = extra_modules
        self.module = module
        self.log = self.root / "error_log"
        self.reports = self.root / "sanitizer"
        self.mark = uuid.uuid4().hex
        self.expected: set[str] = set()
        self.process: subprocess.Popen[bytes] | None = None
        self.stopped_by_force = False

    # ---- running ----

    def base_conf(self) -> str:
        directory = modules_directory()
        builtin = builtin_modules()
        names = [f"mpm_{self.mpm}", "authz_core", "alias", "mime", "unixd", "env", *self.extra_modules]
        lines = [f"LoadModule {n}_module {directory}/mod_{n}.so" for n in names if f"mod_{n}.c" not in builtin]
        if AS_ROOT:
            lines += [f"User {APACHE_USER}", f"Group {APACHE_USER}"]
        (self.root / "mime.types").touch()
        return "\n".join(
            [
                f"ServerRoot {self.root}",
                f"DefaultRuntimeDir {self.root}",
                f"PidFile {self.root}/httpd.pid",
                f"Listen 127.0.0.1:{self.port}",
                "ServerName localhost",
                "StartServers 1",
                "TypesConfig mime.types",
                *lines,
                f"LoadModule wsgi_module {self.module}",
                f"ErrorLog {self.log}",
                "LogLevel info",
                f"WSGISocketPrefix {self.root}/wsgi",
                f"<Directory {self.app}>",
                "    Require all granted",
                "</Directory>",
            ]
        )

    def write_conf(self, conf: str) -> Path:
        path = self.root / "httpd.conf"
        text = conf.replace("{root}", str(self.root)).replace("{port}", str(self.port)).replace("{app}", str(self.app))
        path.write_text(self.base_conf() + "\n" + text + "\n")
        return path

    def command(self, *arguments: str) -> list[str]:
        return [HTTPD, "-f", str(self.root / "httpd.conf"), *arguments]

    def environment(self) -> dict[str, str]:
        environment = {**os.environ, MARK: self.mark}
        if SANITIZED:
            self.reports.mkdir(exist_ok=True)
            self.reports.chmod(0o777)
            for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
                environment[name] = f"{os.environ.get(name, '')}:log_path={self.reports}/report"
        return environment

    def configtest(self, conf: str) -> tuple[int, str]:
        self.write_conf(conf)
        done = subprocess.run(self.command("-t"), capture_output=True, text=True, env=self.environment(), check=False)
        return done.returncode, done.stdout + done.stderr

    def start(self, conf: str) -> None:
        self.write_conf(conf)
        self.process = subprocess.Popen(self.command("-DFOREGROUND"), env=self.environment(), start_new_session=True)
        wait_until(self.is_listening, "httpd listens")

    def is_listening(self) -> bool:
        assert self.process and self.process.poll() is None, "httpd ended:\n" + self.log_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return "resuming normal operations" in self.log_text()
        return False

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def signal(self, number: int) -> None:
        assert self.process
        self.process.send_signal(number)

    def graceful(self) -> None:
        before = self.log_text().count("resuming normal operations")
        self.signal(signal.SIGUSR1)
        wait_until(lambda: self.log_text().count("resuming normal operations") > before, "graceful restart")

    def restart(self) -> None:
        before = self.log_text().count("resuming normal operations")
        self.signal(signal.SIGHUP)
        wait_until(lambda: self.log_text().count("resuming normal operations") > before, "restart")

    def kill9(self) -> None:
        self.stopped_by_force = True
        self.signal(signal.SIGKILL)

    # ---- looking ----

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def expect(self, code: str, containing: str = "") -> str:
        """Waits for a record with this code; it is then no longer an unexpected one. Returns the record."""
        self.expected.add(code)
        found: list[str] = []

        def there() -> bool:
            found[:] = [line for line in self.log_text().splitlines() if code in line and containing in line]
            return bool(found)

        wait_until(there, f"log record {code} containing {containing!r} in:\n{self.log_text()[-6000:]}")
        return found[-1]

    def workers(self) -> list[int]:
        """Pids of the workers that are ready, in order of their start, as the log tells; pids are used again."""
        ready = re.findall(r"WSGI0705: group \S+: worker (\d+) is ready", self.log_text())
        return [int(pid) for pid in dict.fromkeys(ready) if is_marked(pid, self.mark)]

    def worker(self) -> int:
        """The only worker that is ready. Apache may have its first answer before the supervisor has logged that."""
        wait_until(lambda: len(self.workers()) == 1, "there is one worker")
        return self.workers()[0]

    def supervisors(self) -> list[int]:
        started = dict.fromkeys(re.findall(r"supervisor (\d+) started", self.log_text()))
        return [int(pid) for pid in started if is_marked(pid, self.mark)]

    # ---- the end ----

    def stop(self) -> None:
        if self.process and self.process.poll() is None and not self.stopped_by_force:
            # On SIGTERM httpd's event MPM looks at sockets that its own threads are just freeing, and now and then crashes.
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not connections_of(self.port), "connections are closed", 1)
            self.process.send_signal(signal.SIGTERM)
        if self.process:
            self.process.wait(60)

    def finish(self) -> None:
        """Stops httpd and fails when something unexpected was logged or left behind."""
        try:
            self.stop()
            with contextlib.suppress(AssertionError):
                wait_until(lambda: not processes_marked(self.mark), "all processes gone")
            status = self.process.returncode if self.process and not self.stopped_by_force else 0
            assert status == 0, f"httpd ended with {status}:\n{self.log_text()}"
            left = processes_marked(self.mark)
            assert not left, f"processes left behind: {[Path('/proc', str(p), 'cmdline').read_bytes() for p in left]}"
            for report in self.reports.glob("*"):
                raise AssertionError(report.read_text(errors="replace"))
            text = self.log_text()
            assert "exit signal" not in text, text
            codes = set(re.findall(r"\[wsgi:(?:error|crit|alert|emerg)\][^\n]*?(WSGI\d{4})", text))
            assert codes <= self.expected, f"unexpected {codes - self.expected} in:\n{text}"
            sockets = [path for path in self.root.iterdir() if path.is_socket()]
            assert not sockets, f"sockets left behind: {sockets}"
        finally:
            for pid in processes_marked(self.mark):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            shutil.rmtree(self.root, ignore_errors=True)


@contextlib.contextmanager
def running(conf: str, **options: object) -> Iterator[Httpd]:
    server = Httpd(**options)  # type: ignore[arg-type]
    try:
        server.start(conf)
        yield server
    finally:
        server.finish()
