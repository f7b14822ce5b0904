"""What `make lint` checks beside the tools: files that comments and pages name exist, and commit
subjects are short enough.

    tests/conventions.py    prints each breach as FILE:LINE: what is wrong, and fails when there is one
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST_SUBJECT = 72
# Older subjects are as they are: rewriting them would change the names of all commits.
FIRST_CHECKED = "c2642c11c68bd9ea85977e92219d7a2cc9e71cb5"

C_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
SOURCE_NAME = re.compile(
    r"(?<![\w./<${-])((?:[\w-]+/)*[\w-]+\.[ch])(?![\w(])|(?<![\w./${-])((?:[\w-]+/)+\w+\.py)(?!\w)"
)
PAGE_NAME = re.compile(r"`((?:apache|src|tests|docs|bench(?!/results)|debian)/[\w./-]+)`")
# Of httpd, APR, the C library and the kernel.
FOREIGN = re.compile(
    r"(?:sys/)?(?:ap_\w+|apr\w*|http\w*|util_\w+|scoreboard|sysexits|mod_\w+|core|unixd|fcntl)\.[ch]$"
)


def python_comments(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (
            said := ast.get_docstring(node)
        ):
            yield getattr(node, "lineno", 1), said


def c_comments(path: Path) -> Iterator[tuple[int, str]]:
    text = path.read_text()
    for comment in C_COMMENT.finditer(text):
        yield text.count("\n", 0, comment.start()) + 1, comment[0]


def sources() -> list[Path]:
    folders = ("apache", "src", "tests", "bench", "docs")
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".c", ".h", ".py")
    )


def unknown_files() -> Iterator[str]:
    known = [f"/{path.relative_to(ROOT)}" for path in sources()]
    for path in sources():
        for line, comment in python_comments(path) if path.suffix == ".py" else c_comments(path):
            for found in SOURCE_NAME.finditer(comment):
                name = found[1] or found[2]
                if not FOREIGN.search(name) and not any(
                    place.endswith(f"/{name}") for place in known
                ):
                    yield f"{path.relative_to(ROOT)}:{line}: there is no {name}"


def unknown_files_of_pages() -> Iterator[str]:
    """Paths of this repository, in backquotes, on pages. NAME stands for one that a reader chooses."""
    for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]):
        for number, line in enumerate(page.read_text().split("\n"), 1):
            for name in PAGE_NAME.findall(line):
                if "NAME" not in name and not (ROOT / name).exists():
                    yield f"{page.relative_to(ROOT)}:{number}: there is no {name}"


def long_subjects() -> Iterator[str]:
    """Nothing where the history is not there, as in a source archive or a shallow clone."""
    command = (
        "git",
        "-C",
        str(ROOT),
        "log",
        "--no-merges",
        "--format=%h %s",
        f"{FIRST_CHECKED}..HEAD",
    )
    log = subprocess.run(command, capture_output=True, text=True)
    for commit in log.stdout.splitlines():
        number, _, subject = commit.partition(" ")
        if len(subject) > LONGEST_SUBJECT:
            length = f"{len(subject)} characters, {LONGEST_SUBJECT} are allowed"
            yield f"commit {number}: the subject has {length}: {subject}"


def main() -> int:
    found = [*unknown_files(), *unknown_files_of_pages(), *long_subjects()]
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
