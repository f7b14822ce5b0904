"""The command `httpd-wsgi`. Errors are one line; exit codes are those of command/errors.py."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace

import httpd_wsgi
from httpd_wsgi.command import completion, control, machine, options, serve, setup
from httpd_wsgi.command.check import check
from httpd_wsgi.command.errors import EXIT_BUG, EXIT_SYSTEM, CommandError
from httpd_wsgi.command.express import express
from httpd_wsgi.command.option_table import Kind, Option
from httpd_wsgi.command.target import DEMO


def target_of(arguments: argparse.Namespace) -> str:
    if arguments.demo:
        return str(DEMO)
    return str(arguments.target or "")


def run_serve(arguments: argparse.Namespace) -> int:
    settings = options.settings_from(arguments, target_of(arguments))
    if arguments.print_config:
        return serve.print_config(settings)
    return serve.run(settings, arguments.quiet)


def run_setup(arguments: argparse.Namespace) -> int:
    if arguments.error_log is None:
        settings = replace(options.settings_from(arguments, target_of(arguments)), error_log="")
    else:
        settings = options.settings_from(arguments, target_of(arguments))
    return setup.run(settings, arguments.systemd, arguments.quiet)


def run_completion(arguments: argparse.Namespace) -> int:
    sys.stdout.write(completion.render(arguments.shell, parser()))
    return 0


def run_module_config(arguments: argparse.Namespace) -> int:
    sys.stdout.write(machine.module_config())
    return 0


def run_check(arguments: argparse.Namespace) -> int:
    return check.run(
        arguments.config, arguments.httpd, arguments.imports, arguments.json, arguments.strict
    )


def run_explain(arguments: argparse.Namespace) -> int:
    return check.explain(arguments.url, arguments.config, arguments.httpd, arguments.json)


def add_check(commands: argparse._SubParsersAction[options.Parser]) -> None:
    doctor = commands.add_parser(
        "check", help="find mistakes in Apache's configuration, and say how to correct them"
    )
    doctor.add_argument(
        "config",
        nargs="?",
        default="",
        metavar="CONFIG",
        help="main configuration file (default: httpd's own)",
    )
    doctor.add_argument(
        "--import",
        dest="imports",
        action="store_true",
        help="load each application as its own user in its own Python",
    )
    doctor.add_argument("--strict", action="store_true", help="end with code 1 for warnings, too")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    doctor.add_argument("--httpd", default="", metavar="FILE", help="the httpd to ask")
    doctor.set_defaults(run=run_check, parser=doctor)

    explain = commands.add_parser(
        "explain", help="say which host, script, group and interpreter serve a URL, and why"
    )
    explain.add_argument("url", metavar="URL", help="with https:// unless it is for http://")
    explain.add_argument(
        "config",
        nargs="?",
        default="",
        metavar="CONFIG",
        help="main configuration file (default: httpd's own)",
    )
    explain.add_argument("--json", action="store_true", help="print JSON")
    explain.add_argument("--httpd", default="", metavar="FILE", help="the httpd to ask")
    explain.set_defaults(run=run_explain, parser=explain)


def run_control(arguments: argparse.Namespace) -> int:
    given = getattr(arguments, "apache", None)
    apache = options.count_of(Option("--apache", Kind.COUNT, "", low=1), given) if given else None
    return control.run(
        arguments.command, arguments.group, getattr(arguments, "json", False), apache
    )


CONTROLS = (
    ("status", "show the workers of a daemon group, or of all", "?"),
    ("reload", "load the code of a daemon group in new workers, and replace the old ones", None),
    ("stop", "let the workers of a daemon group end, until it is reloaded", None),
    ("stacks", "show what the threads of a daemon group are doing", None),
)


def add_controls(commands: argparse._SubParsersAction[options.Parser]) -> None:
    for name, help_text, number in CONTROLS:
        one = commands.add_parser(name, help=help_text)
        one.add_argument(
            "group", nargs=number, default="", metavar="GROUP", help="name of the WSGIDaemonProcess"
        )
        if name in ("status", "stacks"):
            one.add_argument("--json", action="store_true", help="print JSON")
        else:
            help_text = (
                "process number of the Apache that is meant, when several have a group of this name"
            )
            one.add_argument("--apache", metavar="PID", help=help_text)
        one.set_defaults(run=run_control, parser=one)


def parser() -> argparse.ArgumentParser:
    top = options.Parser(
        prog="httpd-wsgi", description="Serve Python WSGI applications from Apache httpd."
    )
    top.add_argument("--version", action="version", version=f"httpd-wsgi {httpd_wsgi.__version__}")
    commands = top.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=options.Parser
    )

    run = commands.add_parser(
        "serve", help="serve one application in the foreground with a private httpd"
    )
    run.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="script file, module:callable or module:factory()",
    )
    options.add_options(run, "serve")
    run.set_defaults(run=run_serve, parser=run)

    service = commands.add_parser(
        "setup", help="write a server root with apachectl, to run as a service"
    )
    service.add_argument(
        "target",
        nargs="?",
        metavar="TARGET",
        help="script file, module:callable or module:factory()",
    )
    service.add_argument("--systemd", action="store_true", help="print a unit for systemd")
    options.add_options(service, "setup")
    service.set_defaults(run=run_setup, parser=service)

    add_check(commands)
    add_controls(commands)

    other = commands.add_parser(
        "express",
        help="the commands of mod_wsgi-express: start-server, setup-server, module-config, ...",
    )
    other.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    other.set_defaults(run=lambda arguments: express.run(arguments.words), parser=other)

    shells = commands.add_parser("completion", help="print a completion script for bash or zsh")
    shells.add_argument("shell", choices=["bash", "zsh"], metavar="SHELL", help="bash or zsh")
    shells.set_defaults(run=run_completion, parser=shells)

    config = commands.add_parser("module-config", help="print the lines to paste into httpd.conf")
    config.set_defaults(run=run_module_config, parser=config)
    return top


def report_bug() -> None:
    """Writes the traceback to a file that can be sent to the developers, and prints the file's name."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="httpd-wsgi-bug-", suffix=".log", delete=False
    ) as file:
        file.write(
            f"httpd-wsgi {httpd_wsgi.__version__}, Python {sys.version}\n{sys.argv!r}\n\n{traceback.format_exc()}"
        )
    print(
        f"httpd-wsgi: this is a bug of httpd-wsgi; please report it with the file {file.name}",
        file=sys.stderr,
    )


def guarded(work: Callable[[], int]) -> int:
    try:
        return work()
    except CommandError as exc:
        print(f"httpd-wsgi: {exc}", file=sys.stderr)
        return exc.code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # `httpd-wsgi ... | head` has read enough
        return 0
    except OSError as exc:
        print(
            f"httpd-wsgi: {exc.filename or 'the operating system refused'}: {exc.strerror or exc}",
            file=sys.stderr,
        )
        return EXIT_SYSTEM
    except KeyboardInterrupt:
        return 128 + 2
    except Exception:
        report_bug()
        return EXIT_BUG


def main(argv: Sequence[str] | None = None) -> int:
    def work() -> int:
        arguments, extras = parser().parse_known_args(argv)
        if extras:
            arguments.parser.refuse(extras)
        return int(arguments.run(arguments))

    return guarded(work)
