"""Inside each interpreter that runs applications: set-up, script modules, tracebacks, shutdown.

The runtime (src/runtime) calls these functions; applications never do.
"""

from __future__ import annotations

import atexit
import builtins
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import io
import itertools
import os
import site
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any

import httpd_wsgi
from httpd_wsgi import _runtime, api
from httpd_wsgi.interpreter import restrict
from httpd_wsgi.interpreter.events import publish as publish  # the runtime looks for it here
from httpd_wsgi.shared import logs


class Stale(Exception):
    """The script on disk is not the one this process has loaded, which is the argument; in a daemon another process must serve
    the request, unless the new one is known not to load.
    """


_settings: dict[str, Any] = {}
_locks: dict[str, threading.Lock] = {}
_targets: dict[str, tuple[Any, ModuleType, int, bytes]] = {}
_locks_guard = threading.Lock()
_last_words: list[Callable[[], None]] = []  # for shutdown()


def setup(application_group: str, settings: dict[str, Any]) -> None:
    _settings.update(settings, application_group=application_group)
    logs.set_level(settings.get("log_level", 6))
    options = options_for(application_group)
    io.TextIOBase.register(_runtime.Stream)
    sys.stdout = _runtime.Stream("<stdout>")
    sys.stderr = _runtime.Stream("<stderr>")
    api.install(application_group, settings)
    restrict.apply(options, _settings)
    if not application_group:
        check_free_threading()
    for path in options["python_paths"]:
        add_paths(path, "")
    add_paths("", settings.get("home") or "")
    api.adopt_installed(settings)
    set_switch_interval(options, application_group)
    if settings.get("telemetry"):
        start_telemetry(application_group, settings)
    if settings.get("slow_log") and not application_group:
        start_slow_log(settings)


def start_telemetry(application_group: str, settings: dict[str, Any]) -> None:
    """A worker starts the main interpreter's when it is ready, an Apache process is with its interpreter."""
    if application_group:
        from httpd_wsgi.interpreter import gcwatch

        gcwatch.install(application_group, settings["telemetry"]["interval"])
    elif settings["embedded"]:
        from httpd_wsgi.interpreter import telemetry

        telemetry.start(settings)
        _last_words.append(lambda: telemetry.stopped(graceful=True))


def start_slow_log(settings: dict[str, Any]) -> None:
    """In an Apache process; a worker's supervisor looks for itself."""
    from httpd_wsgi.interpreter import slowlog

    limit, where = settings["slow_log"]
    if limit > 0:
        slowlog.start(limit, where, settings["threads"])


def options_for(application_group: str) -> dict[str, Any]:
    """The options of one interpreter: the top level's, overridden by sections, the more specific ones last; later ones win.

    Paths are not overridden but put in front of each other: "python_paths" has them in the order to add.
    """
    chosen = [
        (("application_group" in section) + ("specific" in section), section)
        for section in _settings.get("interpreters", [])
        if section.get("application_group", application_group) == application_group
    ]
    options: dict[str, Any] = {}
    paths = []
    for _, section in sorted(chosen, key=lambda pair: pair[0]):
        options.update(section)
        if "switch_interval" in section:
            options["switch_interval_is_own"] = "application_group" in section
        if section.get("python_path"):
            paths.append(section["python_path"])
    return {**options, "python_paths": paths}


def runs_without_lock() -> bool:
    return not getattr(sys, "_is_gil_enabled", lambda: True)()


def check_free_threading() -> None:
    if _settings.get("free_threading") and not runs_without_lock():
        logs.log(
            logs.WARNING,
            f"WSGI0831: WSGIFreeThreading On has no effect: {sys.executable} is not a free-threaded Python (3.13t and newer) "
            "or runs with its lock; requests take turns as usual",
        )


def wants_own_gil(application_group: str) -> bool:
    """For sub-interpreters; asked in the main interpreter."""
    if options_for(application_group).get("own_gil") != "1":
        return False
    if runs_without_lock():
        logs.log(logs.WARNING, "WSGI0832: WSGIPerInterpreterGIL has no effect with WSGIFreeThreading On: there is no lock at all")
        return False
    if sys.version_info >= (3, 12):
        return True
    version = ".".join(map(str, sys.version_info[:2]))
    logs.log(logs.WARNING, f"WSGI0802: WSGIPerInterpreterGIL needs Python 3.12 or newer; this is {version}, so it has no effect")
    return False


