"""Lines of httpd's logs as JSON objects. A piped log runs `python -m httpd_wsgi.command.jsonlog
error|access [FILE]`.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
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
)
NUMBERS = frozenset(("pid", "tid", "status", "bytes", "duration_us"))
# Workers and piped logs write httpd's own format whatever ErrorLogFormat says.
OWN = re.compile(r"\[([^\]]+)\] \[(\w*):(\w+)\] \[pid (\d+)(?::tid (\d+))?\] (.*)", re.DOTALL)
STAMP = re.compile(r"\w{3} (\w{3}) +(\d+) (\d\d:\d\d:\d\d)(\.\d+)? (\d{4})")


def unescape(text: str) -> str:
    r"""httpd writes quotes, backslashes and control characters as \", \\ and \xhh."""
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
    """WSGI#### and AH##### as a field of its own, to search for."""
    code = re.match(r"(WSGI\d{4}|AH\d{5}): ", found.get("message", ""))
    return {**found, "code": code[1]} if code else found


def iso(stamp: str) -> str:
    """Of httpd's "Wed Nov 25 08:20:48.123456 2026", which is local time."""
    match = STAMP.fullmatch(stamp)
    if not match:
        return stamp
    parsed = time.strptime(f"{match[1]} {match[2]} {match[3]} {match[5]}", "%b %d %H:%M:%S %Y")
    zone = time.strftime("%z", time.localtime(time.mktime(parsed)))
    return time.strftime("%Y-%m-%dT%H:%M:%S", parsed) + (match[4] or "") + zone


def error(line: str) -> dict[str, Any]:
    parts = line.split("\t", len(ERROR_FIELDS) - 1)
    if len(parts) == len(ERROR_FIELDS):
        return with_code({"log": "error", **fields(ERROR_FIELDS, parts)})
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


CONVERTERS: dict[str, Callable[[str], dict[str, Any]]] = {"error": error, "access": access}


def convert(stream: str, line: str) -> str:
    return json.dumps(CONVERTERS[stream](line), ensure_ascii=False, separators=(",", ":"))


def main(arguments: Sequence[str]) -> int:
    stream, path = arguments[0], arguments[1] if len(arguments) > 1 else ""
    own = sys.stderr if stream == "error" else sys.stdout
    with open(path, "a", encoding="utf-8", errors="backslashreplace") if path else own as out:
        for raw in sys.stdin.buffer:
            out.write(convert(stream, raw.decode("utf-8", "replace").rstrip("\n")) + "\n")
            out.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
