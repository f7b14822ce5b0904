"""Lines of httpd's logs as JSON objects. A piped log runs `python -m httpd_wsgi.command.jsonlog
error|access [FILE]`.
"""

from __future__ import annotations

import functools
import json
import os
import re
import select
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

ERROR_FIELDS = (
    "time",
    "module",
    "level",
    "pid",
    "tid",
    "client",
    "request",
    "host",
    "error",
    "message",
)
ACCESS_FIELDS = (
    "time",
    "client",
    "user",
    "host",
    "method",
    "url",
    "protocol",
    "status",
    "bytes",
    "duration_us",
    "referer",
    "user_agent",
    "request",
)
NUMBERS = frozenset(("pid", "tid", "status", "bytes", "duration_us"))
# Workers and piped logs write httpd's own format whatever ErrorLogFormat says.
OWN = re.compile(r"\[([^\]]+)\] \[(\w*):(\w+)\] \[pid (\d+)(?::tid (\d+))?\] (.*)", re.DOTALL)
LOCAL = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?")
STAMP = re.compile(r"\w{3} (\w{3}) +(\d+) (\d\d:\d\d:\d\d)(\.\d+)? (\d{4})")


def unescape(text: str) -> str:
    r"""Undoes httpd's escapes: it writes quotes, backslashes and control characters as \", \\ and \xhh."""
    named = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "v": "\v", "f": "\f"}

    def character(match: re.Match[str]) -> str:
        return chr(int(match[1], 16)) if match[1] else named.get(match[2], match[2])

    return re.sub(r"\\(?:x([0-9a-fA-F]{2})|(.))", character, text)


