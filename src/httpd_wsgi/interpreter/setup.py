"""The set-up of an interpreter before it loads applications, and its end."""

from __future__ import annotations

import atexit
import io
import os
import site
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import context, modules, native, restrict
from httpd_wsgi.shared import logs, wire

_before_end: list[Callable[[], None]] = []  # for shutdown()
_threads_run_on = ""  # the threads that join_threads() did not wait for
JOIN_SHARE = 0.8  # of shutdown-timeout, which leaves some for atexit functions


def setup(application_group: str, settings: dict[str, Any]) -> None:
    context.settings.update(settings, application_group=application_group)
    logs.set_level(settings.get("log_level", wire.INFO))
    options = options_for(application_group)
    if settings.get("python_eggs"):
        os.environ["PYTHON_EGG_CACHE"] = settings["python_eggs"]
    io.TextIOBase.register(_runtime.Stream)
    threading._DummyThread = foreign_thread(threading._DummyThread)  # type: ignore[misc, assignment]
    sys.stdout = _runtime.Stream("<stdout>")
    sys.stderr = _runtime.Stream("<stderr>")
    modules.install(application_group, settings)
    restrict.apply(options, context.settings)
    if settings.get("embedded"):
        start_programs_by_fork()
    if not application_group:
        check_free_threading()
    for path in options["python_paths"]:
        add_paths(path, "")
    add_paths("", settings.get("home") or "")
    modules.adopt_installed(settings)
    set_switch_interval(options, application_group)
    if settings.get("telemetry"):
        start_telemetry(application_group, settings)
    if settings.get("slow_log") and not application_group:
        start_slow_log(settings)


def start_programs_by_fork() -> None:
    """Programs inherit the signal mask of the thread that starts them, and Apache's threads block
    all signals. A forked process has an empty mask (apache/embedded/forks.c); after vfork(), which
    subprocess prefers, nobody can set it.
    """
    if sys.version_info < (3, 11):  # there is no way to choose
        return
    import _posixsubprocess

    start: Callable[..., int] = _posixsubprocess.fork_exec

    def fork_exec(*arguments: Any) -> int:
        return start(*arguments[:-1], False)

    _posixsubprocess.fork_exec = fork_exec
    if "subprocess" in sys.modules:
        sys.modules["subprocess"].__dict__["_fork_exec"] = fork_exec


def start_telemetry(application_group: str, settings: dict[str, Any]) -> None:
    """A worker starts the main interpreter's when it is ready, an Apache process is with its
    interpreter.
    """
    if application_group:
        from httpd_wsgi.interpreter import gcwatch

        gcwatch.install(application_group, settings["telemetry"]["interval"])
    elif settings["embedded"]:
        from httpd_wsgi.interpreter import telemetry

        telemetry.start(settings)
        _before_end.append(lambda: telemetry.stopped(graceful=True))


def start_slow_log(settings: dict[str, Any]) -> None:
    """In an Apache process; a worker's supervisor looks for itself."""
    from httpd_wsgi.interpreter import slowlog

    limit, where = settings["slow_log"]
    if limit > 0:
        slowlog.start(limit, where, settings["threads"])


def options_for(application_group: str) -> dict[str, Any]:
    """The options of one interpreter: the top level's, overridden by sections, the more specific
    ones last; later ones win.

    Paths are not overridden but put in front of each other: "python_paths" has them in the order to
    add.
    """
    names = {application_group}
    if not application_group:
        names.update(context.settings.get("main_groups", ()))
    chosen = [
        (("application_group" in section) + ("specific" in section), section)
        for section in context.settings.get("interpreters", [])
        if section.get("application_group", application_group) in names
    ]
    options: dict[str, Any] = {}
    paths = []
    for specificity, section in sorted(chosen, key=lambda pair: pair[0]):
        options.update(section)
        if "switch_interval" in section:
            options["switch_interval_is_specific"] = specificity > 0
            options["switch_interval_is_own"] = "application_group" in section
        if section.get("python_path"):
            paths.append(section["python_path"])
    return {**options, "python_paths": paths}


def runs_without_lock() -> bool:
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def check_free_threading() -> None:
    if context.settings.get("free_threading") and not runs_without_lock():
        logs.log(
            logs.WARNING,
            f"WSGI0831: WSGIFreeThreading On has no effect: {sys.executable} is not a "
            "free-threaded Python (3.13t and newer) "
            "or runs with its lock; requests take turns as usual",
        )


