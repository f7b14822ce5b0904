"""`mod_wsgi.LogHandler`: records of Python's logging as records of Apache's error log, with their
levels.
"""

from __future__ import annotations

import logging
import os

from httpd_wsgi import _runtime
from httpd_wsgi.shared import wire

_LEVELS = (
    (logging.CRITICAL, wire.CRIT),
    (logging.ERROR, wire.ERR),
    (logging.WARNING, wire.WARNING),
    (logging.INFO, wire.INFO),
)


def apache_level(number: int) -> int:
    return next((level for at_least, level in _LEVELS if number >= at_least), wire.DEBUG)


class LogHandler(logging.Handler):
    """Within a request the record belongs to the request, else to the server. `LogLevel wsgi:…`
    there says what is logged.
    """

    def emit(self, record: logging.LogRecord) -> None:
        level = apache_level(record.levelno)
        if level > _runtime.log_level():
            return
        try:
            text = self.format(record).encode("utf-8", "backslashreplace")
            file = os.fsencode(record.pathname).replace(b"\0", b"?")
            _runtime.log_record(level, text, file, record.lineno)
        except Exception:
            self.handleError(record)


LogHandler.__module__ = "mod_wsgi"
