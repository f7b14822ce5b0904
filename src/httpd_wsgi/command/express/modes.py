"""Modes of mod_wsgi-express: Apache runs the application itself, or one worker does for debugging.
What settings they make.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from httpd_wsgi.command import machine
from httpd_wsgi.command.errors import EXIT_SYSTEM, CommandError
from httpd_wsgi.command.settings import Pairs, ServerSettings

Given = dict[str, Any]

DEBUGGING = ("--debug-mode", "--enable-debugger", "--enable-coverage", "--enable-profiler")
UNLIMITED = (
    "request-timeout",
    "deadlock-timeout",
    "startup-timeout",
    "queue-timeout",
    "slow-request",
)
PATIENT = tuple((name, "0") for name in UNLIMITED)
ENDLESS = "86400"  # seconds that Apache waits for a worker that is being debugged


def refuse(parsed: argparse.Namespace) -> None:
    """Raises CommandError for options that only make sense on a terminal."""
    for name in DEBUGGING:
        if getattr(parsed, name.removeprefix("--").replace("-", "_")):
            raise CommandError(f"{name}: is for start-server, which runs on a terminal")


def in_mode(settings: ServerSettings, given: Given, note: Callable[[str], None]) -> ServerSettings:
    debugging = [name for name in DEBUGGING if name in given]
    if "--debugger-startup" in given and "--enable-debugger" not in given:
        raise CommandError("--debugger-startup: needs --enable-debugger as well")
    if debugging and "--embedded-mode" in given:
        raise CommandError(
            f"{debugging[0]}: expected without --embedded-mode; it gives the application a process of its own"
        )
    if debugging:
        return debugged(settings, given)
    return embedded(settings, given, note) if "--embedded-mode" in given else settings


def embedded(settings: ServerSettings, given: Given, note: Callable[[str], None]) -> ServerSettings:
    if settings.reload:
        note(
            "--reload-on-changes: ignored with --embedded-mode, where only a restart loads code again"
        )
    if "--locale" in given:
        note("--locale: ignored with --embedded-mode, where Apache's own environment decides")
    maximum = dict(settings.daemon_options).get("maximum-requests")
    extra = (f"MaxConnectionsPerChild {int(maximum)}",) if maximum and maximum.isdecimal() else ()
    return replace(
        settings, embedded=True, reload=False, daemon_options=(), extra=(*settings.extra, *extra)
    )


# ---- debugging ----


def debugged(settings: ServerSettings, given: Given) -> ServerSettings:
    """Returns settings for one worker with one thread and without time limits."""
    kept = tuple(
        pair
        for pair in settings.daemon_options
        if pair[0] not in {*dict(PATIENT), "socket-timeout"}
    )
    return replace(
        settings,
        processes=None,
        threads=1,
        reload=False,
        script_reloading=False,
        timeout=ENDLESS,
        daemon_options=(*kept, *PATIENT, ("socket-timeout", ENDLESS)),
        instruments=tuple(instruments(settings, given)),
    )


def instruments(settings: ServerSettings, given: Given) -> Iterator[tuple[str, str]]:
    """Variables that develop/instruments.py looks at."""
    who = machine.apache_account(settings.user, settings.group)
    yield from terminal(who, is_needed="--enable-debugger" in given)
    if "--enable-debugger" in given:
        yield "HTTPD_WSGI_POST_MORTEM", "1"
    if "--debugger-startup" in given:
        yield "HTTPD_WSGI_BREAK", "1"
    if "--enable-profiler" in given:
        yield "HTTPD_WSGI_PROFILE", output(settings, given, "--profiler-directory", "pstats", who)
    if "--enable-coverage" in given:
        check_coverage(settings.python_home)
        yield "HTTPD_WSGI_COVERAGE", output(settings, given, "--coverage-directory", "htmlcov", who)
        yield "HTTPD_WSGI_COVERAGE_SOURCE", settings.working_directory or os.getcwd()


def terminal(who: machine.Account | None, is_needed: bool) -> Pairs:
    """Returns the variable that names this command's terminal, which the worker opens for pdb."""
    if not sys.stdin.isatty():
        if is_needed:
            raise CommandError(
                "--enable-debugger: standard input is no terminal; pdb needs one to ask what to do"
            )
        return ()
    path = os.ttyname(0)
    if who is not None and not who.may(os.stat(path), 6):
        if is_needed:
            raise CommandError(
                f"--enable-debugger: {who.name}, who runs the application, may not use the "
                f"terminal {path}; run the command as "
                "yourself, or name the terminal's owner with --user",
                EXIT_SYSTEM,
            )
        return ()
    return (("HTTPD_WSGI_TERMINAL", path),)


def output(
    settings: ServerSettings, given: Given, option: str, name: str, who: machine.Account | None
) -> str:
    """Returns the directory, and creates it when it is missing. The default is not removed with the
    server.
    """
    path = Path(given.get(option) or Path(settings.server_root or ".", name)).absolute()
    try:
        if not path.is_dir():
            path.mkdir(parents=True)
            if who is not None:
                os.chown(path, who.uid, who.gid)
    except OSError as exc:
        raise CommandError(f"{option} {path}: cannot be made: {exc.strerror}", EXIT_SYSTEM) from exc
    return str(path)


def check_coverage(home: str) -> None:
    python = machine.python_of(home)
    done = subprocess.run([python, "-c", "import coverage"], capture_output=True, check=False)
    if done.returncode != 0:
        cure = f"{python} -m pip install coverage"
        raise CommandError(
            f"--enable-coverage: {python} has no package coverage; run: {cure}", EXIT_SYSTEM
        )