def wants_own_gil(application_group: str) -> bool:
    """For sub-interpreters; asked in the main interpreter."""
    if options_for(application_group).get("own_gil") != "1":
        return False
    if runs_without_lock():
        logs.log(
            logs.WARNING,
            "WSGI0832: WSGIPerInterpreterGIL has no effect with WSGIFreeThreading On: there is no lock at all",
        )
        return False
    if sys.version_info >= (3, 12):
        return True
    version = ".".join(map(str, sys.version_info[:2]))
    logs.log(
        logs.WARNING,
        f"WSGI0802: WSGIPerInterpreterGIL needs Python 3.12 or newer; this is {version}, so it has no effect",
    )
    return False


def set_switch_interval(options: dict[str, Any], application_group: str) -> None:
    """What names the interpreter or its daemon group wins: a section, then `switch-interval=`."""
    seconds = options.get("switch_interval")
    if not options.get("switch_interval_is_specific"):
        seconds = context.settings.get("switch_interval") or seconds
    if not seconds:
        return
    if runs_without_lock():
        logs.log(
            logs.WARNING,
            "WSGI0833: WSGISwitchInterval has no effect with WSGIFreeThreading On: threads do not take turns",
        )
        return
    if application_group and options.get("own_gil") != "1":
        # It shares the main interpreter's lock, which has its interval already.
        if options.get("switch_interval_is_own"):
            logs.log(
                logs.WARNING,
                f"WSGI0803: WSGISwitchInterval for application group {application_group} has no "
                "effect: it shares its lock with other interpreters; see WSGIPerInterpreterGIL",
            )
        return
    sys.setswitchinterval(float(seconds))


def add_paths(python_path: str, home: str) -> None:
    """Each directory as a site directory (`.pth` files count); what is new goes to the front, in
    the order given.
    """
    for directory in filter(None, python_path.split(os.pathsep)):
        if not os.path.isdir(directory):
            logs.log(
                logs.WARNING,
                f"WSGI0801: {directory} of the Python path is not a directory; it is used all the same",
            )
    before = list(sys.path)
    for directory in filter(None, python_path.split(os.pathsep)):
        site.addsitedir(directory)
        if directory not in sys.path:
            sys.path.append(directory)
    new = [entry for entry in sys.path if entry not in before]
    sys.path[:] = new + before
    if home:
        sys.path.insert(0, home)


# ---- the end ----


def foreign_thread(base: type[threading.Thread]) -> type[threading.Thread]:
    """Returns the class of the objects that threading makes for threads which it has not started, as
    request threads are. Threads inherit from those that start them whether they are daemons, so with
    daemons here, what an application starts in a request would never be waited for at the end.
    """

    class ForeignThread(base):  # type: ignore[valid-type, misc]
        is_foreign = True

        def __init__(self) -> None:
            super().__init__()
            self._daemonic = False

    return ForeignThread


def join_threads() -> bool:
    """Waits for the application's non-daemon threads, as Python does at its end, but not much longer
    than shutdown-timeout allows. Returns False when some still run, which is logged.
    """
    global _threads_run_on
    limit = JOIN_SHARE * float(context.settings.get("shutdown_timeout", 0.0))
    end = (context.stopping_since or time.monotonic()) + limit

    def left() -> float:
        """Returns the seconds that are left; negative when there is no limit."""
        return max(0.05, end - time.monotonic()) if limit > 0 else -1.0

    if _threads_run_on:
        return False
    if not end_executors(left()):
        _threads_run_on = "those of an executor"
    for thread in [] if _threads_run_on else threads_to_join():
        thread.join(left() if limit > 0 else None)
        if thread.is_alive():
            _threads_run_on = thread.name
            break
    if _threads_run_on:
        logs.log(
            logs.WARNING,
            f"WSGI0736: threads of the application ({_threads_run_on}) still run {limit:g} s after "
            "the process began to stop; it ends without them",
        )
    return not _threads_run_on


def end_executors(seconds: float) -> bool:
    """Runs the functions that concurrent.futures has registered for the end of threads. Returns
    False when they are not done within this time.
    """
    functions = getattr(threading, "_threading_atexits", [])
    if not functions:
        return True
    taken, functions[:] = list(reversed(functions)), []
    done = native.Flag()

    def run() -> None:
        for function in taken:
            function()
        done.set()

    native.start("wsgi-executors", run)
    return done.wait(seconds)


def threads_to_join() -> list[threading.Thread]:
    own = (threading.main_thread(), threading.current_thread())
    return [
        thread
        for thread in threading.enumerate()
        if not thread.daemon and not is_foreign(thread) and thread not in own
    ]


def is_foreign(thread: threading.Thread) -> bool:
    """gevent puts another class in the place of ours."""
    return hasattr(thread, "is_foreign") or isinstance(thread, threading._DummyThread)


def shutdown() -> None:
    """Does what CPython does when an interpreter ends: non-daemon threads are joined, then atexit
    functions run. Is called once.
    """
    for act in _before_end:
        act()
    if not context.settings.get("destroy_interpreter", True):
        return
    join_threads()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