def fields(names: Sequence[str], values: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in zip(names, values, strict=True):
        if value not in ("", "-"):
            found[name] = int(value) if name in NUMBERS and value.isdecimal() else unescape(value)
    return found


def with_code(found: dict[str, Any]) -> dict[str, Any]:
    """Adds the code, WSGI#### or AH#####, as a field to search for."""
    code = re.match(r"(WSGI\d{4}|AH\d{5}): ", found.get("message", ""))
    return {**found, "code": code[1]} if code else found


@functools.lru_cache(maxsize=16)
def with_zone(second: str, form: str) -> tuple[str, str]:
    """Returns a second of local time in ISO 8601, and its zone."""
    parsed = time.strptime(second, form)
    zone = time.strftime("%z", time.localtime(time.mktime(parsed)))
    return time.strftime("%Y-%m-%dT%H:%M:%S", parsed), zone


def iso(stamp: str) -> str:
    """Converts httpd's "Wed Nov 25 08:20:48.123456 2026" or "2026-11-25 08:20:48.123456", which are local times."""
    if match := STAMP.fullmatch(stamp):
        date = f"{match[1]} {match[2]} {match[3]} {match[5]}"
        second, zone = with_zone(date, "%b %d %H:%M:%S %Y")
        return second + (match[4] or "") + zone
    if match := LOCAL.fullmatch(stamp):
        second, zone = with_zone(f"{match[1]} {match[2]}", "%Y-%m-%d %H:%M:%S")
        return second + (match[3] or "") + zone
    return stamp


def error(line: str) -> dict[str, Any]:
    parts = line.split("\t", len(ERROR_FIELDS) - 1)
    if len(parts) == len(ERROR_FIELDS):
        found = fields(ERROR_FIELDS, parts)
        return with_code({"log": "error", **found, "time": iso(found.get("time", ""))})
    match = OWN.fullmatch(line)
    if match:
        found = fields(
            ("time", "module", "level", "pid", "tid", "message"),
            [part or "" for part in match.groups()],
        )
        return with_code({"log": "error", **found, "time": iso(match[1])})
    return {"log": "error", "message": line}


def access(line: str) -> dict[str, Any]:
    parts = line.split("\t")
    return (
        {"log": "access", **fields(ACCESS_FIELDS, parts)}
        if len(parts) == len(ACCESS_FIELDS)
        else {"log": "access", "message": line}
    )


def text_of(found: dict[str, Any]) -> str:
    return json.dumps(found, ensure_ascii=False, separators=(",", ":"))


# ---- exceptions ----

BEGIN = "Traceback (most recent call last):"
# Between the tracebacks of exceptions that belong together, and behind the last one
BETWEEN = re.compile(
    r"$|The above exception was the direct|During handling of the above|Python [\d.]+ of .* found no "
)
PAUSE = 0.1  # seconds after which no line of an exception follows: they are written at once


@dataclass(slots=True)
class Held:
    """A record that may be the first of an exception's."""

    found: dict[str, Any]
    traceback: list[str] = field(default_factory=list)

    def takes(self, found: dict[str, Any]) -> bool:
        """Is this record the next line of the exception?"""
        text = found.get("message", "")
        if "code" in found:
            return False
        if text == BEGIN:
            return not self.traceback or not self.traceback[-1] or self.is_between()
        if not self.traceback:
            return False
        # Behind the indented lines comes the exception itself. What follows a record with a code
        # belongs to it: the runtime writes nothing else there.
        return (
            text.startswith(" ")
            or self.traceback[-1].startswith(" ")
            or BETWEEN.match(text) is not None
            or "code" in self.found
        )

    def is_between(self) -> bool:
        return BETWEEN.match(self.traceback[-1]) is not None

    def object(self) -> dict[str, Any]:
        if not self.traceback:
            return self.found
        lines = [line for line in self.traceback if line and not line.startswith(" ")]
        message = self.found.get("message", "")
        return {
            **self.found,
            "message": lines[-1] if message == BEGIN else message,
            "traceback": "\n".join(self.traceback),
        }


class Errors:
    """Lines of an error log as objects. The lines of an exception become one, whose `traceback`
    holds them.
    """

    def __init__(self) -> None:
        self.held: dict[tuple[Any, ...], Held] = {}  # by process, thread and request

    def feed(self, line: str) -> Iterator[str]:
        found = error(line)
        key = tuple(found.get(name) for name in ("pid", "tid", "request", "level", "module"))
        held = self.held.get(key)
        if held and held.takes(found):
            held.traceback.append(found.get("message", ""))
            return
        if held:
            yield text_of(self.held.pop(key).object())
        if found.get("level") != "error" or found.get("module") != "wsgi":
            yield text_of(found)
            return
        is_first = found.get("message") == BEGIN
        self.held[key] = Held(found, [BEGIN] if is_first else [])

    def flush(self) -> Iterator[str]:
        """After a pause, and at the end."""
        while self.held:
            yield text_of(self.held.pop(next(iter(self.held))).object())


class Requests:
    """Lines of an access log as objects."""

    def feed(self, line: str) -> Iterator[str]:
        yield text_of(access(line))

    def flush(self) -> Iterator[str]:
        return iter(())


def lines_of(fd: int) -> Iterator[bytes | None]:
    """Yields None when no line has come for a while."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    begun, is_told = b"", True
    while True:
        if not is_told and not poll.poll(PAUSE * 1000):
            is_told = True
            yield None
        data = os.read(fd, 65536)
        if not data:
            break
        *whole, begun = (begun + data).split(b"\n")
        is_told = False
        yield from whole
    if begun:
        yield begun


def main(arguments: Sequence[str]) -> int:
    stream, path = arguments[0], arguments[1] if len(arguments) > 1 else ""
    converter = Errors() if stream == "error" else Requests()
    own = sys.stderr if stream == "error" else sys.stdout
    with open(path, "a", encoding="utf-8", errors="backslashreplace") if path else own as out:
        for raw in lines_of(0):
            texts = (
                converter.flush() if raw is None else converter.feed(raw.decode(errors="replace"))
            )
            out.writelines(text + "\n" for text in texts)
            out.flush()
        out.writelines(text + "\n" for text in converter.flush())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
