"""The options of `serve` and `setup` as a table: argparse, settings, completion and docs/command.md come from it."""

from __future__ import annotations

import argparse
import difflib
import enum
import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from httpd_wsgi.command.errors import CommandError
from httpd_wsgi.command.settings import DEFAULT_PORT, Bind, ServerSettings, check_host, parse_bind


class Kind(enum.Enum):
    TEXT = "text"
    FLAG = "flag"
    COUNT = "number"
    TIME = "time"
    SIZE = "size"
    PATH = "path"  # made absolute
    LOG = "file or -"
    LIST = "list"  # the option may be repeated
    PATHS = "paths"  # the same, made absolute
    PAIRS = "pairs"  # NAME=VALUE, repeated


@dataclass(frozen=True, slots=True)
class Option:
    names: str  # separated by spaces
    kind: Kind
    help: str
    field: str = ""  # of ServerSettings
    daemon: str = ""  # or an option of WSGIDaemonProcess
    metavar: str = ""
    low: int = 0
    high: int = 1_000_000_000
    command: str = ""  # only for this command

    @property
    def name(self) -> str:
        """The one that messages use."""
        return next(name for name in self.names.split() if name.startswith("--"))

    @property
    def destination(self) -> str:
        return self.name.removeprefix("--").replace("-", "_")


T, F, N, TIME, SIZE, PATH = Kind.TEXT, Kind.FLAG, Kind.COUNT, Kind.TIME, Kind.SIZE, Kind.PATH

