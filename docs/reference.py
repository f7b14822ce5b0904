"""Makes docs/directives.md from the tables in apache/directives.c and apache/config/group.c and a
hand-written text per row.

    docs/reference.py          writes docs/directives.md
    docs/reference.py --check  fails when a row has no text, a text no row, or docs/directives.md is
                               not what would be written

A text begins with `Name: value` lines (Syntax, Default), then an empty line, then the body. What
the table knows is not repeated there.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.append(str(DOCS))

import generated  # noqa: E402

APACHE = DOCS.parent / "apache"
TARGET = DOCS / "directives.md"

CONTEXTS = {
    "CTX_G": "main server",
    "CTX_I": "main server, `<WSGIInterpreterOptions>`",
    "CTX_S": "main server, virtual host",
    "CTX_D": "main server, virtual host, directory",
    "CTX_FILEINFO": "main server, virtual host, directory, `.htaccess` (FileInfo)",
    "CTX_AUTHCFG": "directory, `.htaccess` (AuthConfig)",
}

TYPES = {
    "OPT_COUNT": "number",
    "OPT_TIME": "time: seconds, or with `ms`, `s`, `min`, `h` or `d`",
    "OPT_MILLIS": "time: milliseconds, or with `ms` or `s`",
    "OPT_SIZE": "size: bytes, or with `K`, `M` or `G`",
    "OPT_FLAG": "`On` or `Off`",
    "OPT_ENV": "`NAME=value`; the option may be repeated",
    "OPT_ENV_FILE": "absolute path; the option may be repeated",
    "OPT_DECIMAL": "seconds, with a decimal point where needed",
    "OPT_TEXT": "text",
    "OPT_PATH": "absolute path",
    "OPT_OCTAL": "octal number",
    "OPT_USER": "user name, or `#` and a uid",
    "OPT_RELOAD": "`now` or `rolling`",
    "OPT_GROUP": "group name, or `#` and a gid",
    "OPT_GROUPS": "group names, or `#` and a gid, separated by commas",
}

CONSTANTS = {"LONGEST": 2147483647, "MIB": 1 << 20, "GIB": 1 << 30}

INTRODUCTION = """\
# Directives

<!-- Written by docs/reference.py. Change the tables in apache/, docs/directives/ and docs/options/, and run it. -->

These directives work as described in the documentation of mod_wsgi, except for the deliberate differences in
[compatibility.md](compatibility.md). A wrong value, an unknown option or a directive in the wrong place fails
`apachectl configtest` with file and line. *Directory* stands for `<Directory>`, `<Location>`, `<Files>`,
`<If>` and similar sections. Arguments and the values of options may be quoted: `name="a value"`.
"""


class TableError(generated.SourceError):
    """A table or a text is not as it must be."""


# ---- the tables ----


@dataclass(frozen=True)
class Directive:
    name: str
    is_flag: bool
    context: str
    help: str


@dataclass(frozen=True)
class Obsolete:
    name: str
    why: str


@dataclass(frozen=True)
class Option:
    name: str
    type: str
    least: int
    most: int
    preset: int


def block(path: Path, opening: str) -> str:
    """The rows of a table, without comments."""
    text = path.read_text()
    start = text.find(opening)
    end = text.find("\n};", start)
    if start < 0 or end < 0:
        raise TableError(f"{path.name}: no table that begins with {opening!r}")
    return re.sub(r"/\*.*?\*/", "", text[start + len(opening) : end], flags=re.DOTALL)


def arguments(text: str, at: int) -> tuple[list[str], int]:
    """The arguments after the bracket at `at`, and the place behind its end."""
    found, depth, start, place = [], 0, at + 1, at
    while place < len(text):
        char = text[place]
        if char == '"':
            place = re.compile(r'"(?:\\.|[^"\\])*"').match(text, place).end()  # type: ignore[union-attr]
            continue
        depth += (char in "({") - (char in ")}")
        if depth == 0 or (char == "," and depth == 1):
            found.append(text[start:place].strip())
            start = place + 1
        place += 1
        if depth == 0:
            return found, place
    raise TableError(f"a row does not end: {text[at : at + 60]!r}")


def string(literal: str) -> str:
    parts = re.findall(r'"((?:\\.|[^"\\])*)"', literal)
    if not parts or re.sub(r'"(?:\\.|[^"\\])*"|\s', "", literal):
        raise TableError(f"expected a string in a row, found {literal!r}")
    return "".join(parts).replace('\\"', '"').replace("\\\\", "\\").replace("%%", "%")


def number(expression: str) -> int:
    """A product of numbers and known constants."""
    factors = []
    for factor in map(str.strip, expression.split("*")):
        if factor in CONSTANTS:
            factors.append(CONSTANTS[factor])
        elif re.fullmatch(r"-?\d+", factor):
            factors.append(int(factor, 8 if re.match(r"0\d", factor) else 10))
        else:
            raise TableError(
                f"{expression!r} in a row is not a number that reference.py understands"
            )
    return prod(factors)


def directives() -> tuple[list[Directive], list[Obsolete]]:
    text = block(APACHE / "directives.c", "wsgi_commands[] = {")
    rows: list[Directive] = []
    obsolete: list[Obsolete] = []
    at = 0
    while row := re.compile(r"[\s,]*(\w+)\(").match(text, at):
        kind, (args, at) = row[1], arguments(text, row.end() - 1)
        if kind == "OBSOLETE":
            obsolete.append(Obsolete(string(args[0]), string(args[2])))
        elif kind == "NOTED":
            continue  # documented by httpd
        elif kind.startswith("AP_INIT_") and len(args) == 5 and args[3] in CONTEXTS:
            rows.append(
                Directive(
                    string(args[0]).lstrip("<"),
                    kind == "AP_INIT_FLAG",
                    CONTEXTS[args[3]],
                    string(args[4]),
                )
            )
        else:
            raise TableError(
                f"directives.c: reference.py does not understand the row {kind}({', '.join(args)})"
            )
    if not text[at:].strip(" \n,").startswith("{NULL"):
        raise TableError(
            f"directives.c: reference.py does not understand the table from here: {text[at : at + 80]!r}"
        )
    return rows, obsolete


def options() -> list[Option]:
    text = block(APACHE / "config" / "group.c", "static const option options[] = {")
    rows = []
    at = 0
    while (row := re.compile(r"[\s,]*\{").match(text, at)) and not text.startswith(
        "{NULL", row.end() - 1
    ):
        args, at = arguments(text, row.end() - 1)
        args = [part for arg in args for part in (["0", "0", "0"] if arg == "NONE" else [arg])]
        if len(args) != 7 or args[1] not in TYPES:
            raise TableError(
                f"config/group.c: reference.py does not understand the row {{{', '.join(args)}}}"
            )
        rows.append(
            Option(string(args[0]), args[1], number(args[2]), number(args[3]), number(args[4]))
        )
    if not row:
        raise TableError(
            f"config/group.c: reference.py does not understand the table from here: {text[at : at + 80]!r}"
        )
    return rows


# ---- the texts ----


@dataclass(frozen=True)
class Text:
    head: dict[str, str]
    body: str


def read_text(path: Path, names: set[str]) -> Text:
    """names are those of the head's lines: each must be there, and no other."""
    if not path.exists():
        raise TableError(
            f"docs/{path.relative_to(DOCS)} is missing: each row of the table needs a text"
        )
    lines = path.read_text().strip().split("\n")
    head = {}
    while lines and (line := re.fullmatch(r"(Syntax|Default): (.+)", lines[0])):
        head[line[1]] = line[2]
        lines.pop(0)
    body = "\n".join(lines).strip()
    if set(head) != names or not body:
        wanted = " and ".join(f"{name}: …" for name in sorted(names)) or "no line of a head"
        raise TableError(f"docs/{path.relative_to(DOCS)}: expected {wanted}, then text")
    return Text(head, body)


