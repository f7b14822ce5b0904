"""A worker of a daemon group: loads the applications, then serves requests on its threads until it is
ordered to drain.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import native
from httpd_wsgi.interpreter.setup import join_threads, shutdown
from httpd_wsgi.shared import logs, reasons, settings
from httpd_wsgi.shared.descriptors import (
    FD_ACTIVITY,
    FD_BOARD,
    FD_CRASH,
    FD_LISTEN,
    FD_SCORES,
    FD_SERVER_LIFELINE,
    FD_SETTINGS,
    FD_SUPERVISOR,
)
from httpd_wsgi.worker import limits
from httpd_wsgi.worker.orders import Control
from httpd_wsgi.worker.threads import RequestThreads


def when_signalled(
    numbers: Sequence[signal.Signals], act: Callable[[signal.Signals], None]
) -> None:
    """Calls act in a thread of its own, since a signal handler interrupts the main thread, which may
    hold the very lock that act needs.

    Processes that the application forks have no such thread, and these signals end them as they end
    any process.
    """
    received: queue.SimpleQueue[int] = queue.SimpleQueue()
    started: list[int] = []
    mask = threading.local()

    def run() -> None:
        while True:
            act(signal.Signals(received.get()))

    def receive(number: int, frame: object) -> None:
        received.put(number)
        if not started:  # threading.Thread takes locks that the interrupted code may hold
            started.append(native.start_new_thread(run, ()))

    # Python forgets signals that come in while it forks, so they are held back until the new
    # process has no handlers any more.
    def hold() -> None:
        mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.before)

    def forget() -> None:
        for number in numbers:
            if signal.getsignal(number) is receive:
                signal.signal(number, signal.SIG_DFL)
        release()

    for number in numbers:
        signal.signal(number, receive)
    os.register_at_fork(before=hold, after_in_parent=release, after_in_child=forget)


def publish_signals() -> None:
    """SIGHUP and SIGUSR2 only tell subscribers."""
    when_signalled(
        (signal.SIGHUP, signal.SIGUSR2),
        lambda number: _runtime.tell_all("signalled", number.name, number),
    )


def open_scoreboard(config: settings.GroupSettings) -> None:
    if config.server_metrics:
        try:
            _runtime.open_scoreboard(FD_SCORES)
            os.close(FD_SCORES)
        except OSError:
            pass  # Apache could not share it and has said so


def open_credits() -> None:
    try:
        _runtime.open_credits(FD_BOARD)
    except OSError as exc:
        logs.log(
            logs.INFO,
            f"WSGI0726: Apache makes a connection for each request of this worker: {exc.strerror}",
        )


def process_title(config: settings.GroupSettings) -> str:
    return (config.display_name or "%{GROUP}").replace("%{GROUP}", f"(wsgi:{config.group})")


def finish(config: settings.GroupSettings, unfinished: bool) -> None:
    """Ends the process when no request is left, or when the time for the remaining ones is over. When
    this takes longer than shutdown-timeout, the supervisor kills the worker.
    """
    if not config.destroy_interpreter:
        os._exit(0)
    if _runtime.end_interpreters() > 0 or unfinished or not join_threads():
        # CPython cannot finalise safely while sub-interpreters with foreign threads exist, or
        # threads run
        shutdown()
        os._exit(0)


def prepare(config: settings.GroupSettings) -> None:
    _runtime.set_process_title(os.fsencode(process_title(config)))
    publish_signals()
    open_scoreboard(config)
    _runtime.configure(settings.runtime_settings(config))
    if config.telemetry_path:
        from httpd_wsgi.interpreter import telemetry  # noqa: F401  before it can be monkey patched


def start_telemetry(config: settings.GroupSettings, control: Control) -> None:
    if config.telemetry_path:
        from httpd_wsgi.interpreter import telemetry

        telemetry.start(settings.runtime_settings(config))
        control.before_exit = telemetry.stopped


def preload(config: settings.GroupSettings) -> list[str]:
    """Returns the scripts that could not be loaded."""
    return [
        item.script
        for item in config.preloads
        if not _runtime.preload(item.application_group, item.script, item.callable)
    ]


def report_loaded(control: Control, broken: list[str]) -> None:
    """Reports which scripts could not be loaded, and before that the files of modules, in which the
    supervisor looks for changes.
    """
    for target, path, mtime_us in _runtime.module_files():
        control.report("\t".join((f"file {mtime_us}", os.fsdecode(target), os.fsdecode(path))))
    control.report("\t".join((f"ready {len(broken)}", *broken)))


def serve_nothing(config: settings.GroupSettings, control: Control) -> int:
    """A group with threads=0 exists for its import scripts. They run in the main thread; the
    process ends with the last one.
    """

    def leave(*_: object) -> None:
        raise SystemExit(0)

    control.outlives = False
    signal.signal(signal.SIGTERM, leave)
    native.start(
        "wsgi-control", lambda: control.watch(lambda _: os.kill(os.getpid(), signal.SIGTERM))
    )
    prepare(config)
    control.begin()
    control.report("ready")
    preload(config)
    return 0


def serve(config: settings.GroupSettings, control: Control) -> int:
    stop_fd = os.eventfd(0, os.EFD_CLOEXEC) if hasattr(os, "eventfd") else -1
    stop_write = stop_fd
    if stop_fd < 0:
        stop_fd, stop_write = os.pipe()

    def drain(reason: str) -> None:
        control.drain(reason)  # first: threads that end without it end by themselves
        _runtime.close_credits()  # requests that are on their way are still served
        os.write(stop_write, (1).to_bytes(8, sys.byteorder))

    def leave(_: signal.Signals) -> None:
        control.report(f"draining {reasons.STOP}")
        drain(reasons.STOP)

    def ask_for_replacement(number: signal.Signals) -> None:
        evicted = number == signal.SIGUSR1 and config.eviction_timeout > 0
        if not control.report(f"retire {reasons.EVICTION if evicted else reasons.SUPERSEDED}"):
            drain(reasons.SUPERSEDED)

    when_signalled((signal.SIGTERM,), leave)
    when_signalled((signal.SIGINT, signal.SIGUSR1), ask_for_replacement)
    native.start("wsgi-control", lambda: control.watch(drain))
    prepare(config)
    threads = RequestThreads(config, stop_fd, control)
    if broken := preload(config):
        report_loaded(control, broken)
        control.accepted.wait()
    control.begin()
    if not broken:
        report_loaded(control, broken)  # before the first request, which may end this process
    start_telemetry(config, control)
    threads.begin()
    control.draining.wait()
    _runtime.tell_all("stopping", control.reason, 0)
    logs.log(logs.DEBUG, f"WSGI0711: group {config.group}: draining: {control.reason}")
    control.over.wait()
    unfinished = threads.still_serve()
    control.before_exit(not unfinished)
    finish(config, unfinished)
    return 0


def main() -> int:
    config = settings.read(FD_SETTINGS)
    logs.set_level(config.log_level)
    logs.settle()
    for fd in (FD_LISTEN, FD_SUPERVISOR, FD_BOARD, FD_SERVER_LIFELINE, FD_ACTIVITY, FD_CRASH):
        os.set_inheritable(fd, False)
    faulthandler.enable(file=FD_CRASH)
    if (offset := int(sys.argv[3])) >= 0:
        _runtime.open_activity(FD_ACTIVITY, offset, config.threads)
    open_credits()
    control = Control(config, int(sys.argv[2]), offset)
    sys.argv = ["mod_wsgi"]
    limits.apply(config)
    return serve(config, control) if config.threads else serve_nothing(config, control)
