"""Applications without a WSGIScriptAlias: what AddHandler, SetHandler or a type makes a script or
gives to a WSGIHandlerScript.

Which file has which handler only httpd knows, .htaccess files included. So files are listed here,
and httpd maps their URLs.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from typing import Any

OWN = ("wsgi-script", "application/x-httpd-wsgi")
BY_SUFFIX, BY_SECTION = ("addhandler", "addtype"), ("sethandler", "forcetype")
MOST_FILES = 20_000  # looked at
MOST_PATHS = 100_000  # characters of paths that httpd is asked about: they travel in one variable

Dump = dict[str, Any]


def names(dump: Dump) -> set[str]:
    """Handlers, in lower case, that lead to us."""
    handlers = (
        words_of(item)[:1]
        for item in dump["directives"]
        if item["name"].lower() == "wsgihandlerscript"
    )
    return {name.lower() for name in itertools.chain(OWN, *handlers)}


def words_of(item: Dump) -> list[str]:
    return [
        word.strip("\"'")
        for word in re.findall(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|\S+', item["arguments"] or "")
    ]


def is_about(item: Dump, handlers: set[str]) -> bool:
    """Does the directive set one of these handlers?"""
    first = words_of(item)[:1]
    return (
        item["name"].lower() in BY_SUFFIX + BY_SECTION
        and bool(first)
        and first[0].lower() in handlers
    )


def script_of(dump: Dump, url: Dump) -> Dump | None:
    """Returns the WSGIHandlerScript that answers for a mapped URL, if one does."""
    handler = (url.get("handler") or "").lower()
    return next(
        (
            item
            for item in dump["directives"]
            if item["name"].lower() == "wsgihandlerscript"
            and [word.lower() for word in words_of(item)[:1]] == [handler]
        ),
        None,
    )


def suffixes_of(item: Dump) -> set[str]:
    return {"." + word.lower().removeprefix(".") for word in words_of(item)[1:]}


# ---- .htaccess ----


def access_files(dump: Dump, path: str, server_where: str | None = None) -> Iterator[str]:
    """Those that may speak of the path, the innermost first."""
    server = next(
        (server for server in dump["servers"] if server["where"] == server_where),
        dump["servers"][0],
    )
    directory = path
    while directory not in ("", "/"):
        directory = os.path.dirname(directory)
        for name in server["access_files"].split():
            found = os.path.join(directory, name)
            if os.path.isfile(found):
                yield found


def lines_of(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20).splitlines()
    except OSError:
        return []


def directives_in(path: str) -> Iterator[Dump]:
    """Of a .htaccess file, as the dump has those of the configuration."""
    for number, line in enumerate(lines_of(path), 1):
        name, _, arguments = line.strip().partition(" ")
        if name and name[0] not in "#<":
            yield {
                "name": name,
                "arguments": arguments.strip(),
                "where": f"{path}:{number}",
                "in": "",
            }


def setting_of(dump: Dump, url: Dump, server_where: str | None) -> Dump | None:
    """The directive that sets the handler of a mapped URL, as far as that can be told."""
    handler = {(url["handler"] or "").lower()}
    inside = [
        item
        for path in access_files(dump, url["file"] or "", server_where)
        for item in directives_in(path)
    ]
    outside: list[Dump] = [
        item
        for item in reversed(dump["directives"])
        if item["server_where"] in (None, server_where)
    ]
    for item in (*inside, *outside):
        by_suffix = item["name"].lower() in BY_SUFFIX
        if not is_about(item, handler) or not covers(item["in"], url["file"] or ""):
            continue
        if not by_suffix or suffixes_of(item) & suffixes_in(url["file"] or ""):
            return item
    return None


def shown(item: Dump) -> str:
    section = f" in {item['in']}" if item["in"] else ""
    return f"{item['where']}{section}: {item['name']} {item['arguments']}"


def covers(sections: str, path: str) -> bool:
    """Not when a <Directory> is another one, as far as it is no pattern."""
    directories = re.findall(r'<Directory "?(/[^"*?\[>]*)"?>', sections)
    return all(path.startswith(directory.rstrip("/") + "/") for directory in directories)


def suffixes_in(path: str) -> set[str]:
    """mod_mime looks at every part of a file's name."""
    return {"." + part.lower() for part in os.path.basename(path).split(".")[1:]}


