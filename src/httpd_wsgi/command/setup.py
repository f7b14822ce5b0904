"""`httpd-wsgi setup`: a server root with httpd.conf and apachectl, to be run as a service."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from httpd_wsgi.command import machine, root, target, words
from httpd_wsgi.command.check import pythons
from httpd_wsgi.command.errors import CommandError
from httpd_wsgi.command.render import Layout, render_conf
from httpd_wsgi.command.serve import make_layout, urls
from httpd_wsgi.command.settings import ServerSettings
from httpd_wsgi.command.target import say

APACHECTL = """\
#!/bin/sh
# Controls this server: start, stop, restart, graceful, graceful-stop, configtest; anything else goes to httpd.
# Written by `httpd-wsgi setup`; variables of your own go into envvars beside it.
httpd={httpd}
conf={conf}
envvars={envvars}
if [ -r "$envvars" ]; then . "$envvars"; fi
# systemd-tmpfiles removes old files below /tmp, but nothing in a directory that has a lock. httpd inherits it.
hold() {{ if command -v flock >/dev/null && exec 9<{root}; then flock -s -n 9; fi; }}
case "${{1:-}}" in
    start) hold ;;
esac
case "${{1:-}}" in
    start|stop|restart|graceful|graceful-stop) verb=$1; shift; exec "$httpd" -f "$conf" -k "$verb" "$@" ;;
    configtest) shift; exec "$httpd" -f "$conf" -t "$@" ;;
    "") echo "usage: $0 start|stop|restart|graceful|graceful-stop|configtest" >&2; exit 2 ;;
    *) exec "$httpd" -f "$conf" "$@" ;;
esac
"""

UNIT = """\
[Unit]
Description={description}
After=network.target

[Service]
Type=exec
{user}ExecStart={apachectl} start -DFOREGROUND
ExecReload={apachectl} graceful
# SIGWINCH lets running requests finish.
KillSignal=SIGWINCH
KillMode=mixed
TimeoutStopSec={limit}
Restart=on-failure
PrivateTmp=true

[Install]
WantedBy=multi-user.target
"""


def render_apachectl(httpd: str, directory: Path) -> str:
    names = {
        "httpd": httpd,
        "root": directory,
        "conf": directory / "httpd.conf",
        "envvars": directory / "envvars",
    }
    return APACHECTL.format(**{name: shlex.quote(str(value)) for name, value in names.items()})


def render_unit(settings: ServerSettings, directory: Path, user: str) -> str:
    """user is "" for root: httpd switches to another user itself."""
    return UNIT.format(
        description=f"{target.title(settings)} (httpd-wsgi)".replace("%", "%%").replace("\n", " "),
        user=f"User={user}\n" if user else "",
        apachectl=words.unit(directory / "apachectl"),
        limit=settings.stop_limit + 10,
    )


def check_settings(settings: ServerSettings) -> None:
    if not settings.server_root:
        raise CommandError("setup: expected --server-root DIR, the directory to write to")
    for option, given in (("--reload", settings.reload), ("--debug", settings.debug)):
        if given:
            raise CommandError(f"{option}: is for development; expected `httpd-wsgi serve` with it")
    for bind in settings.binds:
        if bind.port == 0:
            raise CommandError(
                "--port 0: a service needs a port of its own; expected a number from 1 to 65535"
            )


def write_root(settings: ServerSettings) -> tuple[Layout, str]:
    """Writes the files. Returns the layout they were made from, and httpd's path."""
    check_settings(settings)
    directory = root.prepare(settings.server_root)
    layout = make_layout(settings, directory, is_service=True)
    httpd = machine.find_httpd(settings.httpd)
    (directory / "htdocs").mkdir(mode=0o755, exist_ok=True)
    root.write(directory / "httpd.conf", render_conf(settings, layout), 0o600)
    root.write(directory / "apachectl", render_apachectl(httpd, directory), 0o755)
    if not (directory / "envvars").exists():
        root.write(directory / "envvars", "# Sourced by apachectl: export NAME=value\n", 0o600)
    return layout, httpd


def load_once(settings: ServerSettings, layout: Layout) -> str:
    """Returns why the application cannot be loaded by its user in its Python, or ""."""
    target = layout.target
    if not target.alias:
        return ""
    uid = pwd.getpwnam(layout.user).pw_uid if layout.user else os.geteuid()
    group = {"python": machine.python_of(settings.python_home), "uid": uid, "gid": layout.gid}
    words_ = (target.alias, target.callable or "application", ":".join(target.python_path))
    try:
        done = pythons.run_python(
            group, "tryout", *words_, target.home, env={**os.environ, **dict(settings.env)}
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    lines = done.stderr.strip().splitlines() or ["it ended without a word"]
    # The last line is for the log when a module is missing; the one before it names the module
    said = next((line for line in reversed(lines) if "Error: " in line), lines[-1])
    return "" if done.returncode == 0 else said


def run(settings: ServerSettings, systemd: bool, quiet: bool) -> int:
    settings = with_log(settings)
    layout, _ = write_root(settings)
    if why := load_once(settings, layout):
        cure = f"it runs in the Python of {settings.python_home}; --python-home names another"
        say(f"note: {target.title(settings)} cannot be loaded: {why}; {cure}")
    if systemd:
        user = "" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        sys.stdout.write(render_unit(settings, layout.root, user))
    elif not quiet:
        control, where = layout.root / "apachectl", " and ".join(urls(settings))
        say(f"{layout.root} is ready: {control} start serves {target.title(settings)} on {where}")
    return 0


def with_log(settings: ServerSettings) -> ServerSettings:
    """Returns settings with a file for errors, unless --error-log says otherwise."""
    if settings.error_log or not settings.server_root:
        return settings
    return replace(settings, error_log=str(Path(settings.server_root) / "error_log"))
