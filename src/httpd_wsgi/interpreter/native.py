"""Threads, locks and waiting that monkey patching does not reach.

gevent and eventlet replace functions and classes of threading, _thread, select, socket and time when
an application asks them to. Threads are greenlets then, and whoever waits in the main thread of a
worker waits for ever. This module is imported before any application, and has the originals.
"""

from __future__ import annotations

import sys
import threading
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from select import poll
from socket import socket
from time import sleep

__all__ = [
    "Flag",
    "allocate_lock",
    "poll",
    "settle",
    "sleep",
    "socket",
    "start",
    "start_new_thread",
]


class Flag:
    """As threading.Event, but it is never cleared."""

    def __init__(self) -> None:
        self.unset = allocate_lock()  # held until the flag is set
        self.unset.acquire()
        self.guard = allocate_lock()
        self.value = False  # under guard

    def is_set(self) -> bool:
        return self.value

    def set(self) -> None:
        with self.guard:
            if not self.value:
                self.value = True
                self.unset.release()

    def wait(self, seconds: float = -1) -> bool:
        """Returns whether the flag is set, at the latest after this time."""
        if self.value:
            return True
        if seconds < 0:
            self.unset.acquire()
        elif not self.unset.acquire(timeout=seconds):
            return self.value
        self.unset.release()
        return True


def start(name: str, run: Callable[[], None]) -> None:
    """Starts a thread and returns when it has its name; it does not keep the process from ending."""
    has_name = allocate_lock()
    has_name.acquire()

    def begin() -> None:
        try:
            # The threading module makes an object for a thread that it has not started
            threading.current_thread().name = name
        finally:
            has_name.release()
        run()

    start_new_thread(begin, ())
    has_name.acquire()


def settle() -> None:
    """In a thread that is about to run the application's code: what applications have set for all
    new threads, such as a tracer, counts here, too.
    """
    if (trace := threading.gettrace()) is not None:
        sys.settrace(trace)
    if (profile := threading.getprofile()) is not None:
        sys.setprofile(profile)
