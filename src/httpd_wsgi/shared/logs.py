"""Records of the processes' own log, in the format of Apache's error log."""

from __future__ import annotations

import _thread
import os
import time

from httpd_wsgi.shared import wire

ERROR = "error"
WARNING = "warn"
NOTICE = "notice"
INFO = "info"
DEBUG = "debug"

_NUMBERS = {
    ERROR: wire.ERR,
    WARNING: wire.WARNING,
    NOTICE: wire.NOTICE,
    INFO: wire.INFO,
    DEBUG: wire.DEBUG,
}
_threshold = wire.INFO
_file: tuple[int, int] | None = None  # the log that standard output and error are


def set_level(number: int) -> None:
    """What `LogLevel wsgi:…` says for the group's server, as an APLOG number. Notices are logged at
    any level, as in httpd.
    """
    global _threshold
    _threshold = max(number, _NUMBERS[NOTICE])


def identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def settle() -> None:
    """Before any code of an application runs: what standard error is now, is the log."""
    global _file
    _file = identity(2)


def move(fd: int) -> None:
    """The log is another file from now on; fd is closed. What the application has put in the place
    of the log stays.
    """
    global _file
    before, _file = _file, identity(fd)
    for number in (1, 2):
        if identity(number) == before:
            os.dup2(fd, number)
    os.close(fd)


def record(level: str, text: str, now: float | None = None) -> str:
    when = time.time() if now is None else now
    stamp = time.strftime("%a %b %d %H:%M:%S", time.localtime(when))
    year = time.localtime(when).tm_year
    micro = int(when * 1_000_000) % 1_000_000
    tid = _thread.get_native_id()
    escaped = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return f"[{stamp}.{micro:06d} {year}] [wsgi:{level}] [pid {os.getpid()}:tid {tid}] {escaped}\n"


def log(level: str, text: str) -> None:
    """Standard error is the error log; one write per record keeps records of different processes
    apart.
    """
    if _NUMBERS[level] > _threshold:
        return
    try:
        os.write(2, record(level, text).encode("utf-8", "surrogateescape"))
    except OSError:
        pass  # the log is gone, and there is no other place to say so
