"""httpd.conf for one server. Pure: settings and layout in, text out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from httpd_wsgi.command import hosts, words
from httpd_wsgi.command.grants import granted_file, published
from httpd_wsgi.command.settings import Pairs, ServerSettings
from httpd_wsgi.command.target import Target

COMPRESSED = (
    "text/html text/plain text/css text/xml text/javascript application/javascript "
    "application/json application/xml image/svg+xml"
)
# Fields end with a tab, which httpd escapes inside of them; jsonlog.py makes objects of them.
JSON_ACCESS = "\t".join(
    (
        "%{%Y-%m-%dT%H:%M:%S}t.%{usec_frac}t%{%z}t",
        "%a",
        "%u",
        "%V",
        "%m",
        "%U%q",
        "%H",
        "%>s",
        "%B",
        "%D",
        "%{Referer}i",
        "%{User-Agent}i",
        "%L",
    )
)
JSON_ERROR = "\t".join(("%-{cu}t", "%-m", "%-l", "%-P", "%-T", "%-a", "%-L", "%-V", "%-E", "%M"))
COMMON = '%h %l %u %t "%r" %>s %b'
COMBINED = COMMON + ' "%{Referer}i" "%{User-Agent}i"'


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things are on this machine and in the server root."""

    root: Path
    target: Target
    modules: tuple[tuple[str, Path], ...]  # name without mod_, file
    wsgi_module: Path
    user: str  # that httpd switches to, or ""
    gid: int
    mime_types: str = "/dev/null"
    variables: Pairs = ()  # of the configuration, for files of --include-file
    is_service: bool = False  # made by `setup`: there is no command beside it


def wanted_modules(settings: ServerSettings) -> tuple[str, ...]:
    names = ["mpm_" + settings.mpm, "authz_core", "unixd", "alias"]
    has_files = bool(settings.document_root or settings.url_aliases)
    features = {
        "log_config": bool(settings.access_log),
        "mime": has_files,
        "dir": has_files,
        "autoindex": settings.directory_listing,
        "rewrite": bool(settings.document_root or settings.https_only or settings.server_name),
        "headers": bool(settings.hsts),
        "filter": settings.compress,
        "deflate": settings.compress,
        "socache_shmcb": bool(settings.https_certificate),
        "ssl": bool(settings.https_certificate),
        "http2": settings.http2,
        "reqtimeout": bool(settings.header_timeout or settings.body_timeout),
        "env": bool(settings.request_env or settings.pass_env),
    }
    return tuple(
        dict.fromkeys(
            (
                *names,
                *(name for name, wanted in features.items() if wanted),
                *settings.extra_modules,
            )
        )
    )


def useful_modules(settings: ServerSettings) -> tuple[str, ...]:
    """Returns modules that files of --include-file may expect, where they are installed."""
    usual = (
        "authz_host",
        "authn_core",
        "authz_user",
        "dir",
        "env",
        "headers",
        "mime",
        "rewrite",
        "setenvif",
    )
    return usual if settings.include_files else ()


def render_conf(settings: ServerSettings, layout: Layout) -> str:
    parts = (
        head(settings, layout),
        logs(settings, layout),
        modules(layout),
        access_log(settings, layout),
        capacity(settings),
        hosts.listeners(settings),
        files(settings, layout),
        application(settings, layout),
        services(settings, layout),
        requests(settings),
        settings.extra,
        (f"Include {words.conf(path)}" for path in settings.include_files),
        hosts.virtual_hosts(settings),
    )
    return "".join("\n".join(lines) + "\n\n" for part in parts if (lines := list(part)))


def head(settings: ServerSettings, layout: Layout) -> Iterator[str]:
    yield f'Define {words.DOLLAR} "$"'
    yield f"ServerRoot {words.conf(layout.root)}"
    yield f"DefaultRuntimeDir {words.conf(layout.root)}"
    yield f"PidFile {words.conf(settings.pid_file or layout.root / 'httpd.pid')}"
    yield f"ServerName {settings.server_name or 'localhost'}"
    yield "ServerTokens ProductOnly"
    for name, value in layout.variables:
        yield f"Define {name} {words.conf(value)}"


