"""What the command line asks for, as one frozen object that has been checked."""

from __future__ import annotations

import ipaddress
import math
import os
import re
import sys
from dataclasses import dataclass

from httpd_wsgi.command.certificates import check_pair, check_pem
from httpd_wsgi.command.errors import EXIT_NO_TARGET, CommandError

LOG_LEVELS = (
    "emerg",
    "alert",
    "crit",
    "error",
    "warn",
    "notice",
    "info",
    "debug",
    *(f"trace{n}" for n in range(1, 9)),
)
DEFAULT_PORT = 8000
STOP_LIMIT = 30  # seconds that requests get to finish when the server stops
SECONDS = {"ms": 0.001, "": 1, "s": 1, "min": 60, "h": 3600, "d": 86400}
_HOST = re.compile(r"[A-Za-z0-9_.\-*]+")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """An address to listen on; host "" is all of them, port 0 any free one."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if host else str(self.port)

    @property
    def is_local(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_bind(text: str) -> Bind:
    """ADDRESS:PORT, :PORT, [IPv6]:PORT, or ADDRESS alone."""
    if text.startswith("unix:"):
        raise CommandError(
            f"--bind {text}: httpd cannot listen on a Unix socket; expected ADDRESS:PORT"
        )
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(DEFAULT_PORT)
    if text.isdecimal():
        raise CommandError(
            f"--bind {text}: expected ADDRESS:PORT; did you mean 127.0.0.1:{text}, or :{text} for all "
            "addresses?"
        )
    if not port.isdecimal() or int(port) > 65535:
        raise CommandError(f"--bind {text}: expected ADDRESS:PORT with a port from 0 to 65535")
    host = host.removeprefix("[").removesuffix("]")
    return Bind(check_host("--bind", "" if host == "*" else host), int(port))


def check_host(option: str, host: str) -> str:
    if host and not _HOST.fullmatch(host):
        try:
            ipaddress.IPv6Address(host.partition("%")[0])
        except ValueError:
            raise CommandError(f"{option} {host}: expected an address or a host name") from None
    return host


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One server. Paths are absolute; times and sizes are as httpd and WSGIDaemonProcess read them."""

    target: str = ""  # "": no application, files only
    callable: str = ""
    mount_point: str = "/"
    application_group: str = "%{GLOBAL}"
    process_group: str = "serve"
    python_home: str = sys.prefix
    python_path: tuple[str, ...] = ()
    working_directory: str = ""
    env: Pairs = ()
    request_env: Pairs = ()
    pass_env: tuple[str, ...] = ()
    reload: bool = False
    debug: bool = False
    script_reloading: bool = True
    # Variables for develop/instruments.py, which then stands in the application's place
    instruments: Pairs = ()
    embedded: bool = False  # Apache's own processes run the application
    services: Pairs = ()
    # Name of the service, option of WSGIDaemonProcess, value
    service_options: tuple[tuple[str, str, str], ...] = ()

    binds: tuple[Bind, ...] = (Bind(),)
    server_name: str = ""
    server_aliases: tuple[str, ...] = ()
    allow_localhost: bool = False
    http2: bool = False
    https_port: int | None = None
    https_certificate: str = ""
    https_key: str = ""
    https_chain: str = ""
    https_client_ca: str = ""
    https_only: bool = False
    https_environment: bool = False
    hsts: str = ""
    proxy_hosts: Pairs = ()  # host name, URL of the server that answers for it

    processes: int | None = None
    threads: int = 15
    daemon_options: Pairs = ()
    max_clients: int | None = None
    backlog: int | None = None
    limit_request_body: str = ""
    keep_alive: str = ""
    timeout: str = ""
    header_timeout: str = ""
    body_timeout: str = ""

    document_root: str = ""
    directory_index: str = ""
    directory_listing: bool = False
    allow_override: tuple[str, ...] = ()
    url_aliases: Pairs = ()
    error_documents: Pairs = ()
    error_override: bool = False
    compress: bool = False
    sendfile: bool = False
    map_head: str = ""
    chunked_request: bool | None = None
    trusted_proxies: tuple[str, ...] = ()
    trusted_proxy_headers: tuple[str, ...] = ()

    user: str = ""
    group: str = ""
    access_log: str = ""  # a file, or "-" for standard output
    access_log_format: str = "combined"
    error_log: str = "-"  # a file, "-" for standard error, "" for a file in the server root (setup)
    has_variables: bool = False  # MOD_WSGI_…, for files of --include-file
    extra: tuple[str, ...] = ()  # more lines for httpd.conf, quoted
    extra_modules: tuple[str, ...] = ()  # what they need
    log_level: str = "warn"
    log_format: str = "text"

    server_root: str = ""  # "": a fresh private directory
    pid_file: str = ""
    include_files: tuple[str, ...] = ()
    mpm: str = "event"
    httpd: str = ""
    modules_directory: str = ""

    def __post_init__(self) -> None:
        self._check_python()
        self._check_https()
        self._check_logs()
        if self.mpm not in ("event", "worker", "prefork"):
            raise CommandError(f"--mpm {self.mpm}: expected event, worker or prefork")
        if not self.mount_point.startswith("/"):
            raise CommandError(f"--mount-point {self.mount_point}: a URL path begins with /")
        for url, _ in self.url_aliases:
            if not url.startswith("/"):
                raise CommandError(f"--url-alias {url}: a URL path begins with /")
        for code, _ in self.error_documents:
            if not re.fullmatch("[45][0-9][0-9]", code):
                raise CommandError(f"--error-document {code}: expected a status from 400 to 599")
        for name, _ in (*self.env, *self.request_env):
            if not re.fullmatch(r"[^\W\d]\w*", name):
                raise CommandError(f"--env {name}: not the name of a variable")
        if not re.fullmatch(r"[\w.\-]*", self.directory_index):
            raise CommandError(
                f"--directory-index {self.directory_index}: expected the name of a file, such as index.html"
            )
        if "?" in self.document_root:
            raise CommandError(
                f"--document-root {self.document_root}: a directory with a question mark cannot be one"
            )
        for name in (self.server_name, *self.server_aliases):
            check_host("--server-name", name)
        if self.user and self.user in ("root", "0", "#0"):
            raise CommandError(
                "--user root: an application must not run as root; name another user"
            )
        if not self.target and not self.document_root and not self.url_aliases:
            raise CommandError(
                "expected a TARGET: a script file, module:callable or module:factory() (or --demo)"
            )

    def _check_python(self) -> None:
        if not any(
            os.path.exists(os.path.join(self.python_home, "bin", name))
            for name in ("python", "python3")
        ):
            raise CommandError(f"--python-home {self.python_home}: there is no bin/python in it")
        for path in self.python_path:
            if ":" in path:
                raise CommandError(
                    f"--python-path {path}: a directory of the Python path cannot have a colon in its name"
                )
        if self.working_directory and not os.path.isdir(self.working_directory):
            raise CommandError(
                f"--working-directory {self.working_directory}: no such directory", EXIT_NO_TARGET
            )
        for bind in self.binds:
            if self.debug and not bind.is_local:
                raise CommandError(
                    f"--debug with {bind}: everybody who reaches this address would see source code and variables; "
                    "expected an address of this machine alone, such as --bind 127.0.0.1:8000"
                )

    def _check_https(self) -> None:
        if not self.https_certificate:
            for option, given in (
                ("--https-port", self.https_port),
                ("--https-key", self.https_key),
                ("--https-client-ca", self.https_client_ca),
                ("--https-only", self.https_only),
                ("--hsts", self.hsts),
            ):
                if given:
                    raise CommandError(f"{option}: needs --https-certificate FILE as well")
        if self.https_only and self.https_port is None:
            raise CommandError(
                "--https-only: needs --https-port PORT, where HTTP requests are sent to"
            )
        for option, path in (
            ("--https-certificate", self.https_certificate),
            ("--https-key", self.https_key),
            ("--https-chain", self.https_chain),
            ("--https-client-ca", self.https_client_ca),
        ):
            if path:
                check_pem(option, path)
        if self.https_certificate:
            check_pair(self.https_certificate, self.https_key)

    def _check_logs(self) -> None:
        if self.log_level not in LOG_LEVELS:
            raise CommandError(
                f"--log-level {self.log_level}: expected one of {', '.join(LOG_LEVELS[:8])}, trace1 to trace8"
            )
        if self.log_format not in ("text", "json"):
            raise CommandError(f"--log-format {self.log_format}: expected text or json")

    @property
    def stop_limit(self) -> int:
        """Seconds that requests get to finish when the server stops."""
        given = re.fullmatch(
            r"(\d+)(ms|s|min|h|d)?", dict(self.daemon_options).get("graceful-timeout", "")
        )
        seconds = int(given[1]) * SECONDS[given[2] or ""] if given else 0
        return math.ceil(seconds) or STOP_LIMIT

    @property
    def is_https_only_binds(self) -> bool:
        """Do the addresses of --bind themselves speak HTTPS?"""
        return bool(self.https_certificate) and self.https_port is None

    @property
    def is_module(self) -> bool:
        return ":" in self.target and not self.target.startswith("/")


def is_module_name(text: str) -> bool:
    return _MODULE.fullmatch(text) is not None
