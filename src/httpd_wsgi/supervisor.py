"""The supervisor of one daemon group: starts its workers, watches and replaces them.

It lives as long as an Apache process of its generation holds the lifeline, and no longer: end-of-file there means drain and
exit. Workers in turn exit when their control socket closes, so nothing survives a killed supervisor.
"""

from __future__ import annotations

import mmap
import os
import selectors
import signal
import socket
import struct
import sys
import sysconfig
import time
from dataclasses import dataclass

from httpd_wsgi import _boot, logs, policy, settings
from httpd_wsgi.policy import Event, Policy, State

FD_LISTEN, FD_LIFELINE, FD_SETTINGS, FD_BOARD = 3, 4, 5, 6
BOARD_STARTING, BOARD_SERVING, BOARD_FAILED = 0, 1, 2
BOARD_SIZE = 4096
TITLE_ROOM = "." * 128  # gives the worker memory to write its process title to


@dataclass(slots=True)
class Process:
    """A worker as the operating system sees it; the policy knows it by its pid."""

    pid: int
    pidfd: int
    control: socket.socket
    started: float
    received: bytes = b""


def describe_exit(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"was killed by signal {-code} ({name})"


def python_options(config: settings.GroupSettings) -> list[str]:
    """What the WSGIPython… directives mean on a command line."""
    options = ["-" + "O" * config.optimize] if config.optimize else []
    options += ["-B"] if config.dont_write_bytecode else []
    for warning in config.warnings:
        options += ["-W", warning]
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        options += ["-X", f"gil={0 if config.free_threading else 1}"]
    return options


class Supervisor:
    def __init__(self, config: settings.GroupSettings) -> None:
        self.config = config
        self.policy = Policy(config.processes, config.shutdown_timeout, config.startup_timeout, is_service=config.threads == 0)
        self.processes: dict[int, Process] = {}
        self.selector = selectors.DefaultSelector()
        self.board = mmap.mmap(FD_BOARD, BOARD_SIZE)
        self.stop_reason = ""
        self.said_failed = False
        self.boot = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_boot.py")

    # ---- workers ----

    def start_worker(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        memory = os.memfd_create("wsgi-settings", os.MFD_CLOEXEC)
        os.write(memory, self.config.raw)
        actions = [
            (os.POSIX_SPAWN_DUP2, FD_LISTEN, FD_LISTEN),
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), FD_LIFELINE),
            (os.POSIX_SPAWN_DUP2, memory, FD_SETTINGS),
        ]
        argv = [sys.executable, *python_options(self.config), self.boot, "worker", TITLE_ROOM]
        environment = {**os.environ, "PYTHONHASHSEED": self.config.hash_seed} if self.config.hash_seed else os.environ
        try:
            pid = os.posix_spawn(sys.executable, argv, environment, file_actions=actions, setsigmask=[])
        finally:
            theirs.close()
            os.close(memory)
        now = time.monotonic()
        process = Process(pid, os.pidfd_open(pid), ours, now)
        ours.setblocking(False)
        self.processes[pid] = process
        self.selector.register(process.pidfd, selectors.EVENT_READ, process)
        self.selector.register(ours, selectors.EVENT_READ, process)
        self.policy.started(pid, now)
        self.say(logs.INFO, "WSGI0701", f"worker {pid} started")

    def say(self, level: str, code: str, text: str) -> None:
        logs.log(level, f"{code}: group {self.config.group}: {text}")

    def reap(self, process: Process) -> None:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
        if pid == 0:
            return
        now = time.monotonic()
        self.receive(process)  # its last words may change what its end means
        state = self.policy.workers[process.pid].state
        self.policy.happened(process.pid, Event.EXITED, now)
        self.selector.unregister(process.pidfd)
        self.forget_control(process)
        os.close(process.pidfd)
        del self.processes[process.pid]
        self.report_exit(process, status, state, now)

    def report_exit(self, process: Process, status: int, state: State, now: float) -> None:
        what = f"worker {process.pid} {describe_exit(status)} after {now - process.started:.1f} s"
        if state is State.DRAINING or self.policy.stopping:
            level = logs.INFO if status == 0 else logs.WARNING
            self.say(level, "WSGI0703", what)
        elif state is State.STARTING:
            wait = self.policy.next_start - now
            self.say(logs.ERROR, "WSGI0704", f"{what}, before it was ready; the next attempt is in {wait:.0f} s")
        elif status == 0:
            self.say(logs.NOTICE, "WSGI0712", f"{what}, as it was told to; a new one is being started")
        else:
            self.say(logs.ERROR, "WSGI0702", f"{what}; a new one is being started")

    def receive(self, process: Process) -> None:
        try:
            data = process.control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.forget_control(process)
            return
        *lines, process.received = (process.received + data).split(b"\n")
        for line in lines:
            self.told(process, os.fsdecode(line))

    def told(self, process: Process, message: str) -> None:
        word, _, rest = message.partition(" ")
        now = time.monotonic()
        if word == "ready":
            self.policy.happened(process.pid, Event.READY, now)
            self.say(logs.INFO, "WSGI0705", f"worker {process.pid} is ready after {now - process.started:.2f} s")
        elif word == "stale":
            self.say(logs.NOTICE, "WSGI0706", f"{rest} has changed; worker {process.pid} is replaced by one with the new code")
            self.policy.happened(process.pid, Event.STALE, now)

    def forget_control(self, process: Process) -> None:
        if process.control.fileno() >= 0:
            self.selector.unregister(process.control)
            process.control.close()

    # ---- the loop ----

    def carry_out(self) -> None:
        for action in self.policy.actions(time.monotonic()):
            match action:
                case policy.Start():
                    self.start_worker()
                case policy.Drain(number):
                    self.policy.happened(number, Event.DRAIN, time.monotonic())
                    self.send(self.processes[number], b"drain\n")
                case policy.Kill(number):
                    self.say(logs.WARNING, "WSGI0707", f"worker {number} did not obey within its time and is killed")
                    os.kill(number, signal.SIGKILL)

    def send(self, process: Process, message: bytes) -> None:
        try:
            process.control.send(message)
        except OSError:
            pass  # it is dying; its exit follows

    def write_board(self) -> None:
        serving = self.policy.counted(State.SERVING)
        if self.policy.failed:
            state, retry = BOARD_FAILED, max(1, round(self.policy.next_start - time.monotonic()))
        else:
            state, retry = BOARD_SERVING if self.policy.ever_ready else BOARD_STARTING, 0
        if self.policy.failed != self.said_failed and self.policy.failed:
            self.say(logs.ERROR, "WSGI0708", "no worker can be started; requests are answered with 503 until one can")
        self.said_failed = self.policy.failed
        struct.pack_into("=III", self.board, 0, state, retry, serving)

    def stop(self, reason: str) -> None:
        if not self.policy.stopping:
            self.say(logs.INFO, "WSGI0709", f"stopping: {reason}")
            self.policy.stop()

    def timeout(self) -> float | None:
        at = self.policy.wake_at()
        return None if at is None else max(0.0, at - time.monotonic())

    def run(self) -> int:
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        self.selector.register(wake_read, selectors.EVENT_READ, "signal")
        self.selector.register(FD_LIFELINE, selectors.EVENT_READ, "lifeline")
        while not self.policy.done:
            self.carry_out()
            self.write_board()
            for key, _ in self.selector.select(self.timeout()):
                self.dispatch(key, wake_read)
        return 0

    def dispatch(self, key: selectors.SelectorKey, wake_read: int) -> None:
        if key.data == "signal":
            os.read(wake_read, 512)
            self.stop("it received a signal")
        elif key.data == "lifeline":
            self.selector.unregister(FD_LIFELINE)
            self.stop("Apache has stopped or restarted")
        elif key.fileobj == key.data.pidfd:
            self.reap(key.data)
        elif key.data.control.fileno() >= 0:
            self.receive(key.data)


def main() -> int:
    config = settings.read(FD_SETTINGS)
    logs.set_level(config.log_level)
    for fd in (FD_LISTEN, FD_LIFELINE, FD_BOARD):
        os.set_inheritable(fd, False)
    try:
        return Supervisor(config).run()
    except Exception as exc:
        logs.log(logs.ERROR, f"WSGI0710: group {config.group}: the supervisor failed: {exc!r}; Apache starts another one")
        return _boot.EXIT_FAILED
