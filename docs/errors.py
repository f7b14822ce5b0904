"""Makes docs/errors.md from the messages in the sources and a hand-written text per code in
docs/errors.

    docs/errors.py          writes docs/errors.md
    docs/errors.py --check  fails when a code has no text, a text no code, or docs/errors.md is
                            not what would be written

The files in docs/errors have a title line, perhaps a paragraph, then for each code a heading `###
WSGI0123` and three lines that begin with `Cause: `, `Outcome: ` and `Action: ` and may go on in
further lines. `Message: ` stands before them where the sources only have a variable.
"""

from __future__ import annotations

import ast
import html
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.append(str(DOCS))

import generated  # noqa: E402

ROOT = DOCS.parent
TARGET = DOCS / "errors.md"
CODE = re.compile(r"WSGI\d{4}")
FIELDS = ("Cause", "Outcome", "Action")
LEVELS = {
    "EMERG": "emerg",
    "ALERT": "alert",
    "CRIT": "crit",
    "ERR": "error",
    "ERROR": "error",
    "WARNING": "warn",
}
LEVELS |= {"NOTICE": "notice", "INFO": "info", "DEBUG": "debug", "TRACE1": "trace1"}

# Between fork and exec there is no logging of httpd
SPAWN_LEVELS = {"error": "ERROR", "warn": "WARNING"}

INTRODUCTION = """\
# Error codes

<!-- Written by docs/errors.py. Change the texts in docs/errors and run it. -->

Each message in Apache's error log has a code that stands for one place in the sources. *…* stands
for what the message names.
Messages below level `warn` are written with `LogLevel wsgi:info` or `wsgi:debug`.
"""


class CatalogueError(generated.SourceError):
    """A text is missing, superfluous or not as it must be."""


# ---- the sources ----


@dataclass(frozen=True)
class Message:
    code: str
    text: str  # "" where the sources have a variable
    level: str  # "" where it is decided elsewhere
    file: str


def tidy(text: str) -> str:
    return (
        re.sub(r"\s+", " ", re.sub(r"…(\s*…)+", "…", text))
        .strip()
        .removeprefix(":")
        .rstrip(":")
        .strip()
    )


STRING = r'"(?:\\.|[^"\\])*"'
FORMAT = re.compile(r"%[-0-9.*]*(?:ll|l|z|pp)?[a-zA-Z]")


def c_messages(path: Path) -> Iterator[Message]:
    source = path.read_text()
    for found in re.finditer(r'"[^"\n]*(WSGI\d{4})', source):
        # Literals stand side by side, or with the name of a format between them; a code alone is
        # followed by the message.
        whole = re.compile(rf"{STRING}(?:\s*(?:[A-Z][A-Z_]+\s*)?{STRING})*").match(
            source, found.start()
        )
        assert whole
        text = "".join(
            part[1:-1]
            for part in re.findall(STRING, re.sub(r'%"\s*[A-Z][A-Z_]+\s*"', '…""', whole[0]))
        )
        if text == found[1]:
            following = re.compile(rf",\s*({STRING}(?:\s*{STRING})*)").match(source, whole.end())
            text = (
                "".join(part[1:-1] for part in re.findall(STRING, following[1]))
                if following
                else ""
            )
        text = FORMAT.sub("…", text.replace('\\"', '"').replace("\\n", " ").replace("%%", "%"))
        before = source[source.rfind(";", 0, found.start()) + 1 : found.start()]
        level = re.findall(
            r"(?:APLOG|WIRE)_(EMERG|ALERT|CRIT|ERR|WARNING|NOTICE|INFO|DEBUG|TRACE1)\b", before
        )
        level = level or [SPAWN_LEVELS[word] for word in re.findall(r'"(error|warn)", $', before)]
        yield Message(
            found[1],
            tidy(text.partition(found[1])[2] or text),
            LEVELS[level[-1]] if level else "",
            "",
        )


