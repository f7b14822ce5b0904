"""Subscriptions to what happens in the server: the callbacks of this interpreter, and how they are
called.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import context
from httpd_wsgi.interpreter.tracebacks import format_exception
from httpd_wsgi.shared import reasons, wire

Callback = TypeVar("Callback")

event_callbacks: list[Callable[..., Any]] = _runtime.event_callbacks
shutdown_callbacks: list[Callable[..., Any]] = []
signal_callbacks: list[Callable[..., Any]] = []

_RECEIVERS = {
    "process_stopping": (event_callbacks, shutdown_callbacks),
    "process_signal": (event_callbacks, signal_callbacks),
}
_is_stopping = False
_first_subscribers: list[Callable[[str], None]] = []
_has_signals = False


def configure(has_signals: bool) -> None:
    """Signals are published in daemon processes only; Apache's own are Apache's."""
    global _has_signals
    _has_signals = has_signals


def subscribe_first(callback: Callable[[str], None]) -> None:
    """The server's own interest in process_stopping: callback(reason) before any subscriber."""
    _first_subscribers.append(callback)


def check(callback: object) -> None:
    if not callable(callback):
        raise TypeError(f"a subscriber must be callable, not {callback!r:.80}")


def subscribe_events(callback: Callback, /) -> Callback:
    """callback(name, **event) for every event of this interpreter."""
    check(callback)
    event_callbacks.append(callback)  # type: ignore[arg-type]
    return callback


def subscribe_shutdown(callback: Callback, /) -> Callback:
    """callback("process_stopping", shutdown_reason=…) when this process is about to end."""
    check(callback)
    shutdown_callbacks.append(callback)  # type: ignore[arg-type]
    return callback


def subscribe_signals(callback: Callback, /) -> Callback:
    """callback("process_signal", signame=…, signum=…) when this daemon process receives SIGHUP or
    SIGUSR2.
    """
    check(callback)
    if _has_signals:
        signal_callbacks.append(callback)  # type: ignore[arg-type]
    else:
        stack = "".join(traceback.format_stack(sys._getframe(1))).rstrip()
        text = "WSGI0440: subscribe_signals() has no effect outside daemon processes; called here:"
        _runtime.log(wire.INFO, f"{text}\n{stack}")
    return callback


def publish(name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Calls the subscribers in their order; what one returns, the next ones see. Their exceptions
    are logged, but for RequestTimeout, which is meant for the request and goes on to it.
    """
    for callbacks in _RECEIVERS.get(name, (event_callbacks,)):
        for callback in list(callbacks):
            try:
                changes = callback(name, **event)
                if isinstance(changes, dict):
                    event.update(changes)
            except _runtime.RequestTimeout:
                raise
            except BaseException as exc:
                log_failure(name, callback, exc)
    return event


def log_failure(name: str, callback: object, exc: BaseException) -> None:
    lines = "\n".join(format_exception(exc))
    text = f"WSGI0441: the subscriber {callback!r} failed at event {name}; the exception is ignored"
    _runtime.log(wire.ERR, f"{text}\n{lines}".encode("utf-8", "backslashreplace").decode())


# Called in every interpreter by _runtime.tell_all().


def stopping(reason: str, number: int, /) -> None:
    global _is_stopping
    if not _is_stopping:
        _is_stopping = True
        if reason in ("", reasons.STOP):  # else requests may have time, and the limit begins later
            context.stopping_since = time.monotonic()
        for callback in _first_subscribers:
            callback(reason)
        publish("process_stopping", {"shutdown_reason": reason})


def write_stacks(_: str, fd: int, /) -> None:
    from httpd_wsgi.interpreter.dump import dump

    dump(fd)


def signalled(name: str, number: int, /) -> None:
    publish("process_signal", {"signame": name, "signum": number})
