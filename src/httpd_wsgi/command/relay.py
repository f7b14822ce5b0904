"""The output of httpd and its workers, on its way to a terminal or pipe. It is searched for news of
the start, filtered, and shortened or converted to JSON.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Protocol

from httpd_wsgi.command import jsonlog
from httpd_wsgi.command.settings import LOG_LEVELS

READY = "WSGI0705"  # a worker has loaded its applications and serves
NOT_LOADED = ("WSGI0415", "WSGI0403")
# Python cannot be run, or ends before the application is loaded
NO_WORKER = ("WSGI0606", "WSGI0608", "WSGI0708")
RECORD = re.compile(r"\[[^\]]+\] \[(\w+):(\w+)\] ")
# "[Mon Nov 30 17:54:01.377510 2026] [wsgi:error] [pid 31125:tid 31188] [client 127.0.0.1:40796] "
TERMINAL = re.compile(
    r"\[\w+ \w+ +\d+ ([\d:]+)[.\d]* \d+\] \[\w*:(\w+)\] \[pid [\d:tid ]+\] (?:\[client [^\]]*\] )?"
)
REFERER = re.compile(r", referer: \S+$")
CLEAR = b"\r\x1b[K"


@dataclass(slots=True)
class News:
    """What is known of the start. Relay threads write it and the main thread reads it; `changed` is
    set after every change.

    in_progress is written by the main thread: it shows a line of progress on the terminal.
    """

    ready: bool = False
    failed: bool = False
    hopeless: bool = False
    in_progress: bool = False
    changed: threading.Event = field(default_factory=threading.Event)

    def learn(self, line: str) -> None:
        if READY in line:
            self.ready = True
            self.changed.set()
        elif any(code in line for code in NOT_LOADED):
            self.failed = True
        elif any(code in line for code in NO_WORKER):
            self.failed = self.hopeless = True
            self.changed.set()


def is_wanted(line: str, log_level: str) -> bool:
    """The module logs at level info whatever the user asked for, and httpd always writes its own
    notices. Notices of the module are few, and are shown with warnings.
    """
    match = RECORD.match(line)
    parts = line.split("\t", 3) if match is None else ["", match[1], match[2], ""]
    module, level = (parts[1], parts[2]) if len(parts) == 4 else ("", "")
    limit = "notice" if log_level == "warn" and module == "wsgi" else log_level
    return level not in LOG_LEVELS or LOG_LEVELS.index(level) <= LOG_LEVELS.index(limit)


class Converter(Protocol):
    def feed(self, line: str) -> Iterator[str]:
        """Yields what is to be written now."""

    def flush(self) -> Iterator[str]:
        """Yields what was kept back, since no line comes at the moment."""


class Relay(threading.Thread):
    """Copies one pipe, line by line, until its end."""

    def __init__(
        self,
        source: IO[bytes],
        target: int,
        stream: str,
        converter: Converter,
        news: News,
    ) -> None:
        super().__init__(name=f"relay-{stream}", daemon=True)
        self.source = source
        self.target = target
        self.converter = converter
        self.news = news

    def run(self) -> None:
        for raw in jsonlog.lines_of(self.source.fileno()):
            if raw is None:
                self.write(self.converter.flush())
            else:
                self.write(self.converter.feed(raw.decode("utf-8", "surrogateescape")))
        self.write(self.converter.flush())

    def write(self, texts: Iterator[str]) -> None:
        for text in texts:
            self.write_line(text)

    def write_line(self, text: str) -> None:
        try:
            clear = CLEAR if self.news.in_progress and os.isatty(self.target) else b""
            os.write(self.target, clear + text.encode("utf-8", "surrogateescape") + b"\n")
        except OSError:
            pass  # the terminal is gone; httpd must not be kept from writing


class Plain:
    """Lines as they are."""

    def feed(self, line: str) -> Iterator[str]:
        yield line

    def flush(self) -> Iterator[str]:
        return iter(())


class Short(Plain):
    """For a terminal: time, level and text of a record of httpd."""

    def feed(self, line: str) -> Iterator[str]:
        match = TERMINAL.match(line)
        text = REFERER.sub("", line[match.end() :]) if match else ""
        yield f"{match[1]} {match[2]:<6} {text}" if match else line


class Wanted:
    """Passes on lines of levels that the user asked for. Learns from all of them how the start goes."""

    def __init__(self, news: News, log_level: str, inner: Converter) -> None:
        self.news = news
        self.log_level = log_level
        self.inner = inner

    def feed(self, line: str) -> Iterator[str]:
        self.news.learn(line)
        if is_wanted(line, self.log_level):
            yield from self.inner.feed(line)

    def flush(self) -> Iterator[str]:
        yield from self.inner.flush()


def errors(news: News, log_level: str, is_json: bool, is_terminal: bool) -> Converter:
    plain = Short() if is_terminal else Plain()
    return Wanted(news, log_level, jsonlog.Errors() if is_json else plain)


def accesses(is_json: bool) -> Converter:
    return jsonlog.Requests() if is_json else Plain()