def set_switch_interval(options: dict[str, Any], application_group: str) -> None:
    seconds = options.get("switch_interval") or _settings.get("switch_interval")
    if not seconds:
        return
    if runs_without_lock():
        logs.log(logs.WARNING, "WSGI0833: WSGISwitchInterval has no effect with WSGIFreeThreading On: threads do not take turns")
        return
    if application_group and options.get("switch_interval_is_own") and options.get("own_gil") != "1":
        logs.log(
            logs.WARNING,
            f"WSGI0803: WSGISwitchInterval for application group {application_group} has no effect: "
            "it shares its lock with other interpreters; see WSGIPerInterpreterGIL",
        )
        return
    sys.setswitchinterval(float(seconds))


def add_paths(python_path: str, home: str) -> None:
    """Each directory as a site directory (`.pth` files count); what is new goes to the front, in the order given."""
    for directory in filter(None, python_path.split(os.pathsep)):
        if not os.path.isdir(directory):
            logs.log(logs.WARNING, f"WSGI0801: {directory} of the Python path is not a directory; it is used all the same")
    before = list(sys.path)
    for directory in filter(None, python_path.split(os.pathsep)):
        site.addsitedir(directory)
        if directory not in sys.path:
            sys.path.append(directory)
    new = [entry for entry in sys.path if entry not in before]
    sys.path[:] = new + before
    if home:
        sys.path.insert(0, home)


# ---- script modules ----


def module_name(script: str) -> str:
    if not _settings.get("case_sensitive", True):
        script = script.lower()
    return "_mod_wsgi_" + hashlib.md5(os.fsencode(script), usedforsecurity=False).hexdigest()


def lock_of(name: str) -> threading.Lock:
    """One lock per script: a slow import delays nobody but those who need that script."""
    with _locks_guard:
        return _locks.setdefault(name, threading.Lock())


def load(script: str, mtime_us: int, reloading: bool, resource: str = "") -> ModuleType:
    """The script's module, executed when it is not loaded or has changed.

    mtime_us is what Apache saw for this request, 0 when unknown; resource is the file asked for, which the script's
    reload_required() is told, "" for scripts that are no applications. Raises whatever the script raises, and Stale when a
    daemon has an older version loaded.
    """
    name = module_name(script)
    with lock_of(name):
        module = sys.modules.get(name)
        if module is not None and not (reloading and (changed(module, script, mtime_us) or wants_reload(module, resource))):
            return module
        if module is not None and _settings.get("process_group"):
            raise Stale(module)
        return execute(name, script)


def changed(module: ModuleType, script: str, mtime_us: int) -> bool:
    loaded = getattr(module, "__mtime__", None)
    if not isinstance(loaded, int):
        return True
    if mtime_us == loaded:
        return False
    # Apache's view may be older than the file that was just loaded for another request.
    try:
        return os.stat(script).st_mtime_ns // 1000 != loaded
    except OSError:
        return True


def wants_reload(module: ModuleType, resource: str) -> bool:
    """What the module's own reload_required(resource) says; when it fails, the failure is logged and the code stays."""
    function = vars(module).get("reload_required")
    if function is None or not resource:
        return False
    try:
        return bool(function(resource))
    except Exception as exc:
        head = f"WSGI0830: reload_required() of {module.__file__} raised; the loaded code stays in use:"
        _runtime.log(3, "\n".join([head, *format_exception(exc)]))
        return False


# ---- modules as targets ----


def load_target(spec: str, mtime_us: int, reloading: bool, in_place: bool = False) -> tuple[Any, ModuleType, int, bytes]:
    """What "module:callable" or "module:factory()" names, imported as usual; its module, its file's time, its file.

    The rules for reloading are those of load(), with the module's file in place of the script: code that it imports stays. In
    place means that a daemon, too, imports it again in this process.
    """
    name, _, path = spec.partition(":")
    with lock_of(spec):
        known = _targets.get(spec)
        if known is not None and not (reloading and target_changed(known, mtime_us, spec)):
            return known
        if known is not None and _settings.get("process_group") and not in_place:
            raise Stale(known)
        if known is not None and sys.modules.get(name) is known[1]:
            del sys.modules[name]
        location = importlib.util.find_spec(name)
        file = (location.origin or "") if location and location.has_location else ""
        loaded_us = os.stat(file).st_mtime_ns // 1000 if file else 0  # before it is read: a later change must show
        module = importlib.import_module(name)
        found = find_in(module, path.removesuffix("()"))
        _targets[spec] = (found() if path.endswith("()") else found, module, loaded_us, os.fsencode(file))
        return _targets[spec]


def find_in(module: ModuleType, path: str) -> Any:
    """What "name" or "name.attribute" names in a module."""
    first, _, _ = path.partition(".")
    if not hasattr(module, first):
        said = describe_callables(module, first)
        raise AttributeError(f"module {module.__name__} ({module.__file__}) has no attribute {first!r}; {said}")
    return functools.reduce(getattr, path.split("."), module)


