"""The options of `serve` and `setup` as a table. The parser, the settings, the completion, the man
page and docs/command.md are made from it.
"""

from __future__ import annotations

import enum
import sys
from dataclasses import dataclass


class Kind(enum.Enum):
    TEXT = "text"
    FLAG = "flag"
    COUNT = "number"
    TIME = "time"
    SIZE = "size"
    PATH = "path"  # made absolute
    LOG = "file or -"
    LIST = "list"  # the option may be repeated
    PATHS = "paths"  # made absolute; the option may be repeated
    PAIRS = "pairs"  # NAME=VALUE; the option may be repeated


@dataclass(frozen=True, slots=True)
class Option:
    names: str  # separated by spaces
    kind: Kind
    help: str
    field: str = ""  # of ServerSettings
    daemon: str = ""  # an option of WSGIDaemonProcess, for options that are no field
    metavar: str = ""
    low: int = 0
    high: int = 1_000_000_000
    command: str = ""  # only for this command

    @property
    def name(self) -> str:
        """The name that messages use: the first long one."""
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
            Option(
                "--callable",
                T,
                "name of the callable in a script file (default: application)",
                "callable",
                metavar="NAME",
            ),
            Option(
                "--mount-point",
                T,
                "URL path of the application (default: /)",
                "mount_point",
                metavar="PATH",
            ),
            Option(
                "--working-directory --chdir",
                PATH,
                "directory to run in, first on sys.path (default: the current directory)",
                "working_directory",
                metavar="DIR",
            ),
            Option(
                "--python-path --pythonpath",
                Kind.PATHS,
                "directory for sys.path; may be repeated",
                "python_path",
                metavar="DIR",
            ),
            Option(
                "--python-home",
                PATH,
                f"prefix of the Python to use (default: {sys.prefix})",
                "python_home",
                metavar="DIR",
            ),
            Option(
                "-e --env --setenv",
                Kind.PAIRS,
                "a variable of the application's environment; may be repeated",
                "env",
                metavar="NAME=VALUE",
            ),
            Option(
                "--application-group",
                T,
                "run in a sub-interpreter of this name",
                "application_group",
                metavar="NAME",
            ),
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
            Option(
                "--no-script-reloading",
                F,
                "do not check whether the TARGET's file has changed",
                "script_reloading",
            ),
            Option(
                "--service",
                Kind.PAIRS,
                "run a script in a process of its own; may be repeated",
                "services",
                metavar="NAME=FILE",
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
            Option("--host", T, "address to listen on, in place of --bind", metavar="ADDRESS"),
            Option(
                "--port", N, "port to listen on, in place of --bind", metavar="PORT", high=65535
            ),
            Option(
                "--server-name",
                T,
                "answer requests for this host name only",
                "server_name",
                metavar="NAME",
            ),
            Option(
                "--server-alias",
                Kind.LIST,
                "another host name to answer for; may be repeated, * is allowed",
                "server_aliases",
                metavar="NAME",
            ),
            Option(
                "--allow-localhost", F, "answer requests for localhost as well", "allow_localhost"
            ),
            Option("--http2", F, "offer HTTP/2 as well", "http2"),
            Option(
                "--https-certificate --certfile",
                PATH,
                "certificate in PEM format; without --https-port all addresses use HTTPS",
                "https_certificate",
                metavar="FILE",
            ),
            Option(
                "--https-key --keyfile",
                PATH,
                "key of the certificate (default: in the same file)",
                "https_key",
                metavar="FILE",
            ),
            Option(
                "--https-chain",
                PATH,
                "certificates between the certificate and its authority",
                "https_chain",
                metavar="FILE",
            ),
            Option(
                "--https-port",
                N,
                "port for HTTPS beside those for HTTP",
                "https_port",
                metavar="PORT",
                low=1,
                high=65535,
            ),
            Option(
                "--https-client-ca --ca-certs",
                PATH,
                "ask clients for certificates of this authority",
                "https_client_ca",
                metavar="FILE",
            ),
            Option("--https-only", F, "redirect requests by HTTP to the HTTPS port", "https_only"),
            Option(
                "--https-environment",
                F,
                "pass the variables of the TLS connection to the application",
                "https_environment",
            ),
            Option(
                "--hsts",
                T,
                "the Strict-Transport-Security header, for example max-age=31536000",
                "hsts",
                metavar="VALUE",
            ),
        ),
    ),
    (
        "Processes",
        (
            Option(
                "-w --processes --workers",
                N,
                "worker processes (default: 1)",
                "processes",
                metavar="N",
                low=1,
                high=10000,
            ),
            Option(
                "--threads",
                N,
                "request threads of each worker (default: 15)",
                "threads",
                metavar="N",
                low=1,
                high=10000,
            ),
            Option(
                "--max-clients --worker-connections",
                N,
                "most connections at the same time (default: that of httpd, 400)",
                "max_clients",
                metavar="N",
                low=1,
                high=100000,
            ),
            Option(
                "--backlog",
                N,
                "connections that may wait to be accepted",
                "backlog",
                metavar="N",
                low=1,
                high=65535,
            ),
            Option(
                "--max-requests --maximum-requests",
                N,
                "replace a worker after this number of requests",
                daemon="maximum-requests",
                metavar="N",
            ),
            Option(
                "--restart-interval",
                TIME,
                "replace workers after this time",
                daemon="restart-interval",
            ),
            Option(
                "--cpu-time-limit",
                TIME,
                "replace a worker after this processor time",
                daemon="cpu-time-limit",
            ),
            Option(
                "--memory-limit",
                SIZE,
                "the most memory a worker may have",
                daemon="memory-limit",
                low=16 << 20,
            ),
            Option(
                "-u --user",
                T,
                "user to run as, when started by root (default: the Apache user)",
                "user",
                metavar="USER",
            ),
            Option(
                "-g --group", T, "group to run as (default: the user's)", "group", metavar="GROUP"
            ),
            Option(
                "-m --umask",
                T,
                "file mode mask of the workers, octal",
                daemon="umask",
                metavar="MASK",
            ),
            Option(
                "-n --name",
                T,
                "name of the workers in ps and top",
                daemon="display-name",
                metavar="NAME",
            ),
            Option(
                "--daemon-option",
                Kind.PAIRS,
                "any other option of WSGIDaemonProcess; may be repeated",
                metavar="NAME=VALUE",
            ),
        ),
    ),
    (
        "Time-outs (seconds, or with ms, s, min, h, d)",
        (
            Option(
                "-t --request-timeout --timeout",
                TIME,
                "the longest a request may take",
                daemon="request-timeout",
            ),
            Option(
                "--interrupt-timeout",
                TIME,
                "time that a request which took too long gets to end after it was interrupted",
                daemon="interrupt-timeout",
            ),
            Option(
                "--queue-timeout",
                TIME,
                "the longest a request may wait for a worker",
                daemon="queue-timeout",
            ),
            Option(
                "--startup-timeout",
                TIME,
                "the longest the application may take to load",
                daemon="startup-timeout",
            ),
            Option(
                "--graceful-timeout",
                TIME,
                "time for running requests when workers are replaced (default: 600), or the server stops (default: 30)",
                daemon="graceful-timeout",
            ),
            Option(
                "--shutdown-timeout",
                TIME,
                "time for exit functions and threads when a worker ends",
                daemon="shutdown-timeout",
            ),
            Option(
                "--deadlock-timeout",
                TIME,
                "time after which a worker that has stopped responding is replaced",
                daemon="deadlock-timeout",
            ),
            Option(
                "--inactivity-timeout",
                TIME,
                "time without requests after which workers are replaced",
                daemon="inactivity-timeout",
            ),
            Option(
                "--connect-timeout",
                TIME,
                "longest time until a worker accepts a request",
                daemon="connect-timeout",
            ),
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
            Option(
                "--body-timeout",
                N,
                "seconds for a request's body, more while it is arriving",
                "body_timeout",
                metavar="SECONDS",
                high=86400,
            ),
        ),
    ),
    (
        "Files and responses",
        (
            Option(
                "--document-root",
                PATH,
                "directory whose files are served instead of the application",
                "document_root",
                metavar="DIR",
            ),
            Option(
                "--directory-index",
                T,
                "file to show for a directory",
                "directory_index",
                metavar="NAME",
            ),
            Option("--directory-listing", F, "list the files of directories", "directory_listing"),
            Option(
                "--allow-override",
                Kind.LIST,
                "kind of directives that .htaccess files may use; may be repeated",
                "allow_override",
                metavar="TYPE",
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
            Option(
                "--error-override",
                F,
                "use the pages of --error-document for errors of the application as well",
                "error_override",
            ),
            Option("--compress", F, "compress responses that are text", "compress"),
            Option("--sendfile", F, "let the kernel send files", "sendfile"),
            Option(
                "--limit-request-body",
                N,
                "largest request body in bytes, 0 for any",
                "limit_request_body",
                metavar="BYTES",
                high=2**63 - 1,
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
                "header that this proxy sets, such as X-Forwarded-For; may be repeated",
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
            Option(
                "--access-log-format",
                T,
                "combined, common, or a format of httpd",
                "access_log_format",
                metavar="FORMAT",
            ),
            Option(
                "--error-log --error-logfile --log-file",
                Kind.LOG,
                "log of errors (serve: -, standard error; setup: error_log in " "the server root)",
                "error_log",
                metavar="FILE",
            ),
            Option(
                "--log-level",
                T,
                "error, warn, notice, info, debug, ... (default: warn)",
                "log_level",
                metavar="LEVEL",
            ),
            Option(
                "--log-format",
                T,
                "text, or json: an object per line",
                "log_format",
                metavar="FORMAT",
            ),
            Option("-q --quiet", F, "print errors only"),
        ),
    ),
    (
        "Apache",
        (
            Option(
                "--server-root",
                PATH,
                "directory for generated files (serve: a new one that is removed at the end)",
                "server_root",
                metavar="DIR",
            ),
            Option(
                "--include-file",
                Kind.PATHS,
                "more configuration for httpd; may be repeated",
                "include_files",
                metavar="FILE",
            ),
            Option(
                "-p --pid-file --pid",
                PATH,
                "file for the process number",
                "pid_file",
                metavar="FILE",
            ),
            Option("--mpm", T, "event, worker or prefork (default: event)", "mpm", metavar="NAME"),
            Option("--httpd", PATH, "the httpd to run", "httpd", metavar="FILE"),
            Option(
                "--modules-directory",
                PATH,
                "directory of httpd's modules",
                "modules_directory",
                metavar="DIR",
            ),
            Option(
                "--print-config",
                F,
                "print the configuration for httpd and do nothing else",
                command="serve",
            ),
        ),
    ),
)

OPTIONS = tuple(option for _, section in SECTIONS for option in section)
