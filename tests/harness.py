"""A private httpd for one test: its own ServerRoot, loopback, a free port, and a look at what it
leaves behind.
"""

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
from typing import TypeVar

import httpd_wsgi

APPS = Path(__file__).parent / "apps"
MODULE = Path(httpd_wsgi.__file__).parent / "mod_wsgi.so"
HTTPD = shutil.which("apache2") or shutil.which("httpd") or "/usr/sbin/apache2"
MARK = "HTTPD_WSGI_TEST"
SANITIZED = "HTTPD_WSGI_SANITIZE" in os.environ
AS_ROOT = os.geteuid() == 0
Found = TypeVar("Found")
APACHE_USER = "www-data"


def wait_for(look: Callable[[], Found], what: str, deadline: float = 60.0) -> Found:
    """Returns the first result that is true, so what was waited for is what is checked, not what is
    there a moment later.

    The deadline only ends a test that would hang: on a busy machine everything takes its time.
    """
    end = time.monotonic() + deadline
    while not (found := look()):
        assert time.monotonic() < end, f"{what}: not within {deadline} s"
        time.sleep(0.02)  # the only sleep in the test suite
    return found


def wait_until(condition: Callable[[], bool], what: str, deadline: float = 60.0) -> None:
    wait_for(condition, what, deadline)


@functools.cache
def own_ports() -> tuple[Iterator[int], socket.socket]:
    """A block of ports for this process, and what keeps others off it: a name that lives as ports
    do, in the network namespace, and goes with the process. The system gives none of these ports to
    outgoing connections.
    """
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
    """A port that was not given for long and that nobody else gives, so it is free until the test's
    server takes it.
    """
    for port in itertools.islice(own_ports()[0], 200):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
            return port
    raise AssertionError("no port is free")


ESTABLISHED, TIME_WAIT, LISTENING = "01", "06", "0A"


def tcp_sockets() -> Iterator[tuple[int, str, str]]:
    """Port, state and inode of each TCP socket of this machine."""
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            yield int(fields[1].rpartition(":")[2], 16), fields[3], fields[9]


def connections_of(port: int, *but: str) -> int:
    """How many connections the server at this port still holds, without those in these states."""
    return sum(
        number == port and state not in (TIME_WAIT, LISTENING, *but)
        for number, state, _ in tcp_sockets()
    )


def open_sockets(pid: int | str) -> set[str]:
    """Inodes of the sockets that a process has open; none when it has ended."""
    found = set()
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                found.add(os.readlink(descriptor).removeprefix("socket:[").rstrip("]"))
    return found


def are_threads(state: str, pid: int) -> bool:
    """Are all threads of this process in the state, a letter of proc(5), or has it ended?"""
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if (thread / "stat").read_text().rpartition(") ")[2][0] != state:
                    return False
    return True


def freeze(pid: int) -> None:
    """Stops the process. The signal returns before each thread has seen it."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: are_threads("T", pid), f"{pid} has stopped")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@functools.cache
def modules_directory() -> Path:
    apxs = shutil.which("apxs") or shutil.which("apxs2") or "apxs"
    return Path(
        subprocess.run(
            [apxs, "-q", "LIBEXECDIR"], check=True, capture_output=True, text=True
        ).stdout.strip()
    )


@functools.cache
def builtin_modules() -> str:
    return subprocess.run([HTTPD, "-l"], capture_output=True, text=True, check=True).stdout


def has_environment(entry: Path) -> bool:
    """In the midst of exec() a process has none, not even an empty one: the end of its place in
    memory is 0.
    """
    if (entry / "environ").read_bytes() or b"VmSize" not in (entry / "status").read_bytes():
        return True
    return (entry / "stat").read_text().rpartition(") ")[2].split()[48] != "0"


def is_marked(pid: int | str, mark: str) -> bool:
    """Does a process run that has this mark in its environment?"""
    entry = Path("/proc", str(pid))
    with contextlib.suppress(OSError):
        status = (entry / "status").read_bytes()
        if b"State:\tZ" in status or b"VmSize" not in status:
            return False
        with contextlib.suppress(AssertionError):
            wait_until(lambda: has_environment(entry), f"process {pid} has an environment", 15)
        return f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
    return False


def processes_marked(mark: str) -> list[int]:
    """Httpd, supervisors, workers and whatever they started."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if pid != os.getpid() and is_marked(pid, mark)]