# ---- what httpd is to be asked about ----


class Candidates:
    """Paths of URLs that may lead to applications; httpd has the last word."""

    def __init__(self, dump: Dump) -> None:
        self.handlers = names(dump)
        self.settings = [item for item in dump["directives"] if is_about(item, self.handlers)]
        self.overrides = any(
            item["name"].lower() == "allowoverride" and (item["arguments"] or "").lower() != "none"
            for item in dump["directives"]
        )
        self.suffixes = {
            suffix
            for item in self.settings
            if item["name"].lower() in BY_SUFFIX
            for suffix in suffixes_of(item)
        }
        self.any_file = any(item["name"].lower() in BY_SECTION for item in self.settings)
        self.left = MOST_FILES
        self.is_cut = False

    def paths(self, dump: Dump) -> list[tuple[int, str]]:
        """(number of the server, path)"""
        servers = enumerate(dump["servers"])
        found = dict.fromkeys(
            pair for number, server in servers for pair in self.of_server(dump, number, server)
        )
        kept, size = [], 0
        for pair in found:
            size += len(os.fsencode(pair[1])) + 8
            if size > MOST_PATHS:
                self.is_cut = True
                break
            kept.append(pair)
        return kept

    def of_server(self, dump: Dump, number: int, server: Dump) -> Iterator[tuple[int, str]]:
        scope = (None, server["where"])
        for item in self.settings:
            for path in re.findall(r'<Location "?(/[^">]*)', item["in"]):
                if item["server_where"] in scope:
                    yield number, path
        if not (self.settings or self.overrides):
            return
        places = [("/", server["document_root"] or "")]
        places += [
            (words[0], words[1])
            for item in dump["directives"]
            if item["name"].lower() == "alias"
            and item["server_where"] in scope
            and len(words := words_of(item)) == 2
        ]
        access = tuple(server["access_files"].split())
        for url, place in places:
            yield from ((number, path) for path in self.below(url, place, access))

    def below(self, url: str, place: str, access: tuple[str, ...]) -> Iterator[str]:
        """Paths for the files of a directory, or for one file."""
        if os.path.isfile(place):
            yield url
            return
        # Directories where a .htaccess file may set a handler, and what is below them
        told: set[str] = set()
        for where, directories, files in os.walk(place):
            directories[:] = sorted(name for name in directories if not name.startswith("."))
            if os.path.dirname(where) in told or (self.overrides and self.is_told(where, access)):
                told.add(where)
            for name in sorted(files):
                self.left -= 1
                if self.left < 0:
                    self.is_cut = True
                    return
                if self.may_be_ours(name, where in told) and "\n" not in where + name:
                    inner = os.path.relpath(os.path.join(where, name), place)
                    yield f"{url.rstrip('/')}/{inner}"

    def may_be_ours(self, name: str, is_told: bool) -> bool:
        return not name.startswith(".") and (
            is_told or self.any_file or bool(self.suffixes & suffixes_in(name))
        )

    def is_told(self, directory: str, access: tuple[str, ...]) -> bool:
        return any(
            is_about(item, self.handlers)
            for name in access
            for item in directives_in(os.path.join(directory, name))
        )


def served(dump: Dump) -> list[Dump]:
    """Of what httpd was asked about: what leads to us, without what a WSGIScriptAlias does."""
    return [
        {**item["mapped"], "location": item["location"], "server": dump["servers"][item["server"]]}
        for item in dump.get("paths", ())
        if item.get("mapped", {}).get("is_wsgi") and not item["mapped"]["alias_where"]
    ]


def where_set(dump: Dump, item: Dump) -> str:
    """File and line of what makes this item of served() ours, or ""."""
    setting = setting_of(dump, item, item["server"]["where"])
    return str(setting["where"]) if setting else ""
