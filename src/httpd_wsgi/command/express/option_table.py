"""The options of mod_wsgi-express as a table: what each is here."""

from __future__ import annotations

from dataclasses import dataclass

FLAG, ONE, MANY, PAIRS = "flag", "one", "many", "pairs"  # PAIRS: two words each, repeated


@dataclass(frozen=True, slots=True)
class Row:
    names: str
    kind: str = ONE
    serve: str = ""  # the option of `serve` of the same meaning
    daemon: str = ""  # or the option of WSGIDaemonProcess
    note: str = ""  # printed when it is given: what differs, or why it has no effect
    refused: str = ""  # the error when it is given: why it is not offered, and what to do instead
    # An option without any of these is handled in express.py or lines.py.

    @property
    def name(self) -> str:
        return self.names.split()[0]

    @property
    def destination(self) -> str:
        return self.name.removeprefix("--").replace("-", "_")


NO_COLLECTOR = "ignored: start a collector of your own and name its socket with --telemetry-service"
RULES = (
    "is not offered: rules in a directory would not see the application's URLs here; put "
    "`RewriteEngine On` and the rules, "
    "as for a whole server, into a file and name it with --include-file"
)
BY_INCLUDE = "is not written for you here; put the directives of httpd into a file and name it with --include-file"
NO_RECORDER = (
    "is not offered: whole requests, passwords included, do not belong in files; --access-log lists them, and "
    "`httpd-wsgi serve --debug` shows the variables of one that fails"
)
OWN_PROCESS = "differs: one worker of one thread runs the application, not Apache itself;"
OUTPUT = " without a directory of its own and --server-root, the result goes to {} in the current directory"
OWN_ROTATION = "ignored: let logrotate move the files and run `apachectl graceful`"

