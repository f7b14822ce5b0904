"""Exit codes, and the error that the command reports in one line."""

from __future__ import annotations

EXIT_FINDINGS = 1  # check: there are errors; explain: the URL leads to no application
EXIT_USAGE = 2
EXIT_NO_TARGET = 3
EXIT_PORT = 4
EXIT_NO_HTTPD = 5
EXIT_NO_MODULE = 6
EXIT_HTTPD_FAILED = 7
EXIT_CERTIFICATE = 8
EXIT_CONTROL = 9
EXIT_SYSTEM = 71  # EX_OSERR of sysexits.h
EXIT_BUG = 70  # EX_SOFTWARE of sysexits.h

MEANINGS = (
    (0, "done; `serve`: it was asked to stop; `check`: no error"),
    (
        EXIT_FINDINGS,
        "`check`: there are errors; `explain`: the URL leads to no application",
    ),
    (EXIT_USAGE, "an option or its value is not valid"),
    (EXIT_NO_TARGET, "the application was not found or could not be loaded"),
    (EXIT_PORT, "the port cannot be listened on"),
    (EXIT_NO_HTTPD, "Apache httpd or one of its modules was not found"),
    (EXIT_NO_MODULE, "the Apache module of httpd-wsgi was not built"),
    (EXIT_HTTPD_FAILED, "httpd did not start, or ended by itself; its own message is above"),
    (EXIT_CERTIFICATE, "a certificate or key cannot be read or used"),
    (EXIT_CONTROL, "the daemon group does not answer, or refused"),
    (EXIT_SYSTEM, "the operating system refused something; the message names the file"),
    (EXIT_BUG, "a bug of httpd-wsgi; the message names the file with the traceback"),
)


class CommandError(Exception):
    """One sentence for the user: the option, the given value, and what is valid. `code` is the exit
    status.
    """

    def __init__(self, message: str, code: int = EXIT_USAGE) -> None:
        super().__init__(message)
        self.code = code