def check_orphans(directory: Path, names: list[str]) -> None:
    for path in sorted(directory.iterdir()):
        if path.stem not in names or path.suffix != ".md":
            raise TableError(
                f"docs/{path.relative_to(DOCS)} describes nothing that is in the tables"
            )


# ---- the page ----


def size(value: int) -> str:
    for unit, factor in (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if value and value % factor == 0:
            return f"{value // factor}{unit}"
    return str(value)


def seconds(value: int) -> str:
    return f"{value // 86400}d" if value and value % 86400 == 0 else str(value)


def value_of(option: Option, value: int) -> str:
    match option.type:
        case "OPT_SIZE":
            return size(value)
        case "OPT_TIME":
            return seconds(value)
        case "OPT_OCTAL":
            return f"{value:04o}"
    return str(value)


def option_range(option: Option) -> str:
    if option.least == option.most:
        return ""
    least, most = value_of(option, option.least), value_of(option, option.most)
    if option.type == "OPT_MILLIS":
        least, most = f"{option.least}s", f"{option.most}s"
    zero = ", or 0" if option.type == "OPT_SIZE" and option.least > 0 and option.preset == 0 else ""
    return f" from `{least}` to `{most}`{zero}"


def render_directive(row: Directive) -> list[str]:
    text = read_text(
        DOCS / "directives" / f"{row.name}.md",
        {"Default"} if row.is_flag else {"Default", "Syntax"},
    )
    syntax = f"`{row.name} On|Off`" if row.is_flag else text.head["Syntax"]
    return [
        f"### {row.name}",
        "",
        f"- Syntax: {syntax}",
        f"- Default: {text.head['Default']}",
        f"- Where: {row.context}",
        "",
        text.body,
        "",
    ]


def render_option(row: Option) -> list[str]:
    text = read_text(DOCS / "options" / f"{row.name}.md", set() if row.preset else {"Default"})
    preset = f"`{value_of(row, row.preset)}`" if row.preset else text.head["Default"]
    return [
        f"### {row.name}",
        "",
        f"- Value: {TYPES[row.type]}{option_range(row)}",
        f"- Default: {preset}",
        "",
        text.body,
        "",
    ]


def render() -> str:
    rows, obsolete = directives()
    group_options = options()
    check_orphans(DOCS / "directives", [row.name for row in rows])
    check_orphans(DOCS / "options", [row.name for row in group_options])
    lines = [INTRODUCTION, "| directive | for what |", "|---|---|"]
    lines += [f"| [{row.name}](#{row.name.lower()}) | {row.help} |" for row in rows]
    lines += [
        "",
        "Options of WSGIDaemonProcess: "
        + ", ".join(f"[{row.name}](#{row.name})" for row in group_options)
        + ".",
        "",
    ]
    for row in rows:
        lines += render_directive(row)
    lines += ["## Options of WSGIDaemonProcess", ""]
    for option in group_options:
        lines += render_option(option)
    lines += [
        "## Directives without effect",
        "",
        "Known from mod_wsgi, accepted everywhere with any arguments, and reported with one line when Apache starts.",
        "",
        "| directive | why it is not needed |",
        "|---|---|",
        *(f"| {row.name} | {row.why} |" for row in obsolete),
    ]
    return "\n".join(lines) + "\n"


def main(args: list[str]) -> int:
    return generated.write("docs/reference.py", TARGET, render, args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