def modules(layout: Layout) -> Iterator[str]:
    for name, path in layout.modules:
        yield f"LoadModule {name}_module {words.conf(path)}"
    yield f"LoadModule wsgi_module {words.conf(layout.wsgi_module)}"
    if layout.user:
        yield f"User {words.conf(layout.user)}"
        yield f"Group {words.conf(f'#{layout.gid}')}"


# ---- logs ----


def json_logger(stream: str, path: str) -> str:
    """A program for a piped log that makes objects of lines; path "" is its own standard error."""
    program = [
        sys.executable,
        "-m",
        "httpd_wsgi.command.jsonlog",
        stream,
        *([path] if path else []),
    ]
    return words.conf("|" + " ".join(f'"{word}"' if " " in word else word for word in program))


def logs(settings: ServerSettings, layout: Layout) -> Iterator[str]:
    is_json = settings.log_format == "json"
    yield "LogLevel " + settings.log_level + log_level_of_module(settings, layout)
    if is_json:
        yield f"ErrorLogFormat {words.conf(JSON_ERROR)}"
    to_terminal = settings.error_log == "-"
    if is_json and (layout.is_service or not to_terminal):
        yield "ErrorLog " + json_logger("error", "" if to_terminal else settings.error_log)
    elif to_terminal and layout.is_service:
        # /dev/stderr cannot be opened when it is the journal's socket
        yield 'ErrorLog "|$exec cat >&2"'
    else:
        yield "ErrorLog " + ("/dev/stderr" if to_terminal else words.conf(settings.error_log))


def log_level_of_module(settings: ServerSettings, layout: Layout) -> str:
    """The command learns from records at level info that the application is loaded. It drops records
    of levels that the user did not ask for.
    """
    if (
        settings.log_level in ("error", "warn", "notice")
        and not layout.is_service
        and settings.error_log == "-"
    ):
        return " wsgi:info"
    return " wsgi:notice" if settings.log_level == "warn" else ""


def access_log(settings: ServerSettings, layout: Layout) -> Iterator[str]:
    if not settings.access_log:
        return
    to_terminal = settings.access_log == "-"
    if settings.log_format == "json":
        is_relayed = to_terminal and not layout.is_service
        where = (
            "/dev/stdout"
            if is_relayed
            else json_logger("access", "" if to_terminal else settings.access_log)
        )
        yield f"CustomLog {where} {words.conf(JSON_ACCESS)}"
        return
    known = {"combined": COMBINED, "common": COMMON}
    where = (
        ('"|$exec cat"' if layout.is_service else "/dev/stdout")
        if to_terminal
        else words.conf(settings.access_log)
    )
    yield f"CustomLog {where} {words.conf(known.get(settings.access_log_format, settings.access_log_format))}"


# ---- capacity ----


def embedded_capacity(settings: ServerSettings) -> Iterator[str]:
    """Keeps the number of processes constant. A graceful restart needs room for old ones beside them."""
    processes, threads = settings.processes or 1, settings.threads
    if settings.mpm == "prefork":
        yield from (f"StartServers {processes}", f"MaxRequestWorkers {processes}")
        return
    yield from (
        f"StartServers {processes}",
        f"ServerLimit {2 * processes}",
        f"ThreadsPerChild {threads}",
    )
    yield from (
        f"MaxRequestWorkers {processes * threads}",
        f"MaxSpareThreads {processes * threads}",
        "MinSpareThreads 1",
    )


