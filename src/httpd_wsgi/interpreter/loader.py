"""Scripts and modules in one interpreter: they are loaded once, and again when they have changed.

A process of a daemon group tries to load each of them once only. A failed load leaves modules
behind that are half imported, so the next attempt belongs in a new process, which the supervisor
starts.
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import importlib
import importlib.machinery
import importlib.util
import os
import sys
from _thread import LockType
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, TracebackType
from typing import Any

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import context, native
from httpd_wsgi.interpreter.tracebacks import format_exception
from httpd_wsgi.shared import wire

CO_COROUTINE = 0x80  # of inspect, which takes long to import
_locks: dict[str, LockType] = {}
_targets: dict[str, tuple[Any, ModuleType, int, bytes]] = {}
_locks_guard = native.allocate_lock()


class Stale(Exception):
    """The file on disk is not the one that this process has loaded, or has failed to load; in a
    daemon another process must serve the request, unless the new version is known not to load. The
    argument is then used instead: what this process has loaded, or the exception it failed with.
    """


class Failure:
    """A load that failed. Immutable, so any thread may read it."""

    def __init__(self, exc: BaseException, file: str, mtime_us: int) -> None:
        self.exc = exc
        self.traceback: TracebackType | None = exc.__traceback__
        self.file = file
        self.mtime_us = mtime_us  # of the file when it was read; 0 when it was not found


_failures: dict[str, Failure] = {}  # by module name or target; each under the lock of its name


def fail_again(key: str, mtime_us: int, reloading: bool) -> None:
    """Raises the exception of an earlier attempt, or Stale when the file has changed since."""
    failure = _failures.get(key)
    if failure is None:
        return
    exc = failure.exc.with_traceback(failure.traceback)
    is_known = mtime_us == failure.mtime_us or not failure.file
    if reloading and not is_known and mtime_of(failure.file) != failure.mtime_us:
        raise Stale(exc)
    raise exc


def mtime_of(file: str) -> int:
    """Returns the modification time in microseconds, 0 when there is no file."""
    try:
        return os.stat(file).st_mtime_ns // 1000 if file else 0
    except OSError:
        return 0


def is_daemon() -> bool:
    return bool(context.settings.get("process_group"))


# ---- script modules ----


def module_name(script: str) -> str:
    if not context.settings.get("case_sensitive", True):
        script = script.lower()
    return "_mod_wsgi_" + hashlib.md5(os.fsencode(script), usedforsecurity=False).hexdigest()


def lock_of(name: str) -> LockType:
    """One lock per script: a slow import delays nobody but those who need that script."""
    with _locks_guard:
        return _locks.setdefault(name, native.allocate_lock())


def load(
    script: str, mtime_us: int, reloading: bool, resource: str = "", in_place: bool = False
) -> ModuleType:
    """Returns the script's module, which is executed when it is not loaded or has changed.

    mtime_us is what Apache saw for this request, 0 when unknown; resource is the file asked for,
    the argument of the script's reload_required(), "" for scripts that are no applications.
    in_place: a daemon, too, tries again in this process after a failure. Raises whatever the script
    raises, and Stale when a daemon has loaded an older version.
    """
    name = module_name(script)
    with lock_of(name):
        module = sys.modules.get(name)
        if module is not None and not (
            reloading and (changed(module, script, mtime_us) or wants_reload(module, resource))
        ):
            return module
        if module is not None and is_daemon():
            raise Stale(module)
        if in_place or not is_daemon():
            return execute(name, script)
        fail_again(name, mtime_us, reloading)
        mtime_us = mtime_of(script)
        try:
            return execute(name, script)
        except BaseException as exc:
            _failures[name] = Failure(exc, script, mtime_us)
            raise


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
    """What the module's own reload_required(resource) says; when it fails, the failure is logged
    and the code stays.
    """
    function = vars(module).get("reload_required")
    if function is None or not resource:
        return False
    try:
        return bool(function(resource))
    except Exception as exc:
        head = f"WSGI0830: reload_required() of {module.__file__} raised; the loaded code stays in use:"
        _runtime.log(wire.ERR, "\n".join([head, *format_exception(exc)]))
        return False


# ---- modules as targets ----


def load_target(
    spec: str, mtime_us: int, reloading: bool, in_place: bool = False
) -> tuple[Any, ModuleType, int, bytes]:
    """Returns what "module:callable" or "module:factory()" names, imported as usual; its module, its
    file's time, its file.

    The rules for reloading are those of load(), with the module's file in place of the script: code
    that it imports stays. In place means that a daemon, too, imports it again in this process.
    """
    name, _, path = spec.partition(":")
    with lock_of(spec):
        known = _targets.get(spec)
        if known is not None and not (reloading and target_changed(known, mtime_us, spec)):
            return known
        if known is not None and is_daemon() and not in_place:
            raise Stale(known)
        if known is not None and sys.modules.get(name) is known[1]:
            del sys.modules[name]
        if not in_place and is_daemon():
            fail_again(spec, mtime_us, reloading)
        file, loaded_us = "", 0
        try:
            location = importlib.util.find_spec(name)
            file = (location.origin or "") if location and location.has_location else ""
            loaded_us = mtime_of(file)  # before the file is read, so that a later change shows
            if file:
                _runtime.note_module_file(os.fsencode(spec), os.fsencode(file), loaded_us)
            module = importlib.import_module(name)
            application = application_in(module, path, spec)
        except BaseException as exc:
            if not in_place and is_daemon():
                _failures[spec] = Failure(exc, file, loaded_us)
            raise
        _targets[spec] = (application, module, loaded_us, os.fsencode(file))
        return _targets[spec]


def application_in(module: ModuleType, path: str, spec: str) -> Any:
    """Returns the callable that "name" or "factory()" stands for."""
    found = find_in(module, path.removesuffix("()"))
    is_factory = path.endswith("()")
    application = found() if is_factory else found
    if not callable(application):
        returned = f"returned {application!r:.80}, which is not callable"
        raise TypeError(f"{spec} {returned if is_factory else objection(application)}")
    return application


def find_in(module: ModuleType, path: str) -> Any:
    """Returns what "name" or "name.attribute" names in a module."""
    first, _, _ = path.partition(".")
    if not hasattr(module, first):
        said = describe_callables(module, first)
        raise AttributeError(
            f"module {module.__name__} ({module.__file__}) has no attribute {first!r}; {said}"
        )
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
    """For the message about a missing callable: what the file defines itself, and what was probably
    meant.
    """
    names = sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and is_own(value, module)
    )
    if not names:
        return "it defines no callable"
    import difflib  # here, since it is only needed when something is wrong

    near = difflib.get_close_matches(wanted, names, 1)
    return f"it defines {', '.join(names)}" + (
        f"; did you mean {near[0]}?" if near and len(names) > 1 else ""
    )


def objection(application: object) -> str:
    """Why this object is no WSGI application, with a hint; "" when it may be one."""
    if not callable(application):
        return (
            f"is there and is not callable (its value is of type {type(application).__name__}); "
            "it must be a function application(environ, start_response) or an object with __call__"
        )
    if is_asynchronous(application):
        return (
            "is asynchronous and looks like ASGI, which is not served yet; wrap it, for example "
            "with ASGIMiddleware of the package a2wsgi, or name the WSGI application of the "
            "framework (wsgi.py instead of asgi.py)"
        )
    return ""


def is_asynchronous(function: Any) -> bool:
    """Is this, or the __call__ of its type, made with async def?"""
    while isinstance(function, functools.partial):
        function = function.func
    if not isinstance(function, type | FunctionType | MethodType):
        function = type(function).__call__
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return bool(code and code.co_flags & CO_COROUTINE)


def is_own(value: object, module: ModuleType) -> bool:
    """A callable that the module made: functions and classes know where they come from, other
    objects were made for it.

    Only the type is asked: the attributes of a proxy such as flask.request raise outside of a
    request.
    """
    if issubclass(type(value), type | FunctionType | BuiltinFunctionType):
        return getattr(value, "__module__", None) == module.__name__
    return callable(value)