SECTIONS: tuple[tuple[str, tuple[Option, ...]], ...] = (
    (
        "Application",
        (
            Option("--demo", F, "serve the bundled demonstration instead of a TARGET"),
            Option("--callable", T, "name of the application in the TARGET (default: application)", "callable", metavar="NAME"),
            Option("--mount-point", T, "URL path of the application (default: /)", "mount_point", metavar="PATH"),
            Option(
                "--working-directory --chdir",
                PATH,
                "directory to run in, first on sys.path (default: this one)",
                "working_directory",
                metavar="DIR",
            ),
            Option(
                "--python-path --pythonpath", Kind.PATHS, "directory for sys.path; may be repeated", "python_path", metavar="DIR"
            ),
            Option("--python-home", PATH, f"prefix of the Python to use (default: {sys.prefix})", "python_home", metavar="DIR"),
            Option(
                "-e --env --setenv",
                Kind.PAIRS,
                "a variable of the application's environment; may be repeated",
                "env",
                metavar="NAME=VALUE",
            ),
            Option("--application-group", T, "run in a sub-interpreter of this name", "application_group", metavar="NAME"),
            Option(
                "--reload",
                F,
                "for development: load the application again when one of its files changes",
                "reload",
                command="serve",
            ),
            Option(
                "--debug",
                F,
                "for development: --reload, and tracebacks in the browser; only on addresses of this machine",
                "debug",
                command="serve",
            ),
            Option("--no-script-reloading", F, "do not look whether the TARGET's file has changed", "script_reloading"),
            Option(
                "--service", Kind.PAIRS, "run a script in a process of its own; may be repeated", "services", metavar="NAME=FILE"
            ),
        ),
    ),
    (
        "Addresses",
        (
            Option(
                "-b --bind",
                Kind.LIST,
                "address to listen on, port 0 is any free one; may be repeated (default: 127.0.0.1:8000)",
                metavar="ADDRESS:PORT",
            ),
            Option("--host", T, "the same in two options: the address", metavar="ADDRESS"),
            Option("--port", N, "and the port", metavar="PORT", high=65535),
            Option("--server-name", T, "answer requests for this host name only", "server_name", metavar="NAME"),
            Option(
                "--server-alias", Kind.LIST, "and for this one; may be repeated, * is allowed", "server_aliases", metavar="NAME"
            ),
            Option("--allow-localhost", F, "and for localhost", "allow_localhost"),
            Option("--http2", F, "speak HTTP/2 as well", "http2"),
            Option(
                "--https-certificate --certfile",
                PATH,
                "certificate in PEM format; without --https-port all addresses speak HTTPS",
                "https_certificate",
                metavar="FILE",
            ),
            Option("--https-key --keyfile", PATH, "its key (default: in the same file)", "https_key", metavar="FILE"),
            Option("--https-chain", PATH, "certificates between it and the authority", "https_chain", metavar="FILE"),
            Option("--https-port", N, "port for HTTPS beside those for HTTP", "https_port", metavar="PORT", low=1, high=65535),
            Option(
                "--https-client-ca --ca-certs",
                PATH,
                "ask clients for certificates of this authority",
                "https_client_ca",
                metavar="FILE",
            ),
            Option("--https-only", F, "send requests by HTTP to the HTTPS port", "https_only"),
            Option("--https-environment", F, "pass what is known of the TLS connection to the application", "https_environment"),
            Option("--hsts", T, "the Strict-Transport-Security header, for example max-age=31536000", "hsts", metavar="VALUE"),
        ),
    ),
    (
        "Processes",
        (
            Option("-w --processes --workers", N, "worker processes (default: 1)", "processes", metavar="N", low=1, high=10000),
            Option("--threads", N, "request threads of each (default: 15)", "threads", metavar="N", low=1, high=10000),
            Option(
                "--max-clients --worker-connections",
                N,
                "connections at a time (default: httpd's, 400)",
                "max_clients",
                metavar="N",
                low=1,
                high=100000,
            ),
            Option("--backlog", N, "connections that may wait to be accepted", "backlog", metavar="N", low=1, high=65535),
            Option(
                "--max-requests --maximum-requests",
                N,
                "replace a worker after so many requests",
                daemon="maximum-requests",
                metavar="N",
            ),
            Option("--restart-interval", TIME, "replace workers after this time", daemon="restart-interval"),
            Option("--cpu-time-limit", TIME, "replace a worker that has used so much processor time", daemon="cpu-time-limit"),
            Option("--memory-limit", SIZE, "the most memory a worker may have", daemon="memory-limit", low=16 << 20),
            Option("-u --user", T, "user to run as, when started by root (default: the Apache user)", "user", metavar="USER"),
            Option("-g --group", T, "group to run as (default: the user's)", "group", metavar="GROUP"),
            Option("-m --umask", T, "file mode mask of the workers, octal", daemon="umask", metavar="MASK"),
            Option("-n --name", T, "name of the workers in ps and top", daemon="display-name", metavar="NAME"),
            Option("--daemon-option", Kind.PAIRS, "any other option of WSGIDaemonProcess; may be repeated", metavar="NAME=VALUE"),
        ),
    ),
    (
        "Time-outs (seconds, or with ms, s, min, h, d)",
        (
            Option("-t --request-timeout --timeout", TIME, "the longest a request may take", daemon="request-timeout"),
            Option("--interrupt-timeout", TIME, "time to obey for a request that took too long", daemon="interrupt-timeout"),
            Option("--queue-timeout", TIME, "the longest a request may wait for a worker", daemon="queue-timeout"),
            Option("--startup-timeout", TIME, "the longest the application may take to load", daemon="startup-timeout"),
            Option("--graceful-timeout", TIME, "time for running requests when workers are replaced", daemon="graceful-timeout"),
            Option("--shutdown-timeout", TIME, "time for exit functions and threads at the end", daemon="shutdown-timeout"),
            Option(
                "--deadlock-timeout",
                TIME,
                "time after which a worker that does nothing at all is replaced",
                daemon="deadlock-timeout",
            ),
            Option(
                "--inactivity-timeout",
                TIME,
                "time without requests after which workers are replaced",
                daemon="inactivity-timeout",
            ),
            Option("--connect-timeout", TIME, "time to reach a worker", daemon="connect-timeout"),
            Option(
                "--socket-timeout",
                N,
                "seconds to wait for the next data from a client or worker",
                "timeout",
                metavar="SECONDS",
                low=1,
                high=86400,
            ),
            Option(
                "--keep-alive",
                N,
                "seconds to wait for a client's next request, 0 for none (default: 5)",
                "keep_alive",
                metavar="SECONDS",
                high=86400,
            ),
            Option(
                "--header-timeout",
                N,
                "seconds for a request's head, more while it is arriving",
                "header_timeout",
                metavar="SECONDS",
                high=86400,
            ),
            Option("--body-timeout", N, "the same for its body", "body_timeout", metavar="SECONDS", high=86400),
        ),
    ),
    (
        "Files and responses",
        (
            Option("--document-root", PATH, "directory whose files win over the application", "document_root", metavar="DIR"),
            Option("--directory-index", T, "file to show for a directory", "directory_index", metavar="NAME"),
            Option("--directory-listing", F, "show what is in directories", "directory_listing"),
            Option(
                "--allow-override", Kind.LIST, "what .htaccess files may set; may be repeated", "allow_override", metavar="TYPE"
            ),
            Option(
                "--url-alias --static",
                Kind.PAIRS,
                "file or directory to serve under a URL path; may be repeated",
                "url_aliases",
                metavar="URL=PATH",
            ),
            Option(
                "--error-document",
                Kind.PAIRS,
                "URL of the page for a status; may be repeated",
                "error_documents",
                metavar="STATUS=URL",
            ),
            Option("--error-override", F, "use these for the application's own errors, too", "error_override"),
            Option("--compress", F, "compress text", "compress"),
            Option("--sendfile", F, "let the kernel send files", "sendfile"),
            Option(
                "--limit-request-body",
                N,
                "largest request body in bytes, 0 for any",
                "limit_request_body",
                metavar="BYTES",
                high=2**31 - 1,
            ),
            Option(
                "--trust-proxy --forwarded-allow-ips",
                Kind.LIST,
                "address or network of a proxy in front; may be repeated",
                "trusted_proxies",
                metavar="ADDRESS",
            ),
            Option(
                "--trust-proxy-header",
                Kind.LIST,
                "header that it sets, such as X-Forwarded-For; may be repeated",
                "trusted_proxy_headers",
                metavar="NAME",
            ),
        ),
    ),
    (
        "Logs",
        (
            Option(
                "--access-log --access-logfile",
                Kind.LOG,
                "log of requests, - is standard output (default: none)",
                "access_log",
                metavar="FILE",
            ),
            Option("--access-log-format", T, "combined, common, or a format of httpd", "access_log_format", metavar="FORMAT"),
            Option(
                "--error-log --error-logfile --log-file",
                Kind.LOG,
                "log of errors (serve: -, standard error; setup: error_log in " "the server root)",
                "error_log",
                metavar="FILE",
            ),
            Option("--log-level", T, "error, warn, notice, info, debug, … (default: warn)", "log_level", metavar="LEVEL"),
            Option("--log-format", T, "text, or json: an object per line", "log_format", metavar="FORMAT"),
            Option("-q --quiet", F, "say nothing but errors"),
        ),
    ),
    (
        "Apache",
        (
            Option(
                "--server-root",
                PATH,
                "directory for what is generated (serve: a fresh one that is removed at the end)",
                "server_root",
                metavar="DIR",
            ),
            Option(
                "--include-file", Kind.PATHS, "more configuration for httpd; may be repeated", "include_files", metavar="FILE"
            ),
            Option("-p --pid-file --pid", PATH, "file for the process number", "pid_file", metavar="FILE"),
            Option("--mpm", T, "event, worker or prefork (default: event)", "mpm", metavar="NAME"),
            Option("--httpd", PATH, "the httpd to run", "httpd", metavar="FILE"),
            Option("--modules-directory", PATH, "where its modules are", "modules_directory", metavar="DIR"),
            Option("--print-config", F, "show the configuration for httpd and do nothing else", command="serve"),
        ),
    ),
)

