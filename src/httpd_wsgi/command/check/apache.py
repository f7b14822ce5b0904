"""The real Apache's configuration, as httpd and our module read it: `httpd -t -D DUMP_WSGI`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from httpd_wsgi.command import machine
from httpd_wsgi.command.check import foreign, handlers
from httpd_wsgi.command.errors import EXIT_HTTPD_FAILED, EXIT_NO_HTTPD, CommandError

LEVEL = ("-c", "<IfModule wsgi_module>", "-c", "LogLevel wsgi:info", "-c", "</IfModule>")
# Beginnings of lines that say nothing about the configuration
APACHECTL = ("Syntax OK", "Action '", "The Apache error log may have")
LIMIT = 60  # seconds; name services may be slow


@dataclass(frozen=True, slots=True)
class Reading:
    """What httpd said. dump is None when httpd refuses the configuration, or our module is not loaded."""

    dump: dict[str, Any] | None
    status: int
    messages: tuple[str, ...]
    other: foreign.Loaded | None = None  # another module in the place of ours


def command(config: str, httpd: str) -> list[str]:
    """Returns Debian's apache2ctl, which sets the variables that its configuration uses, else httpd."""
    wrapper = shutil.which("apache2ctl", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    program = machine.find_httpd(httpd)
    if wrapper and not httpd and os.path.basename(program) == "apache2":
        program = wrapper
    if config and not os.path.isfile(config):
        raise CommandError(
            f"{config}: no such file; expected httpd's main configuration file", EXIT_NO_HTTPD
        )
    return [program, *(["-f", os.path.abspath(config)] if config else [])]


def read(
    config: str = "",
    httpd: str = "",
    url: str = "",
    with_env: bool = False,
    paths: Sequence[tuple[int, str]] = (),
) -> Reading:
    """Asks httpd for the dump. url adds what would serve that URL. paths holds numbers of servers and
    URL paths that are mapped likewise.
    """
    defines = ["-D", "DUMP_WSGI", *(["-D", "DUMP_WSGI_ENV"] if with_env else [])]
    # A LogLevel of the configuration must not hide what is to be found.
    arguments = [*command(config, httpd), "-t", *defines, *LEVEL]
    lines = "\n".join(f"{number} {path}" for number, path in paths)
    environment = {
        **os.environ,
        "HTTPD_WSGI_DUMP_URL": url,
        "HTTPD_WSGI_DUMP_PATHS": lines,
        "LC_ALL": "C.UTF-8",
    }
    try:
        done = subprocess.run(
            arguments,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError(
            f"{arguments[0]} -t did not end within {LIMIT} s", EXIT_HTTPD_FAILED
        ) from None
    begin = done.stdout.find("{")
    dump = json.loads(done.stdout[begin:]) if begin >= 0 else None
    said = (
        line
        for line in (done.stderr + (done.stdout if begin < 0 else "")).splitlines()
        if line.strip()
    )
    is_other = dump is None and done.returncode == 0
    return Reading(
        dump,
        done.returncode,
        tuple(line for line in said if not line.startswith(APACHECTL)),
        foreign.loaded(command(config, httpd)) if is_other else None,
    )


def without_prefix(line: str) -> str:
    """Returns the text of a record, without time, module and process."""
    return re.sub(r"^(\[[^\]]*\] )+", "", line)


def origin(
    dump: dict[str, Any],
    directive: str,
    value: str,
    server_where: str | None,
    path: str | None = None,
) -> str:
    """Where a directive gives this value, the last place in this virtual host before those around
    it; "" when nowhere.

    A .htaccess file on the way to path has the last word.
    """
    exact, computed = "", ""
    for item in (
        item
        for file in handlers.access_files(dump, path or "", server_where)
        for item in handlers.directives_in(file)
    ):
        if item["name"].lower() == directive.lower() and item["arguments"].strip("\"'") == (
            value or "%{GLOBAL}"
        ):
            return str(item["where"])
    in_scope = [item for item in dump["directives"] if item["server_where"] in (None, server_where)]
    for item in sorted(in_scope, key=lambda item: item["server_where"] is not None):
        if item["name"].lower() != directive.lower():
            continue
        argument = (item["arguments"] or "").strip("\"'")
        place = item["where"] + (f" in {item['in']}" if item["in"] else "")
        if argument == (value or "%{GLOBAL}"):
            exact = place
        elif argument.startswith("%{"):
            computed = f"{place}: {argument}"
    return exact or computed
