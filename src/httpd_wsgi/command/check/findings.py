"""What `check` looks at. Each finding is a cause and the command or directive that corrects it."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpd_wsgi
from httpd_wsgi.command import machine, words
from httpd_wsgi.command.check import apache, foreign, handlers

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERE = re.compile(r"requests get|can never work|does not exist|has no runtime")


@dataclass(frozen=True, slots=True)
class Finding:
    level: str
    cause: str
    cure: str = ""
    where: str = ""  # "shop.conf:14"
    code: str = ""
    detail: str = ""  # a traceback


# ---- what httpd itself says ----

LOADING = (
    ("undefined symbol|garbled|API module structure|is not compatible with this version of Apache",
     "the module was built for another httpd",
     "pip install --force-reinstall --no-cache-dir SOURCE, a clone of httpd-wsgi or its sdist"),
    ("cannot open shared object file|No such file", "LoadModule names a file that is not there",
     "httpd-wsgi module-config prints the right line"),
)  # fmt: skip


def of_configuration(reading: apache.Reading) -> Iterator[Finding]:
    """Yields a finding when httpd refuses the configuration, or it does not load our module."""
    text = " ".join(apache.without_prefix(line) for line in reading.messages)
    if reading.status != 0:
        place = re.search(r"Syntax error on line (\d+) of ([^:]+)", text)
        where = f"{place[2]}:{place[1]}" if place else ""
        for pattern, cause, cure in LOADING:
            if "wsgi" in text and "Cannot load" in text and re.search(pattern, text):
                yield Finding(ERROR, f"{cause}: {text}", cure, where)
                return
        cause = re.sub(r"(AH\d+: )?Syntax error on line \d+ of [^:]+: ", "", text, count=1)
        yield Finding(
            ERROR,
            cause or "httpd refuses its configuration without saying why",
            meant(text) or cure_of(text),
            where,
        )
    elif reading.other is not None:
        yield Finding(
            ERROR,
            f"{reading.other.name} is loaded, not httpd-wsgi",
            "replace that line by what `httpd-wsgi module-config` prints; two modules of this name "
            "cannot be loaded at once",
            reading.other.where,
        )
    elif reading.dump is None:
        yield Finding(
            ERROR,
            "the configuration does not load httpd-wsgi",
            "put what `httpd-wsgi module-config` prints into the configuration",
        )


def cure_of(text: str) -> str:
    if "AH00111" in text and "APACHE_" in text:
        return "source /etc/apache2/envvars before, or run it with sudo"
    return "correct that line"


def meant(text: str) -> str:
    """The directive that was misspelt, if it is one of ours."""
    wrong = re.search(r"Invalid command '(\w+)'", text)
    if not wrong:
        return ""
    names = {name.lower(): name for name in foreign.directives(machine.find_wsgi_module())}
    near = difflib.get_close_matches(wrong[1].lower(), names, 1, 0.8)
    return f"did you mean {names[near[0]]}?" if near else ""


IN_HTACCESS = re.compile(r"\[core:alert\].*? (/\S+): (.+)$")  # logged when httpd reads the file
NO_TYPES = re.compile(r"AH01597: (could not open mime types config file (.*)\.)$")  # of mod_mime


def of_messages(reading: apache.Reading) -> Iterator[Finding]:
    """Records of our module: "WSGI0285: shop.conf:3: cause; cure". Those without a place are about
    requests.
    """
    for wrong in filter(None, map(IN_HTACCESS.search, dict.fromkeys(reading.messages))):
        yield Finding(ERROR, f"requests get status 500: {wrong[2]}", "correct that file", wrong[1])
    for types in filter(None, map(NO_TYPES.search, dict.fromkeys(reading.messages))):
        yield Finding(
            ERROR,
            f"httpd will not start: {types[1]}",
            f"correct TypesConfig, or create {types[2]}",
            code="AH01597",
        )
    for line in dict.fromkeys(apache.without_prefix(line) for line in reading.messages):
        match = re.match(r"(?:AH\d+: )?(WSGI\d{4}): (\S+:\d+): (.*)", line)
        if match:
            cause, _, cure = match[3].partition("; ")
            is_info = "[wsgi:info]" in line or match[1] in ("WSGI0221", "WSGI0287")
            yield Finding(
                NOTE if is_info else ERROR if SEVERE.search(line) else WARNING,
                cause,
                cure,
                match[2],
                match[1],
            )


# ---- what is mapped where ----


def of_aliases(dump: dict[str, Any]) -> Iterator[Finding]:
    for server in dump["servers"]:
        for alias in server["aliases"]:
            yield from of_alias(dump, server, alias)


def of_alias(
    dump: dict[str, Any], server: dict[str, Any], alias: dict[str, Any]
) -> Iterator[Finding]:
    mapped = alias.get("mapped")
    if not mapped:
        return
    name = f"{alias['location']} of {server['name']}"
    if mapped["alias_where"] != alias["where"]:
        winner = (
            f"WSGIScriptAlias in {mapped['alias_where']}"
            if mapped["alias_where"]
            else "another directive (Alias, RewriteRule, ...)"
        )
        yield Finding(
            WARNING,
            f"{name} never reaches {alias['target']}: {winner} comes first",
            "put the more specific path first",
            alias["where"],
        )
    elif mapped.get("process_group") == "" and "refused" not in mapped:
        yield Finding(
            WARNING,
            f"{name} runs inside Apache's own processes, because nothing gives it a daemon group",
            "add process-group=NAME to it, or WSGIProcessGroup NAME around it; "
            "WSGIRestrictEmbedded On refuses such requests",
            alias["where"],
        )
    elif "refused" in mapped and "script" in mapped:
        url = f"http://{server['name']}{alias['location']}"
        cause = f"requests for {name} get status {mapped['refused']}, because {alias['target']} may not run there"
        yield Finding(ERROR, cause, f"httpd-wsgi explain {url} says why", alias["where"])


def of_handlers(dump: dict[str, Any]) -> Iterator[Finding]:
    """Yields one finding for all files of a directory that have the same fault."""
    faults: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for item in handlers.served(dump):
        fault = (
            str(item["refused"])
            if "refused" in item
            else "embedded"
            if item.get("process_group") == ""
            else ""
        )
        if fault:
            faults.setdefault(
                (fault, os.path.dirname(item["file"]), item["server"]["name"]), []
            ).append(item)
    for (fault, directory, host), items in faults.items():
        yield of_fault(dump, fault, directory, host, items)
    if dump.get("paths_cut"):
        cause = (
            "there are too many files to look at all of them for scripts without a WSGIScriptAlias"
        )
        yield Finding(NOTE, cause, "httpd-wsgi explain URL looks at one")


def of_fault(
    dump: dict[str, Any], fault: str, directory: str, host: str, items: list[dict[str, Any]]
) -> Finding:
    first = items[0]
    url, place = f"http://{host}{first['location']}", handlers.where_set(dump, first)
    which = f"{first['file']}, which has the handler {first['handler']}"
    if len(items) > 1:
        which += f", and {words.count(len(items) - 1, 'other file')} beside it"
    if fault == "embedded":
        cure = f"put WSGIProcessGroup NAME into <Directory {directory}>; WSGIRestrictEmbedded On refuses such requests"
        return Finding(
            WARNING, f"no daemon group runs {which}: Apache's own processes do", cure, place
        )
    if fault == "403" and "script" not in first:
        cure = f"put Options +ExecCGI into <Directory {directory}>"
        return Finding(
            ERROR,
            f"requests get status 403, because Options ExecCGI is off for {which}",
            cure,
            place,
        )
    return Finding(
        ERROR,
        f"requests get status {fault} from {which}",
        f"httpd-wsgi explain {url} says why",
        place,
    )


def of_version(dump: dict[str, Any]) -> Iterator[Finding]:
    ours = str(next(iter(httpd_wsgi.__path__)))
    if os.path.realpath(dump["package"]) != os.path.realpath(ours):
        yield Finding(
            NOTE,
            f"Apache loads the module of {dump['package']}, this command is that of {ours}",
            "see LoadModule wsgi_module",
        )


# ---- addresses ----


def listeners_of(port: int, root: Path = Path("/proc")) -> list[tuple[int, str]]:
    """Returns numbers and names of processes that listen on this port. Only root sees those of all
    users.
    """
    inodes = set()
    for name in ("tcp", "tcp6"):
        path = root / "net" / name
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        for fields in map(str.split, lines):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    found = []
    for process in root.glob("[0-9]*") if inodes else ():
        try:
            if any(os.readlink(fd) in inodes for fd in (process / "fd").iterdir()):
                found.append((int(process.name), (process / "comm").read_text().strip()))
        except OSError:
            continue
    return found


def of_ports(dump: dict[str, Any]) -> Iterator[Finding]:
    for address in dump["httpd"]["listen"]:
        port = int(address.rpartition(":")[2])
        others = [
            (pid, name) for pid, name in listeners_of(port) if not re.match("httpd|apache2", name)
        ]
        if others:
            pid, name = others[0]
            yield Finding(
                ERROR,
                f"Listen {address}: {name} (process {pid}) listens there already",
                f"stop {name}, or choose another port",
            )


# ---- mandatory access control ----


def of_selinux(dump: dict[str, Any], root: Path = Path("/")) -> Iterator[Finding]:
    enforce = root / "sys/fs/selinux/enforce"
    if not enforce.exists() or enforce.read_text().strip() != "1":
        return
    for path in scripts(dump):
        try:
            label = os.getxattr(path, "security.selinux").decode().rstrip("\0")
        except OSError:
            continue
        kind = label.split(":")[2] if label.count(":") >= 2 else label
        if not re.match("httpd_|usr_t|lib_t|bin_t", kind):
            where = os.path.dirname(path)
            cure = f"semanage fcontext -a -t httpd_sys_content_t '{where}(/.*)?' && restorecon -R {where}"
            yield Finding(
                WARNING,
                f"SELinux is enforcing, and {path} has the type {kind}, which httpd may not read",
                cure,
            )


def of_apparmor(root: Path = Path("/")) -> Iterator[Finding]:
    profiles = root / "sys/kernel/security/apparmor/profiles"
    try:
        text = profiles.read_text()
    except OSError:
        return
    for match in re.finditer(r"^(\S*(?:apache2|httpd)\S*) \(enforce\)", text, re.MULTILINE):
        yield Finding(
            NOTE,
            f"AppArmor confines {match[1]}",
            "journalctl -k | grep DENIED shows what it denies",
        )


def scripts(dump: dict[str, Any]) -> list[str]:
    targets = [alias["target"] for server in dump["servers"] for alias in server["aliases"]]
    return list(
        dict.fromkeys(
            target
            for target in targets
            if target.startswith("/") and "$" not in target and os.path.isfile(target)
        )
    )


# ---- applications ----


def applications(dump: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Returns (group, script, callable, where) of each application that the configuration names."""
    found: dict[tuple[str, str, str], str] = {}
    for server in dump["servers"]:
        for alias in server["aliases"]:
            mapped = alias.get("mapped") or {}
            if mapped.get("script") and mapped["alias_where"] == alias["where"]:
                found.setdefault(
                    (mapped["process_group"], mapped["script"], mapped["callable"]), alias["where"]
                )
    for item in handlers.served(dump):
        if item.get("script"):
            found.setdefault(
                (item["process_group"], item["script"], item["callable"]),
                handlers.where_set(dump, item),
            )
    return [(*key, where) for key, where in found.items()]


def of_shared_groups(dump: dict[str, Any]) -> Iterator[Finding]:
    """Scripts of one directory are taken for one project."""
    projects: dict[str, dict[str, str]] = {}  # group, directory, script
    for name, script, _, _ in applications(dump):
        if name and script.startswith("/"):
            projects.setdefault(name, {}).setdefault(os.path.dirname(script), script)
    for group in dump["groups"]:
        scripts_ = list(projects.get(group["name"], {}).values())
        if len(scripts_) > 1:
            yield Finding(
                NOTE,
                f"daemon group {group['name']} runs {' and '.join(scripts_)} in the same processes, with the "
                "same os.environ and modules that may be the same",
                "give each project a group of its own, unless they belong together",
                group["where"],
            )
