"""`httpd-wsgi check` and `httpd-wsgi explain`: what is wrong with Apache's configuration, and what
it does with a URL.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import urllib.parse
from collections.abc import Iterator
from typing import Any

from httpd_wsgi.command import words
from httpd_wsgi.command.check import apache, findings, foreign, handlers, pythons
from httpd_wsgi.command.check.findings import ERROR, NOTE, WARNING, Finding
from httpd_wsgi.command.errors import EXIT_FINDINGS, EXIT_HTTPD_FAILED, EXIT_USAGE, CommandError


def collect(reading: apache.Reading, with_imports: bool) -> list[Finding]:
    found = [*findings.of_configuration(reading)]
    dump = reading.dump
    if found or dump is None:
        return found
    found += findings.of_messages(reading)
    found += findings.of_version(dump)
    found += findings.of_aliases(dump)
    found += findings.of_handlers(dump)
    found += findings.of_shared_groups(dump)
    known = {(finding.code, finding.where) for finding in found}
    for group in dump["groups"]:
        if not {("WSGI0280", group["where"]), ("WSGI0281", group["where"])} & known:  # said already
            found += pythons.of_python(group)
    found += findings.of_ports(dump)
    found += findings.of_selinux(dump)
    found += findings.of_apparmor()
    if with_imports:
        found += pythons.of_import(dump)
    order = {ERROR: 0, WARNING: 1, NOTE: 2}
    return sorted(dict.fromkeys(found), key=lambda finding: order[finding.level])


def with_handlers(reading: apache.Reading, config: str, httpd: str) -> apache.Reading:
    """Returns the reading with what httpd says about files that are applications without an alias."""
    if reading.dump is None or reading.status != 0:
        return reading
    candidates = handlers.Candidates(reading.dump)
    paths = candidates.paths(reading.dump)
    mapped = apache.read(config, httpd, paths=paths) if paths else None
    more = {
        "paths": mapped.dump["paths"] if mapped and mapped.dump else [],
        "paths_cut": candidates.is_cut,
    }
    messages = (
        *reading.messages,
        *(line for line in (mapped.messages if mapped else ()) if line not in reading.messages),
    )
    return dataclasses.replace(reading, dump={**reading.dump, **more}, messages=messages)


def summary(dump: dict[str, Any] | None, found: list[Finding]) -> str:
    counts = ", ".join(
        words.count(number, word)
        for word in (ERROR, WARNING, NOTE)
        if (number := sum(finding.level == word for finding in found)) or word == ERROR
    )
    if dump is None:
        return counts
    groups, applications = len(dump["groups"]), len(findings.applications(dump))
    return f"{words.count(groups, 'daemon group')} and {words.count(applications, 'application')} checked: {counts}"


def as_text(found: list[Finding]) -> Iterator[str]:
    for finding in found:
        code = f" [{finding.code}]" if finding.code else ""
        yield f"{finding.level}: {f'{finding.where}: ' if finding.where else ''}{finding.cause}{code}"
        if finding.cure:
            yield f"    -> {finding.cure}"


def run(config: str, httpd: str, with_imports: bool, is_json: bool, is_strict: bool) -> int:
    reading = with_handlers(apache.read(config, httpd, with_env=with_imports), config, httpd)
    found = [with_variable(one, config, httpd) for one in collect(reading, with_imports)]
    bad = (ERROR, WARNING) if is_strict else (ERROR,)
    if is_json:
        document = {
            "findings": [dataclasses.asdict(finding) for finding in found],
            "summary": summary(reading.dump, found),
        }
        json.dump(document, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        sys.stdout.writelines(
            line + "\n" for line in (*as_text(found), summary(reading.dump, found))
        )
    return EXIT_FINDINGS if any(finding.level in bad for finding in found) else 0


def with_variable(finding: Finding, config: str, httpd: str) -> Finding:
    """The usual reason why a variable is missing in os.environ: SetEnv was meant to set it."""
    missing = re.search(r"KeyError: '(\w+)'$", finding.cause)
    where = missing and foreign.request_variable(apache.command(config, httpd), missing[1])
    if not missing or not where:
        return finding
    cure = (
        f"SetEnv and PassEnv ({where}) set variables of requests, not of os.environ; give "
        f"WSGIDaemonProcess env={missing[1]}=... or env-file="
    )
    return dataclasses.replace(finding, cure=cure)


# ---- explain ----


def explanation(dump: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields (what, value, why) for the URL that the dump was asked about."""
    url = dump["url"]
    yield from unheard(dump)
    yield (
        "virtual host",
        url["server"],
        url["server_where"] or "the main server: no <VirtualHost> fits",
    )
    if not url.get("is_wsgi"):
        status = f"; mapping ends with status {url['status']}" if url["status"] != 200 else ""
        if url["is_directory"] and not status:
            why = (
                "which file answers for a directory (DirectoryIndex, MultiViews) only a request shows; "
                "ask for the file itself"
            )
            yield "application", "none known", why
        else:
            yield (
                "application",
                "none",
                f"no WSGIScriptAlias covers the path and no handler of ours is set{status}",
            )
        yield "file", url["file"] or "none", "what httpd itself would send"
        return
    if "script" not in url:
        yield (
            "application",
            "none",
            f"refused with status {url['refused']}; the reason is printed above",
        )
        return
    setting = handlers.setting_of(dump, url, url["server_where"])
    by_handler = handlers.shown(setting) if setting else f"handler {url['handler']}"
    yield "script", url["script"], url["alias_where"] or by_handler
    yield from where_it_runs(dump, url)
    yield (
        "callable",
        url["callable"],
        apache.origin(dump, "WSGICallableObject", url["callable"], url["server_where"], url["file"])
        or "the script, or default",
    )
    yield "PATH_INFO", url["path_info"] or '""', ""
    if "refused" in url:
        yield "but", f"status {url['refused']}", "it may not run there; the reason is printed above"


