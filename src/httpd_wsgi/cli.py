"""The command `httpd-wsgi`. Errors are one line; exit codes are those of serve.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import httpd_wsgi
from httpd_wsgi import serve
from httpd_wsgi.serve import ServerSettings, SettingsError


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="httpd-wsgi", description="Serve Python WSGI applications from Apache httpd.")
    top.add_argument("--version", action="version", version=f"httpd-wsgi {httpd_wsgi.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("serve", help="serve one application in the foreground with a private httpd")
    run.add_argument("target", nargs="?", metavar="TARGET", help="script file, or module:callable")
    run.add_argument("--demo", action="store_true", help="serve the bundled demonstration instead of a TARGET")
    run.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    run.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    run.add_argument("--processes", type=int, default=1, help="worker processes (default: %(default)s)")
    run.add_argument("--threads", type=int, default=15, help="request threads per process (default: %(default)s)")
    run.add_argument(
        "--python-home", default=sys.prefix, metavar="DIR", help="prefix of the Python to use (default: this one, %(default)s)"
    )

    commands.add_parser("module-config", help="print the lines to paste into httpd.conf")
    return top


def module_config() -> str:
    lines = [f'LoadModule wsgi_module "{serve.find_wsgi_module()}"', f'WSGIPythonHome "{sys.prefix}"']
    return "\n".join(lines) + "\n"


def target_of(arguments: argparse.Namespace) -> str:
    if arguments.demo:
        return str(Path(__file__).with_name("demo") / "app.py")
    if not arguments.target:
        raise SettingsError("serve: expected a TARGET: a script file or module:callable (or --demo)")
    return str(arguments.target)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        if arguments.command == "module-config":
            sys.stdout.write(module_config())
            return 0
        return serve.run(
            ServerSettings(
                target=target_of(arguments),
                host=arguments.host,
                port=arguments.port,
                processes=arguments.processes,
                threads=arguments.threads,
                python_home=arguments.python_home,
            )
        )
    except SettingsError as exc:
        print(f"httpd-wsgi: {exc}", file=sys.stderr)
        return exc.code
