"""The modules `mod_wsgi` and `apache` that applications import inside the server.
docs/python-api.md describes them.

Each interpreter has modules of its own.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import httpd_wsgi
from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import events, metrics
from httpd_wsgi.shared import logs

COMPATIBLE_VERSION = (6, 1, 1)

_FUNCTIONS = {
    "request_data": _runtime.request_data,
    "subscribe_events": events.subscribe_events,
    "subscribe_shutdown": events.subscribe_shutdown,
    "subscribe_signals": events.subscribe_signals,
    "start_recording_metrics": metrics.start_recording_metrics,
    "request_metrics": metrics.request_metrics,
    "process_metrics": metrics.process_metrics,
    "server_metrics": metrics.server_metrics,
}
NAMES = {  # of mod_wsgi
    *_FUNCTIONS,
    *("version", "implementation", "implementation_version", "process_group", "application_group"),
    *("maximum_processes", "threads_per_process", "FileWrapper", "RequestTimeout", "LogHandler"),
    *("event_callbacks", "shutdown_callbacks", "signal_callbacks", "active_requests"),
}


def mod_wsgi_module(application_group: str, settings: dict[str, Any]) -> ModuleType:
    module = ModuleType("mod_wsgi", "The WSGI server this application runs in (httpd-wsgi).")
    module.__spec__ = ModuleSpec("mod_wsgi", None)

    def late(name: str) -> Any:
        """LogHandler needs the logging package, which many applications never import."""
        if name != "LogHandler":
            raise AttributeError(f"module 'mod_wsgi' has no attribute {name!r}")
        from httpd_wsgi.interpreter.handler import LogHandler

        module.__dict__[name] = LogHandler
        return LogHandler

    module.__dict__.update(
        _FUNCTIONS,
        __getattr__=late,
        __dir__=lambda: sorted({*module.__dict__, "LogHandler"} - {"__getattr__", "__dir__"}),
        version=COMPATIBLE_VERSION,
        implementation="httpd-wsgi",
        implementation_version=httpd_wsgi.__version__,
        process_group=settings.get("process_group", ""),
        application_group=application_group,
        maximum_processes=settings.get("processes", 1),
        threads_per_process=settings.get("threads", 1),
        FileWrapper=_runtime.FileWrapper,
        RequestTimeout=_runtime.RequestTimeout,
        event_callbacks=events.event_callbacks,
        shutdown_callbacks=events.shutdown_callbacks,
        signal_callbacks=events.signal_callbacks,
        active_requests=_runtime.active_requests,
    )
    return module


def apache_facts(settings: dict[str, Any]) -> dict[str, Any]:
    facts = dict(settings.get("apache", {}))
    facts["version"] = tuple(
        int(part) for part in str(facts.get("version", "")).split(".") if part.isdigit()
    )
    return facts


def apache_module(settings: dict[str, Any]) -> ModuleType:
    module = ModuleType("apache", "The Apache httpd this application runs in.")
    module.__spec__ = ModuleSpec("apache", None)
    module.__dict__.update(apache_facts(settings))
    return module


def install(application_group: str, settings: dict[str, Any]) -> None:
    """Before the application's paths are known, so that nothing they hold can come first."""
    events.configure(has_signals=not settings.get("embedded"))
    sys.modules["mod_wsgi"] = mod_wsgi_module(application_group, settings)
    sys.modules["apache"] = apache_module(settings)


def adopt_installed(settings: dict[str, Any]) -> None:
    """What is installed under these names stays importable: `mod_wsgi.express` and its like as
    submodules of ours, and in embedded mode a module `apache`, which gets our attributes.
    """
    path = find_package("mod_wsgi")
    if path:
        module = sys.modules["mod_wsgi"]
        module.__path__ = path
        assert module.__spec__
        module.__spec__.submodule_search_locations = path
    if settings.get("embedded"):
        adopt_apache(settings)


def find_package(name: str) -> list[str]:
    """Where a package is installed, without importing it; importlib itself would only find our
    module.
    """
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, None)
        except Exception as exc:
            logs.log(
                logs.WARNING,
                f"WSGI0820: the search for an installed package {name} failed: {exc!r}; it is ignored",
            )
            continue
        if spec is not None:
            return list(spec.submodule_search_locations or ())
    return []


def adopt_apache(settings: dict[str, Any]) -> None:
    ours = sys.modules.pop("apache")
    try:
        importlib.import_module("apache").__dict__.update(apache_facts(settings))
    except ModuleNotFoundError:
        sys.modules["apache"] = ours
    except Exception as exc:
        logs.log(
            logs.WARNING,
            f"WSGI0821: an installed module apache could not be imported: {exc!r}; the server's own is used",
        )
        sys.modules["apache"] = ours
