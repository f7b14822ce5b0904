"""`httpd-wsgi serve --reload` and `--debug`: the application, or the page that says why it could not
be loaded.

The worker serves this module in the application's place. It is imported when the worker starts, and
loads the application then, once: a second attempt in the same process would meet modules that are
half imported. When a file changes, reloader.py has the worker replaced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from httpd_wsgi.develop import debugger
from httpd_wsgi.interpreter import tracebacks


def load() -> tuple[debugger.Application | None, Exception | None]:
    try:
        return debugger.load(), None
    except SystemExit as exc:
        error: Exception = RuntimeError(f"it called sys.exit({exc.code!r}) while it was loaded")
        error.__traceback__ = exc.__traceback__
    except Exception as exc:
        error = exc
    target = os.environ["HTTPD_WSGI_DEBUG_TARGET"]
    lines = [f"{target} could not be loaded:", *tracebacks.format_exception(error)]
    print("\n".join(lines), file=sys.stderr)
    return None, error


APPLICATION, ERROR = load()
# Of requests; tracebacks of loading are shown with --reload alone, too
WITH_TRACEBACKS = "HTTPD_WSGI_DEBUG" in os.environ


def application(
    environ: debugger.Environ, start_response: debugger.StartResponse
) -> Iterable[bytes]:
    if APPLICATION is None:
        assert ERROR is not None
        return debugger.show(ERROR, environ, start_response)
    if WITH_TRACEBACKS:
        return debugger.watched(APPLICATION, environ, start_response)
    return APPLICATION(environ, start_response)