OPTIONS = tuple(option for _, section in SECTIONS for option in section)


class Parser(argparse.ArgumentParser):
    """Errors are one line, and a misspelt option is answered with the nearest one."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{"allow_abbrev": False, **named})

    def error(self, message: str) -> NoReturn:
        raise CommandError(message)

    def refuse(self, extras: Sequence[str]) -> NoReturn:
        """For what parse_known_args() left over."""
        name = extras[0].partition("=")[0]
        if not name.startswith("-"):
            self.error(f"{extras[0]}: unexpected; see {self.prog} --help")
        near = difflib.get_close_matches(name, self._option_string_actions, 1)
        self.error(f"{name}: no such option" + (f", did you mean {near[0]}?" if near else f"; see {self.prog} --help"))


def add_options(parser: argparse.ArgumentParser, command: str, taken: Collection[str] = ()) -> None:
    """taken: names that the parser has already, or must not have."""
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
    group.add_argument(*names, dest=option.destination, action="append" if repeated else "store", metavar=metavar, help=help_text)


# ---- from words to values ----


def count_of(option: Option, text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not option.low <= int(text) <= option.high:
        raise CommandError(f"{option.name} {text}: expected a number from {option.low} to {option.high}")
    return int(text)


def time_of(option: Option, text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,9}(ms|s|min|h|d)?", text, re.ASCII):
        raise CommandError(f"{option.name} {text}: expected a number of seconds, or one with ms, s, min, h or d")
    return text


def size_of(option: Option, text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,12}[KMG]?", text, re.ASCII):
        raise CommandError(f"{option.name} {text}: expected a number of bytes, or one with K, M or G")
    size = int(text.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(text[-1], 0)
    if 0 < size < option.low:
        raise CommandError(f"{option.name} {text}: {size} bytes are too little; expected {option.low >> 20}M or more")
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
    return (name, str(Path(value).absolute())) if option.metavar in ("URL=PATH", "NAME=FILE") else (name, value)


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
            raise CommandError("--bind names address and port already; expected no --host and no --port beside it")
        return tuple(parse_bind(text) for text in given["bind"])
    host = check_host("--host", given.get("host", "127.0.0.1"))
    return (Bind("" if host == "*" else host, given.get("port", DEFAULT_PORT)),)


def settings_from(arguments: argparse.Namespace, target: str) -> ServerSettings:
    """The words of the command line, each checked and named in the message when it is wrong."""
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
    if values.get("debug"):
        values["reload"] = True
    return ServerSettings(target=target, binds=binds_of(given), daemon_options=tuple(daemon), **values)