def unheard(dump: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields a remark when this Apache does not listen on the URL's port: another server or a router
    may forward requests.
    """
    asked = urllib.parse.urlsplit(dump["url"]["asked"])
    port = asked.port or (443 if asked.scheme == "https" else 80)
    listen = dump["httpd"]["listen"]
    if listen and not any(address.endswith(f":{port}") for address in listen):
        given = "" if asked.port else ", which a URL without a port means"
        yield (
            "port",
            f"nothing listens on {port}{given}",
            f"Listen says {', '.join(listen)}; the rest holds if it is forwarded",
        )


def which_group(
    group: dict[str, Any] | None, name: str, python: str, why: str
) -> Iterator[tuple[str, str, str]]:
    if group is None:
        inside = name or "none: it runs inside Apache's processes"
        yield "daemon group", inside, why or "no WSGIProcessGroup and no process-group="
        yield "python", python, "WSGIPythonHome, or default"
        return
    defined = f"{name}, defined in {group['where']}"
    yield "daemon group", defined, why or "a value that is known only with a request"
    threads = words.count(group["threads"], "thread")
    size = f"{words.count(group['processes'], 'process')} of {threads}"
    user = "the user who starts Apache" if group["user"].startswith("#-") else group["user"]
    yield "runs as", f"{user} in {size}", group["where"]
    yield "python", group["python"], group["where"]


def which_interpreter(
    group: dict[str, Any] | None, interpreter: str, why: str
) -> Iterator[tuple[str, str, str]]:
    if not interpreter:
        yield "interpreter", "main interpreter", why
    elif group is not None and f"main_group={interpreter}" in group["settings"]:
        main = f"main interpreter (application group {interpreter})"
        yield "interpreter", main, f"the only application of its group; {why}"
    else:
        yield "interpreter", f"sub-interpreter {interpreter}", why


def where_it_runs(dump: dict[str, Any], url: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    aliases = (alias for server in dump["servers"] for alias in server["aliases"])
    alias: dict[str, Any] = next((a for a in aliases if a["where"] == url["alias_where"]), {})

    handler = handlers.script_of(dump, url)

    def origin(directive: str, key: str) -> str:
        if alias.get(key) is not None:
            return str(url["alias_where"])
        if handler and f"{key.replace('_', '-')}=" in handler["arguments"]:
            return str(handler["where"])
        return apache.origin(dump, directive, url[key], url["server_where"])

    name = url["process_group"]
    group = next((group for group in dump["groups"] if group["name"] == name), None)
    yield from which_group(group, name, dump["python"], origin("WSGIProcessGroup", "process_group"))
    why = origin("WSGIApplicationGroup", "application_group") or "default, %{RESOURCE}"
    yield from which_interpreter(group, url["application_group"], why)


def explain(url: str, config: str, httpd: str, is_json: bool) -> int:
    if "://" not in url and not url.startswith("/"):
        url = f"http://{url}"
    if not url.startswith(("http://", "https://")):
        raise CommandError(f"{url}: expected a URL with http:// or https://", EXIT_USAGE)
    try:
        urllib.parse.urlsplit(url).port  # noqa: B018 - it is read when it is asked for
    except ValueError as exc:
        raise CommandError(
            f"{url}: not a URL: {str(exc)[:1].lower()}{str(exc)[1:]}", EXIT_USAGE
        ) from exc
    reading = apache.read(config, httpd, url=url)
    for problem in findings.of_configuration(reading):
        raise CommandError(problem.cause, EXIT_HTTPD_FAILED)
    assert reading.dump
    if "status" not in reading.dump["url"]:
        raise CommandError(
            f"{url}: expected a URL with http:// or https://, a host and a path", EXIT_USAGE
        )
    rows = list(explanation(reading.dump))
    is_served = bool(reading.dump["url"].get("script")) and "refused" not in reading.dump["url"]
    if is_json:
        json.dump(
            [{"what": what, "value": value, "why": why} for what, value, why in rows],
            sys.stdout,
            indent=2,
            ensure_ascii=False,
        )
        sys.stdout.write("\n")
    else:
        for line in reading.messages:
            if (
                "refused" in reading.dump["url"] and "WSGI02" in line
            ) or findings.IN_HTACCESS.search(line):
                print(apache.without_prefix(line), file=sys.stderr)
        width = max(len(what) for what, _, _ in rows)
        for what, value, why in rows:
            print(f"{what:{width}}  {value}" + (f"\n{'':{width}}    {why}" if why else ""))
    return 0 if is_served else EXIT_FINDINGS
