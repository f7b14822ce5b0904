"""Makes the parser from the table of options, and settings from its result."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from httpd_wsgi.command.errors import CommandError
from httpd_wsgi.command.option_table import OPTIONS, SECTIONS, Kind, Option
from httpd_wsgi.command.settings import DEFAULT_PORT, Bind, ServerSettings, check_host, parse_bind


class Parser(argparse.ArgumentParser):
    """Errors are one line. The error for a misspelt option names the nearest one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **named})

    def error(self, message: str) -> NoReturn:
        raise CommandError(message.removeprefix("argument "))

    def refuse(self, extras: Sequence[str]) -> NoReturn:
        """Raises the error for arguments that parse_known_args() left over."""
        name = extras[0].partition("=")[0]
        if not name.startswith("-"):
            self.error(f"{extras[0]}: unexpected; see {self.prog} --help")
        begin = [option for option in self._option_string_actions if option.startswith(name + "-")]
        near = begin or difflib.get_close_matches(name, self._option_string_actions, 1)
        meant = " or ".join(near[:4])
        self.error(
            f"{name}: no such option"
            + (f", did you mean {meant}?" if near else f"; see {self.prog} --help")
        )


def add_options(parser: argparse.ArgumentParser, command: str, taken: Collection[str] = ()) -> None:
    """Leaves out the names in `taken`, which the parser has already or must not have."""
    for title, section in SECTIONS:
        group = parser.add_argument_group(title)
        for option in section:
            names = [name for name in option.names.split() if name not in taken]
            if names and option.command in ("", command):
                add_option(group, option, names)


def add_option(group: argparse._ArgumentGroup, option: Option, names: Sequence[str]) -> None:
    help_text = option.help.replace("%", "%%")
    if option.kind is Kind.FLAG:
        group.add_argument(*names, dest=option.destination, action="store_true", help=help_text)
        return
    repeated = option.kind in (Kind.LIST, Kind.PATHS, Kind.PAIRS)
    metavar = option.metavar or option.kind.name
    group.add_argument(
        *names,
        dest=option.destination,
        action="append" if repeated else "store",
        metavar=metavar,
        help=help_text,
    )


# ---- from words to values ----


def count_of(option: Option, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not option.low <= int(text) <= option.high:
        raise CommandError(
            f"{option.name} {text}: expected a number from {option.low} to {option.high}"
        )
    return int(text)


def time_of(option: Option, text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}(ms|s|min|h|d)?", text, re.ASCII):
        raise CommandError(
            f"{option.name} {text}: expected a number of seconds, or one with ms, s, min, h or d"
        )
    return text


def size_of(option: Option, text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,12}[KMG]?", text, re.ASCII):
        raise CommandError(
            f"{option.name} {text}: expected a number of bytes, or one with K, M or G"
        )
    size = int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1], 0)
    if 0 < size < option.low:
        raise CommandError(
            f"{option.name} {text}: {size} bytes are too little; expected {option.low >> 20}M or more"
        )
    return text


def text_of(option: Option, text: str) -> str:
    if not text:
        raise CommandError(f"{option.name}: expected a value, got an empty one")
    return text


def path_of(option: Option, text: str) -> str:
    return str(Path(text_of(option, text)).absolute())


def log_of(option: Option, text: str) -> str:
    return text if text == "-" else path_of(option, text)


def pair_of(option: Option, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise CommandError(f"{option.name} {text}: expected {option.metavar}")
    return (
        (name, str(Path(value).absolute()))
        if option.metavar in ("URL=PATH", "NAME=FILE")
        else (name, value)
    )


CONVERTERS: dict[Kind, Callable[[Option, Any], object]] = {
    Kind.TEXT: text_of,
    Kind.FLAG: lambda _, value: value,
    Kind.COUNT: count_of,
    Kind.TIME: time_of,
    Kind.SIZE: size_of,
    Kind.PATH: path_of,
    Kind.LOG: log_of,
    Kind.LIST: lambda option, values: tuple(text_of(option, value) for value in values),
    Kind.PATHS: lambda option, values: tuple(path_of(option, value) for value in values),
    Kind.PAIRS: lambda option, values: tuple(pair_of(option, value) for value in values),
}
_AS_TEXT = {"limit_request_body", "keep_alive", "timeout", "header_timeout", "body_timeout"}


def binds_of(given: dict[str, Any]) -> tuple[Bind, ...]:
    if given.get("bind"):
        if "host" in given or "port" in given:
            raise CommandError(
                "--bind names address and port already; expected no --host and no --port beside it"
            )
        return tuple(parse_bind(text) for text in given["bind"])
    host = check_host("--host", given.get("host", "127.0.0.1"))
    return (Bind("" if host == "*" else host, given.get("port", DEFAULT_PORT)),)


def settings_from(arguments: argparse.Namespace, target: str) -> ServerSettings:
    """Checks each word of the command line. A wrong one is named in the error."""
    values: dict[str, Any] = {}
    given: dict[str, Any] = {}
    daemon: list[tuple[str, str]] = []
    for option in OPTIONS:
        word = getattr(arguments, option.destination, None)
        if word is None or word is False:
            continue
        value = CONVERTERS[option.kind](option, word)
        if option.daemon:
            daemon.append((option.daemon, str(value)))
        elif option.field:
            values[option.field] = str(value) if option.field in _AS_TEXT else value
        else:
            given[option.destination] = value
    daemon += given.get("daemon_option", ())
    if "script_reloading" in values:
        values["script_reloading"] = False
    if "log_level" in values:  # the names of Python's logging as well
        level = values["log_level"].lower()
        values["log_level"] = {"warning": "warn", "critical": "crit"}.get(level, level)
    if values.get("debug"):
        values["reload"] = True
    return ServerSettings(
        target=target, binds=binds_of(given), daemon_options=tuple(daemon), **values
    )
