"""Exceptions and stacks as applications' authors want to see them: without this package's own
frames.
"""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import threading
import traceback
from collections.abc import Iterable
from types import FrameType

import httpd_wsgi
from httpd_wsgi.interpreter import context

PACKAGE = os.path.abspath(httpd_wsgi.__path__[0]) + os.sep  # how the file names of its frames begin
_IMPORTERS = ("<frozen importlib", os.path.dirname(importlib.__file__) + os.sep, threading.__file__)


def format_exception(exc: BaseException) -> list[str]:
    """The traceback's lines without this package's own frames."""
    formatted = traceback.TracebackException.from_exception(exc)
    _strip(formatted, set())
    lines = [line for part in formatted.format() for line in part.rstrip("\n").split("\n")]
    return lines + missing_module(exc)


def missing_module(exc: BaseException) -> list[str]:
    """Where it was looked for: the usual cause is that it is installed for another Python."""
    if (
        not isinstance(exc, ModuleNotFoundError)
        or not exc.name
        or exc.name.partition(".")[0] in sys.modules
    ):
        return []
    version = ".".join(map(str, sys.version_info[:3]))
    closed = sorted(set(filter(None, map(closed_directory, sys.path))))
    if closed:
        return [
            f"Python {version} of {sys.prefix} found no {exc.name}, and uid {os.geteuid()} may not "
            f"enter or list {', '.join(closed)}; run \"chmod o+rx {' '.join(closed)}\" or move what "
            "is there, if it is to be found"
        ]
    python = os.path.join(sys.prefix, "bin", "python")
    return [
        f"Python {version} of {sys.prefix} found no {exc.name} in "
        f"{', '.join(filter(None, sys.path))}; install it there "
        f'("{python} -m pip install NAME"), or name the Python that has it with python-home= or its '
        'directory with python-path='
    ]


def closed_directory(path: str) -> str:
    """The directory that keeps this process from looking for modules in `path`, or ""."""
    place = os.path.abspath(path)
    while not os.access(place, os.R_OK | os.X_OK):
        above = os.path.dirname(place)
        if os.access(above, os.X_OK) or above == place:
            return place if os.path.isdir(place) else ""
        place = above
    return ""


def stack_of(frame: FrameType | None, ident: int) -> str:
    """Where a thread of this interpreter is; without this package's own frames. The thread named by
    ident is looked for.
    """
    if ident and context.settings.get("application_group") and not context.settings.get("embedded"):
        # A worker's request threads began in the main interpreter, and it is their frames there
        # that would be found.
        return "(not known: a Python without interpreter lock does not tell where a thread of a sub-interpreter is)"
    frame = sys._current_frames().get(ident) if ident else frame
    if frame is None:
        return "(no Python code)"
    frames = application_frames(traceback.extract_stack(frame))
    return "".join(traceback.format_list(frames)).rstrip("\n") or "(no Python code)"


def application_frames(stack: Iterable[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """Without this package's, and without those that led from it to the application: the import
    system, the start of a thread.
    """
    others = (frame for frame in stack if not frame.filename.startswith(PACKAGE))
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
