"""What the runtime (src/runtime) looks up by name in each interpreter, besides functions of
events.py and hooks.py.
"""

from httpd_wsgi.interpreter.events import publish
from httpd_wsgi.interpreter.loader import (
    Stale,
    describe_callables,
    load,
    load_target,
    objection,
)
from httpd_wsgi.interpreter.setup import setup, shutdown, wants_own_gil
from httpd_wsgi.interpreter.tracebacks import format_exception, stack_of

__all__ = [
    "Stale",
    "describe_callables",
    "format_exception",
    "load",
    "load_target",
    "objection",
    "publish",
    "setup",
    "shutdown",
    "stack_of",
    "wants_own_gil",
]