def client_capacity(settings: ServerSettings) -> Iterator[str]:
    if settings.mpm != "prefork":
        yield "StartServers 1"
    if settings.max_clients and settings.mpm == "prefork":
        yield f"ServerLimit {settings.max_clients}"
        yield f"MaxRequestWorkers {settings.max_clients}"
    elif settings.max_clients:
        threads = min(25, settings.max_clients)
        children = -(-settings.max_clients // threads)
        yield f"ThreadsPerChild {threads}"
        yield f"ServerLimit {children}"
        yield f"MaxRequestWorkers {children * threads}"


def capacity(settings: ServerSettings) -> Iterator[str]:
    yield from embedded_capacity(settings) if settings.embedded else client_capacity(settings)
    if settings.backlog:
        yield f"ListenBacklog {settings.backlog}"


# ---- files ----


def files(settings: ServerSettings, layout: Layout) -> Iterator[str]:
    root = settings.document_root or layout.root / "htdocs"
    overrides = (
        [f"AllowOverride {' '.join(settings.allow_override)}"] if settings.allow_override else []
    )
    listing = ["Options +Indexes"] if settings.directory_listing else []
    yield f"DocumentRoot {words.conf(root)}"
    yield "<Directory />"
    yield "    Require all denied"
    yield "</Directory>"
    yield from published(root, *overrides, *listing)
    yield from (
        "<IfModule mime_module>",
        f"    TypesConfig {words.conf(layout.mime_types)}",
        "</IfModule>",
    )
    if settings.document_root or settings.url_aliases:
        yield f"DirectoryIndex {settings.directory_index or 'disabled'}"
    # The longest first: httpd takes the first that fits.
    for url, path in sorted(settings.url_aliases, reverse=True):
        yield f"Alias {words.conf(url)} {words.conf(path.rstrip('/') + '/' if url.endswith('/') else path)}"
        if url.endswith("/") or os.path.isdir(path):
            yield from published(path, *overrides, *listing)
        elif not os.path.basename(path).startswith("."):
            yield from granted_file(path, ["Require all granted"], *overrides)
    yield from hosts.rewriting(settings, is_https=settings.is_https_only_binds)
    yield from (f"ErrorDocument {code} {words.conf(url)}" for code, url in settings.error_documents)


# ---- the application ----


def daemon(settings: ServerSettings, layout: Layout, name: str) -> Iterator[str]:
    """Yields the options that all groups share."""
    yield f"WSGIDaemonProcess {words.conf(name)}"
    yield words.conf(f"python-home={settings.python_home}")
    if layout.target.home:
        yield words.conf(f"home={layout.target.home}")
    if layout.target.python_path:
        yield words.conf("python-path=" + ":".join(layout.target.python_path))
    for variable, value in variables(settings, layout):
        yield words.conf(f"env={variable}={value}")


def variables(settings: ServerSettings, layout: Layout) -> Iterator[tuple[str, str]]:
    yield from settings.env
    if settings.reload:
        yield "HTTPD_WSGI_WATCH", layout.target.home
    yield from settings.instruments
    if stand_in(settings):
        yield "HTTPD_WSGI_DEBUG_TARGET", layout.target.alias
        yield "HTTPD_WSGI_DEBUG_CALLABLE", layout.target.callable or "application"
    if settings.reload and all(bind.is_local for bind in settings.binds):
        yield "HTTPD_WSGI_DEBUG_SHOWN", "1"
    if settings.debug:
        yield "HTTPD_WSGI_DEBUG", "1"


def stand_in(settings: ServerSettings) -> str:
    """Returns the module that is served in the application's place, or ""."""
    if settings.instruments:
        return "httpd_wsgi.develop.instruments:application"
    return "httpd_wsgi.develop.loading:application" if settings.reload else ""


def own_group(settings: ServerSettings, layout: Layout) -> Iterator[str]:
    options = [f"threads={settings.threads}"]
    if settings.processes is not None and not settings.debug:
        options.insert(0, f"processes={settings.processes}")
    if not any(name == "display-name" for name, _ in settings.daemon_options):
        options.append("display-name=%{GROUP}")
    options += [words.conf(f"{name}={value}") for name, value in settings.daemon_options]
    yield " ".join((*daemon(settings, layout, settings.process_group), *options))


def no_group(settings: ServerSettings, layout: Layout) -> Iterator[str]:
    """Apache's processes do not run in the working directory; modules are searched for there."""
    yield f"WSGIPythonHome {words.conf(settings.python_home)}"
    path = [
        directory for directory in (layout.target.home, *layout.target.python_path) if directory
    ]
    if path:
        yield f"WSGIPythonPath {words.conf(':'.join(path))}"


def application(settings: ServerSettings, layout: Layout) -> Iterator[str]:
    yield f"WSGISocketPrefix {words.conf(layout.root / 'wsgi')}"
    yield f"WSGIRestrictEmbedded {'Off' if settings.embedded else 'On'}"
    target, instead = layout.target, stand_in(settings)
    if not target.alias:
        return
    yield from no_group(settings, layout) if settings.embedded else own_group(settings, layout)
    where = words.conf(
        f"process-group={'%{GLOBAL}' if settings.embedded else settings.process_group}"
    )
    group = words.conf(f"application-group={settings.application_group}")
    alias = instead or target.alias
    named = (
        words.conf(f"callable-object={target.callable}") if target.callable and not instead else ""
    )
    yield " ".join(
        filter(
            None,
            (
                "WSGIScriptAlias",
                words.conf(settings.mount_point),
                words.conf(alias),
                where,
                group,
                named,
            ),
        )
    )
    if settings.reload:
        yield f"WSGIImportScript httpd_wsgi.develop.reloader:watch {where} {group}"
    if alias.startswith("/"):
        # As an application. Whether its source is a file for clients, other sections decide: those
        # for --document-root and of --include-file.
        as_application = ["AuthMerging Or", "Require expr \"%{HANDLER} == 'wsgi-script'\""]
        yield from granted_file(alias, as_application)
    if not settings.script_reloading:
        yield "WSGIScriptReloading Off"


def services(settings: ServerSettings, layout: Layout) -> Iterator[str]:
    for name, script in settings.services:
        own = [
            words.conf(f"{option}={value}")
            for service, option, value in settings.service_options
            if service == name
        ]
        yield " ".join((*daemon(settings, layout, f"service:{name}"), "threads=0", *own))
        group = words.conf(f"process-group=service:{name}")
        yield f"WSGIImportScript {words.conf(script)} {group} application-group=%{{GLOBAL}}"


def requests(settings: ServerSettings) -> Iterator[str]:
    yield f"GracefulShutdownTimeout {settings.stop_limit}"
    if settings.timeout:
        yield f"Timeout {settings.timeout}"
    if settings.keep_alive == "0":
        yield "KeepAlive Off"
    elif settings.keep_alive:
        yield f"KeepAliveTimeout {settings.keep_alive}"
    if settings.limit_request_body:
        yield f"LimitRequestBody {settings.limit_request_body}"
    limits = (
        [f"header={settings.header_timeout}-{int(settings.header_timeout) * 2},MinRate=500"]
        if settings.header_timeout
        else []
    )
    limits += [f"body={settings.body_timeout},MinRate=500"] if settings.body_timeout else []
    if limits:
        yield "RequestReadTimeout " + " ".join(limits)
    if settings.compress:
        yield f"AddOutputFilterByType DEFLATE {COMPRESSED}"
    if settings.sendfile:
        yield "EnableSendfile On"
        yield "WSGIEnableSendfile On"
    if settings.error_override:
        yield "WSGIErrorOverride On"
    if settings.map_head:
        yield f"WSGIMapHEADToGET {settings.map_head}"
    if settings.chunked_request is not None:
        yield f"WSGIChunkedRequest {'On' if settings.chunked_request else 'Off'}"
    for header in settings.trusted_proxy_headers:
        yield f"WSGITrustedProxyHeaders {words.conf(header)}"
    for address in settings.trusted_proxies:
        yield f"WSGITrustedProxies {words.conf(address)}"
    yield from (f"SetEnv {name} {words.conf(value)}" for name, value in settings.request_env)
    yield from (f"PassEnv {name}" for name in settings.pass_env)