class Httpd:
    """`conf` uses {root}, {port} and {app} (the directory the test's applications were copied to)."""

    def __init__(
        self, mpm: str = "event", extra_modules: tuple[str, ...] = (), module: Path = MODULE
    ) -> None:
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
        self.kills_children = False  # the test kills some of Apache's

    # ---- running ----

    def base_conf(self) -> str:
        directory = modules_directory()
        builtin = builtin_modules()
        names = [
            f"mpm_{self.mpm}",
            "authz_core",
            "alias",
            "mime",
            "unixd",
            "env",
            *self.extra_modules,
        ]
        lines = [
            f"LoadModule {n}_module {directory}/mod_{n}.so"
            for n in names
            if f"mod_{n}.c" not in builtin
        ]
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
        text = (
            conf.replace("{root}", str(self.root))
            .replace("{port}", str(self.port))
            .replace("{app}", str(self.app))
        )
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
        done = subprocess.run(
            self.command("-t"), capture_output=True, text=True, env=self.environment(), check=False
        )
        return done.returncode, done.stdout + done.stderr

    def start(self, conf: str) -> None:
        self.write_conf(conf)
        self.process = subprocess.Popen(
            self.command("-DFOREGROUND"), env=self.environment(), start_new_session=True
        )
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
        """Returns when only children of the new generation accept connections; those before may
        still serve what they have.
        """
        assert self.process
        listening = {
            inode for _, state, inode in tcp_sockets() if state == LISTENING
        } & open_sockets(self.process.pid)
        old = [pid for pid in children_of(self.process.pid) if listening & open_sockets(pid)]
        before = self.log_text().count("resuming normal operations")
        self.signal(signal.SIGUSR1)
        wait_until(
            lambda: self.log_text().count("resuming normal operations") > before, "graceful restart"
        )
        wait_until(
            lambda: not any(listening & open_sockets(pid) for pid in old),
            f"{old} accept no more connections",
        )

    def restart(self) -> None:
        self.quieten()
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
        """Waits for a record with this code; it is then no longer an unexpected one. Returns the
        record.
        """
        self.expected.add(code)

        def records() -> list[str]:
            return [
                line for line in self.log_text().splitlines() if code in line and containing in line
            ]

        return wait_for(
            records, f"log record {code} containing {containing!r} in:\n{self.log_text()[-6000:]}"
        )[-1]

    def workers(self) -> list[int]:
        """Pids of the workers that are ready, in order of their start, as the log tells; pids are
        used again.
        """
        ready = re.findall(r"WSGI0705: group \S+: worker (\d+) is ready", self.log_text())
        return [int(pid) for pid in dict.fromkeys(ready) if is_marked(pid, self.mark)]

    def worker(self) -> int:
        """The only worker that is ready. Apache may have its first answer before the supervisor has
        logged that.
        """
        return self.only(self.workers, "worker")

    def supervisors(self) -> list[int]:
        started = dict.fromkeys(re.findall(r"supervisor (\d+) started", self.log_text()))
        return [int(pid) for pid in started if is_marked(pid, self.mark)]

    def supervisor(self) -> int:
        """The only supervisor. Others may be about to end, or it may be about to be started."""
        return self.only(self.supervisors, "supervisor")

    def only(self, processes: Callable[[], list[int]], what: str) -> int:
        def alone() -> list[int]:
            found = processes()
            return found if len(found) == 1 else []

        return wait_for(alone, f"there is one {what}")[0]

    def apache_children(self) -> list[int]:
        """Children of the parent that run httpd, not Python."""
        assert self.process
        httpd, found = os.readlink(f"/proc/{self.process.pid}/exe"), []
        for pid in children_of(self.process.pid):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if os.readlink(f"/proc/{pid}/exe") == httpd:
                    found.append(pid)
        return found

    # ---- the end ----

    def is_quiet(self, *but: str) -> bool:
        """Are connections closed, but those in this state, and does no thread of Apache's still
        work for one of them?
        """
        return not connections_of(self.port, *but) and all(
            are_threads("S", child) for child in self.apache_children()
        )

    def quieten(self) -> None:
        """A child that is told to end looks at sockets that its own threads are just freeing:
        httpd's event MPM may crash.
        """
        with contextlib.suppress(AssertionError, OSError):  # those that clients have closed
            wait_until(lambda: self.is_quiet(ESTABLISHED), "connections are closed", 15)
        # Others may stay for as long as they like
        with contextlib.suppress(AssertionError, OSError):
            wait_until(self.is_quiet, "connections are closed", 1)

    def stop(self) -> None:
        if self.process and self.process.poll() is None and not self.stopped_by_force:
            self.quieten()
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
            assert self.kills_children or "exit signal" not in text, text
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
