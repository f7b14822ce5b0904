"""What mod_wsgi-express has options for and `serve` has none, as lines for httpd.conf."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from httpd_wsgi.command import hosts, words
from httpd_wsgi.command.errors import EXIT_NO_TARGET, CommandError
from httpd_wsgi.command.settings import check_host

Given = dict[str, Any]


def extra_lines(given: Given, host: str, group: str) -> Iterator[str]:
    yield "WSGIPassAuthorization On"
    yield from (
        f"WSGIPythonWarnings {words.conf(spec)}" for spec in given.get("--python-warnings", ())
    )
    for url in given.get("--ignore-activity", ()):
        yield from (f"<Location {words.conf(url)}>", "    WSGIIgnoreActivity On", "</Location>")
    if "--orphan-interpreter" in given:
        yield "WSGIDestroyInterpreter Off"
    if "--free-threading" in given:
        yield "WSGIFreeThreading On"
    yield from telemetry_lines(given)
    if "--error-log-format" in given:
        yield f"ErrorLogFormat {words.conf(given['--error-log-format'])}"
    protection = list(protecting_lines(given, host, group))
    if protection:
        yield from ('<Location "/">', *("    " + line for line in protection), "</Location>")
    yield from proxy_lines(given)
    yield from handler_lines(given, group)
    if "--mime-types" in given:
        yield from (
            "<IfModule mime_module>",
            f"    TypesConfig {absolute(given['--mime-types'])}",
            "</IfModule>",
        )
    if "--server-status" in given:
        yield from (
            '<Location "/server-status">',
            "    SetHandler server-status",
            "    Require local",
            "</Location>",
        )


def telemetry_lines(given: Given) -> Iterator[str]:
    """Apache itself checks the values."""
    if "--telemetry-service" in given:
        interval = f"interval={given.get('--telemetry-interval', '1.0')}"
        yield f"WSGITelemetryService {words.conf(given['--telemetry-service'])} {words.conf(interval)}"
    for line in given.get("--telemetry-options", ()):
        yield "WSGITelemetryOptions " + " ".join(map(words.conf, line.split()))
    if "--slow-requests" in given:
        yield f"WSGISlowRequests {words.conf(given['--slow-requests'])}"


def protecting_lines(given: Given, host: str, group: str) -> Iterator[str]:
    where = words.conf(f"process-group={group}")
    if "--host-access-script" in given:
        yield f"WSGIAccessScript {absolute(given['--host-access-script'])} {where}"
    if "--auth-user-script" not in given:
        return
    kind = given.get("--auth-type", "Basic")
    if kind not in ("Basic", "Digest"):
        raise CommandError(f"--auth-type {kind}: expected Basic or Digest")
    yield from (f"AuthType {kind}", f"AuthName {words.conf(host)}", f"Auth{kind}Provider wsgi")
    yield f"WSGIAuthUserScript {absolute(given['--auth-user-script'])} {where}"
    if "--auth-group-script" in given:
        yield f"WSGIAuthGroupScript {absolute(given['--auth-group-script'])} {where}"
        yield f"Require wsgi-group {words.conf(given.get('--auth-group', 'wsgi'))}"
    else:
        yield "Require valid-user"


def proxy_lines(given: Given) -> Iterator[str]:
    if "--proxy-timeout" in given:
        yield f"ProxyTimeout {words.conf(given['--proxy-timeout'])}"
    for path, url in given.get("--proxy-mount-point", ()):
        if not path.startswith("/") or path.rstrip("/") == "" or "://" not in url:
            raise CommandError(
                f"--proxy-mount-point {path} {url}: expected a URL path below / and the URL of a server"
            )
        path = path.rstrip("/")
        yield f"RedirectMatch 302 {words.conf(f'^{words.pattern(path)}$')} {words.conf(path + '/')}"
        yield from hosts.forwarding(path + "/", url.rstrip("/") + "/")


def proxy_hosts(given: Given) -> Iterator[tuple[str, str]]:
    for name, url in given.get("--proxy-virtual-host", ()):
        if "://" not in url:
            raise CommandError(
                f"--proxy-virtual-host {name} {url}: expected a host name and the URL of a server"
            )
        yield check_host("--proxy-virtual-host", name), url


def handler_lines(given: Given, group: str) -> Iterator[str]:
    """Yields lines for files of the document root that a script answers for."""
    for number, (suffix, script) in enumerate(given.get("--add-handler", ()), 1):
        if not suffix.startswith("."):
            raise CommandError(
                f"--add-handler {suffix} {script}: expected a suffix such as .report, and a script"
            )
        where = f"{words.conf(f'process-group={group}')} {words.conf(f'callable-object={callable_of(script)}')}"
        yield f"AddHandler express-{number} {words.conf(suffix)}"
        yield f"WSGIHandlerScript express-{number} {absolute(script)} {where} application-group=%{{GLOBAL}}"
    if "--with-cgi" in given:
        if "--document-root" not in given:
            raise CommandError("--with-cgi: needs --document-root DIR, whose .cgi files are run")
        yield "AddHandler cgi-script .cgi"
        root = words.directory(Path(given["--document-root"]).absolute())
        yield from (f"<Directory {root}>", "    Options +ExecCGI", "</Directory>")


def callable_of(script: str) -> str:
    """Returns handle_request when the script has it, else application. When the script cannot be
    parsed, the worker reports that.
    """
    try:
        tree = ast.parse(Path(script).read_bytes())
    except OSError as exc:
        raise CommandError(
            f"--add-handler {script}: cannot be read: {exc.strerror}", EXIT_NO_TARGET
        ) from exc
    except (SyntaxError, ValueError):
        return "handle_request"
    names = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    names |= {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    names |= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    return (
        "application"
        if "application" in names and "handle_request" not in names
        else "handle_request"
    )


def modules_of(given: Given) -> tuple[str, ...]:
    names: list[str] = []
    if "--auth-user-script" in given:
        names += [
            "authn_core",
            "auth_digest" if given.get("--auth-type") == "Digest" else "auth_basic",
            "authz_user",
        ]
    if given.keys() & {"--proxy-mount-point", "--proxy-virtual-host", "--proxy-timeout"}:
        names += ["proxy", "proxy_http", "headers"]
    if "--add-handler" in given or "--with-cgi" in given:
        names.append("mime")
    if "--with-cgi" in given:
        names.append("cgi" if given.get("--server-mpm", ["event"])[0] == "prefork" else "cgid")
    if "--server-status" in given:
        names += ["status", "authz_host"]
    return tuple(names)


def absolute(path: str) -> str:
    return words.conf(Path(path).absolute())
