"""`httpd-wsgi express`: the commands of mod_wsgi-express. Options that mean the same are taken,
those that differ are named.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from httpd_wsgi.command import machine, options, root, serve, setup, words
from httpd_wsgi.command.errors import CommandError
from httpd_wsgi.command.express import lines, modes
from httpd_wsgi.command.express.option_table import (
    DAEMON_DEFAULTS,
    DEFAULTS,
    FLAG,
    MANY,
    PAIRS,
    ROWS,
    Row,
)
from httpd_wsgi.command.option_table import Kind, Option
from httpd_wsgi.command.settings import Bind, ServerSettings
from httpd_wsgi.command.target import DEMO, say

Given = dict[str, Any]


def add_options(parser: argparse.ArgumentParser, taken: Collection[str] = ()) -> None:
    """taken: names that the parser has already."""
    for row in ROWS:
        names = [name for name in row.names.split() if name not in taken]
        told = row.note or row.refused
        help_text = (told or (f"as serve {row.serve}" if row.serve else "")).replace(
            "%", "%%"
        ) or None
        if not names:
            continue
        if row.kind == FLAG:
            parser.add_argument(
                *names, dest=row.destination, action="store_true", default=None, help=help_text
            )
        elif row.kind == PAIRS:
            parser.add_argument(
                *names,
                dest=row.destination,
                action="append",
                nargs=2,
                metavar=("A", "B"),
                help=help_text,
            )
        else:
            parser.add_argument(
                *names,
                dest=row.destination,
                action="append" if row.kind == MANY else "store",
                metavar="X",
                help=help_text,
            )


def given_of(arguments: argparse.Namespace, note: Callable[[str], None]) -> Given:
    """Returns the given options by name. Notes those that differ, and refuses those that are not
    offered.
    """
    given = {}
    for row in ROWS:
        value = getattr(arguments, row.destination, None)
        if value is None:
            continue
        if row.refused:
            raise CommandError(f"{row.name}: {row.refused}")
        if row.note:
            note(f"{row.name}: {row.note}")
        given[row.name] = value
    return given


# ---- from words to the words of `serve` ----


def serve_words(given: Given) -> Iterator[str]:
    defaults = dict(DEFAULTS)
    for row in ROWS:
        if row.name in given and row.serve:
            defaults.pop(row.serve, None)
            yield from words_of(row, given[row.name])
    for name, value in defaults.items():
        yield from (name, value)
    daemon = {
        **DAEMON_DEFAULTS,
        **{row.daemon: given[row.name] for row in ROWS if row.daemon and row.name in given},
    }
    if "--socket-timeout" in given:
        daemon["socket-timeout"] = given["--socket-timeout"]
    if "--server-metrics" in given:
        daemon["server-metrics"] = "On"
    for name, value in daemon.items():
        if value != "0":  # not set, in both worlds
            yield from ("--daemon-option", f"{name}={value}")
    if "--ssl-certificate" in given:
        yield from (
            "--https-certificate",
            given["--ssl-certificate"] + ".crt",
            "--https-key",
            given["--ssl-certificate"] + ".key",
        )


def words_of(row: Row, value: Any) -> Iterator[str]:
    if row.kind == FLAG:
        yield row.serve
        return
    for item in value if row.kind in (MANY, PAIRS) else [value]:
        yield f"{row.serve}={'='.join(item) if row.kind == PAIRS else item}"


def target_and_callable(entry: str, given: Given) -> tuple[str, dict[str, Any]]:
    """Returns the TARGET, and settings that depend on it."""
    kind = given.get("--application-type", "script")
    if kind == "static":
        return "", {} if "--document-root" in given else {
            "document_root": str(Path(entry or ".").absolute())
        }
    if kind == "paste":
        raise CommandError(
            "--application-type paste: expected script, module or static; load the file with paste.deploy in a script"
        )
    if not entry:
        return str(DEMO), {}
    if kind == "module":
        return f"{entry}:{given.get('--callable-object', 'application')}", {"callable": ""}
    return entry, {}


def binds_of(given: Given) -> tuple[Bind, ...]:
    port = options.count_of(
        Option("--port", Kind.COUNT, "", high=65535), given.get("--port", "8000")
    )
    return (Bind(given.get("--host", ""), port),)


def settings_from(
    arguments: argparse.Namespace, entry: str, note: Callable[[str], None]
) -> ServerSettings:
    given = given_of(arguments, note)
    parser = options.Parser(prog="httpd-wsgi express")
    options.add_options(parser, "serve")
    parsed = parser.parse_args(list(serve_words(given)))
    target, more = target_and_callable(given.get("--entry-point", entry), given)
    if target and "callable" not in more and "--callable-object" in given:
        more["callable"] = given["--callable-object"]
    parsed.callable, parsed.document_root = None, more.get("document_root", parsed.document_root)
    settings = options.settings_from(parsed, target)
    binds = binds_of(given)
    error_log, access_log = logs_of(given, settings)
    host = f"{binds[0].host or 'localhost'}:{binds[0].port}"
    group = given.get("--process-group", host)
    scripts_run_in = "%{GLOBAL}" if "--embedded-mode" in given else group
    settings = replace(
        settings,
        binds=binds,
        process_group=group,
        mpm=given.get("--server-mpm", ["event"])[0],
        map_head=given.get("--map-head-to-get", ""),
        request_env=tuple((name, value) for name, value in given.get("--setenv", ())),
        pass_env=tuple(given.get("--passenv", ())),
        has_variables=True,
        extra=tuple(lines.extra_lines(given, host, scripts_run_in)),
        extra_modules=lines.modules_of(given),
        service_options=tuple(service_options(given)),
        proxy_hosts=tuple(lines.proxy_hosts(given)),
        error_log=error_log,
        access_log=access_log,
        **more,
    )
    return modes.in_mode(settings, given, note)


def service_options(given: Given) -> Iterator[tuple[str, str, str]]:
    names = {name for name, _ in given.get("--service-script", ())}
    for option in ("user", "group"):
        for name, value in given.get(f"--service-{option}", ()):
            if name not in names:
                raise CommandError(
                    f"--service-{option} {name} {value}: there is no --service-script {name}"
                )
            yield name, option, value


def logs_of(given: Given, settings: ServerSettings) -> tuple[str, str]:
    """Returns the logs of errors and of requests. Without --server-root or --log-directory they go to
    the terminal, since the server root is removed at the end.
    """
    directory = given.get("--log-directory", "")
    directory = (
        str(Path(directory).absolute())
        if directory
        else ""
        if "--log-to-terminal" in given
        else settings.server_root
    )
    if not directory:
        return "-", "-" if "--access-log" in given else ""
    error, access = (
        given.get("--error-log-name", "error_log"),
        given.get("--access-log-name", "access_log"),
    )
    return f"{directory}/{error}", f"{directory}/{access}" if "--access-log" in given else ""


# ---- the commands ----


def expand(arguments: Sequence[str]) -> list[str]:
    """Replaces $NAME in every argument, as mod_wsgi-express does. Unknown names stay."""
    return [os.path.expandvars(argument) for argument in arguments]


def run(words_: Sequence[str]) -> int:
    commands = {
        "start-server": start_server,
        "setup-server": setup_server,
        "module-config": lambda rest: no_arguments("module-config", rest, module_config),
        "module-location": lambda rest: no_arguments(
            "module-location", rest, lambda: print(machine.find_wsgi_module())
        ),
        "install-module": install_module,
    }
    if not words_ or words_[0] not in commands:
        got = f"{words_[0]}: " if words_ else ""
        raise CommandError(f"express {got}expected one of {', '.join(commands)}")
    return commands[words_[0]](expand(words_[1:]))


def parse(command: str, arguments: Sequence[str]) -> tuple[argparse.Namespace, str]:
    parser = options.Parser(prog=f"httpd-wsgi express {command}", allow_abbrev=True)
    parser.add_argument("entry", nargs="*", metavar="ENTRY-POINT")
    add_options(parser)
    parsed, extras = parser.parse_known_intermixed_args(arguments)
    if extras:
        parser.refuse(extras)
    return parsed, parsed.entry[0] if parsed.entry else ""


def note(text: str) -> None:
    say(f"note: {text}")


def start_server(arguments: Sequence[str]) -> int:
    parsed, entry = parse("start-server", arguments)
    if parsed.setup_only:
        return setup_server_of(parsed, entry)
    return serve.run(settings_from(parsed, entry, note))


def setup_server(arguments: Sequence[str]) -> int:
    return setup_server_of(*parse("setup-server", arguments))


def setup_server_of(parsed: argparse.Namespace, entry: str) -> int:
    modes.refuse(parsed)
    return write_root(settings_from(parsed, entry, note), parsed)


def write_root(settings: ServerSettings, parsed: argparse.Namespace) -> int:
    """Writes the files for `setup-server`, and for --setup-only of manage.py."""
    if not settings.server_root:
        raise CommandError(
            "setup-server: expected --server-root DIR; mod_wsgi-express would take a name in the temporary directory "
            "that others can guess"
        )
    code = setup.run(settings, systemd=False, quiet=False)
    if parsed.envvars_script:
        line = f". {words.shell(Path(parsed.envvars_script).absolute())}\n"
        root.write(Path(settings.server_root) / "envvars", line, 0o600)
    return code


def no_arguments(command: str, rest: Sequence[str], work: Callable[[], object]) -> int:
    if rest:
        raise CommandError(f"{command} {rest[0]}: expected no argument")
    work()
    return 0


def module_config(module: Path | None = None) -> None:
    print(machine.module_config(module), end="")


def install_module(arguments: Sequence[str]) -> int:
    """Creates a link to the module in httpd's directory, and prints the lines for it. The module
    finds its package through the link.
    """
    parser = options.Parser(prog="httpd-wsgi express install-module", allow_abbrev=True)
    parser.add_argument("--modules-directory", metavar="DIR")
    parsed = parser.parse_args(list(arguments))
    places = (
        [parsed.modules_directory] if parsed.modules_directory else list(machine.MODULE_DIRECTORIES)
    )
    directory = next((place for place in places if os.path.isdir(place)), "")
    if not directory:
        raise CommandError(
            f"--modules-directory: expected a directory; there is none of {', '.join(places)}"
        )
    source = machine.find_wsgi_module()
    target = Path(directory, source.name)
    try:
        temporary = target.with_name(target.name + ".new")
        temporary.symlink_to(source)
        temporary.replace(target)
    except OSError as exc:
        raise CommandError(
            f"{target}: cannot be written: {exc.strerror}; run it with sudo"
        ) from exc
    module_config(target)
    return 0