def target_changed(known: tuple[Any, ModuleType, int, bytes], mtime_us: int, spec: str) -> bool:
    _, module, loaded_us, file = known
    if mtime_us != loaded_us and file:
        try:
            if os.stat(file).st_mtime_ns // 1000 != loaded_us:
                return True
        except OSError:
            return True
    return wants_reload(module, spec)


def execute(name: str, script: str) -> ModuleType:
    with open(script, "rb") as file:
        mtime_us = os.fstat(file.fileno()).st_mtime_ns // 1000
        source = file.read()
    loader = importlib.machinery.SourceFileLoader(name, script)
    spec = importlib.util.spec_from_loader(name, loader, origin=script)
    module = ModuleType(name)
    module.__file__ = script
    module.__loader__ = loader
    module.__spec__ = spec
    module.__dict__["__cached__"] = None
    code = builtins.compile(source, script, "exec", dont_inherit=True)
    sys.modules[name] = module
    try:
        exec(code, module.__dict__)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    module.__dict__["__mtime__"] = mtime_us
    return module


def describe_callables(module: ModuleType, wanted: str) -> str:
    """For the message about a missing callable: what the file defines itself, and what was probably meant."""
    names = sorted(name for name, value in vars(module).items() if not name.startswith("_") and is_own(value, module))
    if not names:
        return "it defines no callable"
    import difflib  # here, since it is only needed when something is wrong

    near = difflib.get_close_matches(wanted, names, 1)
    return f"it defines {', '.join(names)}" + (f"; did you mean {near[0]}?" if near and len(names) > 1 else "")


def is_own(value: object, module: ModuleType) -> bool:
    """A callable that the module made: functions and classes know where they come from, other objects were made for it.

    Only the type is asked: the attributes of a proxy such as flask.request raise outside of a request.
    """
    if issubclass(type(value), type | FunctionType | BuiltinFunctionType):
        return getattr(value, "__module__", None) == module.__name__
    return callable(value)


# ---- failures and the end ----


def format_exception(exc: BaseException) -> list[str]:
    """The traceback's lines without this package's own frames."""
    formatted = traceback.TracebackException.from_exception(exc)
    _strip(formatted, set())
    lines = [line for part in formatted.format() for line in part.rstrip("\n").split("\n")]
    return lines + missing_module(exc)


def missing_module(exc: BaseException) -> list[str]:
    """Where it was looked for: the usual cause is that it is installed for another Python."""
    if not isinstance(exc, ModuleNotFoundError) or not exc.name or exc.name.partition(".")[0] in sys.modules:
        return []
    version = ".".join(map(str, sys.version_info[:3]))
    python = os.path.join(sys.prefix, "bin", "python")
    return [
        f"Python {version} of {sys.prefix} found no {exc.name} in {', '.join(filter(None, sys.path))}; install it there "
        f'("{python} -m pip install …"), or name the Python that has it with python-home= or its directory with python-path='
    ]


def stack_of(frame: FrameType | None, ident: int) -> str:
    """Where a thread of this interpreter is; without this package's own frames. The thread named by ident is looked for."""
    if ident and _settings.get("application_group") and not _settings.get("embedded"):
        # A worker's request threads began in the main interpreter, and it is their frames there that would be found.
        return "(not known: a Python without interpreter lock does not tell where a thread of a sub-interpreter is)"
    frame = sys._current_frames().get(ident) if ident else frame
    if frame is None:
        return "(no Python code)"
    frames = application_frames(traceback.extract_stack(frame))
    return "".join(traceback.format_list(frames)).rstrip("\n") or "(no Python code)"


_HERE = os.path.abspath(httpd_wsgi.__path__[0]) + os.sep
_IMPORTERS = ("<frozen importlib", os.path.dirname(importlib.__file__) + os.sep, threading.__file__)


def application_frames(stack: Iterable[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Without this package's, and without those that led from it to the application: the import system, the start of a thread."""
    others = (frame for frame in stack if not frame.filename.startswith(_HERE))
    return list(itertools.dropwhile(lambda frame: frame.filename.startswith(_IMPORTERS), others))


def _strip(formatted: traceback.TracebackException, seen: set[int]) -> None:
    if id(formatted) in seen:
        return
    seen.add(id(formatted))
    formatted.stack[:] = application_frames(formatted.stack)
    members = getattr(formatted, "exceptions", None) or []  # of an exception group, Python 3.11
    for other in (formatted.__cause__, formatted.__context__, *members):
        if other is not None:
            _strip(other, seen)


def shutdown() -> None:
    """What CPython does when an interpreter ends: non-daemon threads, then atexit. Called once."""
    for say in _last_words:
        say()
    if not _settings.get("destroy_interpreter", True):
        return
    for function in reversed(getattr(threading, "_threading_atexits", [])):
        function()
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread is threading.current_thread() or thread.daemon:
            continue
        thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
