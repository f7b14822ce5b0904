"""The thread that sends what this process does to WSGITelemetryService: one per process, in its
main interpreter.

A collector may come and go and may be slow: what cannot be sent at once is dropped.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

import httpd_wsgi
from httpd_wsgi import _runtime
from httpd_wsgi.interpreter import datagram, events, gcwatch, metrics, native

SEND_BUFFER = 65536
LAST_WAIT = 0.5  # seconds that the end of the process may wait for a tick that is being sent


class Sender:
    """Numbers datagrams and sends them, from any thread."""

    def __init__(self, path: str) -> None:
        self.path = os.fsencode(path)
        self.sequence = 0  # under guard
        self.guard = native.allocate_lock()
        self.socket = native.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) < SEND_BUFFER:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def send(self, kind: int, body: bytes) -> None:
        with self.guard:
            self.sequence += 1
            data = datagram.header(kind, os.getpid(), self.sequence, time.time()) + body
        try:
            self.socket.sendto(data, self.path)
        except OSError:
            pass  # nobody listens, or listens too slowly


def facts_of(settings: dict[str, Any]) -> dict[str, Any]:
    apache = settings["apache"]
    return {
        "version": f"httpd-wsgi {httpd_wsgi.__version__}",
        "python_version": ".".join(map(str, sys.version_info[:3])),
        "apache_version": apache["version"],
        "mpm_name": apache["mpm_name"],
        "host_name": socket.gethostname(),
        "process_group": settings["process_group"],
        "parent_pid": settings["telemetry"]["parent_pid"],
    }


class Reporter:
    """Ticks until the process has stopped; the last tick is that of stopped()."""

    def __init__(self, settings: dict[str, Any], sender: Sender, watch: gcwatch.GcWatch) -> None:
        telemetry = settings["telemetry"]
        self.facts = facts_of(settings)
        self.interval: float = telemetry["interval"]
        self.slow: float = telemetry["slow_requests"]
        self.with_user_agent: bool = telemetry["user_agent"]
        self.sender = sender
        self.watch = watch
        self.reason = ""
        self.over = native.Flag()
        # Held for one tick; whoever gets `has_stopped` to true has sent the last one
        self.ticking = native.allocate_lock()
        self.has_stopped = False

    def run(self) -> None:
        next_tick = time.monotonic()
        while not self.over.is_set():
            # Ticks that were missed are not made up for
            next_tick = max(next_tick + self.interval, time.monotonic())
            self.over.wait(max(0.0, next_tick - time.monotonic()))
            with self.ticking:
                if not self.has_stopped:
                    self.tick()

    def tick(self) -> None:
        raw = _runtime.metrics_interval(metrics.TELEMETRY)
        if raw is not None:
            report = metrics.interval_report(raw, metrics.is_daemon(), metrics.memory())
            intervals = (self.interval, self.slow, sys.getswitchinterval())
            self.sender.send(datagram.REQUEST, datagram.request(self.facts, intervals, report))
        for slow in _runtime.slow_requests():
            self.sender.send(
                datagram.SLOW_REQUEST, datagram.slow_request(slow, self.with_user_agent)
            )
        self.watch.snapshot()
        for kind, note in _runtime.take_notes():
            self.sender.send(kind, note)

    def started(self) -> None:
        self.sender.send(datagram.STARTED, datagram.started(self.facts, sys.getswitchinterval()))

    def stopping(self, reason: str) -> None:
        self.reason = reason
        totals = _runtime.metrics_totals(metrics.TELEMETRY)
        if totals is not None:
            self.sender.send(
                datagram.STOPPING, datagram.stopping(self.facts, reason, totals["running"])
            )

    def stopped(self, graceful: bool) -> None:
        if not self.ticking.acquire(timeout=LAST_WAIT):
            return  # the process ends all the same
        try:
            if self.has_stopped:
                return
            self.has_stopped = True
            self.watch.remove()
            self.tick()
            totals = _runtime.metrics_totals(metrics.TELEMETRY)
            if totals is not None:
                unfinished = totals["running"] > 0
                body = datagram.stopped(
                    self.facts, self.reason, totals, graceful and not unfinished
                )
                self.sender.send(datagram.STOPPED, body)
        finally:
            self.ticking.release()
            self.over.set()


_reporter: Reporter | None = None  # of this process; in the main interpreter only


def start(settings: dict[str, Any]) -> None:
    """In the main interpreter, when the process is ready for requests."""
    global _reporter
    telemetry = settings["telemetry"]
    _runtime.start_recording(metrics.TELEMETRY)
    _runtime.watch_slow(telemetry["slow_requests"])
    watch = gcwatch.install("", telemetry["interval"])
    _reporter = Reporter(settings, Sender(telemetry["path"]), watch)
    events.subscribe_first(_reporter.stopping)
    _reporter.started()
    native.start("wsgi-telemetry", _reporter.run)


def stopped(graceful: bool) -> None:
    """What follows is the end of the process. Nothing happens when telemetry is not configured."""
    if _reporter:
        _reporter.stopped(graceful)