ROWS = (
    # Entry point and application.
    Row("--entry-point"),
    Row("--application-type"),
    Row("--callable-object", serve="--callable"),
    Row("--application-group", serve="--application-group"),
    Row("--process-group"),
    Row("--mount-point", serve="--mount-point"),
    Row("--working-directory", serve="--working-directory"),
    Row("--python-path", MANY, serve="--python-path"),
    Row("--python-eggs", note="ignored: Python has no egg cache any more"),
    Row("--python-warnings", MANY),
    Row("--map-head-to-get"),
    Row("--enable-docs", FLAG, note="ignored: there is no documentation to serve"),
    # Listener, names, TLS.
    Row("--host"),
    Row("--port"),
    Row("--http2", FLAG, serve="--http2"),
    Row("--https-port --ssl-port", serve="--https-port"),
    Row("--ssl-certificate-file", serve="--https-certificate"),
    Row("--ssl-certificate-key-file", serve="--https-key"),
    Row("--ssl-certificate"),
    Row("--ssl-certificate-chain-file", serve="--https-chain"),
    Row("--ssl-ca-certificate-file", serve="--https-client-ca"),
    Row("--ssl-verify-client", MANY, refused=BY_INCLUDE + " (<Location> with SSLVerifyClient)"),
    Row("--ssl-environment", FLAG, serve="--https-environment"),
    Row("--https-only", FLAG, serve="--https-only"),
    Row("--hsts-policy", serve="--hsts"),
    Row("--server-name", serve="--server-name"),
    Row("--server-alias", MANY, serve="--server-alias"),
    Row("--allow-localhost", FLAG, serve="--allow-localhost"),
    # Capacity.
    Row("--processes", serve="--processes"),
    Row("--threads", serve="--threads"),
    Row("--max-clients", serve="--max-clients"),
    Row("--initial-workers", note="ignored: httpd's own values are used"),
    Row("--minimum-spare-workers", note="ignored: httpd's own values are used"),
    Row("--maximum-spare-workers", note="ignored: httpd's own values are used"),
    Row("--server-backlog", serve="--backlog"),
    Row("--daemon-backlog", daemon="listen-backlog"),
    Row("--limit-request-body", serve="--limit-request-body"),
    Row("--keep-alive-timeout", serve="--keep-alive"),
    # Time-outs.
    Row("--startup-timeout", daemon="startup-timeout"),
    Row("--shutdown-timeout", daemon="shutdown-timeout"),
    Row("--graceful-timeout", daemon="graceful-timeout"),
    Row("--eviction-timeout", daemon="eviction-timeout"),
    Row("--restart-interval", daemon="restart-interval"),
    Row("--cpu-time-limit", daemon="cpu-time-limit"),
    Row("--maximum-requests", daemon="maximum-requests"),
    Row("--deadlock-timeout", daemon="deadlock-timeout"),
    Row("--inactivity-timeout", daemon="inactivity-timeout"),
    Row("--ignore-activity", MANY),
    Row(
        "--request-timeout",
        daemon="request-timeout",
        note="differs: a request is ended after exactly this time, however many threads",
    ),
    Row("--interrupt-timeout", daemon="interrupt-timeout"),
    Row("--connect-timeout", daemon="connect-timeout"),
    Row("--socket-timeout", serve="--socket-timeout"),
    Row("--queue-timeout", daemon="queue-timeout"),
    Row("--response-socket-timeout", daemon="response-socket-timeout"),
    Row("--response-flush-delay", daemon="response-flush-delay"),
    Row("--header-timeout", serve="--header-timeout"),
    Row("--header-max-timeout", note="ignored: it is twice --header-timeout"),
    Row("--header-min-rate", note="ignored: it is 500 bytes a second"),
    Row("--body-timeout", serve="--body-timeout"),
    Row("--body-max-timeout", note="ignored: there is none as long as data arrive"),
    Row("--body-min-rate", note="ignored: it is 500 bytes a second"),
    Row("--proxy-timeout"),
    Row("--send-buffer-size", daemon="send-buffer-size"),
    Row("--receive-buffer-size", daemon="receive-buffer-size"),
    Row("--header-buffer-size", daemon="header-buffer-size"),
    Row("--response-buffer-size", daemon="response-buffer-size"),
    Row("--switch-interval", daemon="switch-interval"),
    # Static content, mapping, proxying.
    Row("--document-root", serve="--document-root"),
    Row("--directory-index", serve="--directory-index"),
    Row("--directory-listing", FLAG, serve="--directory-listing"),
    Row("--allow-override", MANY, serve="--allow-override"),
    Row("--url-alias", PAIRS, serve="--url-alias"),
    Row("--error-document", PAIRS, serve="--error-document"),
    Row("--error-override", FLAG, serve="--error-override"),
    Row("--add-handler", PAIRS),
    Row("--with-cgi", FLAG),
    Row("--with-php5", FLAG, refused="is not offered: PHP 5 has been out of support since 2018"),
    Row("--rewrite-rules", refused=RULES),
    Row("--include-file", MANY, serve="--include-file"),
    Row("--compress-responses", FLAG, serve="--compress"),
    Row("--enable-sendfile", FLAG, serve="--sendfile"),
    Row(
        "--chunked-request", FLAG, note="not needed: request bodies of unknown length are accepted"
    ),
    Row("--proxy-mount-point --proxy-url-alias", PAIRS),
    Row("--proxy-virtual-host", PAIRS),
    Row("--trust-proxy-header", MANY, serve="--trust-proxy-header"),
    Row("--trust-proxy", MANY, serve="--trust-proxy"),
    # Access control.
    Row("--host-access-script"),
    Row("--auth-user-script"),
    Row("--auth-type"),
    Row("--auth-group-script"),
    Row("--auth-group"),
    # Environment, logs, metrics.
    Row("--user", serve="--user"),
    Row("--group", serve="--group"),
    Row("--setenv", PAIRS),
    Row("--passenv", MANY),
    Row("--envvars-script"),
    Row("--locale --lang", daemon="locale"),
    Row("--server-root", serve="--server-root"),
    Row("--pid-file", serve="--pid-file"),
    Row("--server-mpm", MANY),
    Row("--log-directory"),
    Row("--log-level", serve="--log-level"),
    Row("--log-to-terminal", FLAG),
    Row("--error-log-name"),
    Row("--access-log-name"),
    Row("--startup-log-name", note="ignored: there is no log of its own for the start"),
    Row("--access-log", FLAG),
    Row("--access-log-format", serve="--access-log-format"),
    Row("--error-log-format"),
    Row("--startup-log", FLAG, note="ignored: there is no log of its own for the start"),
    Row("--rotate-logs", FLAG, note=OWN_ROTATION),
    Row("--max-log-size", note=OWN_ROTATION),
    Row("--rotatelogs-executable", note=OWN_ROTATION),
    Row("--verbose-debugging", FLAG, note="ignored: use --log-level debug"),
    Row("--server-metrics", FLAG),
    Row("--server-status", FLAG),
    Row("--telemetry-service"),
    Row("--telemetry-interval"),
    Row("--telemetry-options", MANY),
    Row("--enable-telemetry", FLAG, note=NO_COLLECTOR),
    Row("--telemetry-ui-port", note=NO_COLLECTOR),
    Row("--slow-requests"),
    Row("--free-threading", FLAG),
    Row("--process-name", note="ignored: httpd keeps its own name"),
    Row("--shell-executable", note="ignored: apachectl needs nothing but /bin/sh"),
    Row("--httpd-executable", serve="--httpd"),
    Row("--modules-directory", serve="--modules-directory"),
    Row("--mime-types"),
    Row("--gdb-executable", note="ignored: without --enable-gdb it has no use"),
    Row("--socket-prefix", note="ignored: sockets have no names on disk"),
    # Modes and services.
    Row(
        "--reload-on-changes",
        FLAG,
        serve="--reload",
        note="differs: workers finish their requests before they are replaced",
    ),
    Row("--disable-reloading", FLAG, serve="--no-script-reloading"),
    Row(
        "--embedded-mode",
        FLAG,
        note="differs: the MPM is event here, too; Apache's processes run in no directory of yours",
    ),
    Row("--orphan-interpreter", FLAG),
    Row("--service-script", PAIRS, serve="--service"),
    Row("--service-user", PAIRS),
    Row("--service-group", PAIRS),
    Row("--service-log-file", PAIRS, note="ignored: services write to the error log"),
    Row(
        "--debug-mode",
        FLAG,
        note=OWN_PROCESS + " breakpoint() asks on the terminal that the command was started on",
    ),
    Row(
        "--enable-debugger",
        FLAG,
        note=OWN_PROCESS + " pdb asks on the terminal that the command was started on",
    ),
    Row("--debugger-startup", FLAG),
    Row("--enable-coverage", FLAG, note=OWN_PROCESS + OUTPUT.format("htmlcov")),
    Row("--coverage-directory"),
    Row("--enable-profiler", FLAG, note=OWN_PROCESS + OUTPUT.format("pstats")),
    Row("--profiler-directory"),
    Row("--enable-recorder", FLAG, refused=NO_RECORDER),
    Row("--recorder-directory", refused=NO_RECORDER),
    Row("--enable-gdb", FLAG, refused="is not offered; attach gdb to a worker: gdb -p PID"),
    Row("--setup-only", FLAG),
)

# What holds where mod_wsgi-express has another default than `serve`.
DEFAULTS = {
    "--threads": "5",
    "--limit-request-body": "10485760",
    "--keep-alive": "2",
    "--header-timeout": "15",
    "--body-timeout": "15",
}
DAEMON_DEFAULTS = {
    "startup-timeout": "15",
    "shutdown-timeout": "5",
    "graceful-timeout": "15",
    "deadlock-timeout": "60",
    "request-timeout": "60",
    "queue-timeout": "45",
    "connect-timeout": "15",
    "socket-timeout": "60",
}