def literal(node: ast.AST) -> str | None:
    """The text of a string or f-string, with … for what is computed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return None


def python_messages(path: Path) -> Iterator[Message]:
    """Texts that begin with a code, and codes that a function gets together with a text. Other
    codes are only spoken of.
    """
    tree = ast.parse(path.read_text())
    for call in (
        node for node in ast.walk(tree) if isinstance(node, ast.Call | ast.Assign | ast.Return)
    ):
        arguments: list[ast.expr] = (
            call.args if isinstance(call, ast.Call) else [call.value] if call.value else []
        )
        texts = [literal(argument) for argument in arguments]
        level = re.findall(
            r"\b_?(CRIT|ERROR|WARNING|NOTICE|INFO|DEBUG)\b",
            " ".join(map(ast.unparse, arguments[:1])),
        )
        for place, text in enumerate(texts):
            if (
                text
                and CODE.match(text)
                and (text[8:9] == ":" or (len(text) == 8 and isinstance(call, ast.Call)))
            ):
                said = text[8:] if text[8:] else next(filter(None, texts[place + 1 :]), "")
                yield Message(text[:8], tidy(said), LEVELS[level[0]] if level else "", "")


def messages() -> dict[str, list[Message]]:
    found: dict[str, list[Message]] = {}
    for path in sorted(
        [*ROOT.glob("apache/**/*.c"), *ROOT.glob("src/**/*.c"), *ROOT.glob("src/**/*.py")]
    ):
        for message in c_messages(path) if path.suffix == ".c" else python_messages(path):
            place = Message(message.code, message.text, message.level, str(path.relative_to(ROOT)))
            if place not in found.setdefault(message.code, []):
                found[message.code].append(place)
    return dict(sorted(found.items()))


# ---- the texts ----


@dataclass(frozen=True)
class Chapter:
    title: str
    opening: str
    entries: dict[str, dict[str, str]]


def read_chapter(path: Path) -> Chapter:
    head, *parts = re.split(r"^### ", path.read_text(), flags=re.MULTILINE)
    title, _, opening = head.strip().partition("\n")
    entries = {}
    for part in parts:
        code, _, body = part.strip().partition("\n")
        fields = dict(
            re.findall(
                r"^(Message|Cause|Outcome|Action): (.+(?:\n(?!\w+: ).+)*)", body, re.MULTILINE
            )
        )
        if (
            not CODE.fullmatch(code)
            or [name for name in fields if name != "Message"] != list(FIELDS)
            or code in entries
        ):
            raise CatalogueError(
                f"docs/errors/{path.name}: ### {code}: expected one entry with Cause:, Outcome: and Action:"
            )
        entries[code] = fields
    if not title.startswith("# ") or list(entries) != sorted(entries):
        raise CatalogueError(
            f"docs/errors/{path.name}: expected a title, then the codes in their order"
        )
    return Chapter(title.removeprefix("# "), opening.strip(), entries)


def chapters() -> list[Chapter]:
    return [read_chapter(path) for path in sorted((DOCS / "errors").glob("*.md"))]


# ---- the page ----


def check_completeness(known: dict[str, list[Message]], written: list[str]) -> None:
    missing = [
        f"{code} ({places[0].file})" for code, places in known.items() if code not in written
    ]
    if missing:
        raise CatalogueError(
            f"no text for {', '.join(missing)}: add an entry \"### CODE\" with the lines Cause:, "
            "Outcome: and Action: to the "
            "file of its hundred in docs/errors, and run docs/errors.py"
        )
    for code, places in known.items():
        if len({place.text for place in places}) > 1:
            raise CatalogueError(
                f"{code} is used for different messages, in "
                f"{' and '.join(place.file for place in places)}: take another"
            )
    for code in written:
        if code not in known:
            raise CatalogueError(
                f"docs/errors has a text for {code}, which is nowhere in the sources: remove it"
            )


def escaped(text: str) -> str:
    """As text of Markdown. A backslash before < is not known everywhere."""
    return re.sub(r"([*_|`])", r"\\\1", html.escape(text, quote=False))


def render_entry(code: str, places: list[Message], fields: dict[str, str]) -> list[str]:
    texts = (
        [fields["Message"]]
        if "Message" in fields
        else list(dict.fromkeys(place.text for place in places if place.text))
    )
    if not texts:
        raise CatalogueError(
            f"docs/errors: {code} needs a line Message:, as the sources only have a variable"
        )
    level = next((place.level for place in places if place.level), "")
    lines = [f"### {code}", "", *(f"> {escaped(text)}\n" for text in texts)]
    lines += [
        f"- **Cause.** {fields['Cause']}",
        f"- **Outcome.** {fields['Outcome']}",
        f"- **Action.** {fields['Action']}",
    ]
    where = ", ".join(dict.fromkeys(f"`{place.file}`" for place in places))
    return [*lines, f"- *{'Level ' + level + ', ' if level else ''}from {where}*", ""]


def render() -> str:
    known, written = messages(), chapters()
    check_completeness(known, [code for chapter in written for code in chapter.entries])
    lines = [INTRODUCTION]
    for chapter in written:
        lines += [f"## {chapter.title}", "", *([chapter.opening, ""] if chapter.opening else [])]
        for code, fields in chapter.entries.items():
            lines += render_entry(
                code,
                known[code],
                {name: re.sub(r"\s+", " ", text) for name, text in fields.items()},
            )
    return "\n".join(lines).rstrip() + "\n"


def main(args: list[str]) -> int:
    return generated.write("docs/errors.py", TARGET, render, args)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
