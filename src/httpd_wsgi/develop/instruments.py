"""`httpd-wsgi express --debug-mode` and its like: the application with a terminal, pdb, a profiler
or coverage around it.

The group's only worker, with one thread, serves this module in the application's place. What is
wanted stands in the environment, as command/express/modes.py puts it there.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import IO, Any, TypeVar

from httpd_wsgi import _runtime
from httpd_wsgi.develop import debugger

T = TypeVar("T")


def open_terminal(path: str) -> tuple[IO[str], IO[str]]:
    """For reading and for writing. It must not become this process's own, or Ctrl-C would reach it
    past the command.
    """
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
    return os.fdopen(fd, "r"), os.fdopen(os.dup(fd), "w", buffering=1)


def use_terminal(path: str) -> None:
    """breakpoint() and pdb.set_trace() talk to the streams of sys."""
    sys.stdin, sys.stdout = open_terminal(path)


# ---- pdb ----


def make_debugger() -> Any:
    import pdb  # it takes long to import, and only debugging needs it

    return pdb.Pdb(stdin=sys.stdin, stdout=sys.stdout, nosigint=True)


def post_mortem(trace: TracebackType | None) -> None:
    own = os.path.abspath(__file__)
    while trace and trace.tb_next and os.path.abspath(trace.tb_frame.f_code.co_filename) == own:
        trace = trace.tb_next
    debug = make_debugger()
    debug.reset()
    debug.interaction(None, trace)


def examined(function: Callable[..., T], *arguments: Any) -> T:
    """Calls it; an exception goes to pdb before it goes on."""
    try:
        return function(*arguments)
    except StopIteration:
        raise
    except Exception as exc:
        print(f"{type(exc).__name__}: {exc}", file=sys.stdout)
        post_mortem(exc.__traceback__)
        raise


# ---- the profiler ----


class Profiler:
    """Collects what the application does in requests, and writes it at the end."""

    def __init__(self, directory: str) -> None:
        import cProfile

        self.profile = cProfile.Profile()
        self.path = os.path.join(
            directory, f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.pstats"
        )
        atexit.register(self.write)

    def measured(self, function: Callable[..., T], *arguments: Any) -> T:
        self.profile.enable()
        try:
            return function(*arguments)
        finally:
            self.profile.disable()

    def write(self) -> None:
        self.profile.dump_stats(self.path)
        print(f"profile written: python -m pstats {self.path}", file=sys.stderr)


# ---- coverage ----


def start_coverage(directory: str) -> None:
    import coverage  # a package of the application's environment

    collected = coverage.Coverage(
        data_file=None, source=[os.environ.get("HTTPD_WSGI_COVERAGE_SOURCE") or os.getcwd()]
    )
    collected.start()

    def write() -> None:
        collected.stop()
        try:
            collected.html_report(directory=directory)
        except coverage.CoverageException as exc:
            print(f"no coverage report: {exc}", file=sys.stderr)
        else:
            print(f"coverage report written: {directory}/index.html", file=sys.stderr)

    atexit.register(write)


def traced(function: Callable[..., T], *arguments: Any) -> T:
    """Threads of the server were not started by Python, so what watches new threads has not seen
    them.
    """
    if sys.gettrace() is None:
        sys.settrace(threading.gettrace())
    return function(*arguments)


# ---- the application ----


class Wrapped:
    """The application's iterable; its items come from it with the same tools around."""

    def __init__(self, result: Iterable[bytes]) -> None:
        self.result = result

    def __iter__(self) -> Iterator[bytes]:
        iterator = call(iter, self.result)
        while True:
            try:
                item = call(next, iterator)
            except StopIteration:
                return
            yield item

    def close(self) -> None:
        close = getattr(self.result, "close", None)
        if close is not None:
            call(close)


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    for tool in TOOLS:
        function, arguments = tool, (function, *arguments)
    return function(*arguments)


def application(
    environ: debugger.Environ, start_response: debugger.StartResponse
) -> Iterable[bytes]:
    result: Iterable[bytes] = call(APPLICATION, environ, start_response)
    if isinstance(result, _runtime.FileWrapper):
        return result
    return Wrapped(result)


def load() -> debugger.Application:
    """With --debugger-startup it is pdb that loads the application: `break`, then `continue`."""
    if "HTTPD_WSGI_BREAK" in os.environ:
        return make_debugger().runcall(debugger.load)  # type: ignore[no-any-return]
    return examined(debugger.load) if "HTTPD_WSGI_POST_MORTEM" in os.environ else debugger.load()


def prepare() -> list[Callable[..., Any]]:
    """What calls go through, the innermost first: pdb must not be measured."""
    tools: list[Callable[..., Any]] = []
    if terminal := os.environ.get("HTTPD_WSGI_TERMINAL"):
        use_terminal(terminal)
    if directory := os.environ.get("HTTPD_WSGI_PROFILE"):
        tools.append(Profiler(directory).measured)
    if directory := os.environ.get("HTTPD_WSGI_COVERAGE"):
        start_coverage(directory)
        tools.append(traced)
    if "HTTPD_WSGI_POST_MORTEM" in os.environ:
        tools.append(examined)
    return tools


TOOLS = prepare()
APPLICATION = load()
