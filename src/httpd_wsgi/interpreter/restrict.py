"""WSGIRestrictStdin, WSGIRestrictStdout and WSGIRestrictSignal: what applications had better leave
alone in a server.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from httpd_wsgi.shared import logs


class Restricted:
    """Stands for a stream; exists and is true, but has no attributes."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getattribute__(self, attribute: str) -> NoReturn:
        name = object.__getattribute__(self, "_name")
        raise OSError(
            f"{name} is not available to WSGI applications here (WSGIRestrict{name.removeprefix('sys.').title()} On)"
        )


def intercept_signal() -> None:
    """The server's own handlers stay: one that an application installs would keep workers from
    draining.
    """
    original: Callable[..., Any] = signal.signal
    owner = os.getpid()

    def intercepted(signalnum: int, handler: Any, /) -> Any:
        if os.getpid() != owner:  # a child of the application
            return original(signalnum, handler)
        previous = signal.getsignal(signalnum)
        number = int(signalnum)
        logs.log(
            logs.INFO,
            f"WSGI0804: a handler for signal {number} is not installed (WSGIRestrictSignal On); asked for here:",
        )
        for line in "".join(traceback.format_stack(sys._getframe(1))).splitlines():
            logs.log(logs.INFO, line)
        return previous

    signal.signal = intercepted  # type: ignore[assignment]


def apply(options: dict[str, str], settings: dict[str, Any]) -> None:
    if options.get("restrict_stdin") == "1":
        sys.stdin = Restricted("sys.stdin")
    if options.get("restrict_stdout") == "1":
        sys.stdout = Restricted("sys.stdout")
    is_service = not settings.get("embedded") and settings.get("threads") == 0
    if options.get("restrict_signal", "1") == "1" and not is_service:
        intercept_signal()
