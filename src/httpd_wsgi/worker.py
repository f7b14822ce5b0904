"""A worker of a daemon group: loads the applications, then serves requests on its threads until told to drain."""

from __future__ import annotations

import _thread
import faulthandler
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

from httpd_wsgi import _runtime, interpreter, limits, logs, settings

FD_LISTEN, FD_CONTROL, FD_SETTINGS, FD_SCORES = 3, 4, 5, 7


class Control:
    """The socket to the supervisor; `drain REASON` comes over it. Its end-of-file means that the supervisor has gone, which
    counts as `drain`; then the worker itself keeps to `patience`, in seconds.
    """

    def __init__(self, fd: int, patience: float) -> None:
        self.socket = socket.socket(fileno=fd)
        self.patience = patience
        self.draining = threading.Event()
        self.reason = ""  # why it drains: the first one counts
        self.ready = False

    def tell(self, message: str) -> None:
        try:
            self.socket.sendall(os.fsencode(message) + b"\n")
        except OSError:
            pass  # the supervisor has gone; watch() sees it too

    def give_reason(self, reason: str) -> None:
        self.reason = self.reason or reason or "shutdown_signal"

    def watch(self, on_drain: Callable[[], None]) -> None:
        while True:
            try:
                data = self.socket.recv(4096)
            except OSError:
                data = b""
            if not data or b"drain" in data:
                self.give_reason(data.decode("ascii", "replace").partition("drain")[2].strip())
                break
        if not self.ready:
            os._exit(0)  # still importing the application: nothing to finish
        on_drain()
        if not data:
            time.sleep(self.patience)  # nobody is left who would end a worker that does not end by itself
            os._exit(1)


def publish_signals() -> None:
    """SIGHUP and SIGUSR2 only tell subscribers, in a thread of its own: a signal handler cannot wait for interpreters."""
    received: queue.SimpleQueue[int] = queue.SimpleQueue()
    dispatching: list[int] = []

    def dispatch() -> None:
        while True:
            number = received.get()
            _runtime.tell_all("signalled", signal.Signals(number).name, number)

    def receive(number: int, frame: object) -> None:
        received.put(number)
        if not dispatching:  # threading.Thread takes locks that the interrupted code may hold
            dispatching.append(_thread.start_new_thread(dispatch, ()))

    for number in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, receive)


def open_scoreboard(config: settings.GroupSettings) -> None:
    if config.server_metrics:
        try:
            _runtime.open_scoreboard(FD_SCORES)
            os.close(FD_SCORES)
        except OSError:
            pass  # Apache could not share it and has said so


def process_title(config: settings.GroupSettings) -> str:
    return config.display_name.replace("%{GROUP}", f"(wsgi:{config.group})")


def finish(config: settings.GroupSettings, threads: list[threading.Thread]) -> None:
    """Returns when all requests are done; the supervisor ends the wait with SIGKILL after shutdown-timeout."""
    for thread in threads:
        thread.join()
    if not config.destroy_interpreter:
        os._exit(0)
    if _runtime.end_interpreters() > 0:
        # CPython cannot finalise safely while sub-interpreters with foreign threads exist.
        interpreter.shutdown()
        os._exit(0)


def serve_nothing(config: settings.GroupSettings, control: Control) -> int:
    """A group with threads=0 exists for its import scripts. They run in the main thread; the process ends with the last one."""

    def leave(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    threading.Thread(target=control.watch, args=(lambda: os.kill(os.getpid(), signal.SIGTERM),), daemon=True).start()
    if title := process_title(config):
        _runtime.set_process_title(os.fsencode(title))
    publish_signals()
    open_scoreboard(config)
    _runtime.configure(settings.runtime_settings(config))
    control.ready = True
    control.tell("ready")
    for item in config.preloads:
        _runtime.preload(item.application_group, item.script, item.callable)
    return 0


def main() -> int:
    config = settings.read(FD_SETTINGS)
    logs.set_level(config.log_level)
    for fd in (FD_LISTEN, FD_CONTROL):
        os.set_inheritable(fd, False)
    faulthandler.enable(file=2)
    sys.argv = ["mod_wsgi"]
    limits.apply(config)
    stop_fd = os.eventfd(0, os.EFD_CLOEXEC) if hasattr(os, "eventfd") else -1
    stop_write = stop_fd
    if stop_fd < 0:
        stop_fd, stop_write = os.pipe()
    control = Control(FD_CONTROL, config.shutdown_timeout)

    def stop_accepting() -> None:
        control.give_reason("")
        os.write(stop_write, (1).to_bytes(8, sys.byteorder))
        control.draining.set()

    def on_stale(script: str) -> None:
        control.give_reason("script_reload")
        os.write(stop_write, (1).to_bytes(8, sys.byteorder))
        control.tell(f"stale {script}")

    if config.threads == 0:
        return serve_nothing(config, control)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop_accepting())
    threading.Thread(target=control.watch, args=(stop_accepting,), name="wsgi-control", daemon=True).start()
    if title := process_title(config):
        _runtime.set_process_title(os.fsencode(title))
    publish_signals()
    open_scoreboard(config)
    _runtime.configure(settings.runtime_settings(config))
    for item in config.preloads:
        _runtime.preload(item.application_group, item.script, item.callable)
    threads = [
        threading.Thread(
            target=_runtime.serve,
            args=(FD_LISTEN, stop_fd, on_stale),
            name=f"wsgi-request-{number}",
            daemon=True,
        )
        for number in range(1, config.threads + 1)
    ]
    control.ready = True
    control.tell("ready")  # before the first request, which may end this process
    with limits.stack_size(config):
        for thread in threads:
            thread.start()
    control.draining.wait()
    _runtime.tell_all("stopping", control.reason, 0)
    logs.log(logs.DEBUG, f"WSGI0711: group {config.group}: draining")
    finish(config, threads)
    return 0
